/**
 * The limits of the host, and the users that web servers run as.
 *
 * @module
 */
import { existsSync, readdirSync } from "node:fs";
import { readText, softLimit } from "../runtime/limits.ts";
import { runtime } from "../runtime/name.ts";
import { tasksInUse } from "../runtime/tasks.ts";
import { findAccount } from "../supervisor/account.ts";
import { findBudget, worker } from "../supervisor/budget.ts";
import type { Passer } from "./permissions.ts";
import { type Finding, ok, problem, toHost, unchecked } from "./finding.ts";

const MIB = 2 ** 20;
/** Address space without which a runtime does not start, measured. */
const addressSpace = { Bun: 400 * MIB, Node: 2048 * MIB, Deno: 64 * 1024 * MIB }[runtime.name];
/** Open files that a server of one worker needs besides its connections. */
const FEW_FILES = 256;

/** Checks the limits of this process, which its children inherit. */
export function checkLimits(
  read: (file: string) => string | undefined = readText,
  exists = existsSync,
  inUse: () => number = tasksInUse,
): Finding[] {
  const found: Finding[] = [];
  const tooSmall = (check: string, text: string, sentence: string) => void found.push(problem(check, text, toHost(sentence)));
  const limits = read("/proc/self/limits") ?? "";
  const mib = (bytes: number) => `${Math.round(bytes / MIB)} MiB`;
  const address = softLimit("Max address space", limits);
  if (address < addressSpace) {
    tooSmall(
      "address space",
      `${runtime.name} needs ${mib(addressSpace)}, and ulimit -v allows ${mib(address)}`,
      `Please raise the limit of address space (ulimit -v) of my account to ${addressSpace / 1024} KiB or more, or take it away.`,
    );
  }
  const { memory, processes, threads, maxChildren } = findBudget(read);
  const { process: size, threads: own } = worker;
  if (memory.value < 2 * size) {
    tooSmall(
      "memory",
      `there are ${mib(memory.value)} (${memory.from}), and two processes need ${mib(2 * size)}`,
      `Please raise the memory limit of my account to ${mib(4 * size)} or more.`,
    );
  } else {
    found.push(ok("memory", `${mib(memory.value)} (${memory.from}), enough for ${maxChildren} processes or ${threads} threads`));
  }
  if (processes === undefined) found.push(ok("processes", "no limit"));
  else if (processes.value < 2 * own) {
    tooSmall(
      "processes",
      `${processes.from} allows ${processes.value}, and a supervisor and a worker have up to ${2 * own} with their threads`,
      `Please raise the limit of processes (${processes.from}) of my account to ${10 * own} or more: threads count.`,
    );
  } else {
    const used = processes.inUse ?? inUse();
    const text = `${used} of ${processes.value} are in use (${processes.from}; threads count)`;
    if (processes.value - used >= 2 * own) found.push(ok("processes", text));
    else {
      tooSmall(
        "processes",
        `${text}: visitors whose request needs one more get a page with status 503`,
        `Please raise the limit of processes (${processes.from}) of my account, of which ${used} are in use.`,
      );
    }
  }
  const files = softLimit("Max open files", limits);
  if (files < FEW_FILES) {
    found.push(problem("open files", `ulimit -n allows ${files}: visitors beyond that are turned away`, "ulimit -n 4096"));
  }
  if (exists("/proc/lve/list") || exists("/etc/cloudlinux-release")) {
    found.push(
      unchecked("CloudLinux", "because its limits (LVE) are seen in the control panel only: Resource Usage, with PMEM and NPROC"),
    );
  }
  return found;
}

/** Web servers, by the names of their programs. */
const webServers = /^(?:nginx|apache2|httpd|lighttpd|caddy|haproxy|h2o|litespeed|lshttpd|openlitespeed)$/;

const nameOf = (uid: number): string => findAccount(String(uid), undefined).name ?? `user ${uid}`;

/** Users of running web servers, from the status files of processes (proc_pid_status(5)). Root only starts them. */
export function webServerUsers(statuses: Iterable<string>): Passer[] {
  const found = new Map<number, Passer>();
  for (const status of statuses) {
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1].trim() ?? "";
    const program = field("Name");
    const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number);
    const [, uid] = numbers("Uid");
    if (!webServers.test(program) || !uid || found.has(uid)) continue;
    found.set(uid, { uid, groups: [numbers("Gid")[1], ...numbers("Groups")], name: `${program} (${nameOf(uid)})` });
  }
  return [...found.values()];
}

/** The users that web servers run as: the one that is named, or those of running ones. @throws {Error} for no such user */
export function findWebServerUsers(user: string | undefined): Passer[] {
  if (user === undefined) return webServerUsers(runningStatuses());
  const { uid, gid, groups = [], name = user } = findAccount(user, undefined);
  return [{ uid, groups: [gid, ...groups], name }];
}

function* runningStatuses(): Generator<string> {
  let names: string[] = [];
  try {
    names = readdirSync("/proc");
  } catch {
    // Not Linux.
  }
  for (const name of names) {
    const status = /^\d+$/.test(name) ? readText(`/proc/${name}/status`) : undefined;
    if (status !== undefined) yield status;
  }
}
