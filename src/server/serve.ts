/**
 * The server: a listener, its connections, and how they end.
 *
 * @module
 */
import process from "node:process";
import { teachPlatform } from "../gateway/platform.ts";
import { isScriptName } from "../gateway/url.ts";
import { Trust } from "../protocol/http/forwarded.ts";
import { encodeText } from "../protocol/params.ts";
import type { Role } from "../protocol/protocol.ts";
import { listen, ListenError } from "../runtime/listen.ts";
import {
  type Address,
  type Connection,
  type ConnectionHandler,
  type Endpoint,
  formatAddress,
  type Listener,
} from "../runtime/socket.ts";
import { AutoServer } from "./auto.ts";
import { Capture, type CaptureOptions } from "./capture.ts";
import { type ConnectionContext, ServerConnection, TICK_SECONDS } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import type { Handler, OnError } from "./handler.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { entryText } from "./log_text.ts";
import type { RequestObserver } from "./monitor.ts";
import { allocate } from "./output.ts";
import { type EndpointProtocol, protocols, type ServerCodecOptions } from "./protocols.ts";
import { version } from "./version.ts";

/** How to serve. Exactly one endpoint is given: `socket`, `port` or `fd`. */
export interface ServeOptions {
  /** Path of a Unix socket. A stale file is replaced, a live one is an error. */
  socket?: string;
  /** Address to listen on, with `port`; default `127.0.0.1`. */
  host?: string;
  /** TCP port; 0 for one of the kernel's choice. */
  port?: number;
  /** A listening socket that this process inherited, such as 0. */
  fd?: number;
  /** What the web server speaks, or `auto` for whichever of the five a connection speaks; default `fcgi`. */
  protocol?: EndpointProtocol;
  /** Permissions of the Unix socket, such as `0o660`; default is what the umask leaves. */
  mode?: number;
  /** Connections that the kernel holds until they are accepted; default 511. Bun always asks for 512. */
  backlog?: number;
  /**
   * What a web server has to bring with every request over AJP. Without one, AJP is not spoken on an address that other
   * machines reach, unless this is `"none"`.
   */
  secret?: string;
  /** Length of AJP packets, from 8192 to 65536; the web server has to be told of another than 8192. */
  packetSize?: number;
  /**
   * Proxies that are believed what they say of the visitor over HTTP (X-Forwarded-For and its like, Forwarded):
   * addresses, networks such as `10.0.0.0/8`, and the words `loopback`, `private` and `all`; default is none. Who comes
   * over a Unix socket is always believed.
   */
  trust?: readonly string[];
  /**
   * Where the application is mounted: `/app`, or `""` for the root of the host. Default is what follows from the params.
   * A path that is not below it has lost it on the way, so `request.url` gets it back.
   */
  scriptName?: string;
  /** FastCGI roles that the handler plays; default `["responder"]`. */
  roles?: readonly Role[];
  /** Seconds that the application has for a request; then the visitor gets a 504. Default is no limit. */
  timeout?: number;
  /**
   * Requests at once, above which new connections are left to other processes that listen on the same inherited
   * descriptor; default is no limit.
   */
  concurrency?: number;
  /** Other listeners in this process share the inherited descriptor: it stays open after a shutdown. */
  shared?: boolean;
  /** Told of every request when it begins and ends. */
  observer?: RequestObserver;
  /** Keeps the bytes of requests that fail; default is none. */
  capture?: CaptureOptions;
  /** Limits that differ from {@linkcode defaultLimits}. */
  limits?: Partial<Limits>;
  /** Aborting it shuts the server down. */
  signal?: AbortSignal;
  /** Called when the endpoint accepts connections. */
  onListen?: (address: Address) => void;
  /** Told of errors; default prints them to standard error. */
  onError?: OnError;
}

/** A running server. */
export interface Server {
  /** What it speaks. */
  readonly protocol: EndpointProtocol;
  /** Where it listens. */
  readonly address: Address;
  /** Resolves when the server is shut down and its last connection is closed. */
  readonly finished: Promise<void>;
  /** Resolves when a shutdown has closed the endpoint. */
  readonly stoppedListening: Promise<void>;
  /** Takes no further connections for now, or does again: who comes meanwhile waits. Has no effect unless `shared`. */
  hold(held: boolean): void;
  /**
   * Stops listening, lets requests that are under way finish, and closes their connections.
   *
   * @param grace seconds after which what is still under way is given up; default 30
   * @param leaveQueue leaves connections that the kernel holds to others who listen on the same socket
   */
  shutdown(grace?: number, leaveQueue?: boolean): Promise<void>;
}

