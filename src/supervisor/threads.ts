/**
 * A worker process with threads: each is an event loop with its own copy of the application, and all listen on the
 * socket that the process has on its descriptor 0. Towards the supervisor they are one worker.
 *
 * @module
 */
import process from "node:process";
import { Worker as Thread } from "node:worker_threads";
import { shrinkSoon } from "../runtime/collect.ts";
import { closeDescriptor } from "../runtime/descriptor.ts";
import { runtime } from "../runtime/name.ts";
import { limitAdvice } from "../runtime/tasks.ts";
import type { Board } from "./board.ts";
import type { Channel, Drain, FromWorker, ToWorker } from "./channel.ts";
import { Crew, type CrewOptions, type Member, underWayWords } from "./crew.ts";

/** How to start and watch threads. */
export interface ThreadsOptions extends CrewOptions {
  channel: Channel;
  /** Number of threads. */
  count: number;
  /** The listening socket. */
  fd: number;
  /** The module that a thread runs. */
  module: URL;
  /** What a thread is given, in its `workerData`; `mustLoad` and `waits` as for a process. */
  data(thread: number, how: { mustLoad: boolean; waits: boolean }): unknown;
  mustLoad: boolean;
  /** The application is loaded when the supervisor says so. */
  waits: boolean;
  /** Called before the application is loaded. */
  onBegin(): void;
  board?: Board;
}

interface ThreadMember extends Member {
  readonly id: number;
  readonly thread: Thread;
}

/** Bun's name for a heap that is tidied sooner: a tenth less memory, and no fewer requests a second. */
const smallHeap = { smol: true };

const ALIVE_MS = 1000;
/** Milliseconds that a thread has to end when it is made to. */
const STUCK_MS = 2000;
/** Seconds that requests have when the supervisor is gone. */
const ORPHAN_GRACE = 1;

/** Runs threads until the supervisor says that it is enough. */
export class Threads extends Crew<ThreadMember> {
  readonly #options: ThreadsOptions;
  readonly #finished = Promise.withResolvers<number>();
  #nextThread = 1;
  #draining: Drain | undefined;
  #closed = false;
  #served = false;
  #mustLoad: boolean;
  #waits: boolean;
  readonly #modules = new Set<string>();
  /** A thread is left that does not end. */
  #isStuck = false;

  constructor(options: ThreadsOptions) {
    super(options);
    this.#options = options;
    this.#mustLoad = options.mustLoad;
    this.#waits = options.waits;
  }

