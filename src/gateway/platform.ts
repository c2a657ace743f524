/**
 * What the globals of the runtime have to learn, once, before an application runs.
 *
 * @module
 */
import { platformRequest } from "./request.ts";

let taught = false;

/**
 * Makes `new Request(request)` and `fetch(request)` work with a request of ours, whose insides the platform cannot see,
 * and gives a Response made of text its content type on Bun, which leaves that to its own server. For everything else
 * the globals stay what they were.
 */
export function teachPlatform(): void {
  if (taught) return;
  taught = true;
  globalThis.Request = constructedBy(
    globalThis.Request,
    (construct, [input, ...rest]) => construct([platformRequest(input), ...rest]),
  );
  globalThis.fetch = new Proxy(globalThis.fetch, {
    apply: (target, self, [input, ...rest]) => Reflect.apply(target, self, [platformRequest(input), ...rest]),
  });
  if (new Response("").headers.has("content-type")) return;
  globalThis.Response = constructedBy(globalThis.Response, (construct, args) => {
    const response = construct(args);
    if (typeof args[0] === "string" && !response.headers.has("content-type")) {
      response.headers.set("content-type", "text/plain;charset=UTF-8");
    }
    return response;
  });
}

type Construct<T> = (args: unknown[]) => T;

/** The same class, with another way to construct its objects. */
function constructedBy<C extends new (...args: never[]) => object>(
  original: C,
  run: (construct: Construct<InstanceType<C>>, args: unknown[]) => InstanceType<C>,
): C {
  const wrapped: C = new Proxy(original, {
    construct: (target, args, newTarget) =>
      run((changed) => Reflect.construct(target, changed, newTarget === wrapped ? target : newTarget), args),
  });
  return wrapped;
}
