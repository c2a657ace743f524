/**
 * A worker's part that serves the application: all of a process, or of a thread.
 *
 * @module
 */
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { type Embedded, ownPathsOf } from "../app/application.ts";
import { StandInApp } from "../app/loader.ts";
import { makeApplication } from "../app/make_application.ts";
import type { Log } from "../app/log.ts";
import { pagesFolder } from "../app/pages.ts";
import { Room } from "../app/room.ts";
import { servingOf } from "../app/serving.ts";
import type { Board } from "../supervisor/board.ts";
import { processChannel, threadChannel } from "../supervisor/channel.ts";
import { RunningWorker } from "../supervisor/worker.ts";
import type { Handover } from "./handover.ts";
import { makeSite } from "../app/site.ts";

/** Loads the application, serves it, and resolves with the exit status. */
export async function serveSite(
  { app: file, options, thread = 0, mustLoad = false, standsIn }: Handover,
  { embedded, fd, log, grace, board }: {
    embedded: Embedded | undefined;
    fd: number;
    log: Log;
    grace: number;
    board: Board | undefined;
  },
): Promise<number> {
  const pages = pagesFolder(options, file);
  const { serve, monitor, lifetime, reopen } = servingOf(options, log, ownPathsOf(file), pages);
  const channel = thread === 0 ? processChannel() : threadChannel();
  const worker = new RunningWorker({ channel, serve, monitor, lifetime, mustLoad, thread, fd, grace, board, reopen });
  if (isMainThread) process.on("SIGTERM", () => worker.end(grace));
  const application = standsIn === undefined
    ? await makeApplication(file, options, embedded, log)
    : new StandInApp(file ?? "the application", standsIn, { log, debug: options.debug });
  const room = new Room(log, (reason) => channel.send({ type: "expired", what: "stuck", reason }));
  const status = { name: file ?? "the application", pool: () => worker.pool(), isLoaded: () => worker.loaded };
  const site = await makeSite(application.handler, { file, options, embedded, pages, log, status });
  return await worker.run(application, room.answering(site));
}
