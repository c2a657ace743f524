/**
 * One request to an endpoint, as a web server sends it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import { Params } from "../protocol/params.ts";
import type { ClientCodec, ResponseHead } from "../protocol/protocol.ts";
import { connect } from "../runtime/node.ts";
import type { Address, Connection, ConnectionHandler } from "../runtime/socket.ts";
import { type ListeningProtocol, protocols } from "../protocol/protocols.ts";

/** What came back. */
export interface ClientResponse {
  head: ResponseHead;
  /** Errors when the connection ends before the response does. */
  body: ReadableStream<Uint8Array>;
}

/** Observes the connection of a request. */
export interface ClientObserver {
  connected?(): void;
  sent?(bytes: Uint8Array): void;
  received?(bytes: Uint8Array): void;
  /** The server has ended its side (FIN). */
  ended?(): void;
}

/** What to send and where. */
export interface ClientRequest {
  address: Address;
  protocol: ListeningProtocol;
  params: Params;
  body?: AsyncIterable<Uint8Array>;
  /** AJP: what the server asks for. */
  secret?: string;
  /** AJP: length of packets. */
  packetSize?: number;
  /** Aborting it closes the connection. */
  signal?: AbortSignal;
  /** Gets what the application writes for the error log. */
  onStderr?: (text: string) => void;
  /** Keeps the connection for the next request to the same endpoint, where the protocol can. */
  keeper?: ConnectionKeeper;
  observer?: ClientObserver;
}

/** Holds a connection between two requests. */
export class ConnectionKeeper {
  #idle: ClientConnection | undefined;

  /** The connection that is kept, if the server has not closed it. */
  take(): ClientConnection | undefined {
    const idle = this.#idle?.over ? undefined : this.#idle;
    this.#idle = undefined;
    return idle;
  }

  keep(connection: ClientConnection): void {
    this.#idle = connection;
  }

  close(): void {
    this.take()?.socket?.close();
  }
}

/** Sends a request and resolves when the head of the response is there. */
export async function request(options: ClientRequest): Promise<ClientResponse> {
  const kept = options.keeper?.take();
  const connection = kept ?? new ClientConnection(protocols[options.protocol].client(options));
  const exchange = new ClientExchange(options, connection);
  connection.socket ??= await connect(options.address, () => connection);
  if (kept === undefined) options.observer?.connected?.();
  exchange.send();
  return exchange.response;
}

/** A connection with the codec that is spoken on it, for one request after the other. */
class ClientConnection implements ConnectionHandler {
  readonly codec: ClientCodec;
  socket: Connection | undefined;
  exchange: ClientExchange | undefined;
  /** No further request can be sent. */
  over = false;

  constructor(codec: ClientCodec) {
    this.codec = codec;
  }

  data(bytes: Uint8Array): void {
    this.exchange?.data(bytes);
  }

  end(): void {
    this.over = true;
    if (this.exchange) this.exchange.end();
    else this.socket?.close();
  }

  drain(): void {
    this.exchange?.drain();
  }

  close(error?: Error): void {
    this.over = true;
    this.exchange?.close(error);
  }
}

const REQUEST_ID = 1;

/** Collects a body of unknown length, for protocols that send its length first. */
async function withLength({ params, body }: ClientRequest): Promise<Pick<ClientRequest, "params" | "body">> {
  if (body === undefined || params.get("CONTENT_LENGTH")) return { params, body };
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const whole = Buffer.concat(chunks);
  const rest = params.pairs.filter((_, i) => params.pairs[i - i % 2] !== "CONTENT_LENGTH");
  return { params: new Params([...rest, "CONTENT_LENGTH", String(whole.length)]), body: Readable.from([whole]) };
}

class ClientExchange implements ConnectionHandler {
  readonly #options: ClientRequest;
  readonly #on: ClientConnection;
  readonly #codec: ClientCodec;
  readonly #head = Promise.withResolvers<ClientResponse>();
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #over = false;
  /** All of the request has left. */
  #complete = false;
  /** The server said that it closes the connection after this response. */
  #closing = false;
  #wake: (() => void) | undefined;
  readonly #body: ReadableStream<Uint8Array>;

