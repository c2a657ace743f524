/**
 * Writes the tables of options into the README, from the same table as the program's help.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groups, optionTable } from "../src/options/options.ts";
import { root, tools } from "./tools.ts";

/** What an option means, as the README says it. */
export const meaning = (help: string): string => help.replace(/\.$/, "");

if (import.meta.main) {
  const file = join(root, "README.md");
  const text = readFileSync(file, "utf8");
  const rows = Object.entries(optionTable).flatMap(([name, option]) => {
    const row = `| \`${name}\` | ${option.default} | ${meaning(option.help)} |`;
    if (!("group" in option)) return [row];
    return ["", `### ${groups[option.group]}`, "", "| option | default | meaning |", "| --- | --- | --- |", row];
  });
  const tables = /(\n## Options\n\n[^]*?\n)(?:###|\|)[^]*?(?=\n\n[^#|\n])/;
  writeFileSync(file, text.replace(tables, (_, before) => before + rows.join("\n").trimStart()));
  execFileSync(tools().deno, ["fmt", "--quiet", file], { cwd: root, stdio: "inherit" });
}
