/**
 * Users and groups by name.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

/** A user with a group. */
export interface Account {
  uid: number;
  gid: number;
  /** For the environment, if the system knows the user. */
  name?: string;
  home?: string;
}

/**
 * Looks up a user, a group, or both; the group of a user is by default the user's own.
 *
 * @throws {Error} naming what there is none of
 */
export function findAccount(user: string | undefined, group: string | undefined): Account {
  const found = user === undefined ? undefined : rows("/etc/passwd").find(([name, , uid]) => name === user || uid === user);
  if (user !== undefined && found === undefined && !/^\d+$/.test(user)) throw new Error(`there is no user "${user}"`);
  const foundGroup = group === undefined
    ? undefined
    : rows("/etc/group").find(([name, , gid]) => name === group || gid === group);
  if (group !== undefined && foundGroup === undefined && !/^\d+$/.test(group)) throw new Error(`there is no group "${group}"`);
  return {
    uid: found ? Number(found[2]) : user === undefined ? process.getuid!() : Number(user),
    gid: foundGroup ? Number(foundGroup[2]) : group !== undefined ? Number(group) : found ? Number(found[3]) : process.getgid!(),
    name: found?.[0],
    home: found?.[5],
  };
}

function rows(file: string): string[][] {
  return readFileSync(file, "utf8").split("\n").map((line) => line.split(":"));
}
