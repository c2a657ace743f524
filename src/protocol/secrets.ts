/**
 * Blanks what is secret in recorded requests, in place and without changing a length, so that the bytes are still the
 * protocol's.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Attribute, CODED_HEADER, PACKET_HEADER_LENGTH, PacketType, REQUEST_MAGIC, requestHeaders } from "./ajp/wire.ts";
import { HEADER_LENGTH, RecordType, VERSION } from "./fastcgi/wire.ts";
import { asBuffer, decodePercent } from "./params.ts";
import type { ProtocolName } from "./protocol.ts";

/** Whether the value of a variable, header or form field is secret. */
type IsSecret = (name: string) => boolean;

/**
 * Blanks the values of secret headers, variables, query and form fields in what a web server has sent on a connection.
 * Of bytes that are not the protocol's, all is blanked that follows on a secret name.
 *
 * @param protocol `undefined` when it is not known
 */
export function blankSecrets(bytes: Uint8Array, protocol: ProtocolName | undefined, isSecret: IsSecret): void {
  const buffer = asBuffer(bytes);
  const blank = new Blank(isSecret);
  const walk =
    { fcgi: walkFastCgi, ajp: walkAjp, scgi: walkScgi, uwsgi: walkUwsgi, http: walkHttp, cgi: undefined }[protocol ?? "cgi"];
  const end = walk?.(buffer, blank) ?? 0;
  if (end < buffer.length) blank.loosely([buffer.subarray(end)]);
}

/** Pieces of memory whose bytes belong together. */
type Pieces = Buffer[];

class Blank {
  readonly isSecret: IsSecret;

  constructor(isSecret: IsSecret) {
    this.isSecret = isSecret;
  }

  /** The value of a variable or header. */
  value(name: string, value: Buffer | Pieces): void {
    const pieces = Array.isArray(value) ? value : [value];
    if (this.isSecret(name)) { for (const piece of pieces) piece.fill("*"); }
    else this.#change(pieces, (text) => this.#fields(text));
  }

  /** Names and values in turn: takes a value if there is a name, and returns the name if there is none. */
  nextPart(name: string | undefined, part: Buffer): string | undefined {
    if (name !== undefined) return void this.value(name, part);
    const text = part.toString("latin1");
    // Lengths that are wrong, and the rest of what was sent in the place of a name.
    if (!/^[\w-]*$/.test(text)) this.loosely([part]);
    return text;
  }

  /** A request body: a form in either encoding, or JSON. */
  body(pieces: Pieces): void {
    this.#change(pieces, (text) =>
      this.#fields(text)
        .replace(
          /("([^"\\]{1,100})"\s*:\s*")((?:[^"\\]|\\.)*)/g,
          (all, begin, name, value) => this.isSecret(name) ? begin + stars(value) : all,
        )
        .replace(
          /(name="([^"]{1,100})"[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n)([^]*?)(?=\r?\n--|$)/g,
          (all, begin, name, value) => this.isSecret(name) ? begin + stars(value) : all,
        ));
  }

  /** Bytes that are no protocol's, where nothing tells the end of a value. */
  loosely(pieces: Pieces): void {
    this.#change(pieces, (text) => {
      /** Where the run ended that has a secret name, whose value may be the next one. */
      let named = -Infinity;
      return text.replace(printable, (run, at: number) => {
        const gap = at > named ? text.slice(named, at) : "";
        const follows = at - named <= 4 && !/^\r?\n$/.test(gap);
        named = -Infinity;
        if (follows) return stars(run);
        if (!this.isSecret(run)) return run;
        // Where the name ends cannot be told: the shortest beginning that has one.
        let [without, end] = [0, run.length];
        while (without + 1 < end) {
          const middle = (without + end) >> 1;
          if (this.isSecret(run.slice(0, middle))) end = middle;
          else without = middle;
        }
        named = at + run.length;
        return run.slice(0, end) + stars(run.slice(end));
      });
    });
  }

  /** Fields of a query. */
  #fields(text: string): string {
    return text.replace(
      /([?&;]|^)([^=&;?#\s]{1,100})=([^&;#\s]*)/g,
      (all, before, name, value) => this.isSecret(decodePercent(name)) ? `${before}${name}=${stars(value)}` : all,
    );
  }

  #change(pieces: Pieces, change: (text: string) => string): void {
    const before = pieces.map((piece) => piece.toString("latin1")).join("");
    const after = change(before);
    if (after === before) return;
    let at = 0;
    for (const piece of pieces) {
      piece.write(after.slice(at, at + piece.length), "latin1");
      at += piece.length;
    }
  }
}

