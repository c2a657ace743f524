/**
 * The programs of `exec` that run.
 *
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A program of `exec`. */
export interface Inner {
  pid: number;
  file: string;
}

/** What keepers have started, of the site whose processes have this in their environment. */
export function innerPrograms(mark: string): Inner[] {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(mark)) return [];
      const [, parent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1"))!;
      return [{ pid: Number(pid), parent: Number(parent), file: readlinkSync(`/proc/${pid}/exe`) }];
    } catch {
      // It has just ended.
      return [];
    }
  });
  const isMarked = (pid: number) => processes.some((other) => other.pid === pid);
  const keepers = processes.filter(({ parent }) => !isMarked(parent)).map(({ pid }) => pid);
  // Its guard is a shell.
  const started = processes.filter(({ parent, file }) => keepers.includes(parent) && !/\/(?:da)?sh$/.test(file));
  return started.map(({ pid, file }) => ({ pid, file }));
}
