/**
 * What is to be told of an error: what it says, and where it came from, which each runtime keeps in another place.
 *
 * @module
 */
import { closeSync, openSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { softLimit } from "../runtime/limits.ts";
import { runtime } from "../runtime/name.ts";
import { isBundled } from "./compiled.ts";

/** A place in a source file. */
export interface Place {
  file: string;
  line: number;
}

/** A line of a stack trace. */
export interface Frame extends Place {
  /** As it is printed. */
  text: string;
  /** It is of the application, and not of a package. */
  own: boolean;
}

/** An error, taken apart. */
export interface Explanation {
  /** Name and message in one line. */
  title: string;
  /** All that is to be said before the frames; begins with the title, or ends with it. */
  text: string;
  /** Without those of the runtime and of this program. */
  frames: Frame[];
  /** Where to look first. */
  place?: Place;
  /** What it was caused by, or is made of. */
  parts: { label: string; explanation: Explanation }[];
}

/** Causes of causes that are followed. */
const MAX_DEPTH = 5;
/** Errors of one `AggregateError` that are told. */
const MAX_ERRORS = 10;

/** An error in words, with the places it came from. */
export function explain(error: unknown): string {
  return written(explanationOf(error)).join("\n");
}

/** How runtimes say that a package is not there. */
const missing =
  /(?:Cannot find (?:package|module)|Relative import path|Import|Could not resolve:?|resolve) ["']([^"'./][^"']*)["']/;

/** How Bun and Node say that they import nothing from there, which Deno does. */
const remote = /Cannot find package '(npm|jsr):|ENOENT reading "(https?):|Received protocol '(npm|jsr|https?):'/;

/** How runtimes say that something of another runtime is not there. */
const others = /\b(Bun|Deno) is not defined|["'](bun):[\w:]+["']|Received protocol '(bun):'/;

/**
 * What to do about something that cannot be imported or is of another runtime, on a line of its own; nothing for another error.
 *
 * @param app its file
 */
export function importAdvice(error: unknown, app: string): string {
  const { text } = explanationOf(error);
  if (text.includes("\0")) {
    return `\n${basename(app)} is not saved as UTF-8: choose that in the editor, in place of UTF-16 (“Unicode”).`;
  }
  const closed = unreadable(app);
  if (closed !== undefined) return `\n${closed}`;
  const other = runtimeAdvice(text);
  if (other !== "") return other;
  const scheme = remote.exec(text)?.slice(1).find(Boolean);
  if (scheme !== undefined) {
    return `\nOnly Deno imports from "${scheme}:", and this is ${runtime.name}: import the package by its name alone, and put the folder ` +
      `node_modules that has it beside ${basename(app)}, or serve it with Deno`;
  }
  const [, specifier] = missing.exec(text) ?? [];
  if (specifier === undefined || /^(?:node|bun|file|https?|data|npm|jsr):/.test(specifier)) return "";
  const [name] = /^(?:@[^/]+\/)?[^/]+/.exec(specifier) ?? [specifier];
  return `\nThe package "${name}" is not there. Put the folder node_modules that has it beside ${
    basename(app)
  } (npm install ${name}), ` +
    `or make one file of the application and its packages: runfcgi build ${basename(app)}`;
}

/** The same for what is of another runtime alone, which a request may be the first to use. */
export function runtimeAdvice(text: string): string {
  const [, object, ...schemes] = others.exec(text) ?? [];
  const other = object ?? (schemes.some(Boolean) ? "Bun" : undefined);
  if (other === undefined || other === runtime.name) return "";
  const where = other === "Bun" ? " or the compiled program" : "";
  return `\nIt is written for ${other}, and this is ${runtime.name}: serve it with ${other}${where}, ` +
    "use what all have (such as node:http or node:sqlite), or have its framework build it for Node";
}

/** Why a file that is there cannot be opened: runtimes say that it is not there. */
function unreadable(file: string): string | undefined {
  try {
    closeSync(openSync(file, "r"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EMFILE") {
      return `ulimit -n allows a process ${
        softLimit("Max open files")
      } open files, which are too few: raise it, or start fewer threads`;
    }
    if (code !== "EACCES") return undefined;
    const folder = closedFolder(resolve(file));
    return `The user ${userName()} ` +
      (folder === undefined
        ? `may not read it: chmod o+r ${file}`
        : `may not enter the folder ${JSON.stringify(folder)}: chmod o+x ${folder}`);
  }
}

/** The outermost folder on the way to a file that this user may not enter. */
function closedFolder(file: string): string | undefined {
  const names = file.split("/");
  for (let i = 1; i < names.length; i++) {
    try {
      statSync(join("/", ...names.slice(0, i + 1)));
    } catch {
      return join("/", ...names.slice(0, i));
    }
  }
}

function userName(): string {
  try {
    return process.getBuiltinModule("node:os").userInfo().username;
  } catch {
    // It has only a number.
    return String(process.geteuid?.());
  }
}

function written({ text, frames, parts }: Explanation, indent = ""): string[] {
  const lines = [...text.split("\n"), ...frames.map((frame) => `    ${frame.text}`)].map((line) => indent + line);
  for (const { label, explanation } of parts) {
    const [first, ...rest] = written(explanation, indent);
    lines.push(`${indent}${label}${first.slice(indent.length)}`, ...rest);
  }
  return lines;
}

/** Takes an error apart; anything can be thrown. */
export function explanationOf(error: unknown, depth = 0): Explanation {
  if (!isError(error)) {
    const { inspect } = process.getBuiltinModule("node:util");
    const text = `${inspect(error, { depth: 2 }).slice(0, 2000)} was thrown, which is no Error`;
    return { title: firstLine(text), text, frames: [], parts: [] };
  }
  const { name, message, stack, cause, errors, position } = error;
  // Deno's messages of its parser end with frames.
  const said = plain(`${name}: ${message}`).replace(/(?:\n\s+at [^\n]*)+$/, "").trim();
  const lines = plain(stack ?? "").split("\n");
  const end = lines.findIndex((line) => /^\s+at /.test(line));
  const head = lines.slice(0, end < 0 ? undefined : end).join("\n").trim();
  const frames = end < 0 ? [] : lines.slice(end).flatMap(frameOf);
  const result: Explanation = { title: firstLine(said), text: said, frames, parts: [] };
  // Node and Deno put the lines of a syntax error there.
  if (head.includes(said.slice(name.length + 2))) result.text = head;
  result.place = placeIn(result.text) ?? frames.find(({ own }) => own) ?? frames[0];
  if (position) {
    const { file, line, column, lineText } = position;
    const place = { file: file.replace(/\?.*$/, ""), line };
    result.text = lineText ? `${message}\n    ${lineText.trim()}` : message;
    result.frames = [{ ...place, text: `at ${place.file}:${line}:${column}`, own: true }];
    result.place = place;
  }
  if (depth >= MAX_DEPTH) return result;
  if (Array.isArray(errors)) {
    for (const each of errors.slice(0, MAX_ERRORS)) {
      result.parts.push({ label: "of these: ", explanation: explanationOf(each, depth + 1) });
    }
    result.place ??= result.parts.find(({ explanation }) => explanation.place)?.explanation.place;
  }
  if (cause !== undefined) result.parts.push({ label: "caused by: ", explanation: explanationOf(cause, depth + 1) });
  return result;
}

/** What is used of errors; Bun's messages of its parser look like errors and are none. */
interface ErrorLike {
  name: string;
  message: string;
  stack?: string;
  cause?: unknown;
  errors?: unknown;
  position?: { file: string; line: number; column: number; lineText?: string } | null;
}

function isError(value: unknown): value is ErrorLike {
  if (typeof value !== "object" || value === null) return false;
  const { name, message } = value as Partial<ErrorLike>;
  return typeof name === "string" && typeof message === "string";
}

/** Without colors, and with paths as they are on the disk. */
function plain(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\x1b\[[\d;]*m/g, "").replace(/\?attempt=\d+/g, "").replace(
    /file:\/\/(\/[^\s:)]*)/g,
    (_, path) => decoded(path),
  );
}

function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0];
}

