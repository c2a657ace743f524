/**
 * The texts for users: the README and the chapters of the manual.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";

/** The repository's folder, as a URL. */
const root = new URL("../../", import.meta.url);

/** The text of a file of the repository. */
export const textOf = (path: string): string => readFileSync(new URL(path, root), "utf8");

/** Names of the chapters. */
export const chapters: readonly string[] = readdirSync(new URL("src/cli/manual/", root))
  .filter((file) => file.endsWith(".md")).map((file) => file.slice(0, -3)).sort();

/** The text of a chapter. */
export const chapter = (name: string): string => textOf(`src/cli/manual/${name}.md`);

/** Path and text of each document for users. */
export const documents: readonly { path: string; text: string }[] = [
  "README.md",
  ...chapters.map((name) => `src/cli/manual/${name}.md`),
].map((path) => ({ path, text: textOf(path) }));

/** What stands below a heading, with the sections inside. */
export function section(text: string, heading: string): string {
  const level = new RegExp(`^(#+) ${heading}$`, "m").exec(text)?.[1];
  const rest = level === undefined ? "" : text.split(`\n${level} ${heading}\n`)[1];
  return rest.split(new RegExp(`\n#{1,${level?.length ?? 1}} `))[0];
}

/** Cells of the rows of a table, without its head. */
export function rows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("| ") && !/^\| -/.test(line));
  const heads = new Set(text.split("\n").filter((_, i, all) => /^\| -/.test(all[i + 1] ?? "")));
  return lines.filter((line) => !heads.has(line))
    .map((row) => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

/** Code blocks in a language, without the marks. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^( *)\`\`\`${language}\n([^]*?)^\\1\`\`\`$`, "gm"))]
    .map(([, indent, code]) => code.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}
