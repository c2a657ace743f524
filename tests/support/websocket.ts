/**
 * A WebSocket's client (RFC 6455) under a test's control, down to single bits.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import type { Address } from "../../src/runtime/socket.ts";
import { until } from "./program.ts";

/** What may be odd about a frame. */
export interface FrameOptions {
  opcode: number;
  payload?: Uint8Array | string;
  final?: boolean;
  /** RSV1 to RSV3. */
  reserved?: number;
  /** The key; `null` for none. */
  mask?: readonly number[] | null;
  /** Bytes of the length, where they are not as few as possible. */
  lengthBytes?: 1 | 2 | 8;
}

/** A frame of a client. */
export function clientFrame(
  { opcode, payload = "", final = true, reserved = 0, mask = [0x37, 0xfa, 0x21, 0x3d], lengthBytes }: FrameOptions,
): Uint8Array {
  const bytes = Buffer.from(payload as string);
  const form = lengthBytes ?? (bytes.length < 126 ? 1 : bytes.length < 0x10000 ? 2 : 8);
  const head = Buffer.alloc(form === 1 ? 2 : 2 + form);
  head[0] = (final ? 0x80 : 0) | reserved << 4 | opcode;
  head[1] = (mask ? 0x80 : 0) | (form === 1 ? bytes.length : form === 2 ? 126 : 127);
  if (form === 2) head.writeUInt16BE(bytes.length, 2);
  if (form === 8) head.writeBigUInt64BE(BigInt(bytes.length), 2);
  if (!mask) return new Uint8Array(Buffer.concat([head, bytes]));
  for (let i = 0; i < bytes.length; i++) bytes[i] ^= mask[i & 3];
  return new Uint8Array(Buffer.concat([head, Buffer.from(mask), bytes]));
}

/** The payload of a close frame. */
export function closePayload(code: number, reason = ""): Uint8Array {
  return new Uint8Array(Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));
}

/** A frame of a server. */
export interface ServerFrame {
  /** First byte: FIN, reserved bits and opcode. */
  first: number;
  payload: Buffer;
}

/** Takes the frames of a server apart; the rest is what is not complete. */
export function serverFrames(bytes: Buffer): { frames: ServerFrame[]; rest: Buffer } {
  const frames: ServerFrame[] = [];
  for (;;) {
    const short = bytes.length < 2 ? 0 : bytes[1];
    const at = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < at) break;
    const length = at === 2 ? short : at === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < at + length) break;
    frames.push({ first: bytes[0], payload: bytes.subarray(at, at + length) });
    bytes = bytes.subarray(at + length);
  }
  return { frames, rest: bytes };
}

/** A connection that asks for a WebSocket. */
export class WebSocketPeer {
  readonly socket: Socket;
  readonly frames: ServerFrame[] = [];
  /** The head of the response, once it is there. */
  head = "";
  ended = false;
  closed = false;
  #rest: Buffer = Buffer.alloc(0);
  /** What came since, and from how many bytes on it is looked at. */
  #pieces: Buffer[] = [];
  #length = 0;
  #enough = 0;

  constructor(address: Address) {
    this.socket = address.transport === "unix" ? connect(address.path) : connect(address.port, address.hostname);
    this.socket.on("data", (bytes: Buffer) => this.#data(bytes));
    this.socket.on("end", () => this.ended = true).on("close", () => this.closed = true).on("error", () => {});
  }

  #data(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    if (this.#length < this.#enough) return;
    this.#rest = Buffer.concat([this.#rest, ...this.#pieces]);
    this.#pieces = [];
    if (this.head === "") {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.head = this.#rest.toString("latin1", 0, end);
      this.#rest = this.#rest.subarray(end + 4);
    }
    if (!this.head.startsWith("HTTP/1.1 101 ")) return;
    const { frames, rest } = serverFrames(this.#rest);
    this.frames.push(...frames);
    this.#rest = rest;
    this.#length = rest.length;
    // Of a long frame, not every piece is worth a look.
    this.#enough = rest.length > 65536 && rest[1] === 127 ? 10 + Number(rest.readBigUInt64BE(2)) : 0;
  }

  /** What came behind a head that is not a 101. */
  get body(): string {
    return this.#rest.toString();
  }

  /** Asks; a header `undefined` is left out. */
  ask(path = "/", headers: Record<string, string | undefined> = {}, behind: Uint8Array = new Uint8Array()): void {
    const all = {
      host: "example.com",
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...headers,
    };
    const lines = Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket.write(Buffer.concat([Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`), behind]));
  }

  send(frame: FrameOptions): void {
    this.socket.write(clientFrame(frame));
  }

  /** Waits for so many frames, and gives the last of them. */
  async frame(count: number): Promise<ServerFrame> {
    await until(`${count} frames are there`, () => this.frames.length >= count);
    return this.frames[count - 1];
  }

  /** Waits for a close frame: its code, 1005 for none, and its reason. */
  async closeFrame(): Promise<{ code: number; reason: string }> {
    await until("a close frame is there", () => this.frames.at(-1)?.first === 0x88);
    const { payload } = this.frames.at(-1)!;
    return payload.length === 0
      ? { code: 1005, reason: "" }
      : { code: payload.readUInt16BE(0), reason: payload.toString("utf8", 2) };
  }
}
