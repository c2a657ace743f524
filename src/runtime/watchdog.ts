/**
 * Ends this process when it is in an endless loop, in which no JavaScript of ours runs: a shell beside it looks how much
 * processor time its first thread takes. A thread for that would take 4 MiB, the shell takes 0.1, and it waits while there
 * is nothing to do.
 *
 * @module
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Writable } from "node:stream";
import { runtime } from "./name.ts";

/** The file that says whose the notes are; without it, nobody tells of them. */
export const SITE = "site";
/** The file that is made when the process has ended. */
export const ENDED = "ended";

/**
 * It watches at once, and reads a line when the process begins to work again after a rest. Meanwhile it looks every second
 * at the file `beat`, which changes whenever the process gets back to its event loop, and says `idle` in the end. While it
 * stays the same, the process may use so many ticks of processor time, or seconds of the clock.
 */
const script = `
trap '' HUP INT TERM USR1 USR2 QUIT
exec 0<&3 3<&-
# A web server may give no PATH, and Deno then makes an empty one.
PATH=$PATH:/usr/bin:/bin
pid=$1 what=$2 limit=$3 folder=$4 note=$5 log=$6
spend() {
  { read -r line < "/proc/$pid/task/$pid/stat"; } 2> /dev/null || return 1
  passed=$((passed + 1))
  set -- \${line##*) }
  # It has ended, and its parent has not noticed yet.
  [ "$1" != Z ] || return 1
  [ "$what" = clock ] && used=$passed || used=$((\${12} + \${13}))
}
tell() {
  printf '[%s] runfcgi[%s] %s\\n' "$(date -u '+%Y-%m-%d %H:%M:%S')" "$pid" "$1"
}
while :; do
  last= begun=0 passed=0
  while sleep 1 2> /dev/null && spend; do
    { read -r beat < "$folder/beat"; } 2> /dev/null || break
    [ "$beat" != idle ] || break
    if [ "$beat" != "$last" ]; then
      last=$beat begun=$used
    elif [ $((used - begun)) -ge "$limit" ]; then
      text="The application blocked the event loop for too long: killing this process"
      if { read -r count since request < "$note"; } 2> /dev/null; then
        seconds=$(($(date +%s) - since / 1000))
        text="$text; under way: $(printf %s "$request" | tr -d '\\000-\\037\\177') for $seconds s"
      fi
      tell "$text" >&2
      [ -z "$log" ] || (umask 077; tell "$text" >> "$log") 2> /dev/null
      rm -f -- "$folder/${SITE}"
      kill -s KILL "$pid" 2> /dev/null
      break
    fi
  done
  read -r word || break
done
# The next process of the site tells what was under way. One that ended by itself has ended this one before.
if [ -f "$folder/${SITE}" ]; then
  : > "$folder/${ENDED}"
else
  rm -rf -- "$folder"
fi
`;

/** The kernel counts processor time for programs in hundredths of a second, on all of its architectures. */
const TICKS = 100;
/** Seconds between two beats. */
const MAX_BEAT = 5;

/** The limits, and where to report that one is exceeded. */
export interface WatchdogOptions {
  /** Seconds that the process may go without a turn of its event loop. */
  limit: number;
  /** Whether they are seconds of the clock, or else of the processor. */
  clock: boolean;
  /** A folder of its own, which is removed in the end, unless the process is killed and there is a file that says whose it is. */
  folder: string;
  /** The file in which requests are noted. */
  note?: string;
  /** A log besides standard error. */
  log?: string;
}

/** The shell, which this process does not wait for. */
interface Shell {
  /** Writes a line to its descriptor 3. */
  write(line: string): void;
  kill(): void;
  /** Resolves when it has ended, for which this process waits from now on. */
  gone(): Promise<void>;
}

