/**
 * The client half of HTTP/1.1 (RFC 9112), for one request after the other.
 *
 * @module
 */
import { CgiResponseParser } from "../cgi_response.ts";
import { Collector } from "../collector.ts";
import { asBuffer, noBytes, type Params } from "../params.ts";
import { Buffer } from "node:buffer";
import { type ClientCodec, type ClientEvent, ProtocolError, type ResponseHead } from "../protocol.ts";

/** Params whose headers concern another connection or are written from others. */
const dropped = new Set(["CONNECTION", "KEEP_ALIVE", "PROXY_CONNECTION", "TE", "TRAILER", "TRANSFER_ENCODING", "CONTENT_LENGTH"]);
const bodyless = /^(?:GET|HEAD|DELETE|OPTIONS)$/;
/** Longest line with the length of a chunk, or of a trailer. */
const MAX_LINE = 16 * 1024;

/** What comes next of a response: its head, a body that ends in one of three ways, or the parts of one in chunks. */
type Part = "head" | "length" | "end" | "size" | "chunk" | "chunkEnd" | "trailer" | "none";

/** The client half. */
export class HttpClient implements ClientCodec {
  readonly lengthFirst = false;
  readonly room = Infinity;
  #id = 0;
  #isHead = false;
  #inChunks = false;
  #parser = new CgiResponseParser(0);
  #part: Part = "none";
  /** Bytes that are missing of a body or of a chunk. */
  #left = 0;
  readonly #input = new Collector();
  readonly #events: ClientEvent[] = [];

  request(id: number, params: Params, { keep = false }: { keep?: boolean } = {}): Uint8Array {
    const method = params.get("REQUEST_METHOD") || "GET";
    const length = params.get("CONTENT_LENGTH");
    this.#id = id;
    this.#isHead = method === "HEAD";
    this.#inChunks = !length && (!bodyless.test(method) || params.get("HTTP_TRANSFER_ENCODING") !== undefined);
    this.#parser = new CgiResponseParser(id);
    this.#part = "head";
    let text = `${method} ${params.get("REQUEST_URI") || "/"} ${params.get("SERVER_PROTOCOL") ?? "HTTP/1.1"}\r\n`;
    const header = (name: string, value: string | undefined) => {
      if (value) text += `${name}: ${value}\r\n`;
    };
    const { pairs } = params;
    for (let i = 0; i < pairs.length; i += 2) {
      if (!pairs[i].startsWith("HTTP_") || dropped.has(pairs[i].slice(5))) continue;
      header(pairs[i].slice(5).toLowerCase().replaceAll("_", "-"), pairs[i + 1]);
    }
    header("content-type", params.get("CONTENT_TYPE"));
    header("x-forwarded-for", params.get("REMOTE_ADDR"));
    header("x-forwarded-proto", /^(?:on|1|true)$/i.test(params.get("HTTPS") ?? "") ? "https" : undefined);
    if (this.#inChunks) header("transfer-encoding", "chunked");
    else header("content-length", length);
    header("connection", keep ? "keep-alive" : "close");
    return Buffer.from(`${text}\r\n`, "latin1");
  }

  body(_id: number, bytes: Uint8Array): Uint8Array {
    if (!this.#inChunks || bytes.length === 0) return bytes;
    return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
  }

  bodyEnd(): Uint8Array {
    return this.#inChunks ? Buffer.from("0\r\n\r\n") : noBytes;
  }

  receive(bytes: Uint8Array): void {
    this.#input.add(bytes);
  }

  receiveEnd(): void {
    if (this.#part === "end") this.#end();
    else if (this.#part !== "none") throw new ProtocolError("The server closed the connection before the response was complete");
  }

  nextEvent(): ClientEvent | undefined {
    while (this.#events.length === 0 && this.#input.length > 0) {
      const input = asBuffer(this.#input.take());
      const used = this.#read(input);
      this.#input.add(input.subarray(used));
      if (used === 0) break;
    }
    return this.#events.shift();
  }

  /** Takes what it can of the bytes and returns how many. */
  #read(bytes: Buffer): number {
    switch (this.#part) {
      case "head":
        return this.#readHead(bytes);
      case "end":
        return this.#body(bytes, bytes.length);
      case "length":
      case "chunk": {
        const length = this.#body(bytes, this.#left);
        this.#left -= length;
        if (this.#left === 0 && this.#part === "length") this.#end();
        else if (this.#left === 0) this.#part = "chunkEnd";
        return length;
      }
      case "none":
        throw new ProtocolError("The server sent something behind the response");
      default:
        return this.#readLine(bytes);
    }
  }

  #readHead(bytes: Buffer): number {
    let rest = 0;
    for (const event of this.#parser.receive(bytes)) {
      if (event.type === "head") this.#head(event.head);
      else if (event.type === "body") rest = event.bytes.length;
    }
    return bytes.length - rest;
  }

  #head(head: ResponseHead): void {
    // RFC 9110, 15.2: interim responses come before the one that counts.
    if (head.status < 200) {
      this.#parser = new CgiResponseParser(this.#id);
      return;
    }
    this.#events.push({ type: "head", id: this.#id, head });
    const value = (name: string) => head.headers.find((_, i) => i % 2 === 1 && head.headers[i - 1].toLowerCase() === name);
    const length = value("content-length");
    if (this.#isHead || head.status === 204 || head.status === 304) return this.#end();
    if (value("transfer-encoding")?.toLowerCase() === "chunked") {
      this.#part = "size";
    } else if (length !== undefined) {
      this.#part = "length";
      this.#left = Number(length);
      if (this.#left === 0) this.#end();
    } else {
      this.#part = "end";
    }
  }

  #body(bytes: Uint8Array, most: number): number {
    const body = bytes.length > most ? bytes.subarray(0, most) : bytes;
    this.#events.push({ type: "body", id: this.#id, bytes: body });
    return body.length;
  }

  /** RFC 9112, 7.1: the lines between chunks, and those behind the last. */
  #readLine(bytes: Buffer): number {
    const end = bytes.indexOf("\r\n");
    if ((end < 0 ? bytes.length : end) > MAX_LINE) throw new ProtocolError(`A chunk begins with more than ${MAX_LINE} bytes`);
    if (end < 0) return 0;
    const line = bytes.toString("latin1", 0, end);
    if (this.#part === "size") {
      const size = /^([0-9a-f]{1,8})(?:[ \t]*;.*)?$/i.exec(line);
      if (size === null) throw new ProtocolError(`A chunk has the length ${JSON.stringify(line.slice(0, 80))}`);
      this.#left = parseInt(size[1], 16);
      this.#part = this.#left > 0 ? "chunk" : "trailer";
    } else if (this.#part === "chunkEnd") {
      if (end > 0) throw new ProtocolError("A chunk is longer than its length");
      this.#part = "size";
    } else if (end === 0) {
      this.#end();
    }
    return end + 2;
  }

  #end(): void {
    this.#part = "none";
    this.#events.push({ type: "end", id: this.#id, status: 0 });
  }
}
