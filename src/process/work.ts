/**
 * Workers: processes and threads that run the application.
 *
 * @module
 */
import { extname } from "node:path";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import type { Embedded } from "../app/application.ts";
import { setEnvironment } from "../app/env_file.ts";
import { Log } from "../app/log.ts";
import { takeInherited } from "../runtime/descriptor.ts";
import { forgetInspector } from "../runtime/inspect.ts";
import { warmUp } from "../runtime/modules.ts";
import { Board } from "../supervisor/board.ts";
import { processChannel, toBegin } from "../supervisor/channel.ts";
import { DEFAULT_GRACE } from "../supervisor/crew.ts";
import { Threads } from "../supervisor/threads.ts";
import { compiled } from "../app/compiled.ts";
import type { Handover } from "./handover.ts";

/** Serves as the supervisor says and resolves with the exit status. */
export async function work(handover: Handover, embedded: Embedded | undefined): Promise<number> {
  const { options, waits, standsIn } = handover;
  // The supervisor writes the file: it reads what is written here.
  const log = new Log(options.errlog, { file: false, mark: handover.mark });
  const grace = options.grace ?? DEFAULT_GRACE;
  const board = handover.board === undefined ? undefined : Board.open(handover.board);
  const fd = isMainThread ? await takeInherited(handover.fd!) : handover.fd!;
  if (isMainThread) {
    ignoreSignals();
    if (options.inspect) forgetInspector();
    const { threads = 1 } = options;
    if (threads > 1 && standsIn === undefined) return await runThreads({ ...handover, fd }, threads, grace, log, board);
  }
  // A process with threads has no use for it itself.
  const { serveSite } = await import("./serve_site.ts");
  let { mustLoad } = handover;
  if (waits) {
    warmUp();
    const begin = await toBegin();
    if (begin === undefined) return 0;
    ({ mustLoad } = begin);
  }
  if (isMainThread || waits) setEnvironment(options);
  return await serveSite({ ...handover, mustLoad }, { embedded, fd, log, grace, board });
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
  const { options, mustLoad = false, waits = false } = handover;
  const here = compiled?.entry ?? new URL(`./thread${extname(import.meta.url)}`, import.meta.url);
  const threads = new Threads({
    channel: processChannel(),
    count,
    fd: handover.fd!,
    module: new URL(here),
    data: (thread, how) => ({ runfcgi: { ...handover, role: "thread", thread, ...how } satisfies Handover }),
    mustLoad,
    waits,
    onBegin: () => setEnvironment(options),
    board,
    grace,
    timeout: options.timeout || undefined,
    log: (text) => log.write(text),
  });
  process.on("SIGTERM", () => threads.end(grace));
  return await threads.run();
}