  constructor(options: ClientRequest, connection: ClientConnection) {
    this.#options = options;
    this.#on = connection;
    this.#codec = connection.codec;
    connection.exchange = this;
    this.#body = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#connection?.resume(),
      cancel: () => this.#connection?.destroy(),
    });
  }

  get response(): Promise<ClientResponse> {
    return this.#head.promise;
  }

  get #connection(): Connection | undefined {
    return this.#on.socket;
  }

  #write(bytes: Uint8Array): boolean {
    this.#options.observer?.sent?.(bytes);
    return this.#connection?.write(bytes) ?? true;
  }

  async send(): Promise<void> {
    const { signal, keeper } = this.#options;
    signal?.addEventListener("abort", () => this.#fail(signal.reason), { once: true });
    if (signal?.aborted) return this.#fail(signal.reason);
    try {
      const { params, body } = this.#codec.lengthFirst ? await withLength(this.#options) : this.#options;
      const begin = this.#codec.request(REQUEST_ID, params, { keep: keeper !== undefined });
      if (body === undefined) {
        this.#complete = true;
        this.#write(Buffer.concat([begin, this.#codec.bodyEnd(REQUEST_ID)]));
        return;
      }
      this.#write(begin);
      for await (const bytes of body) {
        for (let at = 0; at < bytes.length;) {
          while (this.#codec.room === 0 && !this.#over) await this.#awake();
          if (this.#over) return;
          const piece = bytes.subarray(at, at + this.#codec.room);
          at += piece.length;
          if (!this.#write(this.#codec.body(REQUEST_ID, piece))) await this.#awake();
        }
      }
      const end = this.#codec.bodyEnd(REQUEST_ID);
      // An empty write fails where the server has closed already, and what it has sent would be lost.
      if (!this.#over && end.length > 0) this.#write(end);
      this.#complete = true;
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Resolves when the server takes more, or never will. */
  #awake(): Promise<void> {
    return new Promise((wake) => this.#wake = wake);
  }

  data(bytes: Uint8Array): void {
    this.#options.observer?.received?.(bytes);
    this.#codec.receive(bytes);
    this.#events();
  }

  #events(): void {
    try {
      for (let event = this.#codec.nextEvent(); event !== undefined && !this.#over; event = this.#codec.nextEvent()) {
        switch (event.type) {
          case "head":
            this.#closing = closes(event.head);
            this.#head.resolve({ head: event.head, body: this.#body });
            break;
          case "body":
            this.#controller.enqueue(event.bytes);
            break;
          case "stderr":
            this.#options.onStderr?.(new TextDecoder().decode(event.bytes));
            break;
          case "room":
            this.drain();
            break;
          case "send":
            this.#write(event.bytes);
            break;
          case "end":
            this.#end(event.refusal);
        }
      }
    } catch (error) {
      this.#fail(error as Error);
    }
    if (!this.#over && (this.#controller.desiredSize ?? 1) <= 0) this.#connection?.pause();
  }

  #end(refusal: string | undefined): void {
    if (refusal) this.#head.reject(new Error(`The server refused the request: ${refusal}`));
    this.#head.reject(new Error("The server ended the response without a head"));
    this.#over = true;
    this.#controller.close();
    const { keeper } = this.#options;
    if (keeper && this.#complete && !this.#closing && !this.#codec.lengthFirst && !this.#on.over) {
      this.#on.exchange = undefined;
      keeper.keep(this.#on);
    } else {
      this.#connection?.close();
    }
    this.drain();
  }

  end(): void {
    this.#options.observer?.ended?.();
    try {
      this.#codec.receiveEnd();
      this.#events();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  drain(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  close(error?: Error): void {
    this.#fail(error ?? new Error("The server closed the connection"));
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#head.reject(error);
    this.#controller.error(error);
    this.#connection?.destroy();
    this.drain();
  }
}

/** RFC 9112, 9.6. */
function closes({ headers }: ResponseHead): boolean {
  return headers.some((value, i) => i % 2 === 1 && headers[i - 1].toLowerCase() === "connection" && /\bclose\b/i.test(value));
}
