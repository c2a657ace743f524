/**
 * An application that a command asks without a server: it is served in this process, on a socket that nobody else finds.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { type Built, chooseApp, ownPathsOf } from "../app/application.ts";
import { makeApplication } from "../app/make_application.ts";
import { Log } from "../app/log.ts";
import { pagesFolder } from "../app/pages.ts";
import { servingOf } from "../app/serving.ts";
import { setEnvironment } from "../app/env_file.ts";
import type { Options } from "../options/options.ts";
import { readAppOptions } from "./app_options.ts";
import { runAsOwner } from "./as_owner.ts";
import { startAsProject } from "./as_project.ts";
import { privateSocket } from "./choose_endpoint.ts";
import { loadedHere } from "./loaded_here.ts";
import { makeSite } from "../app/site.ts";
import type { Address } from "../runtime/socket.ts";
import { serveWorker } from "../server/serve.ts";

/** Seconds that work has which goes on after the responses. */
const GRACE = 30;

/**
 * Serves an application with the options that it exports, but for its logs, while `use` runs. What the application prints
 * goes to standard error, since standard output is the response's.
 *
 * @returns the exit status of `use`
 * @throws {CommandError} with curl's status for a failed connection when it cannot be loaded
 */
export async function servedHere(
  app: string | undefined,
  given: Options,
  { app: embedded }: Built,
  use: (address: Address) => Promise<number>,
): Promise<number> {
  const { name, file } = chooseApp({ app }, embedded, true);
  const status = file === undefined ? undefined : runAsOwner(file);
  if (status !== undefined) return status;
  await startAsProject(file);
  for (const method of ["log", "info", "debug"] as const) console[method] = console.error;
  const options: Options = { ...await readAppOptions(file, embedded, given), ...given };
  for (const log of ["errlog", "accesslog", "slowlog", "capture"] as const) delete options[log];
  setEnvironment(options);
  const log = new Log();
  const pages = pagesFolder(options, file);
  const { serve } = servingOf(options, log, ownPathsOf(file), pages);
  const application = await makeApplication(file, options, embedded, log);
  // With envfrom it is loaded by the request.
  return await loadedHere(application, { name, status: 7, loadtimeout: options.loadtimeout }, async () => {
    const socket = privateSocket();
    const server = await serveWorker(
      { ...serve, socket },
      await makeSite(application.handler, { file, options, embedded, pages, log }),
    );
    try {
      return await use({ transport: "unix", path: socket });
    } finally {
      await server.shutdown(GRACE);
      await application.stop?.(GRACE);
      rmSync(dirname(socket), { recursive: true, force: true });
    }
  });
}
