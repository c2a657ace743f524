/**
 * `runfcgi get`: sends a request to an endpoint as a web server would, and shows what passes.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { dissect } from "../../protocol/dissect.ts";
import { httpParams } from "../../protocol/http/params.ts";
import { declaredLength, encodeText, type Params } from "../../protocol/params.ts";
import type { ResponseHead } from "../../protocol/protocol.ts";
import { type Address, formatAddress } from "../../runtime/socket.ts";
import { type ClientObserver, ConnectionKeeper } from "../../server/client.ts";
import type { ListeningProtocol } from "../../protocol/protocols.ts";
import type { Built } from "../../app/application.ts";
import { isSecret } from "../../app/page.ts";
import { optionTable } from "../../options/options.ts";
import { headText, Timeline, written } from "./output.ts";
import { type Answered, ask, type Consume, CUT_OFF, NoResponse, PATIENCE, reasonText } from "../../doctor/ask.ts";
import { endpointOf, endpointOptions } from "./endpoint.ts";
import { servedHere } from "../../process/served_here.ts";
import {
  assignment,
  CommandError,
  count,
  type Kind,
  type OptionsOf,
  parseArguments,
  seconds,
  UsageError,
} from "../../options/arguments.ts";

const header: Kind<string> = {
  name: "a header",
  read: (value) => /^[!#$%&'*+.^`|~0-9A-Za-z-]+:[^\r\n\0]*$/.test(value) ? value : undefined,
};
const method: Kind<string> = {
  name: "a method",
  read: (value) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(value) ? value : undefined,
};
const anyText: Kind<string> = { name: "text, or @ and the path of a file", read: (value) => value };

const table = {
  ...endpointOptions,
  method: { kind: method, short: "X", default: "GET, or POST with a body", help: "Method.", example: "-X PUT" },
  header: {
    kind: header,
    short: "H",
    repeatable: true,
    help: "Header; one without a value is not sent. Repeatable.",
    example: '-H "Accept: text/html"',
  },
  data: {
    kind: anyText,
    short: "d",
    help: "Body, a form unless -H gives a Content-Type: text, @ and the path of a file, or @- for standard input.",
    example: "-d @form.txt",
  },
  param: {
    kind: assignment,
    repeatable: true,
    help: "CGI variable to send, replacing the usual value. Repeatable.",
    example: "param=REMOTE_USER=me",
  },
  env: { ...optionTable.env, help: "Variable of the environment of an application that is asked without a server. Repeatable." },
  include: { short: "i", help: "Shows the response's status and headers.", example: "-i" },
  verbose: { short: "v", help: "Shows everything that passes, record by record, with the time in milliseconds.", example: "-v" },
  repeat: {
    kind: count,
    help: "Sends the request this many times and shows how long the responses take.",
    example: "repeat=100",
  },
  keep: { help: "Sends repeated requests on one connection.", example: "--keep" },
  timeout: { kind: seconds, default: `${PATIENCE}`, help: "Seconds to wait for each response.", example: "timeout=5" },
} as const;

const usage = `
runfcgi get [option=value …] PATH|URL
runfcgi get [option=value …] APP PATH|URL

Sends a request to an endpoint, or to an application without a server, as a web server would. The body goes to standard
output, everything else to standard error. A URL instead of a path gives the host, port and scheme that the visitor
requested.

The exit status is that of curl --fail: 0 for a status below 400, 22 for a higher one, 2 for invalid arguments, 6 for an
unknown host, 7 if nothing can be connected to or the application cannot be loaded, 8 for a response in another protocol,
18 for one that was cut off, 28 after the timeout, 52 for none, and 56 if reading it failed.

  runfcgi get app.ts /
  runfcgi get socket=/run/mysite.sock /
  runfcgi get protocol=ajp port=3033 secret=@/etc/mysite.secret -v https://example.org/page?x=1
`;

type Options = OptionsOf<typeof table>;

/** curl's exit status with --fail, for a status from 400 on. */
const HTTP_FAILED = 22;
/** What a body is, unless told otherwise: curl's default, too. */
const FORM = "application/x-www-form-urlencoded";

