/**
 * The runtimes' debuggers: how a process is given one, and which one this process was started with.
 *
 * @module
 */
import process from "node:process";
import { runtime } from "./name.ts";
import { startedFile } from "./own_arguments.ts";

/** A debugger's address, and whether the process waits until somebody has connected there. */
export interface Inspector {
  host: string;
  port: number;
  wait: boolean;
}

/** Where Node and Deno listen if nothing else is said. */
const DEFAULT_PORT = 9229;

/** Bun has a variable, which works in the compiled program, too. */
const BUN_VARIABLE = "BUN_INSPECT";

/** How a process is started that has the debugger. */
export interface Inspected {
  command: string[];
  environment: Record<string, string>;
  /** What to open or to connect to, where the runtime does not say it. */
  url?: string;
}

/** @param id a path that no page in a browser can guess: whoever knows it may run any code */
export function inspected(command: readonly string[], { host, port, wait }: Inspector, id: string): Inspected {
  const shown = host.includes(":") ? `[${host}]` : host;
  if (runtime.name === "Bun") {
    const environment = { [BUN_VARIABLE]: `ws://${shown}:${port}/${id}${wait ? "?wait=1" : ""}` };
    return { command: [...command], environment, url: `https://debug.bun.sh/#${shown}:${port}/${id}` };
  }
  // Behind `deno run`.
  const at = runtime.name === "Deno" ? 2 : 1;
  return { command: [...command].toSpliced(at, 0, `--inspect${wait ? "-wait" : ""}=${shown}:${port}`), environment: {} };
}

/** Milliseconds after a signal in which Deno opens a debugger. */
const OPENED_MS = 1000;

/**
 * Closes the debugger that Deno opens at SIGUSR1, by which web servers ask a process to stop: it would be on 127.0.0.1, where
 * all users of the machine could run code as this one.
 */
export function refuseDebugger(): void {
  if (runtime.name !== "Deno") return;
  let clock: ReturnType<typeof setInterval> | undefined;
  process.on("SIGUSR1", () => {
    const inspector = process.getBuiltinModule("node:inspector");
    clearInterval(clock);
    const until = performance.now() + OPENED_MS;
    clock = setInterval(() => {
      if (inspector.url() !== undefined) inspector.close();
      if (performance.now() > until) clearInterval(clock);
    }, 1);
    clock.unref?.();
  });
}

/** Keeps the debugger's address from processes that the application starts. */
export function forgetInspector(): void {
  delete process.env[BUN_VARIABLE];
  const at = process.execArgv.findIndex((word) => flag.test(word));
  if (at >= 0) process.execArgv.splice(at, 1);
}

const flag = /^--inspect(?<kind>-brk|-wait)?(?:=(?:(?<host>\[[^\]]+\]|[^:]*):)?(?<port>\d+)?(?:\/.*)?)?$/;

/** The debugger that a command line gives to the process which it starts, and the command line without. */
export function takeInspector(command: readonly string[]): { inspector: Inspector; rest: string[] } | undefined {
  // Behind the script they are the program's own arguments.
  const end = command.indexOf(startedFile ?? "");
  const at = command.findIndex((word, i) => i < end && flag.test(word));
  if (at < 0) return undefined;
  const { kind, host, port } = flag.exec(command[at])!.groups!;
  const inspector = {
    host: host?.replace(/^\[|\]$/g, "") || "127.0.0.1",
    port: Number(port ?? DEFAULT_PORT),
    wait: kind !== undefined,
  };
  return { inspector, rest: command.toSpliced(at, 1) };
}
