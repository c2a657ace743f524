/**
 * The supervisor: starts workers on the socket that it has on descriptor 0 and never touches itself, replaces those
 * that end, and changes them for new ones, one after the other, when there is new code.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { onArrival } from "../runtime/arrival.ts";
import { closeDescriptor, giveDescriptor } from "../runtime/descriptor.ts";
import { Guard } from "../runtime/guard.ts";
import { limitAdvice, smallLimits } from "../runtime/tasks.ts";
import { addCounts, noCounts } from "../server/monitor.ts";
import { version } from "../server/version.ts";
import { Boards } from "./board.ts";
import { type FromWorker, type Incident, type PoolReport, readMessage, type Report, type ToWorker } from "./channel.ts";
import { Crew, MAX_DELAY_MS, type Member, underWayWords } from "./crew.ts";
import { POOL_TICK_MS, type PoolBounds, Scaler } from "./pool.ts";
import { FileWatch } from "./watch.ts";

/** Where the output of workers goes: to that of the supervisor, or to who reads it. */
export type Output = "inherit" | ((stream: Readable) => void);

/** What a supervisor has to know. */
export interface SupervisorOptions {
  /** The listening socket. */
  fd: number;
  /** The command line that starts this program now. */
  command(): readonly string[];
  /**
   * Environment that makes it a worker, which has the socket on the descriptor `fd`; `mustLoad` when it is to end if the
   * application cannot be loaded, `waits` when it is to load that later, `board` the file for its notes, `standsIn` why it is
   * to serve a page in its place.
   */
  environment(
    how: {
      mustLoad: boolean;
      waits: boolean;
      fd: number;
      threads: number;
      board: string | undefined;
      standsIn?: string;
    },
  ): Record<string, string | undefined>;
  /** Whether the first worker ends, and the supervisor with it, when the application cannot be loaded. */
  mustLoad: boolean;
  /** Bounds of a pool of processes; without them there is one process with threads. */
  bounds?: PoolBounds;
  /** Working directory of the workers. Its path counts: the folder may have been removed and made again. */
  cwd: string;
  /** The user that the workers run as. */
  account?: { uid: number; gid: number };
  /** Threads of each process. */
  threads: number;
  /** Workers that are changed at once in a reload. */
  parallel: number;
  /** Seconds that requests under way have to finish when a worker ends. */
  grace: number;
  /** Seconds of a request after which a worker that shows no sign of life is killed. */
  timeout?: number;
  /** Seconds that a worker has to load the application. */
  loadTimeout?: number;
  stdout: Output;
  stderr: Output;
  /** Seconds without a request after which all workers end, until somebody connects. */
  idleExit?: number;
  /** Another process holds the socket and starts a server when somebody connects: then this one ends, too. */
  heldElsewhere?: boolean;
  /** Files besides the application's modules whose change is a reason to reload; `undefined` to look at no files. */
  files?: readonly string[];
  /** Files that a process has read before it loads the application. */
  readFirst(): readonly string[];
  /** Somebody develops the application: new code that cannot be loaded takes the place of the old, and shows why. */
  development?: boolean;
  /** Somebody is probably at work on the application, before the first change shows it. */
  attended?: boolean;
  /** There is one worker at a time: a reload ends the old one before it starts the new one, and clients wait meanwhile. */
  alone?: boolean;
  log(text: string): void;
  /** The first worker is ready. */
  onServing(): void;
  /** Reloading has begun, and is over. */
  onReload?(over: boolean): void;
}

interface Child extends Member {
  readonly process: ChildProcess;
  readonly pid: number;
  /** It serves a page in place of the application. */
  standIn: boolean;
  /** A thread of it does not end: it kills itself in the end. */
  stuck: boolean;
  /** The reload that its code is from. */
  generation: number;
}

/** What came of a reload: `undefined` when all is well, or else why the old code goes on. */
export type Outcome = string | undefined;

