/**
 * Makes text safe for a log: a message can contain what a visitor sent, which must neither look like another entry
 * nor control the reader's terminal.
 *
 * @module
 */

const encoder = new TextEncoder();

/** Control characters, those of Unicode included. */
// deno-lint-ignore no-control-regex
export const controls = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A character as Apache writes it: the bytes of its UTF-8 in hexadecimal. */
function escapedChar(char: string): string {
  return Array.from(encoder.encode(char), (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

/** Text in one line. */
export function lineText(text: string): string {
  return text.replace(controls, escapedChar);
}

/** A line with its tabs. */
export function tabbedText(line: string): string {
  return line.split("\t").map(lineText).join("\t");
}

/** Text of one entry. Its further lines are indented, which the first of no entry is. */
export function entryText(text: string): string {
  const [first, ...rest] = text.trimEnd().split(/\r?\n/).map(tabbedText);
  return [first, ...rest.map((line) => /^[ \t]/.test(line) ? line : `  ${line}`)].join("\n");
}
