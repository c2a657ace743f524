/**
 * The arguments of this process: an application that it loads sees others.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";

const [module, starter] = ["../../mod.ts", "../cli/start.ts"].map((file) => fileURLToPath(new URL(file, import.meta.url)));

/**
 * As `process.argv` was when the process began: the runtime, the program and its words. `mod.ts` is the program also where
 * {@linkcode startedFile} started it.
 */
export const ownArguments: readonly string[] = process.argv.map((word, i) => i === 1 && word === starter ? module : word);

/** What the program's own processes are started with: of `mod.ts`, they need the program, and not the library. */
export const startedFile: string | undefined = ownArguments[1] === module ? starter : ownArguments[1];

/** From now on, `process.argv` is as if a runtime had been started with a file alone. */
export function beMain(file: string): void {
  // In place: Deno keeps another reference to it.
  process.argv.splice(1, process.argv.length, file);
}