/** Milliseconds between two looks at the files of which the system has told nothing. */
const WATCH_MS = 1000;
/** Milliseconds for which files that have changed stay the same before they are loaded. */
const SETTLED_MS = 20;
/** The same for one that was shorter in between, as most editors write it, and a slow upload, too. */
const SHORTER_MS = 100;
/**
 * The same where more is probably on its way: of an upload the end is missing, or one change follows another, as when a
 * whole site is uploaded, or an application writes to a file that it imports.
 */
const UPLOADED_MS = 1000;
/**
 * Milliseconds after a change for which a process is kept that has loaded all but the application, since starting one takes
 * longest: there will be more changes.
 */
const WORKED_ON_MS = 600_000;
/** How much longer each change is waited for that follows another within that time. */
const SLOWER = 4;
/** Seconds that a worker which is alone has for its requests in a reload: one that a debugger holds does not end by itself. */
const ALONE_GRACE = 0.5;
/** Milliseconds that a request waits for new code. */
const FRESH_MS = 10_000;
/** The longest delay after workers that were killed from outside, for example by the OOM killer. */
const MAX_KILLED_DELAY_MS = 1000;
/** Milliseconds for which no worker could start, after which somebody else answers visitors. */
const PATIENCE_MS = 5000;
/** Milliseconds that a worker may take to start while visitors wait for it: less than most web servers wait. */
const STARTING_MS = 20_000;
/** The same for all workers to show a sign of life. */
const ALL_SILENT_MS = 20_000;
/** Milliseconds after which one that answers in their place is started again, and those that it has to end. */
const STAND_IN_AGAIN_MS = 10_000;
const STAND_IN_GRACE_MS = 2000;
/** Seconds that workers have to notice that the supervisor is gone. */
const ORPHAN_SECONDS = 1.5;
/** Milliseconds in which what an ended worker has sent is read. */
const LAST_WORDS_MS = 200;
/** Milliseconds that a worker has to stop listening. */
const STOP_MS = 1000;

/** Starts and watches workers until it is stopped. */
export class Supervisor extends Crew<Child> {
  readonly #options: SupervisorOptions;
  readonly #boards = new Boards();
  readonly #guard: Guard;
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
  /** No worker runs, until somebody connects. */
  #asleep = false;
  #stopWaiting: (() => void) | undefined;
  /** When a request was last seen. */
  #activeAt = 0;
  #idleExit: number | undefined;
  #deaths = 0;
  #reloads = 0;
  readonly #past = noCounts();
  #lastError: Incident | undefined;
  #clocks: ReturnType<typeof setInterval>[] = [];
  /** A process that waits for the next change, and what it has loaded of the program. */
  #spare: Child | undefined;
  readonly #spareCode = new FileWatch();
  /** A process that answers that the site cannot be served, while no worker answers. */
  #standIn: Child | undefined;
  #standInAt = -Infinity;
  #standInHeld = false;
  /** How the last worker ended that could not start. */
  #whyNone = "no worker could be started";
  /** Since when no worker can answer. */
  #lackingSince: number | undefined;
  /** The host allows few processes, or little memory. */
  readonly #isCramped = smallLimits() !== undefined;
  #changedAt = -Infinity;
  /** Milliseconds for which changed files stay the same, as often as they change now. */
  #settling = SETTLED_MS;
  #touchTimer: ReturnType<typeof setTimeout> | undefined;
  /** Callers waiting for the end of this reload, and for that of the next. */
  #waiting: ((outcome: Outcome) => void)[] = [];
  #waitingNext: ((outcome: Outcome) => void)[] = [];

