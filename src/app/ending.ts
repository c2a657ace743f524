/**
 * The end of an application: what it does when a server that listens gets SIGTERM.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { explain } from "./error_text.ts";
import type { Log } from "./log.ts";

/** Milliseconds that it has for that, once its requests are finished. */
const MAX_MS = 2000;

type Listener = (signal: NodeJS.Signals, number: number) => unknown;

/**
 * Calls what an application has listen to SIGTERM when the process ends without a signal. Whoever asks, its
 * `process.exit()` only says that it is done: there may be requests under way that it knows nothing of.
 */
export class Ending {
  readonly #own = new Set(process.listeners("SIGTERM"));
  readonly #exited = Promise.withResolvers<void>();
  /** Listeners that the signal itself has called. */
  #signalled: Listener[] | undefined;
  #exit: typeof process.exit | undefined;

  /** To be made before the application is loaded. */
  constructor() {
    const noted = () => {
      this.#signalled = this.#listeners();
      this.#holdExit();
    };
    process.once("SIGTERM", noted);
    this.#own.add(noted);
  }

  #listeners(): Listener[] {
    return process.listeners("SIGTERM").filter((listener) => !this.#own.has(listener)) as Listener[];
  }

  #holdExit(): void {
    this.#exit ??= process.exit;
    process.exit = (() => this.#exited.resolve()) as typeof process.exit;
  }

  /**
   * Has it clean up when no request is under way, and waits until it has: until the promises that its listeners return are
   * settled, or for its `process.exit()`.
   *
   * @param grace seconds that it has at most
   */
  async come(grace: number, log: Log): Promise<void> {
    const listeners = this.#signalled ?? this.#listeners();
    if (listeners.length > 0) {
      this.#holdExit();
      const called = this.#signalled ? [false] : listeners.map((listener) => call(listener, log));
      const settled = Promise.all(called).then((known) => known.every(Boolean) ? undefined : this.#exited.promise);
      const over = new AbortController();
      const limit = sleep(Math.min(grace * 1000, MAX_MS), undefined, { signal: over.signal }).catch(() => {});
      await Promise.race([this.#exited.promise, settled, limit]);
      over.abort();
    }
    if (this.#exit) process.exit = this.#exit;
  }
}

/** Whether the end of what a listener does is known. */
async function call(listener: Listener, log: Log): Promise<boolean> {
  try {
    const returned = listener.call(process, "SIGTERM", 15);
    await returned;
    return typeof (returned as PromiseLike<unknown> | undefined)?.then === "function";
  } catch (error) {
    log.write(`The application's listener of SIGTERM failed: ${explain(error)}`);
    return true;
  }
}
