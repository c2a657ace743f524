// Written by "deno task types" from src/app/library.ts.
import type { IncomingMessage, ServerResponse } from "node:http";
/**
 * Facts about a request that a `Request` has no place for: a plain object whose properties are made when they are first
 * looked at. Frameworks may copy it and put properties of their own on it.
 */
export interface ServeInfo {
  /**
   * The visitor's address in the shape of Deno's `ServeHandlerInfo`, from REMOTE_ADDR and REMOTE_PORT (RFC 3875, 4.1.8).
   * `hostname` is `""` and `port` 0 if the web server sent none.
   */
  readonly remoteAddr: {
    readonly transport: "tcp";
    readonly hostname: string;
    readonly port: number;
  };
  /**
   * The visitor's address in the shape of `requestIP()` of Bun's server, `null` if the web server sent none.
   *
   * @param request is ignored: the address is that of this request
   */
  requestIP(request?: Request): {
    readonly address: string;
    readonly family: "IPv4" | "IPv6";
    readonly port: number;
  } | null;
  /**
   * Every CGI variable as received. Bytes that are valid UTF-8 are decoded as such, others as Latin-1. Repeated
   * request headers are joined with `, `, cookies with `; `; of other repeated names the last counts.
   */
  readonly params: Readonly<Record<string, string>>;
  /** The protocol that the request came over. */
  readonly protocol: ProtocolName;
  /** What the web server asks for; anything but `responder` only where `roles` allows it. */
  readonly role: Role;
  /**
   * The URL as the visitor typed it. It differs from the request's where the web server went elsewhere, in a subrequest
   * or after an internal redirect, and the visitor chooses it: what a visitor may see is to be decided by the request's.
   */
  readonly visitorUrl: string;
  /** The part of the URL's path that leads to the application, decoded: `""`, `/app`. */
  readonly scriptName: string;
  /** The rest of the URL's path, decoded; an encoded slash stays so where the web server may not take it for a slash. */
  readonly pathInfo: string;
  /** The file that a Filter is to filter, `null` for the other roles. */
  readonly data: ReadableStream<Uint8Array<ArrayBuffer>> | null;
  /** Writes to the web server's error log, where the protocol can; otherwise to standard error. */
  stderr(text: string): void;
  /** Resolves when the response has been handed over, rejects when it could not be. */
  readonly completed: Promise<void>;
  /**
   * Has the server wait for work that goes on after the response, such as sending a mail: until the promise settles, the
   * request counts as in flight. A stop waits no longer than its grace. A rejection is reported like an error of the handler.
   */
  waitUntil(work: Promise<unknown>): void;
  /**
   * Tells the visitor's browser what the page will need while it is still being made: an interim response with the status
   * 103 (RFC 8297). It is sent only over HTTP/1.1 and with the option `earlyHints`, since some web servers break on it.
   *
   * @example
   *     info.earlyHints({ link: "</style.css>; rel=preload; as=style" });
   *
   * @returns whether it was sent
   * @throws {TypeError} for an invalid header
   */
  earlyHints(headers: Headers | Record<string, string> | [name: string, value: string][]): boolean;
  /**
   * Accepts a WebSocket (RFC 6455), as `Deno.upgradeWebSocket()` does: the socket is open when the handler has returned the
   * response. A stop or a reload closes it with 1001; what the visitor has sent until he answers that still arrives.
   *
   * Only `protocol=http` can carry one. Over another protocol the response is a page with status 426, the log says why, and
   * the socket has the events `error` and `close`; so it is for a handshake that is invalid.
   *
   * @example
   *     const { socket, response } = info.upgradeWebSocket(request);
   *     socket.onmessage = ({ data }) => socket.send(data);
   *     return response;
   *
   * @param request is ignored: it is this request
   * @throws {TypeError} if the request asks for no WebSocket, or not for that `protocol`, or if an option is invalid
   */
  upgradeWebSocket(request?: Request, options?: UpgradeWebSocketOptions): WebSocketUpgrade;
}
/** How a WebSocket behaves. */
export interface UpgradeWebSocketOptions {
  /** The subprotocol to choose (Sec-WebSocket-Protocol), one of those that the request asks for; default is none. */
  protocol?: string;
  /**
   * Seconds in which nothing comes from the visitor, a ping not being answered either, after which the connection ends;
   * 0 for no limit. Default is 60; the ping goes out after half of it.
   */
  idleTimeout?: number;
  /** Bytes that a message of the visitor may have; default is 16 MiB. A longer one closes the socket with 1009. */
  maxPayloadLength?: number;
}
/** A WebSocket, and the response that opens it. */
export interface WebSocketUpgrade {
  /**
   * A standard `WebSocket`. It also has an event `drain` when all that waited to be sent has left, so that
   * `bufferedAmount` is 0 again.
   */
  readonly socket: WebSocket;
  /** What the handler has to return. Headers may be added to it. */
  readonly response: Response;
}
/** A fetch handler: the application. */
export type Handler = (request: Request, info: ServeInfo) => Response | Promise<Response>;
/** Where an error came up. */
export interface ErrorContext {
  /** What failed, such as `GET /path` or the address of a peer: one line, with control characters escaped. */
  during: string;
  /** Params of the request, if there was one. */
  params?: Readonly<Record<string, string>>;
  /** The beginning of the request's body as it came, if it is kept. */
  body?: Uint8Array;
  /** Status that the visitor gets for an error of the handler: 500, or 504 when it took too long. Missing for other errors. */
  status?: number;
}
/**
 * Called for every error. For an error of the handler it can return the response; otherwise the visitor gets a plain
 * page. After a timeout nothing waits for a promise of one.
 */
