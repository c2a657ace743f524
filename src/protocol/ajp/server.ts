/**
 * AJP/1.3, the servlet container's half.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  type Allocate,
  type CodecLimits,
  defaultCodecLimits,
  ProtocolError,
  type ResponseHead,
  type ServerCodec,
  type ServerEvent,
} from "../protocol.ts";
import { noBytes, readLength } from "../params.ts";
import { readForwardRequest } from "./request.ts";
import {
  CODED_HEADER,
  DEFAULT_PACKET_SIZE,
  PACKET_HEADER_LENGTH,
  PacketInput,
  PacketType,
  PacketWriter,
  REPLY_MAGIC,
  REQUEST_MAGIC,
  responseHeaders,
  stringLength,
} from "./wire.ts";

/** What an AJP server takes. */
export interface AjpServerOptions extends CodecLimits {
  /** What every request has to contain; default is no secret. */
  secret?: string;
  /** Length of packets in both directions, from 8192 to 65536; another than 8192 has to be set in the web server as well. */
  packetSize?: number;
  /** Where encoded responses go; default is memory of their own. */
  allocate?: Allocate;
}

/** One request is in flight on a connection. */
const REQUEST_ID = 1;

interface AjpRequest {
  /** Body packets have no length in front; `undefined` until the first one shows it. */
  raw: boolean | undefined;
  /** Bytes of the body that are still missing, `undefined` if its length is unknown. */
  bodyLeft: number | undefined;
  /** The body is complete, or not wanted. */
  bodyEnded: boolean;
}

/** The server half of AJP/1.3 for one connection. */
export class AjpServer implements ServerCodec {
  readonly protocol = "ajp";
  readonly #options: AjpServerOptions;
  readonly #packetSize: number;
  readonly #input = new PacketInput(REQUEST_MAGIC);
  readonly #events: ServerEvent[] = [];
  #request: AjpRequest | undefined;
  /** Body packets that are expected, asked for or not. */
  #expected = 0;
  #closing = false;
  /** The connection ends with the request that is in flight. */
  #last = false;

  constructor(options: AjpServerOptions = defaultCodecLimits) {
    this.#options = options;
    this.#packetSize = options.packetSize ?? DEFAULT_PACKET_SIZE;
  }

  receive(bytes: Uint8Array): void {
    this.#input.receive(bytes);
  }

  nextEvent(): ServerEvent | undefined {
    while (this.#events.length === 0) {
      const payload = this.#input.next();
      if (payload === undefined) break;
      this.#packet(payload);
    }
    return this.#events.shift();
  }

  #packet(payload: Buffer): void {
    const { length } = payload;
    if (this.#expected > 0) this.#bodyPacket(payload);
    // mod_jk: the visitor left. lighttpd: there is no body.
    else if (length === 0 || (length === 2 && payload.readUInt16BE(0) === 0)) this.#bodyEnd();
    else this.#message(payload);
  }

