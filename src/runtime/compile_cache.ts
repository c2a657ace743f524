/**
 * Node compiles the program's source in each of its processes, which is most of their start: a cache in the user's own
 * folder for such files. Never in a folder that others may write to: they could put code there.
 *
 * @module
 */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import * as module from "node:module";
import { dirname, isAbsolute, join } from "node:path";
import process from "node:process";
import { runtime } from "./name.ts";

const VARIABLE = "NODE_COMPILE_CACHE";
const OTHERS_MAY_WRITE = 0o022;
const STICKY = 0o1000;
/** After this, a process has loaded most of what it will. */
const LOADED_MS = 2000;

/** The cache that is used, if it is ours. */
let folder: string | undefined;

/** Uses the cache from now on, if possible and unless the user has chosen another. */
export function enableCompileCache(): void {
  if (runtime.name !== "Node" || process.env.NODE_DISABLE_COMPILE_CACHE !== undefined) return;
  folder = ownFolder();
  if (folder === undefined) return;
  // Another process of the program was started with it already, and nothing that the application starts is to inherit it.
  if (process.env[VARIABLE] === folder) delete process.env[VARIABLE];
  else if (process.env[VARIABLE] === undefined) module.enableCompileCache?.(folder);
  else folder = undefined;
  // Node would write it as the process exits, which one that is killed never does.
  setTimeout(() => module.flushCompileCache?.(), LOADED_MS).unref();
}

/** Environment with which another process of the program uses it from its start. */
export function compileCacheEnvironment(): Record<string, string> {
  return folder === undefined ? {} : { [VARIABLE]: folder };
}

/** The variable that names a folder in which the runtime keeps what it has compiled of a program's source. */
export function cacheVariable(): string | undefined {
  return { Deno: "DENO_DIR", Bun: undefined, Node: VARIABLE }[runtime.name];
}

function ownFolder(): string | undefined {
  const { HOME, XDG_CACHE_HOME } = process.env;
  const base = XDG_CACHE_HOME ?? (HOME && join(HOME, ".cache"));
  if (base === undefined || !isAbsolute(base)) return undefined;
  const path = join(base, "runfcgi", "node");
  try {
    // One by one: where a folder cannot be made in one that is there, such as /proc, Node tries it for ever.
    for (const folder of [base, dirname(path), path]) makeFolder(folder);
    return isOwn(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

function makeFolder(path: string): void {
  if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
}

/** Whether nobody but this user and root can put anything there, or another folder in its place. */
export function isOwn(path: string, uid: number | undefined = process.getuid?.()): boolean {
  const stats = lstatSync(path);
  if (!stats.isDirectory() || stats.uid !== uid || (stats.mode & OTHERS_MAY_WRITE) !== 0) return false;
  for (let at = path; at !== "/";) {
    const { uid: owner } = lstatSync(at);
    at = dirname(at);
    const above = lstatSync(at);
    if (!above.isDirectory() || above.uid !== uid && above.uid !== 0) return false;
    // In a sticky folder, nobody else can move what is ours.
    const closed = (above.mode & OTHERS_MAY_WRITE) === 0 || (above.mode & STICKY) !== 0 && (owner === uid || owner === 0);
    if (!closed) return false;
  }
  return true;
}
