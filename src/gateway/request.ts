/**
 * A standard `Request` from params, built as far as the application looks.
 *
 * @module
 */
import { joinRepeated, type Params, readLength, token } from "../protocol/params.ts";
import type { Connection, ConnectionHandler } from "../runtime/socket.ts";
import { requestUrl, unusualUrl, type UrlOptions, usualUrl } from "./url.ts";

/** Gets what happens on a connection that was given to another protocol. */
export interface UpgradedHandler extends ConnectionHandler {
  /** The server is stopping. */
  stop(): void;
}

/** Where a request's body, signal and completion come from. */
export interface RequestSource {
  readonly params: Params;
  /** The body: all of it if it has arrived, a stream otherwise, `null` for none. */
  takeBody(): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null;
  /** Reads all of the body instead; `undefined` for none. */
  readBody?(): Promise<Uint8Array<ArrayBuffer>> | undefined;
  /** Whether all of the request is at hand. */
  readonly received?: boolean;
  /** Aborts when the web server no longer waits for the response. */
  readonly signal: AbortSignal;
  /**
   * Gives the connection to a protocol that the request asks for, and returns it with the bytes that came after the request.
   * `undefined` where the connection carries more than this visitor's requests.
   */
  upgrade?(handler: UpgradedHandler): { connection: Connection; first: Uint8Array } | undefined;
  /** What `info.upgradeWebSocket()` does. */
  upgradeWebSocket?(options?: object): unknown;
  /** Calls a listener, which must not throw, when the response is complete, or with the reason why it will not be. */
  whenOver?(listener: (failure: Error | undefined) => void): void;
}

/** The body for who takes that of a GET, too, which a `Request` cannot have. */
export function takeAnyBody(source: RequestSource, method: string): ReturnType<RequestSource["takeBody"]> {
  if ((method === "GET" || method === "HEAD") && !source.received) {
    const { params } = source;
    const length = params.get("CONTENT_LENGTH");
    // Nothing but its end is to come.
    if ((!length || length === "0") && params.get("HTTP_TRANSFER_ENCODING") === undefined) return null;
  }
  return source.takeBody();
}

// deno-lint-ignore no-control-regex
const badValue = /[\x00\r\n]/;
/** Fetch standard, "normalize": these methods are written in capitals whatever the visitor sent. */
const normalized = /^(?:DELETE|GET|HEAD|OPTIONS|POST|PUT)$/i;
/** Fetch standard, "forbidden method": a `Request` cannot have them. */
const forbidden = /^(?:CONNECT|TRACE|TRACK)$/i;

/** Method and URL of a request, or why it cannot be given to the application. */
export type RequestLine =
  | { method: string; url: string; isNormalized: boolean; status?: undefined }
  | { status: 400 | 405; reason: string };

/**
 * Checks what a `Request` cannot be built without.
 *
 * @param options as for {@linkcode requestUrl}
 */
export function requestLine(params: Params, options?: UrlOptions): RequestLine {
  const method = params.get("REQUEST_METHOD") || "GET";
  if (method === "GET" || method === "POST") return lineOf(method, params, options);
  if (!token.test(method)) return { status: 400, reason: `invalid method ${JSON.stringify(method)}` };
  if (forbidden.test(method)) return { status: 405, reason: `the method ${method} is not allowed` };
  return lineOf(normalized.test(method) ? method.toUpperCase() : method, params, options);
}

function lineOf(method: string, params: Params, options: UrlOptions | undefined): RequestLine {
  const usual = usualUrl(params, options);
  if (usual !== undefined) return { method, url: usual, isNormalized: true };
  const url = unusualUrl(params, options);
  if (url === undefined) return { status: 400, reason: whyNoUrl(params) };
  return { method, url, isNormalized: false };
}

function whyNoUrl(params: Params): string {
  if (requestUrl(params, { urlFrom: "visitor" }) === undefined) {
    return `invalid host ${JSON.stringify(params.get("HTTP_HOST") ?? "")}`;
  }
  return "dots in the path that lead out of the application, or that web servers resolve in different ways";
}