export const page = { usage, options: table };

/** Runs the command and resolves with the exit status. */
export async function run(args: readonly string[], built: Built = {}): Promise<number> {
  const { options, plain } = parseArguments(args, table);
  const [target, app, ...more] = plain.toReversed();
  if (target === undefined) throw new UsageError("get what? Give a path such as / or a URL");
  if (more.length > 0) throw new UsageError(`get takes an application and one path, not ${plain.join(" and ")}`);
  const { protocol = "fcgi", env } = options;
  const endpoint = [options.socket, options.port, options.host].some((given) => given !== undefined);
  // A program with an application inside has one at hand.
  if (app !== undefined || built.app && !endpoint) {
    if (endpoint) throw new UsageError(`there are an application, "${app}", and an endpoint: give one of them`);
    return await servedHere(app, { protocol, ...env && { env } }, built, (address) => send(target, options, address));
  }
  if (!endpoint && !target.startsWith("/") && existsSync(target)) {
    throw new UsageError(`get what of "${target}"? Give a path such as / or a URL behind it`);
  }
  return await send(target, options, endpointOf(options));
}

async function send(target: string, options: Options, address: Address): Promise<number> {
  const { protocol = "fcgi" } = options;
  if (options.keep && (protocol === "scgi" || protocol === "uwsgi")) {
    throw new UsageError(`${protocol} uses a connection for each request: leave out --keep`);
  }
  const body = bodyOf(options.data);
  const asked: Asked = { address, protocol, params: paramsOf(target, options, body), body, options };
  return options.repeat === undefined ? await once(asked) : await repeatedly(asked, options.repeat);
}

interface Asked {
  address: Address;
  protocol: ListeningProtocol;
  params: Params;
  body: Uint8Array | undefined;
  options: Options;
}

function bodyOf(data: string | undefined): Uint8Array | undefined {
  if (data === undefined || !data.startsWith("@")) return data === undefined ? undefined : Buffer.from(data);
  try {
    return readFileSync(data === "@-" ? 0 : data.slice(1));
  } catch (error) {
    throw new UsageError(`data is "${data}", which cannot be read: ${(error as Error).message}`);
  }
}

/** The CGI variables that a web server would send for this request, with those that were given. */
export function paramsOf(target: string, options: Options, body: Uint8Array | undefined): Params {
  const [, scheme, authority, path] = /^(?:(https?):\/\/([^/?#]+))?([^#]*)/i.exec(target)!;
  if (scheme === undefined && !target.startsWith("/")) {
    throw new UsageError(`get what? "${target}" is neither a path such as / nor a URL with http or https`);
  }
  const given = (options.header ?? []).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), encodeText(line.slice(colon + 1).trim())];
  });
  const usual = [["Host", authority ?? "localhost"], ...body === undefined ? [] : [["Content-Type", FORM]]]
    .filter(([name]) => !given.some((one) => one[0].toLowerCase() === name.toLowerCase()));
  // One without a value is not sent, as by curl.
  const headers = [...usual, ...given].filter(([, value]) => value !== "").flat();
  const { method = body === undefined ? "GET" : "POST" } = options;
  const here = { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 80 };
  const request = {
    method,
    target: encodeText(path.startsWith("/") ? path : `/${path}`),
    version: "1.1",
    headers,
    // Over HTTP they would become a header.
    addresses: options.protocol === "http" ? undefined : here,
  };
  const params = httpParams(request, "runfcgi get");
  const { pairs } = params;
  const set = (name: string, value: string) => {
    for (let i = pairs.length - 2; i >= 0; i -= 2) if (pairs[i] === name) pairs.splice(i, 2);
    pairs.push(name, value);
  };
  if (/^https$/i.test(scheme ?? "")) {
    set("HTTPS", "on");
    set("REQUEST_SCHEME", "https");
    if (!/:\d+$/.test(authority)) set("SERVER_PORT", "443");
  }
  if (body !== undefined && params.get("CONTENT_LENGTH") === undefined) set("CONTENT_LENGTH", String(body.length));
  for (const param of options.param ?? []) {
    const at = param.indexOf("=");
    set(param.slice(0, at), encodeText(param.slice(at + 1)));
  }
  return params;
}

