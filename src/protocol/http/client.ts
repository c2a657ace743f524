/**
 * The client half of HTTP/1.1 (RFC 9112), for one request after the other.
 *
 * @module
 */
import { CgiResponseParser } from "../cgi_response.ts";
import { noBytes, type Params, token } from "../params.ts";
import { Buffer } from "node:buffer";
import { type ClientCodec, type ClientEvent, ProtocolError, type ResponseHead } from "../protocol.ts";
import { ChunkReader } from "./chunks.ts";
import { Input } from "./input.ts";
import { quoted } from "./line.ts";

/** Params whose headers concern another connection or are written from others. */
const dropped = new Set(["CONNECTION", "KEEP_ALIVE", "PROXY_CONNECTION", "TE", "TRAILER", "TRANSFER_ENCODING", "CONTENT_LENGTH"]);
const bodyless = /^(?:GET|HEAD|DELETE|OPTIONS)$/;
/** What a request line or a field cannot hold: RFC 9112, 3.2, and RFC 9110, 5.5. */
const badTarget = /[^\x21-\x7e\x80-\xff]/g;
const badValue = /[^\t\x20-\x7e\x80-\xff]/;

/** What comes next of a response: its head, or a body that ends in one of three ways. */
type Part = "head" | "length" | "chunks" | "connection" | "none";

/** The client half. */
export class HttpClient implements ClientCodec {
  readonly lengthFirst = false;
  readonly room = Infinity;
  #id = 0;
  #isHead = false;
  #inChunks = false;
  #parser = new CgiResponseParser(0);
  #part: Part = "none";
  /** Missing bytes of a body with a length. */
  #left = 0;
  #chunks = new ChunkReader();
  readonly #input = new Input();
  readonly #events: ClientEvent[] = [];

  request(id: number, params: Params, { keep = false }: { keep?: boolean } = {}): Uint8Array {
    const method = params.get("REQUEST_METHOD") || "GET";
    const length = params.get("CONTENT_LENGTH");
    this.#id = id;
    this.#isHead = method === "HEAD";
    this.#inChunks = !length && (!bodyless.test(method) || params.get("HTTP_TRANSFER_ENCODING") !== undefined);
    this.#parser = new CgiResponseParser(id);
    this.#part = "head";
    if (!token.test(method)) throw new TypeError(`Cannot ask with the method ${quoted(method)}`);
    const target = (params.get("REQUEST_URI") || "/").replace(badTarget, encodeURIComponent);
    const version = params.get("SERVER_PROTOCOL") === "HTTP/1.0" ? "HTTP/1.0" : "HTTP/1.1";
    let text = `${method} ${target} ${version}\r\n`;
    const header = (name: string, value: string | undefined) => {
      if (!value) return;
      if (!token.test(name) || badValue.test(value)) throw new TypeError(`Cannot send the header ${quoted(`${name}: ${value}`)}`);
      text += `${name}: ${value}\r\n`;
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
    if (this.#part === "connection") this.#end();
    else if (this.#part !== "none") throw new ProtocolError("The server closed the connection before the response was complete");
  }

  nextEvent(): ClientEvent | undefined {
    while (this.#events.length === 0 && this.#input.length > 0 && this.#read());
    return this.#events.shift();
  }

  /** Reads what has arrived; `false` when more is needed. */
  #read(): boolean {
    const input = this.#input;
    switch (this.#part) {
      case "head":
        this.#readHead(input.take(Infinity));
        return true;
      case "connection":
        this.#body(input.take(Infinity));
        return true;
      case "length": {
        const bytes = input.take(this.#left);
        this.#left -= bytes.length;
        this.#body(bytes);
        if (this.#left === 0) this.#end();
        return true;
      }
      case "chunks": {
        const bytes = this.#chunks.read(input);
        if (bytes) this.#body(bytes);
        if (this.#chunks.ended) this.#end();
        return bytes !== undefined || this.#chunks.ended;
      }
      case "none":
        throw new ProtocolError("The server sent something behind the response");
    }
  }

  #readHead(bytes: Uint8Array): void {
    for (const event of this.#parser.receive(bytes)) {
      if (event.type === "head") this.#head(event.head);
      else if (event.type === "body") this.#input.add(event.bytes);
    }
  }

  #head(head: ResponseHead): void {
    if (head.status === 101) throw new ProtocolError("The server changes to another protocol, which nobody asked it to");
    // RFC 9110, 15.2: interim responses come before the one that counts.
    if (head.status < 200) {
      this.#parser = new CgiResponseParser(this.#id);
      return;
    }
    const length = valueOf(head, "content-length");
    const coding = valueOf(head, "transfer-encoding")?.toLowerCase();
    if (length !== undefined && coding !== undefined) {
      throw new ProtocolError("The response has a Content-Length beside a Transfer-Encoding");
    }
    if (length !== undefined && !(/^\d+$/.test(length) && Number.isSafeInteger(Number(length)))) {
      throw new ProtocolError(`The response has the Content-Length ${quoted(length)}`);
    }
    this.#events.push({ type: "head", id: this.#id, head });
    // RFC 9112, 6.3.
    if (this.#isHead || head.status === 204 || head.status === 304) return this.#end();
    if (coding === "chunked") {
      this.#part = "chunks";
      this.#chunks = new ChunkReader();
    } else if (length !== undefined) {
      this.#part = "length";
      this.#left = Number(length);
      if (this.#left === 0) this.#end();
    } else {
      this.#part = "connection";
    }
  }

  #body(bytes: Uint8Array): void {
    this.#events.push({ type: "body", id: this.#id, bytes });
  }

  #end(): void {
    this.#part = "none";
    this.#events.push({ type: "end", id: this.#id, status: 0 });
  }
}

/** All values of a field, as a list. */
function valueOf({ headers }: ResponseHead, name: string): string | undefined {
  const values = headers.filter((_, i) => i % 2 === 1 && headers[i - 1].toLowerCase() === name);
  return values.length > 0 ? values.join(", ") : undefined;
}
