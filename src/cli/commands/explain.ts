/**
 * `runfcgi explain`: which variables the URL of a request comes from.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import process from "node:process";
import { type ExplainOptions, explainUrl, type Explanation } from "../../gateway/explain_url.ts";
import { printable } from "../../protocol/dissect.ts";
import { Trust } from "../../protocol/http/forwarded.ts";
import { Params } from "../../protocol/params.ts";
import { replay } from "../../server/replay.ts";
import { urlOptionsOf } from "../../server/serve.ts";
import { optionTable } from "../../options/options.ts";
import { screenOf } from "../../options/terminal.ts";
import { columns } from "./output.ts";
import { assignment, CommandError, type Kind, parseArguments, UsageError } from "../../options/arguments.ts";

const address: Kind<string> = { name: "an IP address", read: (value) => isIP(value) ? value : undefined };

const table = {
  param: {
    kind: assignment,
    repeatable: true,
    help: "CGI variable of the request. Repeatable.",
    example: "param=HTTPS=on",
  },
  protocol: {
    kind: optionTable.protocol.kind,
    default: "detected by the first byte",
    help: "Protocol of the file: fcgi, scgi, ajp, uwsgi or http.",
    example: "protocol=scgi",
  },
  from: {
    kind: address,
    default: "a Unix socket, which is trusted",
    help: "HTTP: address that the request came from.",
    example: "from=127.0.0.1",
  },
  trust: { kind: optionTable.trust.kind, help: "Trusted proxies.", example: "trust=127.0.0.1" },
  trustheaders: optionTable.trustheaders,
  scriptname: optionTable.scriptname,
  urlfrom: optionTable.urlfrom,
  frontcontroller: { ...optionTable.frontcontroller, default: "any .fcgi file of Apache and lighttpd" },
} as const;

const usage = `
runfcgi explain FILE [option=value …]
runfcgi explain param=NAME=VALUE …

Shows for each request which variables the scheme, host, port, mount, path and visitor that the application sees come
from, whether the URL is the one that the visitor requested or the web server's target, and which variables are ignored,
and why. The file contains what a web server sent, such as capture=1 keeps. With debug=true,
the welcome page shows the same about its own request.

  runfcgi explain capture-1.bin
  runfcgi explain param=REQUEST_URI=/shop/cart param=SCRIPT_NAME=/shop param=PATH_INFO=/cart
`;

export const page = { usage, options: table };

/** Runs the command and resolves with the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  const { options: { param, protocol, from, trust, trustheaders, ...told }, plain: files } = parseArguments(args, table);
  if (files.length + (param ? 1 : 0) !== 1) {
    throw new UsageError("explain what? Give one file, or variables such as param=REQUEST_URI=/");
  }
  const explanations: Explanation[] = [];
  const { scriptname: scriptName, urlfrom: urlFrom, frontcontroller } = told;
  const urls = urlOptionsOf({ scriptName, urlFrom, frontControllers: frontcontroller === undefined ? [] : [frontcontroller] });
  if (param) {
    const pairs = param.map((given) => [given.slice(0, given.indexOf("=")), given.slice(given.indexOf("=") + 1)] as const);
    explanations.push(explainUrl(Params.from(pairs), { urls }));
  } else {
    const problems: string[] = [];
    const trusted = new Trust(trust, trustheaders);
    const known = (protocol: ExplainOptions["protocol"], peer: string | undefined): ExplainOptions => ({
      protocol,
      trusted: trusted.has(protocol === "http" ? from : peer ?? ""),
      uses: (header) => trusted.uses(header),
      urls,
    });
    const { cut } = await replay(readBytes(files[0]), {
      protocol,
      trust: trusted,
      addresses: from === undefined
        ? undefined
        : { remoteAddress: from, remotePort: 0, localAddress: "127.0.0.1", localPort: 80 },
      handler: () => new Response(null, { status: 204 }),
      onError: (error) => void problems.push(error.message),
      onRequest({ params, protocol }) {
        if (params.pairs.length > 0) {
          explanations.push(explainUrl(params, known(protocol, params.getAll("REMOTE_ADDR")[0])));
        }
      },
    });
    for (const problem of problems) process.stderr.write(`runfcgi: ${problem}\n`);
    if (explanations.length === 0) {
      throw new CommandError(`"${files[0]}" contains no request${cut ? ": it ends before the first one is complete" : ""}`);
    }
  }
  const width = process.stdout.isTTY ? screenOf(process.stdout).width : Infinity;
  process.stdout.write(explanations.map((one) => explanationText(one, width)).join("\n"));
  return explanations.every(({ url }) => url !== undefined) ? 0 : 1;
}

/** @throws {UsageError} if it cannot be read */
export function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`cannot read "${file}": ${(error as Error).message}`);
  }
}

/** The explanation as a table. */
export function explanationText({ url, parts, ignored }: Explanation, width = Infinity): string {
  const shown = url === undefined ? "none: the host or the path is invalid, so the visitor gets a 400" : new URL(url).href;
  const rows = parts.map(({ part, value, from, reason }) => [part, printable(value), from.join(" "), reason]);
  const others = ignored.map(({ name, value, reason }) => [`${name}=${printable(value).slice(0, 40)}`, reason]);
  const names = others.length > 0 ? `ignored\n${columns(others, "  ", width)}` : "";
  return `${columns([["URL", printable(shown)], ...rows], "", width)}${names}`;
}
