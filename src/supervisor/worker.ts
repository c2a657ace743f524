/**
 * A worker: a process that serves the socket on its descriptor 0 and reports its state to its supervisor, or a thread of
 * such a process.
 *
 * @module
 */
import process from "node:process";
import { closeDescriptor } from "../runtime/descriptor.ts";
import { ownMemory } from "../runtime/proc.ts";
import type { Handler } from "../server/handler.ts";
import { Monitor, type MonitorOptions } from "../server/monitor.ts";
import type { WorkerServeOptions } from "../server/options.ts";
import { serveWorker, type WorkerServer } from "../server/serve.ts";
import type { Board } from "./board.ts";
import type { Channel, Drain, Incident, PoolReport, Report } from "./channel.ts";

/** The application as a worker needs it. */
export interface WorkerApplication {
  /** Serves it, or a page in its place while it cannot be loaded. */
  handler: Handler;
  /**
   * Why it cannot be loaded, `undefined` when it was.
   *
   * @param mustLoad whether that is waited for as long as it takes, since others serve meanwhile
   */
  load(mustLoad?: boolean): Promise<string | undefined>;
  /** Files of its modules. */
  modules(): readonly string[];
  /** Called when it is loaded after all, or when there are other modules than before. */
  onLoaded?: () => void;
  /** Loads it again; `false` when that fails, and what is loaded stays. */
  refresh?(): Promise<boolean>;
  /** Ends what was loaded, within so many seconds. */
  stop?(grace: number): Promise<void>;
}

/** When a worker is to be replaced. */
export interface Lifetime {
  /** Requests. */
  requests?: number;
  /** Bytes of memory of the process. */
  memory?: number;
  /** Seconds. */
  age?: number;
}

/** How a worker serves. */
export interface WorkerOptions {
  channel: Channel;
  /** Options of `serve()`, without the endpoint. */
  serve: Omit<WorkerServeOptions, "observer">;
  monitor?: MonitorOptions;
  lifetime?: Lifetime;
  /** It ends when the application cannot be loaded. */
  mustLoad: boolean;
  /** Number of the thread, 0 for a process. */
  thread: number;
  /** The listening socket. */
  fd: number;
  /** Seconds that event streams have when the worker has served as many requests as it may. */
  grace: number;
  /** Where it notes requests before the application gets them. */
  board?: Board;
  /** Log files were taken away. */
  reopen?: () => void;
}

/** A worker that serves. */
export interface Worker {
  /** All workers, asked of the supervisor. */
  pool(): Promise<PoolReport>;
}

/** Milliseconds between two messages about what is under way. */
const STATE_MS = 20;
const ALIVE_MS = 1000;
/** Seconds that requests have when the supervisor is gone, before a guard kills the process. */
const ORPHAN_GRACE = 1;
/** Share of the requests after which a replacement is asked for, so that it is ready in time. Not the same for all workers. */
const soonExpired = () => 0.8 + 0.15 * Math.random();

