/**
 * How soon the first answer comes: from the start of a process that has a listening socket on descriptor 0, with a request
 * waiting, to the first byte; by systemd's socket activation, where the server starts a worker first; and from the start of a
 * server of its own. Beside them, what the runtime itself takes for 12 bytes on such a socket.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { bindFor } from "../../src/runtime/listen.ts";
import { tools } from "../tools.ts";
import { folder, say } from "./harness.ts";
import { app, own, spawned } from "./servers.ts";
import { traffic } from "./traffic.ts";

const PATIENCE_MS = 10_000;

/** Measures and prints a table. @returns the exit status */
export async function starts(ids: readonly string[], rounds: number): Promise<number> {
  const request = traffic.fcgi.request("small", false);
  const environment = { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: "1" };
  /** Milliseconds to the first byte, in turns, so that a busy moment hits no single one. */
  const rows: { name: string; what: string; once(): Promise<number>; times: number[] }[] = [];
  let number = 0;

  for (const { id, name, command } of spawned.filter(({ id }) => ids.includes(id))) {
    const place = join(folder, `spawned-${id}`);
    mkdirSync(place);
    const [program, ...rest] = command(place);
    const once = async () => {
      const path = join(place, `s${number++}`);
      const bound = await bindFor({ transport: "unix", path });
      const begun = performance.now();
      const child = spawn(program, rest, { stdio: [bound.fd, "ignore", "ignore"], env: environment, detached: true });
      bound.release();
      return await answered(path, request, begun).finally(() => end(child));
    };
    rows.push({ name, what: "descriptor 0", once, times: [] });
  }
  const activated = [...own.map(({ id, name, command }) => ({ id, name, words: [...command(), app] })), ...bare()];
  for (const { name, words } of activated.filter(({ id }) => ids.includes(id))) {
    const place = join(folder, `activated-${rows.length}`);
    mkdirSync(place);
    const once = async () => {
      const path = join(place, `s${number++}`);
      const bound = await bindFor({ transport: "unix", path });
      const begun = performance.now();
      const script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"';
      const child = spawn("sh", ["-c", script, "sh", ...words], {
        stdio: ["ignore", "ignore", "ignore", bound.fd],
        env: environment,
        detached: true,
      });
      bound.release();
      return await answered(path, request, begun).finally(() => end(child));
    };
    rows.push({ name, what: "systemd's socket", once, times: [] });
  }
  for (const { id, name, command } of own.filter(({ id }) => ids.includes(id))) {
    for (const threads of [1, 2]) {
      const place = join(folder, `served-${id}-${threads}`);
      mkdirSync(place);
      const [program, ...rest] = command();
      const once = () => {
        const path = join(place, `s${number++}`);
        const begun = performance.now();
        const words = [...rest, app, `socket=${path}`, `threads=${threads}`];
        const child = spawn(program, words, { stdio: "ignore", env: environment, detached: true });
        return answered(path, request, begun).finally(() => end(child));
      };
      rows.push({ name, what: `own server, ${threads} thread${threads > 1 ? "s" : ""}`, once, times: [] });
    }
  }
  for (let round = 0; round <= rounds; round++) {
    for (const row of rows) {
      say(`Round ${round} of ${rounds}: ${row.name}`);
      const time = await row.once();
      // The first one reads the files from the disk.
      if (round > 0) row.times.push(time);
    }
  }
  say("");
  const lines = [["", "", "median", "fastest", "slowest"]];
  for (const { name, what, times } of rows) {
    const sorted = times.toSorted((a, b) => a - b);
    lines.push([name, what, ...[sorted[sorted.length >> 1], sorted[0], sorted.at(-1)!].map((ms) => `${ms.toFixed(1)} ms`)]);
  }
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  process.stdout.write(`From the start to the first byte of an answer, ${rounds} rounds\n\n`);
  process.stdout.write(`${lines.map((line) => line.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd()).join("\n")}\n`);
  return 0;
}

/** Asks until there is an answer. */
async function answered(path: string, request: Uint8Array, begun: number): Promise<number> {
  for (;;) {
    const time = await new Promise<number | undefined>((resolve) => {
      const socket = createConnection(path, () => socket.write(request));
      socket.once("data", () => resolve(performance.now() - begun));
      socket.once("error", () => resolve(undefined));
      socket.once("close", () => resolve(undefined));
      socket.once("data", () => socket.destroy());
    });
    if (time !== undefined) return time;
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`${path} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    return;
  }
  await ended;
}

/** The least that each runtime takes. */
function bare(): { id: string; name: string; words: string[] }[] {
  const peer = join(import.meta.dirname!, "peer_activated.mjs");
  return [
    { id: "bun", name: "Bun, bare socket", words: [tools().bun, peer] },
    { id: "deno", name: "Deno, bare socket", words: [tools().deno, "run", "-A", peer] },
    { id: "node", name: "Node, bare socket", words: [tools().node, peer] },
  ];
}
