/**
 * Copies of bytes that an application makes a response of, since it may change them afterwards.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** Shorter ones come from the runtime's pool. */
const SHORTEST = 4 * 1024;
/** What is sent in one piece. Longer bodies cost much anyway. */
const LONGEST = 64 * 1024;
/** Kept of each size. */
const MAX_FREE = 16;

/** Memory that is free, by its size: a new one costs ten times the copy, most of it in garbage. */
const free = new Map<number, ArrayBuffer[]>();

/** Powers of two. */
function sizeFor(length: number): number {
  return 2 ** (32 - Math.clz32(length - 1));
}

/** A copy, and whether {@linkcode giveBack} is to get it. */
export function copyOf(bytes: Uint8Array): { copy: Uint8Array; isLent: boolean } {
  const { length } = bytes;
  if (length < SHORTEST) return { copy: Buffer.from(bytes), isLent: false };
  if (length > LONGEST) return { copy: new Uint8Array(bytes), isLent: false };
  const size = sizeFor(length);
  const copy = new Uint8Array(free.get(size)?.pop() ?? new ArrayBuffer(size), 0, length);
  copy.set(bytes);
  return { copy, isLent: true };
}

/** Takes a copy that nobody looks at any longer. */
export function giveBack({ buffer }: Uint8Array): void {
  const { byteLength: size } = buffer;
  const others = free.get(size);
  if (others === undefined) free.set(size, [buffer as ArrayBuffer]);
  else if (others.length < MAX_FREE) others.push(buffer as ArrayBuffer);
}
