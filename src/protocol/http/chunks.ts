/**
 * The chunked transfer coding (RFC 9112, section 7.1).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { ProtocolError } from "../protocol.ts";
import type { Input } from "./input.ts";
import { token } from "../params.ts";
import { findLineEnd, quoted } from "./line.ts";

/** Longest line with the size of a chunk. */
const MAX_SIZE_LINE = 4 * 1024;
/** Bytes and fields that the trailer section may have. */
const MAX_TRAILERS = 16 * 1024;
const MAX_TRAILER_FIELDS = 100;
/** Framing that is free for each chunk, and how much more than twice the data all further framing may be. */
const FREE_FRAMING = 16;
const MAX_EXCESS = 16 * 1024;

/** Data of a chunk up to this size is gathered, longer data is given as it came. */
const SMALL = 4 * 1024;

/** Without the "bad whitespace" of the grammar, which some readers take for a part of the size. */
const sizeLine =
  /^([0-9A-Fa-f]{1,8})((?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*)$/;

/** What comes next: the line with a size, the data of a chunk, the line end behind it, a line of the trailer section. */
type Part = "size" | "data" | "dataEnd" | "trailer";

/** Decodes a chunked body. Extensions and trailers are dropped. */
export class ChunkReader {
  #part: Part = "size";
  /** Bytes of the chunk that are still missing. */
  #left = 0;
  /** How much of the line has been scanned. */
  #scanned = 0;
  /** Framing in excess of what the data justifies. */
  #excess = 0;
  #trailerLength = 0;
  #trailers = 0;
  /** The body and its trailers are complete. */
  ended = false;

  /**
   * The next piece of the body, `undefined` when more bytes are needed or all is read. Many small chunks give one piece:
   * otherwise each of their bytes would take a hundred bytes of memory.
   *
   * @throws {ProtocolError}
   */
  read(input: Input): Uint8Array | undefined {
    let gathered: Gathered | undefined;
    while (!this.ended && input.length > 0) {
      if (this.#part === "data") {
        const length = Math.min(this.#left, input.length);
        if (gathered && length > SMALL) break;
        const rest = input.length;
        const piece = input.take(length);
        this.#left -= length;
        if (this.#left === 0) this.#part = "dataEnd";
        if (length > SMALL) return piece;
        if (gathered) gathered.add(piece);
        else gathered = new Gathered(piece, rest);
      } else {
        try {
          if (!this.#line(input)) break;
        } catch (error) {
          // What came before it is valid. The line is read again, and fails again.
          if (gathered) break;
          throw error;
        }
      }
    }
    return gathered?.take();
  }

  /** Reads a line, `false` when it is not complete. */
  #line(input: Input): boolean {
    const { bytes, at } = input;
    if (this.#part === "dataEnd") {
      if (bytes[at] !== 0x0d || (input.length > 1 && bytes[at + 1] !== 0x0a)) {
        throw new ProtocolError("A chunk is longer than its length");
      }
      if (input.length < 2) return false;
      this.#part = "size";
      input.skip(2);
      return true;
    }
    const most = this.#part === "size" ? MAX_SIZE_LINE : MAX_TRAILERS - this.#trailerLength;
    const end = findLineEnd(bytes, at + this.#scanned, Math.min(input.end, at + most));
    if (end < 0) {
      this.#scanned = ~end - at;
      if (input.length >= most) {
        throw new ProtocolError(
          this.#part === "size" ? `A chunk begins with more than ${most} bytes` : `More than ${MAX_TRAILERS} bytes of trailers`,
        );
      }
      return false;
    }
    if (this.#part === "size") this.#size(bytes, at, end);
    else this.#trailer(bytes, at, end);
    this.#scanned = 0;
    input.skip(end + 2 - at);
    return true;
  }

  #size(bytes: Buffer, at: number, end: number): void {
    const size = plainSize(bytes, at, end) ?? this.#extendedSize(bytes.toString("latin1", at, end));
    this.#excess = Math.max(0, this.#excess + end - at - FREE_FRAMING - 2 * size);
    if (this.#excess > MAX_EXCESS) throw new ProtocolError("Chunks with far more extensions than data");
    this.#left = size;
    this.#part = size > 0 ? "data" : "trailer";
  }

  #extendedSize(line: string): number {
    const size = sizeLine.exec(line);
    if (size === null) throw new ProtocolError(`A chunk has the length ${quoted(line)}`);
    return parseInt(size[1], 16);
  }

  #trailer(bytes: Buffer, at: number, end: number): void {
    if (end === at) {
      this.ended = true;
      return;
    }
    const line = bytes.toString("latin1", at, end);
    const name = line.slice(0, Math.max(0, line.indexOf(":")));
    // RFC 9110, 6.5.1: a trailer cannot say where the message ends.
    if (!token.test(name) || /^(?:content-length|transfer-encoding)$/i.test(name)) {
      throw new ProtocolError(`The trailer ${quoted(line)}`);
    }
    this.#trailerLength += end + 2 - at;
    if (++this.#trailers > MAX_TRAILER_FIELDS) throw new ProtocolError(`More than ${MAX_TRAILER_FIELDS} trailers`);
  }
}

/** A size without extensions, `undefined` for any other line. */
function plainSize(bytes: Buffer, at: number, end: number): number | undefined {
  if (end === at || end - at > 7) return undefined;
  let size = 0;
  for (; at < end; at++) {
    const byte = bytes[at];
    const digit = byte - 0x30;
    const letter = (byte | 0x20) - 0x61;
    if (digit >= 0 && digit < 10) size = size * 16 + digit;
    else if (letter >= 0 && letter < 6) size = size * 16 + letter + 10;
    else return undefined;
  }
  return size;
}

/** Small pieces in one. The first stays where it is until there is another. */
class Gathered {
  #bytes: Uint8Array;
  /** Bytes that are gathered. */
  length: number;
  readonly #most: number;

  /** @param most bytes that may come at most */
  constructor(first: Uint8Array, most: number) {
    this.#bytes = first;
    this.length = first.length;
    this.#most = most;
  }

  add(piece: Uint8Array): void {
    const length = this.length + piece.length;
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#most, 2 * length + 64));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    if (piece.length === 1) this.#bytes[this.length] = piece[0];
    else this.#bytes.set(piece, this.length);
    this.length = length;
  }

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}
