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
/** All of the program as one module for the host's Node, with a script that stands for it. Such a name is private everywhere. */
export const NODE_MODULE = "runfcgi-node.mjs";

/** The script that has started the program, which is called as the site needs it. */
export const launcher: string | undefined = process.env.RUNFCGI_FILE !== undefined &&
    (basename(process.execPath).startsWith(UNPACKED) || basename(ownArguments[1] ?? "") === NODE_MODULE)
  ? resolve(process.env.RUNFCGI_FILE)
  : undefined;
