/**
 * Text made of lines, as every configuration is.
 *
 * @module
 */

/** A line, or a list of lines that stands further in. What is false stands for a line that there is no need of. */
export type Line = string | false | 0 | undefined | readonly Line[];

const COMMENT_WIDTH = 100;

/** The text of lines; there is at most one empty line in a row, and none beside the edge of a list. */
export function text(lines: readonly Line[]): string {
  return `${indented(lines, "").join("\n")}\n`;
}

function indented(lines: readonly Line[], indent: string): string[] {
  const found = lines.flatMap((line) =>
    typeof line === "object" ? indented(line, `${indent}  `) : typeof line === "string" ? [line && indent + line] : []
  );
  return found.filter((line, i) => line !== "" || i > 0 && i < found.length - 1 && found[i - 1] !== "");
}

/** A comment as lines that are not too long. */
export function comment(words: string): string[] {
  const lines = ["#"];
  for (const word of words.split(" ")) {
    const line = lines[lines.length - 1];
    if (line !== "#" && line.length + 1 + word.length > COMMENT_WIDTH) lines.push(`# ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}

/** What stands above a configuration. */
export interface Heading {
  /** What it does, one sentence. */
  title: string;
  /** What to do with it: label and commands. */
  steps: readonly (readonly [label: string, ...values: string[]] | false | undefined)[];
  /** What else has to be known, a sentence or two each. */
  notes?: readonly (string | false | undefined)[];
}

/** The comment on top of a configuration. */
export function heading({ title, steps, notes = [] }: Heading): string[] {
  const given = steps.filter((step) => step !== false && step !== undefined);
  const width = Math.max(...given.map(([label]) => label.length)) + 2;
  return [
    ...comment(title),
    "#",
    ...given.flatMap(([label, ...values]) => values.map((value, i) => `#   ${(i === 0 ? label : "").padEnd(width)}${value}`)),
    ...notes.filter((note) => typeof note === "string").flatMap((note) => ["#", ...comment(note)]),
    "",
  ];
}
