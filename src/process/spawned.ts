/**
 * A process that a web server has started: one thread, no children, and it lives by the web server's rules.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { become } from "../runtime/reexec.ts";
import { closeDescriptor, descriptorLack, prepareDescriptors, restoreDefaultActions } from "../runtime/descriptor.ts";
import { softLimit } from "../runtime/limits.ts";
import { outliveReader } from "../runtime/stderr.ts";
import { smallLimits } from "../runtime/tasks.ts";
import { Watchdog } from "../runtime/watchdog.ts";
import { ownArguments } from "../runtime/own_arguments.ts";
import { ownMemory } from "../runtime/proc.ts";
import type { Handler } from "../server/handler.ts";
import { inWords, Monitor, noCounts } from "../server/monitor.ts";
import { serveWorker, type WorkerServer } from "../server/serve.ts";
import { version } from "../server/version.ts";
import type { PoolReport } from "../supervisor/channel.ts";
import { FileWatch } from "../supervisor/watch.ts";
import { type ChosenApp, dropInLog, type Embedded, filesOfProgram, ownPathsOf } from "../app/application.ts";
import { makeApplication } from "../app/make_application.ts";
import { launcher, launcherIsNewer } from "../app/program_file.ts";
import { explain } from "../app/error_text.ts";
import { ownCommand } from "./handover.ts";
import type { Log } from "../app/log.ts";
import { Room } from "../app/room.ts";
import type { Options } from "../options/options.ts";
import { Notes } from "./notes.ts";
import { packedWatch } from "./packed.ts";
import { ownSocket } from "./own_socket.ts";
import { setEnvironment, unreadEnvFile } from "../app/env_file.ts";
import { servingOf } from "../app/serving.ts";
import { logConsole } from "../app/console_log.ts";
import { pagesFolder } from "../app/pages.ts";
import { makeSite } from "../app/site.ts";

/** mod_fcgid kills 3 s after it asked to stop. */
const MANAGED_GRACE = 2.5;
/** Milliseconds between two looks at the files, the memory, the age and the processor time, when requests arrive. */
const LOOK_MS = 1000;
/** Milliseconds that nobody is let in while what is under way is finished. */
const HOLD_MS = 1000;
/** Milliseconds between two looks whether it is. */
const IDLE_LOOK_MS = 10;
/** Milliseconds in which a signal is delivered, for several turns of the event loop. */
const TOLD_MS = 20;
/** Milliseconds after which nobody else is let in when it is to restart, while requests under way are waited for. */
const RETIRE_MS = 30_000;
/** Seconds of processor time that a request may take without a turn of the event loop, if nobody says otherwise. */
const PROCESSOR_SECONDS = 30;

/**
 * Serves descriptor 0 until the web server asks to stop. When there is a reason to, it restarts in the same process,
 * so that requests wait at the socket in the meantime, and nobody has to start it again: spawn-fcgi would not, and
 * lighttpd turns visitors away until it has.
 */
