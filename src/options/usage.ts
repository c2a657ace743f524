/**
 * Pages of help: the same text for the terminal and for the manual.
 *
 * @module
 */
import type { Option, OptionTable } from "./arguments.ts";
import { type Screen, styled, wrap } from "./terminal.ts";

/** Names with their meanings, below a title. */
export interface Section {
  title: string;
  rows: readonly (readonly [name: string, meaning: string])[];
}

/** A page of help. */
export interface Page {
  /** Blocks separated by empty lines: first how it is called, then paragraphs, and examples, which are indented. */
  text: string;
  sections: readonly Section[];
}

/** What a command's help, its part of the manual and its completion are made of. */
export interface CommandUsage {
  /** Text of its page. */
  usage: string;
  options: OptionTable;
  /** What its page lists, if not all its options. */
  sections?: readonly Section[];
  /** Words that may follow the command. */
  words?: readonly string[];
}

/** The page of a command. */
export function commandPage({ usage, options, sections }: CommandUsage): Page {
  const all = Object.keys(options).length > 0 ? [optionSection("Options", options)] : [];
  return { text: usage, sections: sections ?? all };
}

/** The blocks of a page's text: lines that stay as they are, or one that is wrapped. */
export function blocksOf(text: string): { lines: string[]; fixed: boolean }[] {
  return text.trim().split("\n\n").map((block, i) => {
    const lines = block.split("\n");
    const fixed = lines.some((line) => line.startsWith(" "));
    return fixed || i === 0 ? { lines, fixed } : { lines: [lines.join(" ")], fixed };
  });
}

/** Columns of the names, unless they are longer. */
const INDENT = 19;
/** Columns that meanings need beside their names. */
const MIN_MEANING = 30;

/** Options as a section. */
export function optionSection(title: string, table: OptionTable): Section {
  const rows = Object.entries(table).map(([name, option]) => {
    const written = option.kind ? name : `--${name}`;
    return [option.short ? `-${option.short}, ${written}` : written, optionText(option)] as const;
  });
  return { title, rows };
}

function optionText({ help, default: value, example }: Option): string {
  return `${help}${value === undefined ? "" : ` Default: ${value}.`} Example: ${example}`;
}

/** A page as lines for a terminal. */
export function pageText({ text, sections }: Page, screen: Screen): string {
  const blocks = blocksOf(text).map(({ lines, fixed }) =>
    (fixed ? lines : lines.flatMap((line) => wrap(line, screen.width))).join("\n")
  );
  return `${[...blocks, ...sections.map((section) => sectionText(section, screen))].join("\n\n")}\n`;
}

function sectionText({ title, rows }: Section, screen: Screen): string {
  const longest = Math.max(INDENT, ...rows.map(([name]) => name.length + 4));
  const indent = longest + MIN_MEANING > screen.width ? INDENT : longest;
  const entries = rows.map(([name, meaning]) => {
    const shown = `  ${styled(name, "cyan", screen)}`;
    const lines = wrap(meaning, screen.width - indent).join(`\n${" ".repeat(indent)}`);
    return name.length > indent - 4
      ? `${shown}\n${" ".repeat(indent)}${lines}`
      : `${shown}${" ".repeat(indent - 2 - name.length)}${lines}`;
  });
  return [...wrap(title, screen.width).map((line) => styled(line, "bold", screen)), ...entries].join("\n");
}
