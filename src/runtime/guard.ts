/**
 * Sees to it that what a process has started does not outlive it, even if it is killed and that is in an endless loop.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";

/**
 * Keeps a list of processes, kills those that are left when its standard input ends, so many seconds later, and removes
 * a folder.
 */
const script = `
trap '' HUP INT TERM USR1 USR2
# The environment may have no PATH.
PATH=$PATH:/usr/bin:/bin
patience=$1
folder=$2
pids=
while read -r what pid; do
  case $what in
    add) pids="$pids $pid" ;;
    remove) left=; for p in $pids; do [ "$p" = "$pid" ] || left="$left $p"; done; pids=$left ;;
  esac
done
if [ -n "$pids" ]; then
  sleep "$patience"
  kill -s KILL -- $pids 2>/dev/null
fi
[ -z "$folder" ] || rm -rf -- "$folder"
`;

/** A shell that waits beside this process; the smallest process there is everywhere. */
export class Guard {
  readonly #words: string[];
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv | undefined;
  #shell: ChildProcess | undefined;
  readonly #pids = new Set<number>();
  #closed = false;

  /**
   * @param patience seconds that processes have to notice that this one is gone
   * @param folder what is removed in the end
   * @param env its environment, if not that of this process
   */
  constructor({ patience = 0, folder = "", env }: { patience?: number; folder?: string; env?: NodeJS.ProcessEnv } = {}) {
    this.#words = [String(patience), folder];
    this.#folder = folder;
    this.#env = env;
    this.#start();
  }

  #start(): void {
    const shell = this.#shell = spawn("/bin/sh", ["-c", script, "sh", ...this.#words], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
      cwd: "/",
      env: this.#env,
    });
    // Not there when the host allows no further descriptor.
    shell.stdin?.on("error", () => {});
    for (const pid of this.#pids) this.#tell("add", pid);
    shell.on("error", () => this.#shell = undefined);
    shell.on("exit", () => {
      if (!this.#closed) setTimeout(() => this.#closed || this.#start(), 1000).unref?.();
    });
    shell.unref();
  }

  /** @param pid a process, or with a minus sign a group of them */
  add(pid: number): void {
    this.#pids.add(pid);
    this.#tell("add", pid);
  }

  remove(pid: number): void {
    this.#pids.delete(pid);
    this.#tell("remove", pid);
  }

  /** Nothing is left to be started. */
  close(): void {
    this.#closed = true;
    if (this.#shell) this.#shell.stdin?.end();
    else if (this.#folder !== "") rmSync(this.#folder, { recursive: true, force: true });
  }

  #tell(what: "add" | "remove", pid: number): void {
    this.#shell?.stdin?.write(`${what} ${pid}\n`);
  }
}
