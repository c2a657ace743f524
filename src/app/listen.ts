/**
 * Loading an application that exports a handler, or that listens.
 *
 * @module
 */
import type { EventEmitter } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { captureListening, type Listening } from "../runtime/listening.ts";
import type { Handler } from "../server/handler.ts";
import { AmbiguousError, type Exported, exportedBy, exportsOf, mainOnly, noApplication } from "./exported.ts";

/** Milliseconds that a module is waited for which listens and goes on: it may wait for "listening". */
const MODULE_MS = 100;
/** Milliseconds that a further server may come after the first. */
const MORE_MS = 20;
/** Milliseconds that an application has to listen after its module was evaluated, if it looks as if it did, or not. */
const LISTEN_MS = 19_000;
const UNLIKELY_MS = 500;

/** What is known of an application that is to be loaded. */
export interface Loading {
  /** For messages. */
  name: string;
  /** The text of its modules, from which it is seen whether it may listen some time after they were evaluated. */
  source(): string;
  /** Whether it may have servers of Node; default is true. */
  loadsServers?: boolean;
  /** Told of an error of the module that comes after the application serves. */
  failed(error: unknown): void;
}

/**
 * Evaluates a module and returns the handler that it exports, or else that of the server that it has listen. No port is
 * opened for the latter. If a handler is exported, other servers listen as they would without us.
 *
 * @throws {TypeError} when there is none, or more than one
 */
export async function loadHandler(
  evaluate: () => Promise<Record<string, unknown>>,
  { name, source, failed, loadsServers }: Loading,
): Promise<Handler> {
  const servers: Listening[] = [];
  const first = Promise.withResolvers<void>();
  const stop = captureListening((listening) => {
    servers.push(listening);
    first.resolve();
  }, loadsServers);
  let exported: Exported | undefined;
  let site: Listening | undefined;
  const lost = watchErrors();
  try {
    const evaluated = evaluate().then(exportsOf);
    const module = await Promise.race([evaluated, first.promise.then(() => sleep(MODULE_MS)), lost.error]);
    let problem: AmbiguousError | undefined;
    try {
      exported = module ? exportedBy(module, name) : undefined;
    } catch (error) {
      // Builds that listen export a handler besides, for who has a server.
      if (!(error instanceof AmbiguousError)) throw error;
      problem = error;
    }
    if (!exported) {
      if (!module) evaluated.catch(failed);
      else if (servers.length === 0) {
        const text = source();
        const likely = module.default === undefined && !problem && /listen|serve/.test(text) && !mainOnly.test(text);
        await within(likely ? LISTEN_MS : UNLIKELY_MS, Promise.race([first.promise, lost.error]));
        if (servers.length === 0) throw problem ?? noApplication(module, name, text);
      }
      await sleep(MORE_MS);
      site = chooseServer(servers, name);
    }
  } finally {
    stop();
    lost.stop();
  }
  const application = exported?.value ?? site!.handler;
  const underWay = new UnderWay();
  let listens = false;
  for (const server of servers) {
    if (!isSame(server, application)) server.release();
    else {
      listens = true;
      server.accept(() => underWay.end());
    }
  }
  const handler = await (exported?.handler() ?? handlerFor(site!));
  return listens ? underWay.counting(handler) : handler;
}

/** Requests that a server which is closed waits for. */
class UnderWay {
  #count = 0;
  #end: PromiseWithResolvers<void> | undefined;

  counting(handler: Handler): Handler {
    const over = () => {
      if (--this.#count === 0) this.#end?.resolve();
    };
    return (request, info) => {
      this.#count++;
      info.completed.then(over, over);
      return handler(request, info);
    };
  }

  end(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    if (this.#end === undefined) {
      this.#end = Promise.withResolvers();
      this.#end.promise.then(() => this.#end = undefined);
    }
    return this.#end.promise;
  }
}

/** Errors that nothing catches while an application is loaded: most often it cannot connect to its database. */
function watchErrors(): { error: Promise<never>; stop(): void } {
  const { promise: error, reject } = Promise.withResolvers<never>();
  error.catch(() => {});
  const events = ["unhandledRejection", "uncaughtException"] as const;
  const listeners = events.map((event) => (reason: unknown) => {
    // The program in which it is loaded may listen, too; an application that does goes on.
    if (process.listenerCount(event) <= known[event] + 1) reject(reason);
  });
  const known = Object.fromEntries(events.map((event) => [event, process.listenerCount(event)]));
  events.forEach((event, i) => process.on(event, listeners[i]));
  return { error, stop: () => events.forEach((event, i) => process.off(event, listeners[i])) };
}

/** Waits for a promise, but no longer than so many milliseconds. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

async function handlerFor({ handler }: Listening): Promise<Handler> {
  return typeof handler === "function" ? handler : (await import("../handlers/node_upgrade.ts")).serverHandler(handler);
}

/** The one on PORT, or the only one. */
function chooseServer(servers: readonly Listening[], name: string): Listening {
  const [site] = servers;
  const { PORT: port } = process.env;
  const named = port ? servers.find((server) => String(server.port) === port) : undefined;
  if (named) return named;
  const other = servers.find((server) => !isSame(server, site.handler));
  if (other === undefined) return site;
  throw new TypeError(
    `${name} listens on ${site.place} and on ${other.place}: which one is the site? ` +
      `Write env=PORT=${other.port ?? site.port ?? 3000}, or export the application: export default app`,
  );
}

/** Whether a server is of this application: it is it, or calls it or the same as it. */
function isSame({ handler }: Listening, application: unknown): boolean {
  if (handler === application) return true;
  if (typeof handler === "function") return false;
  const listeners = handler.listeners("request") as unknown[];
  if (listeners.includes(application)) return true;
  const others = (application as Partial<EventEmitter> | undefined)?.listeners?.("request") as unknown[] | undefined;
  return !!others && others.length > 0 && others.every((listener) => listeners.includes(listener));
}
