/**
 * The supervisor's process: what a supervisor has to know follows from the options.
 *
 * @module
 */
import process from "node:process";
import { labels } from "../protocol/protocol.ts";
import { shrinkSoon } from "../runtime/collect.ts";
import { takeInherited } from "../runtime/descriptor.ts";
import { inspected } from "../runtime/inspect.ts";
import { isSocketInPlace, removeSocket } from "../runtime/listen.ts";
import { formatAddress } from "../runtime/socket.ts";
import { isScreen, writeStderr } from "../runtime/stderr.ts";
import { accountFor } from "../supervisor/account.ts";
import { findBudget } from "../supervisor/budget.ts";
import type { ControlActions } from "../supervisor/control.ts";
import type { FromSupervisor } from "../supervisor/launch.ts";
import { removePidfile, writePidfile } from "../supervisor/pidfile.ts";
import type { PoolBounds } from "../supervisor/pool.ts";
import { type Output, Supervisor } from "../supervisor/supervisor.ts";
import { startSuccessor } from "../supervisor/takeover.ts";
import { allTold, monotonicTime, notify, startWatchdog } from "../supervisor/systemd.ts";
import type { Embedded } from "../app/application.ts";
import { programFile } from "../app/program_file.ts";
import { childCommand, type Handover, handoverEnvironment } from "./handover.ts";
import { unreadEnvFile } from "../app/env_file.ts";
import { Log, makeLogFiles } from "../app/log.ts";
import { copyPrinted, newMark } from "../app/printed.ts";
import { projectFiles } from "../app/project.ts";
import type { Options } from "../options/options.ts";
import { DEFAULT_GRACE } from "../supervisor/crew.ts";

/** Seconds that requests have when the process that was started is gone. */
const ORPHAN_GRACE = 1;
/** Milliseconds in which a second signal is the first one again: systemd signals all processes, and we forward it. */
const SAME_SIGNAL_MS = 300;
/** Milliseconds between two looks whether the socket is still in its place. */
const SOCKET_LOOK_MS = 1000;
/** Seconds that a worker has to load the application, if nobody says otherwise. */
const LOAD_SECONDS = 60;
/** Workers that are changed at once in a reload. */
const PARALLEL = 4;

/** How many workers there are, and what they are. */
interface Workers {
  method: "threaded" | "prefork";
  threads: number;
  bounds?: PoolBounds;
  /** Seconds without a request after which none runs; `undefined` for never. */
  idleExit?: number;
}

/** Seconds, where no process has to be kept ready. */
const IDLE_EXIT = 60;

/** Works out what the options leave open. */
function workersOf(options: Options): Workers {
  const { method = "threaded", maxchildren, minspare = 2, maxspare = 5, exec, idleexit = minspare === 0 ? IDLE_EXIT : 0 } =
    options;
  const idleExit = idleexit || undefined;
  const budget = findBudget();
  if (method === "threaded") {
    // Each thread would run the program of its own.
    const threads = options.threads ?? (exec === undefined ? Math.min(budget.threads, maxchildren ?? Infinity) : 1);
    return { method, threads, idleExit };
  }
  const maxChildren = maxchildren ?? Math.max(budget.maxChildren, minspare);
  // As long as there are visitors, one is ready for the next.
  const minSpare = Math.max(Math.min(minspare, maxChildren), 1);
  const bounds = { minSpare, maxSpare: Math.max(maxspare, minSpare), maxChildren };
  return { method, threads: options.threads ?? 1, bounds, idleExit };
}

/**
 * Supervises workers and resolves with the exit status.
 *
 * @param launcher whether another process has started this one and waits for its messages
 */
