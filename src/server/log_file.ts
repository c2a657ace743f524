/**
 * A log file that many processes append to, and that log rotation may take away.
 *
 * @module
 */
import { closeSync, fstatSync, openSync, statSync, writeSync } from "node:fs";
import process from "node:process";

/** Milliseconds between two looks whether the file is still the one at its path. */
const LOOK_MS = 1000;
/** Characters that are held for one write at most. */
const MAX_HELD = 32 * 1024;

/** Appends text, whole lines at a time, to a file that is opened again when it was renamed or removed. */
export class LogFile {
  readonly path: string;
  #fd: number | undefined;
  #lookedAt = 0;
  #held = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @throws {Error} when the file cannot be written */
  constructor(path: string) {
    this.path = path;
    this.#open();
    process.on("exit", () => this.flush());
  }

  /** Writes now. @throws {Error} when it cannot be written */
  write(text: string): void {
    this.#look();
    writeSync(this.#fd!, text);
  }

  /** Writes with others, after at most this many milliseconds. What cannot be written is lost. */
  writeSoon(text: string, milliseconds = 200): void {
    this.#held += text;
    if (this.#held.length >= MAX_HELD) return this.flush();
    this.#timer ??= setTimeout(() => this.flush(), milliseconds);
    this.#timer.unref?.();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#held === "") return;
    const text = this.#held;
    this.#held = "";
    try {
      this.write(text);
    } catch {
      // A full disk must not stop the site.
    }
  }

  /** Opens the file again. */
  reopen(): void {
    this.flush();
    this.#open();
  }

  #look(): void {
    const now = Date.now();
    if (now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    const there = statSync(this.path, { throwIfNoEntry: false });
    const open = fstatSync(this.#fd!);
    if (there?.ino !== open.ino || there.dev !== open.dev) this.#open();
  }

  #open(): void {
    const fd = openSync(this.path, "a");
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = fd;
  }
}