export type OnError = (error: Error, context: ErrorContext) => Response | void | Promise<Response | void>;
/**
 * Why `request.signal` was aborted: nobody waits for the response any more.
 *
 * @example
 * ```ts
 * import { AbortedError, serve } from "runfcgi";
 *
 * await using server = await serve({ port: 0 }, ({ signal }) => {
 *   signal.addEventListener("abort", () => {
 *     if (signal.reason instanceof AbortedError) console.log("The visitor has left");
 *   });
 *   return new Response("Hello\n");
 * });
 * ```
 */
export class AbortedError extends Error {
  /** `"AbortError"`, as that of the platform. */
  name: string;
}
/** Limits of a server. Sizes are in bytes, times in seconds. */
export interface Limits extends CodecLimits {
  /**
   * Connections at once; the limit of open files may allow fewer. The longest idle ones are closed for new ones, which wait
   * in the kernel, or are refused with 503 where a listener cannot pause (it can on an inherited descriptor).
   */
  maxConnections: number;
  /** Body bytes of a connection that wait for the application; above it the connection is not read. */
  maxUnread: number;
  /** Body bytes that are read and dropped after an early response; above it the connection is reset. */
  maxDiscard: number;
  /**
   * Body bytes of a request that wait in a file while its response waits for them or is not taken; all requests of a
   * process may have four times as many. Above it the request is refused or cut.
   */
  maxSpool: number;
  /** The head of a request, from its first byte to its last. */
  headTimeout: number;
  /** A peer that sends nothing in the middle of a request. */
  readTimeout: number;
  /** A peer that takes nothing of a response. */
  writeTimeout: number;
  /** A connection without a request. */
  idleTimeout: number;
  /** A connection whose response is complete and whose peer does not close it. */
  lingerTimeout: number;
}
/**
 * Defaults of {@linkcode Limits}. Web servers give up sooner (60 s, mostly), so the timeouts only clean up after them.
 *
 * @example
 * ```ts
 * import { defaultLimits, serve } from "runfcgi";
 *
 * const limits = { maxParamsBytes: 2 * defaultLimits.maxParamsBytes };
 * await using server = await serve({ port: 0, limits }, () => new Response("Hello\n"));
 * ```
 */
