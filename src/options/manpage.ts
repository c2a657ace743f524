/**
 * Pages of help as a manual page, in the macros of man(7).
 *
 * @module
 */
import { blocksOf, type Page } from "./usage.ts";

/** What a manual has pages about: its own page, and one of each command. */
export interface Manual {
  name: string;
  version: string;
  /** One line. */
  summary: string;
  page: Page;
  commands: readonly { name: string; page: Page }[];
}

/** The source of the manual page. */
export function manualPage({ name, version, summary, page, commands }: Manual): string {
  return [
    `.TH ${name.toUpperCase()} 1 "" "${name} ${version}" "User Commands"`,
    ".SH NAME",
    `${escaped(name)} \\- ${escaped(summary)}`,
    ".SH DESCRIPTION",
    ...pageLines(page, ".SH"),
    ".SH COMMANDS IN DETAIL",
    ...commands.flatMap((command) => [`.SS ${escaped(command.name)}`, ...pageLines(command.page, ".PP\n.B")]),
    "",
  ].join("\n");
}

function pageLines({ text, sections }: Page, heading: string): string[] {
  return [
    ...blocksOf(text).flatMap((
      { lines, fixed },
    ) => [".PP", ...fixed || lines.length > 1 ? [".nf", ...lines.map(escaped), ".fi"] : lines.map(escaped)]),
    ...sections.flatMap(({ title, rows }) => [
      `${heading} ${escaped(heading === ".SH" ? title.toUpperCase() : title)}`,
      ...rows.flatMap(([name, meaning]) => [".TP", `.B ${escaped(name)}`, escaped(meaning)]),
    ]),
  ];
}

/** Text in which roff sees no request, no escape, and no hyphen where a minus is meant. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "\\&...").replace(/^(?=[.'])/, "\\&");
}
