/**
 * Markdown for a terminal, as far as the manual needs it: headings, paragraphs, lists, tables, code and links.
 *
 * @module
 */
import { type Screen, shownLength, styled, wrap } from "./terminal.ts";

/** Turns the target of a link into what stands behind its text, if anything. */
type LinkText = (target: string) => string | undefined;

/** Lines of at most the screen's width; code stays as it is. */
export function markdownText(text: string, screen: Screen, linkText: LinkText): string {
  const blocks = new Blocks(text.split("\n"), screen, linkText);
  return `${blocks.all().map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** Columns between those of a table. */
const GAP = "  ";
/** Characters that a column of a table needs, unless its cells are shorter. */
const MIN_COLUMN = 16;

class Blocks {
  #at = 0;
  readonly #lines: readonly string[];
  readonly #screen: Screen;
  readonly #linkText: LinkText;

  constructor(lines: readonly string[], screen: Screen, linkText: LinkText) {
    this.#lines = lines;
    this.#screen = screen;
    this.#linkText = linkText;
  }

  /** The lines of each block. */
  all(): string[][] {
    const blocks: string[][] = [];
    while (this.#at < this.#lines.length) {
      if (this.#lines[this.#at].trim() === "") this.#at++;
      else blocks.push(this.#next());
    }
    return blocks;
  }

  #next(): string[] {
    const line = this.#lines[this.#at];
    if (/^\s*```/.test(line)) return this.#code();
    if (/^#+ /.test(line)) return this.#heading();
    if (line.startsWith("|")) return this.#table();
    if (/^\s*(?:-|\d+\.) /.test(line)) return this.#list();
    return wrap(this.#inline(this.#paragraph().join(" ")), this.#screen.width);
  }

  #code(): string[] {
    const [fence] = /^\s*/.exec(this.#lines[this.#at++])!;
    const end = this.#lines.findIndex((line, i) => i >= this.#at && line.trim() === "```");
    const code = this.#lines.slice(this.#at, end);
    this.#at = end + 1;
    return code.map((line) => line === "" ? "" : `${fence}  ${styled(line.slice(fence.length), "cyan", this.#screen)}`);
  }

  #heading(): string[] {
    const [, marks, title] = /^(#+) (.*)/.exec(this.#lines[this.#at++])!;
    const shown = marks === "#" ? title.replaceAll("`", "").toUpperCase() : title.replaceAll("`", "");
    const lines = wrap(shown, this.#screen.width);
    if (this.#screen.color) return lines.map((line) => styled(line, "bold", this.#screen));
    return marks.length > 2 ? lines : [...lines, (marks === "#" ? "=" : "-").repeat(Math.max(...lines.map(shownLength)))];
  }

  /** Lines up to an empty one, or to the next block. */
  #paragraph(): string[] {
    const lines: string[] = [];
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at].trim();
      if (line === "" || (lines.length > 0 && /^(?:#+ |\||```|- |\d+\. )/.test(line))) break;
      lines.push(line);
    }
    return lines;
  }

  /** Items that follow each other; their second paragraphs and code are blocks of their own. */
  #list(): string[] {
    const lines: string[] = [];
    for (;;) {
      const item = /^(\s*)(-|\d+\.) /.exec(this.#lines[this.#at] ?? "");
      if (!item) return lines;
      const [first, ...rest] = this.#paragraph();
      const indent = " ".repeat(item[0].length);
      const text = this.#inline([first.slice(item[2].length + 1), ...rest].join(" "));
      const wrapped = wrap(text, this.#screen.width - indent.length);
      lines.push(...wrapped.map((line, i) => `${i === 0 ? item[0] : indent}${line}`));
    }
  }

  #table(): string[] {
    const rows: string[][] = [];
    for (; this.#lines[this.#at]?.startsWith("|"); this.#at++) {
      const cells = this.#lines[this.#at].split(/(?<!\\)\|/).slice(1, -1);
      rows.push(cells.map((cell) => this.#inline(cell.trim().replaceAll("\\|", "|"))));
    }
    const [head, , ...body] = rows;
    const widths = columnWidths([head, ...body], this.#screen.width);
    if (!widths) return this.#records(head, body);
    const lines = (cells: readonly string[]) => {
      const wrapped = cells.map((cell, i) => wrap(cell, widths[i]));
      const height = Math.max(...wrapped.map((cell) => cell.length));
      return Array.from(
        { length: height },
        (_, y) => wrapped.map((cell, x) => padded(cell[y] ?? "", widths[x])).join(GAP).trimEnd(),
      );
    };
    const rule = widths.map((width) => "-".repeat(width)).join(GAP);
    // An empty line separates a row of several lines from the next.
    const spaced = body.map(lines);
    const apart = spaced.some((row) => row.length > 1) ? [""] : [];
    const heads = head.some((cell) => cell !== "")
      ? [...lines(head).map((line) => styled(line, "bold", this.#screen)), rule]
      : [];
    return [...heads, ...spaced.flatMap((row, i) => i === 0 ? row : [...apart, ...row])];
  }

  /** A table that is too wide: each row as a list of its cells. */
  #records(head: readonly string[], body: readonly string[][]): string[] {
    return body.flatMap(([first, ...cells], i) => [
      ...i === 0 ? [] : [""],
      ...wrap(first, this.#screen.width),
      ...cells.flatMap((cell, x) =>
        cell === ""
          ? []
          : wrap(`${head[x + 1] ? `${head[x + 1]}: ` : ""}${cell}`, this.#screen.width - 2).map((line) => `  ${line}`)
      ),
    ]);
  }

  /** Text with its code, emphasis and links. Each word has its own style, so that lines can end anywhere. */
  #inline(text: string): string {
    const words = (part: string, style: "cyan" | "bold") =>
      this.#screen.color ? part.replace(/\S+/g, (word) => styled(word, style, this.#screen)) : part;
    return text.split(/(`[^`]+`)/).map((part, i) => {
      // Without colours, the marks show what is code.
      if (i % 2 === 1) return this.#screen.color ? words(part.slice(1, -1), "cyan") : part;
      return part.replace(/\*\*(.+?)\*\*/g, (_, bold) => words(bold, "bold"));
    }).join("").replace(/\[([^\]]+)\]\(([^)\s]+)\)/g, (_, shown, target) => {
      const more = this.#linkText(target);
      return more === undefined ? shown : `${shown} (${more})`;
    });
  }
}

/** Widths of columns that fit beside each other, the widest narrowed first; none if they cannot. */
function columnWidths(rows: readonly string[][], width: number): number[] | undefined {
  const columns = rows[0].map((_, x) => {
    const cells = rows.map((cells) => cells[x] ?? "");
    const natural = Math.max(...cells.map(shownLength));
    const word = Math.max(...cells.flatMap((cell) => cell.split(" ")).map(shownLength));
    return { width: natural, least: Math.max(word, Math.min(natural, MIN_COLUMN)) };
  });
  let sum = GAP.length * (columns.length - 1) + columns.reduce((sum, { width }) => sum + width, 0);
  for (; sum > width; sum--) {
    const [widest] = columns.filter(({ width, least }) => width > least).sort((a, b) => b.width - a.width);
    if (widest === undefined) return undefined;
    widest.width--;
  }
  return columns.map(({ width }) => width);
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - shownLength(text)));
}