function startByNode(words: string[], failed: () => void): Shell {
  const { spawn } = process.getBuiltinModule("node:child_process");
  const shell = spawn("/bin/sh", words, { stdio: ["ignore", "ignore", "inherit", "pipe"], detached: true, cwd: "/" });
  const ended = new Promise<void>((resolve) => shell.once("exit", resolve).once("error", () => resolve()));
  // The host allows no further process.
  shell.on("error", failed);
  shell.unref();
  const input = shell.stdio?.[3] as (Writable & { unref?(): void }) | null | undefined;
  input?.on("error", () => {});
  input?.unref?.();
  return {
    write: (line) => void input?.write(line),
    kill: () => void shell.kill("SIGKILL"),
    gone() {
      shell.ref();
      return ended;
    },
  };
}

/** What is used of Bun. */
interface BunSpawn {
  spawn(words: string[], options: object): {
    stdio: readonly (number | null)[];
    exited: Promise<unknown>;
    kill(signal: string): void;
    ref(): void;
    unref(): void;
  };
}

/** Without `node:child_process` and its streams, which take four fifths of the time. */
function startByBun(words: string[]): Shell {
  const { Bun: bun } = globalThis as unknown as { Bun: BunSpawn };
  const stdio = ["ignore", "ignore", "inherit", "pipe"];
  const shell = bun.spawn(["/bin/sh", ...words], { stdio, detached: true, cwd: "/", env: process.env });
  shell.unref();
  // Open as long as the object is there, also after the shell has ended.
  const input = shell.stdio[3]!;
  return {
    write(line) {
      try {
        writeSync(input, line);
      } catch {
        // It has ended.
      }
    },
    kill: () => shell.kill("SIGKILL"),
    async gone() {
      shell.ref();
      await shell.exited;
    },
  };
}

/** Watches this process while it works. */
export class Watchdog {
  readonly #beatFile: number;
  readonly #interval: number;
  #beats = 0;
  #clock: ReturnType<typeof setInterval> | undefined;
  #worked = false;
  #closed = false;
  #end = () => {};
  readonly #shell: Shell;
  /** Whether a request for which {@linkcode work} was called is still in flight. */
  busy: () => boolean = () => false;

  /** @throws {Error} when there is no place for the file, or no shell */
  constructor({ limit, clock, folder, note = "", log = "" }: WatchdogOptions) {
    this.#interval = Math.min(MAX_BEAT, Math.max(limit / 4, 0.25));
    this.#beatFile = openSync(join(folder, "beat"), "w", 0o600);
    // A loop may have begun right after the last beat, and is not to be ended too soon.
    const most = Math.ceil((limit + this.#interval) * (clock ? 1 : TICKS));
    const words = [String(process.pid), clock ? "clock" : "processor", String(most), folder, note, log];
    this.#begin();
    // A word on descriptor 3 leaves at once; Bun writes the first for a standard input when the loop has begun.
    const start = runtime.name === "Bun" ? startByBun : startByNode;
    let shell: Shell;
    try {
      shell = this.#shell = start(["-c", script, "sh", ...words], () => this.close());
    } catch (error) {
      clearInterval(this.#clock);
      closeSync(this.#beatFile);
      throw error;
    }
    // It would notice within a second, and holds standard error until then.
    this.#end = () => {
      shell.kill();
      rmSync(folder, { recursive: true, force: true });
    };
    process.once("exit", this.#end);
  }

  /** A request begins. */
  work(): void {
    this.#worked = true;
    if (this.#clock !== undefined || this.#closed) return;
    this.#begin();
    this.#shell.write("busy\n");
  }

  /**
   * Stops watching, and resolves when the shell is gone. A program that replaces this one (execve) keeps its process ID: it
   * would be taken for an endless loop, and the shell would remain a zombie of it.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#clock);
    closeSync(this.#beatFile);
    process.removeListener("exit", this.#end);
    this.#end();
    await this.#shell.gone();
  }

  #begin(): void {
    this.#beat(String(++this.#beats));
    this.#clock = setInterval(() => this.#turn(), this.#interval * 1000);
    this.#clock.unref?.();
  }

  #turn(): void {
    const busy = this.#worked || this.busy();
    this.#worked = false;
    this.#beat(busy ? String(++this.#beats) : "idle");
    if (busy) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  #beat(word: string): void {
    // As bytes: Deno takes no position with a text.
    const bytes = new TextEncoder().encode(`${word}\n`);
    writeSync(this.#beatFile, bytes, 0, bytes.length, 0);
  }
}
