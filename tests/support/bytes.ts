/**
 * Bytes for tests: written as hex or text, cut into pieces, and events made readable.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { type ClientEvent, ProtocolError, type ServerEvent } from "../../src/protocol/protocol.ts";
import type { Random } from "./random.ts";

/** Bytes of hex digits; blanks are for the reader. */
export function hex(digits: string): Uint8Array {
  const packed = digits.replace(/\s/g, "");
  if (packed.length % 2 !== 0 || /[^0-9a-f]/i.test(packed)) throw new TypeError(`Not hex: "${digits}"`);
  return Uint8Array.from(packed.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** Hex digits of bytes. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Bytes of a byte string: one for each character. */
export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** The byte string of bytes. */
export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** All parts in one. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Bytes that differ from their neighbours, so that a misplaced one is noticed. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

/** Names and values as byte strings. */
export type Pairs = Record<string, string> | readonly (readonly [name: string, value: string])[];

/** Names and values in turn. */
export function flat(values: Pairs): string[] {
  return (Array.isArray(values) ? values : Object.entries(values)).flat();
}

const fixtures = new URL("../fixtures/", import.meta.url);

/** Recorded traffic, without `.bin`. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.bin`, fixtures)));
}

/** Names of all recorded traffic of a protocol. */
export function fixtureNames(protocol: "fcg" | "scgi" | "uwsgi" | "ajp" | "jk"): string[] {
  const recorded = new RegExp(`^[a-z0-9]+-(?:[a-z]+_)?${protocol}.*\\.bin$`);
  return readdirSync(fixtures).filter((name) => recorded.test(name)).map((name) => name.slice(0, -4)).sort();
}

/** One way to cut a message. */
export interface Split {
  name: string;
  pieces: Uint8Array[];
}

/** Messages up to this length are cut at each of their boundaries; the time for that grows with the square. */
const LONGEST_FOR_EVERY_BOUNDARY = 2500;

/** A message byte by byte, in random pieces, and in two at each boundary. */
export function* splits(message: Uint8Array, random: Random): Generator<Split> {
  yield { name: "byte by byte", pieces: Array.from(message, (_, i) => message.slice(i, i + 1)) };
  for (let i = 0; i < 20; i++) yield { name: `random pieces ${i}, ${random}`, pieces: random.pieces(message) };
  if (message.length > LONGEST_FOR_EVERY_BOUNDARY) return;
  for (let at = 1; at < message.length; at++) {
    yield { name: `two pieces at ${at}`, pieces: [message.slice(0, at), message.slice(at)] };
  }
}

/** A byte string as it is when that is plain, in quotes when not, and its digest when it is long. */
export function shown(value: string): string {
  if (value.length > 300) return `<${value.length} bytes, ${digest(value)}>`;
  return /^[!-~]+$/.test(value) ? value : JSON.stringify(value);
}

function digest(value: string): string {
  let sum = 0;
  for (let i = 0; i < value.length; i++) sum = (Math.imul(sum, 31) + value.charCodeAt(i)) >>> 0;
  return sum.toString(16);
}

/** Anything that takes bytes and reports events. */
export interface Receiver<Event> {
  receive(bytes: Uint8Array): void;
  nextEvent(): Event | undefined;
}

/**
 * Feeds pieces and returns the events, a line each, adjacent pieces of one body as one line, so that messages cut
 * differently compare equal. A `ProtocolError` is the last line; anything else that is thrown is a failure.
 *
 * @param onEvent called between events, as a server acts on them
 */
export function transcript<Event extends ServerEvent | ClientEvent>(
  codec: Receiver<Event>,
  pieces: readonly Uint8Array[],
  onEvent?: (event: Event) => void,
): string[] {
  const lines = new Lines();
  let received = 0;
  let reported = 0;
  try {
    for (const piece of pieces) {
      received += piece.length;
      codec.receive(piece);
      for (let event = codec.nextEvent(); event !== undefined; event = codec.nextEvent()) {
        // An event costs a byte at least, so that no input keeps a codec busy for ever. The last byte may also be the end.
        if (++reported > received + 1) throw new Error(`${reported} events of ${received} bytes`);
        lines.add(event);
        onEvent?.(event);
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    lines.addText(`ProtocolError: ${error.message}`);
  }
  return lines.take();
}

/** Events as lines. */
export class Lines {
  #lines: string[] = [];
  #stream = "";
  #content = "";

  add(event: ServerEvent | ClientEvent): void {
    switch (event.type) {
      case "body":
      case "data":
      case "stderr":
        return this.#piece(`${event.type} ${event.id}`, text(event.bytes));
      case "request": {
        let line = `request ${event.id} ${event.role}`;
        const { pairs } = event.params;
        for (let i = 0; i < pairs.length; i += 2) line += ` ${shown(pairs[i])}=${shown(pairs[i + 1])}`;
        return this.addText(line);
      }
      case "head": {
        const { status, reason, headers } = event.head;
        return this.addText(`head ${event.id} ${status} ${shown(reason)} ${headers.map(shown).join(" ")}`.trimEnd());
      }
      case "values":
        return this.addText(`values ${event.values.pairs.map(shown).join(" ")}`.trimEnd());
      case "refused":
        return this.addText(`refused ${event.id} ${event.status} ${event.reason}`);
      case "reply":
        return this.addText(`reply ${toHex(event.bytes)}`);
      case "end":
        return this.addText(`end ${event.id} ${event.status}${event.refusal ? ` ${event.refusal}` : ""}`);
      case "send":
        return this.addText(`send ${toHex(event.bytes)}`);
      case "ignored":
        return this.addText(`ignored ${event.reason}`);
      case "pong":
      case "room":
        return this.addText(event.type);
      default:
        return this.addText(`${event.type} ${event.id}`);
    }
  }

  addText(line: string): void {
    this.#flush();
    this.#lines.push(line);
  }

  take(): string[] {
    this.#flush();
    return this.#lines;
  }

  #piece(stream: string, content: string): void {
    if (content === "") return this.addText(`${stream} with no bytes`);
    if (stream !== this.#stream) this.#flush();
    this.#stream = stream;
    this.#content += content;
  }

  #flush(): void {
    if (this.#stream) this.#lines.push(`${this.#stream} ${shown(this.#content)}`);
    this.#stream = this.#content = "";
  }
}
