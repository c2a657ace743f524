/**
 * Where each process and thread of the program begins.
 *
 * @module
 */
import process from "node:process";
import { beFrugal } from "../runtime/frugal.ts";
import { PlainError } from "../runtime/plain_error.ts";
import type { Built } from "./commands/commands.ts";
import { markCompiled } from "./compiled.ts";
import { takeHandover } from "./handover.ts";
import { UsageError } from "./words.ts";

/**
 * Runs the program to its end and exits the process: 0 when it did what was asked, 1 when it could not, 2 when the
 * words make no sense.
 */
export async function main(built: Built = {}): Promise<void> {
  beFrugal();
  if (built.compiled) markCompiled();
  try {
    process.exit(await run(built));
  } catch (error) {
    const text = error instanceof PlainError ? error.message : (await import("./explain.ts")).explain(error);
    process.stderr.write(`runfcgi: ${text}\n`);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

/** Loads what the role of the process needs and no more, since workers are many. */
async function run(built: Built): Promise<number> {
  const handover = takeHandover();
  const { app } = built;
  switch (handover?.role) {
    case "supervisor":
      return await (await import("./supervise.ts")).supervise(handover, app, true);
    case "successor":
      return await (await import("./program.ts")).succeed(process.argv.slice(2), built, handover);
    case "worker":
    case "thread":
      return await (await import("./work.ts")).work(handover, app);
    case "options":
      return await (await import("./app_options.ts")).tellAppOptions(handover, app);
    case "check":
      return await (await import("./commands/doctor/site.ts")).tellApplication(handover.app!);
    default:
      return await (await import("./program.ts")).runWords(process.argv.slice(2), built);
  }
}
