/**
 * Applications that listen: the functions that open a port are replaced while one is loaded, so that its server becomes the
 * site instead.
 *
 * @module
 */
import type { Server as HttpServer } from "node:http";
import { join, resolve } from "node:path";
import process from "node:process";
import { type BunHandlers, BunSocket, type Message, Topics } from "./upgrades.ts";

/** Answers a request, as `Bun.serve` and `Deno.serve` take it, with what is known of the visitor. */
export type ServedFetch = (request: Request, info: Visitor) => Response | Promise<Response>;

/** What is known of a visitor. */
export interface Visitor {
  readonly remoteAddr: { readonly transport: "tcp"; readonly hostname: string; readonly port: number };
  upgradeWebSocket(request: Request, options: object): { readonly socket: WebSocket; readonly response: Response };
}

/** A server that an application had listen. */
export interface Listening {
  /** Where, for messages: `port 3000`. */
  readonly place: string;
  /** `undefined` for a Unix socket. */
  readonly port: number | undefined;
  /** Answers requests; a server of `node:http` or a fetch handler. */
  readonly handler: HttpServer | ServedFetch;
  /**
   * Has it behave as if it listened.
   *
   * @param end resolves when no request is under way, for who closes it
   */
  accept(end: () => Promise<void>): void;
  /** Lets it listen. */
  release(): void;
}

let notify: ((listening: Listening) => void) | undefined;
const replaced = { runtimes: false, nodes: false };

/**
 * From now on, servers do not listen but are reported, until the returned function is called.
 *
 * @param nodes whether there may be servers of Node: with `node:http`, they take time at the start, and memory
 */
export function captureListening(listener: (listening: Listening) => void, nodes = true): () => void {
  if (!replaced.runtimes) {
    replaced.runtimes = true;
    replaceBun();
    replaceDeno();
  }
  if (nodes && !replaced.nodes) {
    replaced.nodes = true;
    replaceNode();
  }
  notify = listener;
  return () => {
    if (notify === listener) notify = undefined;
  };
}

function replaceNode(): void {
  const [http, https, net] = ["http", "https", "net"].map((name) => {
    const { Server } = process.getBuiltinModule(`node:${name}`) as unknown as { Server: typeof HttpServer };
    return Server;
  });
  // That of HTTP/2, which one would not load for its name, is a server of node:net.
  for (const { prototype } of new Set([http, https, net])) replaceListen(prototype, [http, https]);
  replaceFork();
}

/** A process of `node:cluster` runs the main module of this one, and that is not the application. */
function replaceFork(): void {
  const cluster = process.getBuiltinModule("node:cluster") as unknown as { fork(): never };
  cluster.fork = () => {
    throw new Error(
      "cluster.fork() would start this program again: it runs an application on all processors itself (threads=). " +
        "Have the application listen without node:cluster, or run it as it is by execjs=",
    );
  };
}

// node:http

type Listen = (this: HttpServer, ...args: unknown[]) => HttpServer;

function replaceListen(prototype: HttpServer, kinds: readonly (typeof HttpServer)[]): void {
  const original = prototype.listen as Listen;
  const listen: Listen = function (...args) {
    const isHttp = kinds.some((kind) => this instanceof kind) || this.listenerCount("request") > 0;
    if (!notify || !isHttp) return Reflect.apply(original, this, args);
    const callback = args.findLast((arg) => typeof arg === "function") as (() => void) | undefined;
    const place = placeOf(args[0], typeof args[1] === "string" ? args[1] : undefined);
    const { listens, listensNot } = pretend(this, place);
    notify({
      place: place.path ?? `port ${place.port}`,
      port: place.port,
      handler: this,
      accept: (end) => listens(end, callback),
      release: () => {
        listensNot();
        Reflect.apply(original, this, args);
      },
    });
    return this;
  };
  Object.defineProperty(prototype, "listen", { value: listen, configurable: true, writable: true });
}

interface Place {
  path?: string;
  port?: number;
  host?: string;
}

