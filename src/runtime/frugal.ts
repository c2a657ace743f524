/**
 * Few threads and little address space, where the host allows no more. Bun reads how it is to use them from its
 * environment, once, before any module runs: a process that finds a small limit starts again in its place.
 *
 * Between 1150 and 1250 MiB and between 2180 and 2300 MiB of address space Bun runs no JavaScript at all without these
 * variables: there they have to be set by whoever starts the program.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { runtime } from "./name.ts";

/** What Bun is to take less of, measured: the compiled program then keeps its JIT from 400 MiB of address space on. */
export const frugalVariables: Readonly<Record<string, string>> = {
  BUN_JSC_jitMemoryReservationSize: "33554432",
  MIMALLOC_ARENA_RESERVE: "65536",
  BUN_JSC_numberOfGCMarkers: "1",
  BUN_JSC_useConcurrentJIT: "0",
  BUN_JSC_useConcurrentGC: "0",
  UV_THREADPOOL_SIZE: "2",
  GOMAXPROCS: "2",
};

/** Says that the others are set by us. */
const MARK = "BUN_JSC_jitMemoryReservationSize";

/** Limits below which Bun is to be frugal: bytes of address space, and processes and threads of the user. */
const LITTLE_SPACE = 4 * 2 ** 30;
const FEW_PROCESSES = 128;

/** Whether the limits that /proc shows of a process ask for it. */
export function asksToBeFrugal(limits: string, root: boolean): boolean {
  const soft = (name: string) => Number(new RegExp(`^${name} +(\\d+)`, "m").exec(limits)?.[1] ?? Infinity);
  // Root is not bound by the number of processes.
  return soft("Max address space") < LITTLE_SPACE || (!root && soft("Max processes") < FEW_PROCESSES);
}

let frugal = false;

/**
 * Starts this process again in its place with {@linkcode frugalVariables} where limits ask for it, and does not return
 * then; takes them out of the environment where they are set, so that nothing the application starts inherits them. To
 * be called once, before anything is opened: descriptors above 2 would be lost.
 */
export function beFrugal(): void {
  if (runtime.name !== "Bun" || !isMainThread) return;
  const { env } = process;
  if (env[MARK] === frugalVariables[MARK]) {
    frugal = true;
    for (const [name, value] of Object.entries(frugalVariables)) if (env[name] === value) delete env[name];
    return;
  }
  if (env[MARK] !== undefined || keepsDescriptors() || !asksToBeFrugal(readLimits(), process.getuid?.() === 0)) return;
  try {
    const [, ...words] = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
    const program = process.execPath;
    process.execve!(program, [program, ...words], { ...frugalVariables, ...env } as Record<string, string>);
  } catch {
    // It goes on as it is.
  }
}

/** Whether it was given descriptors other than 0 to 2, which Bun closes. */
function keepsDescriptors(): boolean {
  const { LISTEN_FDS, NODE_CHANNEL_FD } = process.env;
  return LISTEN_FDS !== undefined || NODE_CHANNEL_FD !== undefined || process.env.RUNFCGI_HANDOVER !== undefined ||
    process.env.RUNFCGI_FD !== undefined || process.argv.some((word) => /^(?:--)?fd\b/.test(word));
}

function readLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}

/** Environment with which another process of the program is as frugal as this one. */
export function frugalEnvironment(): Record<string, string> {
  return frugal ? { ...frugalVariables } : {};
}