export const defaultLimits: Limits;
/** A header by which the web server is told to send a file itself. */
export type SendFile =
  /**
   * The path in the file system, without symbolic links: Apache with mod_xsendfile, lighttpd with
   * `"x-sendfile" => "enable"`. They do not agree about a path with `%` in it, which is sent from here.
   */
  | {
    header: "x-sendfile";
  }
  /** A URL below a location that nginx serves to nobody else: `prefix`, the prefix of the static files, and the file. */
  | {
    header: "x-accel-redirect";
    prefix: string;
  };
/** What to serve. */
export interface StaticOptions {
  /** Path below the application's mount, with a slash at both ends: `/media/`. */
  prefix: string;
  /** The folder, relative to the working directory. */
  folder: string;
  /** Hands files over to the web server, which then answers ranges and conditions, too. */
  sendFile?: SendFile;
}
/**
 * Answers GET and HEAD below `prefix` with the files of a folder; the rest goes to the next handler. What is not there
 * is a 404, except below the prefix `/`, where the next handler is asked. A folder is its `index.html`; there are no
 * listings. Private files are not served: sources, names that begin with a dot (except `.well-known`, RFC 8615), leftovers
 * of editors, databases, settings, locks, keys, logs, and archives outside of a folder `downloads`; see `private.ts`. Nor is
 * what a symbolic link out of the folder leads to.
 *
 * `name.br` and `name.gz` are sent in place of `name` to who takes them, unless they are older.
 *
 * @example
 * ```ts
 * import { serve, staticFiles } from "runfcgi";
 *
 * const files = staticFiles({ prefix: "/media/", folder: "./media" });
 * await using server = await serve({ port: 0 }, files(() => new Response("Hello\n")));
 * ```
 *
 * @throws {TypeError} when there is no such folder, or the prefix is invalid
 */
export function staticFiles(options: StaticOptions): (next: Handler) => Handler;
/** A listener for requests, as `http.createServer()` takes it. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown;
/**
 * The fetch handler that calls a Node-style listener: an Express application, what Koa's `callback()` returns, or a
 * listener of your own. Headers, URL and `socket.remoteAddress` are the visitor's; `request.socket.info` is the
 * {@linkcode ServeInfo}.
 *
 * @example
 * ```ts
 * import { nodeHandler, serve } from "runfcgi";
 *
 * const handler = nodeHandler((request, response) => {
 *   response.end(`${request.socket.remoteAddress} asked for ${request.url}\n`);
 * });
 * await using server = await serve({ port: 0 }, handler);
 * ```
 */
