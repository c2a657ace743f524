/**
 * The application, ready to be loaded. Only what serves it imports this: it takes most of the program's code.
 *
 * @module
 */
import process from "node:process";
import type { ExecRunner } from "../handlers/exec_process.ts";
import { LateApplication, variablesFrom } from "../options/env_from.ts";
import type { Options } from "../options/options.ts";
import type { WorkerApplication } from "../supervisor/worker.ts";
import { type Embedded, INSIDE, programsIn } from "./application.ts";
import { setEnvironment } from "./env_file.ts";
import { AppFile, AppSearch, EmbeddedApp } from "./loader.ts";
import type { Log } from "./log.ts";
import { findApp, placesOf } from "./places.ts";
import { programFile } from "./program_file.ts";

/**
 * The application, ready to be loaded.
 *
 * @param runner who runs the program of `exec`, if that is not this process
 */
export async function makeApplication(
  file: string | undefined,
  options: Options,
  embedded: Embedded | undefined,
  log: Log,
  runner?: ExecRunner,
): Promise<WorkerApplication> {
  const { envfrom } = options;
  const application = await makeNow(file, options, embedded, log, runner);
  if (envfrom === undefined) return application;
  return new LateApplication(application, (params) => {
    Object.assign(process.env, variablesFrom(params, envfrom));
    // What the words say counts for more.
    setEnvironment(options);
  });
}

async function makeNow(
  file: string | undefined,
  { exec, debug, preview }: Options,
  embedded: Embedded | undefined,
  log: Log,
  runner: ExecRunner | undefined,
): Promise<WorkerApplication> {
  if (exec !== undefined) {
    const { ExecProgram } = await import("../handlers/exec.ts");
    const program = new ExecProgram(exec, log, undefined, runner);
    return {
      handler: program.handler,
      load: (mustLoad) => program.load(mustLoad),
      modules: () => programsIn(exec),
      stop: (grace) => program.stop(grace),
    };
  }
  if (embedded) return new EmbeddedApp(file ?? INSIDE, embedded.load, { log, debug });
  // It may be there by now.
  const found = file ?? findApp(programFile());
  if (found !== undefined) return new AppFile(found, { log, debug });
  const { welcomePage } = await import("./welcome.ts");
  const page = welcomePage(programFile(), debug || preview !== undefined);
  const { handler } = new AppSearch(programFile(), page, { log, debug });
  return { handler, load: () => Promise.resolve(undefined), modules: () => placesOf(programFile()) };
}
