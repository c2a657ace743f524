/**
 * An application that a command loads in its own process.
 *
 * @module
 */
import process from "node:process";
import { CommandError } from "../options/arguments.ts";
import { writeStderr } from "../runtime/stderr.ts";
import type { WorkerApplication } from "../supervisor/worker.ts";

/** Seconds that it has to load, unless `loadtimeout` says otherwise. */
const LOAD_SECONDS = 60;
/** What a timer can be set to. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Loads an application and uses it. One that ends the process or is never loaded is no success.
 *
 * @param status the exit status if it fails
 * @returns the exit status of `use`
 * @throws {CommandError} when it cannot be loaded
 */
export async function loadedHere(
  application: WorkerApplication,
  { name, status, loadtimeout = LOAD_SECONDS }: { name: string; status: number; loadtimeout?: number },
  use: () => Promise<number>,
): Promise<number> {
  const ended = (code: number) => {
    writeStderr(`runfcgi: ${name} ended the process with status ${code} before it answered\n`);
    process.exitCode = code || status;
  };
  process.on("exit", ended);
  const late = Promise.withResolvers<never>();
  const tooLate = new CommandError(`${name} has not been loaded within ${loadtimeout} s (loadtimeout)`, status);
  // Also keeps the process, which may have nothing else to wait for.
  const timer = setTimeout(() => late.reject(tooLate), loadtimeout > 0 ? loadtimeout * 1000 : LONGEST_MS);
  try {
    const failed = await Promise.race([application.load(), late.promise]);
    if (failed !== undefined) throw new CommandError(`${name} cannot be loaded`, status);
    clearTimeout(timer);
    return await use();
  } finally {
    clearTimeout(timer);
    process.off("exit", ended);
  }
}
