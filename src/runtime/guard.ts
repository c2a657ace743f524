/**
 * Sees to it that no worker outlives its supervisor, even if that is killed and the worker is in an endless loop.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";

/** Seconds that workers have to notice that the supervisor is gone. */
const PATIENCE = 1.5;

/** Keeps the list of workers and kills those that are left when its standard input ends. */
const script = `
trap '' HUP INT TERM USR1 USR2
pids=
while read -r what pid; do
  case $what in
    add) pids="$pids $pid" ;;
    remove) left=; for p in $pids; do [ "$p" = "$pid" ] || left="$left $p"; done; pids=$left ;;
  esac
done
[ -n "$pids" ] || exit 0
sleep ${PATIENCE}
kill -s KILL $pids 2>/dev/null
`;

/** A shell that waits beside the supervisor; the smallest process there is everywhere. */
export class Guard {
  #shell: ChildProcess | undefined;
  readonly #pids = new Set<number>();
  #closed = false;

  constructor() {
    this.#start();
  }

  #start(): void {
    const shell = this.#shell = spawn("/bin/sh", ["-c", script], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
      cwd: "/",
    });
    shell.stdin!.on("error", () => {});
    for (const pid of this.#pids) this.#tell("add", pid);
    shell.on("error", () => this.#shell = undefined);
    shell.on("exit", () => {
      if (!this.#closed) setTimeout(() => this.#closed || this.#start(), 1000).unref?.();
    });
    shell.unref();
  }

  add(pid: number): void {
    this.#pids.add(pid);
    this.#tell("add", pid);
  }

  remove(pid: number): void {
    this.#pids.delete(pid);
    this.#tell("remove", pid);
  }

  /** All workers have ended. */
  close(): void {
    this.#closed = true;
    this.#shell?.stdin?.end();
  }

  #tell(what: "add" | "remove", pid: number): void {
    this.#shell?.stdin?.write(`${what} ${pid}\n`);
  }
}
