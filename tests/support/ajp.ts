/**
 * AJP/1.3 traffic for tests, written and read without the code that is tested.
 *
 * @module
 */
import { AjpServer, type AjpServerOptions } from "../../src/protocol/ajp/server.ts";
import { defaultCodecLimits, type ResponseHead, type ServerEvent } from "../../src/protocol/protocol.ts";
import { bytes, concat, shown, splits, text, transcript } from "./bytes.ts";
import { Random } from "./random.ts";

/** Any packet from a web server. */
export function packet(payload: Uint8Array | string, magic = 0x1234): Uint8Array {
  const content = typeof payload === "string" ? bytes(payload) : payload;
  return concat(integer(magic), integer(content.length), content);
}

/** Any packet from an application. */
export function reply(payload: Uint8Array | string): Uint8Array {
  return packet(payload, 0x4142);
}

/** A code where a name may be. */
export function integer(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255);
}

/** A string with its length and the NUL behind it; `null` is the null string. */
export function string(value: string | null): Uint8Array {
  return value === null ? integer(0xffff) : concat(integer(value.length), bytes(`${value}\0`));
}

/** A header name: its code, or itself. */
type Name = number | string;

/** An attribute by its code: a value, a name and a value, or nothing but the number of a key size. */
type AttributeRow = readonly [code: number, ...values: (string | null | number)[]];

export interface Forward {
  method?: number;
  protocol?: string | null;
  uri?: string | null;
  remoteAddr?: string | null;
  remoteHost?: string | null;
  serverName?: string | null;
  port?: number;
  ssl?: number;
  headers?: readonly (readonly [name: Name, value: string | null])[];
  attributes?: readonly AttributeRow[];
  /** Whether the attributes end with 0xFF. */
  terminated?: boolean;
}

/** By this mod_proxy_ajp and mod_jk are known. */
export const remotePort: AttributeRow = [10, "AJP_REMOTE_PORT", "4711"];

/** The payload of a Forward Request: a GET of `/` unless something else is said. */
export function forwardPayload(
  {
    method = 2,
    protocol = "HTTP/1.1",
    uri = "/",
    remoteAddr = null,
    remoteHost = null,
    serverName = null,
    port = 80,
    ssl = 0,
    headers = [],
    attributes = [remotePort],
    terminated = true,
  }: Forward = {},
): Uint8Array {
  const strings = [protocol, uri, remoteAddr, remoteHost, serverName].map(string);
  const lines = headers.flatMap(([name, value]) => [typeof name === "number" ? integer(name) : string(name), string(value)]);
  const rows = attributes.flatMap(([code, ...values]) => [
    Uint8Array.of(code),
    ...values.map((value) => typeof value === "number" ? integer(value) : string(value)),
  ]);
  const end = terminated ? [Uint8Array.of(0xff)] : [];
  return concat(
    Uint8Array.of(2, method),
    ...strings,
    integer(port),
    Uint8Array.of(ssl),
    integer(headers.length),
    ...lines,
    ...rows,
    ...end,
  );
}

/** A Forward Request. */
export function forward(values?: Forward): Uint8Array {
  return packet(forwardPayload(values));
}

/** A Forward Request of a POST with a length, without its body. */
export function post(length: number, { headers = [], ...values }: Forward = {}): Uint8Array {
  return forward({ method: 4, ...values, headers: [...headers, [0xa008, String(length)]] });
}

/** A body packet; without content it is the end of the body. */
export function body(content: Uint8Array | string = ""): Uint8Array {
  const held = typeof content === "string" ? bytes(content) : content;
  return packet(concat(integer(held.length), held));
}

export const cping: Uint8Array = packet(Uint8Array.of(10));

/** What every request has that says nothing else: params as lines of a transcript have them. */
export function params(more = "", uri = "/", method = "GET", query = 'QUERY_STRING=""'): string {
  const path = uri.split("?")[0];
  const start = `GATEWAY_INTERFACE=CGI/1.1 SERVER_PROTOCOL=HTTP/1.1 REQUEST_METHOD=${method} REQUEST_SCHEME=http`;
  const line = `${start} REQUEST_URI=${uri} SCRIPT_NAME="" PATH_INFO=${path} SERVER_PORT=80 ${query} REMOTE_PORT=4711`;
  return `request 1 responder ${line} ${more}`.trimEnd();
}

// What an application sends.

/** Those with codes, from 0xa001. */
export const responseHeaders = [
  "Content-Type",
  "Content-Language",
  "Content-Length",
  "Date",
  "Last-Modified",
  "Location",
  "Set-Cookie",
  "Set-Cookie2",
  "Servlet-Engine",
  "Status",
  "WWW-Authenticate",
];

/** Takes whole packets to a web server apart, into lines such as `chunk hello`. */
export function packetLines(message: Uint8Array): string[] {
  const lines: string[] = [];
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  for (let at = 0; at < message.length;) {
    const end = at + 4 + view.getUint16(at + 2);
    if (view.getUint16(at) !== 0x4142 || end > message.length) throw new Error(`No packet at ${at} of ${message.length} bytes`);
    lines.push(packetLine(message.slice(at + 4, end)));
    at = end;
  }
  return lines;
}