/**
 * Serves a fetch handler to web servers.
 *
 * Requests are built as far as the handler looks at them. To make `new Request(request)` and `fetch(request)` work
 * with them, the globals `Request` and `fetch` are wrapped; for everything else they stay what they were.
 *
 * @example
 *     import { serve } from "./mod.ts";
 *
 *     const server = await serve({ socket: "/run/hello.sock" }, (request) => {
 *       return new Response(`Hello from ${new URL(request.url).pathname}\n`);
 *     });
 *     await server.finished;
 *
 * @throws {ListenError} when the endpoint cannot be listened on
 * @throws {TypeError} when the options name no endpoint, or more than one, what is no network in `trust`, or no
 * path in `scriptName`
 */
export async function serve(options: ServeOptions, handler: Handler): Promise<Server> {
  const server = new RunningServer(options, handler);
  await server.listen(endpointOf(options), options);
  return server;
}

function endpointOf({ socket, host, port, fd }: ServeOptions): Endpoint {
  const given = [socket, port, fd].filter((value) => value !== undefined);
  if (given.length !== 1) throw new TypeError("serve() takes one of the options socket, port and fd");
  if (socket !== undefined) return { transport: "unix", path: socket };
  if (port !== undefined) return { transport: "tcp", hostname: host ?? "127.0.0.1", port };
  return { transport: "fd", fd: fd! };
}

/** As a byte string, which params are. */
export function scriptNameOf({ scriptName }: Pick<ServeOptions, "scriptName">): string | undefined {
  if (scriptName === undefined) return undefined;
  if (!isScriptName(scriptName)) throw new TypeError(`scriptName is "${scriptName}", expected "" or a path such as "/app"`);
  return encodeText(scriptName);
}

/** The kernel holds no more connections when the event loop turned this often without one. Node takes one a turn. */
const QUIET_TURNS = 2;
/** After which a shutdown goes on although connections still come in. */
const MAX_TURNS = 600;

class RunningServer implements Server, ConnectionContext, RequestObserver {
  readonly protocol: EndpointProtocol;
  readonly handler: Handler;
  readonly onError: OnError;
  readonly limits: Limits;
  readonly scriptName: string | undefined;
  readonly #codecOptions: ServerCodecOptions;
  /** For connections above the limit: every request is refused. */
  readonly #fullOptions: ServerCodecOptions;
  readonly #concurrency: number;
  readonly #timeout: number | undefined;
  readonly #capture: Capture | undefined;
  readonly #observer: RequestObserver | undefined;
  readonly #connections = new Set<ServerConnection>();
  readonly #requests = new Set<Exchange>();
  /** Connections whose first request has not begun: each will be one soon. */
  readonly #fresh = new Set<ServerConnection>();
  #held = false;
  #pausedListening = false;
  readonly #finished = Promise.withResolvers<void>();
  readonly #stoppedListening = Promise.withResolvers<void>();
  #accepted = 0;
  #listener: Listener | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;
  #requestClock: ReturnType<typeof setInterval> | undefined;
  #shutdown: Promise<void> | undefined;

