/**
 * Output: memory for encoded responses, and text for standard error.
 *
 * All share one buffer, as long as sockets accept each write at once. A new buffer for each large response would cost more
 * in garbage than the response itself.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import process from "node:process";

/** Smaller ones come from the runtime's pool, which is cheap, and leave little behind when a socket keeps them. */
const SMALL = 4 * 1024;
/** A piece of a body, with a head and the framing of a protocol. */
const LARGE = 96 * 1024;

let shared: Buffer | undefined;

/** Memory that is valid until the next call, unless it is kept. */
export function allocate(length: number): Buffer {
  if (length <= SMALL || length > LARGE) return Buffer.allocUnsafe(length);
  shared ??= Buffer.allocUnsafeSlow(LARGE);
  return shared.subarray(0, length);
}

/** The last memory is still needed: the next call returns another buffer. */
export function keepAllocated(): void {
  shared = undefined;
}

/** Writes a text for the web server's error log to standard error. */
export function printStderr(text: string): void {
  process.stderr.write(text.endsWith("\n") ? text : `${text}\n`);
}
