/**
 * A debugger is for the application: one that this process was started with goes to the worker.
 *
 * @module
 */
import process from "node:process";
import { UsageError } from "../options/arguments.ts";
import type { Options } from "../options/options.ts";
import { takeInspector } from "../runtime/inspect.ts";
import { bindFor, whenFree } from "../runtime/listen.ts";
import { become } from "../runtime/reexec.ts";
import { ownCommand } from "./handover.ts";

const VARIABLE = "RUNFCGI_INSPECT";

/** Milliseconds in which a debugger that is just ending has to give up its port. */
const RELEASE_MS = 1000;

/**
 * Options that a debugger asks for. If this process itself has one, it starts again in its place without it, so that the port
 * is free for the worker.
 *
 * @throws {UsageError} when there are to be several workers
 * @throws {ListenError} when the port is taken, also by the server whose place this one is to take: each worker would end for it
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
  const { host: hostname, port } = inspect;
  (await whenFree(() => bindFor({ transport: "tcp", hostname, port }), RELEASE_MS)).release();
  // Whoever looks at variables takes longer.
  return { threads: 1, timeout: 0 };
}
