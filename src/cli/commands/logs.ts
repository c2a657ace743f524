/**
 * `runfcgi logs`: the end of a server's log file, and what is added to it.
 *
 * @module
 */
import { closeSync, fstatSync, readSync, statSync } from "node:fs";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { CommandError, count, oneOf, parseArguments, UsageError } from "../../options/arguments.ts";
import { openRegular } from "../../runtime/rights.ts";
import { lineText } from "../../server/log_text.ts";
import { logNames } from "../../supervisor/servers.ts";
import { serverOf } from "../background.ts";
import { namingOptions } from "../../options/options.ts";
import { written } from "./output.ts";

const table = {
  log: { kind: oneOf(logNames), default: "errlog", help: "Which log.", example: "log=accesslog" },
  lines: { kind: count, default: "10", help: "Number of lines to begin with.", example: "lines=100" },
  follow: {
    short: "f",
    help: "Keeps printing what is added, also when the file is renamed, until it is stopped.",
    example: "-f",
  },
  ...namingOptions,
} as const;

export const page = {
  usage: `
runfcgi logs [-f] [NAME] [option=value …]

Prints the end of a server's log. The command ls lists the names; without one, the only server is meant.

  runfcgi logs -f mysite
  runfcgi logs mysite log=accesslog lines=100
`,
  options: table,
};

/** Bytes that are read at a time. */
const PIECE = 64 * 1024;
/** Milliseconds between two looks at a file. */
const LOOK_MS = 200;

/** Runs the command and resolves with the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  const { options: { log = "errlog", lines = 10, follow, ...named }, plain: [name, ...more] } = parseArguments(args, table);
  if (more.length > 0) throw new UsageError(`logs of one server, not of ${[name, ...more].join(" and ")}`);
  const server = serverOf("logs", { name, ...named });
  const path = server.logs[log];
  if (path === undefined) throw new CommandError(`${server.name} has no ${log}: start it with ${log}=PATH`);
  const first = opened(path);
  if (first === undefined) throw new CommandError(`cannot read "${path}": there is no such file`);
  let fd = first;
  let at = await show(fd, startOfLast(fd, lines));
  while (follow) {
    await delay(LOOK_MS);
    const current = statSync(path, { throwIfNoEntry: false })?.ino;
    // A file that was cut short is shown from its new end.
    at = await show(fd, Math.min(at, fstatSync(fd).size));
    if (current === undefined || current === fstatSync(fd).ino) continue;
    const next = opened(path);
    if (next === undefined) continue;
    closeSync(fd);
    [fd, at] = [next, 0];
  }
  closeSync(fd);
  return 0;
}

/** @throws {CommandError} unless it can be read, or is missing */
function opened(path: string): number | undefined {
  try {
    return openRegular(path).fd;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CommandError(`cannot read "${path}": ${(error as Error).message}`);
  }
}

/** Where the last lines of a file begin. */
function startOfLast(fd: number, lines: number): number {
  const piece = new Uint8Array(PIECE);
  let end = fstatSync(fd).size;
  for (let left = lines; end > 0;) {
    const start = Math.max(0, end - PIECE);
    const length = readSync(fd, piece, 0, end - start, start);
    for (let i = length - 1; i >= 0; i--) {
      // The newline at the very end does not begin a line.
      if (piece[i] === 10 && start + i + 1 < fstatSync(fd).size && --left === 0) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

/** Prints a file from a place to its end, and returns where that is. */
async function show(fd: number, from: number): Promise<number> {
  const piece = new Uint8Array(PIECE);
  for (;;) {
    const length = readSync(fd, piece, 0, PIECE, from);
    if (length === 0) return from;
    from += length;
    await written(process.stdout.isTTY ? escaped(piece.subarray(0, length)) : piece.slice(0, length));
  }
}

const decoder = new TextDecoder();

/** Text that cannot control the terminal, whatever the application or a visitor wrote. */
function escaped(bytes: Uint8Array): Uint8Array {
  const parts = decoder.decode(bytes, { stream: true }).split(/([\n\t])/);
  return new TextEncoder().encode(parts.map((part, i) => i % 2 === 1 ? part : lineText(part)).join(""));
}