function placeOf(first: unknown, host?: string): Place {
  if (typeof first === "object" && first !== null) {
    const { path, port, host, fd } = first as { path?: string; port?: unknown; host?: string; fd?: number };
    if (path !== undefined) return { path };
    if (port === undefined && typeof fd === "number") return { path: `descriptor ${fd}` };
    return placeOf(port, host);
  }
  if (typeof first === "string" && !/^\d*$/.test(first)) return { path: first };
  return { port: typeof first === "function" ? 0 : Number(first ?? 0), host };
}

/** Has a server look as if it listened, at once: some ask for its address before it says so. */
function pretend(server: HttpServer, { path, port, host }: Place) {
  let open = true;
  let end = () => Promise.resolve();
  const ip = host === undefined || host === "localhost" ? "127.0.0.1" : host;
  const address = path ?? { address: ip, family: ip.includes(":") ? "IPv6" : "IPv4", port: port || 80 };
  const close = (done?: (error?: Error) => void) => {
    if (done) server.once("close", done);
    if (open) end().then(() => server.emit("close"));
    open = false;
    return server;
  };
  const own = {
    listening: { get: () => open },
    address: { value: () => open ? address : null },
    close: { value: close },
    [Symbol.asyncDispose]: { value: () => new Promise<void>((resolve) => close(() => resolve())) },
  };
  const keys = Reflect.ownKeys(own) as (keyof typeof own)[];
  for (const key of keys) Object.defineProperty(server, key, { configurable: true, ...own[key] });
  return {
    listens(whenOver: () => Promise<void>, callback: (() => void) | undefined): void {
      end = whenOver;
      if (callback) server.once("listening", callback);
      process.nextTick(() => server.emit("listening"));
    },
    listensNot(): void {
      for (const key of keys) Reflect.deleteProperty(server, key);
    },
  };
}

// Bun

interface BunOptions {
  port?: number | string;
  hostname?: string;
  unix?: string;
  fetch?: (this: unknown, request: Request, server: unknown) => Response | Promise<Response>;
  websocket?: BunHandlers;
  routes?: Record<string, unknown>;
  static?: Record<string, unknown>;
  error?: (error: unknown) => Response | Promise<Response>;
  maxRequestBodySize?: number;
}

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunRuntime {
  serve(options: BunOptions): BunServer;
  file(path: string): BunFile;
  CookieMap: new (header: string) => { toSetCookieHeaders(): string[] };
}

interface BunFile extends Blob {
  exists(): Promise<boolean>;
  readonly lastModified: number;
}

const { Bun: bun } = globalThis as { Bun?: BunRuntime };

interface BunServer {
  readonly port: number | undefined;
  stop(force?: boolean): Promise<void>;
  reload(options: BunOptions): unknown;
}

function replaceBun(): void {
  if (!bun) return;
  const original = bun.serve;
  // It cannot be defined again, but assigned.
  bun.serve = (options) => notify ? new StandInBunServer(options, original, notify) : original.call(bun, options);
}

/** What `Bun.serve` returns, as far as applications look at it. */
class StandInBunServer {
  readonly hostname: string;
  readonly development = false;
  readonly id = "";
  pendingRequests = 0;
  pendingWebSockets = 0;
  readonly #topics = new Topics();
  /** Responses that open the sockets of upgraded requests. */
  readonly #upgraded = new WeakMap<Request, Response>();
  readonly #port: number | undefined;
  #options: BunOptions;
  #routes: Route[];
  #real: BunServer | undefined;
  #end: (() => Promise<void>) | undefined;
  readonly #visitors = new WeakMap<Request, Visitor>();

  constructor(options: BunOptions, original: (options: BunOptions) => BunServer, notify: (listening: Listening) => void) {
    this.#options = options;
    this.#routes = routesOf(options);
    const { env } = process;
    this.#port = options.unix === undefined
      ? Number(options.port ?? env.BUN_PORT ?? env.PORT ?? env.NODE_PORT ?? 3000) || 80
      : undefined;
    this.hostname = options.hostname ?? "localhost";
    notify({
      place: options.unix ?? `port ${this.#port}`,
      port: this.#port,
      handler: (request, info) => this.#serve(request, info),
      accept: (end) => this.#end = end,
      release: () => this.#real = original(this.#options),
    });
  }

  get port(): number | undefined {
    return this.#real ? this.#real.port : this.#port;
  }

  get url(): URL {
    return new URL(`http://${this.hostname}:${this.port ?? 80}/`);
  }

