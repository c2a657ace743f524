/**
 * Whether a user can reach a file: the mode bits of the file and of every folder above it.
 *
 * @module
 */
import { realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

/** The user that wants to reach a file. */
export interface Passer {
  uid: number;
  /** All groups, the first of them included. */
  groups: readonly number[];
  /** For messages. */
  name: string;
}

/** What decides about a file. */
export interface FileFacts {
  mode: number;
  uid: number;
  gid: number;
}

/** Where a user is stopped. */
export interface Barrier extends FileFacts {
  path: string;
  /** The missing bit. */
  wanted: Permission;
  /** Who would need it: the bit of the owner, the group or others. */
  as: "u" | "g" | "o";
}

/** Bits of a mode, as they are for others. */
export const Permission = { read: 4, write: 2, execute: 1 } as const;
export type Permission = typeof Permission[keyof typeof Permission];

/** The user of this process. */
export function self(): Passer {
  const uid = process.geteuid?.() ?? 0;
  const groups = [process.getegid?.() ?? 0, ...process.getgroups?.() ?? []];
  return { uid, groups, name: `this user (number ${uid})` };
}

/** The permission bit that `who` lacks, `undefined` if there is none. ACLs are ignored. */
export function missingBit({ mode, uid, gid }: FileFacts, wanted: Permission, who: Passer): Barrier["as"] | undefined {
  // Root bypasses the mode bits, except for files that nobody may execute.
  if (who.uid === 0) return undefined;
  const [as, shift] = who.uid === uid ? ["u", 6] as const : who.groups.includes(gid) ? ["g", 3] as const : ["o", 0] as const;
  return ((mode >> shift) & wanted) !== 0 ? undefined : as;
}

/**
 * Where a user is stopped on the way to a file, `undefined` if nowhere.
 *
 * @param wanted what is to be done with the file itself
 * @throws {Error} of the system if the file does not exist
 */
export function findBarrier(
  path: string,
  wanted: Permission,
  who: Passer,
  stat: (path: string) => FileFacts = statSync,
): Barrier | undefined {
  const real = stat === statSync ? realpathSync(path) : path;
  const folders: string[] = [];
  for (let folder = dirname(real); !folders.includes(folder); folder = dirname(folder)) folders.unshift(folder);
  const steps: [string, Permission][] = [...folders.map((folder) => [folder, Permission.execute] as [string, Permission]), [
    real,
    wanted,
  ]];
  for (const [step, permission] of steps) {
    const facts = stat(step);
    const as = missingBit(facts, permission, who);
    if (as) return { path: step, mode: facts.mode & 0o7777, uid: facts.uid, gid: facts.gid, wanted: permission, as };
  }
  return undefined;
}

const verbs: Record<Permission, string> = {
  [Permission.read]: "read",
  [Permission.write]: "write to",
  [Permission.execute]: "enter",
};
const letters: Record<Permission, string> = { [Permission.read]: "r", [Permission.write]: "w", [Permission.execute]: "x" };

/** The reason in words. */
export function barrierText({ path, mode, wanted, uid, gid }: Barrier, who: Passer): string {
  return `${who.name} may not ${verbs[wanted]} "${path}" (mode ${mode.toString(8)}, owner ${uid}, group ${gid})`;
}

/** The command that takes the barrier away. */
export function barrierFix({ path, wanted, as }: Barrier): string {
  return `chmod ${as}+${letters[wanted]} ${path}`;
}
