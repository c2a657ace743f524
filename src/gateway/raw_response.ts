/**
 * Responses made without the platform's constructor, which costs more than the rest of a request: their head and body are
 * sent as they are, and the platform makes a response of them when something is asked of it that they do not hold.
 *
 * @module
 */
import process from "node:process";
import { giveBack } from "./body_copies.ts";

/** A body that is known without reading it. Text is sent as UTF-8. */
export type KnownBody = string | Uint8Array;

/** What a response is made of. */
export interface ResponseParts {
  /** HTTP status. */
  status: number;
  /** Reason phrase, or "" for the usual one. */
  reason: string;
  /** Names in lower case and values in turn, which have been checked: see RFC 9110, 5.1 and 5.5. */
  headers: string[];
  /** `null` if there is none, which for HEAD says nothing about its length. */
  body: KnownBody | ReadableStream<Uint8Array<ArrayBuffer>> | null;
  /** The application's bytes, of which `body` is a copy that {@linkcode giveBack} takes. */
  original?: Uint8Array;
}

const PlatformResponse = globalThis.Response;
const platformMembers = Object.getOwnPropertyDescriptors(PlatformResponse.prototype) as Record<
  string | symbol,
  PropertyDescriptor
>;
const encoder = new TextEncoder();

/** A `Response` whose other parts the platform makes when they are asked for. */
class RawResponse {
  readonly #parts: ResponseParts;
  #headers: Headers | undefined;
  #platform: Response | undefined;

  constructor(parts: ResponseParts) {
    this.#parts = parts;
  }

  static is(value: unknown): value is RawResponse {
    return typeof value === "object" && value !== null && #parts in value;
  }

  /** The headers as they were given, unless they may have been changed since. */
  static pairs(response: RawResponse): string[] | undefined {
    return response.#headers ? undefined : response.#parts.headers;
  }

  /** The body, unless somebody has begun to read it. */
  static known(response: RawResponse): KnownBody | undefined {
    const { body } = response.#parts;
    if (typeof body !== "string" && !(body instanceof Uint8Array)) return undefined;
    const platform = response.#platform;
    return platform && (platform.bodyUsed || platform.body?.locked) ? undefined : body;
  }

  static sent(response: RawResponse): void {
    const parts = response.#parts;
    if (parts.original === undefined) return;
    giveBack(parts.body as Uint8Array);
    // An application may return it once more.
    parts.body = parts.original;
    parts.original = undefined;
  }

  /** The platform's own `Response`, for everything else. */
  static platform(response: RawResponse): Response {
    const { status, reason, body } = response.#parts;
    const bytes = typeof body === "string" ? encoder.encode(body) : body instanceof Uint8Array ? plainBytes(body) : body;
    const { headers } = response;
    const made = response.#platform ??= new PlatformResponse(bytes, { status, statusText: reason });
    // They may have been changed since, and their content type tells how a form is read.
    const old: string[] = [];
    made.headers.forEach((_, name) => old.push(name));
    for (const name of old) made.headers.delete(name);
    headers.forEach((value, name) => made.headers.append(name, value));
    return made;
  }

  get type(): Response["type"] {
    return "default";
  }

  get url(): string {
    return "";
  }

  get redirected(): boolean {
    return false;
  }

  get status(): number {
    return this.#parts.status;
  }

  get ok(): boolean {
    const { status } = this.#parts;
    return status >= 200 && status <= 299;
  }

  get statusText(): string {
    return this.#parts.reason;
  }