  /** Resolves with the exit status when all threads have ended. */
  run(): Promise<number> {
    const { channel, count, onBegin } = this.#options;
    channel.onMessage((message) => this.#told(message));
    channel.onClose(() => this.end(ORPHAN_GRACE, true));
    if (!this.#waits) onBegin();
    for (let i = 0; i < count && this.mayStart; i++) this.start(this.#mustLoad);
    setInterval(() => this.#tick(), ALIVE_MS).unref?.();
    return this.#finished.promise.finally(async () => {
      await channel.flush();
      // Node would wait for the thread.
      if (this.#isStuck) process.kill(process.pid, "SIGKILL");
    });
  }

  /** Lets requests under way finish and ends. */
  end(grace: number, last = false): void {
    this.#told({ type: "drain", grace, last, patient: false });
  }

  protected override start(mustLoad: boolean, replaces?: ThreadMember): void {
    const { module, data, board } = this.#options;
    const id = this.#nextThread++;
    let thread: Thread;
    try {
      thread = new Thread(module, { workerData: data(id, { mustLoad, waits: this.#waits }), ...smallHeap });
    } catch (error) {
      return this.#cannotStart(id, error as Error);
    }
    const member: ThreadMember = { ...this.newMember(`Thread ${id}`, board, replaces), id, thread };
    this.members.add(member);
    thread.on("message", (message: FromWorker) => this.#heard(member, message));
    thread.on("error", (error) => member.failure ??= `ended: ${(error as Error)?.stack ?? error}`);
    thread.on("exit", (code) => this.#ended(member, code));
  }

  /** The next attempt is made at a later tick, so that the log is not flooded. */
  #cannotStart(id: number, { message }: Error): void {
    const { channel, log } = this.#options;
    const reason = `the host allows no further thread (${message}): ${limitAdvice()}`;
    if (this.members.size === 0 && this.#mustLoad && !this.#served) {
      channel.send({ type: "failed", reason, modules: [] });
      return this.#finished.resolve(1);
    }
    log(`Thread ${id} could not be started: ${reason}`);
    this.waitBeforeNext(this.failed());
  }

  protected override send({ thread }: ThreadMember, message: ToWorker): void {
    thread.postMessage(message);
  }

  protected override kill(member: ThreadMember): void {
    // Deno says that it has ended the thread, which runs on.
    if (runtime.name === "Deno") this.#leaveProcess(member);
    void member.thread.terminate();
    setTimeout(() => {
      if (!this.members.has(member)) return;
      this.#leaveProcess(member);
      this.#isStuck = true;
      this.#ended(member, 1);
    }, STUCK_MS).unref?.();
  }

  /** Its process has to go, since nothing else ends a thread: it may wait for a program that it has started. */
  #leaveProcess({ id }: ThreadMember): void {
    const reason = `thread ${id} hangs, and only the end of its process ends it`;
    this.#options.channel.send({ type: "expired", what: "stuck", reason });
  }

  protected override get ending(): boolean {
    return this.#draining !== undefined;
  }

  protected override get least(): number {
    return this.#options.count;
  }

  protected override serves({ readyAt }: ThreadMember): boolean {
    return readyAt !== 0;
  }

  #told(message: ToWorker): void {
    if (message.type === "drain") {
      this.#draining = message;
      for (const member of this.members) this.leave(member, message);
      return this.#finishIfOver();
    }
    if (message.type === "begin") {
      this.#waits = false;
      this.#mustLoad = message.mustLoad;
      try {
        this.#options.onBegin();
      } catch (error) {
        return this.#finished.reject(error);
      }
    }
    for (const member of this.members) this.send(member, message);
  }

  #heard(member: ThreadMember, message: FromWorker): void {
    const { channel, log } = this.#options;
    this.note(member, message);
    switch (message.type) {
      case "ready":
      case "standIn":
        this.#remember(message.modules);
        this.becameReady(member);
        // The process is ready when its last thread is, and again when a stand-in has the application after all.
        if (this.#served || ![...this.members].some(({ state }) => state === "starting")) {
          if (!this.#served) shrinkSoon();
          this.#served = true;
          channel.send({ ...message, modules: [...this.#modules] });
        }
        return;
      case "failed":
        this.#remember(message.modules);
        member.failure = `could not start: ${message.reason}`;
        return;
      case "expired":
        if (message.what !== "requests") return channel.send(message);
        log(`${member.name} is replaced: ${message.reason}`);
        this.countRecycled();
        return this.start(true, member);
      case "leaving":
        if (member.state === "draining") return;
        this.countRecycled();
        this.retire(member);
        return this.fill();
      case "stopped":
        member.listening = false;
        return this.#closeIfUnused();
      default:
        channel.send(message);
    }
  }

  #ended(member: ThreadMember, code: number): void {
    if (!this.members.delete(member)) return;
    const { channel, log } = this.#options;
    const wasAt = underWayWords(member, [member.id]);
    channel.send({ type: "gone", thread: member.id });
    if (member.state === "draining" || this.#draining) {
      if (code !== 0 || member.failure) {
        log(`${member.name} exited with status ${code} while it finished its requests${wasAt}`);
      }
      this.fill();
      this.#closeIfUnused();
      return this.#finishIfOver();
    }
    // What one cannot load, none can; and who starts this process knows how often that is tried.
    if (!this.#served && (this.#mustLoad || this.members.size === 0)) {
      const reason = member.failure?.replace(/^could not start: /, "") ?? `a thread exited with status ${code}`;
      channel.send({ type: "failed", reason, modules: [...this.#modules] });
      this.#finished.resolve(1);
      return;
    }
    log(`${member.name} ${member.failure ?? `exited with status ${code}`}${wasAt}`);
    this.waitBeforeNext(this.died(member));
    this.fill();
  }

  #remember(modules: readonly string[]): void {
    for (const file of modules) this.#modules.add(file);
  }

  /** Otherwise new clients would queue behind a process that no longer accepts. */
  #closeIfUnused(): void {
    if (!this.#draining || this.#closed || [...this.members].some(({ listening }) => listening)) return;
    // Once only: its number may be another file's soon.
    this.#closed = true;
    closeDescriptor(this.#options.fd);
    this.#options.channel.send({ type: "stopped" });
  }

  #finishIfOver(): void {
    if (this.#draining && this.members.size === 0) this.#finished.resolve(0);
  }

  #tick(): void {
    this.#options.channel.send({ type: "alive" });
    this.findDeaf();
    this.fill();
  }
}
