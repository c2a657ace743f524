/**
 * What passes on a connection in words, record by record: for people who look for what is wrong.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { readForwardRequest } from "./ajp/request.ts";
import { PACKET_HEADER_LENGTH, PacketReader, PacketType, REPLY_MAGIC, REQUEST_MAGIC, responseHeaders } from "./ajp/wire.ts";
import { Collector } from "./collector.ts";
import { BODY_LENGTH, decodePairs, KEEP_CONN, ProtocolStatus, RecordReader, RecordType, roles } from "./fastcgi/wire.ts";
import { asBuffer, byteString, decodeText } from "./params.ts";
import type { ProtocolName } from "./protocol.ts";

/** Whether a value is not to be shown. */
export type IsSecret = (name: string) => boolean;

/** Takes what one side sends and gives a line for each thing that was complete in it; details are indented. */
export type Dissector = (bytes: Uint8Array) => string[];

type Side = "request" | "response";

/** A dissector of what one side of a connection sends. */
export function dissect(protocol: Exclude<ProtocolName, "cgi">, side: Side, isSecret: IsSecret): Dissector {
  const dissector = {
    fcgi: () => fastcgi(isSecret),
    ajp: () => ajp(side, isSecret),
    scgi: () => side === "request" ? scgi(isSecret) : lines("header", isSecret),
    uwsgi: () => side === "request" ? uwsgi(isSecret) : lines("header", isSecret),
    http: () => lines(side === "request" ? "request" : "status", isSecret),
  }[protocol]();
  let lost = false;
  return (bytes) => {
    if (lost) return [`${bytes.length} bytes more`];
    try {
      return dissector(bytes);
    } catch (error) {
      lost = true;
      return [`${(error as Error).message}. The bytes are ${firstBytes(bytes)}`];
    }
  };
}

/** The first bytes in hex and, where they can be printed, as text. */
export function firstBytes(bytes: Uint8Array): string {
  const shown = asBuffer(bytes).subarray(0, 24);
  const digits = shown.toString("hex").replace(/(..)(?=.)/g, "$1 ");
  return `${digits}${bytes.length > shown.length ? " …" : ""} "${shown.toString("latin1").replace(/[^\x20-\x7e]/g, ".")}"`;
}

/** What the first bytes from a server look like, `undefined` for nothing that is known. */
export function answersLike(bytes: Uint8Array): { what: string; protocol?: ProtocolName } | undefined {
  const buffer = asBuffer(bytes);
  const text = buffer.toString("latin1", 0, 200);
  if (buffer[0] === 1 && buffer[1] >= 1 && buffer[1] <= 11) return { what: "FastCGI", protocol: "fcgi" };
  if (text.startsWith("AB")) return { what: "AJP", protocol: "ajp" };
  if (/^HTTP\/\d/.test(text)) return { what: "HTTP, or a uwsgi response", protocol: "http" };
  if (/^[!-9;-~]+:[^\n]*\r?\n/.test(text)) {
    return { what: "the header lines of CGI, which SCGI and uwsgi carry", protocol: "scgi" };
  }
  if (buffer[0] === 0x15 || buffer[0] === 0x16) return { what: "TLS: the port of a web server with HTTPS" };
  if (text.startsWith("SSH-")) return { what: "SSH" };
  return undefined;
}

const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
const size = (count: number) => plural(count, "byte");

function pairLines(pairs: readonly string[], isSecret: IsSecret): string[] {
  const shown: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    const value = isSecret(pairs[i]) && pairs[i + 1]
      ? `(${size(pairs[i + 1].length)}, hidden)`
      : printable(decodeText(pairs[i + 1]));
    shown.push(`    ${printable(decodeText(pairs[i]))}=${value}`);
  }
  return shown;
}

/** Text that leaves the terminal as it is. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

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
/** Params of one request that are collected to be shown. */
const MAX_SHOWN = 256 * 1024;

