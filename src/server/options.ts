/**
 * The options of a server: their types, and a check for callers without types.
 *
 * @module
 */
import type { UrlChoice } from "../gateway/url.ts";
import { type TrustedHeader, trustedHeaders } from "../protocol/http/forwarded.ts";
import { labels, type Role } from "../protocol/protocol.ts";
import type { EndpointProtocol } from "../protocol/protocols.ts";
import type { Rights } from "../runtime/rights.ts";
import type { Address, Endpoint } from "../runtime/socket.ts";
import type { CaptureOptions } from "./capture.ts";
import type { OnError } from "./handler.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { RequestObserver } from "./monitor.ts";

/** Where to listen: a Unix socket, a TCP port, or a listening socket that this process inherited. */
export type ServeEndpoint =
  | {
    /** Path of a Unix socket, at most 107 bytes. A stale file is replaced, a live one is an error. */
    socket: string;
    /** Permissions of the socket, such as `0o660`; default is what the umask leaves. */
    mode?: number;
    host?: undefined;
    port?: undefined;
    fd?: undefined;
  }
  | {
    /** TCP port, 0 to 65535; 0 for one of the kernel's choice. */
    port: number;
    /** Address to listen on; default `127.0.0.1`. */
    host?: string;
    socket?: undefined;
    mode?: undefined;
    fd?: undefined;
  }
  | {
    /** Descriptor of a listening socket, such as 0. */
    fd: number;
    socket?: undefined;
    mode?: undefined;
    host?: undefined;
    port?: undefined;
  };

/** How to serve. Times are in seconds, sizes in bytes. */
export interface ServeOptions {
  /** What the web server speaks, or `auto` to detect it for each connection; default `fcgi`. */
  protocol?: EndpointProtocol;
  /** Connections that the kernel holds until they are accepted; default 511. Bun always asks for 512. */
  backlog?: number;
  /**
   * The secret that every AJP request has to contain. Without one, AJP is refused on an address that other
   * machines can reach, unless this is `"none"`.
   */
  secret?: string;
  /** Length of AJP packets, from 8192 to 65536; default 8192. Set any other in the web server as well. */
  packetSize?: number;
  /**
   * Trusted proxies: when REMOTE_ADDR, or over HTTP the peer, is one of them, the visitor is who X-Forwarded-For says, and
   * the scheme is that of X-Forwarded-Proto. Addresses, networks such as `10.0.0.0/8`, and the names `loopback`, `private`,
   * `cloudflare` (which has the visitor in CF-Connecting-IP) and `all`. Default is none; over HTTP the clients of a Unix
   * socket are always trusted.
   */
  trust?: readonly string[];
  /**
   * Further headers of trusted proxies to use: X-Forwarded-Host, -Port and -Prefix, and Forwarded (RFC 7239). Default is none,
   * since many proxies pass them on as the visitor sent them.
   */
  trustHeaders?: readonly TrustedHeader[];
  /**
   * Connections over HTTP begin with the PROXY protocol, version 1 or 2, which says where the visitor's came from; others are
   * closed, and so are those of peers that are not in `trust`. Default is `false`.
   */
  proxyProtocol?: boolean;
  /**
   * Where the application is mounted: `/app`, or `""` for the root of the host. Default is derived from the params.
   * It is added to a `request.url` that is not below it.
   */
  scriptName?: string;
  /**
   * What `request.url` is where a web server answers a visitor by asking for another URL, in a subrequest or after an
   * internal redirect: the `visitor`'s URL, or the web server's `target`. Default is the target, and the visitor's where
   * the web server went to the program as a file, to answer any URL.
   */
  urlFrom?: UrlChoice;
  /**
   * Paths of files that stand for the program where a web server leads all URLs to one file, such as `/index.php`. Not
   * needed for `.fcgi` files behind Apache, lighttpd and LiteSpeed, which start programs.
   */
  frontControllers?: readonly string[];
  /** FastCGI roles that the handler plays; default `["responder"]`. */
  roles?: readonly Role[];
  /** Seconds that the application has for a request; then the visitor gets a 504. Default is no limit. */
  timeout?: number;
  /**
   * Sends the head of a response at once, and not when the body of the request has been taken in: for web servers and
   * clients that read and write at the same time. Behind others, a response and an upload that cross would deadlock.
   */
  duplex?: boolean;
  /**
   * Sends early hints (103) over HTTP, for web servers that pass them on, such as Apache, Caddy, HAProxy and lighttpd; nginx
   * before 1.29 breaks on them. Default is `false`.
   */
  earlyHints?: boolean;
  /** Folder for request bodies that arrive before the application reads them; default is `os.tmpdir()`. */
  spoolDir?: string;
  /** Limits that differ from {@linkcode defaultLimits}. */
  limits?: Partial<Limits>;
  /** Aborting it shuts the server down. */
  signal?: AbortSignal;
  /** Called when the endpoint accepts connections. */
  onListen?: (address: Address) => void;
  /** Called for errors; default prints them to standard error. */
  onError?: OnError;
  /**
   * Wraps the globals `Request`, `Response` and `fetch` permanently; default is `false`. With it `new Request(request)` and
   * `fetch(request)` take the handler's request on Deno and Node, as they do on Bun; on Bun a `Response` made of text gets
   * its content type, as it does on Deno and Node; and a `Response` made of text or bytes costs less to send.
   */
  patchGlobals?: boolean;
}