/** What stands between two control characters. */
// deno-lint-ignore no-control-regex
const printable = /[^\x00-\x1f]+/g;

function stars(text: string): string {
  return "*".repeat(text.length);
}

// Each walks as far as the bytes are the protocol's, and tells how far that is.

function walkFastCgi(buffer: Buffer, blank: Blank): number {
  const streams = new Map<string, { type: number; pieces: Pieces }>();
  const finish = (key: string) => {
    const { type, pieces } = streams.get(key) ?? { type: 0, pieces: [] };
    streams.delete(key);
    if (type === RecordType.params) blankPairs(pieces, blank);
    else blank.body(pieces);
  };
  let at = 0;
  while (at + HEADER_LENGTH <= buffer.length && buffer[at] === VERSION) {
    const type = buffer[at + 1];
    const key = `${type} ${buffer.readUInt16BE(at + 2)}`;
    const length = buffer.readUInt16BE(at + 4);
    const content = buffer.subarray(at + HEADER_LENGTH, at + HEADER_LENGTH + length);
    if (type === RecordType.params || type === RecordType.stdin) {
      if (!streams.has(key)) streams.set(key, { type, pieces: [] });
      streams.get(key)!.pieces.push(content);
      if (length === 0) finish(key);
    }
    at += HEADER_LENGTH + length + buffer[at + 6];
  }
  for (const key of [...streams.keys()]) finish(key);
  return Math.min(at, buffer.length);
}

/** FastCGI 1.0, 3.4. */
function blankPairs(pieces: Pieces, blank: Blank): void {
  // Where a name or value lies in several records, it is changed as a copy, which is then put back.
  const whole = Buffer.concat(pieces);
  let at = 0;
  const length = () => whole[at] > 127 ? whole.readUInt32BE((at += 4) - 4) & 0x7fffffff : whole[at++];
  try {
    while (at < whole.length) {
      const nameLength = length();
      const valueLength = length();
      const valueAt = at + nameLength;
      const value = whole.subarray(valueAt, valueAt + valueLength);
      blank.value(whole.toString("latin1", at, valueAt), value);
      at = valueAt + valueLength;
      if (!(at <= whole.length)) throw new RangeError();
    }
  } catch {
    blank.loosely([whole]);
  }
  let from = 0;
  for (const piece of pieces) from += whole.copy(piece, 0, from, from + piece.length);
}

function walkScgi(buffer: Buffer, blank: Blank): number {
  const digits = /^(\d{1,10}):/.exec(buffer.toString("latin1", 0, 11))?.[1];
  if (digits === undefined) return 0;
  const begin = digits.length + 1;
  const end = begin + Number(digits);
  const headers = buffer.subarray(begin, end);
  let name: string | undefined;
  for (let at = 0; at < headers.length;) {
    const found = headers.indexOf(0, at);
    const stop = found < 0 ? headers.length : found;
    name = blank.nextPart(name, headers.subarray(at, stop));
    at = stop + 1;
  }
  blank.body([buffer.subarray(end + 1)]);
  return buffer.length;
}

function walkUwsgi(buffer: Buffer, blank: Blank): number {
  if (buffer.length < 4 || buffer[0] !== 0) return 0;
  const end = 4 + buffer.readUInt16LE(1);
  const variables = buffer.subarray(4, end);
  let name: string | undefined;
  for (let at = 0; at + 2 <= variables.length;) {
    const part = variables.subarray(at + 2, at + 2 + variables.readUInt16LE(at));
    at += 2 + part.length;
    name = blank.nextPart(name, part);
  }
  blank.body([buffer.subarray(end)]);
  return buffer.length;
}

