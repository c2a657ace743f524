/**
 * Command-line arguments, read by a table of the options that a command has.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { PlainError } from "../runtime/plain_error.ts";

/** Invalid arguments: the message is one line, the exit status 2. */
export class UsageError extends PlainError {
  override name = "UsageError";
}

/** A command failed: the message is one line. */
export class CommandError extends PlainError {
  override name = "CommandError";
  readonly status: number;

  /** @param status the exit status */
  constructor(message: string, status = 1) {
    super(message);
    this.status = status;
  }
}

/** The type of an option's value. */
export interface Kind<T> {
  /** What messages say is expected. */
  name: string;
  /** All values, if they can be listed. */
  words?: readonly string[];
  /** Returns `undefined` for an invalid value. */
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
  return { name: words.join("|"), words, read: (value) => words.find((word) => word === value) };
}

export const assignment: Kind<string> = {
  name: "NAME=VALUE",
  read: (value) => /^[A-Za-z_]\w*=/.test(value) ? value : undefined,
};
export const count = number("a whole number above 0", 1, Number.MAX_SAFE_INTEGER);
export const seconds = number("a number of seconds", 0, 1e6, /^\d+(\.\d+)?$/);

/** An option. Without a kind it is a flag, which takes no value. */
export interface Option {
  kind?: Kind<unknown>;
  /** Its letter, as in `-X`. */
  short?: string;
  /** The default, as help shows it. */
  default?: string;
  help: string;
  example: string;
  /** Whether it can be given several times; its value is then a list. */
  repeatable?: true;
}

/** Options by name. */
export type OptionTable = Readonly<Record<string, Option>>;
/** Options of a table that were given, parsed and checked. */
export type OptionsOf<T extends OptionTable> = { -readonly [Name in keyof T]?: Value<T[Name]> };
type Value<O> = O extends { kind: Kind<infer T> } ? O extends { repeatable: true } ? T[] : T : true;

/** Parsed arguments. */
export interface ParsedArguments<T extends OptionTable> {
  /** Arguments that are not options. */
  plain: string[];
  options: OptionsOf<T>;
  /** The options in their order, as `name=value`. */
  given: { name: keyof T & string; text: string }[];
}

/**
 * Parses `name=value`, `--name value`, `--name=value`, and short options as curl has them.
 *
 * @throws {UsageError}
 */
export function parseArguments<T extends OptionTable>(args: readonly string[], table: T): ParsedArguments<T> {
  const words: ParsedArguments<T> = { plain: [], options: {}, given: [] };
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

/** A word that may be an option, or its name. */
const optional = /^(?:-|[a-z]\w*=)/i;

function tokensOf(args: readonly string[], table: OptionTable) {
  // Where a web server starts the program there is mostly none, and node:util takes much of a start.
  if (!args.some((word) => optional.test(word))) return args.map((value) => ({ kind: "positional" as const, value }));
  const { parseArgs } = process.getBuiltinModule("node:util");
  const entries = Object.entries(table).map(([name, { kind, short }]) =>
    [name, { type: kind ? "string" as const : "boolean" as const, ...short ? { short } : {} }] as const
  );
  const letters = new Map(Object.values(table).map(({ short, kind }) => [short, kind]));
  /** Whether an argument has its value in the next one, as in `--env NAME=VALUE` and `-H name=value`. */
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

/** The application among arguments that are not options. @throws {UsageError} if there are two */
export function oneApplication([app, more]: readonly string[]): string | undefined {
  if (more !== undefined) throw new UsageError(`there are two applications, "${app}" and "${more}": give one`);
  return app;
}

/** Whether the arguments of a command ask for its help: with the last word, too, where no file has that name. */
export function asksForHelp(args: readonly string[]): boolean {
  const options = args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
  return options.includes("--help") || options.includes("-h") || args.at(-1) === "help" && !existsSync("help");
}

/** Parses the value of an option. @throws {UsageError} */
function readBy<T>(name: string, { kind, example }: { kind: Kind<T>; example: string }, value: string | undefined): T {
  const result = value === undefined ? undefined : kind.read(value);
  if (result !== undefined) return result;
  const given = value === undefined ? "without a value" : `"${value}"`;
  const near = value && nearest(value, kind.words ?? []);
  throw new UsageError(
    `${name} is ${given}, expected ${kind.name}${near ? `: did you mean "${near}"?` : `, such as ${example}`}`,
  );
}

/** The end of a message about an unknown name. */
export function suggestion(name: string, names: readonly string[], list = "help"): string {
  const near = nearest(name, names);
  return near === undefined ? `: ${list} lists them` : `, did you mean "${near}"?`;
}

/** The name that was probably meant by a misspelled one. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const distances = names.map((known) => ({ known, distance: editDistance(name.toLowerCase(), known) }));
  const [near] = distances.sort((a, b) => a.distance - b.distance);
  return near !== undefined && near.distance <= (name.length < 4 ? 1 : 2) ? near.known : undefined;
}

/** Edits from one text to the other, where swapping two neighbours is one edit (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.length][b.length];
}
