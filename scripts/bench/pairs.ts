/**
 * This source beside an earlier commit of it: the same load in turns, compared pair by pair, so that a machine whose speed
 * drifts is no matter.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "../tools.ts";
import { columns, median } from "./figures.ts";
import { folder, Load, say, startServer } from "./harness.ts";
import { cpuSeconds } from "./proc.ts";
import { ownServers } from "./servers.ts";
import { cellsOf } from "./table.ts";

const CONNECTIONS = 16;
const WARM_UP = 0.6;
/** More than this by the median of the pairs is a loss. */
const LIMIT = 1.03;

/** Compares and prints a table. @returns the exit status: 1 when something has become slower than it may */
export async function pairs(
  revision: string,
  ids: readonly string[],
  protocols: readonly string[],
  count: number,
  seconds: number,
) {
  const before = checkOut(revision);
  const load = new Load();
  const lines = [["", "protocol", "load", "before us", "now us", "ratio", `interval of ${count} pairs`]];
  let lost = false;
  for (const protocol of protocols) {
    const earlier = ownServers(protocol, before);
    for (const [i, server] of ownServers(protocol).entries()) {
      if (!ids.includes(server.id)) continue;
      const start = async (name: string, { prepare }: typeof server) => {
        const place = { folder: join(folder, name), socket: join(folder, `${name}.sock`), connections: CONNECTIONS };
        mkdirSync(place.folder);
        say(`Starting ${name}`);
        return { socket: place.socket, pid: await startServer(prepare(place), place) };
      };
      const sides = [await start(`${server.id}-before`, earlier[i]), await start(`${server.id}-now`, server)];
      for (const { keep, body, title } of cellsOf(server)) {
        const measure = async ({ socket, pid }: typeof sides[0], time: number) => {
          const begun = cpuSeconds(pid);
          const result = await load.run({ protocol, socket, body, keep, connections: CONNECTIONS, seconds: time });
          if (result.error !== undefined) throw new Error(`${server.name}, ${title}: ${result.error}`);
          return (cpuSeconds(pid) - begun) / result.requests * 1e6;
        };
        for (const side of sides) await measure(side, WARM_UP);
        const measured: [number, number][] = [];
        for (let pair = 0; pair < count; pair++) {
          say(`${server.name}, ${protocol}, ${title}: pair ${pair + 1} of ${count}`);
          // Now the one first, now the other.
          const order = pair % 2 === 0 ? [0, 1] : [1, 0];
          const both: [number, number] = [0, 0];
          for (const side of order) both[side] = await measure(sides[side], seconds);
          measured.push(both);
        }
        const ratios = measured.map(([old, now]) => now / old).sort((a, b) => a - b);
        const [low, high] = interval(ratios);
        lost ||= median(ratios) > LIMIT;
        lines.push([
          server.name,
          protocol,
          title,
          ...[0, 1].map((side) => median(measured.map((both) => both[side])).toFixed(1)),
          median(ratios).toFixed(3),
          `${low.toFixed(3)} to ${high.toFixed(3)}`,
        ]);
      }
      for (const { pid } of sides) process.kill(-pid, "SIGKILL");
    }
  }
  say("");
  process.stdout.write(
    `CPU of a request beside ${revision}: the median of the pairs, and where it lies with 95 % confidence\n\n`,
  );
  process.stdout.write(`${columns(lines)}\n`);
  process.stdout.write(`\n${lost ? "missed " : "reached"}  at most ${LIMIT} times the CPU\n`);
  return lost ? 1 : 0;
}

/** The source of a commit, in a folder of its own, with the tools of this one. */
function checkOut(revision: string): string {
  const tree = join(folder, "before");
  mkdirSync(tree);
  const archive = execFileSync("git", ["archive", revision], { cwd: root, maxBuffer: 2 ** 28 });
  execFileSync("tar", ["-x", "-C", tree], { input: archive });
  symlinkSync(join(root, ".tools"), join(tree, ".tools"));
  return tree;
}

/** Order statistics between which the median lies with at least 95 % confidence, by the binomial distribution. */
function interval(sorted: readonly number[]): [number, number] {
  const n = sorted.length;
  let tail = 0.5 ** n;
  let probability = tail;
  let k = 0;
  while (k < n / 2) {
    probability *= (n - k) / (k + 1);
    if (tail + probability > 0.025) break;
    tail += probability;
    k++;
  }
  return [sorted[k], sorted[n - 1 - k]];
}
