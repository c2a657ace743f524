/**
 * What an application is, and what it gets besides the `Request`.
 *
 * @module
 */
import type { ProtocolName, Role } from "../protocol/protocol.ts";

/**
 * Facts about a request that a `Request` has no place for: a plain object whose properties are made when they are first
 * looked at. Frameworks may copy it and put properties of their own on it.
 */
export interface ServeInfo {
  /**
   * The visitor's address in the shape of Deno's `ServeHandlerInfo`, from REMOTE_ADDR and REMOTE_PORT (RFC 3875, 4.1.8).
   * `hostname` is `""` and `port` 0 if the web server sent none.
   */
  readonly remoteAddr: { readonly transport: "tcp"; readonly hostname: string; readonly port: number };
  /**
   * The visitor's address in the shape of `requestIP()` of Bun's server, `null` if the web server sent none.
   *
   * @param request is ignored: the address is that of this request
   */
  requestIP(
    request?: Request,
  ): { readonly address: string; readonly family: "IPv4" | "IPv6"; readonly port: number } | null;
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
  override name = "AbortError";
}
