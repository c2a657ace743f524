/**
 * A worker process with threads: each is an event loop with its own copy of the application, and all listen on the
 * socket that the process has on its descriptor 0. Towards the supervisor they are one worker.
 *
 * @module
 */
import { Worker as Thread } from "node:worker_threads";
import { closeDescriptor } from "../runtime/descriptor.ts";
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
  requests: number;
  listening: boolean;
  heardAt: number;
  failure: string | undefined;
  replaces: Member | undefined;
}

/** Bun's name for a heap that is tidied sooner: a tenth less memory, and no fewer requests a second. */
const smallHeap = { smol: true };

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 30_000;
/** Seconds beyond the timeout that a thread has to answer requests itself. */
const DEAF_SECONDS = 5;
/** Seconds that the requests of a thread have that is replaced. */
const REPLACED_GRACE = 30;

/** Runs threads until the supervisor says that it is enough. */
export class Threads {
  readonly #options: ThreadsOptions;
  readonly #members = new Set<Member>();
  readonly #finished = Promise.withResolvers<number>();
  #count: number;
  #nextThread = 1;
  #draining: Drain | undefined;
  #served = false;
  #failures = 0;
  #modules: string[] = [];
  #asked = new Map<number, { waiting: Set<Member>; reports: Report[] }>();

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.#count = options.count;
  }

  /** Resolves with the exit status when all threads have ended. */
  run(): Promise<number> {
    const { channel } = this.#options;
    channel.onMessage((message) => this.#told(message));
    channel.onClose(() => this.#told({ type: "drain", grace: 1, last: true }));
    for (let i = 0; i < this.#count; i++) this.#start(this.#options.mustLoad);
    setInterval(() => this.#findDeaf(), 1000).unref?.();
    return this.#finished.promise;
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
      requests: 0,
      listening: true,
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
      case "threads":
        return this.#resize(message.count);
      case "report":
        return this.#report(message.id);
      default:
        for (const { thread } of this.#members) thread.postMessage(message);
    }
  }

  #resize(count: number): void {
    this.#count = count;
    const live = [...this.#members].filter(({ state }) => state !== "draining");
    for (let i = live.length; i < count; i++) this.#start(true);
    for (const member of live.slice(count)) this.#drain(member, { type: "drain", grace: REPLACED_GRACE, last: false });
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
        this.#modules.push(...message.modules);
        if (message.type === "ready") this.#failures = 0;
        if (member.state === "starting") member.state = "ready";
        if (member.replaces) this.#drain(member.replaces, { type: "drain", grace: REPLACED_GRACE, last: false });
        member.replaces = undefined;
        // The process is ready when its last thread is, and again when a stand-in has the application after all.
        if (this.#served || ![...this.#members].some(({ state }) => state === "starting")) {
          this.#served = true;
          channel.send({ ...message, modules: [...new Set(this.#modules)] });
        }
        return;
      case "failed":
        member.failure = message.reason;
        return;
      case "state":
        member.inFlight = message.inFlight;
        member.requests = message.requests;
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
    if (member.state === "draining" || this.#draining) {
      this.#fill();
      return this.#finishIfOver();
    }
    const { channel, log, mustLoad } = this.#options;
    if (!this.#served && mustLoad) {
      // What one cannot load, none can.
      channel.send({ type: "failed", reason: member.failure ?? "a thread ended" });
      this.#finished.resolve(1);
      return;
    }
    this.#failures++;
    const delay = member.state === "starting" ? Math.min(FIRST_DELAY_MS * 2 ** (this.#failures - 1), MAX_DELAY_MS) : 0;
    log(`Thread ${member.id} ended: ${member.failure ?? "without a reason"}`);
    setTimeout(() => this.#fill(), delay);
  }

  #fill(): void {
    if (this.#draining) return;
    const live = [...this.#members].filter(({ state, replaces }) => state !== "draining" && replaces === undefined).length;
    for (let i = live; i < this.#count; i++) this.#start(true);
  }

  /** Else who connects would wait for a process that takes nothing any more. */
  #closeIfUnused(): void {
    if (this.#draining && ![...this.#members].some(({ listening }) => listening)) closeDescriptor(this.#options.fd);
  }

  #finishIfOver(): void {
    if (this.#draining && this.#members.size === 0) this.#finished.resolve(0);
  }

  #tellState(): void {
    let inFlight = 0;
    let requests = 0;
    for (const member of this.#members) {
      inFlight += member.inFlight;
      requests += member.requests;
    }
    this.#options.channel.send({ type: "state", inFlight, requests });
  }

  #findDeaf(): void {
    const { timeout, log } = this.#options;
    if (timeout === undefined) return;
    for (const member of this.#members) {
      const silent = (performance.now() - member.heardAt) / 1000;
      if (member.state === "starting" || member.inFlight === 0 || silent < timeout + DEAF_SECONDS) continue;
      log(`Thread ${member.id} has shown no sign of life for ${Math.round(silent)} s in the middle of a request: ended`);
      member.inFlight = 0;
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
