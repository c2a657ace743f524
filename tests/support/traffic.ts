/**
 * FastCGI traffic for tests, written and read without the code that is tested.
 *
 * @module
 */
import { bytes, concat, text } from "./bytes.ts";

const types = {
  begin: 1,
  abort: 2,
  end: 3,
  params: 4,
  stdin: 5,
  stdout: 6,
  stderr: 7,
  data: 8,
  getValues: 9,
  getValuesResult: 10,
  unknownType: 11,
};

/** What all records can be given; the first request has the id 1. */
export interface RecordOptions {
  id?: number;
  /** Bytes of padding behind the content. */
  padding?: number;
}

/** Starts a piece of traffic. */
export function traffic(): Traffic {
  return new Traffic();
}

/** A piece of traffic: says what happens, and hides ids and padding from tests that are not about them. */
export class Traffic {
  readonly #records: Uint8Array[] = [];

  /** All records in one. */
  bytes(): Uint8Array {
    return concat(...this.#records);
  }

  /** Any record. */
  record(type: number, content: Uint8Array | string, { id = 1, padding = 0 }: RecordOptions = {}): this {
    const body = typeof content === "string" ? bytes(content) : content;
    const header = Uint8Array.of(1, type, id >> 8, id & 255, body.length >> 8, body.length & 255, padding, 0);
    // Padding means nothing, so it may be anything.
    this.#records.push(header, body, new Uint8Array(padding).fill(0xee));
    return this;
  }

  begin(
    { role = 1, keep = false, flags = keep ? 1 : 0, ...options }:
      & { role?: number; keep?: boolean; flags?: number }
      & RecordOptions = {},
  ): this {
    return this.record(types.begin, Uint8Array.of(role >> 8, role & 255, flags, 0, 0, 0, 0, 0), options);
  }

  /** All params: their pairs, cut into records at the given offsets, and the empty record. */
  params(values: Pairs, { splitAt = [], ...options }: { splitAt?: number[] } & RecordOptions = {}): this {
    this.openParams(values, { splitAt, ...options });
    return this.record(types.params, "", options);
  }

  /** Some params, with more to come. */
  openParams(values: Pairs, { splitAt = [], ...options }: { splitAt?: number[] } & RecordOptions = {}): this {
    const content = encodePairs(values);
    const cuts = [0, ...splitAt, content.length];
    for (let i = 1; i < cuts.length; i++) {
      const piece = content.slice(cuts[i - 1], cuts[i]);
      if (piece.length > 0) this.record(types.params, piece, options);
    }
    return this;
  }

  /** A piece of the body; nothing ends it. */
  stdin(content: Uint8Array | string = "", options?: RecordOptions): this {
    return this.record(types.stdin, content, options);
  }

  /** A piece of the Filter role's data; nothing ends it. */
  data(content: Uint8Array | string = "", options?: RecordOptions): this {
    return this.record(types.data, content, options);
  }

  abort(options?: RecordOptions): this {
    return this.record(types.abort, "", options);
  }

  getValues(...names: string[]): this {
    return this.record(types.getValues, encodePairs(names.map((name): [string, string] => [name, ""])), { id: 0 });
  }

  /** A whole request without a body. */
  get(path = "/", options: { keep?: boolean } & RecordOptions = {}): this {
    return this.begin(options).params({ REQUEST_URI: path }, options).stdin("", options);
  }

  // What an application sends.

  stdout(content: Uint8Array | string = "", options?: RecordOptions): this {
    return this.record(types.stdout, content, options);
  }

  stderr(content: Uint8Array | string = "", options?: RecordOptions): this {
    return this.record(types.stderr, content, options);
  }

  endRequest(
    { status = 0, protocolStatus = 0, ...options }: { status?: number; protocolStatus?: number } & RecordOptions = {},
  ): this {
    const appStatus = [status >>> 24, (status >> 16) & 255, (status >> 8) & 255, status & 255];
    return this.record(types.end, Uint8Array.of(...appStatus, protocolStatus, 0, 0, 0), options);
  }

  getValuesResult(values: Pairs): this {
    return this.record(types.getValuesResult, encodePairs(values), { id: 0 });
  }
}

/** Names and values as byte strings. */
export type Pairs = Record<string, string> | [name: string, value: string][];

/** FastCGI 1.0, section 3.4. */
export function encodePairs(values: Pairs): Uint8Array {
  const list = Array.isArray(values) ? values : Object.entries(values);
  return concat(
    ...list.map(([name, value]) => concat(encodeLength(name.length), encodeLength(value.length), bytes(name + value))),
  );
}

function encodeLength(length: number): Uint8Array {
  if (length < 128) return Uint8Array.of(length);
  return Uint8Array.of((length >>> 24) | 128, (length >> 16) & 255, (length >> 8) & 255, length & 255);
}

/** A record that was read. */
export interface SeenRecord {
  type: number;
  id: number;
  content: Uint8Array;
}

/** Takes whole records apart. */
export function records(message: Uint8Array): SeenRecord[] {
  const seen: SeenRecord[] = [];
  for (let at = 0; at < message.length;) {
    const [version, type, high, low, lengthHigh, lengthLow, padding] = message.slice(at, at + 8);
    const end = at + 8 + lengthHigh * 256 + lengthLow;
    if (version !== 1 || !(end + padding <= message.length)) throw new Error(`No record at ${at} of ${message.length} bytes`);
    seen.push({ type, id: high * 256 + low, content: message.slice(at + 8, end) });
    at = end + padding;
  }
  return seen;
}

/** Records as lines such as `stdout 1 hello`. */
export function recordLines(message: Uint8Array): string[] {
  const names = Object.keys(types);
  return records(message).map(({ type, id, content }) => `${names[type - 1] ?? type} ${id} ${text(content)}`.trimEnd());
}
