/**
 * The terminal that text is shown in.
 *
 * @module
 */
import process from "node:process";

/** What a stream can show. */
export interface Screen {
  /** Characters in a line. */
  width: number;
  color: boolean;
}

const MIN_WIDTH = 40;
/** Width of files and pipes. */
const DEFAULT_WIDTH = 100;

/** The terminal behind a stream. Colour is left out where there is none, and where `NO_COLOR` is set (no-color.org). */
export function screenOf(stream: { isTTY?: boolean; columns?: number }): Screen {
  if (!stream.isTTY) return { width: DEFAULT_WIDTH, color: false };
  const { NO_COLOR, TERM } = process.env;
  return { width: Math.max(stream.columns || DEFAULT_WIDTH, MIN_WIDTH), color: !NO_COLOR && TERM !== "dumb" };
}

/** SGR parameters (ECMA-48, 8.3.117). */
const styles = { bold: 1, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

/** Text in a style, where the terminal has colours. */
export function styled(text: string, style: keyof typeof styles, { color }: Screen): string {
  return color ? `\x1b[${styles[style]}m${text}\x1b[0m` : text;
}

/** Characters of a text that are seen: styles take no place. */
export function shownLength(text: string): number {
  // deno-lint-ignore no-control-regex
  return text.replace(/\x1b\[\d*m/g, "").length;
}

/** Lines of at most this many characters; longer words stand alone. */
export function wrap(text: string, width: number): string[] {
  const lines = [""];
  let length = 0;
  for (const word of text.split(/\s+/)) {
    const more = shownLength(word);
    if (length > 0 && length + 1 + more > width) {
      lines.push(word);
      length = more;
    } else {
      lines[lines.length - 1] += length > 0 ? ` ${word}` : word;
      length += length > 0 ? 1 + more : more;
    }
  }
  return lines;
}
