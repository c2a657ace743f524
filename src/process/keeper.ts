/**
 * The process that runs the program of `exec` for all processes of a site that a web server has started.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { dropInLog, filesOfProgram } from "../app/application.ts";
import type { Log } from "../app/log.ts";
import { temporaryFolder } from "../handlers/exec_process.ts";
import { keepProgram, SharedProgram } from "../handlers/exec_shared.ts";
import type { Options } from "../options/options.ts";
import { childCommand, type Handover, handoverEnvironment } from "./handover.ts";

/** Seconds that the program has to end, unless told otherwise. */
const GRACE = 10;

/** The program of this site, run by the keeper of all its processes. */
export function sharedProgram(options: Options, log: Log): SharedProgram {
  const path = keeperSocket(options);
  const startKeeper = () => {
    const [program, ...words] = childCommand();
    const keeper = spawn(program, words, {
      env: { ...process.env, ...handoverEnvironment({ role: "keeper", options, keeper: path }) },
      // It outlives this process, and logs where this one does.
      detached: true,
      stdio: ["ignore", "ignore", "inherit"],
    });
    keeper.on("error", (error) => log.write(`Cannot start the process that runs "${options.exec}": ${error.message}`));
    keeper.unref();
  };
  return new SharedProgram(path, startKeeper, (text) => log.write(text));
}

/** Variables that differ between processes of one site, or that the runtime was given. */
const ofProcess =
  /^(?:_|SHLVL|OLDPWD|INVOCATION_ID|JOURNAL_STREAM|DENO_V8_FLAGS|NODE_COMPILE_CACHE|UV_\w+|GOMAXPROCS|(?:RUNFCGI|BUN|LISTEN|PASSENGER)_\w+)$/;

/** The same for all processes with the same files, options and environment; another after one of these has changed. */
function keeperSocket(options: Options): string {
  const files = filesOfProgram(options).map((file) => {
    const { mtimeMs, ino } = statSync(file, { throwIfNoEntry: false }) ?? {};
    return [file, mtimeMs, ino];
  });
  const environment = Object.entries(process.env).filter(([name]) => !ofProcess.test(name)).sort();
  const site = JSON.stringify([options, process.cwd(), files, environment]);
  const hash = createHash("sha256").update(site).digest("hex").slice(0, 16);
  return join(temporaryFolder(), `runfcgi-exec-${process.getuid?.()}-${hash}`, "keeper");
}

/** Runs the program until nobody uses it any more, or a signal comes. */
export async function keep({ options, keeper }: Handover): Promise<number> {
  const log = dropInLog(options.errlog, undefined);
  const stopped = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => stopped.resolve());
  // Web servers send these to all that they have started.
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"]) process.on(signal, () => {});
  await keepProgram(options.exec!, keeper!, (text) => log.write(text), options.grace ?? GRACE, stopped.promise);
  return 0;
}
