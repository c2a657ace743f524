/**
 * The program with all its processes, under a test's control: what runs, its visitors, and the results.
 *
 * @module
 */
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import type { Address } from "../../src/runtime/socket.ts";
import { Params } from "../../src/protocol/params.ts";
import { request } from "../../src/server/client.ts";
import { removeFolder, temporaryFolder } from "./folder.ts";
import { type Arrived, Peer } from "./peer.ts";
import { isRunning, program, type Running, start, type StartOptions, startServing, until } from "./program.ts";
import { PAUSE_MS } from "./visitors.ts";

/** The program on a socket in a folder of its own, gone at the end of the block. */
export class Service {
  readonly folder: string;
  readonly socket: string;
  readonly running: Running;
  /** All processes that were seen, and when they were started: numbers are used again. */
  readonly #seen = new Map<number, string>();

  private constructor(folder: string, running: Running) {
    this.folder = folder;
    this.socket = join(folder, "s.sock");
    this.running = running;
  }

  /**
   * Starts the program with these files beside it, of which `app.ts` is the application, and waits until it serves.
   *
   * @param early whether to wait for nothing
   */
  static async start(
    files: Record<string, string>,
    words: readonly string[] = [],
    { early = false, ...options }: StartOptions & { early?: boolean } = {},
  ): Promise<Service> {
    const folder = temporaryFolder();
    // The user of a web server has to enter it.
    chmodSync(folder, 0o755);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const socket = join(folder, "s.sock");
    try {
      const running = early
        ? start([...program().command, ...words, `socket=${socket}`], { cwd: folder, ...options })
        : await startServing({ socket }, words, { cwd: folder, ...options });
      const service = new Service(folder, running);
      if (!early) await service.logged(/runfcgi: serving /);
      return service;
    } catch (error) {
      removeFolder(folder);
      throw error;
    }
  }

  get address(): Address {
    return { transport: "unix", path: this.socket };
  }

  /** What was written to standard error. */
  get log(): string {
    return this.running.stderr();
  }

  /** Waits for a line. */
  async logged(pattern: RegExp, times = 1): Promise<void> {
    const all = new RegExp(pattern, "g");
    try {
      await until(`the log says ${pattern}`, () => (this.log.match(all)?.length ?? 0) >= times);
    } catch (error) {
      throw new Error(`${(error as Error).message}. It says:\n${this.log}`);
    }
  }

  /** Puts a file in its place at once, as an upload should. */
  write(name: string, text: string): void {
    const fresh = join(this.folder, `.${name}.new`);
    writeFileSync(fresh, text);
    renameSync(fresh, join(this.folder, name));
  }

  /** What a file says that the application writes. */
  read(name: string): string | undefined {
    try {
      return readFileSync(join(this.folder, name), "utf8");
    } catch {
      return undefined;
    }
  }

  /** Whether the socket has its name. */
  get bound(): boolean {
    return existsSync(this.socket);
  }

  /** Asks on a connection of its own. */
  async ask(path = "/", more: Record<string, string> = {}, signal?: AbortSignal): Promise<{ status: number; text: string }> {
    const params = { REQUEST_METHOD: "GET", REQUEST_URI: path, HTTP_HOST: "localhost", SERVER_PROTOCOL: "HTTP/1.1", ...more };
    const { head, body } = await request({
      address: this.address,
      protocol: "fcgi",
      params: Params.from(Object.entries(params)),
      signal,
    });
    return { status: head.status, text: await new Response(body).text() };
  }

  /** The status page of a program that was started with `status=/status`. */
  async status(): Promise<Status> {
    return JSON.parse((await this.ask("/status?json", { QUERY_STRING: "json" })).text);
  }

  /** Processes of the program, those that end included. */
  processes(): number[] {
    const found = descendants(this.running.pid);
    for (const pid of found) this.#seen.set(pid, startOf(pid));
    return found;
  }

  /** The process that watches the workers: the one that was started, or on Node a child of it. */
  get supervisor(): number {
    return program().name === "node" ? children(this.running.pid)[0] : this.running.pid;
  }

  /** Worker processes. */
  workers(): number[] {
    return this.processes().filter((pid) => parent(pid) === this.supervisor && commandOf(pid) !== "sh");
  }

