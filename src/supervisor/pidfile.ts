/**
 * The file with the process ID of a running server.
 *
 * @module
 */
import { closeSync, existsSync, readFileSync, realpathSync, renameSync, rmSync, type Stats, writeFileSync } from "node:fs";
import { basename, isAbsolute, resolve } from "node:path";
import process from "node:process";
import { withLock } from "../runtime/lock.ts";
import { PlainError } from "../runtime/plain_error.ts";
import { environmentOf, startSeconds } from "../runtime/proc.ts";
import { openRegular, type Rights, rightsFor, withRights } from "../runtime/rights.ts";

/** The pidfile is in use, or cannot be used. */
export class PidfileError extends PlainError {
  override name = "PidfileError";
}

/** Variable in the environment of every server that writes a pidfile: what it is. */
export const serverVariable = "RUNFCGI_HANDOVER";

/** What a server hands over to a process of its own, as far as others look at it. */
export interface Handed {
  role?: string;
  app?: string;
  options?: Record<string, unknown>;
  bound?: { address?: { path?: string } };
  cwd?: string;
}

/**
 * What was handed over to a process, by its environment; `undefined` if nothing was, and empty where it means something else
 * by {@linkcode serverVariable}.
 */
export function handedIn(environment: readonly string[]): Handed | undefined {
  const text = environment.find((variable) => variable.startsWith(`${serverVariable}=`));
  try {
    return text === undefined ? undefined : JSON.parse(text.slice(serverVariable.length + 1)) ?? {};
  } catch {
    return {};
  }
}

/** The option pidfile in the environment. */
const pidfileVariable = "RUNFCGI_PIDFILE";

/** The server that a pidfile names, if it runs. @throws {PidfileError} when the file has something else in it */
export function runningPid(file: string): number | undefined {
  for (let found = read(file);;) {
    if (found === undefined || found.text === "") return undefined;
    if (!/^[1-9]\d{0,9}$/.test(found.text)) {
      throw new PidfileError(`the file "${file}" is not a pidfile: remove it or name another`);
    }
    const pid = Number(found.text);
    if (isRunning(pid) && isServer(pid, file, found.stats)) return pid;
    // One that takes its place may have written its own since, before this one ended.
    const now = read(file);
    if (now?.text === found.text) return undefined;
    found = now;
  }
}

/** Bytes of a pidfile that are looked at. */
const MAX_LENGTH = 1024;

/** What a pidfile holds, `undefined` if it is not there. @throws {PidfileError} */
function read(file: string): { text: string; stats: Stats } | undefined {
  try {
    const { fd, stats } = openRegular(file);
    try {
      if (stats.size > MAX_LENGTH) throw new Error("it is too long");
      return { text: readFileSync(fd, "utf8").trim(), stats };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new PidfileError(`cannot read the pidfile "${file}": ${message}`);
  }
}

/**
 * Whether a process is the server of a pidfile, and not another one that was given the same number, for example after a
 * reboot.
 */
function isServer(pid: number, file: string, { mtimeMs }: Stats): boolean {
  // The system does not say.
  if (!existsSync("/proc/self/cmdline")) return true;
  try {
    const environment = environmentIfReadable(pid);
    const handed = handedIn(environment);
    if (handed !== undefined) {
      const { role = "supervisor", options } = handed;
      return role === "supervisor" &&
        (options === undefined || options.pidfile !== undefined && isSame(String(options.pidfile), file));
    }
    // A server starts before it writes its pidfile.
    const [, boot] = /^btime (\d+)$/m.exec(readFileSync("/proc/stat", "latin1"))!;
    return namesPidfile(pid, environment, file) && (Number(boot) + startSeconds(pid)) * 1000 <= mtimeMs + CLOCK_MS;
  } catch {
    // It has ended, or is another user's that the system hides.
    return false;
  }
}

/** Nothing where it is another user's. */
function environmentIfReadable(pid: number): string[] {
  try {
    return environmentOf(pid);
  } catch {
    return [];
  }
}

/**
 * Whether the option pidfile of a process is this file, in its command line or its environment, as far as a relative path
 * tells: an editor that shows the file has it as an argument, too.
 */
function namesPidfile(pid: number, environment: readonly string[], file: string): boolean {
  const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  const given = words.map((word, i) => words[i - 1] === "--pidfile" ? word : /^(?:--)?pidfile=(.*)/s.exec(word)?.[1]);
  const variable = environment.find((text) => text.startsWith(`${pidfileVariable}=`))?.slice(pidfileVariable.length + 1);
  return [...given, variable].some((name) =>
    name !== undefined && (isAbsolute(name) ? isSame(name, file) : basename(name) === basename(file))
  );
}

/** Whether two paths lead to the same file; a link may be on either way. */
function isSame(a: string, b: string): boolean {
  if (resolve(a) === resolve(b)) return true;
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}

/** Milliseconds by which the kernel's two ways of telling the time may differ. */
const CLOCK_MS = 2000;

/** Whether there is such a process. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Another user's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  // A zombie is not running.
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

/**
 * @param replaces the process whose place this one takes
 * @throws {PidfileError} when the file names another process that runs
 */
export function expectUnused(file: string, replaces?: number): void {
  const pid = runningPid(file);
  if (pid === undefined || pid === process.pid || pid === replaces) return;
  throw new PidfileError(
    `the pidfile "${file}" names the running process ${pid}: stop it first, with stop pidfile=${file}`,
  );
}

/**
 * Writes this process's ID.
 *
 * @param owner the user that root works for, whose rights it takes in a folder of that user
 * @param replaces the process whose place this one takes
 * @throws {PidfileError} also when another server has written its own meanwhile
 */
export async function writePidfile(file: string, owner?: Rights, replaces?: number): Promise<void> {
  const rights = rightsFor(file, owner);
  // Renamed into place, since a script may read it at any moment, and created exclusively, since a link may be there.
  const fresh = `${file}.${crypto.randomUUID().slice(0, 8)}`;
  try {
    await withLock(file, rights, () => {
      expectUnused(file, replaces);
      withRights(rights, () => {
        try {
          writeFileSync(fresh, `${process.pid}\n`, { flag: "wx", mode: 0o644 });
          renameSync(fresh, file);
        } catch (error) {
          rmSync(fresh, { force: true });
          throw error;
        }
      });
    });
  } catch (error) {
    if (error instanceof PidfileError) throw error;
    throw new PidfileError(`cannot write the pidfile "${file}": ${(error as Error).message}`);
  }
}

/** Removes the pidfile if it is still this process's: a server that takes its place writes its own under the same lock. */
export async function removePidfile(file: string, owner?: Rights): Promise<void> {
  const rights = rightsFor(file, owner);
  const isOwn = () => read(file)?.text === String(process.pid);
  try {
    // Where it is another's already, the lock may be in a folder that is gone.
    if (!withRights(rights, isOwn)) return;
    await withLock(file, rights, () =>
      withRights(rights, () => {
        if (isOwn()) rmSync(file);
      }));
  } catch {
    // It cannot be read or removed any more.
  }
}
