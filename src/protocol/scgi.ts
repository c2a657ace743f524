/**
 * SCGI: "SCGI: A Simple Common Gateway Interface alternative", 2008.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { cgiHead } from "./cgi_response.ts";
import { byteString, Params } from "./params.ts";
import { ProtocolError, type ResponseHead } from "./protocol.ts";
import { type RequestHead, SingleRequestClient, SingleRequestServer } from "./single.ts";

/** Digits of a netstring's length: enough for any that is allowed. */
const MAX_DIGITS = 10;
const [ZERO, NINE, COLON, COMMA] = Buffer.from("09:,");

/** The server half of SCGI for one connection. */
export class ScgiServer extends SingleRequestServer {
  readonly protocol = "scgi";

  /** The headers are a netstring of names and values, each ended by a NUL. */
  protected readHead(bytes: Buffer): RequestHead {
    let digits = 0;
    let length = 0;
    for (; digits <= MAX_DIGITS && bytes[digits] >= ZERO && bytes[digits] <= NINE; digits++) {
      length = 10 * length + bytes[digits] - ZERO;
    }
    if (digits === bytes.length && digits <= MAX_DIGITS) return { needs: bytes.length + 1 };
    // A netstring's length has no zeros in front.
    if (digits === 0 || digits > MAX_DIGITS || bytes[digits] !== COLON || (bytes[0] === ZERO && digits > 1)) {
      throw new ProtocolError("Not SCGI: a request begins with the length of its headers and a colon");
    }
    const { maxParamsBytes } = this.options;
    if (length > maxParamsBytes) return { tooLarge: `more than ${maxParamsBytes} bytes of params` };
    const begin = digits + 1;
    const end = begin + length;
    if (bytes.length <= end) return { needs: end + 1 };
    if (bytes[end] !== COMMA) throw new ProtocolError("The SCGI headers have no comma where their length says");
    const text = byteString(bytes.subarray(begin, end));
    const pairs: string[] = [];
    let at = 0;
    for (let next = text.indexOf("\0"); next >= 0; next = text.indexOf("\0", at)) {
      pairs.push(text.slice(at, next));
      at = next + 1;
    }
    if (at < text.length || pairs.length % 2 === 1) {
      throw new ProtocolError("The SCGI headers are not pairs of names and values");
    }
    const params = new Params(pairs);
    if (params.get("SCGI") !== "1") throw new ProtocolError("The SCGI headers have no SCGI=1");
    if (!params.get("CONTENT_LENGTH")) throw new ProtocolError("The SCGI headers have no CONTENT_LENGTH");
    return { params, length: end + 1 };
  }

  protected headText(head: ResponseHead): string {
    return cgiHead(head);
  }
}

/** The client half of SCGI for one connection. */
export class ScgiClient extends SingleRequestClient {
  /**
   * CONTENT_LENGTH comes first and is always there; SCGI=1 is added.
   *
   * @throws {RangeError} for a NUL, which ends names and values
   */
  protected writeHead(params: Params): Uint8Array {
    const pairs = ["CONTENT_LENGTH", params.get("CONTENT_LENGTH") || "0", "SCGI", "1"];
    for (let i = 0; i < params.pairs.length; i += 2) {
      if (params.pairs[i] !== "CONTENT_LENGTH" && params.pairs[i] !== "SCGI") pairs.push(params.pairs[i], params.pairs[i + 1]);
    }
    if (pairs.some((part) => part.includes("\0"))) throw new RangeError("A name or value with a NUL cannot be sent over SCGI");
    const headers = pairs.map((part) => `${part}\0`).join("");
    return Buffer.from(`${headers.length}:${headers},`, "latin1");
  }
}
