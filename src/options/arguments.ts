/**
 * The words of a command line, read by a table of the options that a command has.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { PlainError } from "../runtime/plain_error.ts";

/** The command line is wrong: one line that says how, exit status 2. */
export class UsageError extends PlainError {
  override name = "UsageError";
}

/** What was asked for could not be done: one line that says why, exit status 1. */
export class CommandError extends PlainError {
  override name = "CommandError";
}

/** How an option reads its value. Returns `undefined` for a value that it does not take. */
export interface Kind<T> {
  /** For the help and for messages. */
  name: string;
  read(text: string): T | undefined;
}

export const text = (name: string): Kind<string> => ({ name, read: (value) => value || undefined });

export function number(name: string, minimum: number, maximum: number, pattern = /^\d+$/): Kind<number> {
  const read = (value: string) => {
    const result = pattern.test(value) ? Number(value) : NaN;
    return result >= minimum && result <= maximum ? result : undefined;
  };
  return { name, read };
}

export function oneOf<T extends string>(words: readonly T[]): Kind<T> {
  return { name: words.join("|"), read: (value) => words.find((word) => word === value) };
}

export const assignment: Kind<string> = {
  name: "NAME=VALUE",
  read: (value) => /^[A-Za-z_]\w*=/.test(value) ? value : undefined,
};
export const count = number("a whole number above 0", 1, Number.MAX_SAFE_INTEGER);
export const seconds = number("a number of seconds", 0, 1e6, /^\d+(\.\d+)?$/);

/** One option of a table. Without a kind it is a flag, which takes no value. */
export interface Option {
  kind?: Kind<unknown>;
  /** The letter that it can be written with, as `-X`. */
  short?: string;
  /** What happens without it, for the help. */
  default?: string;
  help: string;
  example: string;
  /** It can be given several times, and its value is the list of what was given. Others have one value. */
  repeatable?: true;
}

/** Options by name. */
export type OptionTable = Readonly<Record<string, Option>>;
/** Options of a table that were given, read and checked. */
export type OptionsOf<T extends OptionTable> = { -readonly [Name in keyof T]?: Value<T[Name]> };
type Value<O> = O extends { kind: Kind<infer T> } ? O extends { repeatable: true } ? T[] : T : true;

/** Words that were read by a table. */
export interface Words<T extends OptionTable> {
  /** Those that are no options. */
  plain: string[];
  options: OptionsOf<T>;
  /** The options as they were written, `name=value`. */
  given: { name: keyof T & string; text: string }[];
}

/**
 * Reads `name=value`, `--name value`, `--name=value`, and short options as curl has them.
 *
 * @throws {UsageError}
 */
export function readWords<T extends OptionTable>(args: readonly string[], table: T): Words<T> {
  const words: Words<T> = { plain: [], options: {}, given: [] };
  for (const token of tokensOf(args, table)) {
    if (token.kind === "positional") words.plain.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    if (!Object.hasOwn(table, name)) {
      const shown = rawName.startsWith("--") ? name : rawName;
      throw new UsageError(`there is no option "${shown}"${suggestion(name, Object.keys(table))}`);
    }
    const earlier = table[name].repeatable ? undefined : words.given.find((given) => given.name === name)?.text;
    if (earlier !== undefined && earlier !== `${name}=${value}`) {
      throw new UsageError(`${earlier} and ${name}=${value} are both given: ${name} takes one value`);
    }
    setOption(words.options, name, value, table);
    words.given.push({ name, text: `${name}=${value}` });
  }
  return words;
}

function tokensOf(args: readonly string[], table: OptionTable) {
  const entries = Object.entries(table).map(([name, { kind, short }]) =>
    [name, { type: kind ? "string" as const : "boolean" as const, ...short ? { short } : {} }] as const
  );
  const letters = new Map(Object.values(table).map(({ short, kind }) => [short, kind]));
  /** Whether a word takes the next one for its value, as in `--env NAME=VALUE` and `-H name=value`. */
  const takesNext = (word = "") => {
    if (word.startsWith("--")) return Object.hasOwn(table, word.slice(2)) && table[word.slice(2)].kind !== undefined;
    return word.startsWith("-") && [...word].findIndex((letter) => letters.get(letter)) === word.length - 1;
  };
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  return parseArgs({
    args: args.map((word, i) => i < end && /^[a-z]\w*=/i.test(word) && !takesNext(args[i - 1]) ? `--${word}` : word),
    options: Object.fromEntries(entries),
    allowPositionals: true,
    strict: false,
    tokens: true,
  }).tokens;
}

/** Adds a value to the options of a table. @throws {UsageError} */
export function setOption(options: object, name: string, value: string | undefined, table: OptionTable): void {
  const { kind, example, repeatable } = table[name];
  if (kind === undefined && value !== undefined) {
    throw new UsageError(`${name} is "${value}" but takes no value: write --${name}`);
  }
  const read = kind === undefined ? true : readBy<unknown>(name, { kind, example }, value);
  const { [name]: earlier = [] } = options as Record<string, unknown[] | undefined>;
  Object.assign(options, { [name]: repeatable ? [...earlier, read] : read });
}

/** The application among words that are no options. @throws {UsageError} when there are two */
export function oneApplication([app, more]: readonly string[]): string | undefined {
  if (more !== undefined) throw new UsageError(`there are two applications, "${app}" and "${more}": give one`);
  return app;
}

/** Whether the words ask for help. */
export function asksForHelp(words: readonly string[]): boolean {
  return words.length === 1 && /^(?:help|--help|-h)$/.test(words[0]);
}

/** Reads a value as its option says. @throws {UsageError} */
export function readBy<T>(name: string, { kind, example }: { kind: Kind<T>; example: string }, value: string | undefined): T {
  const result = value === undefined ? undefined : kind.read(value);
  if (result !== undefined) return result;
  const given = value === undefined ? "without a value" : `"${value}"`;
  throw new UsageError(`${name} is ${given}, expected ${kind.name}, such as ${example}`);
}

/** What a wrong name was perhaps to be. */
export function suggestion(name: string, names: readonly string[]): string {
  const near = names
    .map((option) => ({ option, distance: editDistance(name.toLowerCase(), option) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near.distance <= 2 ? `, did you mean "${near.option}"?` : ": help lists them";
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
