/**
 * Resource limits of this process, as the kernel reports them (proc(5), /proc/pid/limits).
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
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}
