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

/** Milliseconds between two checks whether the server has ended. */
const LOOK_MS = 20;
/** Seconds to wait beyond the grace. */
const PATIENCE = 10;

/** Which server; what is given has to be true of it. */
export interface Named {
  pidfile?: string;
  /** Its name, the number of its process, or the file of its application. */
  name?: string;
  /** Path of its Unix socket. */
  socket?: string;
}

/** The server could not be reached, or could not do what was asked. */
export class ControlError extends PlainError {
  override name = "ControlError";
}

function isMeant(server: RunningServer, { name, pidfile, socket }: Named): boolean {
  const has = (path: string | undefined, wanted: string | undefined) => wanted === undefined || path === resolve(wanted);
  const called = name === undefined || server.name === name || String(server.pid) === name || has(server.app, name);
  return called && has(server.pidfile, pidfile) && has(server.socket, socket);
}

/**
 * The server that runs and is meant; or the only one.
 *
 * @throws {UsageError} if it cannot be told which is meant
 */
export function serverOf(command: string, named: Named): RunningServer {
  const { name, pidfile, socket } = named;
  const all = runningServers();
  const found = all.filter((server) => isMeant(server, named));
  if (found.length === 1) return found[0];
  const names = [...new Set(all.map((server) => server.name))];
  if (found.length === 0 && name !== undefined && !all.some((server) => isMeant(server, { name }))) {
    throw new UsageError(`no server is called "${name}"${all.length > 0 ? suggestion(name, names, "ls") : ": none is running"}`);
  }
  const given = Object.entries({ name, pidfile, socket }).flatMap(([what, text]) =>
    text === undefined ? [] : `${what} "${text}"`
  );
  if (found.length === 0 && given.length > 0) {
    throw new UsageError(`no server that runs has the ${given.join(" and the ")}: ls lists them`);
  }
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
function find(command: string, named: Named): Found {
  const { pidfile, name, socket } = named;
  if (pidfile !== undefined) {
    const pid = runningPid(pidfile);
    // Without /proc, none is known.
    const other = (name ?? socket) !== undefined && runningServers().some((s) => s.pid === pid && !isMeant(s, named));
    return other ? serverOf(command, named) : { pidfile, pid };
  }
  if (name !== undefined || socket !== undefined) return serverOf(command, named);
  const how = command === "restart" ? "its pidfile=PATH, which ls --json lists" : "its name, which ls lists, or pidfile=PATH";
  throw new UsageError(`${command} which server? Give ${how}`);
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
