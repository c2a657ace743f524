/**
 * Patches the globals of the runtime, once, before an application runs.
 *
 * @module
 */
import { runtime } from "../runtime/name.ts";
import { takeUpgrades } from "../runtime/upgrades.ts";
import { rememberBody, unreadResponse } from "./known_body.ts";
import { platformRequest, requestParts } from "./request.ts";

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
    runtime.name === "Node"
      ? wrapped(globalThis.Response, (make, args, derived) => {
        const unread = derived ? undefined : unreadResponse(args[0], args[1] as ResponseInit | undefined);
        return unread ?? rememberBody(make(args), args[0]);
      })
      : wrapped(globalThis.Response, (make, [body, ...rest]) => rememberBody(make([asBytes(body), ...rest]), body)),
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
 * A constructor of the same objects: both have one prototype, so that `instanceof` holds for objects of either. Cheaper
 * than a `Proxy`.
 *
 * @param construct makes an object by `make`, which is the original; `derived` tells that a subclass is constructed
 */
function wrapped<C extends { new (...args: never[]): object; prototype: object }>(
  original: C,
  construct: (make: (args: unknown[]) => C["prototype"], args: unknown[], derived: boolean) => C["prototype"],
): C {
  function Wrapped(this: unknown, ...args: unknown[]): object {
    if (new.target === undefined) throw new TypeError(`Constructor ${original.name} requires 'new'`);
    const target: unknown = new.target;
    const derived = target !== Wrapped;
    return construct((changed) => Reflect.construct(original, changed, derived ? target as C : original), args, derived);
  }
  Object.setPrototypeOf(Wrapped, original);
  Object.defineProperty(Wrapped, "name", { value: original.name });
  Object.defineProperty(Wrapped, "length", { value: original.length });
  Object.defineProperty(Wrapped, "prototype", { value: original.prototype, writable: false });
  return Wrapped as unknown as C;
}
