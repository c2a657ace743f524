/**
 * Collecting what is needed whole.
 *
 * @module
 */

import { noBytes } from "./params.ts";

/** Collects the fragments of records whose content is needed whole. */
export class Collector {
  #buffer: Uint8Array = noBytes;
  length = 0;

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const length = this.length + bytes.length;
    if (this.length === 0) {
      this.#buffer = bytes;
    } else {
      // Copied, since a view would keep all of what was received with it, however small it is itself.
      if (length > this.#buffer.length) {
        const larger = new Uint8Array(2 * length);
        larger.set(this.#buffer.subarray(0, this.length));
        this.#buffer = larger;
      }
      this.#buffer.set(bytes, this.length);
    }
    this.length = length;
  }

  /** What was collected, without a copy when it arrived in one piece. */
  take(): Uint8Array {
    const whole = this.#buffer.subarray(0, this.length);
    this.#buffer = noBytes;
    this.length = 0;
    return whole;
  }
}