  constructor(options: SupervisorOptions) {
    super(options);
    this.#options = options;
    this.#threads = options.threads;
    this.#idleExit = options.idleExit;
    // By what is handed over to workers, ls finds a server that has none.
    const { fd, threads } = options;
    const env = { ...process.env, ...options.environment({ mustLoad: false, waits: false, fd, threads, board: undefined }) };
    this.#guard = new Guard({ patience: ORPHAN_SECONDS, folder: this.#boards.folder, env });
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
    this.start(this.#options.mustLoad);
    for (let i = 1; i < first && !this.#options.mustLoad; i++) this.start(false);
    this.#startClocks();
    if (this.#options.files) this.#watch.notify(() => this.#touched());
    return this.#finished.promise;
  }

  #startClocks(): void {
    this.#clocks.push(setInterval(() => this.#tick(), POOL_TICK_MS));
    if (!this.#options.files) return;
    const look = () => {
      this.#touched();
      if (!this.#isWorkedOn) this.#dropSpare();
    };
    this.#clocks.push(setInterval(look, WATCH_MS));
  }

  #stopClocks(): void {
    for (const clock of this.#clocks) clearInterval(clock);
    this.#clocks = [];
  }

  /** Lets requests under way finish within the grace, in seconds, and ends all workers. */
  stop(grace = this.#options.grace): void {
    this.#endWith(grace, true, false);
  }

  /** Another server has taken the socket over: requests under way take as long as they take. */
  yield(): void {
    this.#endWith(this.#options.grace, false, true);
  }

  #endWith(grace: number, last: boolean, patient: boolean): void {
    // So that the endpoint is free as soon as the workers take no more, and another server can have it.
    this.#stopWaiting?.();
    if (!this.#stopping) closeDescriptor(this.#options.fd);
    this.#stopping = true;
    this.#dropSpare();
    this.#dismissStandIn();
    this.#queue = [];
    this.#waiting.push(...this.#waitingNext.splice(0));
    this.#answerWaiting("the server is stopping");
    for (const child of this.members) this.leave(child, { type: "drain", grace, last, patient });
    this.#finishIfOver();
  }

  /** Ends all workers at once. */
  killAll(): void {
    this.#dropSpare();
    for (const child of this.members) {
      this.kill(child);
      this.#guard.remove(child.pid);
    }
    this.#guard.close();
  }

  /** Whether visitors get the application, as far as is known. */
  get serving(): boolean {
    return this.live.some((child) => child.state === "ready" && this.serves(child));
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  protected override get ending(): boolean {
    return this.#stopping;
  }

  protected override get least(): number {
    return this.#asleep ? 0 : this.#scaler?.bounds.minSpare ?? 1;
  }

  protected override serves({ standIn }: Child): boolean {
    return !standIn;
  }

  /**
   * New workers with the code as it is now take the place of all, without a refused connection. Resolves when they serve,
   * or with the reason when the old code goes on.
   */
  reload(): Promise<Outcome> {
    if (this.#stopping) return Promise.resolve("the server is stopping");
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    if (this.#reloading) {
      this.#reloadAgain = true;
      this.#waitingNext.push(resolve);
      return promise;
    }
    this.#waiting.push(resolve);
    this.#beginReload();
    return promise;
  }

  #beginReload(): void {
    this.#reloading = true;
    this.nextEra();
    this.#proved = false;
    this.#generation++;
    this.forgetFailures();
    this.#options.onReload?.(false);
    if (this.#asleep) return this.#endReload();
    if (this.live.length === 0) this.fill();
    // What is just starting may have read the old code.
    this.#queue = this.live.filter((child) => !this.isReplaced(child) && child.generation < this.#generation);
    if (this.live.length === 0) return this.#endReload("no worker was there to be replaced");
    if (!this.#options.alone) return this.#replace();
    this.#queue = [];
    for (const child of this.live) this.leave(child, { type: "drain", grace: ALONE_GRACE, last: false, patient: false });
  }

  /** Log files were taken away. */
  reopen(): void {
    for (const child of this.members) this.send(child, { type: "reopen" });
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
    // It has as many as there were.
    this.#dropSpare();
    this.#options.log(`Replacing the process by one with ${this.#threads} thread${this.#threads === 1 ? "" : "s"}`);
    this.reload();
  }

  // Starting

  protected override start(mustLoad: boolean, replaces?: Child): void {
    const child = this.#takeSpare(mustLoad) ?? this.#spawn(mustLoad, false);
    child.replaces = replaces;
    this.members.add(child);
  }

  protected override fill(): void {
    if (!this.#options.alone || this.members.size === 0) super.fill();
  }

  #spawn(mustLoad: boolean, waits: boolean, standsIn?: string): Child {
    const board = this.#boards.make(this.#options.account);
    const { fd, command, environment, cwd, account, stdout, stderr } = this.#options;
    const how = { mustLoad, waits, standsIn, threads: this.#threads, board: board?.path };
    const stdio = (output: Output) => output === "inherit" ? "inherit" : "pipe";
    const started = giveDescriptor(fd, (descriptors, words, number) => {
      const [program, ...rest] = [...words, ...command()];
      return spawn(program, rest, {
        stdio: ["ignore", stdio(stdout), stdio(stderr), ...descriptors],
        env: { ...process.env, ...environment({ ...how, fd: number }) },
        // Not the one of this process, which may have been deleted.
        cwd,
        ...account,
      });
    });
    const child: Child = {
      ...this.newMember(`Worker ${started.pid ?? 0}`, board),
      process: started,
      pid: started.pid ?? 0,
      standIn: false,
      stuck: false,
      generation: this.#generation,
    };
    if (started.pid) this.#guard.add(started.pid);
    for (const [stream, output] of [[started.stdout, stdout], [started.stderr, stderr]] as const) {
      if (output !== "inherit" && stream) output(stream);
    }
    started.on("message", (message) => {
      const told = readMessage(message);
      if (told) this.#heard(child, told);
    });
    let over = false;
    const ended = (code: number | null, signal: string | null, why?: string) => {
      if (over) return;
      over = true;
      this.#ended(child, code, signal, why);
    };
    started.on("error", (error) => ended(null, null, existsSync(cwd) ? spawnReason(error) : `there is no directory "${cwd}"`));
    started.on("exit", (code, signal) => {
      if (!started.connected) return ended(code, signal);
      // What it has sent last, such as the count of what was cut, may be read after that.
      started.on("disconnect", () => ended(code, signal));
      setTimeout(() => ended(code, signal), LAST_WORDS_MS);
    });
    return child;
  }

  /** Has a process ready for the next change. */
  #keepSpare(): void {
    const { alone, files, readFirst } = this.#options;
    if (!this.#isWorkedOn || alone || !files || this.#stopping || this.#asleep || this.#spare) return;
    this.#spareCode.watch(readFirst());
    this.#spare = this.#spawn(false, true);
  }

  get #isWorkedOn(): boolean {
    const { development, attended } = this.#options;
    if (this.#isCramped) return false;
    const changing = this.#touchTimer !== undefined;
    return development || attended || changing || performance.now() - this.#changedAt < WORKED_ON_MS;
  }

  #takeSpare(mustLoad: boolean): Child | undefined {
    // The program itself may be another by now.
    if (this.#spareCode.changed()) this.#dropSpare();
    const child = this.#spare;
    if (child === undefined) return undefined;
    this.#spare = undefined;
    child.generation = this.#generation;
    child.startedAt = child.heardAt = performance.now();
    this.send(child, { type: "begin", mustLoad });
    return child;
  }

  #dropSpare(): void {
    this.#spare?.process.kill("SIGKILL");
    this.#spare = undefined;
  }

  #heard(child: Child, message: FromWorker): void {
    if (message.type === "state" && isNews(message.report, child)) this.#activeAt = performance.now();
    const answered = child.answers;
    this.note(child, message);
    if (!this.members.has(child)) return this.#heardOther(child, message);
    if (child.answers && !answered) this.#dismissStandIn();
    switch (message.type) {
      case "ready":
      case "standIn":
        return this.#ready(child, message);
      case "failed":
        child.failure = message.reason;
        // What has to be fixed may be in a module that is new.
        if (this.#options.files) this.#watch.add(message.modules);
        return;
      case "expired":
        if (this.#queue.includes(child) || this.isReplaced(child) || child.state !== "ready") return;
        this.#options.log(`${child.name} is replaced: ${message.reason}`);
        child.stuck = message.what === "stuck";
        this.#queue.push(child);
        return this.#replace();
      case "leaving":
        if (child.state === "draining") return;
        if (!this.#reloading) this.countRecycled();
        this.retire(child);
        return this.fill();
      case "gone":
        return this.#keepCounts(child, message.thread);
      case "stopped":
        child.listening = false;
        this.#awaitVisitor();
        return this.#replace();
      case "status":
        return this.send(child, { type: "pool", id: message.id, report: this.report() });
    }
  }

  #ready(child: Child, message: FromWorker & { type: "ready" | "standIn" }): void {
    child.standIn = message.type === "standIn";
    if (this.#options.files) this.#watch.add(message.modules);
    if (child.state !== "starting") return;
    if (child.replaces && !this.#reloading) this.countRecycled();
    this.becameReady(child);
    this.#dismissStandIn();
    this.#activeAt = performance.now();
    this.#serves();
    if (this.#stopping) return this.leave(child, { type: "drain", grace: this.#options.grace, last: true, patient: false });
    if (message.type === "standIn" && this.#reloading && !this.#options.development) return this.#endReload(message.reason);
    this.#proved ||= child.generation === this.#generation;
    this.#replace();
  }

  /** Visitors get answers. */
  #serves(): void {
    if (this.#served) return;
    this.#served = true;
    this.#options.onServing();
    if (this.#options.mustLoad) this.fill();
    this.#keepSpare();
  }

  /** What an ended thread or process has counted. */
  #keepCounts({ reports }: Child, thread: number): void {
    const report = reports.get(thread);
    if (report) addCounts(this.#past, { ...report.counts, inFlight: 0, sockets: 0 });
    reports.delete(thread);
  }

  #ended(child: Child, code: number | null, signal: string | null, why?: string): void {
    this.#guard.remove(child.pid);
    if (!this.members.delete(child)) {
      if (this.#spare === child) this.#spare = undefined;
      if (this.#standIn === child) this.#standIn = undefined;
      for (const thread of [...child.reports.keys()]) this.#keepCounts(child, thread);
      return child.board?.remove();
    }
    this.#queue = this.#queue.filter((other) => other !== child);
    const wasAt = underWayWords(child);
    const how = `${howEnded(code, signal, why)}${wasAt}`;
    for (const thread of [...child.reports.keys()]) this.#keepCounts(child, thread);
    child.board?.remove();
    const wasLeaving = child.state === "draining";
    if (wasLeaving && code !== 0 && !(child.stuck && signal === "SIGKILL")) {
      this.#incident(`${child.name} ${howEnded(code, signal, why)} while it finished its requests${wasAt}`);
    }
    if (this.#stopping) return this.#finishIfOver();
    if (wasLeaving) {
      this.#awaitVisitor();
      this.#replace();
      return this.fill();
    }
    if (child.readyAt === 0 && !this.#served && this.#options.mustLoad) {
      this.#stopping = true;
      this.#finishIfOver(new Error(child.failure ?? `The first worker ${how}`));
      return;
    }
    this.#deaths++;
    // Somebody's SIGKILL says nothing about the code.
    const delay = this.died(child, signal !== null, signal === "SIGKILL" ? MAX_KILLED_DELAY_MS : undefined);
    const failed = child.readyAt === 0 ? child.failure : undefined;
    if (child.replaces) this.#notReplaced(child, child.replaces as Child, failed ?? `the worker ${how}`);
    else {
      this.waitBeforeNext(delay);
      const next = delay >= 1000 ? `. The next one is started in ${Math.round(delay / 1000)} s` : "";
      const what = `${child.name} ${failed ? `could not start: ${failed}` : how}`;
      this.#incident(`${what}${next}`);
      this.#whyNone = what;
      // It was the first with the new code, and there was none with the old.
      if (this.#reloading && this.live.length === 0) {
        return this.#endReload(failed ?? `the worker ${how}`);
      }
    }
    this.#replace();
    this.fill();
  }

  /** Logs what went wrong, and keeps it for the status. */
  #incident(text: string): void {
    this.#lastError = { at: Date.now(), text };
    this.#options.log(text);
  }

  #notReplaced(child: Child, old: Child, reason: string): void {
    if (this.#reloading && !this.#proved && child.generation === this.#generation) {
      this.#incident(`Cannot load the new code, still serving the old: ${reason}`);
      this.#queue = [];
      this.#endReload(reason);
      return;
    }
    this.#incident(`${old.name} could not be replaced: ${reason}`);
    setTimeout(() => {
      if (this.members.has(old) && old.state === "ready" && !this.isReplaced(old)) this.#queue.push(old);
      this.#replace();
    }, MAX_DELAY_MS).unref?.();
  }

  // Standing in

  /**
   * Has a process answer with the status 503 where no worker has been able to for long, as visitors would wait until their web
   * server gives up. It accepts nothing while a worker starts that may serve.
   */
  #standInIfNeeded(): void {
    const now = performance.now();
    const ready = [...this.members].filter(({ state, answers, listening }) => answers && state !== "draining" && listening);
    if (ready.some(({ heardAt }) => now - heardAt < ALL_SILENT_MS)) return this.#dismissStandIn();
    const { alone, mustLoad, development } = this.#options;
    if (alone || mustLoad && !this.#served) return;
    this.#lackingSince ??= now;
    const starting = this.live.filter(({ state }) => state === "starting");
    const comes = starting.some(({ startedAt }) => now - startedAt < STARTING_MS);
    if (this.#standIn) return this.#holdStandIn(comes);
    const patience = ready.length > 0 || development ? 0 : PATIENCE_MS;
    if (comes || now - this.#lackingSince < patience || now - this.#standInAt < STAND_IN_AGAIN_MS) return;
    this.#standInAt = now;
    this.#standInHeld = false;
    const slow = starting.length > 0 && `${starting[0].name} has been loading it for ${STARTING_MS / 1000} s`;
    const silent = ready.length > 0 && `no worker has shown a sign of life for ${ALL_SILENT_MS / 1000} s` +
        underWayWords(ready[0]);
    this.#standIn = this.#spawn(false, false, slow || silent || this.#whyNone);
  }

  #holdStandIn(held: boolean): void {
    if (held === this.#standInHeld) return;
    this.#standInHeld = held;
    this.send(this.#standIn!, { type: "hold", held });
  }

  #dismissStandIn(): void {
    this.#lackingSince = undefined;
    const child = this.#standIn;
    if (child === undefined) return;
    this.#standIn = undefined;
    this.send(child, { type: "drain", grace: STAND_IN_GRACE_MS / 1000, last: false, patient: false });
    setTimeout(() => child.process.kill("SIGKILL"), 2 * STAND_IN_GRACE_MS).unref?.();
  }

  /** One that is no worker has told something. */
  #heardOther(child: Child, message: FromWorker): void {
    if (message.type === "status") return this.send(child, { type: "pool", id: message.id, report: this.report() });
    if (message.type !== "standIn" || child !== this.#standIn) return;
    child.state = "ready";
    this.#serves();
  }

  // Sleeping

  /** Whether nobody has asked for anything for so long that all workers may end. */
  get #isUnvisited(): boolean {
    if (this.#idleExit === undefined || this.#asleep || this.#reloading || this.#queue.length > 0) return false;
    if (performance.now() - this.#activeAt < this.#idleExit * 1000) return false;
    return [...this.members].every((child) => child.state === "ready" && inFlight(child) === 0 && !hasSockets(child));
  }

  /** All workers end. What waits in the kernel stays there for those that are started next. */
  #sleep(): void {
    this.#options.log(`No request for ${this.#idleExit} s: no worker runs until the next one`);
    this.#asleep = true;
    this.#dropSpare();
    this.#dismissStandIn();
    this.nextEra();
    for (const child of this.members) this.retire(child);
    this.#awaitVisitor();
  }

  /** Once nobody accepts any more, waits for somebody who connects; or ends, where another process does that. */
  #awaitVisitor(): void {
    if (!this.#asleep || [...this.members].some(({ listening }) => listening)) return;
    if (this.members.size === 0) this.#stopClocks();
    this.#stopWaiting ??= onArrival(this.#options.fd, () => this.#wake());
    // Not before, since a visitor would have to wait for what is still being finished.
    if (this.#options.heldElsewhere && this.members.size === 0) return this.stop();
    if (this.#stopWaiting !== undefined || this.#options.heldElsewhere) return;
    this.#options.log("New connections cannot be noticed on this system, so workers keep running");
    this.#idleExit = undefined;
    this.#wake();
  }

  #wake(): void {
    this.#asleep = false;
    this.#stopWaiting = undefined;
    this.#activeAt = performance.now();
    if (this.#clocks.length === 0) {
      // Who is started now loads what is there.
      this.#watch.changed();
      this.#startClocks();
    }
    this.fill();
  }

  // Ending

  protected override kill(child: Child): void {
    // One that could not be started has no number, and 0 means us.
    if (!this.members.has(child) || child.pid === 0) return;
    try {
      process.kill(child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }

  #finishIfOver(error?: Error): void {
    if (this.members.size > 0) return;
    this.#stopClocks();
    this.#watch.close();
    this.#guard.close();
    if (error) this.#finished.reject(error);
    else this.#finished.resolve();
  }

  // Changing

  /** Starts what takes the place of the next workers in the queue. */
  #replace(): void {
    if (this.#stopping) return;
    const limit = this.#reloading && this.#proved ? this.#options.parallel : 1;
    let replacing = this.live.filter((child) => child.replaces !== undefined).length;
    while (replacing < limit) {
      const old = this.#queue.shift();
      if (old === undefined) break;
      if (!this.live.includes(old)) continue;
      this.start(!this.#options.development, old);
      replacing++;
    }
    if (this.#options.alone && this.live.every(({ state }) => state !== "ready")) return;
    // Where there were no others, it is to be seen whether this one can start.
    if (!this.#proved && this.live.some(({ state, generation }) => state === "starting" && generation === this.#generation)) {
      return;
    }
    if (replacing === 0 && this.#reloading && !this.#mayAnswerWithOldCode) this.#endReload();
  }

  /** One that does not answer for long is busy, and accepts nothing. */
  get #mayAnswerWithOldCode(): boolean {
    const lately = performance.now() - STOP_MS;
    return [...this.members].some(({ generation, listening, leftAt }) =>
      generation < this.#generation && listening && leftAt > lately
    );
  }

  #endReload(failure?: string): void {
    this.#reloading = false;
    if (failure === undefined) {
      this.#reloads++;
      const whose = this.#asleep ? "the next worker runs" : "all workers run";
      // Otherwise the worker has said why it cannot.
      if (!this.live.some(({ standIn }) => standIn)) this.#options.log(`Reloaded: ${whose} the new code`);
    }
    this.#options.onReload?.(true);
    this.#answerWaiting(failure);
    if (!this.#reloadAgain) return this.#keepSpare();
    this.#reloadAgain = false;
    this.#beginReload();
  }

  #answerWaiting(outcome: Outcome): void {
    const waiting = this.#waiting;
    this.#waiting = this.#waitingNext;
    this.#waitingNext = [];
    for (const resolve of waiting) resolve(outcome);
  }

  /** A file was perhaps written to: it is looked at until it stays as it is. */
  #touched(): void {
    if (this.#stopping || this.#touchTimer !== undefined || this.#look() || !this.#watch.changing) return;
    this.#touchTimer = setTimeout(() => {
      this.#touchTimer = undefined;
      this.#touched();
    }, SETTLED_MS);
    // It starts while they settle.
    if (this.#served && !this.#reloading) this.#keepSpare();
  }

  /** Reloads if files have changed and are complete. */
  #look(): boolean {
    const follows = performance.now() - this.#changedAt < UPLOADED_MS;
    if (!follows) this.#settling = SETTLED_MS;
    if (!this.#watch.settled(this.#settlingTime)) return false;
    if (follows) this.#settling = Math.min(this.#settling * SLOWER, UPLOADED_MS);
    this.#changedAt = performance.now();
    // Who is started next loads what is there then.
    if (this.#asleep) return true;
    this.#options.log("Files have changed, reloading");
    this.reload();
    return true;
  }

  /** Milliseconds. */
  get #settlingTime(): number {
    // A half change is seen by nobody but its author.
    if (this.#options.development) return SETTLED_MS;
    const { shorter } = this.#watch;
    return shorter === "partial" ? UPLOADED_MS : Math.max(this.#settling, shorter === "whole" ? SHORTER_MS : 0);
  }

  /** Resolves when files that have changed are served, or have failed to be: what is asked for then is answered by new code. */
  async fresh(): Promise<void> {
    if (!this.#options.files) return;
    for (const end = performance.now() + FRESH_MS; !this.#stopping && performance.now() < end;) {
      if (this.#reloading) await new Promise((resolve) => this.#waiting.push(resolve));
      else if (!this.#watch.changing) return;
      this.#touched();
      await delay(SETTLED_MS / 4);
    }
  }

  #tick(): void {
    this.findDeaf();
    if (this.#stopping) return;
    this.fill();
    this.#replace();
    if (!this.#asleep) this.#standInIfNeeded();
    if (this.#served && this.#isUnvisited) this.#sleep();
    if (!this.#scaler || !this.#served || this.#asleep) return;
    const live = this.counting;
    const starting = live.filter((child) => child.state === "starting").length;
    // A silent one is working on a request that it has not reported.
    const heard = performance.now() - SILENT_MS;
    const idle = live.filter((child) => child.state === "ready" && inFlight(child) === 0 && child.heardAt > heard);
    const change = this.#scaler.tick({ idle: idle.length, starting, busy: live.length - starting - idle.length });
    const spare = change < 0 ? idle.findLast((child) => !hasSockets(child)) : undefined;
    if (spare !== undefined) this.retire(spare);
    else if (this.mayStart) { for (let i = 0; i < change; i++) this.start(true); }
  }

  // Telling

  protected override send(child: Child, message: ToWorker): void {
    if (child.process.connected) child.process.send(message, () => {});
  }

  /** What is known of all workers; waits for none of them. */
  report(): PoolReport {
    const workers = [...this.members, ...this.#standIn ? [this.#standIn] : []].flatMap((child) => {
      const state = child.state === "ready" ? undefined : child.state;
      const none: Report = { pid: child.pid, thread: 0, uptime: 0, memory: 0, counts: noCounts(), at: 0, begun: 0, underWay: [] };
      const reports = child.reports.size > 0 ? [...child.reports.values()] : [none];
      return reports.map((told) => {
        const report = withNote(told, child);
        return { ...report, state: state ?? (report.counts.inFlight > 0 ? "busy" as const : "idle" as const) };
      });
    });
    const errors = [this.#lastError, ...workers.map(({ lastError }) => lastError)].filter((error) => error !== undefined);
    return {
      version,
      pid: process.pid,
      uptime: Math.round((performance.now() - this.#startedAt) / 1000),
      deaths: this.#deaths,
      reloads: this.#reloads,
      lastError: errors.sort((a, b) => b.at - a.at)[0],
      past: this.#past,
      workers,
    };
  }
}

/** A worker that has been silent for a while may be working on the request that it noted last. */
const SILENT_MS = 1500;

function withNote(report: Report, { board }: Child): Report {
  const note = Date.now() - report.at > SILENT_MS ? board?.read(report.thread) : undefined;
  if (note === undefined || note.begun <= report.begun) return report;
  const { begun, ...request } = note;
  const counts = { ...report.counts, inFlight: report.counts.inFlight + 1 };
  return { ...report, begun, counts, underWay: [...report.underWay, request] };
}

/** Whether a report tells of visitors. */
function isNews({ thread, begun, counts }: Report, { reports }: Child): boolean {
  return counts.inFlight > 0 || counts.sockets > 0 || begun !== (reports.get(thread)?.begun ?? 0);
}

function inFlight({ reports }: Child): number {
  let sum = 0;
  for (const { counts } of reports.values()) sum += counts.inFlight;
  return sum;
}

/** Whether WebSockets are open, which would have to be opened again elsewhere. */
function hasSockets({ reports }: Child): boolean {
  return [...reports.values()].some(({ counts }) => counts.sockets > 0);
}

function spawnReason({ code, message }: NodeJS.ErrnoException): string {
  return code === "EAGAIN" ? `the host allows no further process: ${limitAdvice()}` : message;
}

function howEnded(code: number | null, signal: string | null, why?: string): string {
  if (why) return `could not be started: ${why}`;
  return signal ? `was killed by ${signal}` : `exited with status ${code}`;
}
