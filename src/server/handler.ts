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
  /** The rest of the URL's path, decoded. */
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

/** Why `request.signal` was aborted: nobody waits for the response any more. */
export class AbortedError extends Error {
  /** `"AbortError"`, as that of the platform. */
  override name = "AbortError";
}
