/**
 * Lines of HTTP/1.1 messages (RFC 9112, section 2).
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { ProtocolError } from "../protocol.ts";

const CR = 0x0d;
const LF = 0x0a;

/** RFC 9110, 5.5: 1 for a byte that a field value can hold, which is also all that the other lines can hold. */
const content = new Uint8Array(256).fill(1);
content.fill(0, 0, 0x20);
content[0x09] = 1;
content[0x7f] = 0;

/**
 * Looks for the end of a line, which is CRLF and nothing else: where one reader takes a lone LF or CR for the end of a
 * line and another does not, they see different requests.
 *
 * @returns the offset of the CR; or, when more is needed, `~offset` of where to go on
 * @throws {ProtocolError} at a byte that no line can hold
 */
export function findLineEnd(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && content[bytes[at]] === 1) at++;
  if (at >= to) return ~at;
  if (bytes[at] === CR) {
    if (at + 1 >= to) return ~at;
    if (bytes[at + 1] === LF) return at;
    throw new ProtocolError("A CR without LF");
  }
  if (bytes[at] === LF) throw new ProtocolError("A LF without CR");
  throw new ProtocolError(`The control character 0x${bytes[at].toString(16).padStart(2, "0")}`);
}

/** A peer's text, quoted for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
