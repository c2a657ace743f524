/**
 * Text made of lines, as every configuration is.
 *
 * @module
 */

/** A line, or a list of lines that stands further in. What is false stands for a line that there is no need of. */
export type Line = string | false | 0 | undefined | readonly Line[];

const COMMENT_WIDTH = 100;

/** The text of lines; there is at most one empty line in a row, and none beside the edge of a list. */
function text(lines: readonly Line[]): string {
  return `${indented(lines, "").join("\n")}\n`;
}

function indented(lines: readonly Line[], indent: string): string[] {
  const found = lines.flatMap((line) =>
    typeof line === "object" ? indented(line, `${indent}  `) : typeof line === "string" ? [line && indent + line] : []
  );
  return found.filter((line, i) => line !== "" || i > 0 && i < found.length - 1 && found[i - 1] !== "");
}

/** A comment as lines that are not too long. */
function comment(words: string): string[] {
  const lines = ["#"];
  for (const word of words.split(" ")) {
    const line = lines[lines.length - 1];
    if (line !== "#" && line.length + 1 + word.length > COMMENT_WIDTH) lines.push(`# ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}

/** What has to be done: a label, and commands or places. */
export type Step = readonly [label: string, ...values: string[]];

/** A configuration, with what stands above it. */
export interface Configuration {
  /** What it does, one sentence. */
  title: string;
  /** What to do with it: label and commands. */
  steps: readonly Step[];
  /** What else has to be known, a sentence or two each. */
  notes?: readonly (string | false | undefined)[];
  /** Another file, of one line, that the steps name. */
  second?: readonly [path: string, text: string];
  lines: readonly Line[];
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

/** Labels in one column, commands in the next. */
export function stepLines(steps: readonly Step[]): string[] {
  const width = Math.max(...steps.map(([label]) => label.length)) + 2;
  return steps.flatMap(([label, ...values]) => values.map((value, i) => `${(i === 0 ? label : "").padEnd(width)}${value}`));
}
