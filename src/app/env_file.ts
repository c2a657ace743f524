/**
 * The file with variables of the environment that many applications have beside them, `.env`.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { UsageError } from "../options/arguments.ts";
import type { Options } from "../options/options.ts";
import { runtime } from "../runtime/name.ts";
import { isCompiled } from "./compiled.ts";

/** The variables of a file. @throws {UsageError} when it cannot be read */
export function readEnvFile(path: string): Record<string, string | undefined> {
  try {
    return process.getBuiltinModule("node:util").parseEnv(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`envfile is "${path}", which cannot be read: ${(error as Error).message}`);
  }
}

/** What is to be said of a `.env` that nobody asked for, `undefined` if there is nothing to say. */
export function unreadEnvFile(app: string | undefined, { envfile, workdir = "." }: Options): string | undefined {
  if (envfile !== undefined || app === undefined) return undefined;
  const here = resolve(workdir, ".env");
  const file = [join(dirname(resolve(app)), ".env"), here].find((path) => existsSync(path));
  // Bun reads that of the working directory itself.
  if (file === undefined || file === here && runtime.name === "Bun" && !isCompiled()) return undefined;
  return `"${file}" is not read: envfile=${file} has its variables set`;
}

/**
 * Sets what `envfile=` has and no one has set yet, and what `env=NAME=VALUE` says.
 *
 * @throws {UsageError} when the file cannot be read
 */
export function setEnvironment({ env = [], envfile }: Options): void {
  for (const [name, value] of Object.entries(envfile === undefined ? {} : readEnvFile(envfile))) process.env[name] ??= value;
  for (const assignment of env) {
    const at = assignment.indexOf("=");
    process.env[assignment.slice(0, at)] = assignment.slice(at + 1);
  }
}