  get address(): { address: string; family: string; port: number } {
    return { address: this.hostname, family: "IPv4", port: this.port ?? 0 };
  }

  async #serve(request: Request, info: Visitor): Promise<Response> {
    this.#visitors.set(request, info);
    try {
      const { maxRequestBodySize: most } = this.#options;
      return most === undefined ? await this.#answer(request) : await this.#answerUpTo(most, request, info);
    } catch (error) {
      const { error: page } = this.#options;
      if (page) return await page.call(this, error);
      throw error;
    }
  }

  async #answer(request: Request): Promise<Response> {
    const response = await (answerByRoute(this.#routes, request, this) ?? this.fetch(request));
    return this.#upgraded.get(request) ?? response;
  }

  /** Refuses a longer body: by its declared length, or once more has come, whatever the application makes of that. */
  async #answerUpTo(most: number, request: Request, info: Visitor): Promise<Response> {
    const tooLong = () => new Response(null, { status: 413 });
    const declared = request.headers.get("content-length");
    if (Number(declared) > most) return tooLong();
    if (declared !== null || request.body === null) return await this.#answer(request);
    const { promise: refused, resolve: refuse } = Promise.withResolvers<Response>();
    let length = 0;
    const counted = request.body.pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(bytes, controller) {
          length += bytes.length;
          if (length <= most) return controller.enqueue(bytes);
          refuse(tooLong());
          controller.error(new RangeError(`The body has more than ${most} bytes (maxRequestBodySize)`));
        },
      }),
    );
    const limited = new Request(request, { body: counted, duplex: "half" } as RequestInit);
    this.#visitors.set(limited, info);
    const answer = this.#answer(limited);
    // What it makes of a body that was refused matters no more.
    answer.catch(() => {});
    return await Promise.race([refused, answer.catch((error) => length > most ? refused : Promise.reject(error))]);
  }

  fetch(request: Request): Response | Promise<Response> {
    const { fetch } = this.#options;
    return fetch ? fetch.call(this, request, this) : new Response("Not found\n", { status: 404 });
  }

  requestIP(request: Request): { address: string; port: number; family: string } | null {
    const visitor = this.#visitors.get(request)?.remoteAddr;
    if (visitor === undefined) return null;
    const { hostname, port } = visitor;
    return { address: hostname, port, family: hostname.includes(":") ? "IPv6" : "IPv4" };
  }

  reload(options: BunOptions): this {
    this.#options = { ...this.#options, ...options };
    this.#routes = routesOf(this.#options);
    this.#real?.reload(options);
    return this;
  }

  stop(force?: boolean): Promise<void> {
    if (this.#real) return this.#real.stop(force);
    return !force && this.#end ? this.#end() : Promise.resolve();
  }

  /** Accepts a WebSocket; `false` where there is none, or the connection cannot carry it. */
  upgrade(
    request: Request,
    { data, headers }: { data?: unknown; headers?: ConstructorParameters<typeof Headers>[0] } = {},
  ): boolean {
    const visitor = this.#visitors.get(request);
    const { websocket } = this.#options;
    if (visitor === undefined || websocket === undefined || request.headers.get("upgrade") === null) return false;
    const added = new Headers(headers);
    const protocol = added.get("sec-websocket-protocol") ?? undefined;
    const { idleTimeout, maxPayloadLength } = websocket;
    const { socket, response } = visitor.upgradeWebSocket(request, { protocol, idleTimeout, maxPayloadLength });
    if (response.status !== 101) return false;
    added.delete("sec-websocket-protocol");
    added.forEach((value, name) => response.headers.append(name, value));
    this.#upgraded.set(request, response);
    this.pendingWebSockets++;
    socket.addEventListener("close", () => this.pendingWebSockets--);
    new BunSocket(socket, websocket, { data, remoteAddress: visitor.remoteAddr.hostname, topics: this.#topics });
    return true;
  }

  publish(topic: string, data: Message): number {
    return this.#topics.publish(topic, data);
  }

  subscriberCount(topic: string): number {
    return this.#topics.of(topic).size;
  }

  timeout(): void {}

  ref(): void {}

  unref(): void {}

  [Symbol.dispose](): void {
    this.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

interface Route {
  path: string;
  pattern: RegExp;
  answer: unknown;
}

/**
 * Routes of `Bun.serve`, the most exact first.
 *
 * @throws {TypeError} for one that only `Bun.serve` itself can answer
 */
function routesOf({ routes, static: old }: BunOptions): Route[] {
  const rank = (path: string) => (path.includes("*") ? 2e6 : path.includes(":") ? 1e6 : 0) - path.length;
  const all = Object.entries({ ...old, ...routes });
  const [bundled] = all.find(([, answer]) => typeof (answer as { index?: unknown } | null)?.index === "string") ?? [];
  if (bundled !== undefined) {
    throw new TypeError(
      `The route "${bundled}" is HTML that Bun.serve bundles: run the application as it is by execjs=, ` +
        "or build the pages (bun build) and serve their folder by static=",
    );
  }
  return all.toSorted(([a], [b]) => rank(a) - rank(b)).map(([path, answer]) => ({ path, pattern: patternOf(path), answer }));
}

/** `/users/:id` and `/files/*`. */
function patternOf(path: string): RegExp {
  const escaped = path.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/:(\w+)/g, "(?<$1>[^/]+)").replaceAll("*", ".*")}$`);
}

/** The answer of the first route that has one. */
function answerByRoute(
  routes: readonly Route[],
  request: Request,
  server: { fetch(request: Request): Response | Promise<Response> },
): Response | Promise<Response> | undefined {
  if (routes.length === 0) return undefined;
  const { pathname } = new URL(request.url);
  for (const { path, pattern, answer } of routes) {
    const match = pattern.exec(pathname);
    if (match === null) continue;
    const chosen = answerFor(answer, request.method);
    if (chosen instanceof Response) return chosen.clone() as Response;
    if (chosen instanceof Blob) return fileResponse(chosen as BunFile, request, () => server.fetch(request));
    if (isFolder(chosen)) return folderResponse(chosen.dir, pathname.slice(path.length - 1), request);
    if (typeof chosen !== "function") continue;
    const params = Object.fromEntries(Object.entries(match.groups ?? {}).map(([name, text]) => [name, decoded(text)]));
    Object.defineProperty(request, "params", { value: params, configurable: true });
    return withCookies(request, () => chosen.call(server, request, server));
  }
  return undefined;
}

function answerFor(answer: unknown, method: string): unknown {
  const isSimple = answer instanceof Response || answer instanceof Blob || isFolder(answer);
  if (typeof answer !== "object" || answer === null || isSimple) return answer;
  const byMethod = answer as Record<string, unknown>;
  return byMethod[method] ?? (method === "HEAD" ? byMethod.GET : undefined);
}

function isFolder(answer: unknown): answer is { dir: string } {
  return typeof (answer as { dir?: unknown } | null)?.dir === "string";
}

const notFound = () => new Response(null, { status: 404 });

/**
 * A file, the part of it that a range asks for, or that it has not changed: RFC 9110, 13.2.2 and 14.
 *
 * @param otherwise answers if it is not there
 */
async function fileResponse(
  file: BunFile,
  request: Request,
  otherwise: () => Response | Promise<Response> = notFound,
): Promise<Response> {
  if (typeof file.exists !== "function") return new Response(file);
  if (!await file.exists()) return await otherwise();
  const { size, type } = file;
  const seconds = Math.floor(file.lastModified / 1000) * 1000;
  const modified = new Date(seconds).toUTCString();
  const etag = `W/"${size.toString(16)}-${file.lastModified.toString(16)}"`;
  const headers: Record<string, string> = { "accept-ranges": "bytes", "content-type": type, "last-modified": modified, etag };
  const asked = (name: string) => request.headers.get(name);
  if (request.method !== "GET" && request.method !== "HEAD") return new Response(file, { headers });
  const known = asked("if-none-match");
  const isKnown = known === null
    ? Date.parse(asked("if-modified-since") ?? "") >= seconds
    : known === "*" || known.includes(etag);
  if (isKnown) return new Response(null, { status: 304, headers });
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(asked("range") ?? "") ?? [];
  const isStale = asked("if-range") !== null && asked("if-range") !== modified;
  if (request.method === "HEAD" || isStale || !first && !last) return new Response(file, { headers });
  const start = first ? Number(first) : Math.max(size - Number(last), 0);
  const end = first && last ? Math.min(Number(last), size - 1) : size - 1;
  if (first && last && Number(last) < Number(first)) return new Response(file, { headers });
  if (start >= size) return new Response(null, { status: 416, headers: { ...headers, "content-range": `bytes */${size}` } });
  return new Response(file.slice(start, end + 1, type), {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${start}-${end}/${size}` },
  });
}

