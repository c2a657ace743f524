/**
 * Messages of a WebSocket (RFC 6455, section 5): the server's side.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Collector } from "../collector.ts";
import { Input } from "../http/input.ts";
import { ProtocolError } from "../protocol.ts";

/** RFC 6455, 5.2 and 11.8. */
export const Opcode = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;
type Opcode = typeof Opcode[keyof typeof Opcode];

/** RFC 6455, 7.4.1. */
export const CloseCode = {
  goingAway: 1001,
  protocolError: 1002,
  /** Stands for a close without a code, and is never sent. */
  none: 1005,
  /** Stands for a connection that ended without a close, and is never sent. */
  abnormal: 1006,
  invalidData: 1007,
  tooLong: 1009,
} as const;

/** What came. The bytes belong to the caller. */
export type WebSocketEvent =
  | { type: "text"; text: string }
  | { type: "binary"; bytes: Uint8Array }
  | { type: "ping" | "pong"; bytes: Uint8Array }
  /** `code` is 1005 if there was none. Nothing follows. */
  | { type: "close"; code: number; reason: string };

/** The peer broke the protocol: the connection is closed with this code. */
export class WebSocketError extends ProtocolError {
  override name = "WebSocketError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

function invalid(message: string): WebSocketError {
  return new WebSocketError(CloseCode.protocolError, message);
}

const FINAL = 0x80;
const RESERVED = 0x70;
const MASKED = 0x80;
/** RFC 6455, 5.5. */
const MAX_CONTROL = 125;
const CONTROL = 0x8;
const MASK_LENGTH = 4;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Parses what a client sends. A message is reported when it is complete. */
export class MessageReader {
  readonly #maxLength: number;
  readonly #input = new Input();
  /** The frame whose payload is arriving. */
  #frame: { opcode: number; final: boolean; mask: Uint8Array } | undefined;
  /** Its missing bytes, and those that have come. */
  #left = 0;
  #come = 0;
  /** Kind of the message that is arriving. */
  #kind: Opcode | undefined;
  readonly #message = new Collector();
  #over = false;

  /** @param maxLength bytes that a message may have */
  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  /** Bytes that are held of a message that has not come to its end. */
  get held(): number {
    return this.#message.capacity;
  }

  /** Reports nothing any more, and holds nothing. */
  end(): void {
    this.#over = true;
    this.#input.clear();
    this.#message.take();
  }

  /** Takes bytes from the client, which are changed. */
  receive(bytes: Uint8Array): void {
    if (!this.#over) this.#input.add(bytes);
  }

  /**
   * Reports what was received, `undefined` when more bytes are needed.
   *
   * @throws {WebSocketError} when the client broke the protocol; nothing is reported after that
   */
  nextEvent(): WebSocketEvent | undefined {
    if (this.#over) return undefined;
    try {
      return this.#read();
    } catch (error) {
      this.end();
      throw error;
    }
  }

  #read(): WebSocketEvent | undefined {
    const input = this.#input;
    for (;;) {
      const frame = this.#frame ??= this.#readHead();
      const control = frame !== undefined && frame.opcode >= CONTROL;
      if (frame === undefined || (this.#left > 0 && input.length < (control ? this.#left : 1))) {
        input.wait();
        return undefined;
      }
      const bytes = input.take(this.#left);
      unmask(bytes, frame.mask, this.#come);
      this.#left -= bytes.length;
      this.#come += bytes.length;
      if (!control) this.#message.add(bytes);
      if (this.#left > 0) continue;
      this.#frame = undefined;
      if (control) return this.#control(frame.opcode, bytes);
      if (frame.final) return this.#complete();
    }
  }

  /** RFC 6455, 5.2. */
  #readHead(): { opcode: number; final: boolean; mask: Uint8Array } | undefined {
    const { bytes, at, length: available } = this.#input;
    if (available < 2) return undefined;
    const opcode = bytes[at] & 0x0f;
    const final = (bytes[at] & FINAL) !== 0;
    let length = bytes[at + 1] & 0x7f;
    if (bytes[at] & RESERVED) throw invalid("A frame has reserved bits, and no extension was negotiated");
    if (!(bytes[at + 1] & MASKED)) throw invalid("A frame of the client is not masked");
    if (opcode >= CONTROL) {
      if (opcode > Opcode.pong) throw invalid(`A frame has the unknown opcode ${opcode}`);
      if (!final) throw invalid("A control frame is fragmented");
      if (length > MAX_CONTROL) throw invalid(`A control frame is longer than ${MAX_CONTROL} bytes`);
    } else if (opcode > Opcode.binary) throw invalid(`A frame has the unknown opcode ${opcode}`);
    else if (opcode === Opcode.continuation && this.#kind === undefined) throw invalid("A fragment continues no message");
    else if (opcode !== Opcode.continuation && this.#kind !== undefined) {
      throw invalid("A message begins within the fragments of another");
    }
    const extended = length < 126 ? 0 : length === 126 ? 2 : 8;
    const headLength = 2 + extended + MASK_LENGTH;
    if (available < headLength) return undefined;
    if (extended === 2) length = bytes.readUInt16BE(at + 2);
    else if (extended === 8) {
      if (bytes[at + 2] & 0x80) throw invalid("The first bit of a length is set");
      length = Number(bytes.readBigUInt64BE(at + 2));
    }
    if ((extended > 0 && length < 126) || (extended === 8 && length < 0x10000)) {
      throw invalid(`The length ${length} is not in its shortest form`);
    }
    if (opcode < CONTROL) {
      if (this.#message.length + length > this.#maxLength) {
        throw new WebSocketError(CloseCode.tooLong, `A message is longer than ${this.#maxLength} bytes`);
      }
      if (opcode !== Opcode.continuation) this.#kind = opcode as Opcode;
    }
    // Copied, since a view would keep the runtime's much larger buffer alive.
    const mask = Uint8Array.prototype.slice.call(bytes, at + headLength - MASK_LENGTH, at + headLength);
    this.#input.skip(headLength);
    this.#left = length;
    this.#come = 0;
    return { opcode, final, mask };
  }

  #complete(): WebSocketEvent {
    const kind = this.#kind;
    const bytes = this.#message.take();
    this.#kind = undefined;
    return kind === Opcode.text ? { type: "text", text: decode(bytes) } : { type: "binary", bytes };
  }

  #control(opcode: number, bytes: Uint8Array): WebSocketEvent {
    if (opcode !== Opcode.close) return { type: opcode === Opcode.ping ? "ping" : "pong", bytes };
    this.end();
    if (bytes.length === 0) return { type: "close", code: CloseCode.none, reason: "" };
    if (bytes.length === 1) throw invalid("A close frame has half a code");
    const code = bytes[0] << 8 | bytes[1];
    if (!isCloseCode(code)) throw invalid(`A close frame has the code ${code}`);
    return { type: "close", code, reason: decode(bytes.subarray(2)) };
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new WebSocketError(CloseCode.invalidData, "Text is not valid UTF-8");
  }
}

/** Finds where frames end in a stream, in either direction. */
export class FrameTracker {
  readonly #head: number[] = [];
  /** Bytes of the frame that are still to come. */
  #left = 0;

  /** Whether all frames have passed as a whole. */
  get between(): boolean {
    return this.#left === 0 && this.#head.length === 0;
  }

  pass(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, bytes.length - at);
        this.#left -= passed;
        at += passed;
        continue;
      }
      this.#head.push(bytes[at++]);
      const length = this.#payloadLength();
      if (length === undefined) continue;
      this.#left = length + (this.#head[1] & MASKED ? MASK_LENGTH : 0);
      this.#head.length = 0;
    }
  }

