/**
 * The program under test: this runtime on `mod.ts`, or the compiled binary that `RUNFCGI_PROGRAM` names.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** Whether all is tested that there is, by `--whole` of the test command. */
export const whole = process.env.RUNFCGI_WHOLE === "true";

/** How the program is started. */
export interface Program {
  name: "deno" | "bun" | "node" | "binary";
  /** What comes before the program's own arguments. */
  command: readonly [string, ...string[]];
}

export function program(): Program {
  const binary = process.env.RUNFCGI_PROGRAM;
  if (binary) return { name: "binary", command: [resolve(binary)] };
  const module = fileURLToPath(new URL("../../mod.ts", import.meta.url));
  const { deno, bun } = process.versions;
  if (deno) return { name: "deno", command: [process.execPath, "run", "-A", module] };
  return { name: bun ? "bun" : "node", command: [process.execPath, module] };
}

/** A child process with all that it wrote. */
export interface Running {
  pid: number;
  stdout(): string;
  stderr(): string;
  /** Nobody reads its output any more. */
  abandon(): void;
  /** Its result, once its output is complete. */
  exit: Promise<{ code: number | null; signal: string | null }>;
  kill(signal?: NodeJS.Signals): void;
  /** Ends it and its children: TERM, then KILL. */
  stop(): Promise<void>;
}

export interface StartOptions {
  cwd?: string;
  env?: Record<string, string | undefined>;
  stdin?: "ignore" | number;
}

/** Seconds after which a process that a test waits for is killed: a test that hangs would say nothing. */
const LIMIT = 300;

/** Starts a command in a process group of its own, which does not outlive this process. */
export function start(command: readonly string[], { cwd, env, stdin = "ignore" }: StartOptions = {}): Running {
  const child = spawn(command[0], command.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: [stdin, "pipe", "pipe"],
    detached: true,
  });
  const text = { stdout: "", stderr: "" };
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => text.stdout += chunk);
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => text.stderr += chunk);
  const { promise: exit, resolve } = Promise.withResolvers<{ code: number | null; signal: string | null }>();
  // Not child.kill(), after which Deno reports a death by that signal, whatever the exit status was.
  const kill = (signal: NodeJS.Signals = "SIGTERM", pid = child.pid!) => {
    try {
      process.kill(pid, signal);
    } catch {
      // Nobody is there any more.
    }
  };
  const killAll = () => kill("SIGKILL", -child.pid!);
  const guard = guardGroup(child.pid);
  const limit = setTimeout(() => {
    text.stderr += `\nStill running after ${LIMIT} s, and killed by the test`;
    killAll();
    // Its output may never be complete: a process outside of the group can hold it.
    setTimeout(() => over(null, "SIGKILL"), 5000).unref();
  }, LIMIT * 1000);
  limit.unref();
  const over = (code: number | null, signal: string | null) => {
    clearTimeout(limit);
    guard?.kill("SIGKILL");
    resolve({ code, signal });
  };
  child.on("error", (error) => {
    text.stderr += error.message;
    over(null, null);
  });
  child.on("close", over);
  return {
    pid: child.pid!,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    abandon() {
      child.stdout!.destroy();
      child.stderr!.destroy();
    },
    exit,
    kill,
    async stop() {
      kill();
      const timer = setTimeout(killAll, 5000);
      await exit;
      clearTimeout(timer);
      killAll();
    },
  };
}

/** Kills a process group when this process is gone, in whatever way it ended: not every runtime lets its tests know. */
export function guardGroup(pid: number | undefined): ChildProcess | undefined {
  if (pid === undefined) return undefined;
  const guard = spawn("sh", ["-c", `read -r _; kill -s KILL -- -${pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.stdin!.on("error", () => {});
  guard.unref();
  return guard;
}

/** Starts the program with these arguments on an endpoint and waits until it serves. */
export async function startServing(endpoint: Endpoint, words: readonly string[] = [], options?: StartOptions): Promise<Running> {
  const at = "socket" in endpoint ? [`socket=${endpoint.socket}`] : [`port=${endpoint.port}`];
  const running = start([...program().command, ...words, ...at], options);
  // Connections are accepted before that, and wait.
  await goesOn(running, "the program serves", () => /^runfcgi: serving /m.test(running.stderr()));
  return running;
}

export type Endpoint = { socket: string } | { port: number };

/** Waits until somebody accepts connections at an endpoint. */
export function accepting(endpoint: Endpoint, running: Running): Promise<void> {
  return goesOn(running, `something accepts on ${JSON.stringify(endpoint)}`, () => connects(endpoint));
}

/** Waits for a condition while a program runs. */
async function goesOn(running: Running, what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  let over = false;
  running.exit.then(() => over = true);
  try {
    await until(what, () => over || condition());
  } catch (error) {
    await running.stop();
    throw new Error(`${(error as Error).message}\n${running.stderr()}`);
  }
  if (over) throw new Error(`It ended at once:\n${running.stderr()}`);
}

function connects(endpoint: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(
      "socket" in endpoint ? { path: endpoint.socket } : { host: "127.0.0.1", port: endpoint.port },
    );
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Kills a process; `false` when it has just ended by itself. */
export function killed(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}

/** Waits for a condition; asks often, because a test should take no longer than what it waits for. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  seconds = 60,
): Promise<Exclude<T, false | undefined | null>> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, false | undefined | null>;
    if (Date.now() > deadline) throw new Error(`Waited ${seconds} s in vain until ${what}`);
    await delay(10);
  }
}

/** What a promise resolves with, if it does in time. */
export async function within<T>(what: string, promise: Promise<T>, seconds = 120): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${seconds} s in vain for ${what}`)), seconds * 1000);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * A port that nobody listens on, below those that the kernel gives to outgoing connections. It is this process's to the
 * end: no other test is given it before it is in use, or between two uses.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    // Whoever listens on the one far above it has it.
    const claim = await listener(port + 30_000);
    if (claim === undefined) continue;
    claim.unref();
    const free = await listener(port);
    if (free !== undefined) {
      await new Promise((resolve) => free.close(resolve));
      return port;
    }
    claim.close();
  }
}

function listener(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/** Whether a process is there and has not ended: one that nobody has waited for yet is gone. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = `/proc/${pid}/stat`;
    return !existsSync(stat) || !/\) [ZX] /.test(readFileSync(stat, "utf8"));
  } catch {
    // Perhaps just now.
    return false;
  }
}
