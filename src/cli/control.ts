/**
 * Commands for a server that runs in the background, which its pidfile names.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { PlainError } from "../runtime/plain_error.ts";
import { isRunning, runningPid } from "../supervisor/pidfile.ts";
import { UsageError } from "./words.ts";

/** Milliseconds between two looks whether the server has ended. */
const LOOK_MS = 20;
/** Seconds beyond the grace after which waiting is given up. */
const PATIENCE = 10;

/** The server cannot be told. */
export class ControlError extends PlainError {
  override name = "ControlError";
}

/** @throws {UsageError} without a pidfile */
function expectPidfile(command: string, file: string | undefined): string {
  if (file === undefined) throw new UsageError(`${command} needs to know which server: give pidfile=PATH`);
  return file;
}

/** Asks the server to stop and waits until it has. @throws {ControlError} when it does not stop */
export async function stop(command: string, pidfile: string | undefined, grace: number): Promise<void> {
  const file = expectPidfile(command, pidfile);
  const pid = runningPid(file);
  if (pid === undefined) return void process.stderr.write(`runfcgi: no server runs that "${file}" names\n`);
  tell(pid, "SIGTERM");
  for (const deadline = Date.now() + (grace + PATIENCE) * 1000; isRunning(pid); await delay(LOOK_MS)) {
    if (Date.now() > deadline) throw new ControlError(`process ${pid} did not stop in time: kill -KILL ${pid} ends it`);
  }
  process.stderr.write(`runfcgi: stopped process ${pid}\n`);
}

/** Asks the server to take over new code. @throws {ControlError} when none runs */
export function reload(pidfile: string | undefined): void {
  const file = expectPidfile("reload", pidfile);
  const pid = runningPid(file);
  if (pid === undefined) throw new ControlError(`no server runs that "${file}" names`);
  tell(pid, "SIGHUP");
  process.stderr.write(`runfcgi: asked process ${pid} to take over new code; its log tells how it went\n`);
}

/** Says whether the server runs; resolves with the exit status, 0 when it does. */
export function status(pidfile: string | undefined): number {
  const file = expectPidfile("status", pidfile);
  const pid = runningPid(file);
  process.stdout.write(pid === undefined ? `not running ("${file}")\n` : `running, process ${pid}\n`);
  return pid === undefined ? 1 : 0;
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    throw new ControlError(`cannot send a signal to process ${pid}: ${(error as Error).message}. It is another user's`);
  }
}
