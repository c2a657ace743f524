/**
 * One connection's life: socket to codec to handler and back.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { UpgradedHandler } from "../gateway/request.ts";
import type { UrlOptions } from "../gateway/url.ts";
import { applyForwarded, type Trust } from "../protocol/http/forwarded.ts";
import { noBytes, Params } from "../protocol/params.ts";
import { ProtocolError, type ProtocolName, type ResponseHead, type ServerCodec, type ServerEvent } from "../protocol/protocol.ts";
import type { Connection, ConnectionHandler } from "../runtime/socket.ts";
import { type Body, concat, memoryIsFull } from "./body.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import type { Handler, OnError } from "./handler.ts";
import { type Input, input, type Life, life, next, type Output, output } from "./state.ts";
import type { Limits } from "./limits.ts";
import type { RequestObserver } from "./monitor.ts";
import { keepAllocated, printStderr } from "./output.ts";
import { SpoolError, spoolNotice } from "./spool.ts";

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly handler: Handler;
  readonly onError: OnError;
  readonly limits: Limits;
  readonly observer?: RequestObserver;
  /** What is known of the URLs besides the params. */
  readonly urls?: UrlOptions;
  /** Heads of responses do not wait for bodies of requests. */
  readonly duplex: boolean;
  /** The web server passes interim responses on. */
  readonly earlyHints?: boolean;
  /** Proxies before the web server that are trusted, if any. */
  readonly trust?: Trust;
  /** Its connections are those of TCP, as far as that is known. */
  readonly overTcp?: boolean;
  /** Where request bodies go that have to be taken in before anybody reads them. */
  readonly spoolFolder: string;
  /** Bytes of a request's body that `onError` gets to see; default is none. */
  readonly shownBody?: number;
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

/** Bytes of bodies that a connection may hold in memory when those of all connections have filled it. */
const FAIR_SHARE = 64 * 1024;

/** Bytes that the kernel sends over TCP without waiting for the peer; RFC 6928 allows a little more. */
const AT_ONCE = 8 * 1024;

/** Bytes of text for the web server's error log that are held for a request until the head of its response leaves. */
const MAX_STDERR = 256 * 1024;

/** nginx takes the end of a FastCGI connection for the end of the response. */
const isNginx = /^nginx/;

/** Shared by connections without requests, and never added to. */
const noExchanges = new Map<number, Exchange>();

/** The server's side of one connection. */
export class ServerConnection implements ConnectionHandler, ExchangeOwner {
  readonly #connection: Connection;
  readonly #codec: ServerCodec;
  readonly #context: ConnectionContext;
  readonly #once: boolean;
  #exchanges = noExchanges;
  #life: Life = "new";
  #input: Input = "flows";
  #output: Output = "free";
  /** Bytes of bodies that are held for the application, in memory and in files. */
  #unread = 0;
  #waiters: (() => void)[] | undefined;
  /** Texts for the web server's error log from before the heads of their responses: nginx counts them as part of the head. */
  #stderr: Map<number, string> | undefined;
  #written = 0;
  /** Bytes of replies since one was written at once. */
  #untaken = 0;
  /** Bytes dropped since the response was complete. */
  #discarded = 0;
  /** Events are being handled. */
  #receiving = false;
  /** Ticks since bytes came or went. */
  #quietTicks = 0;
  /** Has the connection instead of the codec. */
  #upgraded: UpgradedHandler | undefined;
  /** Ticks since the head of a request has begun to arrive. */
  #headTicks = 0;

  /** @param once whether the connection is closed after its first response */
  constructor(connection: Connection, codec: ServerCodec, context: ConnectionContext, once = false) {
    this.#connection = connection;
    this.#codec = codec;
    this.#context = context;
    this.#once = once;
    if (once) codec.last?.();
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

  get duplex(): boolean {
    return this.#context.duplex;
  }

  get urls(): UrlOptions | undefined {
    return this.#context.urls;
  }

  /** Whether a request is in flight. */
  get busy(): boolean {
    return this.#exchanges.size > 0;
  }

  /** Neither closed nor closing. */
  get #open(): boolean {
    return this.#life !== "closed" && this.#life !== "lingering";
  }

