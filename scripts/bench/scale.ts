/**
 * What workers bring and take: requests a second with one and with two of them, and memory of each further one.
 *
 * @module
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { columns } from "./figures.ts";
import { folder, Load, say, startServer, stopServers } from "./harness.ts";
import { memory } from "./proc.ts";
import { own } from "./servers.ts";

const CONNECTIONS = 16;
/** Workers between which memory is compared. */
const FEW = 1;
const MANY = 5;

const methods: Record<string, (workers: number) => string[]> = {
  threads: (workers) => ["method=threaded", `threads=${workers}`],
  processes: (workers) => ["method=prefork", `minspare=${workers}`, `maxspare=${workers}`, `maxchildren=${workers}`],
};

/** Prints a table and returns the exit status. */
export async function scale(ids: readonly string[], rounds: number, seconds: number): Promise<number> {
  const load = new Load();
  const lines = [["", "workers", "1 worker", "2 workers", "ratio", "private memory of each further one, idle", "after load"]];
  let number = 0;

  const start = async (command: string[], app: string, words: string[]) => {
    const place = { folder: join(folder, `scale-${++number}`), socket: join(folder, `scale-${number}.sock`) };
    mkdirSync(place.folder);
    const file = fileURLToPath(new URL(app, import.meta.url));
    const pid = await startServer([...command, file, `socket=${place.socket}`, ...words], place);
    // Until all workers are there.
    await sleep(1500);
    return { pid, socket: place.socket };
  };

  for (const { name, command } of own.filter((server) => ids.includes(server.id))) {
    for (const [kind, words] of Object.entries(methods)) {
      say(`${name}, ${kind}`);
      const servers = [await start(command(), "burn.ts", words(1)), await start(command(), "burn.ts", words(2))];
      const rates: number[][] = [[], []];
      for (let round = 0; round < rounds; round++) {
        for (const [i, { socket }] of servers.entries()) {
          const result = await load.run({
            protocol: "fcgi",
            socket,
            body: "small",
            keep: false,
            connections: CONNECTIONS,
            seconds,
          });
          if (result.error !== undefined) throw new Error(`${name}, ${kind}: ${result.error}`);
          rates[i].push(result.requests / result.seconds);
        }
      }
      for (const { pid } of servers) stopServers(pid);
      const pair = [await start(command(), "app.ts", words(FEW)), await start(command(), "app.ts", words(MANY))];
      const each = () => {
        const [few, many] = pair.map(({ pid }) => memory(pid).private);
        return `${((many - few) / (MANY - FEW) / 2 ** 20).toFixed(1)} MiB`;
      };
      const idle = each();
      for (const { socket } of pair) {
        await load.run({ protocol: "fcgi", socket, body: "small", keep: false, connections: CONNECTIONS, seconds });
      }
      const loaded = each();
      for (const { pid } of pair) stopServers(pid);
      const [one, two] = rates.map((list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]);
      lines.push([name, kind, `${one.toFixed(0)}/s`, `${two.toFixed(0)}/s`, (two / one).toFixed(2), idle, loaded]);
    }
  }
  say("");
  process.stdout.write(`${columns(lines)}\n`);
  return 0;
}
