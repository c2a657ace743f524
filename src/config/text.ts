/**
 * Configurations as text: lines, indented lists, and the comment above them.
 *
 * @module
 */

import { wrap } from "../options/terminal.ts";

/** A line, a list of indented lines, or a falsy value for no line. */
export type Line = string | false | 0 | undefined | readonly Line[];

const COMMENT_WIDTH = 100;

/** Lines as text, without repeated empty lines and without empty lines at the edges of a list. */
export function text(lines: readonly Line[]): string {
  return `${indented(lines, "").join("\n")}\n`;
}

function indented(lines: readonly Line[], indent: string): string[] {
  const found = lines.flatMap((line) =>
    typeof line === "object" ? indented(line, `${indent}  `) : typeof line === "string" ? [line && indent + line] : []
  );
  return found.filter((line, i) => line !== "" || i > 0 && i < found.length - 1 && found[i - 1] !== "");
}

/** A comment, wrapped. */
function comment(text: string): string[] {
  return wrap(text, COMMENT_WIDTH - 2).map((line) => `# ${line}`);
}

/** Something to do: a label, and commands or places. */
export type Step = readonly [label: string, ...values: string[]];

/** A configuration, with the comment above it. */
export interface Configuration {
  /** One sentence. */
  title: string;
  /** What to do with it. */
  steps: readonly Step[];
  /** Notes of a sentence or two. */
  notes?: readonly (string | false | undefined)[];
  /** Another file, of one line, that the steps mention. */
  second?: readonly [path: string, text: string];
  lines: readonly Line[];
  /** The same as separate files, where it is not one: names and texts. */
  parts?: readonly (readonly [name: string, text: string])[];
}

/** The text of a configuration. */
export function configurationText({ title, steps, notes = [], lines }: Configuration): string {
  return text([
    ...comment(title),
    "#",
    ...stepLines(steps).map((line) => `#   ${line}`),
    ...notes.filter((note) => typeof note === "string").flatMap((note) => ["#", ...comment(note)]),
    "",
    ...lines,
  ]);
}

/** Labels in one column, values in the next. */
export function stepLines(steps: readonly Step[]): string[] {
  const width = Math.max(...steps.map(([label]) => label.length)) + 2;
  return steps.flatMap(([label, ...values]) => values.map((value, i) => `${(i === 0 ? label : "").padEnd(width)}${value}`));
}