function packetLine(payload: Uint8Array): string {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let at = 1;
  const take = () => {
    at += 2;
    return view.getUint16(at - 2);
  };
  const takeText = () => {
    const length = take();
    at += length + 1;
    if (payload[at - 1] !== 0) throw new Error("A string does not end with NUL");
    return text(payload.slice(at - 1 - length, at - 1));
  };
  const done = (line: string) => {
    if (at !== payload.length) throw new Error(`${payload.length - at} bytes behind "${line}"`);
    return line;
  };
  switch (payload[0]) {
    case 3: {
      const content = takeText();
      return done(content === "" ? "flush" : `chunk ${shown(content)}`);
    }
    case 4: {
      let line = `head ${take()} ${shown(takeText())}`;
      for (let left = take(); left > 0; left--) {
        const code = view.getUint16(at);
        const name = code >> 8 === 0xa0 ? `${responseHeaders[(take() & 255) - 1]}` : `"${takeText()}"`;
        line += ` ${name}=${shown(takeText())}`;
      }
      return done(line);
    }
    case 5:
      at++;
      return done(payload[1] === 1 ? "end" : "end, close");
    case 6:
      return done(`get ${take()}`);
    case 9:
      return done("cpong");
    default:
      throw new Error(`A packet of type ${payload[0]}`);
  }
}

/** Send Headers with names as codes or texts. */
export function sendHeaders(
  status: number,
  reason: string | null,
  headers: readonly (readonly [name: Name, value: string | null])[] = [],
): Uint8Array {
  const lines = headers.flatMap(([name, value]) => [typeof name === "number" ? integer(name) : string(name), string(value)]);
  return reply(concat(Uint8Array.of(4), integer(status), string(reason), integer(headers.length), ...lines));
}

/** Send Body Chunk. */
export function chunk(content: Uint8Array | string = ""): Uint8Array {
  const held = typeof content === "string" ? bytes(content) : content;
  return reply(concat(Uint8Array.of(3), integer(held.length), held, Uint8Array.of(0)));
}

/** Get Body Chunk. */
export function getChunk(length = 8186): Uint8Array {
  return reply(concat(Uint8Array.of(6), integer(length)));
}

/** End Response. */
export function endResponse(reuse = 1): Uint8Array {
  return reply(Uint8Array.of(5, reuse));
}

// A conversation with the server half.

export const html: ResponseHead = { status: 200, reason: "OK", headers: ["content-type", "text/html"] };

/** What a server does on an event, and what it sends for it. */
export type Act = (codec: AjpServer, event: ServerEvent) => Uint8Array | undefined | void;

/** Answers each request when all of it is there. */
export const answer: Act = (codec, event) => {
  if (event.type === "bodyEnd" || event.type === "refused") return codec.encode(event.id, html, bytes("hi"), true);
  if (event.type === "abort") return codec.encode(event.id, undefined, undefined, true);
};

/** Answers each request before its body. */
export const early: Act = (codec, event) => {
  if (event.type === "request") return codec.encode(event.id, html, bytes("no"), true);
};

/** The packets of {@linkcode answer}. */
export const answered: readonly string[] = ["head 200 OK Content-Type=text/html", "chunk hi", "end"];

export interface Conversation {
  events: string[];
  /** What was sent, the answers to the protocol's own questions included. */
  sent: string[];
  idle: boolean;
  closing: boolean;
}

/** A whole conversation, which must be the same however the message is cut. */
export function converse(message: Uint8Array, act?: Act, options: Partial<AjpServerOptions> = {}): Conversation {
  const once = (pieces: Uint8Array[]): Conversation => {
    const codec = new AjpServer({ ...defaultCodecLimits, ...options });
    const sent: Uint8Array[] = [];
    const events = transcript(codec, pieces, (event) => {
      const bytes = event.type === "reply" ? event.bytes : act?.(codec, event);
      if (bytes) sent.push(bytes);
    }).filter((line) => !line.startsWith("reply "));
    // A connection that broke is neither.
    const broken = events.at(-1)?.startsWith("ProtocolError") ?? false;
    return { events, sent: packetLines(concat(...sent)), idle: !broken && codec.idle, closing: !broken && codec.closing };
  };
  const whole = once([message]);
  for (const { name, pieces } of splits(message, new Random(7))) {
    const split = once(pieces);
    if (JSON.stringify(split) !== JSON.stringify(whole)) {
      throw new Error(`${name}: ${JSON.stringify(split)} and not ${JSON.stringify(whole)}`);
    }
  }
  return whole;
}

/** The events of a message, which must be the same however it is cut. */
export function events(message: Uint8Array, options?: Partial<AjpServerOptions>): string[] {
  return converse(message, undefined, options).events;
}