export async function serveManaged(app: ChosenApp, options: Options, embedded: Embedded | undefined): Promise<void> {
  outliveReader();
  const log = dropInLog(options.errlog, app.file);
  const unread = unreadEnvFile(app.file, options);
  if (unread !== undefined) log.write(unread);
  setEnvironment(options);
  // A web server may start many of us.
  const runner = options.exec === undefined ? undefined : (await import("./keeper.ts")).sharedProgram(options, log);
  const application = await makeApplication(app.file, options, embedded, log, runner);
  const pages = pagesFolder(options, app.file);
  const { serve: serveOptions, monitor: monitorOptions, lifetime, reopen } = servingOf(options, log, ownPathsOf(app.file), pages);
  const lack = descriptorLack();
  if (lack !== undefined) log.write(lack);
  const { promise: serving, resolve } = Promise.withResolvers<WorkerServer>();
  const grace = options.grace ?? MANAGED_GRACE;
  const own = ownSocket(0);
  /** The socket is left to the program that starts in the place of this one. */
  let handsOver = false;
  /** Serves waiting clients, and no others. */
  const stop = async (seconds = grace) => {
    const server = await serving;
    own?.refuse();
    const finished = server.shutdown(seconds);
    await server.stoppedListening;
    // Otherwise new clients would queue behind a process that no longer accepts.
    if (keepsSocket && !handsOver) closeDescriptor(0);
    await finished;
  };
  // Before a signal would still kill it.
  const signals = stopOnSignals(stop);
  process.on("SIGUSR2", reopen);
  endOnErrors(stop, log, signals);
  const startedAt = performance.now();
  const folder = process.cwd();
  let retiring = false;
  // Otherwise the socket is closed with the listener, and this process has to be started again from outside.
  const keepsSocket = await prepareDescriptors();

  /** Nothing is under way that has an end, or it is to stop and not to restart. */
  const mayEnd = () => monitor.resting || signals.asked;
  /**
   * Restarts when the requests under way are finished. Long ones are not cut off, and others do not wait long for them:
   * accepting is paused and resumed by turns.
   */
  const retire = async (reason: string, forGood = false) => {
    if (retiring) return;
    retiring = true;
    log.write(`${forGood ? "Ending" : "Restarting"}: ${reason}`);
    const server = await serving;
    const deadline = performance.now() + RETIRE_MS;
    const late = () => performance.now() > deadline;
    for (let held = true; !mayEnd() && (keepsSocket || forGood && !late()); held = !held || late()) {
      server.hold(held);
      for (const end = performance.now() + HOLD_MS; !mayEnd() && performance.now() < end;) await delay(IDLE_LOOK_MS);
    }
    handsOver = keepsSocket && !forGood && !signals.asked;
    if (handsOver) {
      server.shutdown(grace, true, true);
      if (signals.asked) server.shutdown(grace);
    } else await stop();
  };
  /** Ends, whoever else wants to be served, when the requests under way are finished. */
  const leave = (reason: string) => {
    if (retiring) return;
    retiring = true;
    log.write(`Ending: ${reason}`);
    stop(RETIRE_MS / 1000);
  };
  let processorLimit: number | undefined;
  const checkLifetime = () => {
    const { memory, age } = lifetime;
    if (memory !== undefined && ownMemory() > memory) retire(`it takes more than ${options.maxmemory} MiB`);
    if (age !== undefined && performance.now() - startedAt > age * 1000) retire(`it is older than ${age} s`);
    // At the limit the kernel kills it, with what is under way. Who gave it this socket starts another process.
    if (own) leaveBeforeLimit(processorLimit ??= softLimit("Max cpu time"));
  };
  const leaveBeforeLimit = (seconds: number) => {
    const { user, system } = process.cpuUsage();
    // What is under way needs the rest of it, and this look may come late.
    if ((user + system) / 1e6 <= Math.max(seconds / 2, Math.min(seconds * 0.8, seconds - 5))) return;
    leave(`it has used most of the ${seconds} s of processor time that the host allows a process (ulimit -t)`);
  };
  const ownFile = new FileWatch();
  const modules = new FileWatch();
  ownFile.watch(filesOfProgram(options));
  const outdated = launcherIsNewer();
  const otherUnpacked = packedWatch((text) => log.write(text));
  modules.watch(application.modules());
  // What has changed while it was being loaded is still a change.
  const watchMore = () => modules.add(application.modules());
  let lookedAt = performance.now();
  let refreshing: Promise<void> | undefined;
  /** A visitor is to see the code as it is now, and a fresh process is to serve the next. */
  const refresh = async () => {
    if (await application.refresh?.()) retire("the application has changed");
    watchMore();
  };
  const look = () => {
    const now = performance.now();
    if (now - lookedAt < LOOK_MS || retiring) return;
    lookedAt = now;
    notes.tellOthers();
    checkLifetime();
    if (options.watch === false) return;
    // A large file takes its time to arrive.
    if (outdated || ownFile.settled() || otherUnpacked()) retire("the program has changed");
    if (modules.changed()) refreshing = refresh().finally(() => refreshing = undefined);
  };
  /** The newest code answers: what has changed is loaded first. */
  const newest: Handler = (request, info) => {
    look();
    return refreshing ? refreshing.then(() => application.handler(request, info)) : application.handler(request, info);
  };
  let begun = 0;
  const monitor = new Monitor({ ...monitorOptions, onChange: () => notes.changed() });
  // Before the application is loaded, which may be what kills the process.
  const notes = new Notes(`${app.file ?? app.name} in ${folder}`, monitor, log);
  let loading = true;
  logConsole(log, () => {
    const requests = monitor.underWay();
    // Meanwhile they wait.
    return !loading && requests.length === 1 ? inWords(requests) : undefined;
  });
  const observer = {
    begun(request: Parameters<Monitor["begun"]>[0]) {
      monitor.begun(request);
      notes.begun(request);
      watchdog?.work();
      if (lifetime.requests !== undefined && ++begun >= lifetime.requests) retire(`it has served ${begun} requests`);
    },
    ended: (request: Parameters<Monitor["ended"]>[0]) => monitor.ended(request),
    working: (...what: Parameters<Monitor["working"]>) => monitor.working(...what),
  };
  let watchdog: Watchdog | undefined;
  /** Without it, a request that loops would block the process for everybody, and no log would name it. */
  const watchProcess = () => {
    const { timeout } = options;
    // Where nobody starts another process, one that loops now and then is better than none.
    if (timeout === 0 || options.exec !== undefined || timeout === undefined && process.ppid === 1) return undefined;
    const { folder, path: note } = notes;
    if (folder === undefined) return undefined;
    const limit = timeout ?? PROCESSOR_SECONDS;
    const clock = timeout !== undefined;
    try {
      const dog = new Watchdog({ limit, clock, folder, note, log: log.target });
      dog.busy = () => monitor.counts.inFlight > 0;
      if (dog.busy()) dog.work();
      return dog;
    } catch {
      // The host allows no further process.
      return undefined;
    }
  };
  process.on("exit", (code) => {
    if (signals.asked || signals.ending) return;
    const requests = monitor.underWay();
    const wasAt = requests.length === 0 ? "" : `; under way: ${inWords(requests)}`;
    log.write(`The application ended the process with status ${code}${wasAt}`);
  });
  const pool = (): Promise<PoolReport> => {
    const uptime = Math.round((performance.now() - startedAt) / 1000);
    const { pid } = process;
    const memory = ownMemory();
    const { counts, begunCount: begun } = monitor;
    const underWay = monitor.underWay();
    const workers = [{ pid, thread: 0, uptime, memory, counts, at: Date.now(), begun, underWay, state: "busy" as const }];
    return Promise.resolve({ version, pid, uptime, deaths: 0, reloads: 0, past: noCounts(), workers });
  };
  const status = { name: app.name, pool };
  const site = await makeSite(newest, { file: app.file, options, embedded, pages, log, isDropIn: true, status });
  // Each process of the site has a socket of its own.
  const isAlone = own !== undefined;
  // Now, since later there may be no thread to load it.
  const siblings = isAlone && smallLimits() !== undefined ? await import("./siblings.ts") : undefined;
  const room = new Room(log, (reason) => void retire(reason, isAlone), isAlone, siblings?.passToSibling);
  const handler = room.answering(site);
  const listen = () => serveWorker({ ...serveOptions, fd: 0, shared: keepsSocket, observer }, handler);
  let siblingsOver: Promise<void> | undefined;
  /** For siblings that the host allows no thread. */
  const listenForSiblings = async ({ leavePlace, ownPlace }: typeof import("./siblings.ts")) => {
    try {
      const more = await serveWorker({ ...serveOptions, protocol: "fcgi", socket: ownPlace(), mode: 0o600, observer }, handler);
      siblingsOver = server.stoppedListening.then(() => more.shutdown(grace)).finally(leavePlace);
    } catch {
      // They answer themselves what needs no thread.
    }
  };
  const server = await listen();
  resolve(server);
  application.onLoaded = watchMore;
  const loaded = application.load().then(() => loading = false);
  Promise.all([loaded, room.known()]).then(() => {
    watchMore();
    if (room.hasSpare) watchdog = watchProcess();
    if (siblings && room.hasFew) listenForSiblings(siblings);
  });
  await server.finished;
  await siblingsOver;
  if (handsOver) {
    notes.disown();
    restoreDefaultActions(stopSignalNames);
    // A signal that has arrived before is delivered in a later turn of the event loop.
    await delay(TOLD_MS);
    // Nobody else serves waiting clients.
    if (signals.asked) await (await listen()).shutdown(grace);
  }
  signals.ending = true;
  await application.stop?.(grace);
  if (!handsOver || signals.asked) return;
  await watchdog?.close();
  notes.remove();
  // The folder may have been removed and made again.
  if (existsSync(folder)) process.chdir(folder);
  // The script knows whether there is a newer program.
  const command = launcher === undefined ? ownCommand() : [launcher, ...ownArguments.slice(2)];
  await become(command, process.env, stopSignalNames, () => signals.asked);
}

