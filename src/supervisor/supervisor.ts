/**
 * The supervisor: starts workers on the socket that it has on descriptor 0 and never touches itself, replaces those
 * that end, and changes them for new ones, one after the other, when there is new code.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { closeDescriptor, giveDescriptor } from "../runtime/descriptor.ts";
import { Guard } from "../runtime/guard.ts";
import { addCounts, noCounts } from "../server/monitor.ts";
import type { FromWorker, PoolReport, Report, ToWorker } from "./channel.ts";
import { POOL_TICK_MS, type PoolBounds, Scaler } from "./pool.ts";
import { FileWatch } from "./watch.ts";

/** Where the output of workers goes. */
export type Output = "inherit" | ((bytes: Uint8Array) => void);

/** What a supervisor has to know. */
export interface SupervisorOptions {
  /** The listening socket. */
  fd: number;
  /** The command line that starts this program. */
  command: readonly string[];
  /**
   * Environment that makes it a worker, which has the socket on the descriptor `fd`; `mustLoad` when it is to end if the
   * application cannot be loaded.
   */
  environment(mustLoad: boolean, fd: number, threads: number): Record<string, string | undefined>;
  /** Whether the first worker ends, and the supervisor with it, when the application cannot be loaded. */
  mustLoad: boolean;
  /** Bounds of a pool of processes; without them there is one process with threads. */
  bounds?: PoolBounds;
  /** Working directory of the workers. Its path counts: the folder may have been removed and made again. */
  cwd: string;
  /** Whom the workers run as. */
  account?: { uid: number; gid: number };
  /** Threads of each process. */
  threads: number;
  /** Workers that are changed at once in a reload. */
  parallel: number;
  /** Seconds that requests under way have to finish when a worker ends. */
  grace: number;
  /** Seconds of a request after which a worker that shows no sign of life is killed. */
  timeout?: number;
  stdout: Output;
  stderr: Output;
  /** Files besides the application's modules whose change is a reason to reload; `undefined` to look at no files. */
  files?: readonly string[];
  log(text: string): void;
  /** The first worker is ready. */
  onServing(): void;
  /** Reloading has begun, and is over. */
  onReload?(over: boolean): void;
}

type State = "starting" | "ready" | "draining";

interface Child {
  process: ChildProcess;
  pid: number;
  state: State;
  /** It serves a page in place of the application. */
  standIn: boolean;
  inFlight: number;
  /** It may accept connections. */
  listening: boolean;
  startedAt: number;
  readyAt: number;
  heardAt: number;
  /** When it was told to end. */
  drainedAt: number;
  /** Why the application could not be loaded. */
  failure: string | undefined;
  /** What it takes the place of, until it is ready. */
  replaces: Child | undefined;
  /** The reload that its code is from. */
  generation: number;
  /** Threads that have told what they counted, before they ended; 0 is the process itself. */
  counted: Set<number>;
}

/** Milliseconds between two looks at the files. */
const WATCH_MS = 1000;
/** A worker that fails in the first moments after it was ready, counts as one that cannot start. */
const EARLY_MS = 2000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 30_000;
/** The same for workers that somebody kills, a system without memory for one. */
const MAX_KILLED_DELAY_MS = 1000;
/** Seconds that workers have to notice that the supervisor is gone. */
const ORPHAN_SECONDS = 1.5;
/** Time beyond the grace after which a worker is killed. */
const KILL_AFTER_MS = 2000;
/** Seconds beyond the timeout that a worker has to answer requests itself. */
const DEAF_SECONDS = 5;
/** Milliseconds that a worker has to stop listening. */
const STOP_MS = 1000;
/** Milliseconds between two ticks after which nobody is to blame for silence. */
const AWAY_MS = 2000;
/** Milliseconds that workers have to report for the status page. */
const REPORT_MS = 1000;

