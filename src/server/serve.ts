/**
 * The server: a listener, its connections, and how they end.
 *
 * @module
 */
import process from "node:process";
import { patchGlobals } from "../gateway/patch_globals.ts";
import { isScriptName, type UrlChoice, type UrlOptions } from "../gateway/url.ts";
import { Trust, type TrustedHeader } from "../protocol/http/forwarded.ts";
import { encodeText } from "../protocol/params.ts";
import type { Role } from "../protocol/protocol.ts";
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
import { AutoServer } from "../protocol/auto.ts";
import { Capture, type CaptureOptions } from "./capture.ts";
import { type ConnectionContext, ServerConnection, TICK_SECONDS } from "./connection.ts";
import { date } from "./date.ts";
import type { Exchange } from "./exchange.ts";
import type { Handler, OnError } from "./handler.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { entryText } from "./log_text.ts";
import type { RequestObserver } from "./monitor.ts";
import { allocate } from "./output.ts";
import { type EndpointProtocol, protocols, type ServerCodecOptions } from "../protocol/protocols.ts";
import { spoolFolder } from "./spool.ts";
import { version } from "./version.ts";
import { WebServers } from "./web_servers.ts";

/** How to serve. Exactly one endpoint is given: `socket`, `port` or `fd`. */
export interface ServeOptions {
  /** Path of a Unix socket. A stale file is replaced, a live one is an error. */
  socket?: string;
  /** Address to listen on, with `port`; default `127.0.0.1`. */
  host?: string;
  /** TCP port; 0 for any free port. */
  port?: number;
  /** A listening socket that this process inherited, such as 0. */
  fd?: number;
  /** What the web server speaks, or `auto` to detect it for each connection; default `fcgi`. */
  protocol?: EndpointProtocol;
  /** Permissions of the Unix socket, such as `0o660`; default follows the umask. */
  mode?: number;
  /** Connections that the kernel holds until they are accepted; default 511. Bun always asks for 512. */
  backlog?: number;
  /**
   * The secret that every AJP request has to contain. Without one, AJP is not spoken on an address that other
   * machines reach, unless this is `"none"`.
   */
  secret?: string;
  /** Length of AJP packets, from 8192 to 65536; another than 8192 has to be set in the web server as well. */
  packetSize?: number;
  /**
   * Trusted proxies: when REMOTE_ADDR, or over HTTP the peer, is one of them, the visitor is who X-Forwarded-For says, and
   * the scheme is that of X-Forwarded-Proto. Addresses, networks such as `10.0.0.0/8`, and the names `loopback`, `private`,
   * `cloudflare` (which has the visitor in CF-Connecting-IP) and `all`. Default is none; over HTTP the clients of a Unix
   * socket are always trusted.
   */
  trust?: readonly string[];
  /**
   * What is used of trusted proxies besides: X-Forwarded-Host, -Port and -Prefix, and Forwarded (RFC 7239). Default is none,
   * since many proxies pass them on as the visitor sent them.
   */
  trustHeaders?: readonly TrustedHeader[];
  /**
   * Where the application is mounted: `/app`, or `""` for the root of the host. Default is derived from the params.
   * It is added to a `request.url` that is not below it.
   */
  scriptName?: string;
  /**
   * What `request.url` is where a web server answers a visitor by asking for another URL, in a subrequest or after an
   * internal redirect: the `visitor`'s URL, or the web server's `target`. Default is the target, and the visitor's where
   * the web server went to the program as a file, to answer any URL.
   */
  urlFrom?: UrlChoice;
  /**
   * Paths of files that stand for the program where a web server leads all URLs to one file, such as `/index.php`. Not
   * needed for `.fcgi` files behind Apache, lighttpd and LiteSpeed, which start programs.
   */
  frontControllers?: readonly string[];
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
  /** Called when a request begins and ends. */
  observer?: RequestObserver;
  /** Keeps the bytes of requests that fail; default is none. */
  capture?: CaptureOptions;
  /**
   * Sends the head of a response at once, and not when the body of the request has been taken in: for web servers and
   * clients that read and write at the same time. Behind others, a response and an upload that cross would deadlock.
   */
  duplex?: boolean;
  /** Folder for request bodies that arrive before the application reads them; default is `os.tmpdir()`. */
  spoolDir?: string;
  /** Limits that differ from {@linkcode defaultLimits}. */
  limits?: Partial<Limits>;
  /** Aborting it shuts the server down. */
  signal?: AbortSignal;
  /** Called when the endpoint accepts connections. */
  onListen?: (address: Address) => void;
  /** Called for errors; default prints them to standard error. */
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
  /** Pauses or resumes accepting; new connections wait in the kernel's queue. Has no effect unless `shared`. */
  hold(held: boolean): void;
  /**
   * Stops listening, lets requests in flight finish, and closes their connections. Another call can only make it
   * stricter.
   *
   * @param grace seconds after which requests still in flight are cut off; default 30
   * @param leaveQueue leaves queued connections to other processes that listen on the same socket
   * @param patient cuts event streams alone, and waits for other requests as long as they take
   */
  shutdown(grace?: number, leaveQueue?: boolean, patient?: boolean): Promise<void>;
}