function fastcgi(isSecret: IsSecret): Dissector {
  const records = new RecordReader();
  const content = new Collector();
  const params = new Map<number, Collector>();
  return (bytes) => {
    const found: string[] = [];
    records.receive(bytes);
    while (records.next()) {
      const { type, id, length, last } = records;
      const wanted = type !== RecordType.stdin && type !== RecordType.stdout && type !== RecordType.data;
      if (wanted) content.add(records.bytes);
      if (!last) continue;
      const whole = asBuffer(content.take());
      const name = recordNames[type] ?? `a record of the unknown type ${type}`;
      const of = id === 1 || id === 0 ? "" : `, request ${id}`;
      const details: string[] = [];
      let text = length === 0 ? "empty: the end of the stream" : size(length);
      if (type === RecordType.begin && whole.length === BODY_LENGTH) {
        const role = roles[whole.readUInt16BE(0) - 1] ?? `the unknown role ${whole.readUInt16BE(0)}`;
        text = `${role}, the connection is ${(whole[2] & KEEP_CONN) !== 0 ? "kept" : "closed afterwards"}`;
      } else if (type === RecordType.end && whole.length === BODY_LENGTH) {
        text = `application status ${whole.readUInt32BE(0)}, ${protocolStatuses.get(whole[4]) ?? `status ${whole[4]}`}`;
      } else if (type === RecordType.abort) {
        text = "the visitor left";
      } else if (type === RecordType.params) {
        const earlier = params.get(id) ?? new Collector();
        params.set(id, earlier);
        if (earlier.length < MAX_SHOWN) earlier.add(whole);
        if (length === 0) {
          details.push(...pairLines(decodePairs(earlier.take(), Infinity), isSecret));
          params.delete(id);
          text += ` (${plural(details.length, "param")})`;
        }
      } else if (type === RecordType.stderr && length > 0) {
        details.push(...whole.toString("utf8").trimEnd().split("\n").map((line) => `    ${printable(line)}`));
      } else if (type === RecordType.getValues || type === RecordType.getValuesResult) {
        details.push(...pairLines(decodePairs(whole, Infinity), isSecret));
      }
      found.push(`${name}${of}: ${text}`, ...details);
    }
    return found;
  };
}

// AJP/1.3

function ajp(side: Side, isSecret: IsSecret): Dissector {
  const magic = side === "request" ? REQUEST_MAGIC : REPLY_MAGIC;
  const input = new Collector();
  /** A body follows, whose packets have no type. */
  let body = false;
  return (bytes) => {
    input.add(bytes);
    let left = asBuffer(input.take());
    const found: string[] = [];
    while (left.length >= PACKET_HEADER_LENGTH) {
      if (left.readUInt16BE(0) !== magic) throw new Error(`No AJP packet begins with 0x${left.toString("hex", 0, 2)}`);
      const end = PACKET_HEADER_LENGTH + left.readUInt16BE(2);
      if (left.length < end) break;
      const payload = left.subarray(PACKET_HEADER_LENGTH, end);
      left = left.subarray(end);
      if (side === "response") {
        found.push(...ajpReply(payload, isSecret));
      } else if (payload[0] === PacketType.forwardRequest && (!body || payload.length > 2 && readable(payload))) {
        const { params, secrets } = readForwardRequest(payload);
        found.push(`Forward Request: ${size(payload.length)}${secrets.length === 0 ? "" : ", with a secret"}`);
        found.push(...pairLines(params.pairs, isSecret));
        body = true;
      } else if (payload[0] === PacketType.cping && payload.length === 1) {
        found.push("CPing");
      } else {
        found.push(payload.length <= 2 ? "body packet, empty: the end of the body" : `body packet: ${size(payload.length - 2)}`);
      }
    }
    input.add(left);
    return found;
  };
}

/** Whether a packet is a Forward Request, and not a body that begins like one. */
function readable(payload: Buffer): boolean {
  if (payload.readUInt16BE(0) + 2 === payload.length) return false;
  try {
    readForwardRequest(payload);
    return true;
  } catch {
    return false;
  }
}

