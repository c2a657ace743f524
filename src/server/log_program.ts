/**
 * A log written through another program: logger, for syslog, and systemd-cat, for the journal. Their sockets are of a kind that
 * Node cannot connect to.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

/** What writes lines. */
export interface LogTarget {
  /** Writes soon; what cannot be written is lost. */
  writeSoon(text: string): void;
  /** The log was moved away. */
  reopen(): void;
}

/** Programs by what they are called in options. */
const programs: Readonly<Record<string, (name: string) => [string, ...string[]]>> = {
  syslog: (name) => ["logger", "--tag", name, "--priority", "daemon.info", "--size", "8192"],
  journal: (name) => ["systemd-cat", `--identifier=${name}`, "--priority=info", "--level-prefix=false"],
};

/** Characters that wait for the program. */
const MAX_WAITING = 1024 * 1024;
/** Milliseconds between two starts of it. */
const AGAIN_MS = 1000;

/** Whether lines go to a program. */
export function isLogProgram(target: string): boolean {
  return Object.hasOwn(programs, target);
}

/** @throws {Error} when the program is not there */
export function expectLogProgram(target: string): void {
  const [program] = programs[target]("");
  const folders = (process.env.PATH || "/usr/bin:/bin").split(delimiter);
  if (folders.some((folder) => existsSync(join(folder, program)))) return;
  throw new Error(`"${target}" needs the program ${program}, which is not there: install it, or give the path of a file`);
}

/** Starts the program with the first line, and again if it ends. */
export class LogProgram implements LogTarget {
  readonly #command: [string, ...string[]];
  #child: ChildProcess | undefined;
  #startedAt = -Infinity;

  /** @param name of the site, which each line of the log begins with */
  constructor(target: string, name: string) {
    this.#command = programs[target](name);
  }

  writeSoon(text: string): void {
    this.#child ??= this.#start();
    const stdin = this.#child?.stdin;
    if (stdin && stdin.writableLength < MAX_WAITING) stdin.write(text);
  }

  reopen(): void {}

  #start(): ChildProcess | undefined {
    const now = performance.now();
    if (now - this.#startedAt < AGAIN_MS) return undefined;
    this.#startedAt = now;
    const [program, ...words] = this.#command;
    // Loaded where it is needed, since there are many workers.
    const { spawn } = process.getBuiltinModule("node:child_process");
    // It ends with the input, so that it takes what is written last; a signal of the terminal would end it before.
    const child = spawn(program, words, { stdio: ["pipe", "ignore", "inherit"], detached: true });
    const over = () => {
      if (this.#child === child) this.#child = undefined;
    };
    child.on("error", over).on("exit", over).unref();
    child.stdin!.on("error", over);
    (child.stdin as unknown as { unref?(): void }).unref?.();
    return child;
  }
}
