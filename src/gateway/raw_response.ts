/**
 * Responses made without `new Response()`, which costs more than the rest of a request: their head and body are sent as
 * they are.
 *
 * @module
 */
import { known, type KnownBody } from "./known_body.ts";

/** What a response is made of. */
export interface ResponseParts {
  /** HTTP status. */
  status: number;
  /** Reason phrase, or "" for the usual one. */
  reason: string;
  /** Names in lower case and values in turn, which have been checked: see RFC 9110, 5.1 and 5.5. */
  headers: string[];
  /** Text is sent as UTF-8. `null` if there is none, which for HEAD says nothing about its length. */
  body: KnownBody | ReadableStream<Uint8Array<ArrayBuffer>> | null;
}

const PlatformResponse = globalThis.Response;
const encoder = new TextEncoder();

/** A `Response` whose other parts the platform makes when they are asked for. */
class RawResponse {
  readonly status: number;
  readonly statusText: string;
  [known]: KnownBody | undefined;
  readonly #parts: ResponseParts;
  #platform: Response | undefined;
  #headers: Headers | undefined;

  constructor(parts: ResponseParts) {
    const { status, reason, body } = parts;
    this.status = status;
    this.statusText = reason;
    this[known] = typeof body === "string" || body instanceof Uint8Array ? body : undefined;
    this.#parts = parts;
  }

  static is(value: unknown): value is RawResponse {
    return typeof value === "object" && value !== null && #parts in value;
  }

  /** The headers as they were given, unless they may have been changed since. */
  static pairs(response: RawResponse): string[] | undefined {
    return response.#headers ? undefined : response.#parts.headers;
  }

  static platform(response: RawResponse): Response {
    if (response.#platform) return response.#platform;
    response[known] = undefined;
    const { status, reason, body } = response.#parts;
    const bytes = typeof body === "string" ? encoder.encode(body) : body as Uint8Array<ArrayBuffer> | null;
    return response.#platform = new PlatformResponse(bytes, { status, statusText: reason, headers: response.headers });
  }

  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  get headers(): Headers {
    if (this.#headers) return this.#headers;
    const headers = new Headers();
    const pairs = this.#parts.headers;
    for (let i = 0; i < pairs.length; i += 2) headers.append(pairs[i], pairs[i + 1]);
    return this.#headers = headers;
  }

  get bodyUsed(): boolean {
    return this.#platform?.bodyUsed ?? false;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    const { body } = this.#parts;
    if (this.#platform || typeof body === "string" || body instanceof Uint8Array) return RawResponse.platform(this).body;
    return body;
  }
}

for (const name of Reflect.ownKeys(PlatformResponse.prototype)) {
  if (Object.hasOwn(RawResponse.prototype, name) || name === "status" || name === "statusText") continue;
  if (name === Symbol.toStringTag) continue;
  const { value } = Reflect.getOwnPropertyDescriptor(PlatformResponse.prototype, name)!;
  Object.defineProperty(RawResponse.prototype, name, {
    configurable: true,
    ...typeof value === "function"
      ? {
        value(this: RawResponse, ...args: unknown[]) {
          return Reflect.apply(value, RawResponse.platform(this), args);
        },
      }
      : {
        get(this: RawResponse) {
          return Reflect.get(RawResponse.platform(this), name);
        },
      },
  });
}
Object.setPrototypeOf(RawResponse.prototype, PlatformResponse.prototype);

/** A response of these parts. */
export function rawResponse(parts: ResponseParts): Response {
  return new RawResponse(parts) as unknown as Response;
}

/** Headers of a response of parts, as they were given; `undefined` if they have been looked at, and for any other response. */
export function rawHeaders(response: Response): string[] | undefined {
  return RawResponse.is(response) ? RawResponse.pairs(response) : undefined;
}
