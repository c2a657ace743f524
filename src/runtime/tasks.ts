/**
 * Processes and threads that the host allows: how many there may be, how many there are, and whether this process has those
 * that its asynchronous calls need.
 *
 * @module
 */
import { readdirSync, statSync } from "node:fs";
import { access } from "node:fs/promises";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { asksToBeFrugal, type SoftLimits } from "./frugal.ts";
import { cgroupTasks, ownLimits, softLimit } from "./limits.ts";
import { runtime } from "./name.ts";

/**
 * The limits under which a process may lack a thread; `undefined` where there is enough of everything. Root has no limit of
 * processes.
 */
export function smallLimits(): SoftLimits | undefined {
  const root = process.getuid?.() === 0;
  const text = ownLimits();
  const processes = root ? Infinity : softLimit("Max processes", text);
  const limits = { processes, addressSpace: softLimit("Max address space", text) };
  return asksToBeFrugal(limits, root) ? limits : undefined;
}

/** Processes and threads of this user, as far as they can be seen from here. */
export function tasksInUse(): number {
  const uid = process.getuid?.();
  let sum = 0;
  try {
    for (const name of readdirSync("/proc")) if (/^\d+$/.test(name)) sum += tasksOf(`/proc/${name}`, uid);
  } catch {
    // Not Linux.
  }
  return sum;
}

function tasksOf(folder: string, uid: number | undefined): number {
  try {
    return statSync(folder).uid === uid ? readdirSync(`${folder}/task`).length : 0;
  } catch {
    // It has just ended.
    return 0;
  }
}

/** Threads of this process. */
export function ownTasks(): number {
  try {
    return readdirSync("/proc/self/task").length;
  } catch {
    return 1;
  }
}

/** So many that are left may be too few for a process. */
const SCARCE = 32;

/** What to do about a thread or process that the host does not allow, with its limits, for the end of a log line. */
export function limitAdvice(limits: SoftLimits | undefined = smallLimits()): string {
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const group = cgroupTasks();
  const named = [
    group && group.value - group.inUse < SCARCE &&
    `${group.inUse} of ${group.value} processes and threads of this container or unit are in use (pids.max of its cgroup)`,
    limits && limits.processes !== Infinity &&
    `${tasksInUse()} of ${limits.processes} processes and threads of this account are in use (ulimit -u)`,
    limits && limits.addressSpace !== Infinity && `a process may have ${mib(limits.addressSpace)} of address space (ulimit -v)`,
  ].filter((text) => typeof text === "string");
  const found = named.length > 0 ? named.join(", and ") : "its limits of processes and memory (ulimit -a) are not known here";
  return `${found}. Start fewer processes, or ask the host to raise the limit`;
}

/** Node ends with SIGABRT, and no message, when it needs a thread that it cannot have. */
export const lackIsDeadly: boolean = runtime.name === "Node";

/** Milliseconds that a call may take, for which no thread was started: perhaps there is one already. */
const UNBEGUN_MS = 250;

const POOL_SIZE = "UV_THREADPOOL_SIZE";

/**
 * Whether the threads that asynchronous calls need can be had: file, DNS, zlib and crypto calls would otherwise wait for
 * ever. They are started now, so that other processes do not take their place. Bun does not try again in this process.
 *
 * @param patience milliseconds
 */
export async function hasThreadPool(patience: number): Promise<boolean> {
  if (lackIsDeadly && (smallLimits()?.processes ?? Infinity) <= tasksInUse()) return false;
  // One is enough, and Node starts all of its four at once.
  const few = runtime.name === "Node" && process.env[POOL_SIZE] === undefined;
  if (few) process.env[POOL_SIZE] = "1";
  const clock = new AbortController();
  const before = ownTasks();
  const answered = access("/").then(() => true, () => true);
  // Bun starts it at once, or not at all.
  const begun = runtime.name !== "Bun" || ownTasks() > before;
  const late = delay(begun ? patience : Math.min(patience, UNBEGUN_MS), false, { signal: clock.signal }).catch(() => false);
  try {
    return await Promise.race([answered, late]);
  } finally {
    clock.abort();
    if (few) delete process.env[POOL_SIZE];
  }
}
