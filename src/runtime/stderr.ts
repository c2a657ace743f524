/**
 * Standard error of a supervisor. On Bun `process.stderr` takes 2 MiB of a process, with the streams that it consists of.
 *
 * @module
 */
import { fstatSync, statSync, writeSync } from "node:fs";
import process from "node:process";
import { runtime } from "./name.ts";

/** Whether `process.stderr` has it: it keeps what the reader does not take at once. */
let streamed = runtime.name !== "Bun";

/**
 * Has what nobody takes any more lost, when the reader of this process's output has gone: otherwise the next line that the
 * application prints would end the process. Only where the streams are used, since Bun makes them when they are named.
 */
export function outliveReader(): void {
  for (const [fd, name] of [[1, "stdout"], [2, "stderr"]] as const) {
    // What nobody reads has no reader to lose.
    if (runtime.name !== "Bun" || !isNothing(fd)) process[name].on("error", () => {});
  }
  // A log file that reaches the limit of its size would end the process; other runtimes ignore it.
  if (runtime.name === "Deno") process.on("SIGXFSZ", () => {});
  outliveFullDisk();
}

/** Whether a descriptor is `/dev/null`. */
function isNothing(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isCharacterDevice() && stats.rdev === statSync("/dev/null").rdev;
  } catch {
    return false;
  }
}

/** Has what the application prints lost in this thread where a disk is full: Deno's console throws then. */
function outliveFullDisk(): void {
  if (runtime.name !== "Deno") return;
  for (const [name, print] of Object.entries(console)) {
    if (typeof print !== "function") continue;
    const quietly = (...values: unknown[]) => {
      try {
        return print.apply(console, values);
      } catch (error) {
        if (!/\(os error \d+\)$/.test((error as Error | null)?.message ?? "")) throw error;
      }
    };
    Object.assign(console, { [name]: quietly });
  }
}

/** Writes to standard error. What nobody takes any more is lost. */
export function writeStderr(text: string | Uint8Array): void {
  let rest = typeof text === "string" ? new TextEncoder().encode(text) : text;
  try {
    while (!streamed && rest.length > 0) rest = rest.subarray(writeSync(2, rest));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
    streamed = true;
    outliveReader();
  }
  try {
    if (rest.length > 0) process.stderr.write(rest);
  } catch {
    // On Deno, where the disk is full.
  }
}

/** Whether standard error is a terminal, or another device besides `/dev/null`, which nobody reads. */
export function isScreen(): boolean {
  if (runtime.name !== "Bun") return process.stderr.isTTY === true;
  try {
    return fstatSync(2).isCharacterDevice() && !isNothing(2);
  } catch {
    return false;
  }
}
