/**
 * FastCGI 1.0 on the wire: records and name-value pairs, for both halves of the protocol.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { asBuffer, noBytes } from "../params.ts";
import { ProtocolError, type Role } from "../protocol.ts";

/** Section 8. */
export const VERSION = 1;
/** Section 3.3: every record starts with this many bytes. */
export const HEADER_LENGTH = 8;
/** Section 3.3: the content length has 16 bits. */
export const MAX_CONTENT_LENGTH = 0xffff;
/** Section 3.3: management records carry this request id. */
export const NULL_REQUEST_ID = 0;

/** Section 8. */
export const RecordType = {
  begin: 1,
  abort: 2,
  end: 3,
  params: 4,
  stdin: 5,
  stdout: 6,
  stderr: 7,
  data: 8,
  getValues: 9,
  getValuesResult: 10,
  unknownType: 11,
} as const;

/** Section 5.1: bit of BEGIN_REQUEST's flags. */
export const KEEP_CONN = 1;

/** Section 5.1, in the order of their numbers from 1. */
export const roles: readonly Role[] = ["responder", "authorizer", "filter"];

/** Section 5.5: why a request ended. */
export const ProtocolStatus = { requestComplete: 0, cannotMultiplex: 1, overloaded: 2, unknownRole: 3 } as const;

/** Section 5.1 and 5.5: content length of BEGIN_REQUEST and END_REQUEST. */
export const BODY_LENGTH = 8;

/** Bytes of a record up to which it is gathered with the next ones. */
const SMALL = 1024;
/** Bytes that are copied one by one. */
const FEW = 32;

/**
 * Splits received bytes into records, and records into fragments, so that stream contents pass through
 * without being collected. After {@linkcode next} said `true` the fields describe one fragment.
 */
export class RecordReader {
  /** Type of the record. */
  type = 0;
  /** Request id of the record. */
  id = 0;
  /** Content length of the whole record. */
  length = 0;
  /** The fragment: a view of what was received. */
  bytes: Uint8Array = noBytes;
  /** Whether the record's content ends with this fragment. */
  last = true;

  #chunk: Uint8Array = noBytes;
  #position = 0;
  #contentLeft = 0;
  #paddingLeft = 0;
  /** A header that comes in pieces, which few do. */
  #header: Uint8Array = noBytes;
  #headerLength = 0;

  receive(bytes: Uint8Array): void {
    this.#chunk = this.#position === this.#chunk.length ? bytes : Buffer.concat([this.#chunk.subarray(this.#position), bytes]);
    this.#position = 0;
  }

  /** Whether the last record is complete and nothing of a next one has arrived. */
  get atBoundary(): boolean {
    return this.last && this.#paddingLeft === 0 && this.#headerLength === 0 && this.#position === this.#chunk.length;
  }

