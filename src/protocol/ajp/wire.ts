/**
 * AJP/1.3 on the wire, as described in "AJP Protocol Reference" of the Apache Tomcat connectors: packets, coded names,
 * and the types that packets are made of.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Collector } from "../collector.ts";
import { asBuffer, byteString } from "../params.ts";
import { ProtocolError } from "../protocol.ts";

/** "Packet Structure": what packets from the web server begin with. */
export const REQUEST_MAGIC = 0x1234;
/** "Packet Structure": what packets to the web server begin with: "AB". */
export const REPLY_MAGIC = 0x4142;
/** Magic and length of the payload. */
export const PACKET_HEADER_LENGTH = 4;

/** Length of packets, header included, that web servers accept by default. */
export const DEFAULT_PACKET_SIZE = 8192;
/** The largest that can be configured in them. */
export const MAX_PACKET_SIZE = 65536;

/** Prefix codes of packets. */
export const PacketType = {
  forwardRequest: 2,
  sendBodyChunk: 3,
  sendHeaders: 4,
  endResponse: 5,
  getBodyChunk: 6,
  shutdown: 7,
  ping: 8,
  cpong: 9,
  cping: 10,
} as const;

/** "Request Prefix": methods by their codes, from 1. */
export const methods: readonly string[] = [
  "OPTIONS",
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "TRACE",
  "PROPFIND",
  "PROPPATCH",
  "MKCOL",
  "COPY",
  "MOVE",
  "LOCK",
  "UNLOCK",
  "ACL",
  "REPORT",
  "VERSION-CONTROL",
  "CHECKIN",
  "CHECKOUT",
  "UNCHECKOUT",
  "SEARCH",
  "MKWORKSPACE",
  "UPDATE",
  "LABEL",
  "MERGE",
  "BASELINE-CONTROL",
  "MKACTIVITY",
];
/** The method is in the attribute {@linkcode Attribute.storedMethod}. */
export const STORED_METHOD = 0xff;

/** "Headers": names by the low byte of their codes, from 1; the high byte is 0xA0. */
export const requestHeaders: readonly string[] = [
  "accept",
  "accept-charset",
  "accept-encoding",
  "accept-language",
  "authorization",
  "connection",
  "content-type",
  "content-length",
  "cookie",
  "cookie2",
  "host",
  "pragma",
  "referer",
  "user-agent",
];

/** "Send Headers": names by the low byte of their codes, from 1. */
export const responseHeaders: readonly string[] = [
  "content-type",
  "content-language",
  "content-length",
  "date",
  "last-modified",
  "location",
  "set-cookie",
  "set-cookie2",
  "servlet-engine",
  "status",
  "www-authenticate",
];
export const CODED_HEADER = 0xa000;

/** "Attributes". */
export const Attribute = {
  context: 1,
  servletPath: 2,
  remoteUser: 3,
  authType: 4,
  queryString: 5,
  jvmRoute: 6,
  sslCert: 7,
  sslCipher: 8,
  sslSession: 9,
  requestAttribute: 10,
  sslKeySize: 11,
  secret: 12,
  storedMethod: 13,
  end: 0xff,
} as const;

/** Length of the null string. */
const NULL_STRING = 0xffff;

/** Splits received bytes into packets. */
export class PacketInput {
  readonly #magic: number;
  readonly #input = new Collector();
  /** Bytes that {@linkcode next} needs: a header, then its packet. */
  #needed = PACKET_HEADER_LENGTH;

  constructor(magic: number) {
    this.#magic = magic;
  }

  /** Whether no incomplete packet is held. */
  get empty(): boolean {
    return this.#input.length === 0;
  }

  receive(bytes: Uint8Array): void {
    this.#input.add(bytes);
  }

  /**
   * The payload of the next packet, `undefined` while it is not complete.
   *
   * @throws {ProtocolError} when the bytes are not a packet
   */
  next(): Buffer | undefined {
    if (this.#input.length < this.#needed) return undefined;
    const input = asBuffer(this.#input.take());
    const end = packetEnd(input, this.#magic);
    const whole = input.length >= end;
    this.#needed = whole ? PACKET_HEADER_LENGTH : end;
    this.#input.add(whole ? input.subarray(end) : input);
    return whole ? input.subarray(PACKET_HEADER_LENGTH, end) : undefined;
  }
}

/** Where the packet ends that begins here. @throws {ProtocolError} when it is not a packet */
function packetEnd(input: Buffer, magic: number): number {
  const seen = input.readUInt16BE(0);
  if (seen !== magic) throw new ProtocolError(`Not AJP: a packet begins with 0x${seen.toString(16).padStart(4, "0")}`);
  return PACKET_HEADER_LENGTH + input.readUInt16BE(2);
}

/** Reads the payload of a packet. */
export class PacketReader {
  readonly #bytes: Buffer;
  readonly #text: string;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes);
    this.#text = byteString(bytes);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(length: number): number {
    if (length > this.left) throw new ProtocolError("An AJP packet ends before what it holds");
    this.#at += length;
    return this.#at - length;
  }

  byte(): number {
    return this.#bytes[this.#take(1)];
  }

  integer(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  /** A string, or `undefined` for the null string. A code in its place is not read here. */
  string(): string | undefined {
    const length = this.integer();
    if (length === NULL_STRING) return undefined;
    const at = this.#take(length + 1);
    return this.#text.slice(at, at + length);
  }

  /** The bytes of the string that was read last. */
  bytesOf(text: string): Buffer {
    return this.#bytes.subarray(this.#at - 1 - text.length, this.#at - 1);
  }

  /** A header name: coded, or a string. */
  name(coded: readonly string[]): string {
    const code = this.left >= 2 ? this.#bytes.readUInt16BE(this.#at) : 0;
    if ((code & 0xff00) !== CODED_HEADER) return this.string() ?? "";
    this.integer();
    const name = coded[(code & 0xff) - 1];
    if (name === undefined) throw new ProtocolError(`The AJP header code 0x${code.toString(16)} is not known`);
    return name;
  }
}

/** Length of a string in a packet. */
export function stringLength(text: string): number {
  return 2 + text.length + 1;
}

/** Writes the payload of a packet, whose header comes first. */
export class PacketWriter {
  readonly #buffer: Buffer;
  #at = PACKET_HEADER_LENGTH;

  /** @param length of the payload */
  constructor(magic: number, length: number, buffer: Buffer = Buffer.allocUnsafe(PACKET_HEADER_LENGTH + length)) {
    this.#buffer = buffer;
    buffer.writeUInt16BE(magic, 0);
    buffer.writeUInt16BE(length, 2);
  }

  byte(value: number): this {
    this.#at = this.#buffer.writeUInt8(value, this.#at);
    return this;
  }

  integer(value: number): this {
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
    return this;
  }

  /** A byte string. */
  string(text: string): this {
    this.integer(text.length);
    this.#at += this.#buffer.write(text, this.#at, "latin1");
    return this.byte(0);
  }

  nullString(): this {
    return this.integer(NULL_STRING);
  }

  bytes(bytes: Uint8Array): this {
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  get packet(): Buffer {
    return this.#buffer;
  }
}