  /** Waits until nothing is left of what was seen. */
  async gone(): Promise<void> {
    await until(`none of ${[...this.#seen.keys()].join(" ")} is left`, () => this.#left.length === 0);
  }

  get #left(): number[] {
    return [...this.#seen].filter(([pid, begun]) => isRunning(pid) && startOf(pid) === begun).map(([pid]) => pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.processes();
    await this.running.stop();
    for (const pid of this.#left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    removeFolder(this.folder);
  }
}

/** What the status page says, as far as tests look at it. */
export interface Status {
  deaths: number;
  reloads: number;
  workers: {
    pid: number;
    thread: number;
    state: string;
    counts: { requests: number; inFlight: number };
    underWay: { method: string; url: string; since: number }[];
  }[];
  total: {
    requests: number;
    inFlight: number;
    cuts: number;
    statuses: Record<string, number>;
    protocols: Record<string, number>;
  };
}

function stat(pid: number): string[] {
  try {
    // Behind the name, which may have anything in it: state, parent.
    return readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  } catch {
    return [];
  }
}

function parent(pid: number): number {
  return Number(stat(pid)[1]);
}

/** When a process was started, in the kernel's ticks. */
function startOf(pid: number): string {
  return stat(pid)[19] ?? "";
}

/** Name of what a process runs. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

function allProcesses(): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Child processes, in the order of their start: numbers begin again at a small one after the last. */
export function children(pid: number): number[] {
  const begun = new Map<number, number>();
  for (const other of allProcesses()) {
    const fields = stat(other);
    if (Number(fields[1]) === pid) begun.set(other, Number(fields[19]));
  }
  return [...begun.keys()].sort((a, b) => begun.get(a)! - begun.get(b)! || a - b);
}

/** A process and all that it started. */
export function descendants(pid: number): number[] {
  const all = allProcesses().map((other) => ({ pid: other, parent: parent(other) }));
  const found = isRunning(pid) ? [pid] : [];
  for (let i = 0; i < found.length; i++) {
    found.push(...all.filter((other) => other.parent === found[i]).map((other) => other.pid));
  }
  return found;
}

/** Whether a process is a zombie. */
export function isZombie(pid: number): boolean {
  return stat(pid)[0] === "Z";
}

/** Seconds that somebody waits for an answer: as long as it takes to start a worker where much else is going on. */
const PATIENCE = 50;

/** A request that was not answered with 200. */
export interface Failure {
  reason: string;
  /** The crowd's when it was sent. */
  era: number;
}

/** Visitors who ask one thing after the other until they are stopped, or to the end of the block. */
export class Crowd {
  /** Answers by their text. */
  readonly answers = new Map<string, number>();
  /** The texts of the answers that came last. */
  last: string[] = [];
  /** How many requests of each visitor were answered. */
  readonly turns: number[];
  readonly failures: Failure[] = [];
  /**
   * Requests that met a connection which the server was just closing, and were sent again, as web servers do it: the
   * answers that had come on these connections last.
   */
  readonly repeated: string[] = [];
  /** For the test to count, so that it knows of failures what they came after. */
  era = 0;
  readonly #address: Address;
  readonly #visitors: Promise<void>[];
  #over = false;

  /** @param kept how many of them keep their connections */
  constructor(address: Address, count = 16, kept = count / 2) {
    this.#address = address;
    this.turns = Array(count).fill(0);
    this.#visitors = this.turns.map((_, i) => this.#visit(i, i < kept));
  }

  /** Requests that were answered. */
  get answered(): number {
    return this.turns.reduce((sum, count) => sum + count);
  }

  async #visit(visitor: number, keep: boolean): Promise<void> {
    let peer: Peer | undefined;
    let last = "";
    while (!this.#over) {
      const used = keep && peer !== undefined && !peer.closed && !peer.ended;
      let { era } = this;
      try {
        if (!used) peer = await Peer.connect(this.#address);
        const before = peer!.received;
        let answer = await this.#ask(peer!, keep).catch((error) => {
          if (!used || peer!.received > before) throw error;
        });
        if (answer === undefined) {
          this.repeated.push(last);
          peer!.destroy();
          era = this.era;
          peer = await Peer.connect(this.#address);
          answer = await this.#ask(peer, keep);
        }
        const { head, text } = answer;
        if (head?.status !== 200) throw new Error(`${head?.status} ${text.replace(/<[^>]*>|\s+/g, " ").slice(0, 300)}`);
        this.#count(visitor, last = text);
      } catch (error) {
        this.failures.push({ reason: `${keep ? used ? "kept, used" : "kept" : "new"}: ${error}`, era });
        peer?.destroy();
        peer = undefined;
      }
      if (!keep) peer?.destroy();
      await delay(PAUSE_MS);
    }
    peer?.destroy();
  }

  async #ask(peer: Peer, keep: boolean): Promise<Arrived> {
    const response = peer.get("/", { keep });
    await peer.until("a request is answered", () => response.end || peer.ended || peer.closed, PATIENCE * 1000);
    if (response.end === undefined) throw new Error("The connection closed before the request was answered");
    return response;
  }

  #count(visitor: number, text: string): void {
    this.turns[visitor]++;
    this.answers.set(text, (this.answers.get(text) ?? 0) + 1);
    this.last = [text, ...this.last.slice(0, 15)];
  }

  /** Waits until this answer came. */
  async got(text: string): Promise<void> {
    const before = this.answers.get(text) ?? 0;
    await until(`${text} is answered`, () => (this.answers.get(text) ?? 0) > before);
  }

  /** Waits until every visitor has been answered again, while nobody else was so often that it would be unfair. */
  async allGoOn(unfair = 100): Promise<void> {
    const before = [...this.turns];
    const more = () => this.turns.map((count, i) => count - before[i]);
    await until("every visitor is answered again", () => !more().includes(0), PATIENCE + 10);
    if (Math.max(...more()) > unfair) throw new Error(`A visitor had to wait while others were answered: ${more()}`);
  }

  /** Lets them all finish. */
  async end(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#visitors);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}
