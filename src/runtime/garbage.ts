/**
 * Received bytes that nobody needs any more.
 *
 * Each read gives a buffer outside the heap, of which a garbage collector sees a few bytes. V8 lets them gather until its
 * young generation is full of other things: an upload of 1 GiB then takes up to 300 MiB, though no more than 256 KiB are
 * ever in use. With a collection now and then it takes 40 MiB at most.
 *
 * @module
 */
import v8 from "node:v8";
import vm from "node:vm";

const MIB = 1024 * 1024;

/** What collects, and after how many received bytes it pays. */
interface Collector {
  interval: number;
  collect(): void;
}

let collector: Collector | undefined;
let received = 0;

/** Counts received bytes. */
export function countReceived(length: number): void {
  received += length;
  if (received < 16 * MIB) return;
  collector ??= findCollector();
  if (received < collector.interval) return;
  received = 0;
  collector.collect();
}

function findCollector(): Collector {
  const { Bun: bun } = globalThis as { Bun?: { gc(wait: boolean): void } };
  // Waited for, since the collection in the background comes too late: 4 ms each.
  if (bun) return { interval: 32 * MIB, collect: () => bun.gc(true) };
  try {
    // A new context gets the function while the flag is set, so the program need not be started with it.
    v8.setFlagsFromString("--expose-gc");
    const gc: unknown = vm.runInNewContext("gc");
    v8.setFlagsFromString("--no-expose-gc");
    if (typeof gc === "function") return { interval: 16 * MIB, collect: () => gc({ type: "minor" }) };
  } catch {
    // A runtime that does not let us.
  }
  return { interval: Infinity, collect: () => {} };
}
