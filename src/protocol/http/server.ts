/**
 * The server half of HTTP/1.1 (RFC 9110 and 9112), for one connection.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { noBytes } from "../params.ts";
import {
  type Allocate,
  type CodecLimits,
  ProtocolError,
  type ResponseHead,
  type ServerCodec,
  type ServerEvent,
} from "../protocol.ts";
import { ChunkReader } from "./chunks.ts";
import { plainAddress, Trust } from "./forwarded.ts";
import { notHttp, readFields, readRequestLine, Refused, type RequestLine } from "./head.ts";
import { Input } from "./input.ts";
import { findLineEnd } from "./line.ts";
import { type Addresses, type Peer, peerOf, requestParams } from "./params.ts";
import { readProxyHeader } from "./proxy_header.ts";

/** What the server half takes. */
export interface HttpServerOptions extends CodecLimits {
  /** For SERVER_SOFTWARE; default `runfcgi`. */
  software?: string;
  /** Proxies that are trusted to report the visitor's address; default is none. */
  trust?: Trust;
  /** Connections begin with the PROXY protocol, and only those of trusted peers are taken; default is false. */
  proxyProtocol?: boolean;
  /** Where encoded responses go; default is memory of their own. */
  allocate?: Allocate;
  /** Value of the Date field (RFC 9110, 6.6.1); without it none is sent. */
  date?: () => string;
}

/** First byte of a TLS record with a handshake (RFC 8446, 5.1). */
const TLS_HANDSHAKE = 0x16;

/** Requests come one after the other, so all have the same id. */
const REQUEST_ID = 1;

/** RFC 9110, 5.5. */
const badValue = /[^\t\x20-\x7e\x80-\xff]/;

const goOn = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

/**
 * What comes next from the peer.
 *
 *     proxy > line > fields > length or chunks > end > complete > line
 *
 * `proxy`: the PROXY protocol, once, if it is expected. `end`: the body has arrived, and its end is to be reported.
 * `complete`: the response is awaited, and what follows has to wait. `over`: no further request is taken, and nothing has come
 * behind the last. `lost`: everything is ignored, since a request was refused or more came behind the last.
 */
type Reading = "proxy" | "line" | "fields" | "length" | "chunks" | "end" | "complete" | "over" | "lost";

/**
 * What of the response is still to be sent. `none`: no request is in flight. `head`: the response has not begun. The rest
 * says how its body ends: with its length, with a last chunk, with the connection, or that there is no body.
 */
type Writing = "none" | "head" | "length" | "chunks" | "connection" | "bodiless";

/**
 * The server half. Its requests are reported one by one: the next when the response to the last is complete. What has
 * arrived in between waits, see {@linkcode full}.
 */
export class HttpServer implements ServerCodec {
  readonly protocol = "http";
  readonly endIsLeave = true;
  readonly #options: HttpServerOptions;
  readonly #addresses: () => Addresses | undefined;
  #peer: Peer | undefined;
  readonly #input = new Input();
  #reading: Reading = "line";
  #writing: Writing = "none";
  /** An event that is reported before anything more is read. */
  #next: ServerEvent | undefined;

  // The head that is arriving. Offsets are relative to its start.
  /** Bytes that have been scanned. */
  #scanned = 0;
  /** Where the current line starts, and where the first field does. */
  #lineStart = 0;
  #fieldsStart = 0;
  #line: RequestLine | undefined;
  /** The empty line that may come before a request has come. */
  #forgiven = false;

  // The body that is arriving.
  /** Missing bytes of a body with a length. */
  #bodyLeft = 0;
  #chunks: ChunkReader | undefined;

  // The response.
  #isHead = false;
  #isLatest = true;
  /** The connection stays open after it, and the peer asked for that explicitly. */
  #keep = false;
  #keepAsked = false;
  /** Bytes of its body that are missing by its content-length. */
  #responseLeft = 0;
  #last = false;

  /** @param addresses tells where the connection comes from */
  constructor(options: HttpServerOptions, addresses: () => Addresses | undefined = () => undefined) {
    this.#options = options;
    this.#addresses = addresses;
    if (options.proxyProtocol) this.#reading = "proxy";
  }

