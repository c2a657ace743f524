/**
 * How soon the first answer comes, and what processor time it takes: from the start of a process that has a listening socket on
 * descriptor 0, with a request waiting, to the first byte; by systemd's socket activation, where the server starts a worker
 * first; and from the start of a server of its own. Beside them, what the runtime itself takes for 12 bytes on such a socket.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createConnection } from "node:net";
import { loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { bindFor } from "../../src/runtime/listen.ts";
import { tools } from "../tools.ts";
import { columns, median } from "./figures.ts";
import { folder, say } from "./harness.ts";
import { cpuSeconds } from "./proc.ts";
import { app, own, spawned, withoutLibrary } from "./servers.ts";
import { traffic } from "./traffic.ts";

const PATIENCE_MS = 30_000;
/** What everything on descriptor 0 is compared with. */
const PHP = "PHP, php-cgi";

/** Milliseconds to the first byte: those that passed, and those of the processor in all its processes. */
interface Start {
  wall: number;
  cpu: number;
}

interface Row {
  name: string;
  what: string;
  once(): Promise<Start>;
  starts: Start[];
}

/** Measures and prints a table. @returns the exit status */
export async function starts(ids: readonly string[], rounds: number): Promise<number> {
  const request = traffic.fcgi.request("small", false);
  // What others have left in the usual folder for temporary files takes its time.
  const environment = { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: "1", TMPDIR: folder };
  const rows: Row[] = [];
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
      return await answered(path, request, begun, child);
    };
    rows.push({ name, what: "descriptor 0", once, starts: [] });
  }
  const activated = [
    ...own.map(({ id, name, command }) => ({ id, name, words: [...withoutLibrary(command()), app] })),
    ...bare(),
  ];
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
      return await answered(path, request, begun, child);
    };
    rows.push({ name, what: "systemd's socket", once, starts: [] });
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
        return answered(path, request, begun, child);
      };
      rows.push({ name, what: `own server, ${threads} thread${threads > 1 ? "s" : ""}`, once, starts: [] });
    }
  }
  // In turns, so that a busy moment hits no single one.
  for (let round = 0; round <= rounds; round++) {
    for (const row of rows) {
      say(`Round ${round} of ${rounds}: ${row.name}`);
      const start = await row.once();
      // The first one reads the files from the disk.
      if (round > 0) row.starts.push(start);
    }
  }
  const php = rows.find(({ name }) => name === PHP);
  /** The median of the rounds, each divided by that of php-cgi. */
  const beside = ({ what, starts }: Row, kind: keyof Start) =>
    php === undefined || what !== php.what ? "" : median(starts.map((start, i) => start[kind] / php.starts[i][kind])).toFixed(2);
  say("");
  const lines = [["", "", "median", "fastest", "slowest", "x php-cgi", "CPU", "x php-cgi"]];
  for (const row of rows) {
    const times = row.starts.map(({ wall }) => wall);
    const cpu = median(row.starts.map((start) => start.cpu));
    const [middle, fastest, slowest, ofProcessor] = [median(times), Math.min(...times), Math.max(...times), cpu].map((ms) =>
      `${ms.toFixed(1)} ms`
    );
    lines.push([row.name, row.what, middle, fastest, slowest, beside(row, "wall"), ofProcessor, beside(row, "cpu")]);
  }
  process.stdout.write(
    `From the start to the first byte of an answer, ${rounds} rounds, load average ${loadavg()[0].toFixed(1)}\n\n`,
  );
  process.stdout.write(`${columns(lines)}\n`);
  return 0;
}

/** Asks until there is an answer, and ends the program. */
async function answered(path: string, request: Uint8Array, begun: number, child: ChildProcess): Promise<Start> {
  try {
    return await firstByte(path, request, begun, child.pid!);
  } finally {
    await end(child);
  }
}

async function firstByte(path: string, request: Uint8Array, begun: number, pid: number): Promise<Start> {
  for (;;) {
    const start = await new Promise<Start | undefined>((resolve) => {
      const socket = createConnection(path, () => socket.write(request));
      socket.once("data", () => resolve({ wall: performance.now() - begun, cpu: cpuSeconds(pid) * 1000 }));
      socket.once("error", () => resolve(undefined));
      socket.once("close", () => resolve(undefined));
      socket.once("data", () => socket.destroy());
    });
    if (start !== undefined) return start;
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`${path} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** By a signal that lets it clean up: the next one would tell of one that was killed. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const late = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), PATIENCE_MS);
  await ended;
  clearTimeout(late);
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
