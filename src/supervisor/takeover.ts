/**
 * A new server on the socket of this one: no connection is refused, and this one goes on when the new one cannot start.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { giveDescriptor } from "../runtime/descriptor.ts";

/** What to start. */
export interface Successor {
  /** The listening socket. */
  fd: number;
  /** The command line of a new server that goes to the background. */
  command: readonly string[];
  /** Environment that hands the socket over, which it has on the descriptor `fd`. */
  environment(fd: number): Record<string, string | undefined>;
  cwd?: string;
}

/** Messages from the process that starts a new server to this one. */
export type FromSuccessor = {
  /** It listens on the socket that it was given, and not elsewhere. */
  type: "tookSocket";
};

/** How it went. */
export interface Succession {
  /** The new server serves. */
  done: boolean;
  /** What it said. */
  text: string;
  tookSocket: boolean;
}

/**
 * Starts the new server and resolves when it serves or has failed.
 *
 * @param stopping this server is to stop, and the new one with it
 */
export function startSuccessor({ fd, command, environment, cwd }: Successor, stopping: AbortSignal): Promise<Succession> {
  const { promise, resolve } = Promise.withResolvers<Succession>();
  let text = "";
  let tookSocket = false;
  const child = giveDescriptor(fd, (descriptors, before, number) => {
    const [program, ...rest] = [...before, ...command];
    return spawn(program, rest, {
      stdio: ["ignore", "ignore", "pipe", ...descriptors],
      env: { ...process.env, ...environment(number) },
      cwd,
    });
  });
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  child.on("message", (message) => tookSocket ||= (message as FromSuccessor | null)?.type === "tookSocket");
  const stop = () => child.kill();
  stopping.addEventListener("abort", stop);
  child.on("error", (error) => resolve({ done: false, text: error.message, tookSocket }));
  child.on("close", (code) => {
    stopping.removeEventListener("abort", stop);
    resolve({ done: code === 0, text: stopping.aborted ? "it is stopping" : text, tookSocket });
  });
  return promise;
}
