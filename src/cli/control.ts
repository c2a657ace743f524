/**
 * Commands for a server that runs in the background, which its pidfile names.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { PlainError } from "../runtime/plain_error.ts";
import { lineText } from "../server/log_text.ts";
import { askControl, type RestartWords } from "../supervisor/control.ts";
import { isRunning, runningPid } from "../supervisor/pidfile.ts";
import { UsageError } from "../options/arguments.ts";

/** Milliseconds between two looks whether the server has ended. */
const LOOK_MS = 20;
/** Seconds beyond the grace after which waiting is given up. */
const PATIENCE = 10;

/** The server cannot be told, or could not do it. */
export class ControlError extends PlainError {
  override name = "ControlError";
}

/** @throws {UsageError} without a pidfile */
function expectPidfile(command: string, file: string | undefined): string {
  if (file === undefined) throw new UsageError(`${command} needs to know which server: give pidfile=PATH`);
  return file;
}

function say(text: string): void {
  process.stderr.write(`runfcgi: ${text}\n`);
}

/** Asks the server to stop and waits until it has. @throws {ControlError} when it does not stop */
export async function stop(command: string, pidfile: string | undefined, grace: number): Promise<void> {
  const file = expectPidfile(command, pidfile);
  const pid = runningPid(file);
  if (pid === undefined) return say(`no server runs that "${file}" names`);
  tell(pid, "SIGTERM");
  for (const deadline = Date.now() + (grace + PATIENCE) * 1000; isRunning(pid); await delay(LOOK_MS)) {
    if (Date.now() > deadline) throw new ControlError(`process ${pid} did not stop in time: kill -KILL ${pid} ends it`);
  }
  say(`stopped process ${pid}`);
}

/** Has the server take over new code and waits until it has. @throws {ControlError} when it cannot, and the old goes on */
export async function reload(pidfile: string | undefined): Promise<void> {
  const file = expectPidfile("reload", pidfile);
  const pid = runningPid(file);
  if (pid === undefined) throw new ControlError(`no server runs that "${file}" names`);
  const answer = await askControl(file, "POST", "/reload");
  if (answer === undefined) {
    tell(pid, "SIGHUP");
    return say(`asked process ${pid} to take over new code; its log tells how it went`);
  }
  if (!answer.done) throw new ControlError(`the new code cannot be loaded, the old goes on: ${printable(answer.text)}`);
  say(`process ${pid} ${printable(answer.text)}`);
}

/**
 * Has a new server take the place of the one that runs, which goes on until the new one serves. `false` when none runs, or
 * none that can do it: then it has to be stopped and started.
 *
 * @throws {ControlError} when the new one cannot start, and the old one goes on
 */
export async function restart(pidfile: string | undefined, words: RestartWords): Promise<boolean> {
  const file = expectPidfile("restart", pidfile);
  const pid = runningPid(file);
  if (pid === undefined) return false;
  const answer = await askControl(file, "POST", "/restart", words);
  if (answer === undefined) return false;
  if (!answer.done) throw new ControlError(`process ${pid} goes on: ${printable(answer.text)}`);
  process.stderr.write(`${printable(answer.text, false)}\n`);
  say(`process ${runningPid(file)} has taken the place of process ${pid}`);
  return true;
}

/** Says whether the server runs, and what it does; resolves with the exit status, 0 when it runs. */
export async function status(pidfile: string | undefined, json = false): Promise<number> {
  const file = expectPidfile("status", pidfile);
  const pid = runningPid(file);
  const answer = pid === undefined ? undefined : await askControl(file, "GET", json ? "/status?json" : "/status");
  const known = answer?.done ? answer.text : undefined;
  if (json) process.stdout.write(known ?? `${JSON.stringify({ pid: pid ?? null })}\n`);
  else {
    process.stdout.write(pid === undefined ? `not running ("${file}")\n` : `running, process ${pid}\n`);
    if (known) process.stdout.write(`\n${printable(known)}\n`);
  }
  return pid === undefined ? 1 : 0;
}

/** What a server says has texts of its visitors and of its application in it. */
function printable(text: string, withoutName = true): string {
  const lines = text.trimEnd().split("\n").map(lineText).join("\n");
  return withoutName ? lines.replace(/^runfcgi: /, "") : lines;
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    throw new ControlError(`cannot send a signal to process ${pid}: ${(error as Error).message}. It is another user's`);
  }
}
