/**
 * Users and groups by name.
 *
 * @module
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import process from "node:process";
import { PlainError } from "../runtime/plain_error.ts";
import type { Rights } from "../runtime/rights.ts";

/** A user with a group. */
export interface Account extends Rights {
  /** For the environment, if the system knows the user. */
  name?: string;
  home?: string;
}

/** There is no such account, or this process may not become it. */
export class AccountError extends PlainError {
  override name = "AccountError";
}

/**
 * Looks up a user, a group, or both; the group of a user is by default the user's own. `undefined` when this process
 * runs as these already.
 *
 * @throws {AccountError} naming the unknown user or group, or when it needs root
 */
export function accountFor(user: string | undefined, group: string | undefined): Account | undefined {
  if (user === undefined && group === undefined) return undefined;
  const account = findAccount(user, group);
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  if (uid === 0) return account;
  if (account.uid === uid && account.gid === gid) return undefined;
  const wanted = Object.entries({ user, group }).filter(([, name]) => name !== undefined).map(([key, name]) => `${key}=${name}`);
  throw new AccountError(`${wanted.join(" and ")} needs root, and this is user ${uid}: start it as root, or without`);
}

/** A user, a group, or both, whatever user this process runs as. @throws {AccountError} naming the unknown one */
export function findAccount(user: string | undefined, group: string | undefined): Account {
  const found = user === undefined ? undefined : rows("/etc/passwd").find(([name, , uid]) => name === user || uid === user);
  if (user !== undefined && found === undefined && !/^\d+$/.test(user)) throw new AccountError(`there is no user "${user}"`);
  const foundGroup = group === undefined
    ? undefined
    : rows("/etc/group").find(([name, , gid]) => name === group || gid === group);
  if (group !== undefined && foundGroup === undefined && !/^\d+$/.test(group)) {
    throw new AccountError(`there is no group "${group}"`);
  }
  return {
    uid: found ? Number(found[2]) : user === undefined ? process.getuid!() : Number(user),
    gid: foundGroup ? Number(foundGroup[2]) : group !== undefined ? Number(group) : found ? Number(found[3]) : process.getgid!(),
    groups: found === undefined ? [] : groupsOf(found[0]),
    name: found?.[0],
    home: found?.[5],
  };
}

/**
 * The user as which a command loads an application: for root the owner of the file, or for a file of its own the
 * user that was named. `undefined` for this process's own user.
 */
export function loaderOf(file: string, user?: string): Account | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  const { uid } = statSync(file);
  const account = findAccount(uid === 0 ? user ?? "0" : String(uid), undefined);
  return account.uid === 0 ? undefined : account;
}

/** Of an account, what a child process is started with. */
export function childAs(account: Account | undefined): { uid?: number; gid?: number; env: Record<string, string | undefined> } {
  if (account === undefined) return { env: process.env };
  const { uid, gid, name = String(uid), home = "/" } = account;
  return { uid, gid, env: { ...process.env, USER: name, LOGNAME: name, HOME: home } };
}

/** Name of a group, or its number. */
export function groupName(gid: number): string {
  return rows("/etc/group").find(([, , other]) => Number(other) === gid)?.[0] ?? String(gid);
}

/** Groups that a user is in besides the first. */
function groupsOf(name: string): number[] {
  return rows("/etc/group").filter(([, , , members]) => members?.split(",").includes(name)).map(([, , gid]) => Number(gid));
}

function rows(file: string): string[][] {
  // A container may have neither.
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").map((line) => line.split(":")) : [];
}