/** An endpoint that is still to be checked. */
export interface GivenEndpoint {
  socket?: string;
  mode?: number;
  host?: string;
  port?: number;
  fd?: number;
}

/** Further options for a supervisor. */
export interface WorkerServeOptions extends ServeOptions {
  /**
   * Requests at once, above which new connections are left to other processes that listen on the same inherited
   * descriptor; default is no limit.
   */
  concurrency?: number;
  /** Threads of this process that serve, and share its limit of open files; default 1. */
  threads?: number;
  /** Other listeners in this process share the inherited descriptor: it stays open after a shutdown. */
  shared?: boolean;
  /** The user that root makes a Unix socket for. */
  owner?: Rights;
  /** Called when a request begins and ends. */
  observer?: RequestObserver;
  /** Bytes of a request's body that `onError` gets to see; default is none. */
  shownBody?: number;
  /** Keeps the bytes of requests that fail; default is none. */
  capture?: CaptureOptions;
}

/** What a value has to be. */
interface Check {
  expected: string;
  fits(value: unknown): boolean;
}

const number = (least: number, most: number, expected: string, whole = true): Check => ({
  expected,
  fits: (value) => typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value)),
});
const listOf = (known: readonly string[]): Check => ({
  expected: `an array of ${known.map((word) => `"${word}"`).join(", ")}`,
  fits: (value) => Array.isArray(value) && value.every((word) => known.includes(word)),
});
const oneOf = (known: readonly string[]): Check => ({
  expected: known.map((word) => `"${word}"`).join(" or "),
  fits: (value) => known.some((word) => word === value),
});
const text: Check = { expected: "a string", fits: (value) => typeof value === "string" };
const texts: Check = {
  expected: "an array of strings",
  fits: (value) => Array.isArray(value) && value.every((word) => typeof word === "string"),
};
const boolean: Check = { expected: "true or false", fits: (value) => typeof value === "boolean" };
const call: Check = { expected: "a function", fits: (value) => typeof value === "function" };

const checks: Readonly<Record<Exclude<keyof (ServeOptions & ServeEndpoint), "limits">, Check>> = {
  socket: { expected: "a path", fits: (value) => typeof value === "string" && value !== "" && !value.includes("\0") },
  mode: number(0, 0o777, "permissions from 0 to 0o777"),
  host: text,
  port: number(0, 65535, "a port from 0 to 65535"),
  fd: number(0, 2 ** 31 - 1, "a descriptor"),
  protocol: oneOf(Object.keys(labels)),
  backlog: number(1, 2 ** 31 - 1, "a whole number above 0"),
  secret: { expected: "a string that is not empty", fits: (value) => typeof value === "string" && value !== "" },
  packetSize: number(8192, 65536, "a number of bytes from 8192 to 65536"),
  trust: texts,
  trustHeaders: listOf(trustedHeaders),
  proxyProtocol: boolean,
  scriptName: text,
  urlFrom: oneOf(["visitor", "target"]),
  frontControllers: texts,
  roles: listOf(["responder", "authorizer", "filter"] satisfies Role[]),
  timeout: {
    ...number(0, 1e6, "a number of seconds above 0", false),
    fits: (value) => typeof value === "number" && value > 0 && value <= 1e6,
  },
  duplex: boolean,
  earlyHints: boolean,
  spoolDir: text,
  signal: { expected: "an AbortSignal", fits: (value) => value instanceof AbortSignal },
  onListen: call,
  onError: call,
  patchGlobals: boolean,
};
const limit = number(0, Number.MAX_SAFE_INTEGER, "a number that is not negative", false);

/** @throws {TypeError} for an option that does not exist, or whose value is of another kind */
export function expectOptions(options: unknown): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`The options are ${shown(options)}, expected an object`);
  }
  const { limits = {}, ...others } = options as { limits?: unknown };
  expectEach(others, checks, "");
  if (typeof limits !== "object" || limits === null) throw new TypeError(`limits is ${shown(limits)}, expected an object`);
  expectEach(limits, Object.fromEntries(Object.keys(defaultLimits).map((name) => [name, limit])), "limits.");
}

function expectEach(given: object, known: Readonly<Record<string, Check>>, prefix: string): void {
  for (const [name, value] of Object.entries(given)) {
    const check = Object.hasOwn(known, name) ? known[name] : undefined;
    if (check === undefined) throw new TypeError(`There is no option ${prefix}${name}, only ${Object.keys(known).join(", ")}`);
    if (value !== undefined && !check.fits(value)) {
      throw new TypeError(`${prefix}${name} is ${shown(value)}, expected ${check.expected}`);
    }
  }
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : Array.isArray(value) ? JSON.stringify(value) : String(value);
}

/** @throws {TypeError} unless there is exactly one */
export function endpointOf({ socket, host, port, fd }: GivenEndpoint): Endpoint {
  const given = [socket, port, fd].filter((value) => value !== undefined);
  if (given.length !== 1) throw new TypeError("serve() takes one of the options socket, port and fd");
  if (socket !== undefined) return { transport: "unix", path: socket };
  if (port !== undefined) return { transport: "tcp", hostname: host ?? "127.0.0.1", port };
  return { transport: "fd", fd: fd! };
}
