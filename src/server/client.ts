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
import { type ListeningProtocol, protocols } from "./protocols.ts";

/** What came back. */
export interface ClientResponse {
  head: ResponseHead;
  /** Errors when the connection ends before the response does. */
  body: ReadableStream<Uint8Array>;
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
}

/** Sends a request and resolves when the head of the response is there. */
export async function request(options: ClientRequest): Promise<ClientResponse> {
  const exchange = new ClientExchange(options);
  const connection = await connect(options.address, () => exchange);
  exchange.send(connection);
  return exchange.response;
}

const REQUEST_ID = 1;

/** Collects a body of unknown length, for the protocols that begin with its length. */
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
  readonly #codec: ClientCodec;
  readonly #head = Promise.withResolvers<ClientResponse>();
  #connection: Connection | undefined;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #over = false;
  #wake: (() => void) | undefined;
  readonly #body: ReadableStream<Uint8Array>;

  constructor(options: ClientRequest) {
    this.#options = options;
    this.#codec = protocols[options.protocol].client(options);
    this.#body = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#connection?.resume(),
      cancel: () => this.#connection?.destroy(),
    });
  }

  get response(): Promise<ClientResponse> {
    return this.#head.promise;
  }

  async send(connection: Connection): Promise<void> {
    this.#connection = connection;
    const { signal } = this.#options;
    signal?.addEventListener("abort", () => this.#fail(signal.reason), { once: true });
    if (signal?.aborted) return this.#fail(signal.reason);
    try {
      const { params, body } = this.#codec.lengthFirst ? await withLength(this.#options) : this.#options;
      if (body === undefined) {
        connection.write(Buffer.concat([this.#codec.request(REQUEST_ID, params), this.#codec.bodyEnd(REQUEST_ID)]));
        return;
      }
      connection.write(this.#codec.request(REQUEST_ID, params));
      for await (const bytes of body) {
        for (let at = 0; at < bytes.length;) {
          while (this.#codec.room === 0 && !this.#over) await this.#awake();
          if (this.#over) return;
          const piece = bytes.subarray(at, at + this.#codec.room);
          at += piece.length;
          if (!connection.write(this.#codec.body(REQUEST_ID, piece))) await this.#awake();
        }
      }
      const end = this.#codec.bodyEnd(REQUEST_ID);
      // Nothing at all is an error where the server has closed already, and would drop what it has sent.
      if (!this.#over && end.length > 0) connection.write(end);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Resolves when the server takes more, or never will. */
  #awake(): Promise<void> {
    return new Promise((wake) => this.#wake = wake);
  }

  data(bytes: Uint8Array): void {
    this.#codec.receive(bytes);
    this.#events();
  }

  #events(): void {
    try {
      for (let event = this.#codec.nextEvent(); event !== undefined && !this.#over; event = this.#codec.nextEvent()) {
        switch (event.type) {
          case "head":
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
            this.#connection?.write(event.bytes);
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
    this.#connection?.close();
    this.drain();
  }

  end(): void {
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
