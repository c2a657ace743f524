/**
 * Splits what one side of a connection sends into parts that are views of the bytes: one reader for each protocol, for
 * debugging (dissect.ts) and for blanking secrets (secrets.ts). The codecs, which have to be fast, have their own.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { readForwardRequest } from "./ajp/request.ts";
import { PACKET_HEADER_LENGTH, PacketReader, PacketType, REPLY_MAGIC, REQUEST_MAGIC, responseHeaders } from "./ajp/wire.ts";
import { BODY_LENGTH, HEADER_LENGTH, KEEP_CONN, ProtocolStatus, RecordReader, RecordType, roles } from "./fastcgi/wire.ts";
import { asBuffer, readLength } from "./params.ts";
import { ProtocolError, type ProtocolName } from "./protocol.ts";

/** Something that was read. Its bytes are views of what was received, unless `copied` follows. */
export type Part =
  /** A record, packet or line, as a line of text. */
  | { type: "frame"; text: string }
  /** Variables or header fields. */
  | { type: "pairs"; pairs: readonly Pair[]; separator: "=" | ": " }
  /** A line of text for the error log. */
  | { type: "text"; text: string }
  /** The target in a request line. */
  | { type: "target"; value: Buffer }
  /** A piece of a request body. */
  | { type: "body"; id: number; bytes: Buffer }
  /** The request body is complete. */
  | { type: "bodyEnd"; id: number }
  /** Bytes whose meaning is unknown. */
  | { type: "unknown"; bytes: Buffer }
  /** The parts since the last frame are copies; this writes them back to where they came from. */
  | { type: "copied"; store: () => void };

/** A variable or a header field. */
export interface Pair {
  /** A byte string. */
  name: string;
  /** The bytes of the name, where it has not passed through a codec. */
  nameBytes?: Buffer;
  value: Buffer;
}

/** The side of a connection that sends. */
export type Side = "request" | "response";

/** Reads what one side sends, piece by piece. */
export interface PartReader {
  /** @throws {ProtocolError} when bytes are not the protocol's; `parts` has what came before them */
  read(bytes: Buffer, parts: Part[]): void;
  /** Adds what is still incomplete. */
  finish(parts: Part[]): void;
}

/** A reader of what one side of a connection sends. */
export function partReader(protocol: Exclude<ProtocolName, "cgi">, side: Side): PartReader {
  switch (protocol) {
    case "fcgi":
      return new FastCgiParts();
    case "ajp":
      return new AjpParts(side);
    case "http":
      return side === "request" ? new HeadThenBody(httpRequest, requestLine) : new HeadThenBody(headerLines, /^HTTP\/\d/);
    default:
      if (side === "response") return new HeadThenBody(headerLines);
      return new HeadThenBody(protocol === "scgi" ? scgiHead : uwsgiHead);
  }
}

const nothing = Buffer.alloc(0);

const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
/** A number of bytes as text. */
export const size = (count: number): string => plural(count, "byte");

// FastCGI 1.0

const recordNames: Record<number, string> = {
  [RecordType.begin]: "BEGIN_REQUEST",
  [RecordType.abort]: "ABORT_REQUEST",
  [RecordType.end]: "END_REQUEST",
  [RecordType.params]: "PARAMS",
  [RecordType.stdin]: "STDIN",
  [RecordType.stdout]: "STDOUT",
  [RecordType.stderr]: "STDERR",
  [RecordType.data]: "DATA",
  [RecordType.getValues]: "GET_VALUES",
  [RecordType.getValuesResult]: "GET_VALUES_RESULT",
  [RecordType.unknownType]: "UNKNOWN_TYPE",
};
const protocolStatuses = new Map<number, string>([
  [ProtocolStatus.requestComplete, "REQUEST_COMPLETE"],
  [ProtocolStatus.cannotMultiplex, "CANT_MPX_CONN"],
  [ProtocolStatus.overloaded, "OVERLOADED"],
  [ProtocolStatus.unknownRole, "UNKNOWN_ROLE"],
]);
/** Types of records whose content the protocol defines. */
const understood = new Set<number>([
  RecordType.begin,
  RecordType.abort,
  RecordType.end,
  RecordType.getValues,
  RecordType.getValuesResult,
]);
/** Longest head of HTTP that is read. */
const MAX_HEAD = 512 * 1024;
/** Bytes of params of one request that are collected. */
const MAX_COLLECTED = 256 * 1024;

/** Pieces of a stream. */
interface Stream {
  pieces: Buffer[];
  length: number;
}