  receive(bytes: Uint8Array): void {
    if (this.#reading === "over") this.#reading = "lost";
    if (this.#reading !== "lost") this.#input.add(bytes);
  }

  nextEvent(): ServerEvent | undefined {
    const next = this.#next;
    if (next) {
      this.#next = undefined;
      if (next.type === "refused") this.#writing = "head";
      return next;
    }
    try {
      return this.#read();
    } catch (error) {
      if (!(error instanceof ProtocolError) || this.#reading === "lost") throw error;
      return this.#fail(error instanceof Refused ? error : notHttp(error.message));
    }
  }

  #read(): ServerEvent | undefined {
    const input = this.#input;
    for (;;) {
      let bytes: Uint8Array | undefined;
      switch (this.#reading) {
        case "proxy":
          if (!this.#readProxy()) return undefined;
          break;
        case "line":
        case "fields":
          return this.#readHead();
        case "length":
          if (input.length === 0) return undefined;
          bytes = input.take(this.#bodyLeft);
          this.#bodyLeft -= bytes.length;
          if (this.#bodyLeft === 0) this.#reading = "end";
          break;
        case "chunks":
          bytes = this.#chunks!.read(input);
          if (this.#chunks!.ended) this.#reading = "end";
          else if (bytes === undefined) {
            input.wait();
            return undefined;
          }
          break;
        case "end":
          if (this.#writing === "none") {
            this.#nextRequest();
            break;
          }
          this.#reading = "complete";
          return { type: "bodyEnd", id: REQUEST_ID };
        default:
          return undefined;
      }
      // Nothing more is reported of a request that is answered.
      if (bytes && this.#writing !== "none") return { type: "body", id: REQUEST_ID, bytes };
    }
  }

  /** Reads what the proxy says of the visitor, `false` when more is needed. */
  #readProxy(): boolean {
    const input = this.#input;
    if (input.length === 0) return false;
    const { trust = new Trust() } = this.#options;
    const own = this.#addresses();
    const address = own && plainAddress(own.remoteAddress);
    try {
      if (!trust.has(address)) {
        throw new ProtocolError(`The peer ${address} may not use the PROXY protocol, since trust does not name it`);
      }
      const header = readProxyHeader(input.bytes.subarray(input.at, input.end));
      if (header === undefined) {
        input.wait();
        return false;
      }
      input.skip(header.length);
      this.#peer = { ...peerOf(header.addresses ?? own, trust), isTls: header.isTls };
    } catch (error) {
      // Nobody may get an answer.
      this.#lose();
      throw error;
    }
    this.#reading = "line";
    return true;
  }

  #readHead(): ServerEvent | undefined {
    const input = this.#input;
    if (this.#scanned === 0 && !this.#begin()) return undefined;
    const { maxParamsBytes } = this.#options;
    const most = Math.min(input.end, input.at + maxParamsBytes);
    for (;;) {
      const end = findLineEnd(input.bytes, input.at + this.#scanned, most);
      if (end < 0) {
        this.#scanned = ~end - input.at;
        if (input.length < maxParamsBytes) {
          input.wait();
          return undefined;
        }
        if (this.#reading === "fields") throw new Refused(431, `more than ${maxParamsBytes} bytes of params`);
        throw new Refused(414, `a request line of more than ${maxParamsBytes} bytes`);
      }
      const start = input.at + this.#lineStart;
      this.#scanned = this.#lineStart = end + 2 - input.at;
      if (this.#reading === "line") {
        this.#line = readRequestLine(input.bytes.toString("latin1", start, end));
        this.#isHead = this.#line.method === "HEAD";
        this.#isLatest = this.#line.version === "HTTP/1.1";
        this.#fieldsStart = this.#lineStart;
        this.#reading = "fields";
      } else if (start === end) {
        return this.#request(input.bytes.toString("latin1", input.at + this.#fieldsStart, end));
      }
    }
  }

  /** Checks the first bytes of a request, `false` when there are too few. */
  #begin(): boolean {
    const input = this.#input;
    const first = input.bytes[input.at];
    if (first === TLS_HANDSHAKE) {
      this.#lose();
      throw new ProtocolError("Not HTTP: it looks like TLS, and this endpoint takes http:// only");
    }
    // RFC 9112, 2.2: an empty line before a request is allowed.
    if (first === 0x0d && !this.#forgiven) {
      if (input.length < 2) return false;
      if (input.bytes[input.at + 1] === 0x0a) {
        this.#forgiven = true;
        input.skip(2);
      }
    }
    return input.length > 0;
  }

  /** The head of a request is complete. */
  #request(fieldLines: string): ServerEvent {
    const { maxParams, maxParamsBytes, maxConcurrent, trust, software = "runfcgi" } = this.#options;
    const { method, target, version } = this.#line!;
    const { fields, host, length, expects, keep, keepAsked } = readFields(fieldLines, version);
    this.#input.skip(this.#scanned);
    this.#peer ??= peerOf(this.#addresses(), trust);
    const params = requestParams({ method, target, version, host, fields, peer: this.#peer }, software);
    if (params.pairs.length > 2 * maxParams) throw new Refused(431, `more than ${maxParams} params`);
    if (params.pairs.reduce((sum, { length }) => sum + length, 0) > maxParamsBytes) {
      throw new Refused(431, `more than ${maxParamsBytes} bytes of params`);
    }
    if (maxConcurrent < 1) throw new Refused(503, "too many requests at once");
    this.#keep = keep;
    this.#keepAsked = keepAsked;
    this.#writing = "head";
    this.#reading = length === undefined ? "chunks" : length > 0 ? "length" : "end";
    this.#bodyLeft = length ?? 0;
    this.#chunks = length === undefined ? new ChunkReader() : undefined;
    const event: ServerEvent = { type: "request", id: REQUEST_ID, role: "responder", params };
    if (!expects) return event;
    this.#next = event;
    return { type: "reply", bytes: goOn };
  }

  /** After this it is unknown where the next request begins. */
  #fail({ status, message: reason }: Refused): ServerEvent {
    const inBody = this.#reading === "chunks";
    this.#lose();
    const refused: ServerEvent = { type: "refused", id: REQUEST_ID, status, reason };
    if (!inBody) {
      this.#writing = "head";
      return refused;
    }
    // The response is complete, and there must not be another.
    if (this.#writing === "none") return { type: "ignored", reason: `the rest of an answered request: ${reason}` };
    if (this.#writing !== "head") throw new ProtocolError(reason);
    this.#next = refused;
    return { type: "abort", id: REQUEST_ID };
  }

  #lose(): void {
    this.#reading = "lost";
    this.#keep = false;
    this.#input.clear();
  }

  #nextRequest(): void {
    this.#reading = "line";
    this.#scanned = this.#lineStart = 0;
    this.#line = this.#chunks = undefined;
    this.#forgiven = false;
  }

  /** @throws {Error} when the body is shorter than the content-length in the head */
  encode(_id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    if (this.#writing === "none") return noBytes;
    let before = head ? this.#headText(head, body?.length ?? 0, end) : "";
    let bytes = this.#writing === "bodiless" || this.#writing === "head" || body === undefined ? noBytes : body;
    let after = "";
    if (this.#writing === "chunks") {
      if (bytes.length > 0) {
        before += `${bytes.length.toString(16)}\r\n`;
        after = end ? "\r\n0\r\n\r\n" : "\r\n";
      } else if (end) after = "0\r\n\r\n";
    } else if (this.#writing === "length") {
      if (bytes.length > this.#responseLeft) bytes = bytes.subarray(0, this.#responseLeft);
      this.#responseLeft -= bytes.length;
      if (end && this.#responseLeft > 0) {
        // The next response would be taken for the rest of this one.
        throw new Error(`The Response is ${this.#responseLeft} bytes shorter than its content-length says`);
      }
    }
    if (end) this.#answered();
    const length = before.length + bytes.length + after.length;
    if (length === 0) return noBytes;
    const { allocate = Buffer.allocUnsafe } = this.#options;
    const buffer = allocate(length);
    buffer.write(before, "latin1");
    buffer.set(bytes, before.length);
    if (after) buffer.write(after, before.length + bytes.length, "latin1");
    return buffer;
  }

  /** RFC 9112, 4, 6 and 9: the head as a byte string. It decides how the body ends, and what becomes of the connection. */
  #headText({ status, reason, headers }: ResponseHead, bodyLength: number, end: boolean): string {
    let text = `HTTP/1.1 ${status} ${reason}\r\n`;
    let length: number | undefined;
    let date = this.#options.date;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i];
      const value = headers[i + 1];
      if (name.length === 14 && name.toLowerCase() === "content-length") {
        if (!/^\d+$/.test(value)) continue;
        length = Number(value);
      } else if (name.length === 4 && name.toLowerCase() === "date") date = undefined;
      text += fieldLine(name, value);
    }
    if (date) text += `date: ${date()}\r\n`;
    if (this.#last) this.#keep = false;
    if (this.#isHead || status === 204 || status === 304) {
      this.#writing = "bodiless";
    } else if (length !== undefined) {
      this.#writing = "length";
      this.#responseLeft = length;
    } else if (end) {
      this.#writing = "length";
      this.#responseLeft = bodyLength;
      text += `content-length: ${bodyLength}\r\n`;
    } else if (this.#isLatest) {
      this.#writing = "chunks";
      text += "transfer-encoding: chunked\r\n";
    } else {
      this.#writing = "connection";
      this.#keep = false;
    }
    const life = !this.#keep ? "close" : this.#keepAsked ? "keep-alive" : "";
    // RFC 9110, 15.5.22 and 7.8: it names what to upgrade to, of which there is one.
    if (status === 426) return `${text}upgrade: websocket\r\nconnection: ${life && `${life}, `}Upgrade\r\n\r\n`;
    return life ? `${text}connection: ${life}\r\n\r\n` : `${text}\r\n`;
  }

  #answered(): void {
    const received = this.#reading === "end" || this.#reading === "complete";
    this.#writing = "none";
    if (this.#keep) {
      if (received) this.#nextRequest();
      return;
    }
    this.#reading = received && this.#input.length === 0 ? "over" : "lost";
    this.#input.clear();
  }

  stderr(): undefined {}

  probe(): undefined {}

  get inHead(): boolean {
    const { length } = this.#input;
    return length > 0 && (this.#reading === "line" || this.#reading === "fields" || this.#reading === "proxy");
  }

  get closing(): boolean {
    return (this.#reading === "over" || this.#reading === "lost") && this.#writing === "none" && this.#next === undefined;
  }

  get idle(): boolean {
    if (this.#writing !== "none" || this.#next) return false;
    if (this.#reading === "over") return true;
    return (this.#reading === "line" || this.#reading === "proxy") && this.#input.length === 0;
  }

  get full(): boolean {
    return this.#reading === "complete" && this.#input.length > 0;
  }

  upgrade(): Uint8Array | undefined {
    const received = this.#reading === "end" || this.#reading === "complete";
    if (!received || this.#writing !== "head" || !this.#isLatest) return undefined;
    const rest = this.#input.take(this.#input.length);
    this.#writing = "none";
    this.#reading = "lost";
    return rest;
  }

  earlyHints(headers: readonly string[]): Uint8Array | undefined {
    // RFC 9110, 15.2: a client of HTTP/1.0 knows no interim responses.
    if (this.#writing !== "head" || !this.#isLatest) return undefined;
    let text = "HTTP/1.1 103 Early Hints\r\n";
    for (let i = 0; i < headers.length; i += 2) text += fieldLine(headers[i], headers[i + 1]);
    return Buffer.from(`${text}\r\n`, "latin1");
  }

  last(): void {
    this.#last = true;
  }
}

function fieldLine(name: string, value: string): string {
  if (badValue.test(value)) throw new TypeError(`The header ${name} of the Response has a value that HTTP cannot carry`);
  return `${name}: ${value}\r\n`;
}
