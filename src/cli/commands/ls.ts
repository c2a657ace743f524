/**
 * `runfcgi ls`: the servers of this user, or as root of all users.
 *
 * @module
 */
import process from "node:process";
import { CommandError, parseArguments, UsageError } from "../../options/arguments.ts";
import { askControl } from "../../supervisor/control.ts";
import { type RunningServer, runningServers } from "../../supervisor/servers.ts";
import { columns } from "./output.ts";

const table = { json: { help: "Prints JSON.", example: "--json" } };

export const page = {
  usage: `
runfcgi ls [--json]

Lists the servers that run: yours, or as root those of all users. The commands status, reload, stop and logs take the name in
the first column instead of pidfile=PATH. Servers in the foreground are listed with less, since only servers with a pidfile
can be asked.
`,
  options: table,
};

/** A server with what it says of itself, if it can be asked. */
interface Listed extends RunningServer {
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
  process.stdout.write(
    options.json ? `${JSON.stringify(servers, null, 2)}\n` : servers.length === 0 ? "no servers\n" : text(servers),
  );
  return 0;
}

async function asked(server: RunningServer): Promise<Listed> {
  const answer = server.pidfile === undefined
    ? undefined
    : await askControl(server.pidfile, "GET", "/status?json").catch(() => undefined);
  if (!answer?.done) return server;
  const { version, uptime, workers, total } = JSON.parse(answer.text);
  // Threads share the memory of their process.
  const memory = new Map<number, number>(workers.map(({ pid, memory }: { pid: number; memory: number }) => [pid, memory]));
  const sum = [...memory.values()].reduce((all, bytes) => all + bytes, 0);
  return { ...server, version, uptime, workers: workers.length, requests: total.requests, memory: sum };
}

function text(servers: readonly Listed[]): string {
  const rows = servers.map(({ name, pid, pidfile, version, uptime, workers, requests, memory, app }) =>
    [
      name,
      version !== undefined ? "running" : pidfile === undefined ? "foreground" : "no answer",
      pid,
      version ?? "-",
      uptime === undefined ? "-" : `${uptime} s`,
      workers ?? "-",
      requests ?? "-",
      memory === undefined ? "-" : `${(memory / 2 ** 20).toFixed(1)} MiB`,
      app ?? "-",
    ].map(String)
  );
  return columns([["name", "state", "process", "version", "uptime", "workers", "requests", "memory", "application"], ...rows]);
}
