/**
 * The server half of HTTP/1.1 (RFC 9112): the runtime's own server, `node:http`, without its sockets. It is given a
 * stream for each connection, in which bytes are put as they arrive, and what it writes there is what is sent.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createDetachedServer, StandInSocket } from "../../runtime/http.ts";
import type { Addresses } from "../../runtime/socket.ts";
import { noBytes, type Params } from "../params.ts";
import {
  type Allocate,
  type CodecLimits,
  ProtocolError,
  type ResponseHead,
  type ServerCodec,
  type ServerEvent,
} from "../protocol.ts";
import type { Trust } from "./forwarded.ts";
import { httpParams } from "./params.ts";

/** What the server half takes. */
export interface HttpServerOptions extends CodecLimits {
  /** For SERVER_SOFTWARE; default `runfcgi`. */
  software?: string;
  /** Proxies that are believed what they say of the visitor; default is none. */
  trust?: Trust;
  /** Where encoded responses go; default is memory of their own. */
  allocate?: Allocate;
}

/** First byte of a TLS record with a handshake (RFC 8446, 5.1). */
const TLS_HANDSHAKE = 0x16;

/** In a head as the platform writes it. */
const lastResponse = /\r\nconnection: close\r\n/i;

/** One request, from its head to the end of its response. */
interface Exchange {
  readonly id: number;
  /** `undefined` where the parser could make no request of what arrived. */
  readonly response: ServerResponse | undefined;
  /** The head of the response was sent. */
  begun: boolean;
  /** The response is complete or given up. */
  over: boolean;
  /** Bytes that the response's own length leaves for its body. */
  left: number;
}

/** The server half. Its requests come one by one: the next is reported when the response to the last is complete. */
export class HttpServer implements ServerCodec {
  readonly protocol = "http";
  readonly endIsLeave = true;
  awake?: () => void;
  readonly #options: HttpServerOptions;
  readonly #addresses: () => Addresses | undefined;
  readonly #stream: ServerStream;
  #events: (ServerEvent | ProtocolError)[] = [];
  readonly #exchanges = new Map<number, Exchange>();
  #lastId = 0;
  /** Whose response is awaited. */
  #current: Exchange | undefined;
  /** Whose body is arriving, and how to know that all of it is there. */
  #receiving: { exchange: Exchange; message: IncomingMessage } | undefined;
  /** What arrived last belongs to a request whose head is not complete. */
  #inHead = false;
  #begun = false;
  /** What arrives makes no sense any more. */
  #broken = false;
  #last = false;
  #closing = false;
  /** What the platform has written. */
  #output: (string | Uint8Array)[] = [];
  #outputLength = 0;
  /** Whether output is for who has called. */
  #encoding = false;

