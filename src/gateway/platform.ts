/**
 * What the globals of the runtime have to learn, once, before an application runs.
 *
 * @module
 */
import { platformRequest } from "./request.ts";
import { rememberText } from "./response.ts";

let taught = false;

/**
 * Wraps the constructors `Request` and `Response` and the function `fetch`, which stay for everything else what they
 * were:
 *
 * - `new Request(request)` and `fetch(request)` work with a request of ours, whose insides the platform cannot see.
 * - A `Response` made of text remembers it, so that it can be sent without the detour of a stream, which costs several
 *   times as much; and it has its content type on Bun too, which leaves that to its own server.
 */
export function teachPlatform(): void {
  if (taught) return;
  taught = true;
  globalThis.Request = wrapped(globalThis.Request, {
    before: (args) => args.length > 0 ? [platformRequest(args[0]), ...args.slice(1)] : args,
  });
  globalThis.Response = wrapped(globalThis.Response, { after: rememberText });
  globalThis.fetch = new Proxy(globalThis.fetch, {
    apply: (target, self, [input, ...rest]) => Reflect.apply(target, self, [platformRequest(input), ...rest]),
  });
}

type Class<T> = { new (...args: never[]): T; prototype: T };

/**
 * A constructor of the same objects: what it makes is made by the original, and both have one prototype, so that
 * `instanceof` holds for objects of either. Cheaper than a `Proxy`.
 */
function wrapped<T extends object, C extends Class<T>>(
  original: C,
  { before, after }: { before?: (args: unknown[]) => unknown[]; after?: (made: T, args: unknown[]) => void },
): C {
  function construct(this: unknown, ...args: unknown[]): T {
    if (new.target === undefined) throw new TypeError(`Constructor ${original.name} requires 'new'`);
    const target = new.target === construct as unknown ? original : new.target;
    const made: T = Reflect.construct(original, before ? before(args) : args, target);
    after?.(made, args);
    return made;
  }
  Object.setPrototypeOf(construct, original);
  Object.defineProperty(construct, "name", { value: original.name });
  Object.defineProperty(construct, "length", { value: original.length });
  Object.defineProperty(construct, "prototype", { value: original.prototype, writable: false });
  return construct as unknown as C;
}
