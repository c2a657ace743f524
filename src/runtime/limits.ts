/**
 * Resource limits of this process, as the kernel reports them: its own (proc(5), /proc/pid/limits) and those of its cgroup.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** A soft limit by its name, such as "Max open files"; `Infinity` for none, or where the system does not say. */
export function softLimit(name: string, limits: string = ownLimits()): number {
  return Number(new RegExp(`^${name} +(\\d+)`, "m").exec(limits)?.[1] ?? Infinity);
}

/** The text with all of them; empty where there is no /proc. */
export function ownLimits(): string {
  return readText("/proc/self/limits") ?? "";
}

/** The text of a file of the system, without the newline at its end; `undefined` where there is none. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}

/**
 * Folders of this process's cgroup and of those around it, whose limits hold as well: of version 2, or of a controller
 * of version 1. In a container that is told the path of its host only the root is there.
 */
export function cgroupFolders(read: typeof readText, controller: string): string[] {
  const lines = read("/proc/self/cgroup")?.split("\n").map((line) => line.split(":")) ?? [];
  const own = lines.find(([, names]) => controller === "" ? names === "" : names.split(",").includes(controller));
  const parts = own?.slice(2).join(":").split("/").filter((part) => part !== "") ?? [];
  const root = `/sys/fs/cgroup${controller ? `/${controller}` : ""}`;
  return [root, ...parts.map((_, i) => `${root}/${parts.slice(0, i + 1).join("/")}`)];
}

/** Processes and threads that this process's cgroup may have, such as a container or a unit of systemd, and has. */
export function cgroupTasks(read: typeof readText = readText): { value: number; inUse: number; from: string } | undefined {
  const limits = [["", "cgroup v2, pids.max"], ["pids", "cgroup v1, pids.max"]].flatMap(([controller, from]) =>
    cgroupFolders(read, controller).map((folder) => {
      const [value, inUse] = ["max", "current"].map((name) => Number(read(`${folder}/pids.${name}`)));
      return { value, inUse, from };
    })
  );
  return limits.filter(({ value }) => value > 0).sort((a, b) => (a.value - a.inUse) - (b.value - b.inUse))[0];
}
