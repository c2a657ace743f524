/**
 * What one process of the program hands over to the next: options that were parsed and checked once.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { collectorEnvironment } from "../runtime/collect.ts";
import { compileCacheEnvironment } from "../runtime/compile_cache.ts";
import { frugalEnvironment } from "../runtime/frugal.ts";
import type { FileIdentity } from "../runtime/listen.ts";
import { ownArguments, startedFile } from "../runtime/own_arguments.ts";
import type { Address } from "../runtime/socket.ts";
import { serverVariable as variable } from "../supervisor/pidfile.ts";
import { denoArguments } from "../app/project.ts";
import type { Options } from "../options/options.ts";

/** What a process or thread of the program is to be. */
export interface Handover {
  role: "supervisor" | "successor" | "worker" | "thread" | "options" | "check" | "keeper";
  /** The application's file; none for the one inside the program, or for the welcome page. */
  app?: string;
  options: Options;
  /** Where the socket listens, and the file to remove in the end. */
  bound?: { address: Address; identity?: FileIdentity };
  /** Worker: ends when the application cannot be loaded. */
  mustLoad?: boolean;
  /** Worker: loads the application when it is told to. */
  waits?: boolean;
  /** Worker: why it serves a page with this reason in place of the application. */
  standsIn?: string;
  /** The descriptor of the socket. */
  fd?: number;
  /** Worker: the file for its notes. */
  board?: string;
  /** Worker: what stands before its entries on standard error, by which the supervisor knows them. */
  mark?: string;
  /** Number of the thread. */
  thread?: number;
  /** Supervisor: the working directory in which it was started. */
  cwd?: string;
  /** Successor and its supervisor: the process whose place they take. */
  replaces?: number;
  /** Successor: it was given other arguments than that process. */
  otherWords?: boolean;
  /** Keeper: its socket. */
  keeper?: string;
  /** Supervisor: somebody develops the application, and nobody else can reach it. */
  development?: boolean;
  /** Supervisor: another process keeps the socket and starts a server when somebody connects. */
  heldElsewhere?: boolean;
  /** Supervisor: the terminal is not ours any more. */
  background?: boolean;
}

const { Bun: bun } = globalThis as unknown as { Bun?: { isMainThread: boolean } };

/** What this thread was given. On Bun, node:worker_threads takes much of a start, and the first thread is given nothing. */
function dataOfThread(): { runfcgi?: Handover } | undefined {
  return bun?.isMainThread ? undefined : process.getBuiltinModule("node:worker_threads").workerData;
}

/** Takes what was handed over to this process or thread, so that nothing it starts takes it for its own. */
export function takeHandover(): Handover | undefined {
  const given = dataOfThread()?.runfcgi;
  if (given) return given;
  const text = process.env[variable];
  if (text === undefined) return undefined;
  delete process.env[variable];
  return JSON.parse(text);
}

/**
 * Environment that hands over to a process.
 *
 * @param otherUser whether it runs as another user, who cannot read what is in this one's folders
 */
export function handoverEnvironment(handover: Handover, otherUser = false): Record<string, string> {
  const cache = otherUser ? {} : compileCacheEnvironment();
  return { ...frugalEnvironment(), ...collectorEnvironment(), ...cache, [variable]: JSON.stringify(handover) };
}

/** The command line that started this process, to start the program again with the runtime's own options. */
export function ownCommand(): string[] {
  const { execPath, execArgv } = process;
  // What is running was perhaps replaced by a newer one.
  const program = execPath.replace(/ \(deleted\)$/, "");
  let words: string[];
  try {
    words = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(1, -1);
  } catch {
    words = [...execArgv, ...ownArguments.slice(1)];
  }
  // From another directory a relative name is another file.
  const isScript = (word: string) =>
    [ownArguments[1], startedFile].some((file) => file === word || file?.endsWith(`/${word.replace(/^(?:\.{1,2}\/)+/, "")}`));
  const script = words.findIndex(isScript);
  return [program, ...words.map((word, i) => i === script ? startedFile ?? word : word)];
}

/**
 * The command line that started this process, with what the runtime has to be told to load an application as its project
 * says.
 */
export function loadingCommand(app: string | undefined): string[] {
  const command = ownCommand();
  const at = command.indexOf(startedFile ?? "");
  return at < 0 ? command : command.toSpliced(at, 0, ...denoArguments(app, command.slice(0, at)));
}

/**
 * The command line for a process of this program that is handed over what it has to know: all users can see it, so that
 * it has no secret.
 *
 * @param app the application that it is to load
 */
export function childCommand(app?: string): string[] {
  return loadingCommand(app).map((word, i, words) =>
    words[i - 1] === "--secret" ? HIDDEN : /^(?:--)?secret=(?!@)/.test(word) ? word.replace(/=.*/s, `=${HIDDEN}`) : word
  );
}

export const HIDDEN = "(hidden)";

/** Whether a command line, which all users can see, has a secret. */
export function hasSecret(words: readonly string[]): boolean {
  return words.some((word, i) => {
    const given = words[i - 1] === "--secret" ? word : /^(?:--)?secret=(.*)/s.exec(word)?.[1];
    return given !== undefined && given !== "none" && !given.startsWith("@");
  });
}