function ajpReply(payload: Buffer, isSecret: IsSecret): string[] {
  const packet = new PacketReader(payload);
  const type = packet.byte();
  switch (type) {
    case PacketType.sendHeaders: {
      const title = `Send Headers: ${packet.integer()} ${packet.string() ?? ""}`;
      const pairs: string[] = [];
      for (let count = packet.integer(); count > 0; count--) pairs.push(packet.name(responseHeaders), packet.string() ?? "");
      return [title, ...pairLines(pairs, isSecret)];
    }
    case PacketType.sendBodyChunk: {
      const length = packet.integer();
      return [
        length === 0 ? "Send Body Chunk, empty: what was sent is to reach the visitor now" : `Send Body Chunk: ${size(length)}`,
      ];
    }
    case PacketType.getBodyChunk:
      return [`Get Body Chunk: at most ${size(packet.integer())}`];
    case PacketType.endResponse:
      return [`End Response: the connection is ${packet.byte() ? "kept" : "closed"}`];
    case PacketType.cpong:
      return ["CPong"];
    default:
      return [`a packet of the unknown type ${type}: ${size(payload.length)}`];
  }
}

// SCGI, uwsgi, HTTP

/** A head of known length, then a body. */
function headThenBody(read: (bytes: Buffer) => { length: number; lines: string[] } | undefined): Dissector {
  const input = new Collector();
  let inBody = false;
  return (bytes) => {
    if (inBody) return [`body: ${size(bytes.length)}`];
    input.add(bytes);
    const whole = asBuffer(input.take());
    const head = read(whole);
    if (head === undefined) {
      input.add(whole);
      return [];
    }
    inBody = true;
    const rest = whole.length - head.length;
    return rest > 0 ? [...head.lines, `body: ${size(rest)}`] : head.lines;
  };
}

function scgi(isSecret: IsSecret): Dissector {
  return headThenBody((bytes) => {
    const digits = /^(\d{1,10}):/.exec(byteString(bytes.subarray(0, 11)))?.[1];
    if (digits === undefined) {
      if (bytes.length < 11 && /^\d*$/.test(byteString(bytes))) return undefined;
      throw new Error("No SCGI: a request begins with the length of its headers and a colon");
    }
    const begin = digits.length + 1;
    const end = begin + Number(digits);
    if (bytes.length <= end) return undefined;
    const pairs = byteString(bytes.subarray(begin, end)).split("\0").slice(0, -1);
    return {
      length: end + 1,
      lines: [`netstring: ${size(Number(digits))}, ${plural(pairs.length / 2, "header")}`, ...pairLines(pairs, isSecret)],
    };
  });
}

function uwsgi(isSecret: IsSecret): Dissector {
  return headThenBody((bytes) => {
    if (bytes.length < 4) return undefined;
    const end = 4 + bytes.readUInt16LE(1);
    if (bytes.length < end) return undefined;
    const parts: string[] = [];
    for (let at = 4; at + 2 <= end;) {
      const from = at + 2;
      at = from + bytes.readUInt16LE(at);
      parts.push(byteString(bytes.subarray(from, Math.min(at, end))));
    }
    const title = `header: modifier1 ${bytes[0]}, ${size(end - 4)} of variables, modifier2 ${bytes[3]}`;
    return { length: end, lines: [title, ...pairLines(parts, isSecret)] };
  });
}

/** Lines up to an empty one. HTTP keeps its connection, so a head can follow on a body: it begins with its first line. */
function lines(first: "request" | "status" | "header", isSecret: IsSecret): Dissector {
  const begins = { request: /^[A-Z]+ \S+ HTTP\/\d/, status: /^HTTP\/\d/, header: undefined }[first];
  const reader = () =>
    headThenBody((bytes) => {
      const text = byteString(bytes);
      const end = /\r?\n\r?\n/.exec(text);
      if (end === null) return undefined;
      const [line, ...headers] = text.slice(0, end.index).split(/\r?\n/);
      const shown = headers.map((header) => {
        const colon = header.indexOf(":");
        return isSecret(header.slice(0, colon)) ? `${header.slice(0, colon)}: (hidden)` : printable(decodeText(header));
      });
      return {
        length: end.index + end[0].length,
        lines: [printable(decodeText(line)), ...shown.map((header) => `    ${header}`)],
      };
    });
  let current = reader();
  return (bytes) => {
    if (begins?.test(byteString(bytes.subarray(0, 2000)))) current = reader();
    return current(bytes);
  };
}
