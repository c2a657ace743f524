/**
 * Which application the words mean.
 *
 * @module
 */
import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import process from "node:process";
import { runtime } from "../runtime/name.ts";
import type { WorkerApplication } from "../supervisor/worker.ts";
import { AppFile, AppSearch, findApp, handlerOf } from "./app.ts";
import type { Log } from "./log.ts";
import { UsageError } from "./options.ts";
import { welcome } from "./welcome.ts";

/** An application inside the program: the exports of its module. */
export type Embedded = Record<string, unknown>;

/** What is to be served. */
export interface ChosenApp {
  /** For messages. */
  name: string;
  /** The file, if it is one. */
  file?: string;
}

/**
 * Finds the application that was named, or else the one beside the program.
 *
 * @param byHand whether a person waits for an answer
 * @throws {UsageError} when a person named a file that is not there
 */
export function chooseApp(file: string | undefined, embedded: Embedded | undefined, byHand: boolean): ChosenApp {
  if (embedded) return { name: "the application inside this program" };
  if (file !== undefined && byHand && !statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(`there is no file "${file}"`);
  }
  const found = file ?? findApp(programFile());
  return found === undefined ? { name: "the welcome page" } : { name: found, file: resolve(found) };
}

/** Files that no visitor may read, those that are looked for included. */
export function sourcesOf(file: string | undefined, embedded: Embedded | undefined): string[] {
  if (embedded) return [process.execPath];
  return file === undefined ? [programFile(), "app.ts"] : [file];
}

/** The application, ready to be loaded. */
export function makeApplication(file: string | undefined, embedded: Embedded | undefined, log: Log): WorkerApplication {
  const nothing = { load: () => Promise.resolve(undefined), modules: () => [] };
  if (embedded) return { ...nothing, handler: handlerOf(embedded, "The module") };
  if (file !== undefined) return new AppFile(file, log);
  return { ...nothing, handler: new AppSearch(programFile(), welcome, log).handler };
}

/** The file that the user started: the compiled program, or the script that the runtime was given. */
export function programFile(): string {
  return isCompiled() ? process.execPath : process.argv[1] ?? "";
}

/** Whether the program is one file with its runtime inside. */
export function isCompiled(): boolean {
  return !/^(deno|bun|node|nodejs)(\.exe)?$/.test(basename(process.execPath));
}

/** How a user starts the program, for examples. */
export function programWords(): string {
  if (isCompiled()) return basename(process.execPath);
  return { Deno: "deno run -A mod.ts", Bun: "bun mod.ts", Node: "node mod.ts" }[runtime.name];
}
