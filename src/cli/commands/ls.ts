/**
 * `runfcgi ls`: the servers of this user, or as root of all users.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { CommandError, parseArguments, UsageError } from "../../options/arguments.ts";
import { screenOf } from "../../options/terminal.ts";
import { askControl } from "../../supervisor/control.ts";
import { type RunningServer, runningServers } from "../../supervisor/servers.ts";
import { columns, json } from "./output.ts";

/** Milliseconds that a server has to say what it does. */
const PATIENCE_MS = 2000;

const table = { json };

export const page = {
  usage: `
runfcgi ls [--json]

Lists the servers that run: yours, or as root those of all users. The commands status, reload, stop and logs take the name in
the first column, or the number of the process, instead of pidfile=PATH. Servers in the foreground are listed with less, since only servers with a pidfile
can be asked.
`,
  options: table,
};

/** A server with what it says of itself, if it can be asked. */
export interface Listed extends RunningServer {
  version?: string;
  /** Seconds. */
  uptime?: number;
  workers?: number;
  requests?: number;
  /** Bytes. */
  memory?: number;
}

/** Runs the command and resolves with the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  const { options, plain } = parseArguments(args, table);
  if (plain.length > 0) throw new UsageError(`ls lists all servers: leave out "${plain[0]}"`);
  if (process.platform !== "linux") throw new CommandError("ls needs the /proc of Linux: use status pidfile=PATH");
  const servers = await Promise.all(runningServers().map(asked));
  const width = process.stdout.isTTY ? screenOf(process.stdout).width : Infinity;
  process.stdout.write(
    options.json ? `${JSON.stringify(servers, null, 2)}\n` : servers.length === 0 ? "no servers\n" : listText(servers, width),
  );
  return 0;
}

async function asked(server: RunningServer): Promise<Listed> {
  if (server.pidfile === undefined) return server;
  // A server may be stopped or busy.
  const late = delay(PATIENCE_MS, undefined, { ref: false });
  const answer = await Promise.race([askControl(server.pidfile, "GET", "/status?json").catch(() => undefined), late]);
  if (!answer?.done) return server;
  const { version, uptime, workers, total } = JSON.parse(answer.text);
  // Threads share the memory of their process.
  const memory = new Map<number, number>(workers.map(({ pid, memory }: { pid: number; memory: number }) => [pid, memory]));
  const sum = [...memory.values()].reduce((all, bytes) => all + bytes, 0);
  return { ...server, version, uptime, workers: workers.length, requests: total.requests, memory: sum };
}

/** The titles of the columns, those last that a narrow terminal leaves out first. */
const titles = ["name", "state", "process", "requests", "memory", "application", "uptime", "workers", "version"] as const;

/** The list as a table of at most this width, if that can be. */
export function listText(servers: readonly Listed[], width: number): string {
  const cells = servers.map(({ name, pid, pidfile, version, uptime, workers, requests, memory, app }) => ({
    name,
    state: version !== undefined ? "running" : pidfile === undefined ? "foreground" : "no answer",
    process: pid,
    requests,
    memory: memory === undefined ? undefined : `${(memory / 2 ** 20).toFixed(1)} MiB`,
    application: app,
    uptime: uptime === undefined ? undefined : `${uptime} s`,
    workers,
    version,
  }));
  for (let count: number = titles.length;; count--) {
    const shown = titles.slice(0, count);
    const table = columns([[...shown], ...cells.map((row) => shown.map((title) => String(row[title] ?? "-")))]);
    if (count === 4 || table.split("\n").every((line) => line.length <= width)) return table;
  }
}
