/**
 * The server: a listener, its connections, and how they end.
 *
 * @module
 */
import process from "node:process";
import { patchGlobals } from "../gateway/patch_globals.ts";
import { isScriptName, type UrlOptions } from "../gateway/url.ts";
import { Trust } from "../protocol/http/forwarded.ts";
import { encodeText } from "../protocol/params.ts";
import type { ServerCodec } from "../protocol/protocol.ts";
import { descriptorLimit, roomForConnections } from "../runtime/descriptor.ts";
import { listen, ListenError } from "../runtime/listen.ts";
import {
  type Address,
  type Connection,
  type ConnectionHandler,
  type Endpoint,
  formatAddress,
  type Listener,
} from "../runtime/socket.ts";
import type { Capture } from "./capture.ts";
import { type ConnectionContext, ServerConnection, TICK_SECONDS } from "./connection.ts";
import { date } from "./date.ts";
import type { Exchange } from "./exchange.ts";
import type { Handler, OnError } from "./handler.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { entryText } from "./log_text.ts";
import type { RequestObserver } from "./monitor.ts";
import { allocate } from "./output.ts";
import type { EndpointProtocol, Origin, ServerCodecOptions } from "../protocol/protocols.ts";
import {
  endpointOf,
  expectOptions,
  type GivenEndpoint,
  type ServeEndpoint,
  type ServeOptions,
  type WorkerServeOptions,
} from "./options.ts";
import { spoolFolder } from "./spool.ts";
import { version } from "./version.ts";
import { WebServers } from "./web_servers.ts";

