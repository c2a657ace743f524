/**
 * Reads one response of HTTP/1.1 as it comes (RFC 9112), and notes what marks its end.
 *
 * @module
 */
import { Buffer } from "node:buffer";

const MAX_LINE = 64 * 1024;

export class ResponseReader {
  readonly #body: (bytes: Uint8Array) => void;
  status: number | undefined;
  readonly headers: Map<string, string> = new Map();
  /** Bytes of the body. */
  received = 0;
  /** Whether all of it is here. */
  complete = false;
  /** A line whose end has not come yet. */
  #line = "";
  #state: "status" | "fields" | "size" | "chunk" | "after chunk" | "trailers" | "length" | "rest" = "status";
  /** Bytes that are still to come of the body or of the chunk. */
  #left = 0;

  constructor(body: (bytes: Uint8Array) => void) {
    this.#body = body;
  }

  /** Whether the connection is of no further use. */
  get closes(): boolean {
    return this.headers.get("connection")?.toLowerCase() === "close";
  }

  /** @throws {Error} when it is not HTTP, or goes on behind its end */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.complete) throw new Error(`bytes behind the response: ${JSON.stringify(latin1(bytes.subarray(at, at + 100)))}`);
      at += this.#inBody ? this.#takeBody(bytes.subarray(at)) : this.#takeLine(bytes.subarray(at));
    }
  }

  /** The connection has ended, which ends a response without any other end. */
  end(): void {
    if (this.#state === "rest") this.complete = true;
  }

  get #inBody(): boolean {
    return this.#state === "chunk" || this.#state === "length" || this.#state === "rest";
  }

  #takeBody(bytes: Uint8Array): number {
    const body = this.#state === "rest" ? bytes : bytes.subarray(0, this.#left);
    this.#left -= body.length;
    this.received += body.length;
    this.#body(body);
    if (this.#left === 0 && this.#state === "chunk") this.#state = "after chunk";
    else if (this.#left === 0 && this.#state === "length") this.complete = true;
    return body.length;
  }

  #takeLine(bytes: Uint8Array): number {
    const end = bytes.indexOf(10);
    this.#line += latin1(bytes.subarray(0, end < 0 ? bytes.length : end));
    if (this.#line.length > MAX_LINE) throw new Error("a line of the response has no end");
    if (end < 0) return bytes.length;
    const line = this.#line.replace(/\r$/, "");
    this.#line = "";
    this.#endLine(line);
    return end + 1;
  }

  #endLine(line: string): void {
    switch (this.#state) {
      case "status": {
        const [, status] = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(line) ?? [];
        if (status === undefined) throw new Error(`the response begins with ${JSON.stringify(line)}`);
        this.status = Number(status);
        this.#state = "fields";
        return;
      }
      case "fields": {
        if (line === "") return this.#endHead();
        const colon = line.indexOf(":");
        this.headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
        return;
      }
      case "size":
        if (!/^[\da-f]+ *(?:;|$)/i.test(line)) throw new Error(`a chunk begins with ${JSON.stringify(line)}`);
        this.#left = parseInt(line, 16);
        this.#state = this.#left === 0 ? "trailers" : "chunk";
        return;
      case "after chunk":
        if (line !== "") throw new Error(`a chunk is followed by ${JSON.stringify(line)}`);
        this.#state = "size";
        return;
      case "trailers":
        this.complete = line === "";
    }
  }

  #endHead(): void {
    const length = this.headers.get("content-length");
    if (this.status! < 200) {
      this.headers.clear();
      this.status = undefined;
      this.#state = "status";
    } else if (this.status === 204 || this.status === 304) this.complete = true;
    else if (this.headers.get("transfer-encoding")?.toLowerCase() === "chunked") this.#state = "size";
    else if (length === undefined) this.#state = "rest";
    else {
      this.#state = "length";
      this.#left = Number(length);
      this.complete = this.#left === 0;
    }
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
