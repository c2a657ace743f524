/**
 * Visitors of a web server who ask for one page after the other, and the results.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { ask } from "./http.ts";
import { until } from "./program.ts";

/** Milliseconds between two requests of one: leaves time for processes that start meanwhile. */
export const PAUSE_MS = 15;

/** They ask until they leave, at the end of the block at the latest. */
export class Visitors {
  /** Answers by their text. */
  readonly answers = new Map<string, number>();
  /** The texts of the answers that came last. */
  last: string[] = [];
  /** Failed requests, and the era in which they were made. */
  readonly failures: { what: string; era: number }[] = [];
  /** For the test to count, so that it knows of failures what they came after. */
  era = 0;
  #over = false;
  readonly #all: Promise<void>[];
  /** How often each was answered. */
  readonly #turns: number[];

  constructor(port: number, count: number) {
    this.#turns = new Array(count).fill(0);
    this.#all = Array.from({ length: count }, (_, visitor) => this.#visit(port, visitor));
  }

  /** Requests that were answered. */
  get answered(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Resolves when each was answered several times, and by nobody new: none waits for a program that is starting. */
  async settled(times = 5): Promise<void> {
    let before: number[] = [];
    let texts = -1;
    await until("every visitor is answered, and by nobody new", () => {
      if (this.answers.size !== texts) [texts, before] = [this.answers.size, [...this.#turns]];
      return this.#turns.every((count, visitor) => count >= before[visitor] + times);
    });
  }

  async #visit(port: number, visitor: number): Promise<void> {
    while (!this.#over) {
      const { era } = this;
      try {
        const { status, text } = await ask(port, "/");
        if (status !== 200) throw new Error(`${status} ${text.slice(0, 200)}`);
        this.answers.set(text, (this.answers.get(text) ?? 0) + 1);
        this.last = [text, ...this.last.slice(0, 15)];
        this.#turns[visitor]++;
      } catch (error) {
        this.failures.push({ what: (error as Error).message, era });
      }
      await delay(PAUSE_MS);
    }
  }

  async leave(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#all);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }
}