/** A running server. */
export interface Server extends AsyncDisposable {
  /** What it speaks. */
  readonly protocol: EndpointProtocol;
  /** Where it listens. */
  readonly address: Address;
  /** Resolves when the server is shut down and its last connection is closed. Never rejects. */
  readonly finished: Promise<void>;
  /**
   * Stops listening, lets requests in flight finish, and closes their connections. Called again, it can only become
   * stricter.
   *
   * @param grace seconds after which requests in flight are cut; default 30
   * @returns a promise like {@linkcode Server.finished}
   */
  shutdown(grace?: number): Promise<void>;
  /** Keeps the process running as long as the server listens, which is the default. */
  ref(): void;
  /** Lets the process end although the server listens. */
  unref(): void;
  /** The same as {@linkcode Server.shutdown} with its default: for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A server with a supervisor. */
export interface WorkerServer extends Server {
  /** Resolves when a shutdown has closed the endpoint. */
  readonly stoppedListening: Promise<void>;
  /** Pauses or resumes accepting; new connections wait in the kernel's queue. Has no effect unless `shared`. */
  hold(held: boolean): void;
  /**
   * @param leaveQueue leaves connections in the kernel's queue to others that listen on the same socket
   * @param patient cuts event streams alone, and waits for other requests as long as they take
   */
  shutdown(grace?: number, leaveQueue?: boolean, patient?: boolean): Promise<void>;
}

/**
 * Serves a fetch handler to web servers over FastCGI, SCGI, AJP, uwsgi or HTTP.
 *
 * Over FastCGI and TCP only the addresses in the environment variable FCGI_WEB_SERVER_ADDRS may connect, where that is set
 * (FastCGI 1.0, section 3.2).
 *
 * @example
 * ```ts
 * import { serve } from "runfcgi";
 *
 * await using server = await serve({ port: 0 }, (request, info) => {
 *   return new Response(`${info.remoteAddr.hostname} asked for ${new URL(request.url).pathname}\n`);
 * });
 * console.log("Serving on", server.address);
 * ```
 *
 * @param options an endpoint (`socket`, `port` or `fd`), and how to serve there
 * @param handler a function, or an object with one called `fetch`, such as a Hono application
 * @returns the server, once the endpoint accepts connections
 * @throws {ListenError} when the endpoint cannot be listened on
 * @throws {TypeError} unless exactly one endpoint is given, or if an option does not exist or is invalid, or
 * FCGI_WEB_SERVER_ADDRS is
 */
export async function serve(options: ServeOptions & ServeEndpoint, handler: Handler | { fetch: Handler }): Promise<Server> {
  expectOptions(options);
  const endpoint = endpointOf(options);
  const call = typeof handler === "function" ? handler : handlerIn(handler);
  const { patchGlobals: patches = false } = options;
  return await start(options, endpoint, call, patches);
}

function handlerIn(app: { fetch: Handler } | null | undefined): Handler {
  if (typeof app?.fetch === "function") return (request, info) => app.fetch(request, info);
  throw new TypeError("The handler is neither a function nor an object with a function fetch");
}

/** Serves for a supervisor: the application is the only one in its process, so the globals may be patched. */
export function serveWorker(
  options: WorkerServeOptions & GivenEndpoint,
  handler: Handler,
): Promise<WorkerServer> {
  return start(options, endpointOf(options), handler, true);
}

async function start(
  options: WorkerServeOptions & { mode?: number },
  endpoint: Endpoint,
  handler: Handler,
  patches: boolean,
): Promise<WorkerServer> {
  // Loaded where it is needed, since there are many workers.
  const capture = options.capture && new (await import("./capture.ts")).Capture(options.capture);
  const server = new RunningServer(options, handler, await codecOf(options.protocol ?? "fcgi"), capture);
  if (patches) patchGlobals();
  await server.listen(endpoint, options);
  return server;
}

/** What reads and writes on a connection. */
type MakeCodec = (options: ServerCodecOptions, origin: Origin) => ServerCodec;

/** The most usual protocol does without the code of the others. */
async function codecOf(protocol: EndpointProtocol): Promise<MakeCodec> {
  if (protocol === "fcgi") {
    const { FastCgiServer } = await import("../protocol/fastcgi/server.ts");
    return (options) => new FastCgiServer(options);
  }
  if (protocol === "auto") {
    const { AutoServer } = await import("../protocol/auto.ts");
    return (options, origin) => new AutoServer(options, origin);
  }
  return (await import("../protocol/protocols.ts")).protocols[protocol].server;
}

/** As byte strings, which params are. @throws {TypeError} for an invalid `scriptName` */
export function urlOptionsOf(
  { scriptName, urlFrom, frontControllers }: Pick<ServeOptions, "scriptName" | "urlFrom" | "frontControllers">,
): UrlOptions {
  if (scriptName !== undefined && !isScriptName(scriptName)) {
    throw new TypeError(`scriptName is "${scriptName}", expected "" or a path such as "/app"`);
  }
  return {
    scriptName: scriptName === undefined ? undefined : encodeText(scriptName),
    urlFrom,
    frontControllers: frontControllers?.map(encodeText),
  };
}

/** The kernel's queue is empty after so many turns of the event loop without a connection. Node accepts one a turn. */
const QUIET_TURNS = 2;
/** Turns after which a shutdown goes on although connections still come in. */
const MAX_TURNS = 600;
/** Milliseconds for a web server to read the error pages of cut requests. */
const CUT_MS = 1000;
const STOPPING = "the server is shutting down";

/** Share of the connections, idle ones, that are closed when the limit is reached. */
const MADE_ROOM = 1 / 2;
/** Milliseconds in which they may still send a request. */
const EXPECT_MS = 200;
/** Milliseconds between two log lines that the limit is reached. */
const CROWDED_AGAIN_MS = 60_000;

class RunningServer implements WorkerServer, ConnectionContext, RequestObserver {
  readonly protocol: EndpointProtocol;
  readonly handler: Handler;
  readonly onError: OnError;
  readonly limits: Limits;
  readonly urls: UrlOptions;
  readonly duplex: boolean;
  readonly earlyHints: boolean;
  readonly spoolFolder: string;
  readonly shownBody: number | undefined;
  readonly trust: Trust | undefined;
  readonly #makeCodec: MakeCodec;
  /** Whatever the limit of open files allows. */
  readonly #maxConnections: number;
  readonly #codecOptions: ServerCodecOptions;
  /** For connections above the limit: every request is refused. */
  readonly #fullOptions: ServerCodecOptions;
  /** Addresses that may connect over TCP, if not all. */
  readonly #webServers: WebServers | undefined;
  readonly #concurrency: number;
  readonly #timeout: number | undefined;
  readonly #capture: Capture | undefined;
  readonly #observer: RequestObserver | undefined;
  readonly #connections = new Set<ServerConnection>();
  readonly #requests = new Set<Exchange>();
  /** Connections whose first request is still to come. */
  readonly #fresh = new Set<ServerConnection>();
  /** Connections above the limit that the runtime had accepted already: Deno accepts 128 before it reports the first. */
  readonly #waiting = new Set<Waiting>();
  /** Connections that are being closed to make room. */
  readonly #leaving = new Set<ServerConnection>();
  #toldCrowdedAt = -Infinity;
  #held = false;
  #pausedListening = false;
  readonly #finished = Promise.withResolvers<void>();
  readonly #stoppedListening = Promise.withResolvers<void>();
  #accepted = 0;
  #listening = true;
  #listener: Listener | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;
  #requestClock: ReturnType<typeof setInterval> | undefined;
  #shutdown: Promise<void> | undefined;
  /** Work after responses. */
  readonly #works = new Set<Promise<unknown>>();
  #cutTimer: ReturnType<typeof setTimeout> | undefined;
  /** When all requests are cut, on the clock of `performance.now()`. */
  #cutAt = Infinity;

