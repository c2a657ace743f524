/**
 * What a process and its descendants have used, from Linux's /proc.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";

/** Memory in bytes. */
export interface Memory {
  /** VmRSS: pages shared with others count in full, for each process again. */
  resident: number;
  /** Pages that no other process has, those of files that could be read again included. */
  private: number;
  /** Of them, those that were written to: what the host cannot take back. */
  dirty: number;
  /** Pss: pages shared with others count as their share. */
  proportional: number;
}

/** Seconds of processor time, to the nanosecond: the clock's ticks of proc(5) are too coarse where processes are many. */
export function cpuSeconds(root: number): number {
  let sum = 0;
  for (const pid of tree(root)) {
    for (const thread of threads(pid)) sum += Number(read(`/proc/${pid}/task/${thread}/schedstat`)?.split(" ")[0] ?? 0);
  }
  return sum / 1e9;
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

export function memory(root: number): Memory {
  const sum = { resident: 0, private: 0, dirty: 0, proportional: 0 };
  for (const pid of tree(root)) {
    sum.resident += kilobytes(`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB/gm);
    const rollup = `/proc/${pid}/smaps_rollup`;
    sum.private += kilobytes(rollup, /^Private_\w+:\s+(\d+) kB/gm);
    sum.dirty += kilobytes(rollup, /^Private_Dirty:\s+(\d+) kB/gm);
    sum.proportional += kilobytes(rollup, /^Pss:\s+(\d+) kB/gm);
  }
  return sum;
}

function kilobytes(path: string, pattern: RegExp): number {
  const text = read(path) ?? "";
  return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0) * 1024;
}

/** The process and all that descend from it. */
function tree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const fields = /^\d+$/.test(name) ? stat(Number(name)) : undefined;
    if (!fields) continue;
    const parent = Number(fields[1]);
    children.set(parent, [...children.get(parent) ?? [], Number(name)]);
  }
  const found = [root];
  // The array grows while it is walked.
  for (const pid of found) found.push(...children.get(pid) ?? []);
  return found;
}

/** The fields behind the name of the program, which may itself have spaces: state, parent … */
function stat(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** `undefined` for a process that has ended meanwhile. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
