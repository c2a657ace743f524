/**
 * What a worker writes to standard error, for the log: its own entries, and what the application prints, which can
 * contain what a visitor sent.
 *
 * @module
 */
import type { Readable } from "node:stream";
import { tabbedText } from "../server/log_text.ts";

/** Characters of a line without an end that are held. */
const MAX_HELD = 64 * 1024;
/** Colours: Deno has them in the errors of its threads whatever standard error is. */
// deno-lint-ignore no-control-regex
const colours = /\x1b\[[\d;]*m/g;

/** Text that only this server's own processes know, to stand before their entries. */
export function newMark(): string {
  return `\x1e${crypto.randomUUID()} `;
}

/**
 * Writes what a worker writes, with its entries as they are. A line of anything else that begins as an entry does is
 * indented, as the further lines of entries are, colours are left out, and other control characters are escaped.
 *
 * @param mark what stands before the worker's entries, and is removed
 */
export function copyPrinted(from: Readable, mark: string, write: (text: string) => void): void {
  const decoder = new TextDecoder();
  let held = "";
  /** The beginning of the line was written already. */
  let within = false;
  const copy = (text: string) => {
    const [printed, ...entries] = text.split(mark);
    let safe = printedText(printed, within);
    if (entries.length > 0 && (printed === "" ? within : !printed.endsWith("\n"))) safe += "\n";
    entries.forEach((text, i) => {
      const end = text.indexOf("\n") + 1 || text.length;
      safe += text.slice(0, end) + printedText(text.slice(end), false);
      if (i < entries.length - 1 && !text.endsWith("\n")) safe += "\n";
    });
    within = !safe.endsWith("\n");
    write(safe);
  };
  from.on("data", (bytes: Uint8Array) => {
    const text = held + decoder.decode(bytes, { stream: true });
    const end = text.lastIndexOf("\n") + 1 || (text.length > MAX_HELD ? text.length : 0);
    held = text.slice(end);
    if (end > 0) copy(text.slice(0, end));
  });
  from.on("close", () => {
    const rest = held + decoder.decode();
    held = "";
    if (rest !== "" || within) copy(`${rest}\n`);
  });
}

/** @param within whether the first line is the rest of one */
function printedText(text: string, within: boolean): string {
  return text.split("\n").map((line, i) => {
    const safe = tabbedText(line.replace(/\r$/, "").replace(colours, ""));
    return /^[^\t\x20-\x7e]*\[/.test(safe) && !(within && i === 0) ? `  ${safe}` : safe;
  }).join("\n");
}
