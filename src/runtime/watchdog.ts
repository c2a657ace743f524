/**
 * Ends this process when it is in an endless loop, in which no JavaScript of ours runs: a shell beside it looks how much
 * processor time its first thread takes. A thread for that would take 4 MiB, the shell takes 0.1, and it sleeps while there
 * is nothing to do.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import type { Writable } from "node:stream";

/**
 * Reads a word whenever the process gets back to its event loop while it works, and `idle` when it does not. From the word
 * on it may use so many ticks of processor time, or seconds of the clock, until the next.
 */
const script = `
trap '' HUP INT TERM USR1 USR2 QUIT
exec 0<&3 3<&-
pid=$1 what=$2 limit=$3 note=$4 folder=$5 log=$6
processor() {
  { read -r line < "/proc/$pid/task/$pid/stat"; } 2> /dev/null || exit
  set -- \${line##*) }
  used=$((\${12} + \${13}))
}
tell() {
  printf '[%s] runfcgi[%s] %s\\n' "$(date -u '+%Y-%m-%d %H:%M:%S')" "$pid" "$1"
}
watch() {
  trap - TERM
  passed=0 used=0
  [ "$what" = clock ] || processor
  begun=$used
  while sleep 1 2> /dev/null; do
    passed=$((passed + 1))
    [ "$what" = clock ] && used=$passed || processor
    [ $((used - begun)) -lt "$limit" ] && continue
    [ -z "$note" ] || read -r count since request < "$note" 2> /dev/null
    seconds=$(($(date +%s) - \${since:-0} / 1000))
    text="The application did not let go of the processor: this process is ended"
    [ -z "$request" ] || text="$text; under way: $(printf %s "$request" | tr -d '\\000-\\037\\177') for $seconds s"
    tell "$text" >&2
    [ -z "$log" ] || (umask 077; tell "$text" >> "$log") 2> /dev/null
    kill -s KILL "$pid" 2> /dev/null
    exit
  done
}
watcher=
rest() {
  [ -z "$watcher" ] || { kill "$watcher"; wait "$watcher"; } 2> /dev/null
  watcher=
}
while read -r word; do
  rest
  [ "$word" = idle ] && continue
  watch &
  watcher=$!
done
rest
[ -z "$folder" ] || rm -rf -- "$folder"
`;

/** The kernel counts processor time for programs in hundredths of a second, on all of its architectures. */
const TICKS = 100;
/** Seconds between two words. */
const MAX_BEAT = 5;

/** What is too long, and what is told then. */
export interface WatchdogOptions {
  /** Seconds that the process may go without a turn of its event loop. */
  limit: number;
  /** Whether they are seconds of the clock, or else of the processor. */
  clock: boolean;
  /** The file in which requests are noted, and the folder that is removed in the end. */
  note?: string;
  folder?: string;
  /** A log besides standard error. */
  log?: string;
}

/** Watches this process while it works. */
export class Watchdog {
  readonly #words: Writable;
  readonly #beat: number;
  #clock: ReturnType<typeof setInterval> | undefined;
  #worked = false;

  constructor({ limit, clock, note = "", folder = "", log = "" }: WatchdogOptions) {
    this.#beat = Math.min(MAX_BEAT, Math.max(limit / 4, 0.25));
    // A loop may have begun right after the last word, and is not to be ended too soon.
    const most = Math.ceil((limit + this.#beat) * (clock ? 1 : TICKS));
    const words = [String(process.pid), clock ? "clock" : "processor", String(most), note, folder, log];
    const shell = spawn("/bin/sh", ["-c", script, "sh", ...words], {
      // A word on descriptor 3 leaves at once; Bun writes the first for a standard input when the loop has begun.
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      detached: true,
      cwd: "/",
    });
    this.#words = shell.stdio[3] as Writable;
    this.#words.on("error", () => {});
    shell.on("error", () => {});
    shell.unref();
    (this.#words as unknown as { unref?(): void }).unref?.();
  }

  /** A request begins. */
  work(): void {
    this.#worked = true;
    if (this.#clock !== undefined) return;
    this.#tell("busy");
    this.#clock = setInterval(() => this.#turn(), this.#beat * 1000);
    this.#clock.unref?.();
  }

  /** Whether something is under way that has not been told of by {@linkcode work} since. */
  busy: () => boolean = () => false;

  #turn(): void {
    const busy = this.#worked || this.busy();
    this.#worked = false;
    this.#tell(busy ? "busy" : "idle");
    if (busy) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  #tell(word: string): void {
    this.#words.write(`${word}\n`);
  }
}