async function once(asked: Asked): Promise<number> {
  let length = 0;
  let head: ResponseHead | undefined;
  let cut = false;
  try {
    await exchange(asked, undefined, async (begun, body) => {
      head = begun;
      if (asked.options.include) process.stderr.write(headText(head));
      for await (const bytes of body) {
        length += bytes.length;
        await written(bytes);
      }
    });
  } catch (error) {
    cut = head !== undefined && error instanceof CommandError && error.status === CUT_OFF;
    if (!cut) throw error;
  }
  const { status, reason } = head!;
  if (status >= 400) process.stderr.write(`runfcgi: the status is ${status} ${reason}`.trimEnd() + "\n");
  const declared = asked.params.get("REQUEST_METHOD") === "HEAD" ? undefined : declaredLength(head!);
  cut ||= declared !== undefined && length < declared;
  if (cut) {
    const of = declared === undefined ? "" : ` of ${declared}`;
    process.stderr.write(`runfcgi: the body was cut off after ${length}${of} bytes; see the program's log\n`);
  }
  return cut ? CUT_OFF : status < 400 ? 0 : HTTP_FAILED;
}

/** Sends the request many times, one after another. */
async function repeatedly(asked: Asked, times: number): Promise<number> {
  const keeper = asked.options.keep ? new ConnectionKeeper() : undefined;
  const took: number[] = [];
  const failures = new Map<string, number>();
  let status = 0;
  let connections = 0;
  for (let i = 0; i < times; i++) {
    try {
      const { head, milliseconds, connected } = await exchange(asked, keeper, async (_head, body) => {
        for await (const _bytes of body);
      });
      connections += connected;
      took.push(milliseconds);
      if (head.status >= 400) status ||= HTTP_FAILED;
      if (head.status >= 400) add(failures, `status ${head.status} ${head.reason}`.trimEnd());
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      status ||= error.status;
      add(failures, error.message);
    }
  }
  keeper?.close();
  const failedCount = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const kept = keeper ? `, over ${connections} connection${connections === 1 ? "" : "s"}` : "";
  process.stderr.write(`${times} requests, ${failedCount} failed${timesText(took)}${kept}\n`);
  for (const [reason, count] of failures) process.stderr.write(`  ${count} × ${reason}\n`);
  return status;
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Minimum, median and maximum. */
export function timesText(milliseconds: readonly number[]): string {
  if (milliseconds.length === 0) return "";
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  const [min, max] = [sorted[0], sorted[sorted.length - 1]];
  return `: min ${min.toFixed(2)} ms, median ${median.toFixed(2)} ms, max ${max.toFixed(2)} ms`;
}

/** @throws {CommandError} saying why there is no response */
async function exchange({ options, ...asked }: Asked, keeper: ConnectionKeeper | undefined, consume: Consume): Promise<Answered> {
  const { timeout, secret, packetsize: packetSize } = options;
  const show = options.verbose ? new Timeline() : undefined;
  const [sending, receiving] = (["request", "response"] as const).map((side) => dissect(asked.protocol, side, isSecret));
  const observer: ClientObserver = {
    connected: () => show?.note(`connected to ${formatAddress(asked.address)}`),
    sent: (bytes) => show?.lines(">", sending, bytes),
    received: (bytes) => show?.lines("<", receiving, bytes),
    ended: () => show?.note("the server closed its side"),
  };
  const onStderr = (text: string) => void process.stderr.write(`error log: ${text.trimEnd()}\n`);
  try {
    const answered = await ask({ ...asked, secret, packetSize, timeout, keeper, onStderr, observer }, consume);
    show?.note("the response is complete");
    return answered;
  } catch (error) {
    if (!(error instanceof NoResponse)) throw error;
    throw new CommandError(reasonText(error.reason), error.reason.status ?? 7);
  }
}