/**
 * Serves a fetch handler to web servers.
 *
 * Requests are built lazily, as the handler uses them. To make `new Request(request)` and `fetch(request)` work
 * with them, the globals `Request` and `fetch` are wrapped; otherwise they work as before.
 *
 * @example
 *     import { serve } from "./mod.ts";
 *
 *     const server = await serve({ socket: "/run/hello.sock" }, (request) => {
 *       return new Response(`Hello from ${new URL(request.url).pathname}\n`);
 *     });
 *     await server.finished;
 *
 * Over FastCGI and TCP only the addresses in the environment variable FCGI_WEB_SERVER_ADDRS may connect, where that is set.
 *
 * @throws {ListenError} when it cannot listen on the endpoint
 * @throws {TypeError} unless exactly one endpoint is given, or if `trust`, `scriptName`, `spoolDir` or the environment
 * variable FCGI_WEB_SERVER_ADDRS is invalid
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

class RunningServer implements Server, ConnectionContext, RequestObserver {
  readonly protocol: EndpointProtocol;
  readonly handler: Handler;
  readonly onError: OnError;
  readonly limits: Limits;
  readonly urls: UrlOptions;
  readonly duplex: boolean;
  readonly spoolFolder: string;
  readonly trust: Trust | undefined;
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

  constructor(options: ServeOptions, handler: Handler) {
    this.protocol = options.protocol ?? "fcgi";
    this.handler = handler;
    this.onError = options.onError ?? printError;
    const limits = { ...defaultLimits, ...options.limits };
    this.limits = { ...limits, maxConnections: Math.min(limits.maxConnections, roomForConnections()) };
    this.urls = urlOptionsOf(options);
    this.duplex = options.duplex ?? false;
    this.spoolFolder = spoolFolder(options.spoolDir);
    const { FCGI_WEB_SERVER_ADDRS: webServers } = process.env;
    const isFastCgi = this.protocol === "fcgi" || this.protocol === "auto";
    if (isFastCgi && webServers !== undefined) this.#webServers = new WebServers(webServers);
    this.#concurrency = options.concurrency ?? Infinity;
    this.#timeout = options.timeout;
    this.#capture = options.capture && new Capture(options.capture);
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
      software: `runfcgi/${version}`,
      date,
      allocate,
    };
    this.#fullOptions = { ...this.#codecOptions, maxConcurrent: 0 };
  }

  async listen(endpoint: Endpoint, options: ServeOptions): Promise<void> {
    options.signal?.throwIfAborted();
    patchGlobals();
    // A port's address is known before anybody can connect, a descriptor's only afterwards.
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
    const full = this.#crowded && !waits;
    const options = full ? this.#fullOptions : this.#codecOptions;
    const codec = this.protocol === "auto"
      ? new AutoServer(options, connection)
      : protocols[this.protocol].server(options, connection);
    const served = new ServerConnection(connection, this.#capture?.wrap(codec) ?? codec, this, full);
    this.#accepted++;
    this.#connections.add(served);
    if (this.#concurrency !== Infinity) this.#fresh.add(served);
    if (full || (waits && this.#crowded)) this.#makeRoom();
    this.#throttle();
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
      "Raise the one that is in the way";
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
      this.onError(new Error(`Work that ${this.#works.size} requests left behind is cut: ${STOPPING}`), { during: "a shutdown" });
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

function refuse(connection: Connection): ConnectionHandler {
  // Not before the runtime has its handler.
  queueMicrotask(() => connection.destroy());
  return { data() {}, end() {}, drain() {}, close() {} };
}

function printError(error: Error, context: { during: string }): void {
  process.stderr.write(`${entryText(`${context.during}: ${error.stack ?? error}`)}\n`);
}
