/**
 * The uwsgi protocol, as nginx, Apache, lighttpd and uWSGI itself speak it: "The uwsgi Protocol" in uWSGI's documentation.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { byteString, Params } from "./params.ts";
import { ProtocolError, type ResponseHead } from "./protocol.ts";
import { type RequestHead, SingleRequestClient, SingleRequestServer } from "./single.ts";

/** modifier1 (8 bits), length of the variables (16 bits, little-endian), modifier2 (8 bits). */
const HEADER_LENGTH = 4;
/** modifier1 of a request whose packet holds variables. */
const REQUEST_MODIFIER = 0;

/** The server half of uwsgi for one connection. */
export class UwsgiServer extends SingleRequestServer {
  readonly protocol = "uwsgi";

  protected readHead(bytes: Buffer): RequestHead {
    if (bytes[0] !== REQUEST_MODIFIER) {
      throw new ProtocolError(`Not uwsgi: a request has the modifier ${bytes[0]}, expected ${REQUEST_MODIFIER}`);
    }
    if (bytes.length < HEADER_LENGTH) return { needs: HEADER_LENGTH };
    const length = bytes.readUInt16LE(1);
    const { maxParamsBytes } = this.options;
    if (length > maxParamsBytes) return { tooLarge: `more than ${maxParamsBytes} bytes of params` };
    const end = HEADER_LENGTH + length;
    if (bytes.length < end) return { needs: end };
    const pairs: string[] = [];
    const text = byteString(bytes.subarray(0, end));
    for (let at = HEADER_LENGTH; at < end;) {
      if (at + 2 > end) throw new ProtocolError("A uwsgi variable is longer than its packet");
      const partLength = bytes.readUInt16LE(at);
      at += 2 + partLength;
      if (at > end) throw new ProtocolError("A uwsgi variable is longer than its packet");
      pairs.push(text.slice(at - partLength, at));
    }
    if (pairs.length % 2 === 1) throw new ProtocolError("The uwsgi variables end with a name");
    return { params: new Params(pairs), length: end };
  }

  /** An HTTP status line, which every server takes; Apache takes nothing else. */
  protected headText({ status, reason, headers }: ResponseHead): string {
    let text = `HTTP/1.1 ${status} ${reason}\r\n`;
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
    return `${text}\r\n`;
  }
}

/** The client half of uwsgi for one connection. */
export class UwsgiClient extends SingleRequestClient {
  /** @throws {RangeError} when the variables do not fit into a packet */
  protected writeHead({ pairs }: Params): Uint8Array {
    const length = pairs.reduce((sum, part) => sum + 2 + part.length, 0);
    if (length > 0xffff) throw new RangeError(`The uwsgi variables have ${length} bytes, at most ${0xffff} fit into a packet`);
    const packet = Buffer.alloc(HEADER_LENGTH + length);
    packet.writeUInt16LE(length, 1);
    let at = HEADER_LENGTH;
    for (const part of pairs) {
      at = packet.writeUInt16LE(part.length, at);
      at += packet.write(part, at, "latin1");
    }
    return packet;
  }
}
