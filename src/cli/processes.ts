/**
 * The processes that the program is made of: the one that was started, its supervisor, workers and threads.
 *
 * @module
 */
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { takeInherited } from "../runtime/descriptor.ts";
import { removeSocket } from "../runtime/listen.ts";
import { formatAddress } from "../runtime/socket.ts";
import { preview } from "../server/preview.ts";
import { findAccount } from "../supervisor/account.ts";
import { findBudget } from "../supervisor/budget.ts";
import { processChannel, threadChannel } from "../supervisor/channel.ts";
import { type FromSupervisor, launch, type LaunchOptions } from "../supervisor/launch.ts";
import { expectUnused, removePidfile, writePidfile } from "../supervisor/pidfile.ts";
import type { PoolBounds } from "../supervisor/pool.ts";
import { withStatus } from "../supervisor/status.ts";
import { type Output, Supervisor } from "../supervisor/supervisor.ts";
import { forgetActivation, notify } from "../supervisor/systemd.ts";
import { Threads } from "../supervisor/threads.ts";
import { RunningWorker } from "../supervisor/worker.ts";
import { type ChosenApp, type Embedded, isCompiled, makeApplication, programFile, sourcesOf } from "./application.ts";
import { type Handover, handoverEnvironment, ownCommand } from "./handover.ts";
import { Log } from "./log.ts";
import type { Options } from "./options.ts";
import { servingOf, setEnvironment } from "./serving.ts";
import { withStaticFiles } from "./static.ts";

/** Seconds that requests have to finish, if nobody says otherwise. */
export const DEFAULT_GRACE = 30;
/** Workers that are changed at once in a reload. */
const PARALLEL = 4;

/** How many workers there are, and what they are. */
interface Workers {
  method: "threaded" | "prefork";
  threads: number;
  bounds?: PoolBounds;
}

/** Works out what the options leave open. */
function workersOf(options: Options): Workers {
  const { method = "threaded", maxchildren, minspare = 2, maxspare = 5, exec } = options;
  const budget = findBudget();
  if (method === "threaded") {
    // Each thread would run the program of its own.
    return { method, threads: options.threads ?? (exec === undefined ? Math.min(budget.threads, maxchildren ?? Infinity) : 1) };
  }
  const maxChildren = maxchildren ?? Math.max(budget.maxChildren, minspare);
  const minSpare = Math.min(minspare, maxChildren);
  return { method, threads: options.threads ?? 1, bounds: { minSpare, maxSpare: Math.max(maxspare, minSpare), maxChildren } };
}

// The process that was started

/** Starts the server and resolves with the exit status. */
export async function startServer(app: ChosenApp, endpoint: LaunchOptions["endpoint"], options: Options): Promise<number> {
  const { mode, backlog, pidfile, user, group, workdir, outlog, errlog } = options;
  const daemonize = options.daemonize ?? pidfile !== undefined;
  if (pidfile !== undefined) expectUnused(pidfile);
  const umask = options.umask ?? (daemonize ? 0o022 : undefined);
  if (umask !== undefined) process.umask(umask);
  const account = user === undefined && group === undefined ? undefined : findAccount(user, group);
  forgetActivation();
  return await launch({
    endpoint,
    listen: { mode, backlog, owner: account },
    command: ownCommand(),
    environment: (bound) => handoverEnvironment({ role: "supervisor", app: app.file, options, bound, background: daemonize }),
    daemonize,
    workdir,
    outlog,
    errlog,
  });
}

// The supervisor

/** Supervises workers on descriptor 0 and resolves with the exit status. */
export async function supervise(
  { app: file, options, bound, background = false }: Handover,
  embedded: Embedded | undefined,
): Promise<number> {
  const { pidfile, errlog, outlog, user, group } = options;
  const log = new Log(errlog, { stderr: !(background && errlog !== undefined) });
  const tell = (message: FromSupervisor) => {
    if (process.connected) process.send!(message);
    else process.stderr.write(`runfcgi: ${message.type === "serving" ? message.text : message.reason}\n`);
  };
  const workers = workersOf(options);
  const output = outlog === undefined ? undefined : new Log(outlog, { stderr: false });
  const intoLog = (to: Log | undefined): Output => to === undefined ? "inherit" : (bytes) => to.copy(bytes);
  const account = user === undefined && group === undefined ? undefined : findAccount(user, group);
  const name = options.exec ?? (embedded ? "the application inside this program" : file ?? "the welcome page");
  let closePreview: (() => void) | undefined;
  const supervisor = new Supervisor({
    fd: await takeInherited(0),
    command: ownCommand(),
    environment: (mustLoad, fd) => ({
      ...account?.name && { USER: account.name, LOGNAME: account.name, HOME: account.home },
      ...handoverEnvironment({ role: "worker", app: file, options: withWorkers(options, workers), bound, mustLoad, fd }),
    }),
    mustLoad: background,
    ...workers,
    parallel: PARALLEL,
    account: account && { uid: account.uid, gid: account.gid },
    grace: options.grace ?? DEFAULT_GRACE,
    timeout: options.timeout || undefined,
    stdout: intoLog(output),
    stderr: intoLog(errlog === undefined ? undefined : log),
    files: options.watch === false ? undefined : [programFile(), ...file === undefined ? [] : [file]],
    log: (text) => log.write(text),
    onServing: async () => {
      try {
        if (pidfile !== undefined) writePidfile(pidfile);
        const where = bound ? formatAddress(bound.address) : "an inherited socket";
        const by = options.protocol === "auto" ? "any protocol" : options.protocol ?? "fcgi";
        tell({ type: "serving", text: `serving ${name} by ${by} on ${where} ${inWords(workers)}` });
        notify("READY=1", `STATUS=Serving ${name}`);
        if (options.preview !== undefined && bound) closePreview = await showPreview(options.preview, bound.address, options);
      } catch (error) {
        failure = error as Error;
        supervisor.stop();
      }
    },
    onReload: (over) =>
      over
        ? notify("READY=1")
        : notify("RELOADING=1", `MONOTONIC_USEC=${Math.round(process.hrtime()[0] * 1e6 + process.hrtime()[1] / 1e3)}`),
  });
  let failure: Error | undefined;
  let asked = false;
  const stop = (second: boolean) => {
    if (asked && second) {
      supervisor.stop(true);
      process.exit(1);
    }
    asked = true;
    closePreview?.();
    notify("STOPPING=1");
    if (bound?.identity && bound.address.transport === "unix") removeSocket(bound.address.path, bound.identity);
    supervisor.stop();
  };
  process.on("SIGTERM", () => stop(true));
  process.on("SIGINT", () => stop(true));
  process.on("SIGUSR1", () => stop(false));
  process.on("SIGHUP", () => supervisor.reload());
  process.on("SIGUSR2", () => {
    log.reopen();
    output?.reopen();
    supervisor.reopen();
  });
  process.on("SIGTTIN", () => supervisor.resize(1));
  process.on("SIGTTOU", () => supervisor.resize(-1));
  // In the foreground the process that was started is gone only when it was killed.
  if (!background) process.on("disconnect", () => stop(false));
  try {
    await supervisor.run();
    if (failure) throw failure;
    return 0;
  } catch (error) {
    tell({ type: "failed", reason: (error as Error).message });
    return 1;
  } finally {
    if (pidfile !== undefined) removePidfile(pidfile);
    if (bound?.identity && bound.address.transport === "unix") removeSocket(bound.address.path, bound.identity);
  }
}

