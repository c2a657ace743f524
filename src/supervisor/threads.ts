/**
 * A worker process with threads: each is an event loop with its own copy of the application, and all listen on the
 * socket that the process has on its descriptor 0. Towards the supervisor they are one worker.
 *
 * @module
 */
import process from "node:process";
import { Worker as Thread } from "node:worker_threads";
import { closeDescriptor } from "../runtime/descriptor.ts";
import { runtime } from "../runtime/name.ts";
import type { Channel, FromWorker, Report, ToWorker } from "./channel.ts";

/** How to start and watch threads. */
export interface ThreadsOptions {
  channel: Channel;
  /** Number of threads. */
  count: number;
  /** The listening socket. */
  fd: number;
  /** The module that a thread runs. */
  module: URL;
  /** What a thread is given, in its `workerData`; `mustLoad` as for a process. */
  data(thread: number, mustLoad: boolean): unknown;
  mustLoad: boolean;
  /** Seconds of a request after which a thread that shows no sign of life is ended. */
  timeout?: number;
  log(text: string): void;
}

type Drain = Extract<ToWorker, { type: "drain" }>;

interface Member {
  id: number;
  thread: Thread;
  state: "starting" | "ready" | "draining";
  inFlight: number;
  listening: boolean;
  startedAt: number;
  readyAt: number;
  heardAt: number;
  failure: string | undefined;
  /** What it takes the place of, until it is ready. */
  replaces: Member | undefined;
}

/** Bun's name for a heap that is tidied sooner: a tenth less memory, and no fewer requests a second. */
const smallHeap = { smol: true };

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 30_000;
/** A thread that fails in the first moments after it was ready, counts as one that cannot start. */
const EARLY_MS = 2000;
const ALIVE_MS = 1000;
/** Seconds beyond the timeout that a thread has to answer requests itself. */
const DEAF_SECONDS = 5;
/** Seconds that the requests of a thread have that is replaced. */
const REPLACED_GRACE = 30;

