/**
 * Node-style applications: listeners `(request, response)` as `node:http` calls them, which Express and Koa make. Each
 * request goes through a `node:http` server in this process, over a connection that is none of the system's, so that
 * everything is what a listener knows.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createDetachedServer, StandInSocket } from "../runtime/http.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { endToEndHeaders, forward, MAX_HEAD } from "./proxy.ts";
import { asError } from "../server/thrown.ts";

/** A listener for requests, as `http.createServer()` takes it. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown;

/**
 * The fetch handler that calls a Node-style listener: an Express application, what Koa's `callback()` returns, or a
 * listener of your own. Headers, URL and `socket.remoteAddress` are the visitor's; `request.socket.info` is the
 * {@linkcode ServeInfo}.
 *
 * @example
 *     import express from "express";
 *     import { nodeHandler, serve } from "./mod.ts";
 *
 *     const app = express();
 *     app.get("/", (request, response) => response.send("Hello"));
 *     await serve({ socket: "/run/hello.sock" }, nodeHandler(app));
 */
export function nodeHandler(listener: NodeListener): Handler {
  // The web server guards its visitors' connections, and the connections here have one request.
  const server = createDetachedServer({ maxHeaderSize: MAX_HEAD });
  server.on("request", (request, response) => call(listener, request, response));
  return (request, info) => {
    const near = new InProcessSocket();
    const far = new VisitorSocket(near, info, request.url.startsWith("https:"));
    const createConnection = () => {
      server.emit("connection", far);
      return near;
    };
    return forward(request, info, {
      connection: { createConnection },
      headers: endToEndHeaders(request),
      explain: () => far.failure ?? new Error("The application closed the connection"),
    });
  };
}

function call(listener: NodeListener, request: IncomingMessage, response: ServerResponse): void {
  const socket = request.socket as unknown as VisitorSocket;
  socket.hold(request);
  const failed = (reason: unknown) => {
    const error = asError(reason);
    // Too late for the response, which the visitor has.
    if (response.writableEnded) return socket.info.stderr(String(error.stack));
    socket.failure = error;
    socket.destroy();
  };
  try {
    Promise.resolve(listener(request, response)).catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** One end of a connection inside this process, with as much of a `net.Socket` as applications call. */
class InProcessSocket extends StandInSocket {
  protected peer!: InProcessSocket;
  /** The peer has not taken what was written last. */
  #written: ((error?: Error | null) => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timeout = 0;

  constructor() {
    super();
    // Whoever listens hears of it; an error that comes when nobody does any more is none.
    this.on("error", () => {});
  }

  protected connect(peer: InProcessSocket): void {
    this.peer = peer;
    peer.peer = this;
  }

  /** Whether nothing more is wanted for now. */
  protected get full(): boolean {
    return false;
  }

  override _read(): void {
    if (!this.full) this.wanted();
  }

  /** The peer may write again. */
  protected wanted(): void {
    this.peer.#writable();
  }

  override _write(bytes: Uint8Array, _encoding: string, written: (error?: Error | null) => void): void {
    this.#moved();
    const peer = this.peer;
    peer.#moved();
    // An error would take what the peer has said before with it.
    if (peer.destroyed || (peer.push(bytes) && !peer.full)) written();
    else this.#written = written;
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.peer.destroyed) this.peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#writable();
    this.peer.#writable();
    this.leave(this.peer);
    done(error);
  }

  /** The visitor's side is gone: nobody waits for a response. */
  protected leave(peer: InProcessSocket): void {
    queueMicrotask(() => peer.destroy());
  }

  #writable(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  /** Emits "timeout" after so many milliseconds in which nothing moves; 0 for never. */
  override setTimeout(timeout: number, listener?: () => void): this {
    this.#timeout = timeout;
    this.#moved();
    if (listener && timeout > 0) this.once("timeout", listener);
    return this;
  }

  #moved(): void {
    clearTimeout(this.#timer);
    if (this.#timeout <= 0 || this.destroyed) return;
    this.#timer = setTimeout(() => this.emit("timeout"), this.#timeout);
    this.#timer.unref?.();
  }

  /** Closes behind what was written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }
}

/** The end that a listener sees as `request.socket`: the visitor's connection. */
class VisitorSocket extends InProcessSocket {
  readonly info: ServeInfo;
  readonly encrypted: boolean;
  readonly remoteAddress: string;
  readonly remotePort: number;
  #request: IncomingMessage | undefined;
  /** What the listener threw. */
  failure: Error | undefined;

  constructor(near: InProcessSocket, info: ServeInfo, encrypted: boolean) {
    super();
    this.connect(near);
    const { hostname, port } = info.remoteAddr;
    this.info = info;
    this.encrypted = encrypted;
    this.remoteAddress = hostname;
    this.remotePort = port;
  }

  /** Lets the body wait until the listener reads it. Bun reads on, whatever becomes of it. */
  hold(request: IncomingMessage): void {
    this.#request = request;
    const read = request._read;
    request._read = (size) => {
      read.call(request, size);
      this.wanted();
    };
  }

  protected override get full(): boolean {
    const request = this.#request;
    return request !== undefined && request.readableLength >= request.readableHighWaterMark;
  }

  /** What was written of the response is still read. */
  protected override leave(peer: InProcessSocket): void {
    if (!peer.destroyed && !this.writableFinished) peer.push(null);
  }

  get remoteFamily(): string {
    return this.remoteAddress.includes(":") ? "IPv6" : "IPv4";
  }

  get localAddress(): string | undefined {
    return this.info.params.SERVER_ADDR;
  }

  get localPort(): number | undefined {
    return Number(this.info.params.SERVER_PORT) || undefined;
  }

  address(): { address?: string; port?: number; family: string } {
    return { address: this.localAddress, port: this.localPort, family: this.remoteFamily };
  }
}
