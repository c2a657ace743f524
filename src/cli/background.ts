/**
 * Commands for a server in the background, which is known by its pidfile.
 *
 * @module
 */
import { uptime } from "node:os";
import { resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { PlainError } from "../runtime/plain_error.ts";
import { startSeconds } from "../runtime/proc.ts";
import { lineText } from "../server/log_text.ts";
import { askControl, type RestartWords } from "../supervisor/control.ts";
import { isRunning, runningPid } from "../supervisor/pidfile.ts";
import { type RunningServer, runningServers } from "../supervisor/servers.ts";
import { suggestion, UsageError } from "../options/arguments.ts";
import { optionTable } from "../options/options.ts";

/** Milliseconds between two checks whether the server has ended. */
const LOOK_MS = 20;
/** Seconds to wait beyond the grace. */
const PATIENCE = 10;

/** Which server: by its pidfile, by its name or the number of its process, or by its Unix socket. */
export interface Named {
  pidfile?: string;
  name?: string;
  socket?: string;
}

/** Options that name a server for commands which take no others. */
export const namingOptions = {
  pidfile: { ...optionTable.pidfile, default: undefined, help: "The server with this pidfile." },
  socket: { ...optionTable.socket, default: undefined, help: "The server on this Unix socket." },
} as const;

/** The server could not be reached, or could not do what was asked. */
export class ControlError extends PlainError {
  override name = "ControlError";
}

/**
 * The server that runs and has this name, or is this process, with this pidfile and socket; or the only one.
 *
 * @throws {UsageError} if it cannot be told which is meant
 */
export function serverOf(command: string, { name, pidfile, socket }: Named): RunningServer {
  const all = runningServers();
  const has = (path: string | undefined, wanted: string | undefined) => wanted === undefined || path === resolve(wanted);
  const found = all.filter((server) =>
    (name === undefined || server.name === name || String(server.pid) === name) &&
    has(server.pidfile, pidfile) && has(server.socket, socket)
  );
  if (found.length === 1) return found[0];
  const names = [...new Set(all.map((server) => server.name))];
  if (found.length === 0 && name !== undefined) {
    throw new UsageError(`no server is called "${name}"${all.length > 0 ? suggestion(name, names, "ls") : ": none is running"}`);
  }
  const given = pidfile !== undefined ? `pidfile "${pidfile}"` : socket !== undefined ? `socket "${socket}"` : undefined;
  if (found.length === 0 && given !== undefined) throw new UsageError(`no server that runs has the ${given}: ls lists them`);
  if (found.length === 0) throw new UsageError(`${command} which server? None is running`);
  const which = found.map(({ name, pid }) => `${name} (process ${pid})`).join(", ");
  const how = name === undefined && names.length === all.length ? "its name" : "the number of its process";
  throw new UsageError(`${command} which server? There are ${which}: give ${how}`);
}

/** A server that was named: one in the foreground may have no pidfile. */
interface Found {
  pid: number | undefined;
  pidfile?: string;
}

/** @throws {UsageError} if nothing that names a server is given */
function find(command: string, { pidfile, name, socket }: Named): Found {
  if (pidfile !== undefined) return { pidfile, pid: runningPid(pidfile) };
  if (name !== undefined) return serverOf(command, { name });
  if (socket !== undefined) return serverOf(command, { socket });
  throw new UsageError(`${command} which server? Give its name, which ls lists, or pidfile=PATH`);
}

function ask({ pidfile }: Found, ...words: [method: "GET" | "POST", target: string]): ReturnType<typeof askControl> {
  return pidfile === undefined ? Promise.resolve(undefined) : askControl(pidfile, ...words);
}

function say(text: string): void {
  process.stderr.write(`runfcgi: ${text}\n`);
}

/** Stops the server and waits until it has ended. @throws {ControlError} if it does not end */
export async function stop(command: string, named: Named, grace: number): Promise<void> {
  const { pid, pidfile } = find(command, named);
  if (pid === undefined) return say(`no server with the pidfile "${pidfile}" is running`);
  const askedAt = uptime();
  tell(pid, "SIGTERM");
  for (const deadline = Date.now() + (grace + PATIENCE) * 1000; isRunning(pid); await delay(LOOK_MS)) {
    if (Date.now() > deadline) throw new ControlError(`process ${pid} did not stop in time: kill -KILL ${pid} ends it`);
  }
  say(`stopped process ${pid}`);
  // It may just have been replaced by a restart.
  const next = pidfile === undefined ? undefined : runningPid(pidfile);
  if (next !== undefined && startedBefore(next, askedAt)) await stop(command, { pidfile }, grace);
}

/** @param seconds since boot */
function startedBefore(pid: number, seconds: number): boolean {
  try {
    return startSeconds(pid) < seconds;
  } catch {
    return false;
  }
}

/** Makes the server load new code and waits until it serves. @throws {ControlError} if that fails, and the old code goes on */
export async function reload(named: Named): Promise<void> {
  const server = find("reload", named);
  const { pid, pidfile } = server;
  if (pid === undefined) throw new ControlError(`no server with the pidfile "${pidfile}" is running`);
  const answer = await ask(server, "POST", "/reload");
  if (answer === undefined) {
    tell(pid, "SIGHUP");
    return say(`asked process ${pid} to load new code; its log says whether it did`);
  }
  if (!answer.done) throw new ControlError(`the new code cannot be loaded, ${printable(answer.text)}`);
  // A restart may have been under way.
  say(`process ${runningPid(pidfile!) ?? pid} ${printable(answer.text)}`);
}

/**
 * Replaces the server by a new one; the old one goes on until the new one serves. Resolves with `false` if none is running,
 * or one that cannot do this and has to be stopped and started.
 *
 * @throws {ControlError} if the new one cannot start, and the old one goes on
 */
export async function restart(pidfile: string | undefined, words: RestartWords): Promise<boolean> {
  const { pid } = find("restart", { pidfile });
  if (pid === undefined) return false;
  const answer = await askControl(pidfile!, "POST", "/restart", words);
  if (answer === undefined) return false;
  if (!answer.done) throw new ControlError(`process ${pid} still serves: ${printable(answer.text)}`);
  process.stderr.write(`${printable(answer.text, false)}\n`);
  say(`process ${runningPid(pidfile!)} has replaced process ${pid}`);
  return true;
}

/** Shows whether the server runs, and what it does. Resolves with the exit status, 0 if it runs. */
export async function status(named: Named, json = false): Promise<number> {
  const server = find("status", named);
  const { pid, pidfile } = server;
  const answer = pid === undefined ? undefined : await ask(server, "GET", json ? "/status?json" : "/status");
  const known = answer?.done ? answer.text : undefined;
  if (json) process.stdout.write(known ?? `${JSON.stringify({ pid: pid ?? null })}\n`);
  else {
    process.stdout.write(pid === undefined ? `not running ("${pidfile}")\n` : `running, process ${pid}\n`);
    if (known) process.stdout.write(`\n${printable(known)}\n`);
  }
  return pid === undefined ? 1 : 0;
}

/** Escapes a server's text, which contains text from its visitors and its application. */
function printable(text: string, withoutName = true): string {
  const lines = text.trimEnd().split("\n").map(lineText).join("\n");
  return withoutName ? lines.replace(/^runfcgi: /, "") : lines;
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    throw new ControlError(`cannot send a signal to process ${pid}: ${(error as Error).message}. It belongs to another user`);
  }
}
