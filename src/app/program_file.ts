/**
 * The file that stands for the program.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import process from "node:process";
import { ownArguments } from "../runtime/own_arguments.ts";
import { isCompiled } from "./compiled.ts";

/** The file that the user started: the compiled program, or the script that the runtime was given. */
export function programFile(): string {
  return launcher ?? (isCompiled() ? process.execPath : ownArguments[1] ?? "");
}

/** How the names of programs begin that a script has unpacked, which stands for them. */
export const UNPACKED = ".htrunfcgi-";

/** The compressed program beside a script, what the script unpacks of it, and what has the time of one that it refused. */
export const PACKED = "runfcgi.gz";
export const UNPACKED_PROGRAM = `${UNPACKED}program`;
export const REFUSED = ".htrunfcgi.bad";

/** What the script that stands for the program has unpacked and started, if one has. */
const unpackedName = [process.execPath, ownArguments[1] ?? ""].map((file) => basename(file)).find((name) =>
  name.startsWith(UNPACKED)
);

/** The script that has started the program, which is called as the site needs it. */
export const launcher: string | undefined = process.env.RUNFCGI_FILE !== undefined && unpackedName !== undefined
  ? resolve(process.env.RUNFCGI_FILE)
  : undefined;

/** Whether that script starts another program by now: it was uploaded while this process was being started. */
export function launcherIsNewer(): boolean {
  if (launcher === undefined) return false;
  try {
    const [, name] = /^name=(\S+)$/m.exec(readFileSync(launcher, "latin1")) ?? [];
    return name !== undefined && name !== unpackedName;
  } catch {
    // It is being replaced, which is noticed.
    return false;
  }
}