/** Names of headers by their params: the same few come again and again. */
const headerNames = new Map<string, string>();
const MAX_HEADER_NAMES = 500;

function headerName(param: string): string {
  const known = headerNames.get(param);
  if (known !== undefined) return known;
  const name = param.slice(5).replaceAll("_", "-").toLowerCase();
  if (headerNames.size < MAX_HEADER_NAMES && name.length < 50) headerNames.set(param, name);
  return name;
}

/** Names in lower case and values of a request's headers in turn, each name once. */
export function headerPairs(params: Params): string[] {
  const found: string[] = [];
  let authorization: string | undefined;
  let redirects = Infinity;
  const { pairs } = params;
  for (let i = 0; i < pairs.length; i += 2) {
    const param = pairs[i];
    const value = pairs[i + 1];
    if (param.startsWith("HTTP_")) {
      const name = headerName(param);
      // A "Proxy" header would become HTTP_PROXY for the application's child processes (httpoxy). The body's length
      // and type have params of their own, and the body is no longer in chunks.
      if (name === "proxy" || name === "content-length" || name === "content-type" || name === "transfer-encoding") continue;
      const at = indexOfName(found, name);
      if (at < 0) found.push(name, value);
      else found[at + 1] = joinRepeated(param, found[at + 1], value);
    } else if (param === "CONTENT_TYPE") {
      if (value) setPair(found, "content-type", value);
    } else if (param === "CONTENT_LENGTH") {
      // Caddy sends -1 and nginx nothing for a length that is not known.
      if (readLength(value) !== undefined) setPair(found, "content-length", value);
    } else if (param.endsWith("_HTTP_AUTHORIZATION") && value) {
      // Apache gives a variable one REDIRECT_ for each internal redirect.
      const depth = redirectDepth(param);
      if (depth < redirects) [redirects, authorization] = [depth, value];
    }
  }
  if (authorization !== undefined) {
    const at = indexOfName(found, "authorization");
    if (at < 0 || found[at + 1] === "") setPair(found, "authorization", authorization);
  }
  let kept = 0;
  for (let i = 0; i < found.length; i += 2) {
    if (!token.test(found[i]) || badValue.test(found[i + 1])) continue;
    if (kept !== i) [found[kept], found[kept + 1]] = [found[i], found[i + 1]];
    kept += 2;
  }
  found.length = kept;
  return found;
}

function indexOfName(pairs: readonly string[], name: string): number {
  for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === name) return i;
  return -1;
}

function setPair(pairs: string[], name: string, value: string): void {
  const at = indexOfName(pairs, name);
  if (at < 0) pairs.push(name, value);
  else pairs[at + 1] = value;
}

/** The headers of a request. */
export function requestHeaders(params: Params): Headers {
  const headers = new Headers();
  const pairs = headerPairs(params);
  for (let i = 0; i < pairs.length; i += 2) headers.append(pairs[i], pairs[i + 1]);
  return headers;
}

function redirectDepth(param: string): number {
  const match = /^((?:REDIRECT_)+)HTTP_AUTHORIZATION$/.exec(param);
  return match ? match[1].length : Infinity;
}

const PlatformRequest = globalThis.Request;
const utf8 = new TextDecoder();