/** Serves until it is stopped, and then ends. */
export class RunningWorker implements Worker {
  readonly #options: WorkerOptions;
  readonly #monitor: Monitor;
  readonly #startedAt = performance.now();
  readonly #toEnd = Promise.withResolvers<undefined>();
  readonly #softLimit: number;
  #server: WorkerServer | undefined;
  #ending: Omit<Drain, "type"> | undefined;
  #held = false;
  #expired = false;
  #loaded = false;
  #toldInFlight = 0;
  #stateTimer: ReturnType<typeof setTimeout> | undefined;
  #asked = new Map<string, (report: PoolReport) => void>();
  #nextId = 0;
  #lastError: Incident | undefined;
  /** Bytes, as of the last second: the kernel counts them each time that it is asked. */
  #memory = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { requests = Infinity } = options.lifetime ?? {};
    this.#softLimit = Math.ceil(requests * soonExpired());
    this.#monitor = new Monitor({ ...options.monitor, onChange: () => this.#changed() });
    const { board, thread } = options;
    if (board) this.#monitor.onBegun = (request) => board.note(thread, this.#monitor.begunCount, request);
  }

  /**
   * Loads the application and serves it; resolves when the worker is to end, with the exit status.
   *
   * @param handler what to serve, if that is more than the application
   */
  async run(application: WorkerApplication, handler: Handler = application.handler): Promise<number> {
    const { channel, mustLoad, fd } = this.#options;
    channel.onMessage((message) => {
      switch (message.type) {
        case "drain":
          return this.end(message.grace, message.last, message.patient);
        case "pool":
          this.#asked.get(message.id)?.(message.report);
          this.#asked.delete(message.id);
          return;
        case "hold":
          this.#held = message.held;
          return this.#server?.hold(this.#held);
        case "reopen":
          return this.#options.reopen?.();
      }
    });
    channel.onClose(() => this.end(ORPHAN_GRACE, true));
    const failure = await Promise.race([application.load(mustLoad), this.#toEnd.promise]);
    const modules = () => [...application.modules()];
    const failed = failure !== undefined && mustLoad;
    if (failed) channel.send({ type: "failed", reason: failure, modules: modules() });
    else if (!this.#ending) {
      const { onError } = this.#options.serve;
      this.#server = await serveWorker({
        ...this.#options.serve,
        fd,
        shared: true,
        observer: this.#observer,
        onError: (error, context) => {
          this.#lastError = { at: Date.now(), text: `${context.during}: ${error.message}` };
          return onError?.(error, context);
        },
      }, handler);
      if (this.#held) this.#server.hold(true);
      application.onLoaded = () => {
        this.#loaded = true;
        channel.send({ type: "ready", modules: modules() });
      };
      if (failure === undefined) application.onLoaded();
      else {
        this.#lastError = { at: Date.now(), text: failure };
        channel.send({ type: "standIn", reason: failure, modules: modules() });
      }
      this.#memory = ownMemory();
      this.#tellState();
      this.#watchLifetime();
      await this.#toEnd.promise;
      await this.#finish(this.#server);
    }
    await application.stop?.(this.#ending?.grace ?? 0);
    await channel.flush();
    return failed ? 1 : 0;
  }

  /** Whether it serves the application, and not a page in its place. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Finishes what is under way, as a {@linkcode Drain} says. */
  end(grace: number, last = false, patient = false): void {
    this.#ending = { grace, last: this.#ending?.last ?? last, patient };
    // At once, or a request that is just answered would make place for the next.
    this.#server?.shutdown(grace, !last, patient);
    this.#toEnd.resolve(undefined);
  }

  async #finish(server: WorkerServer): Promise<void> {
    const { channel, thread, fd } = this.#options;
    const { grace, last, patient } = this.#ending!;
    const finished = server.shutdown(grace, !last, patient);
    await server.stoppedListening;
    // Otherwise new clients would queue behind a process that no longer accepts.
    if (thread === 0) closeDescriptor(fd);
    channel.send({ type: "stopped" });
    await finished;
    this.#tellState();
  }

  readonly #observer = {
    begun: (request: Parameters<Monitor["begun"]>[0]) => {
      this.#monitor.begun(request);
      const { begunCount } = this.#monitor;
      const { requests } = this.#options.lifetime ?? {};
      if (requests === undefined) return;
      if (begunCount >= requests) this.#leave(`it has served ${requests} requests`);
      else if (begunCount >= this.#softLimit) this.#expire("requests", `it has served ${begunCount} of ${requests} requests`);
    },
    ended: (request: Parameters<Monitor["ended"]>[0]) => this.#monitor.ended(request),
    working: (...what: Parameters<Monitor["working"]>) => this.#monitor.working(...what),
  };

  /** Asks for a replacement and goes on until there is one. */
  #expire(what: "requests" | "memory" | "age", reason: string): void {
    if (this.#expired || this.#ending) return;
    this.#expired = true;
    this.#options.channel.send({ type: "expired", what, reason });
  }

  /** Takes no more requests. */
  #leave(reason: string): void {
    if (this.#ending) return;
    this.#options.channel.send({ type: "leaving", reason });
    this.end(this.#options.grace, false, true);
  }

  #watchLifetime(): void {
    const { memory, age } = this.#options.lifetime ?? {};
    // Not all in the same moment.
    const until = age === undefined ? Infinity : age * (0.9 + 0.1 * Math.random());
    const clock = setInterval(() => {
      this.#memory = ownMemory();
      this.#tellState();
      if (memory !== undefined && this.#memory > memory) {
        this.#expire("memory", `it takes ${mib(this.#memory)} MiB, more than ${mib(memory)}`);
      }
      if ((performance.now() - this.#startedAt) / 1000 > until) this.#expire("age", `it is older than ${age} s`);
    }, ALIVE_MS);
    clock.unref?.();
  }

  /** The supervisor has to know idle workers from busy ones, but not each request. */
  #changed(): void {
    const { inFlight } = this.#monitor.counts;
    if (inFlight > 0 === this.#toldInFlight > 0) return;
    this.#stateTimer ??= setTimeout(() => this.#tellState(), STATE_MS);
  }

  #tellState(): void {
    clearTimeout(this.#stateTimer);
    this.#stateTimer = undefined;
    this.#toldInFlight = this.#monitor.counts.inFlight;
    this.#options.channel.send({ type: "state", report: this.report() });
  }

  report(): Report {
    return {
      pid: process.pid,
      thread: this.#options.thread,
      uptime: Math.round((performance.now() - this.#startedAt) / 1000),
      memory: this.#memory,
      counts: this.#monitor.counts,
      at: Date.now(),
      begun: this.#monitor.begunCount,
      underWay: this.#monitor.underWay(),
      ...this.#lastError && { lastError: this.#lastError },
    };
  }

  pool(): Promise<PoolReport> {
    const id = `${this.#options.thread}.${this.#nextId++}`;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#options.channel.send({ type: "status", id, report: this.report() });
    });
  }
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