/** Starts and watches workers until it is told to stop. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Set<Child>();
  readonly #guard = new Guard({ patience: ORPHAN_SECONDS });
  readonly #watch = new FileWatch();
  readonly #startedAt = performance.now();
  readonly #finished = Promise.withResolvers<void>();
  #scaler: Scaler | undefined;
  #threads: number;
  /** Workers that are to be replaced. */
  #queue: Child[] = [];
  #reloading = false;
  #reloadAgain = false;
  #generation = 0;
  /** In this reload a worker with the new code was ready. */
  #proved = false;
  #served = false;
  #stopping = false;
  #deaths = 0;
  #reloads = 0;
  readonly #past = noCounts();
  /** Workers that could not start, since one last could and lasted. */
  #failures = 0;
  #failedAt = 0;
  #notBefore = 0;
  #tickedAt = 0;
  #clocks: ReturnType<typeof setInterval>[] = [];
  #asked = new Map<number, { waiting: Set<Child>; reports: Report[]; done: () => void }>();
  #nextId = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#threads = options.threads;
    if (options.bounds) this.#scaler = new Scaler(options.bounds);
  }

  /**
   * Runs until all workers have ended.
   *
   * @throws {Error} when the application has to be loaded and cannot be
   */
  run(): Promise<void> {
    this.#watch.watch(this.#options.files ?? []);
    const first = this.#scaler ? Math.max(1, this.#scaler.bounds.minSpare) : 1;
    // The first shows whether the application can be loaded.
    this.#spawn(this.#options.mustLoad);
    for (let i = 1; i < first && !this.#options.mustLoad; i++) this.#spawn(false);
    this.#clocks.push(setInterval(() => this.#tick(), POOL_TICK_MS));
    if (this.#options.files) this.#clocks.push(setInterval(() => this.#look(), WATCH_MS));
    return this.#finished.promise;
  }

  /** Lets requests under way finish within the grace, in seconds, and ends all workers. */
  stop(grace = this.#options.grace): void {
    // So that the endpoint is free as soon as the workers take no more, and another server can have it.
    if (!this.#stopping) closeDescriptor(this.#options.fd);
    this.#stopping = true;
    this.#queue = [];
    for (const child of this.#children) this.#drain(child, true, grace);
    this.#finishIfOver();
  }

  /** Ends all workers at once. */
  kill(): void {
    for (const child of this.#children) {
      this.#kill(child);
      this.#guard.remove(child.pid);
    }
    this.#guard.close();
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** New workers with the code as it is now take the place of all, without a refused connection. */
  reload(): void {
    if (this.#stopping) return;
    if (this.#reloading) {
      this.#reloadAgain = true;
      return;
    }
    this.#reloading = true;
    this.#proved = false;
    this.#generation++;
    this.#failures = 0;
    this.#notBefore = 0;
    this.#options.onReload?.(false);
    // What is just starting may have read the old code.
    this.#queue = this.#live.filter((child) => !this.#isReplaced(child));
    if (this.#queue.length === 0) this.#endReload();
    else this.#replace();
  }

  /** Log files were taken away. */
  reopen(): void {
    for (const child of this.#children) this.#send(child, { type: "reopen" });
  }

  /** One worker more or less. */
  resize(by: 1 | -1): void {
    if (this.#scaler) {
      const { minSpare, maxSpare, maxChildren } = this.#scaler.bounds;
      const least = Math.min(Math.max(minSpare + by, 1), maxChildren);
      this.#scaler = new Scaler({ minSpare: least, maxSpare: Math.max(maxSpare + by, least), maxChildren });
      this.#options.log(`Keeps ${least} idle workers ready`);
      return;
    }
    if (this.#threads + by < 1) return;
    this.#threads += by;
    this.#options.log(`Changes for a process with ${this.#threads} thread${this.#threads === 1 ? "" : "s"}`);
    this.reload();
  }

  get #live(): Child[] {
    return [...this.#children].filter((child) => child.state !== "draining");
  }

  /** Without those whose place another has until they are ready. */
  get #counting(): Child[] {
    return this.#live.filter(({ replaces }) => replaces === undefined || !this.#live.includes(replaces));
  }

  #isReplaced(child: Child): boolean {
    return this.#live.some(({ replaces }) => replaces === child);
  }

  // Starting

  #spawn(mustLoad: boolean, replaces?: Child): void {
    const { fd, command, environment, cwd, account, stdout, stderr } = this.#options;
    const stdio = (output: Output) => output === "inherit" ? "inherit" : "pipe";
    const started = giveDescriptor(fd, (descriptors, words, number) => {
      const [program, ...rest] = [...words, ...command];
      return spawn(program, rest, {
        stdio: ["ignore", stdio(stdout), stdio(stderr), ...descriptors],
        env: { ...process.env, ...environment(mustLoad, number, this.#threads) },
        // Not the one of this process, which may have been deleted.
        cwd,
        ...account,
      });
    });
    const now = performance.now();
    const child: Child = {
      process: started,
      pid: started.pid ?? 0,
      state: "starting",
      standIn: false,
      inFlight: 0,
      listening: true,
      startedAt: now,
      readyAt: 0,
      heardAt: now,
      drainedAt: -Infinity,
      failure: undefined,
      replaces,
      generation: this.#generation,
      counted: new Set(),
    };
    this.#children.add(child);
    if (started.pid) this.#guard.add(started.pid);
    for (const [stream, output] of [[started.stdout, stdout], [started.stderr, stderr]] as const) {
      if (output !== "inherit") stream?.on("data", output);
    }
    started.on("message", (message) => this.#heard(child, message as FromWorker));
    let over = false;
    const ended = (code: number | null, signal: string | null, why?: string) => {
      if (over) return;
      over = true;
      this.#ended(child, code, signal, why);
    };
    started.on("error", (error) => ended(null, null, existsSync(cwd) ? error.message : `there is no directory "${cwd}"`));
    started.on("exit", (code, signal) => ended(code, signal));
  }

  #heard(child: Child, message: FromWorker): void {
    child.heardAt = performance.now();
    switch (message.type) {
      case "ready":
      case "standIn":
        return this.#ready(child, message);
      case "failed":
        child.failure = message.reason;
        // What has to be mended may be in a module that is new.
        if (this.#options.files) this.#watch.add(message.modules);
        return;
      case "state":
        child.inFlight = message.inFlight;
        return;
      case "expired":
        if (this.#queue.includes(child) || this.#isReplaced(child) || child.state !== "ready") return;
        this.#options.log(`Worker ${child.pid} is replaced: ${message.reason}`);
        this.#queue.push(child);
        return this.#replace();
      case "leaving":
        this.#drain(child, false);
        return this.#fill();
      case "counts":
        child.counted.add(message.thread);
        return addCounts(this.#past, message.counts);
      case "stopped":
        child.listening = false;
        return this.#replace();
      case "status":
        this.#collect((report) => this.#send(child, { type: "pool", id: message.id, report }));
        return;
      case "reports":
        this.#reported(child, message.id, message.reports);
    }
  }

  #ready(child: Child, message: { type: "ready" | "standIn"; modules: string[] }): void {
    child.standIn = message.type === "standIn";
    if (this.#options.files) this.#watch.add(message.modules);
    if (child.state !== "starting") return;
    child.state = "ready";
    child.readyAt = performance.now();
    if (!child.standIn) setTimeout(() => this.#lasted(child), EARLY_MS).unref?.();
    if (!this.#served) {
      this.#served = true;
      this.#options.onServing();
      if (this.#options.mustLoad) this.#fill();
    }
    if (this.#stopping) return this.#drain(child, true);
    if (child.replaces && this.#live.includes(child.replaces)) this.#drain(child.replaces, false);
    child.replaces = undefined;
    this.#proved ||= child.generation === this.#generation;
    this.#replace();
  }

  #lasted(child: Child): void {
    if (this.#children.has(child) && child.startedAt > this.#failedAt) this.#failures = 0;
  }

  #ended(child: Child, code: number | null, signal: string | null, why?: string): void {
    this.#children.delete(child);
    this.#guard.remove(child.pid);
    this.#queue = this.#queue.filter((other) => other !== child);
    for (const asked of this.#asked.values()) {
      if (asked.waiting.delete(child) && asked.waiting.size === 0) asked.done();
    }
    if (this.#stopping) return this.#finishIfOver();
    if (child.state === "draining") {
      if (code !== 0) this.#options.log(`Worker ${child.pid} ${howEnded(code, signal, why)} while it finished its requests`);
      this.#replace();
      return this.#fill();
    }
    const started = child.readyAt !== 0;
    if (!started && !this.#served && this.#options.mustLoad) {
      this.#stopping = true;
      this.#finishIfOver(new Error(child.failure ?? `The first worker ${howEnded(code, signal, why)}`));
      return;
    }
    this.#deaths++;
    // Somebody's SIGKILL says nothing about the code.
    const early = !started || (signal === null && performance.now() - child.readyAt < EARLY_MS);
    if (early) {
      this.#failures++;
      this.#failedAt = performance.now();
    }
    if (child.replaces) this.#notReplaced(child, child.replaces, child.failure ?? `the worker ${howEnded(code, signal, why)}`);
    else this.#died(child, early, howEnded(code, signal, why), signal);
    this.#replace();
    this.#fill();
  }

  #died(child: Child, early: boolean, how: string, signal: string | null): void {
    const most = signal === "SIGKILL" ? MAX_KILLED_DELAY_MS : MAX_DELAY_MS;
    const delay = early ? Math.min(FIRST_DELAY_MS * 2 ** (this.#failures - 1), most) : 0;
    this.#notBefore = performance.now() + delay;
    const next = delay >= 1000 ? `. The next one is started in ${Math.round(delay / 1000)} s` : "";
    this.#options.log(
      `Worker ${child.pid} ${child.failure ? `could not start: ${child.failure}` : how}${next}`,
    );
  }

  #notReplaced(child: Child, old: Child, reason: string): void {
    if (this.#reloading && !this.#proved && child.generation === this.#generation) {
      this.#options.log(`The new code cannot be loaded, the old goes on: ${reason}`);
      this.#queue = [];
      this.#endReload();
      return;
    }
    this.#options.log(`Worker ${old.pid} could not be replaced: ${reason}`);
    setTimeout(() => {
      if (this.#children.has(old) && old.state === "ready" && !this.#isReplaced(old)) this.#queue.push(old);
      this.#replace();
    }, MAX_DELAY_MS).unref?.();
  }

  /** Puts workers in the place of those that ended. */
  #fill(): void {
    if (this.#stopping) return;
    const least = this.#scaler?.bounds.minSpare ?? 1;
    const live = this.#counting.length;
    if (live >= least) return;
    const delay = this.#notBefore - performance.now();
    if (delay > 0) return;
    // Where others serve, a worker that cannot load the application would only show its page to some visitors.
    const mustLoad = [...this.#children].some((child) => child.state === "ready" && !child.standIn);
    for (let i = live; i < least; i++) this.#spawn(mustLoad);
  }

  // Ending

  #drain(child: Child, last: boolean, grace = this.#options.grace): void {
    child.state = "draining";
    child.drainedAt = performance.now();
    this.#send(child, { type: "drain", grace, last });
    setTimeout(() => this.#kill(child), grace * 1000 + KILL_AFTER_MS).unref?.();
  }

  #kill(child: Child): void {
    // One that could not be started has no number, and 0 means us.
    if (!this.#children.has(child) || child.pid === 0) return;
    try {
      process.kill(child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }

  #finishIfOver(error?: Error): void {
    if (this.#children.size > 0) return;
    for (const clock of this.#clocks) clearInterval(clock);
    this.#guard.close();
    if (error) this.#finished.reject(error);
    else this.#finished.resolve();
  }

  // Changing

  /** Starts what takes the place of the next workers in the queue. */
  #replace(): void {
    if (this.#stopping) return;
    const limit = this.#reloading && this.#proved ? this.#options.parallel : 1;
    let replacing = this.#live.filter((child) => child.replaces !== undefined).length;
    while (replacing < limit) {
      const old = this.#queue.shift();
      if (old === undefined) break;
      if (!this.#live.includes(old)) continue;
      this.#spawn(true, old);
      replacing++;
    }
    if (replacing === 0 && this.#reloading && !this.#mayAnswerWithOldCode) this.#endReload(true);
  }

  /** One that does not answer for long is busy, and accepts nothing. */
  get #mayAnswerWithOldCode(): boolean {
    const lately = performance.now() - STOP_MS;
    return [...this.#children].some(({ generation, listening, drainedAt }) =>
      generation < this.#generation && listening && drainedAt > lately
    );
  }

  #endReload(done = false): void {
    this.#reloading = false;
    if (done) {
      this.#reloads++;
      this.#options.log("Reloaded: all workers run the new code");
    }
    this.#options.onReload?.(true);
    if (!this.#reloadAgain) return;
    this.#reloadAgain = false;
    this.reload();
  }

  #look(): void {
    if (!this.#watch.settled()) return;
    this.#options.log("Files have changed, reloading");
    this.reload();
  }

  #tick(): void {
    if (this.#stopping) return;
    this.#findDeaf();
    this.#fill();
    this.#replace();
    if (!this.#scaler || !this.#served) return;
    const live = this.#counting;
    const starting = live.filter((child) => child.state === "starting").length;
    const idle = live.filter((child) => child.state === "ready" && child.inFlight === 0);
    const change = this.#scaler.tick({ idle: idle.length, starting, busy: live.length - starting - idle.length });
    if (change < 0) this.#drain(idle.at(-1)!, false);
    else if (performance.now() >= this.#notBefore) { for (let i = 0; i < change; i++) this.#spawn(true); }
  }

  /** Workers in an endless loop do not even say that they live. */
  #findDeaf(): void {
    const { timeout } = this.#options;
    const now = performance.now();
    // The whole machine stood still, or this process did: what the workers said meanwhile is yet to be read.
    const wasAway = now - this.#tickedAt > AWAY_MS;
    this.#tickedAt = now;
    if (timeout === undefined) return;
    for (const child of this.#children) {
      if (wasAway) child.heardAt = now;
      const silent = (now - child.heardAt) / 1000;
      if (child.state === "starting" || silent < timeout + DEAF_SECONDS) continue;
      this.#options.log(`Worker ${child.pid} has shown no sign of life for ${Math.round(silent)} s: killed`);
      child.heardAt = now;
      this.#kill(child);
    }
  }

  // Telling

  #send(child: Child, message: ToWorker): void {
    if (child.process.connected) child.process.send(message, () => {});
  }

  #collect(done: (report: PoolReport) => void): void {
    const id = this.#nextId++;
    const waiting = new Set([...this.#children].filter((child) => child.state !== "starting"));
    const reports: Report[] = [];
    const finish = () => {
      if (!this.#asked.delete(id)) return;
      clearTimeout(timer);
      done({
        uptime: Math.round((performance.now() - this.#startedAt) / 1000),
        deaths: this.#deaths,
        reloads: this.#reloads,
        past: this.#past,
        workers: [...this.#children].flatMap((child) => {
          // What it has counted is in the sum of the past already.
          const own = reports.filter(({ pid, thread }) => pid === child.pid && !child.counted.has(thread));
          const state = child.state === "ready" ? undefined : child.state;
          const none = { pid: child.pid, thread: 0, uptime: 0, memory: 0, counts: noCounts() };
          return (own.length > 0 ? own : [none]).map((report) => ({
            ...report,
            state: state ?? (report.counts.inFlight > 0 ? "busy" as const : "idle" as const),
          }));
        }),
      });
    };
    const timer = setTimeout(finish, REPORT_MS);
    this.#asked.set(id, { waiting, reports, done: finish });
    for (const child of waiting) this.#send(child, { type: "report", id });
    if (waiting.size === 0) finish();
  }

  #reported(child: Child, id: number, reports: Report[]): void {
    const asked = this.#asked.get(id);
    if (!asked?.waiting.delete(child)) return;
    asked.reports.push(...reports);
    if (asked.waiting.size === 0) asked.done();
  }
}

function howEnded(code: number | null, signal: string | null, why?: string): string {
  if (why) return `could not be started: ${why}`;
  return signal ? `was killed by ${signal}` : `ended with the status ${code}`;
}
