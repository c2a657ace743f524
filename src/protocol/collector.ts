/**
 * Collects fragments into one piece.
 *
 * @module
 */

import { noBytes } from "./params.ts";

/** Pieces that are less than this share of their memory are copied, so that they do not keep all of it alive. */
const LEAST_SHARE = 1 / 4;

/** Collects fragments into one piece. It holds at most four times their length. */
export class Collector {
  #buffer: Uint8Array = noBytes;
  length = 0;

  /** Bytes that are held for it. */
  get capacity(): number {
    return this.#buffer.length;
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const length = this.length + bytes.length;
    if (this.length === 0) {
      this.#buffer = bytes.length < LEAST_SHARE * bytes.buffer.byteLength ? new Uint8Array(bytes) : bytes;
    } else {
      if (length > this.#buffer.length) {
        const larger = new Uint8Array(2 * length);
        larger.set(this.#buffer.subarray(0, this.length));
        this.#buffer = larger;
      }
      this.#buffer.set(bytes, this.length);
    }
    this.length = length;
  }

  /** The collected bytes, without a copy if they arrived in one piece. */
  take(): Uint8Array {
    const whole = this.#buffer.subarray(0, this.length);
    this.#buffer = noBytes;
    this.length = 0;
    return whole;
  }
}
