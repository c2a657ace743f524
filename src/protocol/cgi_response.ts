/**
 * The response format of CGI/1.1 (RFC 3875, section 6), which FastCGI and SCGI carry as well.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { byteString } from "./params.ts";
import { type ClientEvent, ProtocolError, type ResponseHead } from "./protocol.ts";

/**
 * RFC 3875, section 6: the header block of a response as a byte string.
 *
 * `Status` is always there, since servers differ in their default, and comes last, since HAProxy lets a later
 * `Location` win.
 */
export function cgiHead(head: ResponseHead): string {
  const { headers } = head;
  let text = "";
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}Status: ${head.status} ${head.reason}\r\n\r\n`;
}

/** A longer header block is refused. */
const MAX_HEAD_LENGTH = 64 * 1024;

/** Takes a CGI response apart: first the head, then the body as it comes. */
export class CgiResponseParser {
  readonly #id: number;
  #head: Buffer | undefined = Buffer.alloc(0);

  /** @param id put into the events */
  constructor(id: number) {
    this.#id = id;
  }

  /** Whether the head is still to come. */
  get inHead(): boolean {
    return this.#head !== undefined;
  }

  /** @throws {ProtocolError} when what has arrived cannot be a header block. */
  *receive(bytes: Uint8Array): Generator<ClientEvent> {
    if (this.#head !== undefined) {
      const block = this.#head = this.#head.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#head, bytes]);
      const end = endOfHead(block);
      if ((end < 0 ? block.length : end) > MAX_HEAD_LENGTH) {
        throw new ProtocolError(`The response head is longer than ${MAX_HEAD_LENGTH} bytes`);
      }
      if (end < 0) return;
      this.#head = undefined;
      yield { type: "head", id: this.#id, head: parseHead(byteString(block.subarray(0, end))) };
      bytes = block.subarray(end);
    }
    if (bytes.length > 0) yield { type: "body", id: this.#id, bytes };
  }
}

/** Offset behind the empty line, -1 without one. Lines end with LF or CRLF. */
function endOfHead(block: Buffer): number {
  let line = 0;
  for (;;) {
    const lineEnd = block.indexOf(10, line);
    if (lineEnd < 0) return -1;
    if (lineEnd === line || (lineEnd === line + 1 && block[line] === 13)) return lineEnd + 1;
    line = lineEnd + 1;
  }
}

function parseHead(block: string): ResponseHead {
  let status = 0;
  let reason = "";
  let location = false;
  const headers: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    if (line === "") continue;
    const statusLine = headers.length === 0 && status === 0 ? /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(line) : null;
    if (statusLine) {
      status = Number(statusLine[1]);
      reason = statusLine[2] ?? "";
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 1) throw new ProtocolError(`The response head has the line ${JSON.stringify(line.slice(0, 80))}`);
    const name = line.slice(0, colon);
    // Not trim(), which takes the last byte of "à" in UTF-8 for a no-break space.
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (name.toLowerCase() === "status") {
      const parts = /^(\d{3})(?: (.*))?$/.exec(value);
      if (!parts) throw new ProtocolError(`The response has the status ${JSON.stringify(value.slice(0, 80))}`);
      status = Number(parts[1]);
      reason = parts[2] ?? "";
    } else {
      location ||= name.toLowerCase() === "location";
      headers.push(name, value);
    }
  }
  return { status: status || (location ? 302 : 200), reason, headers };
}