  get headers(): Headers {
    if (this.#headers) return this.#headers;
    const headers = new Headers();
    const pairs = this.#parts.headers;
    for (let i = 0; i < pairs.length; i += 2) headers.append(pairs[i], pairs[i + 1]);
    return this.#headers = headers;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    const { body } = this.#parts;
    if (this.#platform) return this.#platform.body;
    return typeof body === "string" || body instanceof Uint8Array ? RawResponse.platform(this).body : body;
  }

  get bodyUsed(): boolean {
    return this.#platform?.bodyUsed ?? false;
  }

  clone(): Response {
    const parts = this.#parts;
    if (this.#platform || parts.body instanceof ReadableStream) return RawResponse.platform(this).clone() as Response;
    const headers: string[] = [];
    if (this.#headers) this.#headers.forEach((value, name) => headers.push(name, value));
    else headers.push(...parts.headers);
    // Both have the copy now, so that neither can give it back.
    parts.original = undefined;
    return rawResponse({ ...parts, headers });
  }
}

/** Of a Buffer Deno would make another one. */
function plainBytes({ buffer, byteOffset, length }: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
}

// As those of the platform have it.
Reflect.deleteProperty(RawResponse.prototype, "constructor");
for (const name of Reflect.ownKeys(platformMembers)) {
  if (Object.hasOwn(RawResponse.prototype, name) || name === "constructor" || name === Symbol.toStringTag) continue;
  const { value } = platformMembers[name];
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
// Under symbols, Deno keeps in each object what its own functions that take a Response look for, such as Deno.serve.
for (const key of Object.getOwnPropertySymbols(new PlatformResponse())) {
  Object.defineProperty(RawResponse.prototype, key, {
    configurable: true,
    get(this: RawResponse) {
      return Reflect.get(RawResponse.platform(this), key);
    },
    set(this: RawResponse, value: unknown) {
      Reflect.set(RawResponse.platform(this), key, value);
    },
  });
}
Object.setPrototypeOf(RawResponse.prototype, PlatformResponse.prototype);

/** Of node:worker_threads, which takes much of a start on Bun, where nothing needs it. */
let markAsUncloneable: ((response: Response) => void) | undefined;

/** What they are objects of. */
let constructor: { readonly prototype: object } = RawResponse;

/**
 * A response of these parts.
 *
 * @param target what was called with `new`, where an application constructs it
 */
export function rawResponse(parts: ResponseParts, target = constructor): Response {
  const response = Reflect.construct(RawResponse, [parts], target as typeof RawResponse) as unknown as Response;
  // As Node's own are, for `structuredClone`.
  if (target !== RawResponse) {
    markAsUncloneable ??= process.getBuiltinModule("node:worker_threads").markAsUncloneable;
    markAsUncloneable(response);
  }
  return response;
}

/** Headers of a response of parts, as they were given; `undefined` if they have been looked at, and for any other response. */
export function rawHeaders(response: Response): string[] | undefined {
  return RawResponse.is(response) ? RawResponse.pairs(response) : undefined;
}

/** The body of a response of parts if it is known and nobody has begun to read it; `undefined` for any other response. */
export function rawBody(response: Response): KnownBody | undefined {
  return RawResponse.is(response) ? RawResponse.known(response) : undefined;
}

/** The body has been sent, and its bytes are needed no longer. */
export function rawSent(response: Response): void {
  if (RawResponse.is(response)) RawResponse.sent(response);
}

/**
 * Lets responses of parts be objects of `target`, whose prototype is the platform's: its members work with both then.
 *
 * @param target the constructor that applications see
 */
export function joinPlatform(target: typeof constructor): void {
  constructor = target;
  for (const name of Object.getOwnPropertyNames(RawResponse.prototype)) {
    const original = platformMembers[name];
    const own = Object.getOwnPropertyDescriptor(RawResponse.prototype, name)!;
    const kind = original.get ? "get" : "value";
    const [ours, theirs] = [own[kind], original[kind]];
    const both = {
      member(this: unknown, ...args: unknown[]): unknown {
        return Reflect.apply(RawResponse.is(this) ? ours : theirs, this, args);
      },
    }.member;
    for (const key of ["name", "length"]) Object.defineProperty(both, key, Object.getOwnPropertyDescriptor(theirs, key)!);
    Object.defineProperty(PlatformResponse.prototype, name, { ...original, [kind]: both });
  }
}
