/**
 * How options are shown in help.
 *
 * @module
 */
import type { Option, OptionTable } from "./arguments.ts";

const WIDTH = 100;
const INDENT = 18;

/** The help of a command. @param usage lines about how it is called */
export function commandHelp(usage: string, table: OptionTable): string {
  const rows = Object.entries(table).map(([name, option]) => optionEntry(name, option));
  return `${usage.trim()}\n\nOptions\n${rows.join("\n")}\n`;
}

/** What the help says of one option. */
export function optionEntry(name: string, { short, help, default: value, example }: Option): string {
  const otherwise = value === undefined ? "" : ` Default: ${value}.`;
  return entry(short ? `-${short}, ${name}` : name, `${help}${otherwise} Example: ${example}`);
}

/** A name and what is said of it. */
export function entry(name: string, text: string): string {
  return `  ${name.padEnd(INDENT - 2)}${wrap(text, WIDTH - INDENT).join(`\n${" ".repeat(INDENT)}`)}`;
}

/** Lines of at most this many characters. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}
