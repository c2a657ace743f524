/**
 * `runfcgi get`: asks an endpoint as a web server would, and shows what passes.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Readable } from "node:stream";
import { dissect } from "../../protocol/dissect.ts";
import { httpParams } from "../../protocol/http/params.ts";
import { encodeText, Params } from "../../protocol/params.ts";
import type { ResponseHead } from "../../protocol/protocol.ts";
import { type Address, formatAddress } from "../../runtime/socket.ts";
import { type ClientObserver, ConnectionKeeper, request } from "../../server/client.ts";
import type { ListeningProtocol } from "../../protocol/protocols.ts";
import { isSecret } from "../../app/page.ts";
import { headText, Timeline, written } from "./show.ts";
import { answerFailure, connectFailure, endpointOf, endpointWords } from "./endpoint.ts";
import { commandHelp } from "../../options/usage.ts";
import {
  assignment,
  CommandError,
  count,
  type Kind,
  type OptionsOf,
  readWords,
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
const anyText: Kind<string> = { name: "text, or @ and a file", read: (value) => value };

const table = {
  ...endpointWords,
  method: { kind: method, short: "X", default: "GET, or POST with a body", help: "Method.", example: "-X PUT" },
  header: { kind: header, short: "H", repeatable: true, help: "A header. Can be repeated.", example: '-H "Accept: text/html"' },
  data: { kind: anyText, short: "d", help: "Body: text, @ and a file, or @- for standard input.", example: "-d @form.txt" },
  param: {
    kind: assignment,
    repeatable: true,
    help: "Sets a CGI variable, in place of the one that would be sent. Can be repeated.",
    example: "param=REMOTE_USER=me",
  },
  include: { short: "i", help: "Shows the head of the response.", example: "-i" },
  verbose: { short: "v", help: "Shows all that passes, record by record, with milliseconds.", example: "-v" },
  repeat: { kind: count, help: "Sends the request so many times and tells how long it took.", example: "repeat=100" },
  keep: { help: "Uses one connection for all of them.", example: "--keep" },
  timeout: { kind: seconds, default: "30", help: "Seconds for each answer.", example: "timeout=5" },
} as const;

const usage = `
runfcgi get [option=value …] PATH|URL

Asks an endpoint as a web server would. The body goes to standard output, everything else to standard error. The exit
status is 0 for an answer below 400, 1 for another or none, 2 for words that make no sense. A URL instead of a path
says which host, port and scheme the visitor is to have typed.

  runfcgi get socket=/run/mysite.sock /
  runfcgi get protocol=ajp port=3033 secret=s3cret -v https://example.org/page?x=1
`;

type Options = OptionsOf<typeof table>;

const DEFAULT_TIMEOUT = 30;
/** Bytes of an answer that are kept to say what it looks like. */
const MAX_BEGINNING = 256;

/** What `get help` prints. */
export const help = (): string => commandHelp(usage, table);

