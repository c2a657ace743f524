/**
 * The file with the process ID of a running server.
 *
 * @module
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { PlainError } from "../runtime/plain_error.ts";

/** The pidfile is in use, or cannot be used. */
export class PidfileError extends PlainError {
  override name = "PidfileError";
}

/** Variable in the environment of every server that writes a pidfile: what it is. */
export const serverVariable = "RUNFCGI_HANDOVER";

/** The server that a pidfile names, if it runs. @throws {PidfileError} when the file has something else in it */
export function runningPid(file: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new PidfileError(`cannot read the pidfile "${file}": ${message}`);
  }
  if (text === "") return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new PidfileError(`the file "${file}" is no pidfile: remove it or name another`);
  const pid = Number(text);
  return isRunning(pid) && isServer(pid) ? pid : undefined;
}

/** Whether a process is no other program, which has got the number since, after a restart of the machine for one. */
function isServer(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").some((text) => text.startsWith(`${serverVariable}=`));
  } catch {
    // Another user's, or another system: it may well be.
    return true;
  }
}

/** Whether there is such a process. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Another user's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  // One that has ended and that nobody has asked after yet does not run.
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

/** @throws {PidfileError} when the file names a process that runs */
export function expectUnused(file: string): void {
  const pid = runningPid(file);
  if (pid === undefined || pid === process.pid) return;
  throw new PidfileError(
    `the pidfile "${file}" names the running process ${pid}: stop it first, with stop pidfile=${file}`,
  );
}

/** Writes this process's ID. @throws {PidfileError} */
export function writePidfile(file: string): void {
  try {
    // Renamed into place, since a script may read it at any moment.
    const fresh = `${file}.${process.pid}`;
    writeFileSync(fresh, `${process.pid}\n`, { mode: 0o644 });
    renameSync(fresh, file);
  } catch (error) {
    throw new PidfileError(`cannot write the pidfile "${file}": ${(error as Error).message}`);
  }
}

/** Removes the pidfile if it is still this process's. */
export function removePidfile(file: string): void {
  try {
    if (readFileSync(file, "utf8").trim() === String(process.pid)) rmSync(file);
  } catch {
    // Gone, or another's.
  }
}