export function nodeHandler(listener: NodeListener): Handler;
/** A running server. */
export interface Server extends AsyncDisposable {
  /** What it speaks. */
  readonly protocol: EndpointProtocol;
  /** Where it listens. */
  readonly address: Address;
  /** Resolves when the server is shut down and its last connection is closed. Never rejects. */
  readonly finished: Promise<void>;
  /**
   * Stops listening, lets requests in flight finish, and closes their connections. Called again, it can only become
   * stricter.
   *
   * @param grace seconds after which requests in flight are cut; default 30
   * @returns a promise like {@linkcode Server.finished}
   */
  shutdown(grace?: number): Promise<void>;
  /** Keeps the process running as long as the server listens, which is the default. */
  ref(): void;
  /** Lets the process end although the server listens. */
  unref(): void;
  /** The same as {@linkcode Server.shutdown} with its default: for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
/**
 * Serves a fetch handler to web servers over FastCGI, SCGI, AJP, uwsgi or HTTP.
 *
 * Over FastCGI and TCP only the addresses in the environment variable FCGI_WEB_SERVER_ADDRS may connect, where that is set
 * (FastCGI 1.0, section 3.2).
 *
 * @example
 * ```ts
 * import { serve } from "runfcgi";
 *
 * await using server = await serve({ port: 0 }, (request, info) => {
 *   return new Response(`${info.remoteAddr.hostname} asked for ${new URL(request.url).pathname}\n`);
 * });
 * console.log("Serving on", server.address);
 * ```
 *
 * @param options an endpoint (`socket`, `port` or `fd`), and how to serve there
 * @param handler a function, or an object with one called `fetch`, such as a Hono application
 * @returns the server, once the endpoint accepts connections
 * @throws {ListenError} when the endpoint cannot be listened on
 * @throws {TypeError} unless exactly one endpoint is given, or if an option does not exist or is invalid, or
 * FCGI_WEB_SERVER_ADDRS is
 */
export function serve(
  options: ServeOptions & ServeEndpoint,
  handler: Handler | {
    fetch: Handler;
  },
): Promise<Server>;
/** Where to listen: a Unix socket, a TCP port, or a listening socket that this process inherited. */
export type ServeEndpoint = {
  /** Path of a Unix socket, at most 107 bytes. A stale file is replaced, a live one is an error. */
  socket: string;
  /** Permissions of the socket, such as `0o660`; default is what the umask leaves. */
  mode?: number;
  host?: undefined;
  port?: undefined;
  fd?: undefined;
} | {
  /** TCP port, 0 to 65535; 0 for one of the kernel's choice. */
  port: number;
  /** Address to listen on; default `127.0.0.1`. */
  host?: string;
  socket?: undefined;
  mode?: undefined;
  fd?: undefined;
} | {
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
/**
 * The endpoint cannot be listened on: the message says why in one line, and what to do.
 *
 * @example
 * ```ts
 * import { ListenError, serve } from "runfcgi";
 *
 * try {
 *   await using server = await serve({ socket: "/no/such/folder/hello.sock" }, () => new Response("Hello\n"));
 * } catch (error) {
 *   if (!(error instanceof ListenError)) throw error;
 *   console.error(error.message);
 * }
 * ```
 */
export class ListenError extends PlainError {
  /** `"ListenError"` */
  name: string;
  /** Another server listens there, which may be about to stop. */
  inUse: boolean;
}
/**
 * Its message says all there is to say in one line: what was wrong, with which value, what to do. No stack is shown.
 *
 * @example
 * ```ts
 * import { PlainError, serve } from "runfcgi";
 *
 * try {
 *   await using server = await serve({ socket: "/no/such/folder/hello.sock" }, () => new Response("Hello\n"));
 * } catch (error) {
 *   console.error(error instanceof PlainError ? error.message : error);
 * }
 * ```
 */
export class PlainError extends Error {
  /** `"PlainError"` */
  name: string;
}
/** Where a socket listens or what it is connected to. */
export type Address = {
  transport: "unix";
  path: string;
} | {
  transport: "tcp";
  hostname: string;
  port: number;
};
/** What the web server asks of the application (FastCGI 1.0, section 6; the other protocols know only `responder`). */
export type Role = "responder" | "authorizer" | "filter";
/** A protocol that a request can come over; `cgi` is one process for one request. */
export type ProtocolName = "fcgi" | "scgi" | "ajp" | "uwsgi" | "http" | "cgi";
/** Bounds on what one connection may make the server hold. */
export interface CodecLimits {
  /** Bytes of all names and values of one request. */
  maxParamsBytes: number;
  /** Number of params of one request. */
  maxParams: number;
  /** Requests in flight at once on one connection. */
  maxConcurrent: number;
}
/** A protocol that is spoken on sockets. */
export type ListeningProtocol = Exclude<ProtocolName, "cgi">;
/** What an endpoint speaks: one protocol, or `auto` for the one that each connection speaks. */
export type EndpointProtocol = ListeningProtocol | "auto";
/**
 * Headers of a trusted proxy besides X-Forwarded-For and X-Forwarded-Proto: X-Forwarded-Host, -Port and -Prefix, and
 * Forwarded. Many proxies pass them on as the visitor sent them.
 */
export type TrustedHeader = "host" | "port" | "prefix" | "forwarded";
/** The URL that the visitor typed, or the one that the web server went to. */
export type UrlChoice = "visitor" | "target";
