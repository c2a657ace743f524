/**
 * The file that stands for the program.
 *
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
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

/** What such a script has unpacked of {@linkcode PACKED}, and started as this process. */
export const unpacked: string | undefined = launcher !== undefined && unpackedName === UNPACKED_PROGRAM
  ? process.execPath
  : undefined;

/** What has become of the compressed program beside a script. */
export type PackedState =
  | { is: "missing" }
  /** It is what is started, and has this time, in milliseconds. */
  | { is: "unpacked"; program: string; time: number }
  /** It was damaged, or could not be started, so that the one before goes on. */
  | { is: "refused"; why: string; mark: string }
  /** Nobody has unpacked it yet. */
  | { is: "new" };

/** Where the compressed program of a script is. */
export const packedBeside = (script: string): string => join(dirname(resolve(script)), PACKED);

/** Looks at what the script knows: what was unpacked, or refused, has the time of what was uploaded. */
export function packedState(script: string): PackedState {
  const folder = dirname(resolve(script));
  const time = timeOf(packedBeside(script));
  if (time === undefined) return { is: "missing" };
  const own = join(process.env.TMPDIR || "/tmp", `runfcgi-${process.geteuid?.()}`, folder);
  const find = (name: string) => [folder, own].map((place) => join(place, name)).find((path) => timeOf(path) === time);
  const program = find(UNPACKED_PROGRAM);
  if (program !== undefined) return { is: "unpacked", program, time };
  const mark = find(REFUSED);
  return mark === undefined ? { is: "new" } : { is: "refused", why: readFileSync(mark, "utf8").trim(), mark };
}

const timeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs;
