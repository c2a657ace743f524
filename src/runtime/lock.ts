/**
 * A lock among processes, held for a moment: a file beside what is locked. Runtimes offer no other without native code.
 *
 * @module
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { startTicks } from "./proc.ts";
import { type Rights, withRights } from "./rights.ts";

/** Milliseconds that somebody else may hold a lock. */
const PATIENCE_MS = 10_000;
const TRY_MS = 10;

/**
 * Calls a function while no other process holds the lock of a path. A process that has ended no longer holds it.
 *
 * @param rights root's for what is done in the folder
 * @throws {Error} when the lock cannot be had
 */
export async function withLock<T>(path: string, rights: Rights | undefined, run: () => Promise<T> | T): Promise<T> {
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  const own = `${lock}${crypto.randomUUID().slice(0, 8)}`;
  const text = `${process.pid} ${startOf(process.pid)}\n`;
  for (const deadline = performance.now() + PATIENCE_MS; !withRights(rights, () => take(lock, own, text)); await delay(TRY_MS)) {
    if (performance.now() > deadline) throw new Error(`another process holds the lock "${lock}" for too long`);
  }
  try {
    return await run();
  } finally {
    withRights(rights, () => rmSync(lock, { force: true }));
  }
}

/** A link is made with its text, or not at all. */
function take(lock: string, own: string, text: string): boolean {
  try {
    writeFileSync(own, text, { flag: "wx", mode: 0o644 });
    linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    breakStale(lock, own);
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

/** Removes the lock of a process that has ended; that of another, taken in the meantime, is put back. */
function breakStale(lock: string, own: string): void {
  const found = holderOf(lock);
  if (found === undefined || isHeld(found)) return;
  const aside = `${own}.old`;
  try {
    renameSync(lock, aside);
    if (holderOf(aside) !== found) linkSync(aside, lock);
  } catch {
    // Somebody else was faster.
  }
  rmSync(aside, { force: true });
}

function holderOf(lock: string): string | undefined {
  try {
    return readFileSync(lock, "utf8");
  } catch {
    return undefined;
  }
}

function isHeld(text: string): boolean {
  const [pid, start] = text.trim().split(" ");
  const now = startOf(Number(pid));
  return now === start || now === UNKNOWN;
}

/** The start of a running process on a system that does not say more. */
const UNKNOWN = "unknown";

/**
 * When a process started, as text to compare: another process that is given the same number started at another time.
 * Nothing for one that does not run.
 */
export function startOf(pid: number): string {
  try {
    return startTicks(pid);
  } catch {
    return isRunning(pid) ? UNKNOWN : "";
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
