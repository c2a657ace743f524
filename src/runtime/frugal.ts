/**
 * Few threads and little address space, where the host allows no more. Bun reads how it is to use them from its
 * environment, once, before any module runs: a process that finds a small limit starts again in its place.
 *
 * Between 1150 and 1250 MiB and between 2180 and 2300 MiB of address space Bun runs no JavaScript at all without these
 * variables: there they have to be set before the program starts. The compiled program does so itself on Linux x64
 * (entry_point.ts).
 *
 * Nothing is imported here: Bun starts a thread to compile what a module of its own does, and ends with a crash report
 * where it cannot have one. The compiled program runs this before anything else.
 *
 * @module
 */

/** What Bun is to take less of, measured: the compiled program then has one thread, and its JIT from 400 MiB on. */
export const frugalVariables: Readonly<Record<string, string>> = {
  BUN_JSC_jitMemoryReservationSize: "33554432",
  MIMALLOC_ARENA_RESERVE: "65536",
  BUN_JSC_numberOfGCMarkers: "1",
  BUN_JSC_useConcurrentJIT: "0",
  BUN_JSC_useConcurrentGC: "0",
  BUN_JSC_useWarmUpMarkedBlocks: "0",
  UV_THREADPOOL_SIZE: "2",
  GOMAXPROCS: "2",
};

/** Says that the others are set by us. */
const MARK = "BUN_JSC_jitMemoryReservationSize";

/** Below so many processes and threads of the user, asynchronous calls share a single thread, and more visitors are served. */
export const VERY_FEW_PROCESSES = 64;
export const onePoolThread: Readonly<Record<string, string>> = { UV_THREADPOOL_SIZE: "1", GOMAXPROCS: "1" };

/** Limits below which Bun is to be frugal: bytes of address space, and processes and threads of the user. */
export const LITTLE_SPACE = 4 * 2 ** 30;
export const FEW_PROCESSES = 128;

/** Soft limits of a process; `Infinity` for none. */
export interface SoftLimits {
  /** Bytes. */
  addressSpace: number;
  /** Processes and threads of the user. */
  processes: number;
}

/** Whether limits ask for it. Root is not bound by the number of processes. */
export function asksToBeFrugal({ addressSpace, processes }: SoftLimits, root: boolean): boolean {
  return addressSpace < LITTLE_SPACE || (!root && processes < FEW_PROCESSES);
}

/** What is used of the global `process`, which Deno has not. */
interface BunProcess {
  env: Record<string, string | undefined>;
  argv: string[];
  execArgv: string[];
  execPath: string;
  getuid?(): number;
  execve(file: string, args: string[], env: Record<string, string | undefined>): void;
  report: { getReport(): { userLimits?: Record<string, { soft: number | "unlimited" }> } };
}

const { Bun: bun, process } = globalThis as unknown as { Bun?: { isMainThread: boolean }; process: BunProcess };

/** What this process was started with. */
const taken: Record<string, string> = {};

/** Bun fills its heap with empty blocks when it starts, 0.7 MiB in each process and thread, unless its environment says no. */
const [WARM_UP, NO] = ["BUN_JSC_useWarmUpMarkedBlocks", "0"];

/**
 * Starts this process again in its place with {@linkcode frugalVariables} where limits ask for it, and does not return
 * then. To be called before anything is opened: descriptors above 2 would be lost.
 *
 * @param compiled whether the program is one file, which has no script among its arguments
 */
export function startFrugally(compiled: boolean): void {
  if (!bun?.isMainThread) return;
  const { env, argv, execArgv, execPath } = process;
  if (env[MARK] !== undefined || keepsDescriptors(process)) return;
  const limits = softLimits();
  if (!asksToBeFrugal(limits, process.getuid?.() === 0)) return;
  const words = compiled ? argv.slice(2) : [...execArgv, ...argv.slice(1)];
  try {
    const variables = { ...frugalVariables, ...limits.processes < VERY_FEW_PROCESSES && onePoolThread };
    process.execve(execPath, [execPath, ...words], { ...variables, ...env });
  } catch {
    // It goes on as it is.
  }
}

/**
 * Takes the variables out of the environment, so that nothing the application starts inherits them; where they are not
 * set and have to be, starts this process again as {@linkcode startFrugally} does.
 */
export function beFrugal(compiled: boolean): void {
  if (!bun?.isMainThread) return;
  const { env } = process;
  if (env[WARM_UP] === NO) delete env[WARM_UP];
  if (env[MARK] !== frugalVariables[MARK]) {
    // The compiled program has looked already.
    if (!compiled) startFrugally(false);
    return;
  }
  for (const [name, value] of [...Object.entries(frugalVariables), ...Object.entries(onePoolThread)]) {
    if (env[name] !== value) continue;
    taken[name] = value;
    delete env[name];
  }
}

/** Whether it was given descriptors other than 0 to 2, which Bun closes. */
function keepsDescriptors({ env, argv }: BunProcess): boolean {
  return ["LISTEN_FDS", "NODE_CHANNEL_FD", "RUNFCGI_HANDOVER", "RUNFCGI_FD"].some((name) => env[name] !== undefined) ||
    argv.some((word) => /^(?:--)?fd\b/.test(word));
}

/** Asked of Bun, and not read from /proc, which would need a module. */
function softLimits(): SoftLimits {
  const { virtual_memory_kbytes: space, max_user_processes: processes } = process.report.getReport().userLimits ?? {};
  const soft = (limit: { soft: number | "unlimited" } | undefined) => typeof limit?.soft === "number" ? limit.soft : Infinity;
  // In spite of its name it is in bytes.
  return { addressSpace: soft(space), processes: soft(processes) };
}

/** Environment with which another process of the program is at least as frugal as this one. */
export function frugalEnvironment(): Record<string, string> {
  return { ...bun && { [WARM_UP]: NO }, ...taken };
}
