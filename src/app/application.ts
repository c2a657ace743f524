/**
 * Which application the words mean.
 *
 * @module
 */
import { existsSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import process from "node:process";
import { runtime } from "../runtime/name.ts";
import { expectCommand } from "../handlers/exec_command.ts";
import { type Compiled, isBundled, isCompiled } from "./compiled.ts";
import { Log, logBeside } from "./log.ts";
import type { Options } from "../options/options.ts";
import { findApp } from "./places.ts";
import { launcher, programFile, unpacked } from "./program_file.ts";
import { startedFile } from "../runtime/own_arguments.ts";
import { shellQuoted } from "../options/shell.ts";
import { UsageError } from "../options/arguments.ts";

/** What the program was built around. */
export interface Built {
  /** It is one file with its runtime inside. */
  compiled?: Compiled;
  /** An application inside the program, which then looks for no other. */
  app?: Embedded;
  /** To build others with an application inside. */
  bundles?: Bundles;
  /** The texts that are beside its source, by their paths, as JSON. */
  texts?: () => string;
}

/** Paths of the program's bundles inside the compiled program. */
export interface Bundles {
  /** Its modules by name, as JSON. */
  program: string;
  /** What runs first. */
  first: string;
  /** The texts that are beside the source. */
  texts: string;
  /** The program as one script for a host with Node. */
  node: string;
}

/** An application inside the program. */
export interface Embedded {
  /** Evaluates its module. */
  load(): Promise<Record<string, unknown>>;
  /** What it exports as `runfcgi`; `"unknown"` if it has to be evaluated for that. */
  options: Record<string, unknown> | undefined | "unknown";
}

export const INSIDE = "the application inside this program";

/** What of the words says which application it is. */
export type Named = { app?: string; exec?: string };

/**
 * `exec` with the command that runs what `execjs` names by the runtime of this program.
 *
 * @throws {UsageError} if both are given
 */
export function withCommand({ execjs, ...options }: Options): Options {
  if (execjs === undefined) return options;
  if (options.exec !== undefined) throw new UsageError("exec and execjs are both given: give one of them");
  const words = { Deno: ["run", "-A"], Bun: [], Node: [] }[runtime.name];
  const command = [shellQuoted(process.execPath), ...words, execjs].join(" ");
  // Without it, the compiled program would be this program again.
  return { ...options, exec: isCompiled() ? `BUN_BE_BUN=1 ${command}` : command };
}

/** What is to be served. */
export interface ChosenApp {
  /** For messages. */
  name: string;
  /** The file, if it is one. */
  file?: string;
}

/**
 * Finds the application that was named, or else the one beside the program.
 *
 * @param byHand whether a person waits for an answer
 * @throws {UsageError} when a person named a file that is not there
 */
export function chooseApp({ app: file, exec }: Named, embedded: Embedded | undefined, byHand: boolean): ChosenApp {
  if (exec !== undefined) {
    if (file !== undefined || embedded) throw new UsageError("there are an application and exec: give one of them");
    try {
      expectCommand(exec);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
    return { name: exec };
  }
  if (embedded) return { name: INSIDE };
  if (file !== undefined && byHand && !statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(`there is no file "${file}"`);
  }
  const found = file ?? findApp(programFile());
  return found === undefined ? { name: "the welcome page" } : { name: found, file: resolve(found) };
}

/**
 * Files that no visitor may read, those that are looked for included. A command tells no more of them than what it names
 * and where it runs.
 *
 * @param folder where the server runs, if this process is still elsewhere
 */
export function sourcesOf({ app: file, exec }: Named, embedded: Embedded | undefined, folder = "."): string[] {
  if (exec !== undefined) return pathsIn(`${exec} .`, folder);
  if (embedded) return [process.execPath];
  return file === undefined ? [programFile(), resolve(folder, "app.ts")] : [file];
}

function pathsIn(command: string, folder: string): string[] {
  const words = command.split(/[\s"'=]+/).filter(Boolean);
  return words.map((word) => resolve(folder, word)).filter((path) => existsSync(path));
}

/** What a program of `exec` is written in. */
const script = /\.(?:[cm]?[jt]sx?|php|p[ly]|r[bu])$/;

/** Programs and scripts that the command of `exec` names. Other files may be what the program writes, such as a log. */
export function programsIn(command: string): string[] {
  return pathsIn(command, ".").filter((path) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats?.isFile() && (script.test(path) || (stats.mode & 0o111) !== 0) && path !== process.execPath;
  });
}

/** Files by which a new program is known where a web server starts us: our own, and what the command of `exec` names. */
export function filesOfProgram({ exec = "" }: Named): string[] {
  return [programFile(), ...unpacked === undefined ? [] : [unpacked], ...programsIn(exec)];
}

/** The log of a program that the web server has started: what was asked for, or a file beside `mysite.fcgi`. */
export function dropInLog(errlog: string | undefined, app: string | undefined): Log {
  const name = dropInName(app);
  return new Log(errlog, { unasked: name === undefined ? undefined : logBeside(name) });
}

/** What the files of a program are named after that the web server has started: `mysite.fcgi`, or else the application. */
export function dropInName(app: string | undefined): string | undefined {
  const program = programFile();
  return /\.f?cgi$/.test(program) ? program : app;
}

/** Paths of the file as which a web server knows the program: `/mysite.fcgi`, which is itself or has `mysite.ts` beside it. */
export function ownPathsOf(app: string | undefined): string[] {
  return [app, programFile()].filter((file) => file !== undefined).map((file) => `/${basename(file).replace(/\.\w+$/, "")}.fcgi`);
}

/** How a user starts the program from anywhere. */
export function exactProgramWords(): string {
  if (isCompiled() || launcher !== undefined) return programFile();
  return [{ Deno: "deno", Bun: "bun", Node: "node" }[runtime.name], ...sourceWords()].join(" ");
}

/**
 * The command line that starts the program from anywhere, without a search for the runtime.
 *
 * @param permissions what Deno is to allow it
 */
export function exactProgramCommand(permissions: readonly string[] = denoPermissions): string[] {
  if (launcher !== undefined && !isCompiled()) return [launcher];
  return [process.execPath, ...isCompiled() ? [] : sourceWords(permissions)];
}

/** What a server needs on Deno: environment, files, network and system information, workers and the C library. */
const denoPermissions = ["-ERWNS", "--allow-run", "--allow-ffi"];

/** What the runtime is given to run the source. */
function sourceWords(permissions: readonly string[] = denoPermissions): string[] {
  return [...runtime.name === "Deno" ? ["run", ...permissions] : [], resolve(startedFile ?? programFile())];
}

/** How a user starts the program, for examples. */
export function programWords(): string {
  if (isCompiled()) return basename(process.execPath);
  if (isBundled()) return basename(programFile());
  return { Deno: `deno run ${denoPermissions.join(" ")} mod.ts`, Bun: "bun mod.ts", Node: "node mod.ts" }[runtime.name];
}
