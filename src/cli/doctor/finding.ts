/**
 * What the doctor finds, and how it is shown.
 *
 * @module
 */

/** The result of one check. */
export interface Finding {
  /** What was looked at. */
  check: string;
  /** A note is of something that is as it is by default, and may be too little for some sites. */
  state: "ok" | "note" | "problem" | "not checked";
  /** What was found, or why nothing was. */
  text: string;
  /** Of a problem or a note: what to do, with the exact lines to paste or to send. */
  fix?: string;
}

export const ok = (check: string, text: string): Finding => ({ check, state: "ok", text });
export const note = (check: string, text: string, fix: string): Finding => ({ check, state: "note", text, fix });
export const problem = (check: string, text: string, fix: string): Finding => ({ check, state: "problem", text, fix });
export const unchecked = (check: string, text: string): Finding => ({ check, state: "not checked", text });

const STATE = 13;
const CHECK = 15;

/** One line for a check, and below it what to do. */
export function findingText({ check, state, text, fix }: Finding): string {
  const lines = [`${state.padEnd(STATE)}${check.padEnd(CHECK)}${text}`];
  if (fix !== undefined) lines.push(...fix.split("\n").map((line) => `${" ".repeat(STATE + CHECK)}${line}`));
  return `${lines.join("\n")}\n`;
}

/** What to write to who runs the host. */
export function toHost(sentence: string): string {
  return `Write to the host's support: “${sentence}”`;
}