/** @param path below the folder, as it was requested */
function folderResponse(dir: string, path: string, request: Request): Response | Promise<Response> {
  const root = join(resolve(dir), "/");
  const file = join(root, decoded(path));
  if (!file.startsWith(root) || file.endsWith("/") || file.includes("\0")) return notFound();
  return fileResponse(bun!.file(file), request);
}

/** Percent-encoding is undone as Bun does it: what is invalid is no error. */
function decoded(text: string): string {
  return new URLSearchParams(`=${text.replace(/[+&]/g, encodeURIComponent)}`).get("")!;
}

/** Calls a handler that may look at `request.cookies` and set some. */
async function withCookies(request: Request, handle: () => Response | Promise<Response>): Promise<Response> {
  let cookies: { toSetCookieHeaders(): string[] } | undefined;
  const get = () => cookies ??= new bun!.CookieMap(request.headers.get("cookie") ?? "");
  Object.defineProperty(request, "cookies", { get, configurable: true });
  const response = await handle();
  const lines = cookies?.toSetCookieHeaders() ?? [];
  if (lines.length === 0) return response;
  // The headers of some responses cannot be changed.
  const changed = new Response(response.body, response);
  for (const line of lines) changed.headers.append("set-cookie", line);
  return changed;
}

// Deno

