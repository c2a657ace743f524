/**
 * The CGI variables of a request, the same for every protocol.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/**
 * The params of one request in the order of arrival, repeated names included.
 *
 * Names and values are bytes on the wire. They are kept as byte strings (one character 0-255 for each byte),
 * which is also what `Headers` takes; {@linkcode decodeText} makes text of one.
 */
export class Params {
  /** Byte strings: name, value, name, value … */
  readonly pairs: string[];

  constructor(pairs: string[] = []) {
    this.pairs = pairs;
  }

  /** Makes params of text: each name and value is encoded as UTF-8. */
  static from(values: Iterable<readonly [name: string, value: string]>): Params {
    const pairs: string[] = [];
    for (const [name, value] of values) pairs.push(encodeText(name), encodeText(value));
    return new Params(pairs);
  }

  /** The last value of a name as a byte string. */
  get(name: string): string | undefined {
    for (let i = this.pairs.length - 2; i >= 0; i -= 2) {
      if (this.pairs[i] === name) return this.pairs[i + 1];
    }
    return undefined;
  }

  /** All values of a name as byte strings, in the order of arrival. */
  getAll(name: string): string[] {
    const values: string[] = [];
    for (let i = 0; i < this.pairs.length; i += 2) if (this.pairs[i] === name) values.push(this.pairs[i + 1]);
    return values;
  }

  /**
   * All params as text. Repeated request headers are joined, cookies with `; ` and others with `, `, as
   * nginx, HAProxy and h2o leave that to us; of any other repeated name the last value counts.
   */
  toRecord(): Record<string, string> {
    const record: Record<string, string> = Object.create(null);
    for (let i = 0; i < this.pairs.length; i += 2) {
      const name = decodeText(this.pairs[i]);
      const value = decodeText(this.pairs[i + 1]);
      const earlier = record[name];
      record[name] = earlier === undefined ? value : joinRepeated(name, earlier, value);
    }
    return record;
  }
}

/** The one value of a param that arrived twice: see {@linkcode Params.toRecord}. */
export function joinRepeated(name: string, earlier: string, later: string): string {
  // The host is not a list: nginx sends two when a configuration sets HTTP_HOST after including Debian's params.
  if (!name.startsWith("HTTP_") || name === "HTTP_HOST") return later;
  return earlier + (name === "HTTP_COOKIE" ? "; " : ", ") + later;
}

// deno-lint-ignore no-control-regex
const nonAscii = /[^\x00-\x7f]/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text of a byte string: UTF-8 where the bytes are valid UTF-8, otherwise Latin-1. */
export function decodeText(bytes: string): string {
  if (!nonAscii.test(bytes)) return bytes;
  try {
    return utf8.decode(Buffer.from(bytes, "latin1"));
  } catch {
    return bytes;
  }
}

/** The byte string of a text: its UTF-8 bytes. */
export function encodeText(text: string): string {
  return nonAscii.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}

/** RFC 9110, 5.6.2. */
export const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Params by the names of header fields as they came: the same few come again and again. */
const fieldParams = new Map<string, string>();
const MAX_NAMES = 500;
const MAX_NAME_LENGTH = 50;

/**
 * The param of a request header field: `""` for a name with an underscore, which would be taken for the one with a hyphen
 * that proxies set or remove, and `undefined` for an invalid name.
 */
export function fieldParam(name: string): string | undefined {
  const known = fieldParams.get(name);
  if (known !== undefined) return known;
  if (!token.test(name)) return undefined;
  const upper = name.toUpperCase().replaceAll("-", "_");
  const isPlain = upper === "CONTENT_TYPE" || upper === "CONTENT_LENGTH";
  const param = name.includes("_") ? "" : isPlain ? upper : `HTTP_${upper}`;
  if (name.length > MAX_NAME_LENGTH) return param;
  // New names from a peer must not displace the usual ones for good.
  if (fieldParams.size >= MAX_NAMES) fieldParams.clear();
  // A copy, since a part of a string keeps the whole, which is a peer's entire head.
  fieldParams.set(Buffer.from(name, "latin1").toString("latin1"), param);
  return param;
}

/** A length in bytes (RFC 9110, 8.6): digits only, `undefined` for anything else and for more than a safe integer. */
export function readLength(text: string): number | undefined {
  const length = /^\d+$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(length) ? length : undefined;
}

/** Bytes of the body that the head of a response declares; `undefined` where it declares none, or none follows. */
export function declaredLength({ status, headers }: { status: number; headers: readonly string[] }): number | undefined {
  if (status === 204 || status === 304) return undefined;
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "content-length");
  return at < 0 ? undefined : readLength(headers[at + 1]);
}

/** Percent-decodes a part of a URL to a byte string. */
export function decodePercent(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}

/** Whether a request target, or a path, is a prefix itself or below it: `/app` is not the beginning of `/apples`. */
export function isBelow(target: string, prefix: string): boolean {
  return target.startsWith(prefix) && /^(?:[/?]|$)/.test(target.slice(prefix.length));
}

/** The byte string of bytes. */
export function byteString(bytes: Uint8Array): string {
  return asBuffer(bytes).toString("latin1");
}

/** No bytes at all. */
export const noBytes: Uint8Array = new Uint8Array(0);

/** A `Buffer` on the same memory, for its fast reads and writes of byte strings. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