/** Runs threads until the supervisor says that it is enough. */
export class Threads {
  readonly #options: ThreadsOptions;
  readonly #members = new Set<Member>();
  readonly #finished = Promise.withResolvers<number>();
  #nextThread = 1;
  #draining: Drain | undefined;
  #closed = false;
  #served = false;
  /** Threads that could not start, since one last could and lasted. */
  #failures = 0;
  #failedAt = 0;
  #notBefore = 0;
  readonly #modules = new Set<string>();
  #asked = new Map<number, { waiting: Set<Member>; reports: Report[] }>();

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** Resolves with the exit status when all threads have ended. */
  run(): Promise<number> {
    const { channel, count, mustLoad } = this.#options;
    channel.onMessage((message) => this.#told(message));
    channel.onClose(() => this.#told({ type: "drain", grace: 1, last: true }));
    for (let i = 0; i < count; i++) this.#start(mustLoad);
    setInterval(() => this.#tick(), ALIVE_MS).unref?.();
    return this.#finished.promise.finally(() => channel.flush());
  }

  /** Lets requests under way finish and ends. */
  end(grace: number): void {
    this.#told({ type: "drain", grace, last: false });
  }

  #start(mustLoad: boolean, replaces?: Member): void {
    const { module, data } = this.#options;
    const id = this.#nextThread++;
    const thread = new Thread(module, { workerData: data(id, mustLoad), ...smallHeap });
    const member: Member = {
      id,
      thread,
      state: "starting",
      inFlight: 0,
      listening: true,
      startedAt: performance.now(),
      readyAt: 0,
      heardAt: performance.now(),
      failure: undefined,
      replaces,
    };
    this.#members.add(member);
    thread.on("message", (message: FromWorker) => this.#heard(member, message));
    thread.on("error", (error) => member.failure ??= String((error as Error)?.stack ?? error));
    thread.on("exit", () => this.#ended(member));
  }

  #told(message: ToWorker): void {
    switch (message.type) {
      case "drain":
        if (this.#draining) return;
        this.#draining = message;
        for (const member of this.#members) this.#drain(member, message);
        return this.#finishIfOver();
      case "report":
        return this.#report(message.id);
      default:
        for (const { thread } of this.#members) thread.postMessage(message);
    }
  }

  #drain(member: Member, message: Drain): void {
    member.state = "draining";
    member.thread.postMessage(message);
  }

  #heard(member: Member, message: FromWorker): void {
    const { channel, log } = this.#options;
    member.heardAt = performance.now();
    switch (message.type) {
      case "ready":
      case "standIn":
        this.#remember(message.modules);
        if (member.state === "starting") {
          member.state = "ready";
          member.readyAt = performance.now();
        }
        setTimeout(() => this.#lasted(member), EARLY_MS).unref?.();
        if (member.replaces && this.#live.includes(member.replaces)) {
          this.#drain(member.replaces, { type: "drain", grace: REPLACED_GRACE, last: false });
        }
        member.replaces = undefined;
        // The process is ready when its last thread is, and again when a stand-in has the application after all.
        if (this.#served || ![...this.#members].some(({ state }) => state === "starting")) {
          this.#served = true;
          channel.send({ ...message, modules: [...this.#modules] });
        }
        return;
      case "failed":
        this.#remember(message.modules);
        member.failure = message.reason;
        return;
      case "state":
        member.inFlight = message.inFlight;
        return this.#tellState();
      case "expired":
        if (message.what !== "requests") return channel.send(message);
        log(`Thread ${member.id} is replaced: ${message.reason}`);
        return this.#start(true, member);
      case "leaving":
        member.state = "draining";
        return this.#fill();
      case "stopped":
        member.listening = false;
        return this.#closeIfUnused();
      case "counts":
      case "status":
        return channel.send(message);
      case "reports": {
        const asked = this.#asked.get(message.id);
        if (!asked?.waiting.delete(member)) return;
        asked.reports.push(...message.reports);
        return this.#reportIfComplete(message.id);
      }
    }
  }

  #ended(member: Member): void {
    this.#members.delete(member);
    for (const [id, asked] of this.#asked) if (asked.waiting.delete(member)) this.#reportIfComplete(id);
    this.#tellState();
    if (member.state === "draining" || this.#draining) {
      this.#fill();
      this.#closeIfUnused();
      return this.#finishIfOver();
    }
    const { channel, log, mustLoad } = this.#options;
    const reason = member.failure ?? "without a reason";
    if (!this.#served && mustLoad) {
      // What one cannot load, none can.
      channel.send({ type: "failed", reason, modules: [...this.#modules] });
      this.#finished.resolve(1);
      return;
    }
    log(`Thread ${member.id} ended: ${reason}`);
    const early = member.state === "starting" || performance.now() - member.readyAt < EARLY_MS;
    const now = performance.now();
    if (early) this.#failedAt = now;
    this.#notBefore = now + (early ? Math.min(FIRST_DELAY_MS * 2 ** this.#failures++, MAX_DELAY_MS) : 0);
    this.#fill();
  }

  #remember(modules: readonly string[]): void {
    for (const file of modules) this.#modules.add(file);
  }

  #lasted(member: Member): void {
    if (this.#members.has(member) && member.startedAt > this.#failedAt) this.#failures = 0;
  }

  get #live(): Member[] {
    return [...this.#members].filter(({ state }) => state !== "draining");
  }

  #fill(): void {
    if (this.#draining || performance.now() < this.#notBefore) return;
    const live = this.#live;
    const counting = live.filter(({ replaces }) => replaces === undefined || !live.includes(replaces)).length;
    // Where others serve, one that cannot load the application would only show its page to some visitors.
    const mustLoad = live.some(({ state }) => state === "ready");
    for (let i = counting; i < this.#options.count; i++) this.#start(mustLoad);
  }

  /** Else who connects would wait for a process that takes nothing any more. */
  #closeIfUnused(): void {
    if (!this.#draining || this.#closed || [...this.#members].some(({ listening }) => listening)) return;
    // Once only: its number may be another file's soon.
    this.#closed = true;
    closeDescriptor(this.#options.fd);
    this.#options.channel.send({ type: "stopped" });
  }

  #finishIfOver(): void {
    if (this.#draining && this.#members.size === 0) this.#finished.resolve(0);
  }

  #tellState(): void {
    let inFlight = 0;
    for (const member of this.#members) inFlight += member.inFlight;
    this.#options.channel.send({ type: "state", inFlight });
  }

  #tick(): void {
    this.#tellState();
    this.#findDeaf();
    this.#fill();
  }

  #findDeaf(): void {
    const { timeout } = this.#options;
    if (timeout === undefined) return;
    for (const member of this.#members) {
      const silent = (performance.now() - member.heardAt) / 1000;
      if (member.state === "starting" || silent < timeout + DEAF_SECONDS) continue;
      member.failure = `it has shown no sign of life for ${Math.round(silent)} s`;
      member.heardAt = performance.now();
      // Deno cannot end a thread in an endless loop. The supervisor starts another process.
      if (runtime.name === "Deno") {
        this.#options.log(`Thread ${member.id} ended: ${member.failure}; on Deno its process ends with it`);
        process.kill(process.pid, "SIGKILL");
      }
      void member.thread.terminate();
    }
  }

  #report(id: number): void {
    const waiting = new Set([...this.#members].filter(({ state }) => state !== "starting"));
    this.#asked.set(id, { waiting, reports: [] });
    for (const { thread } of waiting) thread.postMessage({ type: "report", id });
    this.#reportIfComplete(id);
  }

  #reportIfComplete(id: number): void {
    const asked = this.#asked.get(id);
    if (asked === undefined || asked.waiting.size > 0) return;
    this.#asked.delete(id);
    this.#options.channel.send({ type: "reports", id, reports: asked.reports });
  }
}
