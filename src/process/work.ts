/**
 * Workers: processes and threads that run the application.
 *
 * @module
 */
import { extname } from "node:path";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { takeInherited } from "../runtime/descriptor.ts";
import { forgetInspector } from "../runtime/inspect.ts";
import { warmUp } from "../runtime/modules.ts";
import { Board } from "../supervisor/board.ts";
import { processChannel, threadChannel, toBegin } from "../supervisor/channel.ts";
import { Threads } from "../supervisor/threads.ts";
import { RunningWorker } from "../supervisor/worker.ts";
import { type Embedded, makeApplication, ownPathsOf } from "../app/application.ts";
import { isBundled } from "../app/compiled.ts";
import type { Handover } from "./handover.ts";
import { Log } from "../app/log.ts";
import { Room } from "../app/room.ts";
import { DEFAULT_GRACE, servingOf, setEnvironment } from "../app/serving.ts";
import { pagesFolder } from "../app/pages.ts";
import { makeSite } from "./site.ts";

/** Serves as the supervisor says and resolves with the exit status. */
export async function work(handover: Handover, embedded: Embedded | undefined): Promise<number> {
  const { options, app: file, mustLoad = false } = handover;
  // The supervisor writes the file: it reads what is written here.
  const log = new Log(options.errlog, { file: false });
  const grace = options.grace ?? DEFAULT_GRACE;
  const board = handover.board === undefined ? undefined : Board.open(handover.board);
  const fd = isMainThread ? await takeInherited(handover.fd!) : handover.fd!;
  if (isMainThread) {
    ignoreSignals();
    if (options.inspect) forgetInspector();
    if (handover.waits) {
      warmUp();
      if (!await toBegin()) return 0;
    }
    setEnvironment(options);
    const { threads = 1 } = options;
    if (threads > 1) return await runThreads({ ...handover, fd }, threads, grace, log, board);
  }
  const pages = pagesFolder(options, file);
  const { serve, monitor, lifetime, reopen } = servingOf(options, log, ownPathsOf(file), pages);
  const thread = handover.thread ?? 0;
  const channel = thread === 0 ? processChannel() : threadChannel();
  const worker = new RunningWorker({ channel, serve, monitor, lifetime, mustLoad, thread, fd, grace, board, reopen });
  if (isMainThread) process.on("SIGTERM", () => worker.end(grace));
  const application = makeApplication(file, options, embedded, log);
  const room = new Room(log, (reason) => channel.send({ type: "expired", what: "stuck", reason }));
  const status = { name: file ?? "the application", pool: () => worker.pool(), isLoaded: () => worker.loaded };
  const site = makeSite(application.handler, { file, options, embedded, pages, log, status });
  return await worker.run(application, room.answering(site));
}

/** Signals of a terminal or of systemd reach all processes; the supervisor decides. */
function ignoreSignals(): void {
  for (const signal of ["SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGQUIT"] as const) {
    process.on(signal, () => {});
  }
}

async function runThreads(
  handover: Handover,
  count: number,
  grace: number,
  log: Log,
  board: Board | undefined,
): Promise<number> {
  const { options, mustLoad = false } = handover;
  const here = new URL(import.meta.url);
  const threads = new Threads({
    channel: processChannel(),
    count,
    fd: handover.fd!,
    module: isBundled() ? here : new URL(`./thread${extname(here.pathname)}`, here),
    data: (thread, mustLoad) => ({ runfcgi: { ...handover, role: "thread", thread, mustLoad } satisfies Handover }),
    mustLoad,
    board,
    grace,
    timeout: options.timeout || undefined,
    log: (text) => log.write(text),
  });
  process.on("SIGTERM", () => threads.end(grace));
  return await threads.run();
}
