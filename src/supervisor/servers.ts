/**
 * The servers that run on this machine, found by what /proc says of processes: this user's, or as root everybody's.
 *
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type Handed, handedIn } from "./pidfile.ts";

/** Options that name log files. */
export const logNames = ["errlog", "outlog", "accesslog", "slowlog"] as const;

/** A server that runs. */
export interface RunningServer {
  /** Name of its pidfile without the extension, otherwise of its application, or of the folder of an `app.ts`. */
  name: string;
  pid: number;
  /** None where it runs in the foreground. */
  pidfile?: string;
  /** File of its application, or the command of `exec`. */
  app?: string;
  /** Path of the Unix socket that it has bound. */
  socket?: string;
  /** Folder of its own pages, if that is not the application's. */
  pages?: string;
  /** Paths of its log files. */
  logs: { [Name in typeof logNames[number]]?: string };
}

/** All servers by name. Where there is no /proc, none is found. */
export function runningServers(proc = "/proc"): RunningServer[] {
  const servers = new Map<number, RunningServer>();
  for (const pid of processesIn(proc)) {
    const handed = handedTo(`${proc}/${pid}`);
    // In the foreground, the supervisor is whoever started a worker, or its guard.
    const server = handed?.role === "supervisor" ? pid : handed?.role === "worker" ? parentOf(`${proc}/${pid}`) : undefined;
    if (handed !== undefined && server !== undefined && !servers.has(server)) {
      servers.set(server, described(server, handed, `${proc}/${server}`));
    }
  }
  return [...servers.values()].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.pid - b.pid);
}

function processesIn(proc: string): number[] {
  try {
    return readdirSync(proc).filter((name) => /^\d+$/.test(name)).map(Number).sort((a, b) => a - b);
  } catch {
    return [];
  }
}

function handedTo(folder: string): Handed | undefined {
  try {
    return handedIn(readFileSync(`${folder}/environ`, "utf8").split("\0"));
  } catch {
    // It has ended, or is another user's.
    return undefined;
  }
}

function parentOf(folder: string): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`${folder}/status`, "utf8"))?.[1]) || undefined;
  } catch {
    return undefined;
  }
}

function cwdOf(folder: string): string {
  try {
    return readlinkSync(`${folder}/cwd`);
  } catch {
    return "/";
  }
}

function described(pid: number, { app, options = {}, bound, cwd }: Handed, folder: string): RunningServer {
  const text = (name: string) => typeof options[name] === "string" ? options[name] : undefined;
  const pidfile = text("pidfile");
  const served = app ?? text("exec");
  const file = pidfile ?? served ?? "runfcgi";
  const own = basename(file).replace(/\.\w+$/, "");
  // Many are called app.ts, in folders with names of their own.
  const name = own === "app" && basename(dirname(file)) || own;
  const path = bound?.address?.path;
  const logs = Object.fromEntries(logNames.map((log) => [log, text(log)]));
  return { name, pid, pidfile, app: served, socket: path && resolve(cwd ?? cwdOf(folder), path), pages: text("pages"), logs };
}
