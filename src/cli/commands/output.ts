/**
 * How commands show what they found, and traffic.
 *
 * @module
 */
import process from "node:process";
import type { Dissector } from "../../protocol/dissect.ts";
import type { ResponseHead } from "../../protocol/protocol.ts";
import { CommandError } from "../../options/arguments.ts";
import { wrap } from "../../options/terminal.ts";

/** An option of commands that print a table otherwise. */
export const json = { help: "Prints JSON.", example: "--json" };

/** Writes to standard output. @throws {CommandError} if it is closed */
export function written(bytes: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  process.stdout.write(
    bytes,
    (error) => error ? reject(new CommandError(`cannot write to standard output: ${error.message}`)) : resolve(),
  );
  return promise;
}

/** The head of a response, with the empty line after it. */
export function headText({ status, reason, headers }: ResponseHead): string {
  let text = `${status} ${reason}`.trimEnd() + "\n";
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\n`;
  return `${text}\n`;
}

/** Shows traffic, with the milliseconds since the start. */
export class Timeline {
  readonly #begun = performance.now();

  #write(sign: string, text: string): void {
    const time = (performance.now() - this.#begun).toFixed(1).padStart(8);
    process.stderr.write(text.startsWith(" ") ? `${" ".repeat(13)}${text}\n` : `${time} ms ${sign} ${text}\n`);
  }

  note(text: string): void {
    this.#write("*", text);
  }

  lines(sign: string, dissector: Dissector, bytes: Uint8Array): void {
    for (const line of dissector(bytes)) this.#write(sign, line);
  }
}

/** Characters that the last column needs to stand beside the others. */
const MIN_LAST = 24;

/** Rows with aligned columns; the last column may have any length, and is wrapped to the width. */
export function columns(rows: readonly (readonly string[])[], indent = "", width = Infinity): string {
  const widths: number[] = [];
  for (const row of rows) row.slice(0, -1).forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  const end = widths.reduce((sum, width) => sum + width + 2, indent.length);
  const isNarrow = width - end < MIN_LAST;
  // Below the others where there is no room beside them.
  const at = isNarrow ? indent.length + 4 : end;
  const line = (row: readonly string[]) => {
    const others = indent + row.slice(0, -1).map((cell, i) => cell.padEnd(widths[i] + 2)).join("");
    const last = row.at(-1) ?? "";
    if (others.length + last.length <= width) return others + last;
    const below = `\n${" ".repeat(at)}`;
    const beside = isNarrow ? others.trimEnd() + below : others.padEnd(at);
    return beside + wrap(last, width - at).join(below);
  };
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
