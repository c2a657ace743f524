/**
 * What the program can do besides serving. A new command is one entry here.
 *
 * @module
 */
import process from "node:process";
import type { Built } from "../../app/application.ts";
import { type Options, optionTable } from "../../options/options.ts";
import { asksForHelp, oneApplication, readWords, text, UsageError } from "../../options/arguments.ts";

/** A command with words of its own, which is loaded only when it is asked for. */
interface CommandModule {
  /** What its help says. */
  help(): string;
  /** Runs it with the words behind its name and resolves with the exit status. */
  run(words: readonly string[], built: Built): number | Promise<number>;
}

interface Command {
  /** What the help says of it. */
  help: string;
  /** Without it, the command takes the options of serving. */
  load?(): Promise<CommandModule>;
}

/** All commands by name, in the order of the help. */
export const commands = {
  help: { help: "prints this; help=budget shows how defaults follow from the limits of the host" },
  version: { help: "prints the version" },
  init: {
    help: "writes a site that works into a folder: init mysite for=nginx",
    load: () => import("./init.ts"),
  },
  config: {
    help: "prints the configuration of a web server: config nginx; alone it lists the servers",
    load: () => import("../config/command.ts"),
  },
  build: {
    help: "makes one file with the application inside, which needs nothing else: build app.ts -o mysite.fcgi",
    load: () => import("./build.ts"),
  },
  stop: { help: "stops the server of pidfile=PATH: the requests under way are finished" },
  restart: { help: "has a new one take its place, with the same words or those given, without a refused connection" },
  reload: { help: "makes it take over new code without a refused connection, and waits until it has" },
  status: { help: "tells whether it runs and what it does; with --json for programs" },
  doctor: {
    help: "looks at all between a visitor and the application, and says what to do about problems",
    load: () => import("./doctor.ts"),
  },
  get: { help: "asks an endpoint as a web server would, and shows what passes", load: () => import("./get.ts") },
  replay: {
    help: "gives an application what capture has kept, and shows its answer",
    load: () => import("./replay.ts"),
  },
  explain: { help: "tells where the URL of a request comes from", load: () => import("./explain.ts") },
} satisfies Readonly<Record<string, Command>>;

type CommandName = keyof typeof commands;

/** The command with words of its own that the first word of the command line names. */
export function findCommand(word: string | undefined) {
  const { load }: Command = word !== undefined && isCommand(word) ? commands[word] : { help: "" };
  if (load === undefined) return undefined;
  return async (words: readonly string[], built: Built): Promise<number> => {
    const { help, run } = await load();
    if (!asksForHelp(words)) return await run(words, built);
    process.stdout.write(help());
    return 0;
  };
}

/** What the command line says, unless its command has words of its own. */
export interface CommandLine {
  command: CommandName | "serve";
  app?: string;
  /** What help is wanted about. */
  topic?: string;
  /** The answer is for a program. */
  json?: boolean;
  options: Options;
}

const aliases: Readonly<Record<string, CommandName>> = {
  "--help": "help",
  "-h": "help",
  "--version": "version",
  "-V": "version",
};

const lineTable = {
  ...optionTable,
  help: { kind: text("a topic"), help: "What help is wanted about.", example: "help=budget" },
  json: { help: "The status is for a program.", example: "--json" },
};

/**
 * Reads `[app] [name=value …]`, and commands that take the same.
 *
 * @throws {UsageError}
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const { plain, options: { help: topic, json, ...options } } = readWords(args.map((word) => aliases[word] ?? word), lineTable);
  const misplaced = plain.find(findCommand);
  if (misplaced !== undefined) throw new UsageError(`"${misplaced}" is a command: give it first, and only what belongs to it`);
  const app = oneApplication(plain.filter((word) => !isCommand(word)));
  const line: CommandLine = { command: plain.findLast(isCommand) ?? "serve", ...app === undefined ? {} : { app }, options };
  if (json) {
    if (line.command !== "status") throw new UsageError("--json belongs to the command status");
    return { ...line, json };
  }
  return topic === undefined ? line : { ...line, command: "help", topic };
}

function isCommand(word: string): word is CommandName {
  return Object.hasOwn(commands, word);
}
