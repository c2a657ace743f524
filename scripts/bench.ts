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
import { mkdirSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { cleaningUp, folder, Load, say, startServer } from "./bench/harness.ts";
import { held } from "./bench/held.ts";
import { limits } from "./bench/limits.ts";
import { memories } from "./bench/memory.ts";
import { pairs } from "./bench/pairs.ts";
import { cpuSeconds, memory } from "./bench/proc.ts";
import { scale } from "./bench/scale.ts";
import { type BenchServer, servers } from "./bench/servers.ts";
import { saves } from "./bench/saves.ts";
import { starts } from "./bench/start.ts";
import { type Cell, cells, cellsOf, type Measured, type Row, table } from "./bench/table.ts";
import { tails } from "./bench/tail.ts";
import { traffic } from "./bench/traffic.ts";

const usage = `Usage: deno task bench [--quick] [--only=bun,c] [--rounds=3] [--seconds=0.9]
       deno task bench --against=COMMIT [--only=bun,ajp] [--rounds=15] [--seconds=0.4]
       deno task bench --held [--only=bun,go]
       deno task bench --limits
       deno task bench --memory [--only=binary,node]
       deno task bench --start [--only=bun,go] [--rounds=20]
       deno task bench --saves [--only=bun,node] [--rounds=10]
       deno task bench --tail [--only=bun,go,php] [--seconds=5]
       deno task bench --scale [--only=bun] [--rounds=3] [--seconds=0.9]

Measures CPU time per request and memory of runfcgi on each runtime and of its peers; with --against, beside an earlier
commit, pair by pair; with --held, how much memory connections make it hold; with --memory,
what an idle server takes; with --start, how soon the first answer comes;
with --saves, how soon a saved change is served; with --tail, how long visitors wait at worst; with --scale, what a second worker brings and what it takes.

  --against    a commit, such as HEAD~1; the exit status is 1 when a request now costs more than 1.03 times the CPU
  --held       half heads, and bodies that nobody reads, in large pieces and in small
  --limits     behind mod_fcgid under ulimit -u and -v in steps: what visitors get, beside php-cgi
  --memory     of all processes after 200 requests, and what a second server, another thread and another process add
  --start      with a listening socket on descriptor 0, as web servers start programs, and as a server of its own
  --saves      from saving the application's file to an answer by the new code, in a preview and by a server
  --tail       a steady rate alone, through a reload, and beside an upload to an application with 3 million objects
  --scale      an application that burns 5 ms of CPU a request, with one worker and with two
  --quick      one short round
  --only       servers to measure, or protocols of which to measure all:
               ${known().join(", ")}
  --rounds     how often everything is measured; the median counts
               (with --against, the number of pairs)
  --seconds    how long one measurement lasts
`;

/** What `--only` takes. */
function known(): string[] {
  return [...new Set([...Object.keys(traffic), ...servers.map((server) => server.id)])];
}

/** Connections at once, each with a request under way. */
const CONNECTIONS = 16;
/**
 * Load before anything is measured: seconds at least and at most, and requests, since compilers wait for the second call or
 * the thousandth, which takes longer on a busy machine.
 */
const WARM_UP = { least: 0.6, most: 6, requests: 20_000 };

/** A server that runs. */
interface Running {
  row: Row;
  socket: string;
  pid: number;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === "number") return options;
  if (options.against !== undefined) {
    const protocols = Object.keys(traffic).filter((protocol) => options.chosen.some((server) => server.protocol === protocol));
    return await pairs(options.against, options.chosen.map(({ id }) => id), protocols, options.rounds, options.seconds);
  }
  if (options.held) return await held(options.chosen.map(({ id }) => id));
  if (options.limits) return await limits();
  if (options.memory) return await memories(options.chosen.map(({ id }) => id));
  if (options.start) return await starts(options.chosen.map(({ id }) => id), options.rounds);
  if (options.saves) return await saves(options.chosen.map(({ id }) => id), options.rounds);
  if (options.tail) return await tails(options.chosen.map(({ id }) => id), options.seconds);
  if (options.scale) return await scale(options.chosen.map(({ id }) => id), options.rounds, options.seconds);
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
    for (const cell of cellsOf(server.row.server)) await warmUp(server, cell, load);
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
  against?: string;
  held: boolean;
  limits: boolean;
  memory: boolean;
  start: boolean;
  saves: boolean;
  tail: boolean;
  scale: boolean;
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
        against: { type: "string" },
        held: { type: "boolean", default: false },
        limits: { type: "boolean", default: false },
        memory: { type: "boolean", default: false },
        start: { type: "boolean", default: false },
        saves: { type: "boolean", default: false },
        tail: { type: "boolean", default: false },
        scale: { type: "boolean", default: false },
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
  const { against } = values;
  const rounds = Number(
    values.rounds ?? (values.quick ? 1 : values.start ? 20 : values.saves ? 10 : against === undefined ? 3 : 15),
  );
  if (!Number.isInteger(rounds) || rounds < 1) return complain(`--rounds=${values.rounds}: expected a whole number from 1`);
  const seconds = Number(values.seconds ?? (values.tail ? 5 : against !== undefined ? 0.4 : values.quick ? 0.5 : 0.9));
  if (!(seconds > 0)) return complain(`--seconds=${values.seconds}: expected a number above 0`);
  const ids = values.only?.split(",") ?? servers.map((server) => server.id);
  const unknown = ids.find((id) => !known().includes(id));
  if (unknown !== undefined) {
    return complain(`--only=${values.only}: there is no "${unknown}", only ${known().join(", ")}`);
  }
  const { held, limits, memory, start, saves, tail, scale } = values;
  return {
    against,
    held,
    limits,
    memory,
    start,
    saves,
    tail,
    scale,
    chosen: servers.filter(({ id, protocol }) => ids.includes(id) || ids.includes(protocol)),
    rounds,
    seconds,
  };
}

