/**
 * The command line of serving, and of the commands that take its options.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { nearest, oneApplication, parseArguments, text, UsageError } from "../options/arguments.ts";
import { type Options, optionTable } from "../options/options.ts";
import { commands, isCommand } from "./commands/commands.ts";
import { json } from "./commands/output.ts";

/** A parsed command line. */
export interface CommandLine {
  /** Name of a command, or "serve". */
  command: string;
  app?: string;
  /** What help is wanted about. */
  topic?: string;
  /** Whether JSON is wanted. */
  json?: boolean;
  options: Options;
}

const aliases: Readonly<Record<string, string>> = { "--help": "help", "-h": "help", "--version": "version", "-V": "version" };

/** The command that an argument names, also by an alias. */
export const commandOf = (word: string | undefined): string | undefined => {
  const name = aliases[word ?? ""] ?? word;
  return name !== undefined && isCommand(name) ? name : undefined;
};

/** Commands whose argument is a server that runs. */
const takeServers: readonly string[] = ["status", "reload", "stop"];

const lineTable = {
  ...optionTable,
  help: { kind: text("a topic"), help: "What help is wanted about.", example: "help=budget" },
  json,
};

/**
 * Parses `[app] [name=value …]`, and commands that take the same.
 *
 * @throws {UsageError}
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const { plain, options: { help: topic, json, ...options } } = parseArguments(
    args.map((word) => aliases[word] ?? word),
    lineTable,
  );
  const misplaced = plain.find((word) => isCommand(word) && commands[word].load);
  if (misplaced !== undefined) throw new UsageError(`"${misplaced}" is a command: give it first, and only what belongs to it`);
  const others = plain.filter((word) => !isCommand(word));
  const command = plain.findLast(isCommand) ?? "serve";
  // A server may be called shop.
  if (!takeServers.includes(command)) { for (const word of others) expectNoCommand(word); }
  const app = oneApplication(others);
  const line: CommandLine = { command, ...app === undefined ? {} : { app }, options };
  if (json) {
    if (line.command !== "status") throw new UsageError("--json belongs to the command status");
    return { ...line, json };
  }
  return topic === undefined ? line : { ...line, command: "help", topic };
}

/** @throws {UsageError} if a file that is not there is probably a misspelled command */
function expectNoCommand(word: string): void {
  const command = /^[a-z]+$/i.test(word) && !existsSync(word) ? nearest(word, Object.keys(commands)) : undefined;
  if (command !== undefined) throw new UsageError(`there is no command "${word}", did you mean "${command}"?`);
}