  constructor(options: WorkerServeOptions, handler: Handler, makeCodec: MakeCodec, capture: Capture | undefined) {
    this.#makeCodec = makeCodec;
    this.#capture = capture;
    this.protocol = options.protocol ?? "fcgi";
    this.handler = handler;
    if (options.proxyProtocol && this.protocol !== "http" && this.protocol !== "auto") {
      throw new TypeError(`proxyProtocol belongs to HTTP, not to ${this.protocol}`);
    }
    this.onError = options.onError ?? printError;
    const limits = { ...defaultLimits, ...options.limits };
    this.#maxConnections = limits.maxConnections;
    this.limits = { ...limits, maxConnections: Math.min(limits.maxConnections, roomForConnections(options.threads)) };
    this.urls = urlOptionsOf(options);
    this.duplex = options.duplex ?? false;
    this.shownBody = options.shownBody;
    this.earlyHints = options.earlyHints ?? false;
    this.spoolFolder = spoolFolder(options.spoolDir);
    const { FCGI_WEB_SERVER_ADDRS: webServers } = process.env;
    const isFastCgi = this.protocol === "fcgi" || this.protocol === "auto";
    if (isFastCgi && webServers !== undefined) this.#webServers = new WebServers(webServers);
    this.#concurrency = options.concurrency ?? Infinity;
    this.#timeout = options.timeout;
    this.#observer = options.observer;
    const { roles = ["responder"], packetSize } = options;
    const trust = new Trust(options.trust, options.trustHeaders);
    if (trust.any) this.trust = trust;
    const secret = options.secret === "none" ? undefined : options.secret;
    this.#codecOptions = {
      ...this.limits,
      roles,
      packetSize,
      secret,
      trust,
      proxyProtocol: options.proxyProtocol,
      software: `runfcgi/${version}`,
      date,
      allocate,
    };
    this.#fullOptions = { ...this.#codecOptions, maxConcurrent: 0 };
  }

  async listen(endpoint: Endpoint, options: WorkerServeOptions & { mode?: number }): Promise<void> {
    options.signal?.throwIfAborted();
    // With a port it is known before anybody can connect, with a descriptor only then.
    if (endpoint.transport !== "fd") this.#expectGuarded(endpoint, options.secret);
    const shared = options.shared ?? this.#concurrency !== Infinity;
    const accept = (connection: Connection) => this.#isStranger(connection) ? refuse(connection) : this.#accept(connection);
    const listener = await listen(endpoint, accept, { ...options, shared });
    try {
      this.#expectGuarded(listener.address, options.secret);
    } catch (error) {
      listener.close();
      throw error;
    }
    this.#listener = listener;
    this.#clock = setInterval(() => this.#tick(), TICK_SECONDS * 1000);
    this.#clock.unref?.();
    if (this.#timeout !== undefined) {
      this.#requestClock = setInterval(() => this.#findLate(this.#timeout!), Math.min(1000, this.#timeout * 250));
      this.#requestClock.unref?.();
    }
    options.signal?.addEventListener("abort", () => this.shutdown(), { once: true });
    if (options.signal?.aborted) this.shutdown();
    options.onListen?.(this.address);
  }

