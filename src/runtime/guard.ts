/**
 * Sees to it that what a process has started does not outlive it, even if it is killed and that is in an endless loop.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { runtime } from "./name.ts";

/**
 * Keeps a list of processes, kills those that are left when its standard input ends, so many seconds later, with what they
 * have started elsewhere, and removes a folder.
 */
const script = `
trap '' HUP INT TERM USR1 USR2
# The environment may have no PATH.
PATH=$PATH:/usr/bin:/bin
patience=$1
folder=$2
mark=$3
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
  if [ -n "$mark" ]; then
    for file in $(grep -ls -- "$mark" /proc/[0-9]*/environ 2>/dev/null); do
      pid=\${file#/proc/}
      kill -s KILL "\${pid%/environ}" 2>/dev/null
    done
  fi
fi
[ -z "$folder" ] || rm -rf -- "$folder"
`;

/** Its standard input. */
interface Shell {
  write(line: string): void;
  end(): void;
}

type Env = NodeJS.ProcessEnv | undefined;

function startByNode(words: string[], env: Env, failed: () => void, ended: () => void): Shell {
  const shell = spawn("/bin/sh", words, { stdio: ["pipe", "ignore", "ignore"], detached: true, cwd: "/", env });
  // Not there when the host allows no further descriptor.
  const { stdin } = shell;
  stdin?.on("error", () => {});
  shell.on("error", failed).on("exit", ended).unref();
  return { write: (line) => void stdin?.write(line), end: () => void stdin?.end() };
}

/** What is used of Bun. */
interface BunSpawn {
  spawn(words: string[], options: object): {
    stdin: { write(text: string): unknown; flush(): unknown; end(): unknown };
    unref(): void;
  };
}

/** Without the streams of `node:child_process`, which take 1.5 MiB of a process. */
function startByBun(words: string[], env: Env, _failed: () => void, ended: () => void): Shell | undefined {
  const { Bun: bun } = globalThis as unknown as { Bun: BunSpawn };
  try {
    const options = { stdin: "pipe", stdout: "ignore", stderr: "ignore", detached: true, cwd: "/", env, onExit: ended };
    const shell = bun.spawn(["/bin/sh", ...words], options);
    shell.unref();
    // It may have ended.
    const quietly = async (act: () => unknown) => {
      try {
        await act();
      } catch {
        // Another one is started.
      }
    };
    const { stdin } = shell;
    return {
      write: (line) => void quietly(() => (stdin.write(line), stdin.flush())),
      end: () => void quietly(() => stdin.end()),
    };
  } catch {
    return undefined;
  }
}

/** A shell that waits beside this process; the smallest process there is everywhere. */
export class Guard {
  readonly #words: string[];
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv | undefined;
  #shell: Shell | undefined;
  readonly #pids = new Set<number>();
  #closed = false;

  /**
   * @param patience seconds that processes have to notice that this one is gone
   * @param folder what is removed in the end
   * @param mark a variable such as `A=1` in the environment of what the processes have started, also outside of their groups
   * @param env its environment, if not that of this process
   */
  constructor(
    { patience = 0, folder = "", mark = "", env }: {
      patience?: number;
      folder?: string;
      mark?: string;
      env?: NodeJS.ProcessEnv;
    } = {},
  ) {
    this.#words = [String(patience), folder, mark];
    this.#folder = folder;
    this.#env = env;
    this.#start();
  }

  #start(): void {
    const start = runtime.name === "Bun" ? startByBun : startByNode;
    const failed = () => this.#shell = undefined;
    this.#shell = start(["-c", script, "sh", ...this.#words], this.#env, failed, () => {
      if (!this.#closed) setTimeout(() => this.#closed || this.#start(), 1000).unref?.();
    });
    for (const pid of this.#pids) this.#tell("add", pid);
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
    if (this.#shell) this.#shell.end();
    else if (this.#folder !== "") rmSync(this.#folder, { recursive: true, force: true });
  }

  #tell(what: "add" | "remove", pid: number): void {
    this.#shell?.write(`${what} ${pid}\n`);
  }
}
