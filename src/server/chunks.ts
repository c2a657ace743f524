/**
 * Bytes of what a response's stream gives: bytes, and text as UTF-8, which Bun's own server takes as well.
 *
 * @module
 */
import { noBytes } from "../protocol/params.ts";

const encoder = new TextEncoder();
/** The first half of a character that takes two UTF-16 units. */
const half = /[\ud800-\udbff]$/;

/** The chunks of one stream. */
export class Chunks {
  /** The end of the last text, if the next one may have the other half of its last character. */
  #half = "";

  /** The bytes of a chunk, `undefined` if it is neither bytes nor text. */
  bytes(chunk: unknown): Uint8Array | undefined {
    if (chunk instanceof Uint8Array && this.#half === "") return chunk;
    if (typeof chunk === "string") {
      const text = this.#half + chunk;
      this.#half = half.exec(text)?.[0] ?? "";
      return encoder.encode(this.#half ? text.slice(0, -1) : text);
    }
    const bytes = bytesOf(chunk);
    return bytes && joined(this.end(), bytes);
  }

  /** What is left when the stream has ended. */
  end(): Uint8Array {
    const left = this.#half;
    this.#half = "";
    return left === "" ? noBytes : encoder.encode(left);
  }
}

function bytesOf(chunk: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const isBuffer = chunk instanceof ArrayBuffer || typeof SharedArrayBuffer === "function" && chunk instanceof SharedArrayBuffer;
  return isBuffer ? new Uint8Array(chunk) : undefined;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