function walkHttp(buffer: Buffer, blank: Blank): number {
  let at = 0;
  while (at < buffer.length) {
    const text = buffer.toString("latin1", at, at + 512 * 1024);
    const end = /\r?\n\r?\n/.exec(text);
    if (!/^(?:\r?\n)*[A-Z]+ \S+ HTTP\/1/.test(text) || end === null) return at;
    const head = text.slice(0, end.index);
    // What is folded belongs to the line before it.
    for (const line of head.matchAll(/[^\r\n]+(?:\r?\n[ \t][^\r\n]*)*/g)) {
      const [begin, name] = /^([^:\s]+):[ \t]*/.exec(line[0]) ?? [];
      const from = at + line.index + (begin?.length ?? 0);
      blank.value(name ?? "", buffer.subarray(from, at + line.index + line[0].length));
    }
    at += end.index + end[0].length;
    const length = Number(/^content-length:[ \t]*(\d+)/im.exec(head)?.[1] ?? 0);
    if (/^transfer-encoding:[^\r\n]*chunked/im.test(head)) {
      const pieces: Pieces = [];
      for (;;) {
        const line = /^([0-9a-f]{1,8})[^\r\n]*\r\n/i.exec(buffer.toString("latin1", at, at + 1000));
        if (line === null) break;
        const size = parseInt(line[1], 16);
        at += line[0].length;
        pieces.push(buffer.subarray(at, at + size));
        at = Math.min(at + size + 2, buffer.length);
        if (size === 0) break;
      }
      blank.body(pieces);
    } else {
      blank.body([buffer.subarray(at, at + length)]);
      at = Math.min(at + length, buffer.length);
    }
  }
  return at;
}

function walkAjp(buffer: Buffer, blank: Blank): number {
  let body: Pieces = [];
  let at = 0;
  while (at + PACKET_HEADER_LENGTH <= buffer.length && buffer.readUInt16BE(at) === REQUEST_MAGIC) {
    const end = at + PACKET_HEADER_LENGTH + buffer.readUInt16BE(at + 2);
    const payload = buffer.subarray(at + PACKET_HEADER_LENGTH, end);
    const isBody = payload.length >= 2 && payload.readUInt16BE(0) + 2 === payload.length;
    if (payload[0] === PacketType.forwardRequest && !isBody) {
      blank.body(body);
      body = [];
      try {
        blankForwardRequest(payload, blank);
      } catch {
        blank.loosely([payload]);
      }
    } else {
      body.push(payload.subarray(2));
    }
    at = Math.min(end, buffer.length);
  }
  blank.body(body);
  return at;
}

/**
 * "Forward Request": only where the strings are is looked at. The last may be cut.
 *
 * @throws {RangeError} when it is shorter than it says
 */
function blankForwardRequest(payload: Buffer, blank: Blank): void {
  let at = 2;
  const string = (): Buffer => {
    const length = payload.readUInt16BE(at);
    at += 2;
    if (length === 0xffff) return payload.subarray(at, at);
    at += length + 1;
    return payload.subarray(at - length - 1, at - 1);
  };
  string();
  blank.value("", string());
  for (let skipped = 0; skipped < 3; skipped++) string();
  at += 3;
  const headers = payload.readUInt16BE(at);
  at += 2;
  for (let i = 0; i < headers; i++) {
    const code = payload.readUInt16BE(at);
    let name: string;
    if ((code & 0xff00) === CODED_HEADER) {
      name = requestHeaders[(code & 0xff) - 1] ?? "";
      at += 2;
    } else name = string().toString("latin1");
    blank.value(name, string());
  }
  while (at < payload.length) {
    const code = payload[at++];
    if (code === Attribute.end) return;
    if (code === Attribute.sslKeySize) at += 2;
    else if (code === Attribute.requestAttribute) blank.value(string().toString("latin1"), string());
    else if (code === Attribute.secret) string().fill("*");
    else blank.value(code === Attribute.sslSession ? "SSL_SESSION_ID" : "", string());
  }
}
