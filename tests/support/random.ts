/**
 * Random values that a seed brings back.
 *
 * @module
 */

import { concat } from "./bytes.ts";

/** A generator of random values: xorshift with 32 bits, which is plenty for choosing test cases. */
export class Random {
  readonly #seed: number;
  #state: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    // Seeds that follow one another must not give similar values, and the state must not be 0.
    let mixed = (this.#seed + 0x9e3779b9) | 0;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
    this.#state = (mixed ^ (mixed >>> 16)) || 1;
  }

  toString(): string {
    return `seed ${this.#seed}`;
  }

  /** From 0 to below the limit. */
  int(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % limit;
  }

  /** True once in so many times. */
  once(times: number): boolean {
    return this.int(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)];
  }

  /** A length: mostly small, sometimes at an edge. */
  length(most: number): number {
    if (this.once(8)) return Math.min(most, this.pick([0, 1, 127, 128, 255, 256]));
    return this.int(Math.min(most, this.pick([4, 20, 200])) + 1);
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.int(256);
    return bytes;
  }

  /** Cuts bytes into pieces, of one byte each or many. */
  pieces(bytes: Uint8Array): Uint8Array[] {
    const longest = this.pick([1, 5, 20, 100, 100, 400, 400, 4000]);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + this.int(longest);
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    return pieces;
  }

  /** Changes a few bytes, takes some out, doubles some, or cuts the end off. */
  mutate(bytes: Uint8Array): Uint8Array {
    let changed: Uint8Array = bytes.slice();
    for (let count = 1 + this.int(4); count > 0 && changed.length > 0; count--) {
      const at = this.int(changed.length);
      switch (this.int(5)) {
        case 0:
          changed[at] = this.int(256);
          break;
        case 1:
          changed[at] ^= 1 << this.int(8);
          break;
        case 2:
          changed = concat(changed.subarray(0, at), changed.subarray(at + 1 + this.int(8)));
          break;
        case 3:
          changed = concat(changed.subarray(0, at + 1 + this.int(16)), changed.subarray(at));
          break;
        default:
          changed = changed.slice(0, at);
      }
    }
    return changed;
  }
}