  #payloadLength(): number | undefined {
    const head = this.#head;
    const short = head[1] & 0x7f;
    const headLength = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (head.length < 2 || head.length < headLength) return undefined;
    return short < 126 ? short : head.slice(2).reduce((length, byte) => 256 * length + byte, 0);
  }
}

/** Codes that may be sent: RFC 6455, 7.4, and the IANA registry for 1012 to 1014. */
export function isCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

/** Bytes from which whole words are worth their set-up. */
const WORDS_FROM = 64;

/**
 * RFC 6455, 5.3, in place.
 *
 * @param offset of the bytes in the payload
 */
export function unmask(bytes: Uint8Array, mask: Uint8Array, offset: number): void {
  const { length, byteOffset } = bytes;
  let i = 0;
  if (length >= WORDS_FROM) {
    for (const aligned = -byteOffset & 3; i < aligned; i++) bytes[i] ^= mask[(offset + i) & 3];
    const phase = offset + i;
    const [word] = new Uint32Array(Uint8Array.from([0, 1, 2, 3], (k) => mask[(phase + k) & 3]).buffer);
    const words = new Uint32Array(bytes.buffer, byteOffset + i, (length - i) >>> 2);
    for (let k = 0; k < words.length; k++) words[k] ^= word;
    i += 4 * words.length;
  }
  for (; i < length; i++) bytes[i] ^= mask[(offset + i) & 3];
}

function frameOf(opcode: Opcode, length: number): { frame: Buffer; at: number } {
  const at = length < 126 ? 2 : length < 0x10000 ? 4 : 10;
  const frame = Buffer.allocUnsafe(at + length);
  frame[0] = FINAL | opcode;
  frame[1] = at === 2 ? length : at === 4 ? 126 : 127;
  if (at === 4) frame.writeUInt16BE(length, 2);
  else if (at === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  return { frame, at };
}

/** A frame that is a whole message, with a copy of the bytes. */
export function encodeFrame(opcode: Opcode, bytes: Uint8Array): Uint8Array {
  const { frame, at } = frameOf(opcode, bytes.length);
  frame.set(bytes, at);
  return frame;
}

/** A message of text. */
export function encodeText(text: string): Uint8Array {
  const { frame, at } = frameOf(Opcode.text, Buffer.byteLength(text));
  frame.write(text, at);
  return frame;
}

/** A frame that closes. @param code not sent if it is 1005; `reason` has at most 123 bytes then */
export function encodeClose(code: number, reason = ""): Uint8Array {
  if (code === CloseCode.none) return encodeFrame(Opcode.close, new Uint8Array());
  const { frame, at } = frameOf(Opcode.close, 2 + Buffer.byteLength(reason));
  frame.writeUInt16BE(code, at);
  frame.write(reason, at + 2);
  return frame;
}
