/**
 * The entry of each process and thread of the program.
 *
 * @module
 */
import process from "node:process";
import type { Built } from "../app/application.ts";
import { markCompiled } from "../app/compiled.ts";
import { exitAfter } from "../process/exit.ts";
import { takeHandover } from "../process/handover.ts";
import { enableCompileCache } from "../runtime/compile_cache.ts";
import { beFrugal } from "../runtime/frugal.ts";
import { refuseDebugger } from "../runtime/inspect.ts";
import { runtime, unsupported } from "../runtime/name.ts";
import { PlainError } from "../runtime/plain_error.ts";
import { outliveReader } from "../runtime/stderr.ts";

/** Runs the program to its end and exits the process. */
export async function main(built: Built = {}): Promise<void> {
  beFrugal(built.compiled?.target !== undefined);
  enableCompileCache();
  if (built.compiled) markCompiled(built.compiled);
  await exitAfter(() => run(built));
}

/** Loads only what the process's role needs, since there are many workers. */
async function run(built: Built): Promise<number> {
  const problem = unsupported();
  if (problem !== undefined) throw new PlainError(problem);
  const handover = takeHandover();
  // A supervisor on Bun does without these streams.
  if (runtime.name !== "Bun" || handover?.role === "worker") outliveReader();
  if (handover?.options?.inspect === undefined) refuseDebugger();
  const { app } = built;
  switch (handover?.role) {
    case "supervisor":
      return await (await import("../process/supervise.ts")).supervise(handover, app, true);
    case "successor":
      return await (await import("./program.ts")).succeed(process.argv.slice(2), built, handover);
    case "worker":
    case "thread":
      return await (await import("../process/work.ts")).work(handover, app);
    case "options":
      return await (await import("../process/app_options.ts")).tellAppOptions(handover, app);
    case "keeper":
      return await (await import("../process/keeper.ts")).keep(handover);
    case "check":
      return await (await import("../doctor/loading.ts")).tellApplication(handover.app!);
    default:
      return await (await import("./program.ts")).runProgram(process.argv.slice(2), built);
  }
}