export async function supervise(
  { app: file, options, bound, fd, cwd, replaces, heldElsewhere, background = false, development = false }: Handover,
  embedded: Embedded | undefined,
  launcher: boolean,
): Promise<number> {
  const { pidfile, errlog, outlog, user, group } = options;
  const account = accountFor(user, group);
  const log = new Log(errlog, { stderr: !(background && errlog !== undefined), owner: account });
  const tell = (message: Exclude<FromSupervisor, { type: "up" }>) => {
    // Deno would drop it at the exit.
    if (launcher && process.connected) {
      return new Promise<void>((resolve) => process.send!(message, undefined, undefined, () => resolve()));
    }
    writeStderr(`runfcgi: ${message.type === "serving" ? message.text : message.reason}\n`);
  };
  const unread = unreadEnvFile(file, options);
  if (unread !== undefined) log.write(unread);
  const workers = workersOf(options);
  const output = outlog === undefined ? undefined : new Log(outlog, { stderr: false, owner: account });
  const mark = errlog === undefined ? undefined : newMark();
  const intoOutlog: Output = output === undefined ? "inherit" : (stream) => stream.on("data", (bytes) => output.copy(bytes));
  const intoLog: Output = mark === undefined ? "inherit" : (stream) => copyPrinted(stream, mark, (text) => log.copy(text));
  const name = options.exec ?? (embedded ? "the application inside this program" : file ?? "the welcome page");
  let served = false;
  let closePreview: (() => void) | undefined;
  let closeStatus: (() => Promise<void>) | undefined;
  /** Another server is about to take the place of this one: whether it has. */
  let succession: Promise<boolean> | undefined;
  /** Aborted with the first request to stop. */
  const stopping = new AbortController();
  let closeControl: (() => Promise<void>) | undefined;
  const control: ControlActions = {
    name,
    report: () => supervisor.report(),
    reload: async () => {
      while (succession) if (await succession) return { moved: true };
      const failure = await supervisor.reload();
      if (failure === undefined) return { text: "has taken over the new code" };
      // A restart was faster.
      if (await succession) return { moved: true };
      if (supervisor.stopping) return { error: failure };
      return { error: `${supervisor.serving ? "the old code still serves" : "no worker serves"}: ${failure}` };
    },
    restart: async ({ words, cwd: where = cwd }) => {
      if (!background) return { error: "it runs in the foreground: restart it where it was started, such as by systemctl" };
      while (succession) if (await succession) return { moved: true };
      if (supervisor.stopping) return { error: "it is stopping" };
      const { promise, resolve } = Promise.withResolvers<boolean>();
      succession = promise;
      const own = childCommand();
      const command = words ? [...own.slice(0, own.length - process.argv.slice(2).length), ...words] : own;
      const { done, text, tookSocket } = await startSuccessor({
        fd: socket,
        command,
        environment: (fd) =>
          handoverEnvironment({
            role: "successor",
            options: { secret: options.secret },
            bound,
            fd,
            replaces: process.pid,
            otherWords: !!words,
          }),
        cwd: where,
      }, stopping.signal);
      if (!done) succession = undefined;
      resolve(done);
      if (!done) {
        log.write(`Cannot restart, the old server still serves: ${text}`);
        return { error: text };
      }
      log.write("Another server has taken the place of this one, which finishes its requests");
      if (tookSocket) removeOwnSocket = () => {};
      else removeOwnSocket();
      closePreview?.();
      await closeStatus?.();
      supervisor.yield();
      return { text };
    },
  };
  /** Once only: the number of a file that is gone is soon that of another, a new server's socket. */
  let removeOwnSocket = () => {
    removeOwnSocket = () => {};
    // It is still the old server's.
    if (replaces !== undefined && !served) return;
    if (bound?.identity && bound.address.transport === "unix") removeSocket(bound.address.path, bound.identity, account);
  };
  const socket = launcher ? await takeInherited(fd!) : fd!;
  const { inspect } = options;
  const inspectorId = crypto.randomUUID();
  const debugged = () => inspect && inspected(childCommand(file), inspect, inspectorId);
  const supervisor = new Supervisor({
    fd: socket,
    command: () => debugged()?.command ?? childCommand(file),
    alone: inspect !== undefined,
    environment: ({ threads, ...how }) => ({
      ...debugged()?.environment,
      ...account?.name && { USER: account.name, LOGNAME: account.name, HOME: account.home },
      ...handoverEnvironment({
        role: "worker",
        app: file,
        options: withWorkers(options, { ...workers, threads }),
        bound,
        mark,
        ...how,
      }, account !== undefined),
    }),
    mustLoad: background,
    cwd: process.cwd(),
    ...workers,
    heldElsewhere,
    parallel: PARALLEL,
    account: account && { uid: account.uid, gid: account.gid },
    grace: options.grace ?? DEFAULT_GRACE,
    timeout: options.timeout || undefined,
    loadTimeout: (options.loadtimeout ?? LOAD_SECONDS) || undefined,
    stdout: intoOutlog,
    stderr: intoLog,
    // A program of exec starts once for each worker.
    development: development && options.exec === undefined,
    attended: !background && isScreen() && options.exec === undefined,
    files: options.watch === false ? undefined : [programFile(), ...file === undefined ? [] : [file]],
    readFirst: () => [programFile(), ...file === undefined ? [] : projectFiles(file)],
    log: (text) => log.write(text),
    onServing: async () => {
      try {
        const page = options.preview !== undefined && bound
          ? await (await import("./preview.ts")).showPreview(options.preview, bound.address, options, {
            before: development ? () => supervisor.fresh() : undefined,
            showsRequests: !background,
          })
          : undefined;
        closePreview = page?.close;
        if (pidfile !== undefined) {
          await writePidfile(pidfile, account, replaces);
          // It takes the memory of a server, so only servers with a pidfile load it.
          const { openControl } = await import("../supervisor/control.ts");
          closeControl = await openControl(pidfile, control, account).catch((error) => {
            log.write(`status, reload and restart will report less: ${error.message}`);
            return undefined;
          });
        }
        if (options.statuslisten) {
          const { openStatus } = await import("./status_endpoint.ts");
          closeStatus = await openStatus(options.statuslisten, {
            name,
            report: () => supervisor.report(),
            owner: account,
            mode: options.mode,
            waits: replaces !== undefined,
            log: (text) => log.write(text),
          });
        }
        const where = bound ? formatAddress(bound.address) : "an inherited socket";
        const { preview: wanted } = options;
        const taken = page && wanted && !page.url.endsWith(`:${wanted}/`) ? ` (another program listens on port ${wanted})` : "";
        const shown = page && background ? `, and a preview on ${page.url}${taken}` : "";
        served = true;
        tell({
          type: "serving",
          text: `serving ${name} over ${labels[options.protocol ?? "fcgi"]} on ${where} ${inWords(workers)}${shown}`,
        });
        const debuggerUrl = debugged()?.url;
        if (debuggerUrl) log.write(`Debugger: ${debuggerUrl}`);
        if (page && !background) writeStderr(`runfcgi: open ${page.url} in a browser${taken}. Stop with Ctrl-C\n`);
        notify("READY=1", `STATUS=Serving ${name}`);
        shrinkSoon();
      } catch (error) {
        failure = error as Error;
        supervisor.stop();
      }
    },
    onReload: (over) => over ? notify("READY=1") : notify("RELOADING=1", monotonicTime()),
  });
  startWatchdog();
  let failure: Error | undefined;
  let asked: number | undefined;
  const stop = (second: boolean, grace?: number) => {
    if (asked !== undefined && second && performance.now() - asked > SAME_SIGNAL_MS) exitNow();
    // The process that was started may go while requests are still being finished.
    if (asked !== undefined && grace === undefined) return;
    asked ??= performance.now();
    stopping.abort();
    closePreview?.();
    notify("STOPPING=1");
    removeOwnSocket();
    supervisor.stop(grace);
  };
  if (bound?.identity && bound.address.transport === "unix") {
    const { address: { path }, identity } = bound;
    const clock = setInterval(() => {
      if (asked !== undefined || isSocketInPlace(path, identity)) return;
      clearInterval(clock);
      // Whoever has put another one there may be a server that works.
      removeOwnSocket = () => {};
      log.write(`The socket "${path}" was removed or replaced: nobody can connect to this server any more. Restart it`);
    }, SOCKET_LOOK_MS);
    clock.unref();
  }
  const exitNow = () => {
    supervisor.killAll();
    process.exit(1);
  };
  process.on("SIGTERM", () => stop(true));
  process.on("SIGINT", () => stop(true));
  process.on("SIGQUIT", () => stop(false));
  process.on("SIGUSR1", () => stop(false));
  process.on("SIGHUP", () => supervisor.reload());
  process.on("SIGUSR2", () => {
    try {
      makeLogFiles(options, account);
      log.reopen();
      output?.reopen();
    } catch (error) {
      log.write(`Cannot open the log files again: ${(error as Error).message}`);
    }
    supervisor.reopen();
  });
  process.on("SIGTTIN", () => supervisor.resize(1));
  process.on("SIGTTOU", () => supervisor.resize(-1));
  // In the foreground the process that was started is gone only when it was killed.
  if (launcher && !background) {
    process.on("disconnect", () => {
      stop(false, ORPHAN_GRACE);
      setTimeout(exitNow, ORPHAN_GRACE * 1500);
    });
  }
  if (launcher && process.connected) process.send!({ type: "up" } satisfies FromSupervisor);
  await supervisor.run().catch((error) => failure ??= error);
  if (pidfile !== undefined) await removePidfile(pidfile, account);
  removeOwnSocket();
  // Whoever asked for a restart is told that there is none.
  await succession;
  await closeControl?.();
  await closeStatus?.();
  await allTold();
  if (failure === undefined) return 0;
  await tell({ type: "failed", reason: failure.message });
  return 1;
}

/** Workers need not look at the host again. */
function withWorkers(options: Options, { threads, method }: Workers): Options {
  return { ...options, threads, concurrency: options.concurrency ?? (method === "prefork" ? threads : 0) };
}

function inWords({ method, threads, bounds }: Workers): string {
  if (bounds) return `with ${bounds.minSpare} to ${bounds.maxChildren} processes`;
  return method === "threaded" && threads > 1 ? `with ${threads} threads` : "with 1 process";
}
