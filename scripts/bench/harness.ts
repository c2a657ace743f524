/**
 * Servers that run until the benchmark ends, and the process that loads them.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { tools } from "../tools.ts";
import type { Job, JobResult } from "./load.ts";
import { Missing } from "./servers.ts";

/** A server that does not accept connections after this many milliseconds is given up. */
const START_TIMEOUT = 20_000;

/** Gone at the end. */
export const folder = mkdtempSync(join(tmpdir(), "bench-"));
const children: ChildProcess[] = [];

/** Ends a server, or all. */
export function stopServers(pid?: number): void {
  for (const child of children.splice(0)) {
    if (pid !== undefined && child.pid !== pid) {
      children.push(child);
      continue;
    }
    try {
      // Each has a process group of its own. Ours ends its processes itself.
      process.kill(-child.pid!, pid === undefined ? "SIGKILL" : "SIGTERM");
    } catch {
      // It has ended already.
    }
  }
}

/** Runs to the end, and ends with it whatever was started. */
export async function cleaningUp(run: () => Promise<number>): Promise<number> {
  const cleanUp = () => {
    stopServers();
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      cleanUp();
      process.exit(130);
    });
  }
  try {
    return await run();
  } finally {
    cleanUp();
  }
}

/**
 * Starts a server and waits until it accepts.
 *
 * @returns its process ID
 * @throws with the reason when it does not come up
 */
export async function startServer([command, ...args]: string[], place: { folder: string; socket: string }): Promise<number> {
  const logPath = join(place.folder, "log");
  const log = openSync(logPath, "w");
  const child = spawn(command, args, { cwd: place.folder, detached: true, stdio: ["ignore", log, log] });
  let ended: string | undefined;
  child.once("error", (error) => ended = error.message);
  child.once("exit", (status, signal) => ended ??= `it ended with ${signal ?? `status ${status}`}`);
  if (child.pid !== undefined) children.push(child);
  for (let waited = 0; waited < START_TIMEOUT; waited += 50) {
    await sleep(50);
    if (ended !== undefined) break;
    if (await accepts(place.socket)) return child.pid!;
  }
  const said = readFileSync(logPath, "utf8").trim().split("\n")[0];
  throw new Missing([ended ?? "it did not listen in time", said].filter(Boolean).join(": "));
}

function accepts(socket: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const connection = createConnection(socket);
  connection.once("connect", () => {
    connection.destroy();
    resolve(true);
  });
  connection.once("error", () => resolve(false));
  return promise;
}

/** The load generator's process. */
export class Load {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    this.#child = spawn(tools().bun, [fileURLToPath(new URL("load.ts", import.meta.url))], {
      detached: true,
      stdio: ["pipe", "pipe", "inherit"],
    });
    children.push(this.#child);
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async run(job: Job): Promise<JobResult> {
    this.#child.stdin!.write(`${JSON.stringify(job)}\n`);
    const { done, value } = await this.#answers.next();
    if (done) throw new Error("The load generator ended");
    return JSON.parse(value);
  }
}

/** Progress, on a line of its own that the next overwrites. */
export function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