interface DenoOptions {
  port?: number;
  hostname?: string;
  path?: string;
  handler?: DenoHandler;
  onListen?: (address: unknown) => void;
  onError?: (error: unknown) => Response | Promise<Response>;
  signal?: AbortSignal;
}

type DenoHandler = (request: Request, info: unknown) => Response | Promise<Response>;

interface DenoServer {
  finished: Promise<void>;
  shutdown(): Promise<void>;
}

function replaceDeno(): void {
  const { Deno: deno } = globalThis as { Deno?: { serve(...args: unknown[]): DenoServer } };
  if (!deno) return;
  const original = deno.serve;
  const serve = (...args: unknown[]) => notify ? standInDenoServer(args, original, notify) : Reflect.apply(original, deno, args);
  Object.defineProperty(deno, "serve", { value: serve, configurable: true, writable: true });
}

function standInDenoServer(
  args: unknown[],
  original: (...args: unknown[]) => DenoServer,
  notify: (listening: Listening) => void,
): DenoServer {
  const options: DenoOptions = typeof args[0] === "object" && args[0] !== null ? args[0] : {};
  const handler = args.find((arg) => typeof arg === "function") as DenoHandler | undefined ?? options.handler;
  if (handler === undefined) throw new TypeError("A handler function must be provided");
  const { path, onError, onListen, signal } = options;
  const port = (options.port ?? (Number(process.env.PORT) || 8000)) || 80;
  const hostname = options.hostname ?? "0.0.0.0";
  const addr = path === undefined ? { transport: "tcp", hostname, port } : { transport: "unix", path };
  const finished = Promise.withResolvers<void>();
  let real: DenoServer | undefined;
  let end: (() => Promise<void>) | undefined;
  signal?.addEventListener("abort", () => finished.resolve());
  const shutdown = async () => {
    await (real ? real.shutdown() : end?.());
    finished.resolve();
  };
  notify({
    place: path ?? `port ${port}`,
    port: path === undefined ? port : undefined,
    handler: onError === undefined ? handler : async (request, info) => {
      try {
        return await handler(request, info);
      } catch (error) {
        return await onError(error);
      }
    },
    // Some wait for it.
    accept(given) {
      end = given;
      process.nextTick(() => onListen?.(addr));
    },
    release() {
      real = original(...args);
      real.finished.then(finished.resolve, finished.reject);
    },
  });
  const server = { addr, finished: finished.promise, shutdown, ref() {}, unref() {}, [Symbol.asyncDispose]: shutdown };
  return server;
}
