/**
 * A crew: workers that are started, watched, replaced and ended. The supervisor has one of processes, and a process with
 * threads one of these.
 *
 * @module
 */
import { inWords, type UnderWay } from "../server/monitor.ts";
import type { Board, Told } from "./board.ts";
import type { Drain, FromWorker, Report, ToWorker } from "./channel.ts";

/** A worker as its crew sees it. */
export interface Member {
  /** For the log, such as `Worker 12`. */
  readonly name: string;
  state: "starting" | "ready" | "draining";
  /** The last reports of it and its threads, by the number of the thread. */
  readonly reports: Map<number, Report>;
  readonly board: Board | undefined;
  /** It may accept connections. */
  listening: boolean;
  /** It answers visitors. So do the threads of a process that are ready before the others. */
  answers: boolean;
  startedAt: number;
  readyAt: number;
  heardAt: number;
  /** When it was asked to end. */
  leftAt: number;
  /** Its requests may take as long as they take. */
  patient: boolean;
  /** Why the application could not be loaded, or why it was ended. */
  failure: string | undefined;
  /** What it takes the place of, until it is ready. */
  replaces: Member | undefined;
  /** The turnover of the crew in which it was replaced. */
  era: number;
}

/** What all crews have to know. */
export interface CrewOptions {
  /** Seconds that event streams have when their worker is replaced, and all requests when it is to stop. */
  grace: number;
  /** Seconds of a request after which a worker that shows no sign of life is ended. */
  timeout?: number;
  /** Seconds that a worker has to load the application. */
  loadTimeout?: number;
  log(text: string): void;
}

/** Seconds that requests have to finish, if nobody says otherwise. */
export const DEFAULT_GRACE = 30;

/** A worker that fails in the first moments after it was ready counts as one that cannot start. */
const EARLY_MS = 2000;
const FIRST_DELAY_MS = 100;
export const MAX_DELAY_MS = 30_000;
/** Seconds beyond the timeout that a worker has to answer requests itself. */
const DEAF_SECONDS = 2;
/** Milliseconds between two ticks beyond which the machine was suspended, and silent workers are not at fault. */
const AWAY_MS = 2000;
/** Time beyond the grace after which a worker is killed. */
const KILL_AFTER_MS = 2000;
/** Generations of replaced workers that may still have requests in flight. */
const OLD_GENERATIONS = 2;

/** Back-off, deafness and graces, the same for processes and threads. */
export abstract class Crew<M extends Member> {
  protected readonly members = new Set<M>();
  readonly #crew: CrewOptions;
  /** Workers that could not start, since one last could and lasted. */
  #failures = 0;
  #failedAt = 0;
  #notBefore = 0;
  #tickedAt = 0;
  #era = 0;
  /** Workers that were replaced in this era. */
  #retired = 0;

  constructor(options: CrewOptions) {
    this.#crew = options;
  }

  /** Starts a worker. */
  protected abstract start(mustLoad: boolean, replaces?: M): void;
  protected abstract send(member: M, message: ToWorker): void;
  /** Ends a worker that does not end itself. */
  protected abstract kill(member: M): void;
  /** Whether all are to end. */
  protected abstract get ending(): boolean;
  /** Workers that there have to be. */
  protected abstract get least(): number;
  /** Whether a worker serves the application, and not a page in its place. */
  protected abstract serves(member: M): boolean;

  protected newMember(name: string, board: Board | undefined, replaces?: Member): Member {
    const now = performance.now();
    return {
      name,
      state: "starting",
      reports: new Map(),
      board,
      listening: true,
      answers: false,
      startedAt: now,
      readyAt: 0,
      heardAt: now,
      leftAt: -Infinity,
      patient: false,
      failure: undefined,
      replaces,
      era: 0,
    };
  }

  protected get live(): M[] {
    return [...this.members].filter(({ state }) => state !== "draining");
  }

  /** Without those whose place another has until they are ready. */
  protected get counting(): M[] {
    const live = this.live;
    return live.filter(({ replaces }) => replaces === undefined || !live.includes(replaces as M));
  }

  protected isReplaced(member: M): boolean {
    return this.live.some(({ replaces }) => replaces === member);
  }

  /** What every message says. */
  protected note(member: M, message: FromWorker): void {
    member.heardAt = performance.now();
    if (message.type !== "state" && message.type !== "status") return;
    member.answers = true;
    member.reports.set(message.report.thread, message.report);
  }

  // Starting