  /** Whether what arrives is looked at. */
  get #takes(): boolean {
    return this.#open && this.#input !== "dropped";
  }

  /** Whether it waits for a request and is not about to close. */
  get idle(): boolean {
    return !this.busy && (this.#life === "new" || this.#life === "kept") && this.#codec.idle;
  }

  /** Ticks since bytes came or went. */
  get quietTicks(): number {
    return this.#quietTicks;
  }

  // From the runtime

  data(bytes: Uint8Array): void {
    if (this.#upgraded) return this.#upgraded.data(bytes);
    this.#quietTicks = 0;
    const takes = this.#takes;
    if (!takes || this.#exchanges.size === 0) this.#countDiscarded(bytes.length);
    if (!takes) return;
    this.#codec.receive(bytes);
    this.receive();
  }

  /** Takes what the codec has received. A response that ends meanwhile may make it go on. */
  receive(): void {
    if (this.#receiving || !this.#takes) return;
    this.#receiving = true;
    let begun: Exchange[] | undefined;
    do {
      begun = undefined;
      try {
        for (let event = this.#codec.nextEvent(); event !== undefined; event = this.#codec.nextEvent()) {
          const exchange = this.#event(event);
          if (exchange) (begun ??= []).push(exchange);
        }
      } catch (error) {
        if (error instanceof ProtocolError) this.#break(error);
        else this.#failed(error as Error);
      }
      // Handlers start when everything received has been read, so that a small body is complete.
      if (begun) { for (const exchange of begun) exchange.start(); }
    } while (begun && this.#takes);
    this.#receiving = false;
    this.#settle();
  }

  #event(event: ServerEvent): Exchange | undefined {
    switch (event.type) {
      case "request": {
        const { trust } = this.#context;
        // Over HTTP the codec has done so: it knows the peer.
        if (trust !== undefined && this.protocol !== "http") applyForwarded(event.params, trust);
        const exchange = new Exchange(this, event.id, event.role, event.params);
        this.#add(event.id, exchange);
        this.#headTicks = 0;
        return exchange;
      }
      case "body":
        this.#receiveBody(event.bytes, this.#exchanges.get(event.id), "body");
        return;
      case "bodyEnd":
        this.#exchanges.get(event.id)?.endBody();
        return;
      case "data":
        this.#receiveBody(event.bytes, this.#exchanges.get(event.id), "data");
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
        this.#add(event.id, exchange);
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

  #add(id: number, exchange: Exchange): void {
    if (this.#exchanges === noExchanges) this.#exchanges = new Map();
    this.#exchanges.set(id, exchange);
  }

  /** Why a request is refused, with the option that is the limit. */
  #refusal({ status, reason }: { status: number; reason: string }): string {
    if (status !== 503) return reason;
    const { maxConnections, maxConcurrent } = this.#context.limits;
    if (this.#once) return `there are ${maxConnections} connections already, and maxconnections allows no more`;
    return `there are ${maxConcurrent} requests on one connection already, and maxconcurrent allows no more`;
  }

  #reply(bytes: Uint8Array): void {
    if (this.#write(bytes)) this.#untaken = 0;
    else this.#untaken += bytes.length;
    if (this.#untaken > MAX_UNTAKEN) {
      throw new ProtocolError("The web server keeps sending management records and does not read the replies");
    }
  }

  #receiveBody(bytes: Uint8Array, exchange: Exchange | undefined, name: "body" | "data"): void {
    const body: Body | undefined = exchange?.[name];
    if (exchange === undefined || body === undefined) return;
    const { maxUnread, maxDiscard } = this.#context.limits;
    if (this.#context.shownBody !== undefined && name === "body") exchange.remember(bytes, this.#context.shownBody);
    const must = body.spools || (this.#unread > maxUnread && this.#takesIn);
    const spools = must || (memoryIsFull() && this.#unread + bytes.buffer.byteLength > FAIR_SHARE);
    if (spools && this.#spool(bytes, exchange, body, must)) return;
    // Pieces of several bodies share a buffer, which an application may transfer.
    this.#unread += body.push(this.#exchanges.size > 1 ? new Uint8Array(bytes) : bytes);
    if (body.discarded > maxDiscard) exchange.end();
  }

  /**
   * Takes a piece of a body into a file.
   *
   * @param must whether it may not stay in memory: without room in the file the request is given up
   * @returns whether the piece has been dealt with
   */
  #spool(bytes: Uint8Array, exchange: Exchange, body: Body, must: boolean): boolean {
    const { spoolFolder: folder, limits, onError } = this.#context;
    try {
      this.#unread += body.spool(bytes, { folder, max: limits.maxSpool });
    } catch (error) {
      if (!(error instanceof SpoolError)) throw error;
      if (must) exchange.overflow(error);
      return must;
    }
    const notice = spoolNotice(folder);
    if (notice) onError(new Error(notice), { during: "a request body" });
    return true;
  }

  /**
   * Whether bodies have to be taken in although nobody reads them: a response waits for that, or cannot leave, since most
   * web servers read nothing before they have written all. A request must not stop another on its connection either.
   */
  get #takesIn(): boolean {
    if (this.#output === "blocked") return true;
    for (const exchange of this.#exchanges.values()) if (exchange.waiting) return true;
    return this.#exchanges.size > 1 && this.#unread < this.#context.limits.maxSpool;
  }

  end(): void {
    if (this.#upgraded) return this.#upgraded.end();
    this.#quietTicks = 0;
    if (this.#codec.receiveEnd) {
      this.#codec.receiveEnd();
      this.receive();
    }
    this.#input = next(input, this.#input, "end");
    for (const [id, exchange] of this.#exchanges) {
      if (exchange.received && !this.#codec.endIsLeave) continue;
      // Nobody waits for the response.
      exchange.abort(`The web server closed the connection${exchange.received ? "" : " before the request was complete"}`);
      this.#forget(id);
    }
    if (!this.busy || !this.#open) return this.#connection.close();
    this.#probe();
    // Over TCP the first write is answered by a reset, which makes the second one fail.
    setTimeout(() => this.#probe(), PROBE_AGAIN_MS).unref?.();
  }

  /**
   * Behind a complete request, the end of the peer's side is only a half-close. Whether the other half is gone as well shows
   * when something is written.
   */
  #probe(): void {
    if (
      this.#life === "closed" || this.#output === "blocked" ||
      [...this.#exchanges.values()].some((exchange) => !exchange.takesStderr)
    ) return;
    const probe = this.#codec.probe();
    if (probe) this.#write(probe);
  }

  drain(): void {
    this.#quietTicks = 0;
    if (this.#upgraded) return this.#upgraded.drain();
    this.#output = next(output, this.#output, "drain");
    const waiters = this.#waiters;
    this.#waiters = undefined;
    if (waiters) { for (const wake of waiters) wake(); }
    this.#settle();
  }

  close(): void {
    this.#life = next(life, this.#life, "close");
    for (const exchange of this.#exchanges.values()) exchange.abort("The web server closed the connection");
    for (const id of this.#exchanges.keys()) this.#forget(id);
    this.#codec.closed?.();
    if (this.#upgraded) this.#upgraded.close();
    else this.drain();
    this.#context.closed(this);
  }

  // From the exchanges

  send(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): boolean {
    if (this.#life === "closed") return true;
    const text = head && this.#stderr?.get(id);
    const writable = this.#write(
      text === undefined ? this.#codec.encode(id, head, body, end) : this.#encodeWithStderr(id, head, body, end, text),
    );
    if (end) {
      this.#forget(id);
      this.#discarded = 0;
      // A look-up that finds nothing is expensive, and a kept connection stays kept.
      if (this.#once || this.#life !== "kept") this.#life = next(life, this.#life, this.#once ? "drain" : "served");
      // The next request may have waited for this.
      this.receive();
    }
    if (end || !writable) this.#settle();
    return writable;
  }

  /** Sends text that had to wait for the head behind it. */
  #encodeWithStderr(
    id: number,
    head: ResponseHead | undefined,
    body: Uint8Array | undefined,
    end: boolean,
    text: string,
  ): Uint8Array {
    // Copied, since the next call of the codec may use the same memory.
    const first = new Uint8Array(this.#codec.encode(id, head, body, false));
    this.#stderr!.delete(id);
    const stderr = this.#codec.stderr(id, text) ?? noBytes;
    return concat([first, stderr, end ? this.#codec.encode(id, undefined, undefined, true) : noBytes]);
  }

  /** A request is over. */
  #forget(id: number): void {
    this.#exchanges.delete(id);
    const text = this.#stderr?.get(id);
    if (text === undefined) return;
    // No head has left, and so no text.
    this.#stderr!.delete(id);
    printStderr(text);
  }

  writable(): Promise<void> {
    if (this.#output === "free" || this.#life === "closed") return Promise.resolve();
    return new Promise((resolve) => (this.#waiters ??= []).push(resolve));
  }

  cut(id: number): void {
    const software = this.#exchanges.get(id)?.params.get("SERVER_SOFTWARE") ?? "";
    this.#forget(id);
    // Other requests on the connection matter more than showing that this one failed.
    if (this.busy) return void this.send(id, undefined, undefined, true);
    const broken = isNginx.test(software) ? this.#codec.broken?.() : undefined;
    if (broken === undefined) return this.#connection.destroy();
    this.#write(broken);
    this.#life = next(life, this.#life, "finish");
    this.#connection.close();
  }

  stderr(id: number, text: string): boolean {
    const exchange = this.#exchanges.get(id);
    if (this.#life === "closed" || !exchange?.takesStderr) return false;
    if (!exchange.begun) return this.#holdStderr(id, text);
    const bytes = this.#codec.stderr(id, text);
    if (bytes) this.#write(bytes);
    return bytes !== undefined;
  }

  #holdStderr(id: number, text: string): boolean {
    const held = this.#stderr?.get(id) ?? "";
    // An empty text only checks whether the protocol can send any.
    if (Buffer.byteLength(held) + Buffer.byteLength(text) > MAX_STDERR || !this.#codec.stderr(id, "")) return false;
    this.#stderr ??= new Map();
    this.#stderr.set(id, held + text);
    return true;
  }

  released(length: number): void {
    this.#unread -= length;
    this.#settle();
  }

  upgrade(id: number, handler: UpgradedHandler): { connection: Connection; first: Uint8Array } | undefined {
    const first = this.#open && this.#input !== "ended" ? this.#codec.upgrade?.() : undefined;
    if (first === undefined) return undefined;
    this.#forget(id);
    this.#upgraded = handler;
    this.#quietTicks = 0;
    if (this.#input === "paused") this.#connection.resume();
    // It came after the server began to stop, and has its first turn.
    if (this.#life === "expecting" || this.#life === "draining") setTimeout(() => handler.stop(), 0);
    return { connection: this.#connection, first };
  }

  earlyHints(headers: readonly string[]): boolean {
    const bytes = this.#context.earlyHints && this.#life !== "closed" ? this.#codec.earlyHints?.(headers) : undefined;
    if (bytes) this.#write(bytes);
    return bytes !== undefined;
  }

  waits(): void {
    this.#settle();
  }

  // From the server

  /**
   * Finishes requests in flight and closes. On a connection that looks idle, a request may be about to arrive, so it gets
   * a moment.
   *
   * @param first milliseconds in which the first request of a connection may come
   */
  shutDown(first = EXPECT_FIRST_MS): void {
    if (this.#upgraded) return this.#upgraded.stop();
    this.#codec.last?.();
    const moment = this.#life === "kept" ? EXPECT_NEXT_MS : first;
    const idle = !this.busy && this.#codec.idle;
    this.#life = next(life, this.#life, idle ? "expect" : "drain");
    if (!idle) return;
    const close = () => {
      this.#life = next(life, this.#life, "drain");
      this.#settle();
    };
    // What came while this process was blocked is read in a turn of its own.
    setTimeout(() => setTimeout(close, 0), moment);
  }

  /**
   * Ends requests in flight, with a page if no head was sent; the connection closes when that is sent. A WebSocket that is
   * closing ends, too.
   */
  cutOff(reason: string, which: (exchange: Exchange) => boolean = () => true): void {
    if (this.#upgraded || this.#life === "lingering") {
      // A reset would destroy what the kernel still has for a slow peer.
      if (this.#connection.unsent) this.#connection.destroy();
      else this.#connection.close();
    }
    for (const exchange of this.#exchanges.values()) if (which(exchange)) exchange.cutOff(reason);
  }

  /** Closes now, with requests in flight or not. */
  abandon(reason: string): void {
    for (const exchange of this.#exchanges.values()) exchange.abort(reason);
    this.#connection.destroy();
  }

  /** Called every {@linkcode TICK_SECONDS}: closes what has been quiet for too long. */
  tick(): void {
    if (this.#upgraded) return this.#tickUpgraded();
    if (this.#input === "ended") this.#probe();
    const quiet = ++this.#quietTicks * TICK_SECONDS;
    const { limits } = this.#context;
    this.#headTicks = this.#open && this.#codec.inHead ? this.#headTicks + 1 : 0;
    if (this.#headTicks * TICK_SECONDS > limits.headTimeout) {
      return this.#timedOut(`took more than ${limits.headTimeout} s for the head of a request`);
    }
    if (this.#output === "blocked") {
      if (quiet > limits.writeTimeout) this.#timedOut(`took nothing for ${limits.writeTimeout} s`);
    } else if (this.#life === "lingering") {
      if (quiet > limits.lingerTimeout) this.#connection.close();
    } else if (this.#input === "paused") {
      // The application has to read first.
      this.#quietTicks = 0;
    } else if (!this.#codec.idle) {
      const receiving = !this.busy || [...this.#exchanges.values()].some((exchange) => !exchange.received);
      if (receiving && quiet > limits.readTimeout) {
        const waits = [...this.#exchanges.values()].some((exchange) => exchange.waiting);
        const why = waits ? ", and the head of the response waits for the body (duplex=true sends it at once)" : "";
        this.#timedOut(`sent nothing for ${limits.readTimeout} s in the middle of a request${why}`);
      }
    } else if (!this.busy && quiet > limits.idleTimeout) {
      this.#connection.close();
    }
  }

  // Inside

  /** Whoever has the connection looks after its silence, but not after the end of one whose peer takes nothing. */
  #tickUpgraded(): void {
    const { writeTimeout } = this.#context.limits;
    if (!this.#connection.unsent) this.#quietTicks = 0;
    else if (++this.#quietTicks * TICK_SECONDS > writeTimeout) this.#timedOut(`took nothing for ${writeTimeout} s`);
  }

  #write(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true;
    this.#written += bytes.length;
    const writable = this.#connection.write(bytes);
    if (this.#connection.unsent) keepAllocated();
    if (!writable) this.#output = next(output, this.#output, "block");
    return writable;
  }

  /** Pauses and resumes reading; closes when the last response is complete. */
  #settle(): void {
    if (!this.#open || this.#upgraded) return;
    const codec = this.#codec;
    const over = codec.closing || this.#input === "ended" || this.#input === "dropped";
    if (!this.busy && (over || (this.#life === "draining" && codec.idle))) {
      return this.#finish();
    }
    const pause = (this.#unread > this.#context.limits.maxUnread && !this.#takesIn) ||
      // The rest of an answered request is still read, but no further request.
      (this.#output === "blocked" && !this.busy && codec.idle) || !!codec.full;
    if (this.#input !== (pause ? "flows" : "paused")) return;
    this.#input = next(input, this.#input, pause ? "pause" : "resume");
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  #finish(): void {
    const from = this.#input;
    this.#life = next(life, this.#life, "finish");
    // Over TCP, bytes that come once both directions are closed are answered by a reset, which destroys what has not left.
    // Where there are too many connections, it would be one more.
    const lingers = this.#context.overTcp && this.#written > AT_ONCE && this.#codec.closing && !this.#once;
    if ((this.#codec.idle && from !== "dropped" && !lingers) || from === "ended") return this.#connection.close();
    this.#connection.shutdown();
    if (from === "paused") this.#connection.resume();
  }

  /** Bytes that came while no request was in flight: the rest of one that was answered early. */
  #countDiscarded(length: number): void {
    this.#discarded += length;
    if (this.#discarded > this.#context.limits.maxDiscard) this.#connection.destroy();
  }

  /** Complete requests are answered, others are aborted, and everything that still arrives is ignored. */
  #break(error: ProtocolError): void {
    if (this.#input === "paused") this.#connection.resume();
    this.#input = next(input, this.#input, "break");
    this.#codec.last?.();
    this.#context.onError(new Error(`Closed a connection: ${error.message}`), { during: "a connection" });
    // A peer that does not read gets no more answers.
    if (this.#untaken > MAX_UNTAKEN) return this.abandon("The web server broke the protocol");
    let aborted = false;
    for (const [id, exchange] of this.#exchanges) {
      if (exchange.received) continue;
      aborted = true;
      exchange.abort("The web server broke the protocol");
      this.#forget(id);
    }
    // A reset shows that a response was cut off. Where all were complete, it could destroy the last one.
    if (this.busy || (this.#life !== "new" && !aborted)) return;
    this.#life = next(life, this.#life, "finish");
    this.#connection.destroy();
  }

  #failed(error: Error): void {
    this.#context.onError(error, { during: "a connection" });
    this.abandon("The server failed");
  }

  #timedOut(what: string): void {
    this.#context.onError(new Error(`Closed a connection: the web server ${what}`), { during: "a connection" });
    this.abandon(`The web server ${what}`);
  }
}
