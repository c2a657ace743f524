/**
 * One connection's life: socket to codec to handler and back.
 *
 * @module
 */
import { Params } from "../protocol/params.ts";
import { ProtocolError, type ProtocolName, type ResponseHead, type ServerCodec, type ServerEvent } from "../protocol/protocol.ts";
import type { Connection, ConnectionHandler } from "../runtime/socket.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import type { Handler, OnError } from "./handler.ts";
import type { Limits } from "./limits.ts";
import type { RequestObserver } from "./monitor.ts";
import { keepAllocated } from "./output.ts";

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly handler: Handler;
  readonly onError: OnError;
  readonly limits: Limits;
  readonly observer?: RequestObserver;
  /** Where the application is mounted, a byte string, if that is not to be found out. */
  readonly scriptName?: string;
  /** The connection is gone. */
  closed(connection: ServerConnection): void;
}

/** Seconds between two looks at the clocks of all connections. */
export const TICK_SECONDS = 5;

const PROBE_AGAIN_MS = 50;

/** Milliseconds that a connection has for its first request when the server is shutting down. */
const EXPECT_FIRST_MS = 1000;
/** The same for a connection that was kept open; a web server sends a request again that meets a closed one. */
const EXPECT_NEXT_MS = 200;

/** Bytes of replies to messages that concern no request, such as GET_VALUES, that are held for a peer. */
const MAX_UNTAKEN = 64 * 1024;

/** The server's side of one connection. */
export class ServerConnection implements ConnectionHandler, ExchangeOwner {
  readonly #connection: Connection;
  readonly #codec: ServerCodec;
  readonly #context: ConnectionContext;
  readonly #once: boolean;
  readonly #exchanges = new Map<number, Exchange>();
  /** Bytes of bodies that wait for the application. */
  #unread = 0;
  #paused = false;
  /** The peer has to take what was written before more is read or written. */
  #blocked = false;
  #waiters: (() => void)[] = [];
  /** Bytes of replies since the peer took one at once. */
  #untaken = 0;
  /** Bytes passed over since the response was complete. */
  #discarded = 0;
  /** Our side of the connection is closed; the peer's is read until it ends, or a reset would eat the answer. */
  #lingering = false;
  #peerEnded = false;
  #closed = false;
  #draining = false;
  /** Draining, and a last request may come. */
  #expecting = false;
  #hasServed = false;
  /** Ticks since bytes came or went. */
  #quietTicks = 0;