function isBodyless(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** A `Request` whose parts are made when they are asked for. */
class LazyRequest {
  readonly method: string;
  readonly #source: RequestSource;
  readonly #rawUrl: string;
  #url: string | undefined;
  #headers: Headers | undefined;
  #platform: Request | undefined;
  /** The body was read without the platform. */
  #isRead = false;

  constructor(source: RequestSource, method: string, url: string, isNormalized: boolean) {
    this.method = method;
    this.#source = source;
    this.#rawUrl = url;
    if (isNormalized) this.#url = url;
  }

  get url(): string {
    return this.#url ??= new URL(this.#rawUrl).href;
  }

  get headers(): Headers {
    return this.#headers ??= requestHeaders(this.#source.params);
  }

  get signal(): AbortSignal {
    return this.#source.signal;
  }

  get bodyUsed(): boolean {
    return this.#isRead || (this.#platform?.bodyUsed ?? false);
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return LazyRequest.read(this, "arrayBuffer", ({ buffer }) => buffer);
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return LazyRequest.read(this, "bytes", (bytes) => bytes);
  }

  json(): Promise<unknown> {
    return LazyRequest.read<unknown>(this, "json", (bytes) => JSON.parse(utf8.decode(bytes)));
  }

  text(): Promise<string> {
    return LazyRequest.read(this, "text", (bytes) => utf8.decode(bytes));
  }

  static is(value: unknown): value is LazyRequest {
    return typeof value === "object" && value !== null && #platform in value;
  }

  static parts(request: LazyRequest): { source: RequestSource; url: string } {
    return { source: request.#source, url: request.#rawUrl };
  }

  /** Reads all of the body, without the platform where it has not touched it yet: its `Request` costs more than the rest. */
  static read<T>(
    request: LazyRequest,
    method: "arrayBuffer" | "bytes" | "json" | "text",
    make: (bytes: Uint8Array<ArrayBuffer>) => T,
  ): Promise<T> {
    const isUntouched = !request.#platform && !request.#isRead && !isBodyless(request.method);
    const read = isUntouched ? request.#source.readBody?.() : undefined;
    if (read === undefined) return LazyRequest.platform(request)[method]() as Promise<T>;
    request.#isRead = true;
    // The rest of what it came in is not the application's.
    return read.then((bytes) => make(bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()));
  }

  /** The platform's own `Request`, for everything else. */
  static platform(request: LazyRequest): Request {
    if (request.#platform) return request.#platform;
    const { url, method, headers, signal } = request;
    // A GET has no body for `fetch`; one that was sent anyway is ignored.
    const body = isBodyless(method) ? null : request.#isRead ? new Uint8Array(0) : request.#source.takeBody();
    const init: RequestInit & { duplex: "half" } = { method, headers, signal, body, duplex: "half" };
    const platform = request.#platform = new PlatformRequest(url, init);
    // For the platform, too, it is one whose body was read.
    if (request.#isRead) platform.arrayBuffer().catch(() => {});
    return platform;
  }
}

// It says that it is a `Request`, too.
Reflect.deleteProperty(LazyRequest.prototype, "constructor");
/** All other members of this runtime's `Request` go to the platform's own object. */
for (const name of Reflect.ownKeys(PlatformRequest.prototype)) {
  if (Object.hasOwn(LazyRequest.prototype, name)) continue;
  if (name === "method" || name === "constructor" || name === Symbol.toStringTag) continue;
  const { value } = Reflect.getOwnPropertyDescriptor(PlatformRequest.prototype, name)!;
  Object.defineProperty(LazyRequest.prototype, name, {
    configurable: true,
    ...typeof value === "function"
      ? {
        value(this: LazyRequest, ...args: unknown[]) {
          return Reflect.apply(value, LazyRequest.platform(this), args);
        },
      }
      : {
        get(this: LazyRequest) {
          return Reflect.get(LazyRequest.platform(this), name);
        },
      },
  });
}
Object.setPrototypeOf(LazyRequest.prototype, PlatformRequest.prototype);

/**
 * A `Request` that is built as far as it is looked at.
 *
 * @param isNormalized whether the URL is as `new URL` gives it
 */
export function lazyRequest(source: RequestSource, method: string, url: string, isNormalized = false): Request {
  return new LazyRequest(source, method, url, isNormalized) as unknown as Request;
}

/** The platform's own object where the input is a request of ours; anything else as it is. */
export function platformRequest(input: unknown): unknown {
  return LazyRequest.is(input) ? LazyRequest.platform(input) : input;
}

/** What a request of ours is made of, its URL not yet normalized; `undefined` for any other. */
export function requestParts(request: Request): { source: RequestSource; url: string } | undefined {
  return LazyRequest.is(request) ? LazyRequest.parts(request) : undefined;
}
