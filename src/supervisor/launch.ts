/**
 * From the command line to a supervisor: binds the endpoint, and is the supervisor in the foreground or starts one as a
 * daemon. On Node, which cannot keep a socket that it has bound without accepting, it starts one in the foreground, too, and
 * waits for it, except where systemd has bound it.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import process from "node:process";
import { closeDescriptor, giveDescriptor, ownDescriptor, prepareDescriptors, sealDescriptors } from "../runtime/descriptor.ts";
import { bindFor, type BoundSocket, type ListenOptions, removeSocket, whenFree } from "../runtime/listen.ts";
import { PlainError } from "../runtime/plain_error.ts";
import { openAppending } from "../runtime/rights.ts";
import type { Address } from "../runtime/socket.ts";

/** What to start. */
export interface LaunchOptions {
  /** Where to listen, or a descriptor that is a listening socket already. */
  endpoint: Address | InheritedEndpoint;
  listen: ListenOptions;
  /** The command line that starts this program. */
  command: readonly string[];
  /** Environment that makes it a supervisor, which has the socket on the descriptor `fd`. */
  environment(bound: Pick<BoundSocket, "address" | "identity"> | undefined, fd: number): Record<string, string | undefined>;
  /** Supervises in this process; signals are handled before it returns. */
  supervise(bound: Pick<BoundSocket, "address" | "identity"> | undefined, fd: number): Promise<number>;
  /** Whether this process ends when the server is ready, and leaves it in the background. */
  daemonize: boolean;
  /** Directory of the server. */
  workdir?: string;
  /** File that gets what the supervisor itself writes to standard error in the background; without it that is lost. */
  errlog?: string;
}

/** A listening socket that another process has opened. */
export interface InheritedEndpoint {
  transport: "fd";
  fd: number;
  /** That process keeps it and starts a server when somebody connects, as systemd does. */
  heldElsewhere?: boolean;
}

/** Messages from the supervisor to this process. */
export type FromSupervisor =
  /** From now on it takes signals, which would have ended it before. */
  | { type: "up" }
  | { type: "serving"; text: string }
  | { type: "failed"; reason: string };

/** Signals that are for the supervisor. */
const forwarded = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"] as const;

/** Milliseconds in which a server that is just stopping has to give up its endpoint. */
const TAKEOVER_MS = 3000;

/** The server did not start: the reason in one line. */
export class LaunchError extends PlainError {
  override name = "LaunchError";
}

/**
 * Starts the server and resolves with the exit status of this process: at once in the background, when the server ends
 * in the foreground.
 *
 * @throws {ListenError} when the endpoint cannot be had
 * @throws {LaunchError} when the server does not start
 */
export async function launch(options: LaunchOptions): Promise<number> {
  const { workdir } = options;
  if (workdir !== undefined && !statSync(workdir, { throwIfNoEntry: false })?.isDirectory()) {
    throw new LaunchError(`there is no directory "${workdir}"`);
  }
  // Signals that come before anybody takes them.
  const early: NodeJS.Signals[] = [];
  let forward = (signal: NodeJS.Signals): void => {
    early.push(signal);
  };
  const listener = (signal: NodeJS.Signals) => forward(signal);
  for (const signal of forwarded) process.on(signal, listener);
  await prepareDescriptors();
  const { endpoint, listen } = options;
  const bound = endpoint.transport === "fd" ? undefined : await whenFree(() => bindFor(endpoint, listen), TAKEOVER_MS);
  // From there, a relative path would be another.
  if (workdir !== undefined && bound?.address.transport === "unix") {
    bound.address = { transport: "unix", path: resolvePath(bound.address.path) };
  }
  const fd = bound?.fd ?? (options.endpoint as InheritedEndpoint).fd;
  // One that another process holds may be closed.
  const kept = endpoint.transport === "fd" && endpoint.heldElsewhere ? fd : undefined;
  const own = options.daemonize ? undefined : ownDescriptor(fd) ?? kept;
  sealDescriptors(options.daemonize, fd);
  if (own !== undefined) {
    if (bound) bound.release();
    else if (own !== fd) closeDescriptor(fd);
    if (workdir !== undefined) process.chdir(workdir);
    const running = options.supervise(bound, own);
    for (const signal of forwarded) process.off(signal, listener);
    for (const signal of early) process.emit(signal, signal);
    return await running;
  }
  const supervisor = start(options, fd, bound);
  if (bound) bound.release();
  else closeDescriptor(fd);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let failure: string | undefined;
  /** It could not remove it itself. */
  const cleanUp = () => {
    if (bound?.identity && bound.address.transport === "unix") {
      removeSocket(bound.address.path, bound.identity, options.listen.owner);
    }
  };
  supervisor.on("error", (error) => {
    cleanUp();
    reject(new LaunchError(`the server cannot be started: ${error.message}`));
  });
  supervisor.on("message", (message) => {
    const told = message as FromSupervisor;
    if (told.type === "failed") return void (failure = told.reason);
    if (told.type === "up") {
      forward = (signal) => kill(supervisor, signal);
      return early.forEach(forward);
    }
    process.stderr.write(`runfcgi: ${told.text}\n`);
    if (!options.daemonize) return;
    supervisor.disconnect();
    supervisor.unref();
    resolve(0);
  });
  supervisor.on("exit", (code, signal) => {
    if (signal !== null) cleanUp();
    // What it said last may still be on its way.
    setTimeout(() => {
      if (failure !== undefined) reject(new LaunchError(failure));
      else if (options.daemonize) reject(new LaunchError(`the server ended while it started${signal ? `: ${signal}` : ""}`));
      else resolve(code ?? 1);
    }, 50);
  });
  return await promise;
}

function start(options: LaunchOptions, fd: number, bound: BoundSocket | undefined): ChildProcess {
  const { command, environment, daemonize, workdir, errlog, listen } = options;
  const output = daemonize ? "ignore" : "inherit";
  const errors = daemonize && errlog !== undefined ? openAppending(errlog, listen.owner) : output;
  return giveDescriptor(fd, (descriptors, words, number) => {
    const [program, ...rest] = [...words, ...command];
    return spawn(program, rest, {
      stdio: ["ignore", output, errors, ...descriptors],
      env: { ...process.env, ...environment(bound, number) },
      cwd: workdir,
      // A session of its own: signals of the terminal reach it once, by way of this process.
      detached: true,
    });
  });
}

function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(child.pid!, signal);
  } catch {
    // It has ended.
  }
}
