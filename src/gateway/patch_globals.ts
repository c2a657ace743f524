/**
 * Patches the globals of the runtime, once, before an application runs.
 *
 * @module
 */
import { runtime } from "../runtime/name.ts";
import { takeUpgrades } from "../runtime/upgrades.ts";
import { rememberBody } from "./known_body.ts";
import { joinPlatform, rawResponse, type ResponseParts } from "./raw_response.ts";
import { platformRequest, requestParts } from "./request.ts";
import { responseParts } from "./response_parts.ts";

let taught = false;

/**
 * Wraps the constructors `Request` and `Response` and the function `fetch`, which otherwise work as
 * before:
 *
 * - `new Request(request)` and `fetch(request)` work with our requests, whose internals the platform cannot see.
 * - A `Response` made of text knows it, and one made of text has its content type on Bun too, which leaves that to its
 *   own server. On Deno it takes async iterables of text, as those of Bun and Node do.
 * - `Deno.upgradeWebSocket(request)` takes our requests.
 */
export function patchGlobals(): void {
  if (taught) return;
  taught = true;
  replace(
    "Request",
    wrapped(globalThis.Request, (make, args) => {
      return make(args.length > 0 ? [platformRequest(args[0]), ...args.slice(1)] : args);
    }),
  );
  replace(
    "Response",
    runtime.name === "Bun"
      ? wrapped(globalThis.Response, (make, [body, ...rest]) => rememberBody(make([body, ...rest]), body))
      : responseOfParts(globalThis.Response),
  );
  takeUpgrades((request, options) => requestParts(request)?.source.upgradeWebSocket?.(options));
  replace(
    "fetch",
    new Proxy(globalThis.fetch, {
      apply: (target, self, [input, ...rest]) => Reflect.apply(target, self, [platformRequest(input), ...rest]),
    }),
  );
}

/** Also where a package has replaced it before, by a property that cannot be assigned. */
function replace(name: "Request" | "Response" | "fetch", value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

/** An async iterable whose text is encoded, on Deno; anything else as it is. */
function asBytes(body: unknown): unknown {
  const iterates = typeof body === "object" && body !== null && Symbol.asyncIterator in body;
  if (runtime.name !== "Deno" || !iterates || body instanceof ReadableStream) return body;
  return encoded(body as AsyncIterable<unknown>);
}

async function* encoded(chunks: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  const encoder = new TextEncoder();
  for await (const chunk of chunks) yield typeof chunk === "string" ? encoder.encode(chunk) : chunk;
}

/**
 * `Response` for Node and Deno, of which usual ones are made of parts. On Node its own costs as much as the rest of a request,
 * and ten times as much with 64 KiB of bytes; on Deno bytes cost more than the rest. Nobody can tell them from the others.
 */
function responseOfParts(original: typeof Response): typeof Response {
  const isNode = runtime.name === "Node";
  const constructor: typeof Response = wrapped(original, (make, args, target) => {
    const [body, init] = args;
    if (init !== undefined && (typeof init !== "object" || init === null)) return make(args);
    // Read once, as the platform does.
    const { status, statusText, headers } = (init ?? {}) as ResponseInit;
    const read = { status, statusText, headers };
    // Deno's own functions find in the objects of a class what only its constructor can put there.
    const parts = isNode || target === constructor ? responseParts(body, read) : undefined;
    if (parts === undefined) return rememberBody(make([asBytes(body), read]), body);
    return isNode ? rawResponse(parts, target) : rawResponse(parts);
  });
  const { json } = original;
  Object.defineProperty(constructor, "json", {
    ...Object.getOwnPropertyDescriptor(original, "json"),
    value: {
      json(...args: Parameters<typeof json>): Response {
        const parts = jsonParts(...args);
        return parts ? rawResponse(parts) : json(...args);
      },
    }.json,
  });
  Object.defineProperty(constructor.json, "length", { value: json.length, configurable: true });
  if (isNode) joinPlatform(constructor);
  return constructor;
}

function jsonParts(data: unknown, init: unknown = {}): ResponseParts | undefined {
  if (typeof init !== "object" || init === null) return undefined;
  try {
    const text = JSON.stringify(data);
    return text === undefined ? undefined : responseParts(text, init, "application/json");
  } catch {
    // The platform says what is wrong.
    return undefined;
  }
}

/**
 * A constructor of the same objects: both have one prototype, so that `instanceof` holds for objects of either. Cheaper
 * than a `Proxy`.
 *
 * @param construct makes an object by `make`, which is the original; `target` is what was called with `new`, which may
 *   be a subclass
 */
function wrapped<C extends { new (...args: never[]): object; prototype: object }>(
  original: C,
  construct: (make: (args: unknown[]) => C["prototype"], args: unknown[], target: C) => C["prototype"],
): C {
  function Wrapped(this: unknown, ...args: unknown[]): object {
    if (new.target === undefined) throw new TypeError(`Constructor ${original.name} requires 'new'`);
    const target = new.target as unknown as C;
    return construct((changed) => Reflect.construct(original, changed, target), args, target);
  }
  for (const name of Reflect.ownKeys(original)) {
    Object.defineProperty(Wrapped, name, Object.getOwnPropertyDescriptor(original, name)!);
  }
  Object.defineProperty(original.prototype, "constructor", { value: Wrapped, configurable: true, writable: true });
  return Wrapped as unknown as C;
}
