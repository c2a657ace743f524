/**
 * The words of a command that has options of its own: `name=value`, `--name value`, and short flags as curl has them.
 *
 * @module
 */
import { wrap } from "./help.ts";
import { type Kind, readBy, suggestion, UsageError } from "./options.ts";

/** What was asked for could not be done: one line that says why, exit status 1. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** An option of a command. Without a kind it is a flag, which takes no value. */
export interface WordOption {
  kind?: Kind<unknown>;
  /** The letter that it can be written with, as `-X`. */
  short?: string;
  /** It can be given several times, and its value is the list of what was given. */
  repeatable?: true;
  help: string;
  example: string;
}

export type WordTable = Readonly<Record<string, WordOption>>;

type Value<O> = O extends { kind: Kind<infer T> } ? O extends { repeatable: true } ? T[] : T : true;

/** What was given, read and checked. */
export type Given<T extends WordTable> = { -readonly [Name in keyof T]?: Value<T[Name]> };

/**
 * Reads the words of a command.
 *
 * @throws {UsageError}
 */
export function readWords<T extends WordTable>(words: readonly string[], table: T): { options: Given<T>; rest: string[] } {
  const options: Record<string, unknown> = {};
  const rest: string[] = [];
  let at = 0;
  const set = (name: string, inline: string | undefined) => {
    if (!Object.hasOwn(table, name)) throw new UsageError(`there is no option "${name}"${suggestion(name, Object.keys(table))}`);
    const { kind, example, repeatable } = table[name];
    if (kind === undefined) {
      if (inline !== undefined) throw new UsageError(`${name} is "${inline}" but takes no value: write --${name}`);
      options[name] = true;
      return;
    }
    const value = readBy(name, { kind, example }, inline ?? words[at++]);
    options[name] = repeatable ? [...(options[name] as unknown[] ?? []), value] : value;
  };
  const letters = new Map(Object.entries(table).map(([name, { short }]) => [short, name]));
  while (at < words.length) {
    const word = words[at++];
    const [, name, value] = /^(?:--)?([a-z]\w*)=(.*)$/is.exec(word) ?? [];
    if (word === "--") {
      rest.push(...words.slice(at));
      break;
    } else if (name !== undefined) {
      set(name, value);
    } else if (word.startsWith("--")) {
      set(word.slice(2), undefined);
    } else if (/^-./.test(word)) {
      // Flags can stand together, the last of them with its value.
      for (let i = 1; i < word.length; i++) {
        const found = letters.get(word[i]);
        if (found === undefined) throw new UsageError(`there is no option "-${word[i]}"`);
        const valued = table[found].kind !== undefined;
        set(found, valued && i + 1 < word.length ? word.slice(i + 1) : undefined);
        if (valued) break;
      }
    } else {
      rest.push(word);
    }
  }
  return { options: options as Given<T>, rest };
}

/** Whether the words ask for help. */
export function asksForHelp(words: readonly string[]): boolean {
  return words.length === 1 && /^(?:help|--help|-h)$/.test(words[0]);
}

const WIDTH = 100;

/** The help of a command. @param usage lines about how it is called */
export function commandHelp(usage: string, table: WordTable): string {
  const rows = Object.entries(table).map(([name, { short, help, example }]) => {
    const left = `  ${short ? `-${short}, ` : ""}${name}`.padEnd(20);
    return left + wrap(`${help} Example: ${example}`, WIDTH - 20).join(`\n${" ".repeat(20)}`);
  });
  return `${usage.trim()}\n\n${rows.join("\n")}\n`;
}

/** Rows with their columns one below the other; the last may be of any length. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) row.slice(0, -1).forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i] + 2)).join("");
  return rows.map((row) => `${indent}${line(row)}`.trimEnd() + "\n").join("");
}