class FastCgiParts implements PartReader {
  readonly #records = new RecordReader();
  /** Content of the record that is arriving. */
  #content: Buffer[] = [];
  readonly #params = new Map<number, Stream>();
  #chunk: Buffer = nothing;
  /** Where in the chunk the last content ended. */
  #end = 0;

  read(bytes: Buffer, parts: Part[]): void {
    const records = this.#records;
    this.#chunk = bytes;
    this.#end = 0;
    records.receive(bytes);
    while (records.next()) {
      const { type, id } = records;
      const piece = asBuffer(records.bytes);
      this.#skipped(piece, parts);
      if (type === RecordType.stdin) {
        parts.push(records.length > 0 ? { type: "body", id, bytes: piece } : { type: "bodyEnd", id });
      } else if (type === RecordType.params) this.#collect(id, piece, parts);
      else {
        if (type !== RecordType.stdout && type !== RecordType.data) this.#content.push(piece);
        if (!understood.has(type)) parts.push({ type: "unknown", bytes: piece });
      }
      if (records.last) this.#record(parts);
    }
  }

  /** Padding, which may contain anything. */
  #skipped(piece: Buffer, parts: Part[]): void {
    const chunk = this.#chunk;
    if (piece.buffer !== chunk.buffer) return;
    const at = piece.byteOffset - chunk.byteOffset;
    const padding = chunk.subarray(this.#end, Math.max(this.#end, at - HEADER_LENGTH));
    if (padding.length > 0) parts.push({ type: "unknown", bytes: padding });
    this.#end = at + piece.length;
  }

