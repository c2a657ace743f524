/**
 * Which application a module exports.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type { NodeListener } from "../handlers/node_app.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";

/** What a module can declare of what it exports: `export const runfcgi = { app: "node" }`. */
const kinds = ["fetch", "node"] as const;
type Kind = (typeof kinds)[number];

/** Names under which builds of frameworks export an application, if there is no default export. */
const names = ["fetch", "handler", "listener", "app", "server"] as const;

/** What is exported is an application, but only its user knows of which kind. */
export class AmbiguousError extends TypeError {
  override name = "TypeError";
}

/** An application that a module exports. */
export interface Exported {
  /** Makes the handler that calls it. */
  handler(): Promise<Handler>;
  /** What was exported. */
  value: unknown;
}

/**
 * The handler that a module exports: a fetch handler, or what is known or declared to be a Node-style listener.
 *
 * @throws {TypeError} when it exports none
 */
export async function handlerOf(module: Record<string, unknown>, name: string): Promise<Handler> {
  const found = exportedBy(module, name);
  if (found) return await found.handler();
  throw noApplication(module, name);
}

/**
 * The exports of a module as they were written: CommonJS has all of them in its default export, which is empty if it has
 * none, and so has what TypeScript compiles to it.
 */
export function exportsOf(module: Record<string, unknown>): Record<string, unknown> {
  const { default: all, ...others } = module;
  if (typeof all !== "object" || all === null) return module;
  if ((all as { __esModule?: unknown }).__esModule === true) return all as Record<string, unknown>;
  return Object.getPrototypeOf(all) === Object.prototype && Reflect.ownKeys(all).length === 0 ? others : module;
}

/** What a module asks that does its work only as the first one of a process. */
export const mainOnly = /\b(?:import\s*\.\s*meta|require)\s*\.\s*main\b/;

/**
 * Says what is missing.
 *
 * @param source the text of its modules
 */
export function noApplication(module: Record<string, unknown>, name: string, source = ""): TypeError {
  const [main] = mainOnly.exec(source) ?? [];
  if (module.default === undefined && main !== undefined) {
    return new TypeError(
      `${name} exports no application, and listens only where ${main} says that nothing imports it. ` +
        `Write: export default app, have it listen in any case, or run it as it is by execjs=${name}`,
    );
  }
  const found = module.default === undefined
    ? "has no default export and does not listen"
    : "exports a default without a method fetch";
  return new TypeError(`${name} ${found}. Write: export default { fetch(request) { return new Response("Hello") } }`);
}

/**
 * The application that a module exports, `undefined` if there is none.
 *
 * @throws {TypeError} when it is not what it was declared to be
 * @throws {AmbiguousError} when it has to be declared
 */
export function exportedBy(module: Record<string, unknown>, name: string): Exported | undefined {
  const kind = declaredKind(module.runfcgi, name);
  if (module.default !== undefined) {
    const handler = recognized(module.default, kind, name);
    if (handler) return { handler, value: module.default };
    if (kind === "node") throw new TypeError(`${name} declares a Node-style app, but its default export is no listener`);
  }
  let ambiguous: string | undefined;
  for (const exported of names) {
    const value = module[exported];
    if (value === undefined) continue;
    if (kind === undefined && isAmbiguous(exported, value)) {
      ambiguous ??= exported;
      continue;
    }
    const handler = recognized(value, exported === "listener" ? "node" : kind, name);
    if (handler) return { handler, value };
  }
  if (ambiguous === undefined) return undefined;
  throw new AmbiguousError(
    `${name} exports "${ambiguous}", which may be a fetch handler or a Node-style listener. Write in a file of your own: ` +
      `export { ${ambiguous} as default } from "./${name}"; export const runfcgi = { app: "node" } (or "fetch")`,
  );
}

function declaredKind(runfcgi: unknown, name: string): Kind | undefined {
  const kind = (runfcgi as { app?: unknown } | undefined)?.app;
  if (kind === undefined) return undefined;
  const known = kinds.find((known) => known === kind);
  if (known) return known;
  throw new TypeError(`${name} declares the app to be ${JSON.stringify(kind)}, expected ${kinds.join(" or ")}`);
}

/** Only its name says that it is an application at all, and not which. */
function isAmbiguous(name: string, value: unknown): boolean {
  return name !== "fetch" && name !== "listener" && typeof value === "function" && value.length !== 1 && !isListener(value);
}

function recognized(exported: unknown, kind: Kind | undefined, name: string): Exported["handler"] | undefined {
  // Before all that looks at methods: a Proxy may have any of them.
  if (kind !== "node" && hasFetch(exported)) {
    return () => Promise.resolve((request, info) => exported.fetch(request, info));
  }
  // What calls listeners is loaded for those alone: with node:http, it takes memory and time at the start.
  if (kind !== "fetch" && isServer(exported)) {
    return async () => (await import("../handlers/node_upgrade.ts")).serverHandler(exported);
  }
  const listener = kind === "fetch" ? undefined : listenerOf(exported, kind === "node");
  if (listener) return async () => (await import("../handlers/node_app.ts")).nodeHandler(listener);
  if (typeof exported !== "function" || kind === "node") return undefined;
  if (/^class\b/.test(Function.prototype.toString.call(exported))) {
    const [what, how] = exported.name
      ? [`the class ${exported.name}`, `"new ${exported.name}()"`]
      : ["a class", "one that is made with new"];
    throw new AmbiguousError(`${name} exports ${what}: export an object of it, ${how}`);
  }
  const handler = exported as Handler;
  return () => Promise.resolve(handler.length === 2 && kind === undefined ? undeclared(handler, name) : handler);
}

