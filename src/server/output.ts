/**
 * What leaves: memory for encoded responses, and texts that no web server takes.
 *
 * Memory is one buffer for all, as long as the sockets take at once what is written. A buffer of its
 * own for each large response would cost more in garbage than the response itself.
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

/** Memory that is free until the next call, or until it is kept. */
export function allocate(length: number): Buffer {
  if (length <= SMALL || length > LARGE) return Buffer.allocUnsafe(length);
  shared ??= Buffer.allocUnsafeSlow(LARGE);
  return shared.subarray(0, length);
}

/** What was allocated last is still needed: the next call gives other memory. */
export function keepAllocated(): void {
  shared = undefined;
}

/** Writes a text for the web server's error log to standard error. */
export function printStderr(text: string): void {
  process.stderr.write(text.endsWith("\n") ? text : `${text}\n`);
}
