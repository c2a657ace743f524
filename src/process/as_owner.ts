/**
 * Commands that run an application's code: root has the user do that whose file it is.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { childAs, loaderOf } from "../supervisor/account.ts";
import { ownCommand } from "./handover.ts";

/**
 * Runs the command that this process was started for once more, as the owner of a file, and returns its exit status;
 * `undefined` where this process may go on itself.
 */
export function runAsOwner(file: string): number | undefined {
  const owner = loaderOf(file);
  if (owner === undefined) return undefined;
  process.stderr.write(`runfcgi: running as ${owner.name ?? `user ${owner.uid}`}, who owns "${file}"\n`);
  const [program, ...words] = ownCommand();
  const { status, error } = spawnSync(program, words, { ...childAs(owner), stdio: "inherit" });
  if (error) throw error;
  return status ?? 1;
}