  /** It serves, and what it replaces leaves. */
  protected becameReady(member: M): void {
    if (member.state !== "starting") return;
    member.state = "ready";
    member.readyAt = performance.now();
    if (this.serves(member)) setTimeout(() => this.#lasted(member), EARLY_MS).unref?.();
    const old = member.replaces as M | undefined;
    member.replaces = undefined;
    if (old && this.live.includes(old)) this.retire(old);
  }

  #lasted(member: M): void {
    if (this.members.has(member) && member.startedAt > this.#failedAt) this.#failures = 0;
  }

  /**
   * One has ended unasked; returns the milliseconds after which the next is started.
   *
   * @param forgiven somebody killed it, which says nothing about the code
   * @param most milliseconds of the delay
   */
  protected died(member: M, forgiven = false, most = MAX_DELAY_MS): number {
    const now = performance.now();
    const early = forgiven ? !member.answers : member.readyAt === 0 || now - member.readyAt < EARLY_MS;
    return early ? this.failed(most) : 0;
  }

  /** One could not start; returns the milliseconds after which the next try is due. */
  protected failed(most = MAX_DELAY_MS): number {
    this.#failedAt = performance.now();
    return Math.min(FIRST_DELAY_MS * 2 ** this.#failures++, most);
  }

  protected waitBeforeNext(delay: number): void {
    this.#notBefore = performance.now() + delay;
  }

  protected get mayStart(): boolean {
    return performance.now() >= this.#notBefore;
  }

  /** There is new code, which may be better. */
  protected forgetFailures(): void {
    this.#failures = 0;
    this.#notBefore = 0;
  }

  /** Puts workers in the place of those that ended. */
  protected fill(): void {
    if (this.ending) return;
    // Where others serve, a worker that cannot load the application would only show its page to some visitors.
    const mustLoad = [...this.members].some((member) => member.state === "ready" && this.serves(member));
    for (let i = this.counting.length; i < this.least && this.mayStart; i++) this.start(mustLoad);
  }

  // Leaving

  /** Those that are replaced from now on are a generation of their own. */
  protected nextEra(): void {
    if (this.#retired === 0) return;
    this.#era++;
    this.#retired = 0;
  }

  /**
   * One leaves that is replaced: its requests may take as long as they take, until too many generations wait for theirs.
   */
  protected retire(member: M, grace = this.#crew.grace): void {
    member.era = this.#era;
    this.#retired++;
    this.leave(member, { type: "drain", grace, last: false, patient: true });
    const waiting = [...this.members].filter(({ state, patient }) => state === "draining" && patient);
    const eras = [...new Set(waiting.map(({ era }) => era))].sort((a, b) => a - b);
    const oldest = eras.at(-OLD_GENERATIONS) ?? -Infinity;
    for (const old of waiting) if (old.era < oldest) this.leave(old, { type: "drain", grace, last: false, patient: false });
  }

  /** A replacement for one worker alone: when all have had theirs, an era is over. */
  protected countRecycled(): void {
    if (this.#retired >= this.counting.length) this.nextEra();
  }

  protected leave(member: M, drain: Drain): void {
    if (member.state !== "draining") member.leftAt = performance.now();
    const wasStarting = member.state === "starting";
    member.state = "draining";
    member.patient = drain.patient;
    this.send(member, drain);
    const killAfter = (milliseconds: number, condition = () => true) => {
      setTimeout(() => {
        if (this.members.has(member) && condition()) this.kill(member);
      }, milliseconds + KILL_AFTER_MS).unref?.();
    };
    // It may load for as long as it likes, and notices nothing meanwhile.
    if (wasStarting) killAfter(0, () => [...member.reports.values()].every(({ counts }) => counts.inFlight === 0));
    if (!drain.patient) killAfter(drain.grace * 1000);
  }

  // Watching

  /** Workers in an endless loop stop reporting. */
  protected findDeaf(): void {
    const { timeout, loadTimeout = Infinity } = this.#crew;
    const now = performance.now();
    // The whole machine stood still, or this process did: what the workers said meanwhile is yet to be read.
    const wasAway = now - this.#tickedAt > AWAY_MS;
    this.#tickedAt = now;
    for (const member of this.members) {
      if (member.state === "starting") {
        if (wasAway) member.startedAt = now;
        if ((now - member.startedAt) / 1000 < loadTimeout) continue;
        this.#giveUp(member, `has not loaded the application within ${loadTimeout} s (loadtimeout)`);
        // Once is enough.
        member.startedAt = now;
        continue;
      }
      if (wasAway) member.heardAt = now;
      if (timeout === undefined) continue;
      const silent = (now - member.heardAt) / 1000;
      if (silent < timeout + DEAF_SECONDS) continue;
      this.#giveUp(member, `has shown no sign of life for ${Math.round(silent)} s`);
      member.heardAt = now;
    }
  }

  #giveUp(member: M, failure: string): void {
    this.#crew.log(`${member.name} ${failure}${underWayWords(member)}: killing it`);
    member.failure = failure;
    this.kill(member);
  }
}

/** The requests that a worker reported or noted last, for the end of a sentence. */
export function underWayWords(
  { reports, board }: { reports: ReadonlyMap<number, Told>; board: Board | undefined },
  threads: Iterable<number> = [0, ...reports.keys()],
  now = Date.now(),
): string {
  const requests: UnderWay[] = [...new Set(threads)].flatMap((thread) => {
    const told = reports.get(thread);
    const noted = board?.read(thread);
    // A request that began before the report has ended, or is in the report.
    const more = noted && noted.begun > (told?.begun ?? 0) ? [noted] : [];
    return [...told?.underWay ?? [], ...more];
  });
  return requests.length === 0 ? "" : `; under way: ${inWords(requests, now)}`;
}