/** Runs the command and resolves with the exit status. */
export async function run(words: readonly string[]): Promise<number> {
  const { options, plain: targets } = readWords(words, table);
  if (targets.length !== 1) {
    throw new UsageError(
      targets.length === 0 ? "get what? Give a path such as / or a URL" : `get one of ${targets.join(" and ")}`,
    );
  }
  const { protocol = "fcgi" } = options;
  const address = endpointOf(options);
  if (options.keep && (protocol === "scgi" || protocol === "uwsgi")) {
    throw new UsageError(`${protocol} has one request for each connection: leave out keep`);
  }
  const body = bodyOf(options.data);
  const asked: Asked = { address, protocol, params: paramsOf(targets[0], options, body), body, options };
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

/** The variables that a web server would send for this request, and those that were given. */
export function paramsOf(target: string, options: Options, body: Uint8Array | undefined): Params {
  const [, scheme, authority, path] = /^(?:(https?):\/\/([^/?#]+))?([^#]*)/i.exec(target)!;
  if (scheme === undefined && !target.startsWith("/")) {
    throw new UsageError(`get what? "${target}" is neither a path that begins with a slash nor a URL with http`);
  }
  const headers = (options.header ?? []).flatMap((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), encodeText(line.slice(colon + 1).trim())];
  });
  if (!headers.some((name, i) => i % 2 === 0 && /^host$/i.test(name))) headers.unshift("Host", authority ?? "localhost");
  const { method = body === undefined ? "GET" : "POST" } = options;
  const here = { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 80 };
  const request = {
    method,
    target: encodeText(path.startsWith("/") ? path : `/${path}`),
    version: "1.1",
    headers,
    // Over HTTP it would become a header that nobody asked for.
    addresses: options.protocol === "http" ? undefined : here,
  };
  const { pairs } = httpParams(request, "runfcgi get");
  const set = (name: string, value: string) => {
    for (let i = pairs.length - 2; i >= 0; i -= 2) if (pairs[i] === name) pairs.splice(i, 2);
    pairs.push(name, value);
  };
  if (/^https$/i.test(scheme ?? "")) {
    set("HTTPS", "on");
    set("REQUEST_SCHEME", "https");
    if (!/:\d+$/.test(authority)) set("SERVER_PORT", "443");
  }
  if (body !== undefined && !pairs.includes("CONTENT_LENGTH")) set("CONTENT_LENGTH", String(body.length));
  for (const given of options.param ?? []) {
    const at = given.indexOf("=");
    set(given.slice(0, at), encodeText(given.slice(at + 1)));
  }
  return new Params(pairs);
}

async function once(asked: Asked): Promise<number> {
  let length = 0;
  const { head } = await exchange(asked, undefined, async (head, body) => {
    if (asked.options.include) process.stderr.write(headText(head));
    for await (const bytes of body) {
      length += bytes.length;
      await written(bytes);
    }
  });
  if (head.status >= 400) process.stderr.write(`runfcgi: the answer is ${head.status} ${head.reason}`.trimEnd() + "\n");
  const declared = declaredLength(head, asked.params);
  const cut = declared !== undefined && length < declared;
  if (cut) {
    process.stderr.write(`runfcgi: the body was cut off after ${length} of ${declared} bytes; the program's log says why\n`);
  }
  return head.status < 400 && !cut ? 0 : 1;
}

/** Bytes that a body is to have, as its head says. */
function declaredLength({ status, headers }: ResponseHead, params: Params): number | undefined {
  if (params.get("REQUEST_METHOD") === "HEAD" || status === 204 || status === 304) return undefined;
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "content-length");
  return at < 0 ? undefined : Number(headers[at + 1]);
}

/** Sends the request many times, one after the other. */
async function repeatedly(asked: Asked, times: number): Promise<number> {
  const keeper = asked.options.keep ? new ConnectionKeeper() : undefined;
  const took: number[] = [];
  const failures = new Map<string, number>();
  let connections = 0;
  for (let i = 0; i < times; i++) {
    try {
      const { head, milliseconds, connected } = await exchange(asked, keeper, async (_head, body) => {
        for await (const _bytes of body);
      });
      connections += connected;
      took.push(milliseconds);
      if (head.status >= 400) add(failures, `the answer is ${head.status} ${head.reason}`.trimEnd());
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      add(failures, error.message);
    }
  }
  keeper?.close();
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const kept = keeper ? `, over ${connections} connection${connections === 1 ? "" : "s"}` : "";
  process.stderr.write(`${times} requests, ${failed} failed${timesText(took)}${kept}\n`);
  for (const [reason, count] of failures) process.stderr.write(`  ${count} × ${reason}\n`);
  return failed > 0 ? 1 : 0;
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Least, middle and most of the milliseconds. */
export function timesText(milliseconds: readonly number[]): string {
  if (milliseconds.length === 0) return "";
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  const [min, max] = [sorted[0], sorted[sorted.length - 1]];
  return `: min ${min.toFixed(2)} ms, median ${median.toFixed(2)} ms, max ${max.toFixed(2)} ms`;
}

interface Answered {
  head: ResponseHead;
  milliseconds: number;
  /** Connections that were made for it. */
  connected: number;
}

/**
 * One request with its whole answer.
 *
 * @throws {CommandError} saying why there is no answer
 */
async function exchange(
  { address, protocol, params, body, options }: Asked,
  keeper: ConnectionKeeper | undefined,
  consume: (head: ResponseHead, body: ReadableStream<Uint8Array>) => Promise<void>,
): Promise<Answered> {
  const { timeout = DEFAULT_TIMEOUT, secret, packetsize } = options;
  const show = options.verbose ? new Timeline() : undefined;
  const [sending, receiving] = (["request", "response"] as const).map((side) => dissect(protocol, side, isSecret));
  let connected = 0;
  let hasSent = false;
  let received: Uint8Array = new Uint8Array(0);
  let timedOut = false;
  const observer: ClientObserver = {
    connected() {
      connected++;
      show?.note(`connected to ${formatAddress(address)}`);
    },
    sent(bytes) {
      hasSent = true;
      show?.lines(">", sending, bytes);
    },
    received(bytes) {
      if (received.length < MAX_BEGINNING) received = Buffer.concat([received, bytes]).subarray(0, MAX_BEGINNING);
      show?.lines("<", receiving, bytes);
    },
    ended: () => show?.note("the server sends no more"),
  };
  const attempt = async (): Promise<Answered> => {
    const abort = new AbortController();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timedOut = true;
      const error = new Error("Too late");
      abort.abort(error);
      reject(error);
    }, timeout * 1000);
    const onStderr = (text: string) => void process.stderr.write(`error log: ${text.trimEnd()}\n`);
    const chunks = body && Readable.from([body]);
    const { signal } = abort;
    const begun = performance.now();
    try {
      const wanted = {
        address,
        protocol,
        params,
        body: chunks,
        secret,
        packetSize: packetsize,
        signal,
        keeper,
        onStderr,
        observer,
      };
      const response = await Promise.race([request(wanted), late]);
      await Promise.race([consume(response.head, response.body), late]);
      show?.note("the answer is complete");
      return { head: response.head, milliseconds: performance.now() - begun, connected };
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    // A server may close a kept connection at any moment. Web servers then send the request again.
    return await attempt().catch((error) => {
      const lost = keeper !== undefined && connected === 0 && hasSent && received.length === 0 && !timedOut;
      if (lost) return attempt();
      throw error;
    });
  } catch (reason) {
    if (reason instanceof CommandError) throw reason;
    const error = reason instanceof Error ? reason : new Error(String(reason));
    if (!hasSent && !timedOut && connected === 0) throw new CommandError(connectFailure(error, address));
    throw new CommandError(answerFailure({ error, protocol, received, timedOut, timeout }));
  }
}
