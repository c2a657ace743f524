/**
 * Writes what the program prints into the README: the tables of options and the configurations.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configText } from "../src/cli/config/command.ts";
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
  const configurations = /(```sh\nrunfcgi config (.*)\n```\n\n```\w+\n)([^]*?)```/g;
  const printed = text.replace(tables, (_, before) => before + rows.join("\n").trimStart())
    .replace(configurations, (_, before, words, shown) => {
      const whole = configText(words.split(" ")).replace(/(Start.*? {2,}).*mod\.ts /g, "$1runfcgi ");
      // With the comment on top or without.
      return `${before}${/^#.*\n#\n/.test(shown) ? whole : whole.replace(/^[^]*?\n\n/, "")}\`\`\``;
    });
  writeFileSync(file, printed);
  execFileSync(tools().deno, ["fmt", "--quiet", file], { cwd: root, stdio: "inherit" });
}
