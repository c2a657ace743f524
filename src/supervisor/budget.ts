/**
 * What the host allows: processors, memory and processes, and how many workers fit into it.
 *
 * @module
 */
import { availableParallelism, totalmem } from "node:os";
import process from "node:process";
import { cgroupFolders, cgroupTasks, readText, softLimit } from "../runtime/limits.ts";
import { runtime } from "../runtime/name.ts";

const MIB = 2 ** 20;

/** Memory and threads that one worker takes on each runtime, measured: a process with a small application. */
export const worker = {
  Bun: { process: 24 * MIB, thread: 8 * MIB, threads: 6 },
  Deno: { process: 48 * MIB, thread: 12 * MIB, threads: 7 },
  Node: { process: 48 * MIB, thread: 10 * MIB, threads: 11 },
}[runtime.name];

/** Share of the host's limits that workers may take; the rest is for the application's data and for other programs. */
const SHARE = 0.5;

/** A limit and where it comes from. */
interface Limit {
  value: number;
  from: string;
  /** How much of it is in use, where it is counted for more than this user. */
  inUse?: number;
}

/** Limits of the host, and the defaults that follow from them. */
export interface Budget {
  cores: Limit;
  memory: Limit;
  /** Processes and threads of this user or container, if they are limited. */
  processes: Limit | undefined;
  threads: number;
  maxChildren: number;
}

/** Most workers that are started without being asked for. */
const MOST_CHILDREN = 50;

/** Looks at the host. */
export function findBudget(read: (file: string) => string | undefined = readText): Budget {
  const cores = smallest([
    { value: availableParallelism(), from: "processors" },
    ...cgroupCores(read),
  ]);
  const memory = smallest([
    { value: totalmem(), from: "memory of the machine" },
    ...cgroupMemory(read),
    rlimit(read, "Max address space", "ulimit -v"),
  ]);
  const tasks = [rlimit(read, "Max processes", "ulimit -u"), cgroupTasks(read)].filter((limit) => limit !== undefined);
  const processes = tasks.length > 0 ? smallest(tasks) : undefined;
  const byMemory = (size: number) => Math.floor(memory.value * SHARE / size);
  const byProcesses = processes ? Math.floor(processes.value * SHARE / worker.threads) : Infinity;
  const whole = Math.max(1, Math.floor(cores.value + 0.5));
  return {
    cores,
    memory,
    processes,
    threads: Math.max(
      1,
      Math.min(whole, byMemory(worker.thread), processes ? Math.floor(processes.value * SHARE) - 2 * worker.threads : Infinity),
    ),
    maxChildren: Math.max(1, Math.min(MOST_CHILDREN, byMemory(worker.process), byProcesses)),
  };
}

/** The arithmetic, for `help budget`: names with their meanings. */
export function budgetRows({ cores, memory, processes, threads, maxChildren }: Budget): [name: string, meaning: string][] {
  const mib = (bytes: number) => `${Math.round(bytes / MIB)} MiB`;
  const percent = `${SHARE * 100} %`;
  return [
    ["Processors", `${Number(cores.value.toFixed(2))} (${cores.from})`],
    ["Memory", `${mib(memory.value)} (${memory.from})`],
    ["Processes", processes ? `${processes.value} (${processes.from}; threads count)` : "no limit"],
    [
      `A ${runtime.name} worker`,
      `about ${mib(worker.process)} and ${worker.threads} threads as a process, ${mib(worker.thread)} as a thread`,
    ],
    ["Share for workers", `${percent}, the rest is for the application's data and other programs`],
    [
      "threads",
      `${threads}: one for each processor, at most ${mib(memory.value)} × ${percent} ÷ ${mib(worker.thread)} = ${
        Math.floor(memory.value * SHARE / worker.thread)
      }`,
    ],
    [
      "maxchildren",
      `${maxChildren}: at most ${mib(memory.value)} × ${percent} ÷ ${mib(worker.process)} = ${
        Math.floor(memory.value * SHARE / worker.process)
      }${
        processes
          ? `, ${processes.value} × ${percent} ÷ ${worker.threads} = ${Math.floor(processes.value * SHARE / worker.threads)}`
          : ""
      }, never more than ${MOST_CHILDREN}`,
    ],
  ];
}

function smallest(limits: (Limit | undefined)[]): Limit {
  return limits.filter((limit) => limit !== undefined).reduce((least, limit) => limit.value < least.value ? limit : least);
}

function cgroupCores(read: typeof readText): (Limit | undefined)[] {
  const limit = (quota: number, period: number, from: string) =>
    quota > 0 && period > 0 ? { value: quota / period, from } : undefined;
  return [
    ...cgroupFolders(read, "").map((folder) => {
      const [quota, period] = read(`${folder}/cpu.max`)?.split(" ").map(Number) ?? [];
      return limit(quota, period, "cgroup v2, cpu.max");
    }),
    ...cgroupFolders(read, "cpu").map((folder) => {
      const [quota, period] = ["quota", "period"].map((name) => Number(read(`${folder}/cpu.cfs_${name}_us`)));
      return limit(quota, period, "cgroup v1, cpu.cfs_quota_us");
    }),
  ];
}

function cgroupMemory(read: typeof readText): (Limit | undefined)[] {
  const limits = (controller: string, name: string, from: string) =>
    cgroupFolders(read, controller).map((folder) => {
      const value = Number(read(`${folder}/${name}`));
      return value > 0 ? { value, from } : undefined;
    });
  return [
    ...limits("", "memory.max", "cgroup v2, memory.max"),
    ...limits("", "memory.high", "cgroup v2, memory.high"),
    ...limits("memory", "memory.limit_in_bytes", "cgroup v1, memory.limit_in_bytes"),
  ];
}

function rlimit(read: typeof readText, name: string, from: string): Limit | undefined {
  const value = softLimit(name, read("/proc/self/limits") ?? "");
  // Root is not bound by the number of processes.
  if (value === Infinity || (name === "Max processes" && process.getuid?.() === 0)) return undefined;
  return { value, from };
}