  constructor(options: ServeOptions, handler: Handler) {
    this.protocol = options.protocol ?? "fcgi";
    this.handler = handler;
    this.onError = options.onError ?? printError;
    this.limits = { ...defaultLimits, ...options.limits };
    this.scriptName = scriptNameOf(options);
    this.#concurrency = options.concurrency ?? Infinity;
    this.#timeout = options.timeout;
    this.#capture = options.capture && new Capture(options.capture);
    this.#observer = options.observer;
    const { roles = ["responder"], packetSize } = options;
    const secret = options.secret === "none" ? undefined : options.secret;
    this.#codecOptions = {
      ...this.limits,
      roles,
      packetSize,
      secret,
      trust: new Trust(options.trust),
      software: `runfcgi/${version}`,
      allocate,
    };
    this.#fullOptions = { ...this.#codecOptions, maxConcurrent: 0 };
  }

  async listen(endpoint: Endpoint, options: ServeOptions): Promise<void> {
    options.signal?.throwIfAborted();
    teachPlatform();
    // With a port it is known before anybody can connect, with a descriptor only then.
    if (endpoint.transport !== "fd") this.#expectGuarded(endpoint, options.secret);
    const shared = options.shared ?? this.#concurrency !== Infinity;
    const listener = await listen(endpoint, (connection) => this.#accept(connection), { ...options, shared });
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

  /** Whoever reaches an AJP endpoint can say who the visitor is (CVE-2020-1938). */
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

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  get stoppedListening(): Promise<void> {
    return this.#stoppedListening.promise;
  }

  #accept(connection: Connection): ConnectionHandler {
    const full = this.#connections.size >= this.limits.maxConnections;
    const options = full ? this.#fullOptions : this.#codecOptions;
    const codec = this.protocol === "auto"
      ? new AutoServer(options, connection)
      : protocols[this.protocol].server(options, connection);
    const served = new ServerConnection(connection, this.#capture?.wrap(codec) ?? codec, this, full);
    this.#accepted++;
    this.#connections.add(served);
    if (this.#concurrency !== Infinity) {
      this.#fresh.add(served);
      this.#throttle();
    }
    return served;
  }

  get observer(): RequestObserver {
    return this;
  }

  begun(request: Exchange): void {
    this.#requests.add(request);
    this.#fresh.delete(request.owner as ServerConnection);
    this.#throttle();
    this.#observer?.begun(request);
  }

  ended(request: Exchange): void {
    this.#requests.delete(request);
    this.#throttle();
    this.#observer?.ended(request);
  }

  hold(held: boolean): void {
    this.#held = held;
    this.#throttle();
  }

  #throttle(): void {
    if (this.#shutdown) return;
    const full = this.#held || this.#requests.size + this.#fresh.size >= this.#concurrency;
    if (full === this.#pausedListening) return;
    this.#pausedListening = full;
    if (full) this.#listener?.pause?.();
    else this.#listener?.resume?.();
  }

  #tick(): void {
    for (const connection of this.#connections) connection.tick();
    // Who connects and says nothing takes no request's place for ever.
    this.#fresh.clear();
    this.#throttle();
  }

  #findLate(timeout: number): void {
    const now = performance.now();
    for (const request of this.#requests) {
      // In the order of their begin.
      if (now - request.begunAt < timeout * 1000) return;
      request.timeOut(timeout);
    }
  }

  closed(connection: ServerConnection): void {
    this.#connections.delete(connection);
    if (this.#fresh.delete(connection)) this.#throttle();
    if (this.#shutdown && this.#connections.size === 0) this.#finish();
  }

  shutdown(grace = 30, leaveQueue = false): Promise<void> {
    return this.#shutdown ??= this.#shutDown(grace, leaveQueue);
  }

  async #shutDown(grace: number, leaveQueue: boolean): Promise<void> {
    if (!leaveQueue && this.#pausedListening) this.#listener!.resume?.();
    // What came in before the shutdown is still to be answered.
    for (let turn = leaveQueue ? MAX_TURNS : 0, quiet = 0; turn < MAX_TURNS && quiet < QUIET_TURNS; turn++) {
      const before = this.#accepted;
      await new Promise((resolve) => setTimeout(resolve, 0));
      quiet = this.#accepted === before ? quiet + 1 : 0;
    }
    await this.#listener!.close();
    this.#stoppedListening.resolve();
    const deadline = setTimeout(() => {
      for (const connection of this.#connections) connection.abandon("The server is shutting down");
    }, grace * 1000);
    for (const connection of this.#connections) connection.shutDown();
    if (this.#connections.size === 0) this.#finish();
    await this.finished;
    clearTimeout(deadline);
  }

  #finish(): void {
    clearInterval(this.#clock);
    clearInterval(this.#requestClock);
    this.#finished.resolve();
  }
}

function printError(error: Error, context: { during: string }): void {
  process.stderr.write(`${entryText(`${context.during}: ${error.stack ?? error}`)}\n`);
}
