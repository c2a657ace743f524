/**
 * The notes of a process that no supervisor watches: when it is killed, or crashes, another process of the site tells which
 * requests were under way.
 *
 * @module
 */
import process from "node:process";
import type { Log } from "../app/log.ts";
import type { Monitor, RequestFacts } from "../server/monitor.ts";
import { type Board, Boards, takeLeft } from "../supervisor/board.ts";
import { underWayWords } from "../supervisor/crew.ts";

/** Milliseconds after which it is noted that the process is busy or idle, and how often what is under way. */
const SOON_MS = 20;
const BUSY_MS = 1000;
/** Requests that are noted, the oldest. */
const MOST = 8;
/** Milliseconds between two looks for notes of others. */
const LOOK_MS = 10_000;

/** Notes requests in a folder of its own, which is private. */
export class Notes {
  readonly #site: string;
  readonly #monitor: Monitor;
  readonly #log: Log;
  readonly #boards: Boards;
  readonly #board: Board | undefined;
  #toldBusy = false;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #lookedAt = -Infinity;

  /** @param site the same for all processes of the site */
  constructor(site: string, monitor: Monitor, log: Log) {
    this.#site = site;
    this.#monitor = monitor;
    this.#log = log;
    this.tellOthers();
    this.#boards = new Boards(site);
    this.#board = this.#boards.make();
    process.once("exit", () => this.remove());
  }

  /** The folder, `undefined` where there is no place for one. */
  get folder(): string | undefined {
    return this.#boards.folder;
  }

  /** The file of the notes. */
  get path(): string | undefined {
    return this.#board?.path;
  }

  /** A request begins. */
  begun(request: RequestFacts): void {
    this.#board?.note(0, this.#monitor.begunCount, request);
  }

  /** Requests have begun or ended. */
  changed(): void {
    if (this.#board === undefined || this.#monitor.counts.inFlight > 0 === this.#toldBusy) return;
    this.#soon ??= setTimeout(() => this.#tell(), SOON_MS);
    this.#soon.unref?.();
  }

  #tell(): void {
    clearTimeout(this.#again);
    this.#soon = undefined;
    const { begunCount: begun, counts } = this.#monitor;
    this.#toldBusy = counts.inFlight > 0;
    try {
      this.#board!.tell({ begun, underWay: this.#monitor.underWay(MOST) });
    } catch {
      // A full disk must not stop the site.
    }
    if (!this.#toldBusy) return;
    this.#again = setTimeout(() => this.#tell(), BUSY_MS);
    this.#again.unref?.();
  }

  /** Logs what processes of the site have left that were killed; now and then, however often it is called. */
  tellOthers(): void {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    try {
      for (const { pid, board, endedAt } of takeLeft(this.#site)) {
        const told = board.told();
        const reports = new Map(told ? [[0, told]] : []);
        const when = endedAt === undefined ? "" : ` ${Math.round((Date.now() - endedAt) / 1000)} s ago`;
        this.#log.write(`Process ${pid} was killed or crashed${when}${underWayWords({ reports, board }, [0], endedAt)}`);
        board.remove();
      }
    } catch {
      // No folder for temporary files.
    }
  }

  /** Nothing is under way any more, and a signal may end the process: then others have nothing to tell. */
  disown(): void {
    this.#boards.disown();
  }

  /** This process ends by itself, or another program takes its place. */
  remove(): void {
    clearTimeout(this.#soon);
    clearTimeout(this.#again);
    this.#boards.remove();
  }
}
