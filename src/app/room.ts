/**
 * What visitors get while the host allows this process no thread: another process answers, or a page does.
 *
 * @module
 */
import { plainResponse } from "../gateway/response.ts";
import { hasThreadPool, lackIsDeadly, limitAdvice, smallLimits, tasksInUse } from "../runtime/tasks.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import type { Log } from "./log.ts";

/** Milliseconds that a thread has to answer. */
const PATIENCE_MS = 1000;
/** Milliseconds that a request may take that perhaps waits for a thread that there is not. */
const STUCK_MS = 1000;
/** Processes and threads that have to be left for one that is not needed. */
const SPARE = 8;

/** Milliseconds between two looks whether there is room meanwhile. */
const LOOK_MS = 3000;

/** Has another process answer; `undefined` where there is none that can, and nothing of the request is lost. */
export type Pass = (request: Request, info: ServeInfo) => Promise<Response | undefined>;

/** Looks, under small limits, whether there are threads for the application. */
export class Room {
  readonly #limits = smallLimits();
  readonly #log: Log;
  readonly #retry: (reason: string) => void;
  readonly #makesRoom: boolean;
  readonly #pass: Pass | undefined;
  /** Decided soon after the start. */
  readonly #found: Promise<boolean>;
  #has: boolean | undefined;

  /**
   * @param retry called when there are none here, and another process can perhaps have them
   * @param makesRoom whether that is at once, since this process is itself one too many
   * @param pass who else may answer, if anybody
   */
  constructor(log: Log, retry: (reason: string) => void, makesRoom = false, pass?: Pass) {
    this.#log = log;
    this.#retry = retry;
    this.#makesRoom = makesRoom;
    this.#pass = pass;
    if (this.#limits === undefined) this.#has = true;
    this.#found = this.#has ? Promise.resolve(true) : hasThreadPool(PATIENCE_MS).then((has) => this.#decide(has));
  }

  #decide(has: boolean): boolean {
    this.#has = has;
    if (has) return true;
    const others = this.#pass ? "are answered by another process of the site, or get" : "get";
    const what = `The host allows this process no thread, and visitors whose requests need one ${others} a page with status 503`;
    this.#log.write(`${what}: ${limitAdvice(this.#limits)}`);
    const reason = "the host allowed it no thread";
    if (this.#makesRoom) {
      this.#retry(reason);
      return false;
    }
    const clock = setInterval(() => {
      if (this.#limits!.processes <= tasksInUse()) return;
      clearInterval(clock);
      this.#retry(reason);
    }, LOOK_MS);
    clock.unref?.();
    return false;
  }

  /** Resolves when what the application needs has been had, or cannot be. */
  async known(): Promise<void> {
    await this.#found;
  }

  /** Whether there are threads here that another process may lack. */
  get hasFew(): boolean {
    return this.#limits !== undefined && this.#has === true;
  }

  /** Whether a process may be started that is useful and no more. */
  get hasSpare(): boolean {
    return this.#limits === undefined || this.#limits.processes - tasksInUse() >= SPARE;
  }

  /** Answers requests that wait in vain. */
  answering(handler: Handler): Handler {
    if (this.#limits === undefined) return handler;
    const own: Handler = (request, info) => {
      if (this.#has === false && lackIsDeadly) return this.#refusal();
      const response = handler(request, info);
      return this.#has || response instanceof Response ? response : this.#inTime(response);
    };
    const pass = this.#pass;
    // Before the application has seen anything of it.
    const passing: Handler = async (request, info) =>
      (await this.#found ? undefined : await pass!(request, info)) ?? await own(request, info);
    return (request, info) => pass && !this.#has ? passing(request, info) : own(request, info);
  }

  async #inTime(response: Promise<Response>): Promise<Response> {
    const { promise: late, resolve } = Promise.withResolvers<Response>();
    let clock: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    this.#found.then((has) => {
      if (!has && !over) clock = setTimeout(() => resolve(this.#refusal()), STUCK_MS);
    });
    try {
      return await Promise.race([response, late]);
    } finally {
      over = true;
      clearTimeout(clock);
    }
  }

  #refusal(): Response {
    const text = `The site has too few processes at this moment. The reason is ${this.#log.place}.`;
    return plainResponse(503, text, { "retry-after": "5" });
  }
}