  #collect(id: number, piece: Buffer, parts: Part[]): void {
    const stream = this.#params.get(id) ?? { pieces: [], length: 0 };
    this.#params.set(id, stream);
    if (stream.length >= MAX_COLLECTED) return void parts.push({ type: "unknown", bytes: piece });
    stream.pieces.push(piece);
    stream.length += piece.length;
  }

  #record(parts: Part[]): void {
    const { type, id, length } = this.#records;
    const name = recordNames[type] ?? `a record of the unknown type ${type}`;
    const of = id === 1 || id === 0 ? "" : `, request ${id}`;
    const content = joined(this.#content);
    this.#content = [];
    const details: Part[] = [];
    let text = length === 0 ? "empty: the end of the stream" : size(length);
    if (type === RecordType.begin && length === BODY_LENGTH) {
      const role = content.readUInt16BE(0);
      const kept = (content[2] & KEEP_CONN) !== 0 ? "kept" : "closed afterwards";
      text = `${roles[role - 1] ?? `the unknown role ${role}`}, the connection is ${kept}`;
    } else if (type === RecordType.end && length === BODY_LENGTH) {
      const status = protocolStatuses.get(content[4]) ?? `status ${content[4]}`;
      text = `application status ${content.readUInt32BE(0)}, ${status}`;
    } else if (type === RecordType.abort) {
      text = "the visitor left";
    } else if (type === RecordType.params && length === 0) {
      const count = pairParts(this.#params.get(id)?.pieces ?? [], details);
      this.#params.delete(id);
      text += ` (${plural(count, "param")})`;
    } else if (type === RecordType.stderr && length > 0) {
      for (const line of content.toString("utf8").trimEnd().split("\n")) details.push({ type: "text", text: line });
    } else if (type === RecordType.getValues || type === RecordType.getValuesResult) {
      pairParts([content], details);
    }
    parts.push({ type: "frame", text: `${name}${of}: ${text}` }, ...details);
  }

  finish(parts: Part[]): void {
    for (const { pieces } of this.#params.values()) pairParts(pieces, parts);
    for (const bytes of this.#content) parts.push({ type: "unknown", bytes });
    parts.push({ type: "unknown", bytes: this.#chunk.subarray(this.#end) });
  }
}

/** All pieces in one, without a copy if there is only one. */
function joined(pieces: Buffer[]): Buffer {
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

/** Adds name-value pairs, which may lie in several records, and returns how many they are. */
function pairParts(pieces: Buffer[], parts: Part[]): number {
  const whole = joined(pieces);
  const pairs: Pair[] = [];
  let at = 0;
  for (;;) {
    const pair = pairAt(whole, at);
    if (pair === undefined) break;
    pairs.push(pair);
    at = pair.value.byteOffset + pair.value.length - whole.byteOffset;
  }
  parts.push({ type: "pairs", pairs, separator: "=" });
  if (at < whole.length) parts.push({ type: "unknown", bytes: whole.subarray(at) });
  const store = () => {
    let from = 0;
    for (const piece of pieces) from += whole.copy(piece, 0, from, from + piece.length);
  };
  if (pieces.length > 1) parts.push({ type: "copied", store });
  return pairs.length;
}

/** FastCGI 1.0, 3.4. `undefined` for one that is not complete. */
function pairAt(bytes: Buffer, at: number): Pair | undefined {
  const lengths: number[] = [];
  for (let i = 0; i < 2; i++) {
    if (at + (bytes[at] > 127 ? 4 : 1) > bytes.length) return undefined;
    if (bytes[at] > 127) {
      lengths.push(bytes.readUInt32BE(at) & 0x7fffffff);
      at += 4;
    } else lengths.push(bytes[at++]);
  }
  const valueAt = at + lengths[0];
  const end = valueAt + lengths[1];
  if (end > bytes.length) return undefined;
  return pairOf(bytes.subarray(at, valueAt), bytes.subarray(valueAt, end));
}

function pairOf(nameBytes: Buffer, value: Buffer): Pair {
  return { name: nameBytes.toString("latin1"), nameBytes, value };
}

// AJP/1.3

class AjpParts implements PartReader {
  readonly #side: Side;
  /** What waits for the rest of its packet. */
  #rest: Buffer = nothing;
  /** A body follows, whose packets have no type. */
  #body = false;

  constructor(side: Side) {
    this.#side = side;
  }

  read(bytes: Buffer, parts: Part[]): void {
    this.#rest = joined(this.#rest.length > 0 ? [this.#rest, bytes] : [bytes]);
    const magic = this.#side === "request" ? REQUEST_MAGIC : REPLY_MAGIC;
    while (this.#rest.length >= PACKET_HEADER_LENGTH) {
      const { length } = this.#rest;
      if (this.#rest.readUInt16BE(0) !== magic) {
        throw new ProtocolError(`Not AJP: a packet begins with 0x${this.#rest.toString("hex", 0, 2)}`);
      }
      const end = PACKET_HEADER_LENGTH + this.#rest.readUInt16BE(2);
      if (length < end) break;
      const payload = this.#rest.subarray(PACKET_HEADER_LENGTH, end);
      this.#rest = this.#rest.subarray(end);
      if (this.#side === "response") ajpReply(payload, parts);
      else this.#packet(payload, parts);
    }
  }

  #packet(payload: Buffer, parts: Part[]): void {
    if (payload[0] === PacketType.cping && payload.length === 1) return void parts.push({ type: "frame", text: "CPing" });
    if (payload[0] === PacketType.forwardRequest && this.#forwardRequest(payload, parts)) return;
    if (payload.length <= 2) {
      return void parts.push({ type: "frame", text: "body packet, empty: the end of the body" }, { type: "bodyEnd", id: 1 });
    }
    // lighttpd leaves the length out.
    const bytes = payload.readUInt16BE(0) + 2 === payload.length ? payload.subarray(2) : payload;
    parts.push({ type: "frame", text: `body packet: ${size(bytes.length)}` }, { type: "body", id: 1, bytes });
  }

  /** Adds a Forward Request, `false` for a body packet that begins like one. */
  #forwardRequest(payload: Buffer, parts: Part[]): boolean {
    if (this.#body && payload.readUInt16BE(0) + 2 === payload.length) return false;
    const pairs: Pair[] = [];
    let secrets: number;
    try {
      ({ secrets: { length: secrets } } = readForwardRequest(payload, (name, value) => pairs.push({ name, value })));
    } catch (error) {
      if (this.#body) return false;
      parts.push({ type: "unknown", bytes: payload.subarray(1) });
      throw error;
    }
    const secret = secrets === 0 ? "" : ", with a secret";
    parts.push({ type: "bodyEnd", id: 1 }, { type: "frame", text: `Forward Request: ${size(payload.length)}${secret}` });
    parts.push({ type: "pairs", pairs, separator: "=" });
    this.#body = true;
    return true;
  }

  finish(parts: Part[]): void {
    parts.push({ type: "unknown", bytes: this.#rest });
  }
}

function ajpReply(payload: Buffer, parts: Part[]): void {
  const packet = new PacketReader(payload);
  const type = packet.byte();
  const frame = (text: string) => void parts.push({ type: "frame", text });
  switch (type) {
    case PacketType.sendHeaders: {
      frame(`Send Headers: ${packet.integer()} ${packet.string() ?? ""}`);
      const pairs: Pair[] = [];
      for (let count = packet.integer(); count > 0; count--) {
        const name = packet.name(responseHeaders);
        const value = packet.string();
        pairs.push({ name, value: value === undefined ? nothing : packet.bytesOf(value) });
      }
      return void parts.push({ type: "pairs", pairs, separator: "=" });
    }
    case PacketType.sendBodyChunk: {
      const length = packet.integer();
      const empty = "Send Body Chunk, empty: what was sent is to reach the visitor now";
      return frame(length === 0 ? empty : `Send Body Chunk: ${size(length)}`);
    }
    case PacketType.getBodyChunk:
      return frame(`Get Body Chunk: at most ${size(packet.integer())}`);
    case PacketType.endResponse:
      return frame(`End Response: the connection is ${packet.byte() ? "kept" : "closed"}`);
    case PacketType.cpong:
      return frame("CPong");
    default:
      return frame(`a packet of the unknown type ${type}: ${size(payload.length)}`);
  }
}

// SCGI, uwsgi, HTTP

interface Head {
  length: number;
  title: string;
  pairs: Pair[];
  separator: "=" | ": ";
  target?: Buffer;
  /** What follows: a number of bytes, chunks, or everything up to the next head. */
  body: number | "chunks";
}

/** Reads a head, `undefined` while it is not complete. */
type ReadHead = (bytes: Buffer) => Head | undefined;

class HeadThenBody implements PartReader {
  readonly #readHead: ReadHead;
  /** How a further head begins, where the connection is kept. */
  readonly #begins: RegExp | undefined;
  /** What waits for the rest of a head. */
  #rest: Buffer = nothing;
  /** What is left of the body, `undefined` where a head is to come. */
  #left: number | "chunks" | undefined;

  constructor(readHead: ReadHead, begins?: RegExp) {
    this.#readHead = readHead;
    this.#begins = begins;
  }

  read(bytes: Buffer, parts: Part[]): void {
    let left = bytes;
    // The end of a body is not always known: the response to HEAD has a length and no body.
    const open = this.#left === "chunks" || this.#left === Infinity;
    if (open && this.#begins?.test(left.toString("latin1", 0, 2000))) this.#left = undefined;
    while (left.length > 0) left = this.#left === undefined ? this.#head(left, parts) : this.#body(left, this.#left, parts);
  }

  #head(bytes: Buffer, parts: Part[]): Buffer {
    const whole = this.#rest = joined(this.#rest.length > 0 ? [this.#rest, bytes] : [bytes]);
    const head = this.#readHead(whole);
    if (head === undefined) return nothing;
    this.#rest = nothing;
    const { length, title, pairs, separator, target, body } = head;
    parts.push({ type: "bodyEnd", id: 1 }, { type: "frame", text: title });
    if (target) parts.push({ type: "target", value: target });
    parts.push({ type: "pairs", pairs, separator });
    this.#left = body === 0 ? undefined : body;
    return whole.subarray(length);
  }

  #body(bytes: Buffer, left: number | "chunks", parts: Part[]): Buffer {
    const length = left === "chunks" ? this.#chunks(bytes, parts) : Math.min(bytes.length, left);
    parts.push({ type: "frame", text: `body: ${size(length)}` });
    if (left !== "chunks") {
      parts.push({ type: "body", id: 1, bytes: bytes.subarray(0, length) });
      this.#left = left === length ? undefined : left - length;
    }
    return bytes.subarray(length);
  }

  /** Adds the data of chunks and returns how far they go. */
  #chunks(bytes: Buffer, parts: Part[]): number {
    let at = 0;
    for (;;) {
      const line = /^([0-9a-f]{1,8})([^\r\n]*)\r\n/i.exec(bytes.toString("latin1", at, at + 300));
      if (line === null) break;
      const [{ length }, size, extensions] = line;
      at += length;
      if (extensions) parts.push({ type: "unknown", bytes: bytes.subarray(at - 1 - extensions.length, at - 2) });
      const end = at + parseInt(size, 16);
      if (end > at) {
        parts.push({ type: "body", id: 1, bytes: bytes.subarray(at, end) });
        at = Math.min(end + 2, bytes.length);
        continue;
      }
      const trailersEnd = bytes.indexOf("\r\n\r\n", at - 2);
      if (trailersEnd < 0) break;
      const trailers = fields(bytes.subarray(at, Math.max(at, trailersEnd)));
      if (trailers.length > 0) parts.push({ type: "pairs", pairs: trailers, separator: ": " });
      this.#left = undefined;
      return trailersEnd + 4;
    }
    // Perhaps the rest of a chunk whose start came before.
    if (at < bytes.length) parts.push({ type: "unknown", bytes: bytes.subarray(at) });
    return bytes.length;
  }

  finish(parts: Part[]): void {
    parts.push({ type: "unknown", bytes: this.#rest });
  }
}

function scgiHead(bytes: Buffer): Head | undefined {
  const text = bytes.toString("latin1", 0, 11);
  const digits = /^(\d{1,10}):/.exec(text)?.[1];
  if (digits === undefined) {
    if (bytes.length < 11 && /^\d*$/.test(text)) return undefined;
    throw new ProtocolError("Not SCGI: a request begins with the length of its headers and a colon");
  }
  const begin = digits.length + 1;
  const end = begin + Number(digits);
  if (bytes.length <= end) return undefined;
  const texts: Buffer[] = [];
  for (let at = begin; at < end;) {
    const nul = bytes.indexOf(0, at);
    const stop = nul < 0 || nul > end ? end : nul;
    texts.push(bytes.subarray(at, stop));
    at = stop + 1;
  }
  const pairs = pairsOf(texts);
  const title = `netstring: ${size(Number(digits))}, ${plural(pairs.length, "header")}`;
  return { length: end + 1, title, pairs, separator: "=", body: Infinity };
}

function uwsgiHead(bytes: Buffer): Head | undefined {
  if (bytes.length < 4) return undefined;
  const end = 4 + bytes.readUInt16LE(1);
  if (bytes.length < end) return undefined;
  const texts: Buffer[] = [];
  for (let at = 4; at < end;) {
    // A rest that is too short for a length is kept as it is.
    const from = at + 2 <= end ? at + 2 : at;
    const to = at + 2 <= end ? Math.min(end, from + bytes.readUInt16LE(at)) : end;
    texts.push(bytes.subarray(from, to));
    at = to;
  }
  const title = `header: modifier1 ${bytes[0]}, ${size(end - 4)} of variables, modifier2 ${bytes[3]}`;
  return { length: end, title, pairs: pairsOf(texts), separator: "=", body: Infinity };
}

/** Names and values in turn. */
function pairsOf(texts: readonly Buffer[]): Pair[] {
  const pairs: Pair[] = [];
  for (let i = 0; i < texts.length; i += 2) pairs.push(pairOf(texts[i], texts[i + 1] ?? nothing));
  return pairs;
}

const requestLine = /^(?:\r?\n)*([A-Z]+ )(\S+) HTTP\/\d/;

function httpRequest(bytes: Buffer): Head | undefined {
  const head = headerLines(bytes);
  const line = requestLine.exec(bytes.toString("latin1", 0, 64 * 1024));
  if (line === null) {
    if (head === undefined && bytes.length < 16) return undefined;
    throw new ProtocolError("Not HTTP: a request begins with a method, a target and a version");
  }
  if (head === undefined) return undefined;
  const at = line[0].indexOf(line[2], line[0].indexOf(line[1]) + line[1].length);
  const value = (name: string) => head.pairs.findLast((pair) => pair.name.toLowerCase() === name)?.value.toString("latin1");
  const chunked = /\bchunked\b/i.test(value("transfer-encoding") ?? "");
  const body = chunked ? "chunks" : readLength(value("content-length") ?? "") ?? 0;
  return { ...head, target: bytes.subarray(at, at + line[2].length), body };
}

/** Lines up to an empty one. */
function headerLines(bytes: Buffer): Head | undefined {
  const text = bytes.toString("latin1", 0, MAX_HEAD);
  const end = /(?<!^|^\r?\n)\r?\n\r?\n/.exec(text);
  if (end === null) return undefined;
  const first = /[^\r\n]*/.exec(text.trimStart())![0];
  const pairs = fields(bytes.subarray(text.indexOf(first) + first.length, end.index));
  return { length: end.index + end[0].length, title: first, pairs, separator: ": ", body: Infinity };
}

/** Header fields. A folded line belongs to the one before it. */
function fields(bytes: Buffer): Pair[] {
  return [...bytes.toString("latin1").matchAll(/[^\r\n]+(?:\r?\n[ \t][^\r\n]*)*/g)].map(({ 0: line, index }) => {
    const [begin, name] = /^([^:\s]+):[ \t]*/.exec(line) ?? ["", ""];
    return { name, value: bytes.subarray(index + begin.length, index + line.length) };
  });
}
