/**
 * A debugger is for the application: one that this process was started with goes to the worker.
 *
 * @module
 */
import process from "node:process";
import { UsageError } from "../options/arguments.ts";
import type { Options } from "../options/options.ts";
import { takeInspector } from "../runtime/inspect.ts";
import { become } from "../runtime/reexec.ts";
import { ownCommand } from "./handover.ts";

const VARIABLE = "RUNFCGI_INSPECT";

/**
 * Options that a debugger asks for. If this process itself has one, it starts again in its place without it, so that the port
 * is free for the worker.
 *
 * @throws {UsageError} when there are to be several workers
 */
export async function startInspected({ inspect, threads = 1, method = "threaded" }: Options): Promise<Options> {
  const own = takeInspector(ownCommand());
  if (own) {
    const { host, port, wait } = own.inspector;
    const environment = { ...process.env, [VARIABLE]: `${host}:${port}${wait ? ",wait" : ""}` };
    await become(own.rest, environment, [], () => false);
  }
  if (inspect === undefined) return {};
  if (threads > 1 || method !== "threaded") throw new UsageError("inspect is for one worker: leave out threads and method");
  // Whoever looks at variables takes longer.
  return { threads: 1, timeout: 0 };
}
