/**
 * What an idle server takes, after 200 requests, and what a second one of the program adds, another thread, and another process.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createConnection } from "node:net";
import { loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { columns } from "./figures.ts";
import { folder, say, startServer, stopServers } from "./harness.ts";
import { type Memory, memory } from "./proc.ts";
import { own } from "./servers.ts";
import { traffic } from "./traffic.ts";

const REQUESTS = 200;
/** Milliseconds after which nothing of the start, or of the requests, is under way. */
const SETTLED_MS = 3000;

interface Case {
  title: string;
  /** Servers that run at once, with these options. */
  servers: readonly (readonly string[])[];
  /** The case with one less: the difference is what counts. */
  beside?: Case;
}

const processes = (
  count: number,
) => ["method=prefork", ...["minspare", "maxspare", "maxchildren"].map((name) => `${name}=${count}`)];

const one: Case = { title: "threads=1", servers: [["threads=1"]] };
const threads: Case = { title: "threads=2", servers: [["threads=2"]] };
const prefork: Case = { title: "2 processes", servers: [processes(2)] };
const cases: readonly Case[] = [
  one,
  { title: "a second server adds", servers: [["threads=1"], ["threads=1"]], beside: one },
  threads,
  { title: "a third thread adds", servers: [["threads=3"]], beside: threads },
  prefork,
  { title: "a third process adds", servers: [processes(3)], beside: prefork },
];

/** Measures and prints a table. @returns the exit status */
export async function memories(ids: readonly string[]): Promise<number> {
  const app = join(import.meta.dirname!, "app.ts");
  const lines = [["", "MiB", "private", "of it dirty", "of it of files", "Pss"]];
  for (const { id, name, command } of own.filter(({ id }) => ids.includes(id))) {
    const [program, ...rest] = command();
    // Pages of a file that was just written count as dirty until they are on the disk.
    execFileSync("sync", [program]);
    const taken = new Map<Case, Memory>();
    for (const [i, each] of cases.entries()) {
      const { title, servers, beside } = each;
      say(`${name}, ${title}`);
      const pids: number[] = [];
      const sockets: string[] = [];
      for (const [j, words] of servers.entries()) {
        const place = { folder: join(folder, `memory-${id}-${i}-${j}`), socket: join(folder, `memory-${id}-${i}-${j}.sock`) };
        mkdirSync(place.folder);
        pids.push(await startServer([program, ...rest, app, `socket=${place.socket}`, ...words], place));
        sockets.push(place.socket);
      }
      // All workers run.
      await sleep(SETTLED_MS);
      for (const socket of sockets) for (let count = 0; count < REQUESTS; count++) await ask(socket);
      await sleep(SETTLED_MS);
      const now = sum(pids.map(memory));
      taken.set(each, now);
      const less = beside && taken.get(beside)!;
      const added = (kind: keyof Memory) => now[kind] - (less?.[kind] ?? 0);
      const kinds = [added("private"), added("dirty"), added("private") - added("dirty"), added("proportional")];
      lines.push([name, title, ...kinds.map((bytes) => (bytes / 2 ** 20).toFixed(1))]);
      for (const pid of pids) stopServers(pid);
      await sleep(SETTLED_MS / 3);
    }
  }
  say("");
  process.stdout.write(
    `Memory of all processes after ${REQUESTS} requests, by smaps_rollup, load average ${
      loadavg()[0].toFixed(1)
    }. Pages of the ` +
      "program's file\ncount as private while no other process has them: a second server shares them\n\n",
  );
  process.stdout.write(`${columns(lines)}\n`);
  return 0;
}

function sum(servers: readonly Memory[]): Memory {
  const total = (kind: keyof Memory) => servers.reduce((bytes, server) => bytes + server[kind], 0);
  return {
    resident: total("resident"),
    private: total("private"),
    dirty: total("dirty"),
    proportional: total("proportional"),
  };
}

function ask(path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = createConnection(path, () => socket.write(traffic.fcgi.request("small", false)));
  socket.on("error", reject).on("close", () => resolve()).resume();
  return promise;
}
