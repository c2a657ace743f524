/**
 * Received bytes that nobody needs any more.
 *
 * Each read gives a buffer outside the heap, of which V8 sees a few bytes. It lets them gather until its young generation
 * is full of other things: an upload of 1 GiB at 2 GB/s takes about 100 MiB, though no more than 256 KiB are ever in use. A
 * collection of the young generation now and then, a tenth of a millisecond to one, keeps that lower. Bun counts such buffers
 * itself.
 *
 * @module
 */
import process from "node:process";
import { runtime } from "./name.ts";

/** Received bytes between two collections. */
const INTERVAL = 8 * 1024 * 1024;
/** The part of the time that collections may take, and how many milliseconds of it they may save up. */
const SHARE = 0.01;
const SAVED_MS = 100;
/** After a collection that stops all requests for so many milliseconds, so many pass before the next. */
const LONG_MS = 10;
const REST_MS = 60_000;

/** Decides when to collect: never for more than 1 % of the time. */
export class Collecting {
  readonly #collect: () => void;
  readonly #now: () => number;
  readonly #used: () => number;
  #received = 0;
  /** Milliseconds that collections may take, as of {@linkcode #at}. */
  #left = SAVED_MS;
  #at: number;
  #notBefore = 0;

  /**
   * @param now milliseconds of a clock
   * @param used milliseconds of processor time: on a busy machine, a collection waits for the processor and is not long
   */
  constructor(collect: () => void, now: () => number = performance.now.bind(performance), used: () => number = processorTime) {
    this.#collect = collect;
    this.#now = now;
    this.#used = used;
    this.#at = now();
  }

  /** Counts received bytes. */
  count(length: number): void {
    this.#received += length;
    if (this.#received < INTERVAL) return;
    this.#received = 0;
    const begun = this.#now();
    this.#left = Math.min(SAVED_MS, this.#left + SHARE * (begun - this.#at));
    this.#at = begun;
    if (this.#left <= 0 || begun < this.#notBefore) return;
    const used = this.#used();
    this.#collect();
    const cost = Math.min(this.#now() - begun, this.#used() - used);
    this.#left -= cost;
    if (cost > LONG_MS) this.#notBefore = begun + REST_MS;
  }
}

/** Of this thread, where the runtime tells that: others may be busy meanwhile. Deno tells it in steps of 10 ms, right on average. */
function processorTime(): number {
  const { user, system } = process.threadCpuUsage?.() ?? process.cpuUsage();
  return (user + system) / 1000;
}

type Collect = (options: { type: "minor" }) => void;

/** Deno gives access to its collector only if it was started with this. */
const DENO_VARIABLE = "DENO_V8_FLAGS";
const DENO_FLAGS = "--expose-gc";

// Nothing that the application starts is to inherit it.
if (process.env[DENO_VARIABLE] === DENO_FLAGS) delete process.env[DENO_VARIABLE];

/** Environment with which another process of the program finds its collector. */
export function collectorEnvironment(): Record<string, string> {
  return runtime.name === "Deno" && process.env[DENO_VARIABLE] === undefined ? { [DENO_VARIABLE]: DENO_FLAGS } : {};
}

let collecting: Collecting | undefined;
let found = false;

/** Counts received bytes, and collects when that is due. */
export function countReceived(length: number): void {
  if (!found) {
    found = true;
    const collect = findCollect();
    if (collect) collecting = new Collecting(() => collect({ type: "minor" }));
  }
  collecting?.count(length);
}

function findCollect(): Collect | undefined {
  if (runtime.name === "Bun") return undefined;
  const exposed = (globalThis as { gc?: Collect }).gc;
  // Deno's collector in another context knows no type: it stops all requests for as long as the whole heap takes.
  if (exposed || runtime.name === "Deno") return exposed;
  try {
    // Bun, which needs none of this, would load it at its start.
    const [v8, vm] = [process.getBuiltinModule("node:v8"), process.getBuiltinModule("node:vm")];
    // A new context gets the function while the flag is set, so Node need not be started with it.
    v8.setFlagsFromString("--expose-gc");
    const gc: unknown = vm.runInNewContext("gc");
    v8.setFlagsFromString("--no-expose-gc");
    return typeof gc === "function" ? gc as Collect : undefined;
  } catch {
    return undefined;
  }
}

/** Milliseconds after which nothing of the start is under way. */
const STARTED_MS = 1000;

/**
 * Gives back, a second later, what only the start has needed. On Bun that ends with the code compiled so far, so it is for a
 * process or thread that has little to do, and no requests.
 */
export function shrinkSoon(): void {
  const { Bun: bun } = globalThis as { Bun?: { shrink(): void } };
  if (bun) setTimeout(() => bun.shrink(), STARTED_MS).unref?.();
}