  /** Anybody who can reach an AJP endpoint can impersonate any visitor (CVE-2020-1938). */
  #expectGuarded(address: Address, secret: string | undefined): void {
    if ((this.protocol !== "ajp" && this.protocol !== "auto") || secret !== undefined || address.transport === "unix") return;
    if (/^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/.test(address.hostname)) return;
    throw new ListenError(
      `Cannot listen for AJP on ${formatAddress(address)} without a secret, since other machines reach it: ` +
        "give secret=WORD here and in the web server, or secret=none if a firewall guards it",
    );
  }

  get address(): Address {
    return this.#listener!.address;
  }

  ref(): void {
    this.#listener!.ref?.();
  }

  unref(): void {
    this.#listener!.unref?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  get stoppedListening(): Promise<void> {
    return this.#stoppedListening.promise;
  }

  /** Whether FCGI_WEB_SERVER_ADDRS excludes a connection. */
  #isStranger(connection: Connection): boolean {
    if (this.#webServers === undefined) return false;
    // Over a Unix socket permissions decide.
    const isTcp = this.#listener ? this.#listener.address.transport === "tcp" : connection.addresses !== undefined;
    if (!isTcp) return false;
    return this.#webServers.refuses(connection, (text) => this.onError(new Error(text), { during: "a connection" }));
  }

  #accept(connection: Connection): ConnectionHandler {
    const waits = this.#listener?.pause !== undefined;
    if (waits && this.#full) {
      const waiting = new Waiting(connection);
      this.#waiting.add(waiting);
      return waiting;
    }
    const full = this.#crowded && !waits;
    const options = full ? this.#fullOptions : this.#codecOptions;
    const codec = this.#makeCodec(options, connection);
    const served = new ServerConnection(connection, this.#capture?.wrap(codec) ?? codec, this, full);
    this.#accepted++;
    this.#connections.add(served);
    if (this.#concurrency !== Infinity) this.#fresh.add(served);
    if (full || (waits && this.#crowded)) this.#makeRoom();
    this.#throttle();
    return served;
  }

  /** Serves those that wait in this process, as far as there is room. */
  #admit(): void {
    for (const waiting of this.#waiting) {
      if (this.#full) return;
      this.#waiting.delete(waiting);
      if (!waiting.gone) waiting.give(this.#accept(waiting.connection));
    }
  }

  get observer(): RequestObserver {
    return this;
  }

  get overTcp(): boolean {
    return this.#listener?.address.transport === "tcp";
  }

  begun(request: Exchange): void {
    this.#requests.add(request);
    this.#fresh.delete(request.owner as ServerConnection);
    this.#throttle();
    this.#observer?.begun(request);
  }

  ended(request: Exchange): void {
    this.#requests.delete(request);
    // The connection waits for the next one as soon as this one is sent.
    if (this.#pausedListening && this.#crowded) setTimeout(() => this.#makeRoom(), 0);
    this.#throttle();
    this.#observer?.ended(request);
  }

  working(request: Exchange, work: Promise<unknown>): void {
    this.#works.add(work);
    this.#observer?.working?.(request, work);
    work.then(() => {
      this.#works.delete(work);
      this.#throttle();
      this.#finishIfOver();
    });
  }

  upgraded(request: Exchange, closed: Promise<void>): void {
    this.#observer?.upgraded?.(request, closed);
  }

  hold(held: boolean): void {
    this.#held = held;
    this.#throttle();
  }

  #throttle(): void {
    if (this.#shutdown) return;
    const full = this.#held || this.#crowded || this.#requests.size + this.#works.size + this.#fresh.size >= this.#concurrency;
    if (full === this.#pausedListening) return;
    this.#pausedListening = full;
    if (full) this.#listener?.pause?.();
    else this.#listener?.resume?.();
  }

  /** The limit of connections is reached. */
  get #crowded(): boolean {
    return this.#connections.size >= this.limits.maxConnections;
  }

  /**
   * No more may be served. Where the limit of open files allows fewer, those above have their descriptors already, for which
   * room was left.
   */
  get #full(): boolean {
    return this.#connections.size >= this.#maxConnections && !this.#shutdown;
  }

  /** Closes the longest idle connections for others that wait; a request that is about to arrive is still answered. */
  #makeRoom(): void {
    if (this.#shutdown || !this.#crowded) return;
    if (this.#listener?.pause) this.#tellCrowded();
    const { maxConnections } = this.limits;
    const surplus = this.#connections.size - maxConnections;
    let wanted = surplus + Math.max(1, Math.floor(maxConnections * MADE_ROOM)) - this.#leaving.size;
    const idle = [...this.#connections].filter((connection) => connection.idle).sort((a, b) => b.quietTicks - a.quietTicks);
    for (const connection of idle) {
      if (wanted-- <= 0) return;
      this.#leaving.add(connection);
      connection.shutDown(EXPECT_MS);
    }
  }

  #tellCrowded(): void {
    const now = performance.now();
    if (now - this.#toldCrowdedAt < CROWDED_AGAIN_MS) return;
    this.#toldCrowdedAt = now;
    const limit = descriptorLimit();
    const open = limit === Infinity ? "" : ` and the limit of open files (ulimit -n), which is ${limit},`;
    const reason = `There are ${this.#connections.size} connections, as many as maxconnections${open} allow: others wait. ` +
      "Raise the one that is too low";
    this.onError(new Error(reason), { during: "accepting connections" });
  }

  #tick(): void {
    if (this.#pausedListening) this.#makeRoom();
    for (const connection of this.#connections) connection.tick();
    // A silent connection must not hold a request's slot for ever.
    this.#fresh.clear();
    this.#throttle();
  }

  #findLate(timeout: number): void {
    const now = performance.now();
    for (const request of this.#requests) {
      // In the order in which they began.
      if (now - request.begunAt < timeout * 1000) return;
      request.timeOut(timeout);
    }
  }

  closed(connection: ServerConnection): void {
    this.#connections.delete(connection);
    this.#leaving.delete(connection);
    this.#fresh.delete(connection);
    if (this.#waiting.size > 0) this.#admit();
    this.#throttle();
    this.#finishIfOver();
  }

  shutdown(grace = 30, leaveQueue = false, patient = false): Promise<void> {
    const cutAt = performance.now() + grace * 1000;
    if (!patient && cutAt < this.#cutAt) {
      this.#cutAt = cutAt;
      clearTimeout(this.#cutTimer);
      this.#cutTimer = setTimeout(() => this.#cut(), grace * 1000);
    }
    if (patient) setTimeout(() => this.#endStreams(), grace * 1000).unref?.();
    return this.#shutdown ??= this.#shutDown(leaveQueue);
  }

  #endStreams(): void {
    for (const connection of this.#connections) connection.cutOff(STOPPING, ({ lasting }) => lasting);
  }

  #cut(): void {
    for (const connection of this.#connections) connection.cutOff(STOPPING);
    if (this.#works.size > 0) {
      this.onError(new Error(`Stopped waiting for the work of ${this.#works.size} requests: ${STOPPING}`), {
        during: "a shutdown",
      });
      this.#works.clear();
      this.#finishIfOver();
    }
    this.#cutTimer = setTimeout(() => {
      for (const connection of this.#connections) connection.abandon("The server is shutting down");
    }, CUT_MS);
  }

  async #shutDown(leaveQueue: boolean): Promise<void> {
    if (!leaveQueue) {
      this.#listener!.refuse?.();
      if (this.#pausedListening) await this.#listener!.resume?.();
    }
    // Connections from before the shutdown are still answered.
    for (let turn = leaveQueue ? MAX_TURNS : 0, quiet = 0; turn < MAX_TURNS && quiet < QUIET_TURNS; turn++) {
      const before = this.#accepted;
      await new Promise((resolve) => setTimeout(resolve, 0));
      quiet = this.#accepted === before ? quiet + 1 : 0;
    }
    await this.#listener!.close();
    this.#listening = false;
    this.#admit();
    this.#stoppedListening.resolve();
    for (const connection of this.#connections) connection.shutDown();
    this.#finishIfOver();
    await this.finished;
  }

  #finishIfOver(): void {
    if (this.#listening || this.#connections.size > 0 || this.#works.size > 0) return;
    clearTimeout(this.#cutTimer);
    clearInterval(this.#clock);
    clearInterval(this.#requestClock);
    this.#finished.resolve();
  }
}

/** A connection that is not read until there is room for it. */
class Waiting implements ConnectionHandler {
  readonly connection: Connection;
  gone = false;
  #handler: ConnectionHandler | undefined;
  /** What came although it is not read. */
  #early: ((handler: ConnectionHandler) => void)[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
    connection.pause();
  }

  give(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.connection.resume();
    for (const tell of this.#early) tell(handler);
    this.#early = [];
  }

  #tell(tell: (handler: ConnectionHandler) => void): void {
    if (this.#handler) tell(this.#handler);
    else this.#early.push(tell);
  }

  data(bytes: Uint8Array): void {
    this.#tell((handler) => handler.data(bytes));
  }

  end(): void {
    this.#tell((handler) => handler.end());
  }

  drain(): void {
    this.#tell((handler) => handler.drain());
  }

  close(error?: Error): void {
    this.gone = true;
    this.#handler?.close(error);
  }
}

function refuse(connection: Connection): ConnectionHandler {
  // Not before the runtime has its handler.
  queueMicrotask(() => connection.destroy());
  return { data() {}, end() {}, drain() {}, close() {} };
}

function printError(error: Error, context: { during: string }): void {
  process.stderr.write(`${entryText(`${context.during}: ${error.stack ?? error}`)}\n`);
}
