/**
 * The arguments of this process: an application that it loads sees others.
 *
 * @module
 */
import process from "node:process";

/** As `process.argv` was when the process began: the runtime, the program and its words. */
export const ownArguments: readonly string[] = [...process.argv];

/** From now on, `process.argv` is as if a runtime had been started with a file alone. */
export function beMain(file: string): void {
  // In place: Deno keeps another reference to it.
  process.argv.splice(1, process.argv.length, file);
}
