/**
 * Another program that is uploaded while this one runs, compressed, to the place where a script unpacks it. That takes a
 * second or more, so the script does it while this process goes on, which restarts when the other one is there and starts.
 *
 * @module
 */
import { readlinkSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { launcher, PACKED, packedState, unpacked, UNPACKED_PROGRAM } from "../app/program_file.ts";

/** Milliseconds after which nobody writes what was uploaded any more; the script waits a little less. */
const QUIET_MS = 11_000;
/** Milliseconds between two times that the script is started for the same. */
const AGAIN_MS = 30_000;
/** Milliseconds that the script has. */
const LIMIT_MS = 120_000;
/** Milliseconds after which what was refused is tried again: perhaps it was the disk that was full. */
const REFUSED_MS = 3600_000;

/**
 * Looks for it, to be called now and then.
 *
 * @param say what the script says
 * @returns whether another program than this one is to be started by now
 */
export function packedWatch(say: (text: string) => void): () => boolean {
  const own = ownTime();
  if (launcher === undefined || unpacked === undefined || own === undefined) return () => false;
  const script = launcher;
  const packed = join(dirname(script), PACKED);
  let [tried, nextAt] = [0, 0];
  return () => {
    try {
      const state = packedState(script);
      if (state.is === "unpacked") return state.program !== unpacked || state.time !== own;
      const now = Date.now();
      if (state.is === "refused" && now - statSync(state.mark).ctimeMs > REFUSED_MS) rmSync(state.mark);
      else if (state.is !== "new") return false;
      const { mtimeMs } = statSync(packed);
      const age = now - mtimeMs;
      if (age >= 0 && age < QUIET_MS || mtimeMs === tried && now < nextAt) return false;
      [tried, nextAt] = [mtimeMs, now + AGAIN_MS];
      unpack(script, say);
    } catch {
      // It was just replaced, or the host allows no process: later.
    }
    return false;
  };
}

/** The time of the file that this process was started from, `undefined` where the system does not say it. */
function ownTime(): number | undefined {
  const exe = "/proc/self/exe";
  try {
    return basename(readlinkSync(exe)).startsWith(UNPACKED_PROGRAM) ? statSync(exe).mtimeMs : undefined;
  } catch {
    return undefined;
  }
}

/** The script unpacks what it is to start, which then says its version. */
function unpack(script: string, say: (text: string) => void): void {
  // Only here, so that it takes no memory of others.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const child = spawn(script, ["version"], { cwd: dirname(script), stdio: ["ignore", "ignore", "pipe"], timeout: LIMIT_MS });
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => said = (said + text).slice(0, 1000));
  child.on("error", () => {});
  child.on("close", () => said.trim() === "" || say(said.trim()));
  child.unref();
}