  next(): boolean {
    const chunk = this.#chunk;
    if (this.last) {
      this.#skipPadding();
      if (!this.#readHeader()) return this.#exhausted();
    }
    const available = chunk.length - this.#position;
    // An empty record ends a stream, so it counts as a fragment; an empty piece of a record does not.
    if (available === 0 && this.#contentLeft > 0) return this.#exhausted();
    const taken = Math.min(available, this.#contentLeft);
    this.bytes = chunk.subarray(this.#position, this.#position + taken);
    this.#position += taken;
    this.#contentLeft -= taken;
    this.last = this.#contentLeft === 0;
    return true;
  }

  /**
   * The fragment, and what records behind it continue its stream, in one piece: otherwise each of their bytes would take a
   * hundred bytes of memory. Only small records are gathered that are complete and not empty.
   */
  gather(): Uint8Array {
    const { bytes } = this;
    if (!this.last || bytes.length > SMALL) return bytes;
    const chunk = this.#chunk;
    const begin = this.#position + this.#paddingLeft;
    let length = bytes.length;
    let at = begin;
    for (let next = this.#continues(at); next > 0; next = this.#continues(at)) {
      length += next;
      this.#position = at + HEADER_LENGTH + next;
      this.#paddingLeft = chunk[at + 6];
      at = this.#position + this.#paddingLeft;
    }
    if (at === begin) return bytes;
    const content = new Uint8Array(length);
    content.set(bytes);
    let to = bytes.length;
    for (at = begin; to < length;) {
      const end = at + HEADER_LENGTH + ((chunk[at + 4] << 8) | chunk[at + 5]);
      const padding = chunk[at + 6];
      at += HEADER_LENGTH;
      if (end - at > FEW) {
        content.set(chunk.subarray(at, end), to);
        to += end - at;
        at = end;
      }
      // A view of a few bytes would cost more than they.
      while (at < end) content[to++] = chunk[at++];
      at += padding;
    }
    return content;
  }

  /** Content length of the record at an offset, if it can be gathered with the last one; 0 if it cannot. */
  #continues(at: number): number {
    const chunk = this.#chunk;
    const contentAt = at + HEADER_LENGTH;
    if (contentAt >= chunk.length || chunk[at] !== VERSION || chunk[at + 1] !== this.type) return 0;
    if (((chunk[at + 2] << 8) | chunk[at + 3]) !== this.id) return 0;
    const length = (chunk[at + 4] << 8) | chunk[at + 5];
    return length <= SMALL && contentAt + length <= chunk.length ? length : 0;
  }

  /** A waiting connection does not keep received bytes alive. */
  #exhausted(): false {
    if (this.#position === this.#chunk.length) {
      this.#chunk = this.bytes = noBytes;
      this.#position = 0;
    }
    return false;
  }

  #skipPadding(): void {
    const skipped = Math.min(this.#paddingLeft, this.#chunk.length - this.#position);
    this.#position += skipped;
    this.#paddingLeft -= skipped;
  }

  #readHeader(): boolean {
    if (this.#paddingLeft > 0) return false;
    let header = this.#chunk;
    let at = this.#position;
    if (this.#headerLength > 0 || header.length - at < HEADER_LENGTH) {
      if (at === header.length) return false;
      const piece = header.subarray(at, at + HEADER_LENGTH - this.#headerLength);
      if (this.#headerLength === 0) this.#header = new Uint8Array(HEADER_LENGTH);
      this.#header.set(piece, this.#headerLength);
      this.#headerLength += piece.length;
      this.#position += piece.length;
      if (this.#header[0] !== VERSION) throw wrongVersion(this.#header[0]);
      if (this.#headerLength < HEADER_LENGTH) return false;
      this.#headerLength = 0;
      header = this.#header;
      at = 0;
    } else {
      this.#position += HEADER_LENGTH;
    }
    if (header[at] !== VERSION) throw wrongVersion(header[at]);
    this.type = header[at + 1];
    this.id = (header[at + 2] << 8) | header[at + 3];
    this.length = this.#contentLeft = (header[at + 4] << 8) | header[at + 5];
    this.#paddingLeft = header[at + 6];
    this.last = false;
    return true;
  }
}

function wrongVersion(version: number): ProtocolError {
  return new ProtocolError(`Not FastCGI: a record starts with ${version}, expected version ${VERSION}`);
}

/** Section 3.4: decodes name-value pairs to byte strings, name and value in turn. */
export function decodePairs(bytes: Uint8Array, maxPairs: number): string[] {
  // One decoding for all, then slices: a byte string has one character a byte, so the offsets agree.
  const text = asBuffer(bytes).toString("latin1");
  const pairs: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (pairs.length === 2 * maxPairs) throw new TooManyPairs(maxPairs);
    let nameLength = bytes[at++];
    if (nameLength > 127) {
      nameLength = ((nameLength & 127) << 24) | (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
      at += 3;
    }
    let valueLength = bytes[at++];
    if (valueLength > 127) {
      valueLength = ((valueLength & 127) << 24) | (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
      at += 3;
    }
    const valueAt = at + nameLength;
    const next = valueAt + valueLength;
    // Also true where the lengths themselves were cut off.
    if (!(next <= bytes.length)) throw new ProtocolError("A name-value pair is longer than its stream");
    pairs.push(text.slice(at, valueAt), text.slice(valueAt, next));
    at = next;
  }
  return pairs;
}

/** More name-value pairs than allowed. */
export class TooManyPairs extends Error {
  constructor(maxPairs: number) {
    super(`more than ${maxPairs} params`);
  }
}

/** Section 3.4: encodes name-value pairs given as byte strings, name and value in turn. */
export function encodePairs(pairs: readonly string[]): Buffer {
  let length = 0;
  for (const part of pairs) length += (part.length > 127 ? 4 : 1) + part.length;
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    at = writeLength(buffer, at, pairs[i].length);
    at = writeLength(buffer, at, pairs[i + 1].length);
    at += buffer.write(pairs[i], at, "latin1");
    at += buffer.write(pairs[i + 1], at, "latin1");
  }
  return buffer;
}

function writeLength(buffer: Buffer, at: number, length: number): number {
  if (length > 127) return buffer.writeUInt32BE((length | 0x80000000) >>> 0, at);
  return buffer.writeUInt8(length, at);
}

/** Section 3.3: writes a record header and returns the offset behind it. */
export function writeHeader(buffer: Uint8Array, at: number, type: number, id: number, length: number): number {
  buffer[at] = VERSION;
  buffer[at + 1] = type;
  buffer[at + 2] = id >> 8;
  buffer[at + 3] = id;
  buffer[at + 4] = length >> 8;
  buffer[at + 5] = length;
  buffer[at + 6] = 0;
  buffer[at + 7] = 0;
  return at + HEADER_LENGTH;
}

/** Length of {@linkcode writeStream}'s output for this much content. */
export function streamLength(contentLength: number): number {
  return contentLength + Math.ceil(contentLength / MAX_CONTENT_LENGTH) * HEADER_LENGTH;
}

/**
 * Writes text and bytes as the content of one stream, in as few records as possible: HAProxy 2.6 crashes on a
 * header block in two records. Returns the offset behind it.
 *
 * @param head a byte string that comes before the bytes, at most 65,535 long
 */
export function writeStream(buffer: Buffer, at: number, type: number, id: number, head: string, bytes: Uint8Array): number {
  let taken = 0;
  for (let left = head.length + bytes.length; left > 0;) {
    const length = Math.min(left, MAX_CONTENT_LENGTH);
    at = writeHeader(buffer, at, type, id, length);
    left -= length;
    let room = length;
    if (taken === 0 && head.length > 0) {
      buffer.write(head, at, "latin1");
      at += head.length;
      room -= head.length;
    }
    buffer.set(taken === 0 && room === bytes.length ? bytes : bytes.subarray(taken, taken + room), at);
    at += room;
    taken += room;
    head = "";
  }
  return at;
}

/** One stream's content as records; no record at all for no content. */
export function encodeStream(type: number, id: number, bytes: Uint8Array): Buffer {
  const buffer = Buffer.allocUnsafe(streamLength(bytes.length));
  writeStream(buffer, 0, type, id, "", bytes);
  return buffer;
}

/** One whole record. */
export function encodeRecord(type: number, id: number, content: Uint8Array): Buffer {
  const buffer = Buffer.allocUnsafe(HEADER_LENGTH + content.length);
  buffer.set(content, writeHeader(buffer, 0, type, id, content.length));
  return buffer;
}
