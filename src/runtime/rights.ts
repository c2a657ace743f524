/**
 * What root does in folders of others, with the rights of the user whose site it is: anybody who can write to a folder can
 * put a link to any file in the place of one that root is about to write.
 *
 * @module
 */
import { closeSync, constants, fstatSync, lstatSync, mkdtempSync, openSync, readlinkSync, rmdirSync, type Stats } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { libraries } from "./descriptor.ts";
import { runtime } from "./name.ts";

/** A user as the kernel knows it. */
export interface Rights {
  uid: number;
  gid: number;
  /** Further groups. */
  groups?: readonly number[];
}

/** What is used of Deno, which has no `process.setgroups()`, so that the source type-checks anywhere. */
interface DenoForeign {
  dlopen(file: string, symbols: Record<string, { parameters: string[]; result: string }>): {
    symbols: { setgroups(count: bigint, groups: Uint32Array): number };
  };
}

/** Symbolic links that are followed on the way to a folder, as on Linux. */
const MAX_LINKS = 40;

/** Whether this process is root now. */
function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/**
 * Calls a function with the rights of a user, if this process is root. It has to do its work before it returns: the
 * rights are those of the whole process.
 */
export function withRights<T>(who: Rights | undefined, run: () => T): T {
  if (who === undefined || !isRoot()) return run();
  const gid = process.getegid!();
  const groups = process.getgroups!();
  try {
    setGroups([who.gid, ...who.groups ?? []]);
    process.setegid!(who.gid);
    process.seteuid!(who.uid);
    return run();
  } finally {
    process.seteuid!(0);
    process.setegid!(gid);
    setGroups(groups);
  }
}

function setGroups(groups: number[]): void {
  if (process.setgroups) return process.setgroups(groups);
  if (runtime.name !== "Deno") throw new Error("this runtime cannot change the groups of a process");
  const { Deno: deno } = globalThis as unknown as { Deno: DenoForeign };
  for (const file of libraries) {
    try {
      const { symbols } = deno.dlopen(file, { setgroups: { parameters: ["usize", "buffer"], result: "i32" } });
      if (symbols.setgroups(BigInt(groups.length), Uint32Array.from(groups)) === 0) return;
    } catch {
      // Another C library.
    }
  }
  throw new Error("the groups of this process cannot be changed");
}

/**
 * The rights with which root may work on a file for a user: root's own (`undefined`) only where nobody else can change
 * what the path leads to.
 */
export function rightsFor(path: string, who: Rights | undefined): Rights | undefined {
  return who === undefined || isRootsAlone(dirname(resolve(path)), who) ? undefined : who;
}

/**
 * Whether a folder, and each on the way to it, is root's, and neither the user nor everybody can write to it; without a
 * user, no group either.
 */
function isRootsAlone(folder: string, who?: Rights): boolean {
  let links = 0;
  let at = "/";
  const names = resolve(folder).split("/");
  try {
    for (let stats = lstatSync(at); names.length > 0;) {
      const name = names.shift()!;
      if (name === "" || name === ".") continue;
      const next = resolve(at, name);
      const found = lstatSync(next);
      // In a sticky folder, nobody can move what is root's.
      if (found.uid !== 0 || (stats.mode & STICKY) === 0 && !isClosed(at, stats, who)) return false;
      if (!found.isSymbolicLink()) [at, stats] = [next, found];
      else {
        if (++links > MAX_LINKS) return false;
        const target = readlinkSync(next);
        if (target.startsWith("/")) [at, stats] = ["/", lstatSync("/")];
        names.unshift(...target.split("/"));
      }
    }
    return isClosed(at, lstatSync(at), who);
  } catch {
    // It is not there.
    return false;
  }
}

const STICKY = 0o1000;

function isClosed(folder: string, { uid, mode }: Stats, who: Rights | undefined): boolean {
  if (uid !== 0 || (mode & 0o002) !== 0) return false;
  return (mode & 0o020) === 0 || who !== undefined && !mayWrite(folder, who);
}

/** Whether a user can write to a folder. The mode does not say it: an access control list has its mask in the group's bits. */
function mayWrite(folder: string, who: Rights): boolean {
  try {
    withRights(who, () => rmdirSync(mkdtempSync(join(folder, ".w"))));
    return true;
  } catch (error) {
    return !["EACCES", "EPERM", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/**
 * Opens a file for appending, and makes it if it is not there. Root opens a file in the folder of others as the user it
 * works for; in one that is not that user's, it follows no links.
 *
 * @throws {Error} of the system, or when root would write to what is not a regular file
 */
export function openAppending(path: string, who?: Rights): number {
  if (!isRoot() || isRootsAlone(dirname(resolve(path)))) return openSync(path, "a");
  return withRights(rightsFor(path, who), () => {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    // A pipe that nobody reads must not stop root.
    const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | (isRoot() ? O_NOFOLLOW : 0), 0o666);
    const stats = fstatSync(fd);
    if (stats.isFile() && (stats.nlink === 1 || !isRoot())) return fd;
    closeSync(fd);
    throw new Error(stats.isFile() ? "it has another name, in a folder that is not root's alone" : "it is not a regular file");
  });
}

/** Opens a regular file for reading, without waiting where it is a pipe. @throws {Error} of the system, or of another kind */
export function openRegular(path: string): { fd: number; stats: Stats } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = fstatSync(fd);
  if (stats.isFile()) return { fd, stats };
  closeSync(fd);
  throw new Error("it is not a regular file");
}
