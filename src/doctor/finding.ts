/**
 * What the doctor finds, and how it is shown.
 *
 * @module
 */
import type { Finding } from "../app/finding.ts";
import { type Screen, styled, wrap } from "../options/terminal.ts";

export type { Finding };

export const ok = (check: string, text: string): Finding => ({ check, state: "ok", text });
export const note = (check: string, text: string, fix: string): Finding => ({ check, state: "note", text, fix });
export const problem = (check: string, text: string, fix: string): Finding => ({ check, state: "problem", text, fix });
export const unchecked = (check: string, text: string): Finding => ({ check, state: "not checked", text });

const STATE = 13;
const CHECK = 15;

const colors = { ok: "green", note: "yellow", problem: "red", "not checked": "cyan" } as const;

/** Columns that text needs beside the others. */
const MIN_TEXT = 40;

/** A check with its result, and below it what to do. A terminal gets wrapped lines; what is to be pasted stays in one. */
export function findingText(
  { check, state, text, fix = "" }: Finding,
  screen: Screen = { width: Infinity, color: false },
): string {
  const beside = STATE + CHECK + MIN_TEXT <= screen.width;
  const indent = " ".repeat(beside ? STATE + CHECK : 4);
  const [first, ...rest] = screen.width === Infinity ? [text] : wrap(text, screen.width - indent.length);
  const head = `${styled(state, colors[state], screen)}${" ".repeat(STATE - state.length)}${check.padEnd(CHECK)}`;
  const lines = beside
    ? [head + first, ...rest.map((line) => indent + line)]
    : [head, ...[first, ...rest].map((line) => indent + line)];
  return [...lines, ...fix.split("\n").filter(Boolean).map((line) => indent + line)].map((line) => `${line.trimEnd()}\n`).join(
    "",
  );
}

/** What to write to who runs the host. */
export function toHost(sentence: string): string {
  return `Write to the host's support: “${sentence}”`;
}