/** Workers need not look at the host again. */
function withWorkers(options: Options, { threads, method }: Workers): Options {
  return { ...options, threads, concurrency: options.concurrency ?? (method === "prefork" ? threads : 0) };
}

function inWords({ method, threads, bounds }: Workers): string {
  if (bounds) return `with ${bounds.minSpare} to ${bounds.maxChildren} processes`;
  return method === "threaded" && threads > 1 ? `with ${threads} threads` : "with 1 process";
}

/** Answers HTTP in the terminal's machine, by asking the endpoint like a web server. Returns how to end it. */
export async function showPreview(
  port: number,
  address: Parameters<typeof preview>[1]["address"],
  { protocol = "fcgi", secret, packetsize }: Options,
): Promise<() => void> {
  try {
    const { url, close } = await preview(port, {
      address,
      protocol: protocol === "auto" ? "fcgi" : protocol,
      secret,
      packetSize: packetsize,
    });
    process.stderr.write(`runfcgi: open ${url} in a browser. Stop with Ctrl-C\n`);
    return close;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE"
      ? "another program listens there. Choose another port, or preview=0 for any free one"
      : message;
    throw new Error(`Cannot preview on port ${port}: ${reason}`);
  }
}

// Workers and threads

/** Serves descriptor 0 as the supervisor says and resolves with the exit status. */
export async function work(handover: Handover, embedded: Embedded | undefined): Promise<number> {
  const { options, app: file, mustLoad = false } = handover;
  // The supervisor writes the file: it reads what is written here.
  const log = new Log(options.errlog, { file: false });
  const grace = options.grace ?? DEFAULT_GRACE;
  const fd = isMainThread ? await takeInherited(handover.fd!) : handover.fd!;
  if (isMainThread) {
    ignoreSignals();
    setEnvironment(options);
    const { threads = 1 } = options;
    if (threads > 1) return await runThreads({ ...handover, fd }, threads, grace, log);
  }
  const { serve, monitor, lifetime, reopen } = servingOf(options, log);
  const thread = handover.thread ?? 0;
  const channel = thread === 0 ? processChannel() : threadChannel();
  const worker = new RunningWorker({ channel, serve, monitor, lifetime, mustLoad, thread, fd, reopen });
  if (isMainThread) process.on("SIGTERM", () => worker.end(grace));
  const application = makeApplication(file, options, embedded, log);
  const { status, ping } = options;
  const site = withStaticFiles(application.handler, options, sourcesOf({ app: file, exec: options.exec }, embedded));
  const handler = withStatus({ status, ping, name: file ?? "the application", pool: () => worker.pool() }, site);
  return await worker.run(application, handler);
}

/** Signals of a terminal or of systemd reach all processes; the supervisor decides. */
function ignoreSignals(): void {
  for (const signal of ["SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"] as const) process.on(signal, () => {});
}

async function runThreads(handover: Handover, count: number, grace: number, log: Log): Promise<number> {
  const { options, mustLoad = false } = handover;
  const here = new URL(import.meta.url);
  const threads = new Threads({
    channel: processChannel(),
    count,
    fd: handover.fd!,
    module: isCompiled() ? here : new URL("./thread.ts", here),
    data: (thread, mustLoad) => ({ runfcgi: { ...handover, role: "thread", thread, mustLoad } satisfies Handover }),
    mustLoad,
    timeout: options.timeout || undefined,
    log: (text) => log.write(text),
  });
  process.on("SIGTERM", () => threads.end(grace));
  return await threads.run();
}
