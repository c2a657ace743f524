/**
 * The bytes of a `Response` that the platform holds.
 *
 * @module
 */
import { runtime } from "../runtime/name.ts";

const { arrayBuffer } = globalThis.Response.prototype;

/** Takes them out, by the platform's own method: that of a subclass may return bytes that it keeps. */
export async function takeBytes(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await arrayBuffer.call(response));
}

/**
 * Frees bytes that were taken: the next response gets the same memory, which the processor's caches still hold. Garbage
 * would wait for the collector in memory of its own. Only on Bun: on Deno the clones of a response share its bytes.
 */
export function freeBytes({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (runtime.name === "Bun") buffer.transfer(0);
}