  #message(payload: Buffer): void {
    switch (payload[0]) {
      case PacketType.forwardRequest:
        return this.#forwardRequest(payload);
      case PacketType.cping:
        return void this.#events.push({ type: "reply", bytes: new PacketWriter(REPLY_MAGIC, 1).byte(PacketType.cpong).packet });
      case PacketType.shutdown:
        return void this.#events.push({ type: "ignored", reason: "a Shutdown packet: a web server does not decide that" });
      case PacketType.ping:
        return void this.#events.push({ type: "ignored", reason: "a Ping packet" });
      default:
        throw new ProtocolError(`A web server does not send AJP packets of type ${payload[0]}`);
    }
  }

  #forwardRequest(payload: Buffer): void {
    if (this.#request) throw new ProtocolError("A Forward Request while another request is in flight");
    const { maxParams, maxParamsBytes, maxConcurrent, secret } = this.#options;
    const { params, secrets, lengths, transferEncoding, conformant } = readForwardRequest(payload);
    const known = readLength(lengths[0] || "0");
    const chunked = lengths.length === 0 && transferEncoding;
    const request: AjpRequest = {
      raw: conformant ? false : undefined,
      bodyLeft: chunked ? undefined : known,
      bodyEnded: false,
    };
    this.#request = request;
    const refuse = (status: number, reason: string) => {
      request.bodyEnded = true;
      this.#events.push({ type: "refused", id: REQUEST_ID, status, reason });
    };
    if (known === undefined || lengths.length > 1) {
      // RFC 9112, 6.3: it is unclear where the body ends and the next request begins, so everything is ignored.
      this.#closing = true;
      this.#expected = Infinity;
      return refuse(400, `${lengths.length > 1 ? "more than one" : "an invalid"} content-length: ${quoted(lengths)}`);
    }
    // "Request packet structure": with a length the first body packet comes unasked.
    if (known > 0) this.#expected = 1;
    const wrong = secret === undefined ? undefined : whyWrong(secret, secrets);
    if (wrong !== undefined) {
      this.#closing = true;
      return refuse(403, wrong);
    }
    if (params.pairs.reduce((sum, { length }) => sum + length, 0) > maxParamsBytes) {
      return refuse(431, `more than ${maxParamsBytes} bytes of params`);
    }
    if (params.pairs.length > 2 * maxParams) return refuse(431, `more than ${maxParams} params`);
    if (maxConcurrent < 1) {
      // Web servers keep connections for hours. The next one may find room.
      this.#closing = true;
      return refuse(503, "too many requests at once");
    }
    if (chunked) this.#ask();
    this.#events.push({ type: "request", id: REQUEST_ID, role: "responder", params });
    if (known === 0 && !chunked) this.#bodyEnd();
  }

  /** "Get Body Chunk". It is sent before the event that may make the application end the response. */
  #ask(): void {
    this.#expected++;
    const most = Math.min(this.#packetSize - PACKET_HEADER_LENGTH - 2, 0xffff);
    this.#events.push({
      type: "reply",
      bytes: new PacketWriter(REPLY_MAGIC, 3).byte(PacketType.getBodyChunk).integer(most).packet,
    });
  }

  #bodyPacket(payload: Buffer): void {
    this.#expected--;
    const request = this.#request;
    // It was on its way when the response ended.
    if (request === undefined || request.bodyEnded) return;
    const bytes = bodyBytes(payload, request);
    if (bytes.length === 0) return this.#bodyEnd();
    if (request.bodyLeft !== undefined) request.bodyLeft -= bytes.length;
    if (request.bodyLeft !== 0) this.#ask();
    this.#events.push({ type: "body", id: REQUEST_ID, bytes });
    if (request.bodyLeft === 0) this.#bodyEnd();
  }

  #bodyEnd(): void {
    const request = this.#request;
    if (request === undefined || request.bodyEnded) return;
    request.bodyEnded = true;
    // An end before all has come: the visitor left.
    const complete = !request.bodyLeft;
    this.#events.push({ type: complete ? "bodyEnd" : "abort", id: REQUEST_ID });
  }

  /**
   * "Send Headers", "Send Body Chunk" and "End Response".
   *
   * @throws {RangeError} when the head is longer than a packet
   */
  encode(_id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    if (this.#request === undefined) return noBytes;
    const bytes = body ?? noBytes;
    const headPayload = head ? headLength(head) : 0;
    if (headPayload + PACKET_HEADER_LENGTH > this.#packetSize) {
      throw new RangeError(
        `The response head has ${headPayload} bytes, at most ${this.#packetSize - PACKET_HEADER_LENGTH} fit into a packet: ` +
          "raise packetsize here and in the web server",
      );
    }
    const most = Math.min(this.#packetSize, 0xffff) - PACKET_HEADER_LENGTH - CHUNK_FRAME;
    const chunks = Math.ceil(bytes.length / most);
    // A response that goes on is flushed: both modules of Apache would hold back even a part of a packet.
    const flush = !end;
    const length = (head ? PACKET_HEADER_LENGTH + headPayload : 0) + bytes.length +
      (chunks + Number(flush)) * (PACKET_HEADER_LENGTH + CHUNK_FRAME) + (end ? PACKET_HEADER_LENGTH + 2 : 0);
    const { allocate = Buffer.allocUnsafe } = this.#options;
    const buffer = allocate(length);
    let at = 0;
    if (head) {
      writeHead(head, headPayload, buffer);
      at += PACKET_HEADER_LENGTH + headPayload;
    }
    for (let taken = 0; taken < bytes.length; taken += most) at = writeChunk(bytes.subarray(taken, taken + most), buffer, at);
    if (flush) at = writeChunk(noBytes, buffer, at);
    if (end) {
      new PacketWriter(REPLY_MAGIC, 2, buffer.subarray(at)).byte(PacketType.endResponse).byte(
        this.#closing || this.#last ? 0 : 1,
      );
      this.#request = undefined;
      // What is left of its packet.
      this.#events.length = 0;
    }
    return buffer;
  }

  stderr(): undefined {}

  probe(): undefined {}

  get inHead(): boolean {
    return this.#request === undefined && this.#expected === 0 && !this.#input.empty;
  }

  get closing(): boolean {
    return this.#closing && this.#request === undefined;
  }

  /** End Response says so: web servers keep connections for hours, and would ask again on this one. */
  last(): void {
    this.#last = true;
  }

  get idle(): boolean {
    return this.#request === undefined && this.#expected === 0 && this.#input.empty;
  }
}

/** Prefix code, length, and the NUL behind the bytes of Send Body Chunk. */
const CHUNK_FRAME = 4;

function writeChunk(bytes: Uint8Array, buffer: Buffer, at: number): number {
  new PacketWriter(REPLY_MAGIC, CHUNK_FRAME + bytes.length, buffer.subarray(at))
    .byte(PacketType.sendBodyChunk).integer(bytes.length).bytes(bytes).byte(0);
  return at + PACKET_HEADER_LENGTH + CHUNK_FRAME + bytes.length;
}

function headLength({ reason, headers }: ResponseHead): number {
  let length = 1 + 2 + stringLength(reason) + 2;
  for (let i = 0; i < headers.length; i += 2) {
    length += (responseHeaders.includes(headers[i]) ? 2 : stringLength(headers[i])) + stringLength(headers[i + 1]);
  }
  return length;
}

function writeHead({ status, reason, headers }: ResponseHead, length: number, buffer: Buffer): void {
  const packet = new PacketWriter(REPLY_MAGIC, length, buffer).byte(PacketType.sendHeaders).integer(status).string(reason);
  packet.integer(headers.length / 2);
  for (let i = 0; i < headers.length; i += 2) {
    const code = responseHeaders.indexOf(headers[i]);
    if (code >= 0) packet.integer(CODED_HEADER + code + 1);
    else packet.string(headers[i]);
    packet.string(headers[i + 1]);
  }
}

/**
 * The bytes of a body packet: their length comes first, and anything behind them in the packet is ignored. lighttpd 1.4
 * leaves the length out. That shows if the first two bytes are not the packet's length, or if the whole packet is exactly
 * the missing body; a packet that is longer than the body has a length. The first packet decides for all, since a later
 * one may begin with bytes that look like its length.
 *
 * @throws {ProtocolError}
 */
function bodyBytes(payload: Buffer, request: AjpRequest): Uint8Array {
  if (payload.length === 0) return noBytes;
  const { bodyLeft = Infinity } = request;
  const length = payload.length >= 2 ? payload.readUInt16BE(0) : -1;
  const fits = payload.length <= bodyLeft;
  const raw = request.raw ??= fits && (length + 2 !== payload.length || payload.length === bodyLeft);
  if (!raw && (length < 0 || length + 2 > payload.length)) {
    throw new ProtocolError("An AJP body packet is shorter than what it holds");
  }
  const bytes = raw ? payload : payload.subarray(2, 2 + length);
  if (bytes.length > bodyLeft) throw new ProtocolError("An AJP body is longer than its content-length");
  return bytes;
}

function quoted(values: readonly string[]): string {
  return values.map((value) => JSON.stringify(value.slice(0, 40))).join(", ");
}

/** Why the secrets of a request are wrong, `undefined` for the right one. */
function whyWrong(expected: string, given: readonly (string | undefined)[]): string | undefined {
  if (given.length > 1) return "the web server gave more than one secret";
  if (given[0] === undefined) return "the web server gave no secret";
  return sameText(expected, given[0]) ? undefined : "the web server gave another secret";
}

/** Compares in constant time, so that the time does not reveal where two texts differ. */
function sameText(expected: string, given: string): boolean {
  let difference = expected.length ^ given.length;
  for (let i = 0; i < expected.length; i++) difference |= expected.charCodeAt(i) ^ given.charCodeAt(i % (given.length || 1));
  return difference === 0;
}
