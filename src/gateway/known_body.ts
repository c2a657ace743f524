/**
 * Responses whose body is known without reading it: they are sent without a stream, which costs several times as much.
 *
 * @module
 */

/** The body, where it is known. */
export const known: unique symbol = Symbol("known body");
/** The body exists already, such as a Blob: its length if it is bytes in memory. */
const complete = Symbol("complete body");
export type KnownBody = string | Uint8Array;
type KnownResponse = Response & { [known]?: KnownBody; [complete]?: number };

const PlatformResponse = globalThis.Response;

/** The body of a response if it is known and has not been touched. */
export function knownBody(response: KnownResponse): KnownBody | undefined {
  return response.bodyUsed ? undefined : response[known];
}

/** Whether the body of a response exists already, however long it is, so that reading it waits for nothing. */
export function isComplete(response: KnownResponse): boolean {
  return response[complete] !== undefined || knownBody(response) !== undefined;
}

/** Whether the body is at most so many bytes in memory: they cost less at once than as a stream. */
export function isBytes(response: KnownResponse, most: number): boolean {
  const length = response[complete];
  return length !== undefined && length <= most && !response.bodyUsed;
}

/** The text of an object that has none, and that no body can be made of. */
export const objectText = "[object Object]";

/** Lets a response remember its text, or that its body exists already. */
export function rememberBody(response: KnownResponse, body: unknown): Response {
  if (typeof body !== "string") {
    // A stream, or what a runtime makes one of, can be iterated over.
    if (typeof body === "object" && body !== null && !(Symbol.asyncIterator in body)) {
      const isMemory = body instanceof ArrayBuffer || ArrayBuffer.isView(body);
      response[complete] = isMemory ? body.byteLength : Infinity;
      // What a platform can make a body of has a name of its own.
      if (!isMemory && String(body) === objectText) response[known] = objectText;
    }
    return response;
  }
  response[known] = body;
  addTextType(response);
  return response;
}

function addTextType({ headers }: Response): void {
  if (!headers.has("content-type")) headers.set("content-type", "text/plain;charset=UTF-8");
}

/** Fetch standard, "null body status": with these a body is an error, which the platform is to throw. */
const bodyless = new Set([101, 103, 204, 205, 304]);

/**
 * A response of text or bytes whose stream is only made when it is looked at, `undefined` for other bodies. For
 * Node, which uses only properties and methods of a response and whose constructor costs more than the rest of a request.
 */
export function unreadResponse(body: unknown, init: ResponseInit | undefined): Response | undefined {
  const simple = typeof body === "string" || body instanceof Uint8Array;
  if (!simple || bodyless.has(init?.status ?? 200)) return undefined;
  return new UnreadResponse(body, init);
}

class UnreadResponse extends PlatformResponse {
  [known]?: KnownBody;
  readonly #body: KnownBody;
  /** A response with the same body, for all that is asked of the body. */
  #platform: Response | undefined;

  constructor(body: KnownBody, init: ResponseInit | undefined) {
    super(null, init);
    if (typeof body === "string") addTextType(this);
    // The application may change its bytes afterwards.
    this[known] = this.#body = typeof body === "string" ? body : new Uint8Array(body);
  }

  static platform(response: UnreadResponse): Response {
    response[known] = undefined;
    const { status, statusText, headers } = response;
    return response.#platform ??= new PlatformResponse(response.#body as Uint8Array<ArrayBuffer>, {
      status,
      statusText,
      headers,
    });
  }

  static used(response: UnreadResponse): boolean {
    return response.#platform?.bodyUsed ?? false;
  }

  static copy(response: UnreadResponse): Response {
    // An error, or a copy of what the application may have begun to read.
    if (response.#platform) return PlatformResponse.prototype.clone.call(response.#platform);
    const { status, statusText, headers } = response;
    return new UnreadResponse(response.#body, { status, statusText, headers });
  }
}

// As properties, since the runtimes' types do not agree on what can be overridden.
Object.defineProperty(UnreadResponse.prototype, "bodyUsed", {
  configurable: true,
  get(this: UnreadResponse): boolean {
    return UnreadResponse.used(this);
  },
});
Object.defineProperty(UnreadResponse.prototype, "body", {
  configurable: true,
  get(this: UnreadResponse): Response["body"] {
    return UnreadResponse.platform(this).body;
  },
});
Object.defineProperty(UnreadResponse.prototype, "clone", {
  configurable: true,
  value(this: UnreadResponse): Response {
    return UnreadResponse.copy(this);
  },
});
for (const name of ["arrayBuffer", "blob", "bytes", "formData", "json", "text"] as const) {
  const method: (this: Response) => Promise<unknown> = PlatformResponse.prototype[name];
  Object.defineProperty(UnreadResponse.prototype, name, {
    configurable: true,
    value(this: UnreadResponse): Promise<unknown> {
      return method.call(UnreadResponse.platform(this));
    },
  });
}
