/**
 * Measures what a request costs on each runtime and in other languages, and prints a table; a second one
 * is about the protocols besides FastCGI.
 *
 * What counts is CPU time of the server, since that is what many sites on one machine share. All servers run from the
 * beginning to the end and are loaded in turns, so that a busy moment of the machine hits no single one; the median of
 * the rounds counts.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Cell, cells, cellsOf, type Measured, type Row, table } from "./bench/table.ts";
import type { Job, JobResult } from "./bench/load.ts";
import { cpuSeconds, memory } from "./bench/proc.ts";
import { type BenchServer, Missing, servers } from "./bench/servers.ts";
import { traffic } from "./bench/traffic.ts";
import { tools } from "./tools.ts";

const usage = `Usage: deno task bench [--quick] [--only=bun,c] [--rounds=3] [--seconds=0.9]

Measures CPU time per request and memory of runfcgi on each runtime and of its peers.

  --quick      one short round
  --only       servers to measure, or protocols of which to measure all:
               ${known().join(", ")}
  --rounds     how often everything is measured; the median counts
  --seconds    how long one measurement lasts
`;

/** What `--only` takes. */
function known(): string[] {
  return [...new Set([...Object.keys(traffic), ...servers.map((server) => server.id)])];
}

/** Connections at once, each with a request under way. */
const CONNECTIONS = 16;
/** A server that does not accept connections after this many milliseconds is given up. */
const START_TIMEOUT = 20_000;
/** Seconds of load before anything is measured, so that compilers have seen the code. */
const WARM_UP = 0.6;

/** A server that runs. */
interface Running {
  row: Row;
  socket: string;
  pid: number;
}

const folder = mkdtempSync(join(tmpdir(), "bench-"));
const children: ChildProcess[] = [];

function cleanUp(): void {
  for (const { pid } of children.splice(0)) {
    try {
      // Each has a process group of its own.
      process.kill(-pid!, "SIGKILL");
    } catch {
      // It has ended already.
    }
  }
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === "number") return options;
  // What others do meanwhile costs the servers' caches.
  const busyBefore = loadavg()[0];
  const rows: Row[] = options.chosen.map((server) => ({ server, cells: new Map(), failures: new Map() }));
  const load = new Load();
  const running: Running[] = [];
  for (const row of rows) {
    try {
      say(`Starting ${row.server.name}`);
      running.push(await start(row));
    } catch (error) {
      row.missing = (error as Error).message;
    }
  }

  for (const server of running) {
    say(`Warming up ${server.row.server.name}`);
    for (const cell of cellsOf(server.row.server)) await measure(server, cell, server.row.server.warmUp ?? WARM_UP, load, false);
  }
  for (let round = 1; round <= options.rounds; round++) {
    for (const cell of cells) {
      for (const server of running.filter(({ row }) => cellsOf(row.server).includes(cell))) {
        say(`Round ${round} of ${options.rounds}, ${cell.title}: ${server.row.server.name}`);
        await measure(server, cell, options.seconds, load, true);
      }
    }
  }
  for (const { row, pid } of running) row.memory = memory(pid);
  say("");
  process.stdout.write(table(rows, machine(options.rounds, options.seconds, busyBefore)));
  return rows.some((row) => row.failures.size > 0 && row.server.name.startsWith("runfcgi")) ? 1 : 0;
}

interface Options {
  chosen: BenchServer[];
  rounds: number;
  seconds: number;
}

/** Returns an exit status when there is nothing to do. */
function readOptions(): Options | number {
  const complain = (text: string) => {
    process.stderr.write(`${text}\n`);
    return 2;
  };
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        rounds: { type: "string" },
        seconds: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    return complain((error as Error).message);
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) return complain(`--rounds=${values.rounds}: expected a whole number from 1`);
  const seconds = Number(values.seconds ?? (values.quick ? 0.5 : 0.9));
  if (!(seconds > 0)) return complain(`--seconds=${values.seconds}: expected a number above 0`);
  const ids = values.only?.split(",") ?? servers.map((server) => server.id);
  const unknown = ids.find((id) => !known().includes(id));
  if (unknown !== undefined) {
    return complain(`--only=${values.only}: there is no "${unknown}", only ${known().join(", ")}`);
  }
  return { chosen: servers.filter(({ id, protocol }) => ids.includes(id) || ids.includes(protocol)), rounds, seconds };
}

/** @throws with the reason when it does not come up */
async function start(row: Row): Promise<Running> {
  const { server } = row;
  const place = { folder: join(folder, server.id), socket: join(folder, `${server.id}.sock`), connections: CONNECTIONS };
  mkdirSync(place.folder);
  const [command, ...args] = server.prepare(place);
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
    if (await accepts(place.socket)) return { row, socket: place.socket, pid: child.pid! };
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

/** Loads a server once. What failed is not tried again. */
async function measure({ row, socket, pid }: Running, cell: Cell, seconds: number, load: Load, counts: boolean): Promise<void> {
  if (row.failures.has(cell)) return;
  const { protocol } = row.server;
  const before = cpuSeconds(pid);
  const result = await load.run({ protocol, socket, body: cell.body, keep: cell.keep, connections: CONNECTIONS, seconds });
  const cpu = cpuSeconds(pid) - before;
  if (result.error !== undefined) {
    row.failures.set(cell, result.error);
  } else if (counts) {
    const measured: Measured = { microseconds: cpu / result.requests * 1e6, perSecond: result.requests / result.seconds };
    row.cells.set(cell, [...row.cells.get(cell) ?? [], measured]);
  }
}

/** The load generator's process. */
class Load {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    this.#child = spawn(tools().bun, [fileURLToPath(new URL("bench/load.ts", import.meta.url))], {
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

/** What the figures depend on. */
function machine(rounds: number, seconds: number, busyBefore: number): string {
  return `${CONNECTIONS} connections over a Unix socket, ${
    rounds === 1 ? "one round" : `median of ${rounds} rounds`
  } of ${seconds} s, ` +
    `${cpus().length} x ${cpus()[0]?.model.trim() ?? process.arch}, load average before ${busyBefore.toFixed(1)}`;
}

/** Progress, on a line of its own that the next overwrites. */
function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    cleanUp();
    process.exit(130);
  });
}
try {
  process.exitCode = await main();
} finally {
  cleanUp();
}
process.exit();
