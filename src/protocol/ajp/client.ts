/**
 * AJP/1.3, the web server's half.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { noBytes, type Params } from "../params.ts";
import { type ClientCodec, type ClientEvent, ProtocolError } from "../protocol.ts";
import { writeForwardRequest } from "./request.ts";
import {
  DEFAULT_PACKET_SIZE,
  PACKET_HEADER_LENGTH,
  PacketInput,
  PacketReader,
  PacketType,
  PacketWriter,
  REPLY_MAGIC,
  REQUEST_MAGIC,
  responseHeaders,
} from "./wire.ts";

/** What an AJP client takes. */
export interface AjpClientOptions {
  secret?: string;
  packetSize?: number;
}

/** The client half of AJP/1.3 for one connection. */
export class AjpClient implements ClientCodec {
  readonly lengthFirst = false;
  readonly #options: AjpClientOptions;
  readonly #packetSize: number;
  readonly #input = new PacketInput(REPLY_MAGIC);
  readonly #events: ClientEvent[] = [];
  #id: number | undefined;
  #hasHead = false;
  #room = 0;
  #bodyEnded = false;

  constructor(options: AjpClientOptions = {}) {
    this.#options = options;
    this.#packetSize = options.packetSize ?? DEFAULT_PACKET_SIZE;
  }

  /** Bytes of the body that the server takes now. */
  get room(): number {
    return this.#room;
  }

  request(id: number, params: Params): Uint8Array {
    this.#id = id;
    this.#hasHead = false;
    this.#bodyEnded = false;
    // With a length the first body packet is sent unasked.
    this.#room = Number(params.get("CONTENT_LENGTH") || 0) > 0 ? this.#packetSize - PACKET_HEADER_LENGTH - 2 : 0;
    return writeForwardRequest(params, this.#options.secret, this.#packetSize);
  }

  /** One packet; what is more than {@linkcode room} must wait. */
  body(_id: number, bytes: Uint8Array): Uint8Array {
    if (bytes.length > this.#room) throw new RangeError(`${bytes.length} bytes for a server that takes ${this.#room}`);
    this.#room = 0;
    return bodyPacket(bytes);
  }

  /** Sent when the server asks for more. */
  bodyEnd(): Uint8Array {
    this.#bodyEnded = true;
    if (this.#room === 0) return noBytes;
    this.#room = 0;
    return bodyPacket(noBytes);
  }

  /** CPing: the server answers `pong`. */
  ping(): Uint8Array {
    return new PacketWriter(REQUEST_MAGIC, 1).byte(PacketType.cping).packet;
  }

  receive(bytes: Uint8Array): void {
    this.#input.receive(bytes);
  }

  receiveEnd(): void {
    if (this.#id !== undefined) throw new ProtocolError("The server closed the connection before the response was complete");
  }

  nextEvent(): ClientEvent | undefined {
    while (this.#events.length === 0) {
      const payload = this.#input.next();
      if (payload === undefined) break;
      this.#packet(payload);
    }
    return this.#events.shift();
  }

  #packet(payload: Buffer): void {
    const packet = new PacketReader(payload);
    const type = packet.byte();
    const id = this.#id;
    if (type === PacketType.cpong) return void this.#events.push({ type: "pong" });
    if (id === undefined) throw new ProtocolError(`The server sent a packet of type ${type} without a request`);
    switch (type) {
      case PacketType.sendHeaders: {
        const status = packet.integer();
        const reason = packet.string() ?? "";
        const headers: string[] = [];
        for (let left = packet.integer(); left > 0; left--) headers.push(packet.name(responseHeaders), packet.string() ?? "");
        if (this.#hasHead) throw new ProtocolError("The server sent a second response head");
        if (status < 100 || status > 999) throw new ProtocolError(`The response has the status ${status}`);
        if ([reason, ...headers].some((text) => lineEnd.test(text))) {
          throw new ProtocolError("The response head has a line end in it");
        }
        this.#hasHead = true;
        return void this.#events.push({ type: "head", id, head: { status, reason, headers } });
      }
      case PacketType.sendBodyChunk: {
        if (!this.#hasHead) throw new ProtocolError("The server sent a response body before its head");
        const length = packet.integer();
        if (length > packet.left) throw new ProtocolError("A Send Body Chunk is longer than its packet");
        if (length > 0) this.#events.push({ type: "body", id, bytes: payload.subarray(3, 3 + length) });
        return;
      }
      case PacketType.getBodyChunk:
        if (this.#bodyEnded) return void this.#events.push({ type: "send", bytes: bodyPacket(noBytes) });
        this.#room = Math.min(packet.integer(), this.#packetSize - PACKET_HEADER_LENGTH - 2);
        return void this.#events.push({ type: "room" });
      case PacketType.endResponse:
        this.#id = undefined;
        return void this.#events.push({ type: "end", id, status: 0 });
      default:
        throw new ProtocolError(`A server does not send AJP packets of type ${type}`);
    }
  }
}

const lineEnd = /[\r\n\0]/;

function bodyPacket(bytes: Uint8Array): Buffer {
  if (bytes.length === 0) return new PacketWriter(REQUEST_MAGIC, 0).packet;
  return new PacketWriter(REQUEST_MAGIC, 2 + bytes.length).integer(bytes.length).bytes(bytes).packet;
}