  /** @param once whether the connection is closed after its first response */
  constructor(connection: Connection, codec: ServerCodec, context: ConnectionContext, once = false) {
    this.#connection = connection;
    this.#codec = codec;
    this.#context = context;
    this.#once = once;
    if (once) codec.last?.();
    codec.awake = () => {
      if (!this.#closed && !this.#lingering) this.receive();
    };
  }

  get protocol(): ProtocolName {
    return this.#codec.protocol;
  }

  get handler(): Handler {
    return this.#context.handler;
  }

  get onError(): OnError {
    return this.#context.onError;
  }

  get observer(): RequestObserver | undefined {
    return this.#context.observer;
  }

  get scriptName(): string | undefined {
    return this.#context.scriptName;
  }

  /** Whether a request is under way. */
  get busy(): boolean {
    return this.#exchanges.size > 0;
  }

  // From the runtime

  data(bytes: Uint8Array): void {
    this.#quietTicks = 0;
    if (this.#lingering || this.#exchanges.size === 0) this.#countDiscarded(bytes.length);
    if (this.#lingering || this.#closed) return;
    this.#codec.receive(bytes);
    this.receive();
  }

  /** Takes what the codec has received. */
  receive(): void {
    let begun: Exchange[] | undefined;
    try {
      for (let event = this.#codec.nextEvent(); event !== undefined; event = this.#codec.nextEvent()) {
        const exchange = this.#event(event);
        if (exchange) (begun ??= []).push(exchange);
      }
    } catch (error) {
      return this.#broken(error as Error);
    }
    // Handlers start when all that has arrived is sorted, so that a small body is at hand.
    if (begun) { for (const exchange of begun) exchange.start(); }
    this.#settle();
  }

  #event(event: ServerEvent): Exchange | undefined {
    switch (event.type) {
      case "request": {
        const exchange = new Exchange(this, event.id, event.role, event.params);
        this.#exchanges.set(event.id, exchange);
        return exchange;
      }
      case "body":
        this.#receiveBody(event.bytes, this.#exchanges.get(event.id)?.body);
        return;
      case "bodyEnd":
        this.#exchanges.get(event.id)?.body.end();
        return;
      case "data":
        this.#receiveBody(event.bytes, this.#exchanges.get(event.id)?.data);
        return;
      case "dataEnd":
        this.#exchanges.get(event.id)?.data?.end();
        return;
      case "abort":
        this.#exchanges.get(event.id)?.abort("The web server aborted the request");
        this.send(event.id, undefined, undefined, true);
        return;
      case "refused": {
        const exchange = new Exchange(this, event.id, "responder", new Params(), { ...event, reason: this.#refusal(event) });
        this.#exchanges.set(event.id, exchange);
        return exchange;
      }
      case "ignored":
        this.#context.onError(new Error(`Ignored ${event.reason}`), { during: "a connection" });
        return;
      case "reply":
        this.#reply(event.bytes);
        return;
    }
  }

  /** Why a request is refused, with the option to raise where one is in the way. */
  #refusal({ status, reason }: { status: number; reason: string }): string {
    if (status !== 503) return reason;
    const { maxConnections, maxConcurrent } = this.#context.limits;
    if (this.#once) return `there are ${maxConnections} connections already, and maxconnections allows no more`;
    return `there are ${maxConcurrent} requests on one connection already, and maxconcurrent allows no more`;
  }

  #reply(bytes: Uint8Array): void {
    if (this.#write(bytes)) this.#untaken = 0;
    else this.#untaken += bytes.length;
    if (this.#untaken > MAX_UNTAKEN) throw new ProtocolError("The web server asks and asks and takes no answer");
  }

  #receiveBody(bytes: Uint8Array, body: Exchange["body"] | undefined): void {
    if (body === undefined) return;
    this.#unread += bytes.length;
    body.push(bytes);
  }

  end(): void {
    this.#quietTicks = 0;
    this.#peerEnded = true;
    for (const [id, exchange] of this.#exchanges) {
      if (exchange.received && !this.#codec.endIsLeave) continue;
      // Nobody waits for a response.
      exchange.abort(`The web server closed the connection${exchange.received ? "" : " before the request was complete"}`);
      this.#exchanges.delete(id);
    }
    if (!this.busy || this.#lingering) return this.#connection.close();
    this.#probe();
    // Over TCP the first is only answered by a reset, which the second meets.
    setTimeout(() => this.#probe(), PROBE_AGAIN_MS).unref?.();
  }

  /**
   * The end of a complete request is only a half of the connection. Whether the other half is gone as well, now or
   * later, shows when something is written.
   */
  #probe(): void {
    if (this.#closed || this.#blocked || [...this.#exchanges.values()].some((exchange) => !exchange.takesStderr)) return;
    const probe = this.#codec.probe();
    if (probe) this.#write(probe);
  }

  drain(): void {
    this.#quietTicks = 0;
    this.#blocked = false;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
    this.#settle();
  }

  close(): void {
    this.#closed = true;
    for (const exchange of this.#exchanges.values()) exchange.abort("The web server closed the connection");
    this.#exchanges.clear();
    this.#codec.closed?.();
    this.drain();
    this.#context.closed(this);
  }

  // From the exchanges

  send(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): boolean {
    if (this.#closed) return true;
    const writable = this.#write(this.#codec.encode(id, head, body, end));
    if (end) {
      this.#exchanges.delete(id);
      this.#discarded = 0;
      this.#hasServed = true;
      this.#expecting = false;
      this.#draining ||= this.#once;
      this.#settle();
    }
    return writable;
  }

  writable(): Promise<void> {
    if (!this.#blocked || this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  cut(id: number): void {
    this.#exchanges.delete(id);
    // Other requests on the connection are worth more than a sign that this one failed.
    if (this.busy) this.send(id, undefined, undefined, true);
    else this.#connection.destroy();
  }

  stderr(id: number, text: string): boolean {
    const takesStderr = !this.#closed && this.#exchanges.get(id)?.takesStderr;
    const bytes = takesStderr ? this.#codec.stderr(id, text) : undefined;
    if (bytes) this.#write(bytes);
    return bytes !== undefined;
  }

  consumed(length: number): void {
    this.#unread -= length;
    this.#settle();
  }

  // From the server

  /**
   * Finishes what is under way and closes. A request may be on its way on a connection that looks idle, so it gets a
   * moment to arrive.
   */
  shutDown(): void {
    this.#draining = true;
    this.#codec.last?.();
    if (this.busy || !this.#codec.idle) return;
    this.#expecting = true;
    setTimeout(() => {
      this.#expecting = false;
      this.#settle();
    }, this.#hasServed ? EXPECT_NEXT_MS : EXPECT_FIRST_MS);
  }

  /** Ends what is under way, with a page where no head has left; the connection closes when that is sent. */
  cutOff(reason: string, which: (exchange: Exchange) => boolean = () => true): void {
    for (const exchange of this.#exchanges.values()) if (which(exchange)) exchange.cutOff(reason);
  }

  /** Closes now, whatever is under way. */
  abandon(reason: string): void {
    for (const exchange of this.#exchanges.values()) exchange.abort(reason);
    this.#connection.destroy();
  }

  /** Called every {@linkcode TICK_SECONDS}: closes what has been quiet for too long. */
  tick(): void {
    if (this.#peerEnded) this.#probe();
    const quiet = ++this.#quietTicks * TICK_SECONDS;
    const { limits } = this.#context;
    if (this.#blocked) {
      if (quiet > limits.writeTimeout) this.#timedOut(`took nothing for ${limits.writeTimeout} s`);
    } else if (this.#lingering) {
      if (quiet > limits.lingerTimeout) this.#connection.destroy();
    } else if (this.#paused) {
      // The application has to read first.
      this.#quietTicks = 0;
    } else if (!this.#codec.idle) {
      const receiving = !this.busy || [...this.#exchanges.values()].some((exchange) => !exchange.received);
      if (receiving && quiet > limits.readTimeout) {
        this.#timedOut(`sent nothing for ${limits.readTimeout} s in the middle of a request`);
      }
    } else if (!this.busy && quiet > limits.idleTimeout) {
      this.#connection.close();
    }
  }

  // Inside

  #write(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true;
    const writable = this.#connection.write(bytes);
    if (this.#connection.unsent) keepAllocated();
    if (!writable) this.#blocked = true;
    return writable;
  }

  /** Pauses and resumes reading; closes when the last response is complete. */
  #settle(): void {
    if (this.#closed || this.#lingering) return;
    if (!this.busy && (this.#codec.closing || this.#peerEnded || (this.#draining && this.#codec.idle && !this.#expecting))) {
      return this.#finish();
    }
    const pause = this.#unread > this.#context.limits.maxUnread || (this.#blocked && !this.busy) || !!this.#codec.full;
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  #finish(): void {
    this.#lingering = true;
    if (this.#codec.idle || this.#peerEnded) return this.#connection.close();
    this.#connection.shutdown();
    if (this.#paused) this.#connection.resume();
  }

  /** Bytes that came while no request was under way: the rest of one that was answered early. */
  #countDiscarded(length: number): void {
    this.#discarded += length;
    if (this.#discarded > this.#context.limits.maxDiscard) this.#connection.destroy();
  }

  #broken(error: Error): void {
    const expected = error instanceof ProtocolError;
    this.#context.onError(expected ? new Error(`Closed a connection: ${error.message}`) : error, { during: "a connection" });
    this.abandon("The web server broke the protocol");
  }

  #timedOut(what: string): void {
    this.#context.onError(new Error(`Closed a connection: the web server ${what}`), { during: "a connection" });
    this.abandon(`The web server ${what}`);
  }
}
