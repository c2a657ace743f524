/**
 * The file that stands for the program.
 *
 * @module
 */
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

/** The script that has started the program, which is called as the site needs it. */
export const launcher: string | undefined = process.env.RUNFCGI_FILE !== undefined &&
    [process.execPath, ownArguments[1] ?? ""].some((file) => basename(file).startsWith(UNPACKED))
  ? resolve(process.env.RUNFCGI_FILE)
  : undefined;