/** @throws with the reason when it does not come up */
async function start(row: Row): Promise<Running> {
  const { server } = row;
  const place = { folder: join(folder, server.id), socket: join(folder, `${server.id}.sock`), connections: CONNECTIONS };
  mkdirSync(place.folder);
  return { row, socket: place.socket, pid: await startServer(server.prepare(place), place) };
}

async function warmUp(server: Running, cell: Cell, load: Load): Promise<void> {
  const { row } = server;
  const least = row.server.warmUp ?? WARM_UP.least;
  let requests = 0;
  for (let seconds = 0; seconds < WARM_UP.most && requests < WARM_UP.requests && !row.failures.has(cell); seconds += least) {
    requests += await measure(server, cell, least, load, false);
  }
}

/** Loads a server once, and tells how many requests that were. What failed is not tried again. */
async function measure({ row, socket, pid }: Running, cell: Cell, seconds: number, load: Load, counts: boolean): Promise<number> {
  if (row.failures.has(cell)) return 0;
  const { protocol } = row.server;
  const before = cpuSeconds(pid);
  const result = await load.run({ protocol, socket, body: cell.body, keep: cell.keep, connections: CONNECTIONS, seconds });
  const cpu = cpuSeconds(pid) - before;
  if (result.error !== undefined) {
    row.failures.set(cell, result.error);
    return 0;
  }
  if (counts) {
    const measured: Measured = { microseconds: cpu / result.requests * 1e6, perSecond: result.requests / result.seconds };
    row.cells.set(cell, [...row.cells.get(cell) ?? [], measured]);
  }
  return result.requests;
}

/** What the figures depend on. */
function machine(rounds: number, seconds: number, busyBefore: number): string {
  return `${CONNECTIONS} connections over a Unix socket, ${
    rounds === 1 ? "one round" : `median of ${rounds} rounds`
  } of ${seconds} s, ` +
    `${cpus().length} x ${cpus()[0]?.model.trim() ?? process.arch}, load average before ${busyBefore.toFixed(1)}`;
}

process.exitCode = await cleaningUp(main);
process.exit();
