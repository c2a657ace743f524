/**
 * What passes on a connection as text, record by record, for debugging.
 *
 * @module
 */
import { asBuffer, byteString, decodeText } from "./params.ts";
import { type Part, partReader, type Side, size } from "./parts.ts";
import type { ProtocolName } from "./protocol.ts";

/** Whether a value is not to be shown. */
export type IsSecret = (name: string) => boolean;

/** Takes what one side sends and returns a line for each complete record; details are indented. */
export type Dissector = (bytes: Uint8Array) => string[];

/** A dissector of what one side of a connection sends. */
export function dissect(protocol: Exclude<ProtocolName, "cgi">, side: Side, isSecret: IsSecret): Dissector {
  const reader = partReader(protocol, side);
  let lost = false;
  return (bytes) => {
    if (lost) return [`${bytes.length} bytes more`];
    const parts: Part[] = [];
    let problem: string[] = [];
    try {
      reader.read(asBuffer(bytes), parts);
    } catch (error) {
      lost = true;
      problem = [`${(error as Error).message}. The bytes are ${firstBytes(bytes)}`];
    }
    return [...parts.flatMap((part) => lines(part, isSecret)), ...problem];
  };
}

function lines(part: Part, isSecret: IsSecret): string[] {
  switch (part.type) {
    case "frame":
      return [printable(decodeText(part.text))];
    case "text":
      return [`    ${printable(part.text)}`];
    case "pairs":
      return part.pairs.map(({ name, value }) => {
        const text = isSecret(name) && value.length > 0
          ? `(${size(value.length)}, hidden)`
          : printable(decodeText(byteString(value)));
        return `    ${printable(decodeText(name))}${name && part.separator}${text}`;
      });
    default:
      return [];
  }
}

/** The first bytes in hex and, where they can be printed, as text. */
export function firstBytes(bytes: Uint8Array): string {
  const shown = asBuffer(bytes).subarray(0, 24);
  const digits = shown.toString("hex").replace(/(..)(?=.)/g, "$1 ");
  return `${digits}${bytes.length > shown.length ? " …" : ""} "${shown.toString("latin1").replace(/[^\x20-\x7e]/g, ".")}"`;
}

/** What the first bytes from a server look like, `undefined` if unknown. */
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

/** Text with control characters escaped. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