/** What nobody caught ends the process, as it does without us, but is in the log and takes no other request with it. */
function endOnErrors(stop: () => Promise<void>, log: Log, signals: { ending: boolean }): void {
  const end = (event: "uncaughtException" | "unhandledRejection") => (error: unknown) => {
    log.write(`Nothing caught this error of the application: ${explain(error)}`);
    // The application has a listener of its own, and goes on.
    if (process.listenerCount(event) > 1) return;
    process.exitCode = 1;
    signals.ending = true;
    stop().finally(() => process.exit(1));
  };
  process.on("uncaughtException", end("uncaughtException"));
  process.on("unhandledRejection", end("unhandledRejection"));
}

/** Signals that ask to stop, and whether a second one of them ends it at once. */
const stopSignals = {
  // mod_fcgid repeats it after a second, while requests are still under way.
  SIGTERM: false,
  SIGINT: true,
  SIGQUIT: false,
  // What FastCGI process managers mean by it: mod_fastcgi restarts gracefully by it.
  SIGUSR1: false,
};

const stopSignalNames = Object.keys(stopSignals) as NodeJS.Signals[];

function stopOnSignals(stop: () => Promise<void>): { asked: boolean; ending: boolean } {
  const signals = { asked: false, ending: false };
  for (const [signal, hasty] of Object.entries(stopSignals)) {
    process.on(signal, () => {
      if (signals.asked && hasty) process.exit(1);
      signals.asked = true;
      stop();
    });
  }
  return signals;
}