function hasFetch(value: unknown): value is { fetch: Handler } {
  return typeof value === "object" && value !== null && typeof (value as { fetch?: unknown }).fetch === "function";
}

/** What is looked at of an object to see which framework made it. */
interface Instance {
  use?: unknown;
  handle?: unknown;
  callback?: unknown;
  handler?: unknown;
  listen?: unknown;
  ready?: unknown;
  init?: unknown;
  initialize?: unknown;
  getHttpAdapter?: unknown;
  server?: unknown;
  listener?: unknown;
}

const isFunction = (value: unknown): value is (...args: unknown[]) => unknown => typeof value === "function";

/** A server with a listener for requests. */
function isServer(value: unknown): value is EventEmitter {
  return value instanceof EventEmitter && value.listenerCount("request") > 0;
}

/** Whether a function is a Node-style listener for certain: Express's application, or one that takes `next`. */
function isListener(value: unknown): boolean {
  const { use, handle } = value as Instance;
  return isFunction(value) && (isFunction(use) && isFunction(handle) || value.length >= 3);
}

/**
 * The Node-style listener that an exported value is or has: a server, an application of Express, Koa, Fastify, hapi, Nest
 * or polka, or a function that takes `next`. A function of two parameters is one where that is declared.
 */
function listenerOf(exported: unknown, declared: boolean): NodeListener | undefined {
  if (isServer(exported)) return toServer(exported);
  if (typeof exported === "function") {
    const listener = exported as NodeListener;
    if (!isListener(exported)) return declared ? listener : undefined;
    return isFunction((exported as Instance).use) ? listener : withNext(exported as Middleware);
  }
  if (typeof exported !== "object" || exported === null) return undefined;
  const { use, callback, handler, listen, ready, init, initialize, getHttpAdapter, server, listener } = exported as Instance;
  if (isFunction(ready) && isServer(server)) return afterwards(() => ready.call(exported), () => toServer(server));
  if (isFunction(initialize) && isServer(listener)) return afterwards(() => initialize.call(exported), () => toServer(listener));
  if (isFunction(init) && isFunction(getHttpAdapter)) {
    const adapter = getHttpAdapter.call(exported) as { getInstance(): unknown };
    return afterwards(() => init.call(exported), () => listenerOf(adapter.getInstance(), true));
  }
  if (isFunction(use) && isFunction(callback)) return callback.call(exported) as NodeListener;
  if (isFunction(use) && isFunction(listen) && isFunction(handler)) return handler.bind(exported) as NodeListener;
  return undefined;
}

function toServer(server: EventEmitter): NodeListener {
  return (request, response) => server.emit("request", request, response);
}

/** A listener that is to be had once its application is ready. */
function afterwards(prepare: () => unknown, listener: () => NodeListener | undefined): NodeListener {
  let ready: Promise<NodeListener> | undefined;
  let found: NodeListener | undefined;
  const prepared = async () => {
    // Fastify's is no promise, but can be awaited.
    await prepare();
    found = listener();
    if (!found) throw new TypeError("The application has no listener for requests");
    return found;
  };
  return (request, response) => {
    if (found) return found(request, response);
    ready ??= prepared();
    return ready.then((listener) => listener(request, response));
  };
}

type Middleware = (...args: [...Parameters<NodeListener>, next: (error?: unknown) => void]) => unknown;

/** Nothing comes after a function that takes `next`: what it passes on is not found. */
function withNext(middleware: Middleware): NodeListener {
  return (request, response) =>
    new Promise((_resolve, reject) => {
      const next = (error?: unknown) => error ? reject(error) : response.writeHead(404).end("Not found\n");
      Promise.resolve(middleware(request, response, next)).catch(reject);
    });
}

/**
 * A function of two parameters may be a fetch handler that takes `info`, or a Node-style listener. It is called as a fetch
 * handler; until that has worked once, an error gets a hint that it may be the other.
 */
function undeclared(handler: Handler, name: string): Handler {
  const hint = `If ${name} exports a Node-style listener (request, response), declare it: export const runfcgi = { app: "node" }`;
  let works = false;
  return (request, info) => works ? handler(request, info) : attempt(request, info);

  async function attempt(request: Request, info: ServeInfo): Promise<Response> {
    try {
      const response = await handler(request, info);
      if (response === undefined) throw new TypeError("The handler returned undefined, expected a Response");
      works = true;
      return response;
    } catch (error) {
      if (error instanceof TypeError) error.message += `. ${hint}`;
      throw error;
    }
  }
}
