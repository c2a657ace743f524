/**
 * Received bytes that have not been read yet.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { asBuffer } from "../params.ts";

const nothing = Buffer.alloc(0);

/**
 * Received bytes, without a copy as long as one piece is enough. Only a rest that waits for the next piece is copied, and
 * nothing is kept when all is read. Views that were given out stay valid.
 */
export class Input {
  bytes: Buffer = nothing;
  /** Offsets of what is left in {@linkcode bytes}. */
  at = 0;
  end = 0;

  get length(): number {
    return this.end - this.at;
  }

  add(bytes: Uint8Array): void {
    const { length } = this;
    if (length === 0) {
      this.bytes = asBuffer(bytes);
      this.at = 0;
      this.end = bytes.length;
      return;
    }
    if (this.end + bytes.length > this.bytes.length) this.#move(2 * (length + bytes.length));
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  /** A view of the next bytes, at most so many. */
  take(most: number): Uint8Array {
    const from = this.at;
    this.at = Math.min(this.end, from + most);
    const taken = this.bytes.subarray(from, this.at);
    if (this.at === this.end) this.clear();
    return taken;
  }

  skip(length: number): void {
    this.at += length;
    if (this.at === this.end) this.clear();
  }

  /** The rest waits for more, and must not keep the runtime's much larger buffer alive. */
  wait(): void {
    if (this.bytes.buffer.byteLength > 2 * this.length + 1024) this.#move(this.length);
  }

  clear(): void {
    this.bytes = nothing;
    this.at = this.end = 0;
  }

  #move(capacity: number): void {
    const moved = Buffer.allocUnsafeSlow(capacity);
    moved.set(this.bytes.subarray(this.at, this.end));
    this.end -= this.at;
    this.at = 0;
    this.bytes = moved;
  }
}