  /** @param addresses tells where the connection comes from */
  constructor(options: HttpServerOptions, addresses: () => Addresses | undefined = () => undefined) {
    this.#options = options;
    this.#addresses = addresses;
    this.#stream = new ServerStream(this);
    platformServer(options.maxParamsBytes).emit("connection", this.#stream);
  }

  // From the peer

  receive(bytes: Uint8Array): void {
    if (this.#broken) return;
    if (!this.#begun && bytes[0] === TLS_HANDSHAKE) {
      this.#broken = true;
      this.#events.push(new ProtocolError("Not HTTP: it looks like TLS, and this endpoint takes http:// only"));
      return;
    }
    this.#begun = true;
    this.#inHead = true;
    // Not push(): what is in a stream's buffer is given out later, and the events are wanted now.
    this.#stream.emit("data", Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    if (this.#receiving) {
      this.#inHead = false;
      if (this.#receiving.message.complete) this.#received();
    }
  }

  nextEvent(): ServerEvent | undefined {
    const event = this.#events[0];
    if (event === undefined) return undefined;
    if (event instanceof ProtocolError) throw event;
    if (event.type === "request" || event.type === "refused") {
      if (this.#current) return undefined;
      this.#current = this.#exchanges.get(event.id);
    }
    return this.#events.shift() as ServerEvent;
  }

  get full(): boolean {
    return this.#events.length > 0;
  }

  // From the platform

  /** The head of a request is complete. */
  request(message: IncomingMessage, response: ServerResponse, expectation = true): void {
    if (this.#receiving) this.#received();
    this.#inHead = false;
    const { rawHeaders: headers, httpVersion: version, method = "GET", url: target = "/" } = message;
    const exchange = this.#exchange(response);
    const params = httpParams(
      { method, target, version, headers, addresses: this.#addresses() },
      this.#software,
      this.#options.trust,
    );
    const refusal = expectation
      ? this.#refusal(message, params)
      : { status: 417, reason: "an expectation other than 100-continue" };
    response.on("finish", () => this.#finished(exchange));
    if (refusal) {
      response.shouldKeepAlive = false;
      this.#events.push({ type: "refused", id: exchange.id, ...refusal });
    } else {
      this.#events.push({ type: "request", id: exchange.id, role: "responder", params });
    }
    // RFC 9112, 6.3: without these there is no body.
    if (params.get("HTTP_TRANSFER_ENCODING") === undefined && Number(params.get("CONTENT_LENGTH") ?? 0) === 0) {
      this.#report(exchange, { type: "bodyEnd", id: exchange.id });
      return;
    }
    this.#receiving = { exchange, message };
    message.on("data", (bytes: Uint8Array) => this.#report(exchange, { type: "body", id: exchange.id, bytes }));
    // The connection says why.
    message.on("error", () => {});
    // From the first read on, a stream gives at once what it gets.
    message.read(0);
  }

  /** A CONNECT, after which the platform would leave the connection to us. */
  connect(): void {
    this.#refuseAll(405, "the method CONNECT is not allowed");
  }

  /** What arrived is no HTTP, or too much of it. */
  failed(error: Error & { code?: string; reason?: string }): void {
    if (this.#broken) return;
    if (this.#receiving?.message.complete) this.#received();
    switch (error.code) {
      case "HPE_HEADER_OVERFLOW":
        return this.#refuseAll(431, `more than ${this.#options.maxParamsBytes} bytes of params`);
      case "HPE_PAUSED_H2_UPGRADE":
        return this.#refuseAll(505, "HTTP/2, and this endpoint takes HTTP/1.1");
      default:
        return this.#refuseAll(400, `Not HTTP: ${error.reason ?? error.message}`);
    }
  }

  /** Takes what the platform writes. */
  written(chunk: string | Uint8Array): void {
    if (chunk.length === 0) return;
    this.#output.push(chunk);
    this.#outputLength += chunk.length;
    if (this.#encoding) return;
    // An interim response.
    this.#events.push({ type: "reply", bytes: this.#takeOutput(Buffer.allocUnsafe) });
  }

  #finished(exchange: Exchange): void {
    if (this.#current === exchange) this.#current = undefined;
    if (!this.#encoding) this.awake?.();
    // The bytes of this response go first.
    else if (this.full) queueMicrotask(() => this.awake?.());
  }

  #exchange(response?: ServerResponse): Exchange {
    const exchange = { id: ++this.#lastId, response, begun: false, over: false, left: Infinity };
    this.#exchanges.set(exchange.id, exchange);
    return exchange;
  }

  #received(): void {
    const { exchange } = this.#receiving!;
    this.#receiving = undefined;
    this.#report(exchange, { type: "bodyEnd", id: exchange.id });
  }

  /** Of a request that is answered nothing more is reported. */
  #report(exchange: Exchange, event: ServerEvent): void {
    if (!exchange.over) this.#events.push(event);
  }

  /** Why a request is not for the application. */
  #refusal(message: IncomingMessage, params: Params): { status: number; reason: string } | undefined {
    const { maxParams, maxConcurrent } = this.#options;
    const count = (name: string) => params.pairs.filter((part, i) => i % 2 === 0 && part === name).length;
    if (message.httpVersionMajor !== 1) return { status: 505, reason: `HTTP/${message.httpVersion}` };
    if (params.pairs.length > 2 * maxParams) return { status: 431, reason: `more than ${maxParams} params` };
    if (maxConcurrent < 1) return { status: 503, reason: "too many requests at once" };
    // RFC 9112, 3.2.
    const hosts = message.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === "host").length;
    if (hosts > 1) return { status: 400, reason: "more than one Host" };
    if (hosts === 0 && message.httpVersionMinor > 0) return { status: 400, reason: "no Host" };
    // RFC 9112, 6.1: where proxies may differ about the length of a body, it is not read.
    const coding = params.get("HTTP_TRANSFER_ENCODING");
    if (coding === undefined) return undefined;
    if (message.httpVersionMinor === 0) return { status: 400, reason: "a Transfer-Encoding in HTTP/1.0" };
    if (coding.toLowerCase() !== "chunked" || count("HTTP_TRANSFER_ENCODING") > 1) {
      return { status: 501, reason: `the Transfer-Encoding ${JSON.stringify(coding)}` };
    }
  }

  /** Answers once more and passes over what still comes. */
  #refuseAll(status: number, reason: string): void {
    const unfinished = this.#receiving?.exchange;
    this.#broken = true;
    this.#receiving = undefined;
    if (unfinished?.begun) return void this.#events.push(new ProtocolError(reason));
    if (unfinished && !unfinished.over) this.#abort(unfinished);
    this.#events.push({ type: "refused", id: this.#exchange().id, status, reason });
  }

  #abort(exchange: Exchange): void {
    const waits = this.#events.some((event) => "id" in event && event.id === exchange.id && event.type === "request");
    this.#forget(exchange);
    if (!waits) this.#events.push({ type: "abort", id: exchange.id });
  }

  #forget({ id }: Exchange): void {
    this.#events = this.#events.filter((event) => !("id" in event) || event.id !== id);
  }

  get #software(): string {
    return this.#options.software ?? "runfcgi";
  }

  // From the application

  encode(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return noBytes;
    const { response } = exchange;
    this.#encoding = true;
    try {
      if (response === undefined) this.#writeAlone(head, body);
      // Without a head there never was a response: the request was aborted.
      else if (head || exchange.begun) this.#write(exchange, response, head, body, end);
      this.#stream.flushed();
    } catch (error) {
      this.#output = [];
      this.#outputLength = 0;
      throw error;
    } finally {
      this.#encoding = false;
    }
    if (end) {
      exchange.over = true;
      this.#exchanges.delete(id);
      if (this.full) this.#forget(exchange);
      if (response === undefined) this.#closing = true;
      if (response === undefined || !exchange.begun) this.#current = undefined;
    }
    return this.#takeOutput(this.#options.allocate ?? Buffer.allocUnsafe);
  }

  #write(
    exchange: Exchange,
    response: ServerResponse,
    head: ResponseHead | undefined,
    body: Uint8Array | undefined,
    end: boolean,
  ) {
    if (head) {
      if (this.#last) response.shouldKeepAlive = false;
      response.writeHead(head.status, head.reason, head.headers);
      exchange.begun = true;
      if (!end) exchange.left = declaredLength(head);
    }
    if (body && body.length > exchange.left) body = body.subarray(0, exchange.left);
    if (body) exchange.left -= body.length;
    if (end && exchange.left > 0 && exchange.left < Infinity) {
      // The next response would be taken for the rest of this one.
      throw new Error(`The Response is ${exchange.left} bytes shorter than its content-length says`);
    }
    if (end) response.end(body);
    else if (body) response.write(body);
    else response.flushHeaders();
    // What the peer was told counts. Not every runtime calls destroySoon() on what is no socket of its own.
    if (head && lastResponse.test(String(this.#output[0]))) this.#closing = true;
  }

  /** A response to what the platform made no request of. */
  #writeAlone(head: ResponseHead | undefined, body: Uint8Array | undefined): void {
    if (head) {
      const { status, reason, headers } = head;
      let text = `HTTP/1.1 ${status} ${reason}\r\n`;
      for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
      this.written(`${text}Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n`);
    }
    if (body) this.written(body);
  }

  /** What was written, copied, since bodies may be in memory that is used again. */
  #takeOutput(allocate: Allocate): Uint8Array {
    const bytes = allocate(this.#outputLength);
    let at = 0;
    for (const piece of this.#output) {
      // The platform's text is byte strings, though Bun names another encoding.
      if (typeof piece === "string") bytes.write(piece, at, "latin1");
      else bytes.set(piece, at);
      at += piece.length;
    }
    this.#output = [];
    this.#outputLength = 0;
    return bytes;
  }

  stderr(): undefined {}

  probe(): undefined {}

  get inHead(): boolean {
    return this.#inHead && !this.#receiving && !this.#broken;
  }

  get closing(): boolean {
    return this.#closing;
  }

  get idle(): boolean {
    return !this.#inHead && !this.#receiving && !this.#broken && !this.full;
  }

  last(): void {
    this.#last = true;
  }

  closed(): void {
    this.#broken = true;
    this.#stream.destroy();
  }
}

/** Length that a response says its body has. */
function declaredLength({ headers }: ResponseHead): number {
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "content-length");
  return at >= 0 && /^\d+$/.test(headers[at + 1]) ? Number(headers[at + 1]) : Infinity;
}

/** What the platform takes for a socket. */
class ServerStream extends StandInSocket {
  readonly codec: HttpServer;
  #callbacks: (() => void)[] = [];

  constructor(codec: HttpServer) {
    super({ allowHalfOpen: true });
    this.codec = codec;
  }

  override _read(): void {}

  override write(chunk: string | Uint8Array, ...rest: unknown[]): boolean {
    this.codec.written(chunk);
    const callback = rest.at(-1);
    if (typeof callback === "function") this.#callbacks.push(callback as () => void);
    return true;
  }

  /** What was written is on its way. Not told earlier, since the platform expects no answer while it writes. */
  flushed(): void {
    const callbacks = this.#callbacks;
    if (callbacks.length === 0) return;
    this.#callbacks = [];
    for (const callback of callbacks) callback();
  }

  /** The response has said that it is the last. */
  destroySoon(): void {}
}

/** One for each length that heads may have, which is all that the platform bounds: times are the connection's. */
const servers = new Map<number, Server>();

function platformServer(maxHeaderSize: number): Server {
  const known = servers.get(maxHeaderSize);
  if (known) return known;
  const server = createDetachedServer({ maxHeaderSize, requireHostHeader: false });
  // Deno would drop the headers above it.
  server.maxHeadersCount = 0;
  const codecOf = (stream: unknown) => (stream as ServerStream).codec;
  server.on("request", (message, response) => codecOf(message.socket).request(message, response));
  server.on("checkContinue", (message, response) => {
    response.writeContinue();
    codecOf(message.socket).request(message, response);
  });
  server.on("checkExpectation", (message, response) => codecOf(message.socket).request(message, response, false));
  server.on("connect", (_message, stream) => codecOf(stream).connect());
  server.on("clientError", (error, stream) => codecOf(stream).failed(error));
  servers.set(maxHeaderSize, server);
  return server;
}
