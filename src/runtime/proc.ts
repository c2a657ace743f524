/**
 * What Linux's /proc says of other processes: proc(5). Elsewhere, and of processes that have ended, these throw.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";

/** Clock ticks per second, as the kernel counts for programs. */
const TICKS = 100;

/** Fields of `/proc/PID/stat` from the third on; the name before them may contain spaces and parentheses. */
const statOf = (pid: number): string[] => readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "").split(" ");

/** Clock ticks from boot to the start of a process. */
export const startTicks = (pid: number): string => statOf(pid)[19];

/** Whether a process has ended, and its parent has not noticed. */
export function isZombie(pid: number): boolean {
  try {
    return statOf(pid)[0] === "Z";
  } catch {
    return false;
  }
}

/** Seconds from boot to the start of a process. */
export const startSeconds = (pid: number): number => Number(startTicks(pid)) / TICKS;

/** The group of a process. */
export const groupOf = (pid: number): number => Number(statOf(pid)[2]);

/** The environment that a process of this user was started with, such as `LANG=C`. */
export const environmentOf = (pid: number): string[] => readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");

const running = (): number[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);

/** The running children of a process. */
export function childrenOf(parent: number): number[] {
  return running().filter((pid) => {
    try {
      return Number(statOf(pid)[1]) === parent;
    } catch {
      // It has ended.
      return false;
    }
  });
}

/** Running processes of this user that were started with an entry such as `LANG=C` in their environment; `[]` elsewhere. */
export function processesWith(entry: string): number[] {
  if (!existsSync("/proc/self/environ")) return [];
  return running().filter((pid) => {
    try {
      return environmentOf(pid).includes(entry);
    } catch {
      // It has ended, or is another user's.
      return false;
    }
  });
}

/** Bytes of memory that this process has; 0 where the system does not say: on Linux without /proc, Node cannot know it. */
export function ownMemory(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}