const here = import.meta.filename!;
const source = `${dirname(dirname(here))}/`;
/** Whether a file is of this program: of its source, or the one module that it is. */
const isOurs = (file: string) => isBundled() ? file === here : file.startsWith(source);
/** The modules that were built in. There, the application's files are relative. */
const built = /(?:^|\/)runfcgi\.(?:bundle(?:-\w+)?|first|start|entry)\.[jt]s$/;

const foreign = /^(?:node|ext|bun|internal|native)\b(?!\/)|^[^./\\]*$/;

/** Nothing for a frame of the runtime or of this program, which tell nobody anything. */
function frameOf(line: string): Frame[] {
  const [, file, number] = /(?:^\s+at (?:async )?|\()([^()]+?):(\d+)(?::\d+)?\)?$/.exec(line) ?? [];
  if (file === undefined || foreign.test(file) || isOurs(file) || built.test(file)) return [];
  const own = !/\/node_modules\/|\/npm\/registry|^https?:/.test(file);
  // It is relative to where the program was built.
  const text = line.trim().replace(/(at |\()(?:\.\.\/)+/, "$1");
  return [{ text, file, line: Number(number), own }];
}

/** The place that a message names in its first line, or at its end. */
function placeIn(text: string): Place | undefined {
  const [, file, line] = /^(\/.*):(\d+)$/.exec(text.split("\n")[0]) ?? / at (\/.*?):(\d+)(?::\d+)?$/.exec(text) ?? [];
  // What a visitor has sent can be in a message, and no file but source is to be shown for it.
  return file !== undefined && /\.[cm]?[jt]sx?$/.test(file) ? { file, line: Number(line) } : undefined;
}
