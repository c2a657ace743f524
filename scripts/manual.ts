/**
 * Writes into the manual what stands elsewhere: the tables of options, the configurations, and the recipes.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { configText } from "../src/config/servers.ts";
import { groups, optionTable } from "../src/options/options.ts";
import { root, tools } from "./tools.ts";

/** What an option means, as the manual says it. */
export const meaning = (help: string): string => help.replace(/\.$/, "");

/** The chapter with the tables of options, from the heading of the first one. */
function withOptions(text: string): string {
  const rows = Object.entries(optionTable).flatMap(([name, option]) => {
    const row = `| \`${name}\` | ${option.default} | ${meaning(option.help)} |`;
    if (!("group" in option)) return [row];
    return ["", `## ${groups[option.group]}`, "", "| option | default | meaning |", "| --- | --- | --- |", row];
  });
  return `${text.replace(/\n## [^]*/, "").trimEnd()}\n${rows.join("\n")}\n`;
}

/** A text with what `config` prints below each of its commands, with the comment on top or without, as it was. */
function withConfigurations(text: string): string {
  return text.replace(/(```sh\nrunfcgi config (.*)\n```\n\n```\w+\n)([^]*?)```/g, (_, before, words, shown) => {
    const whole = configText(words.split(" ")).replace(/(Start.*? {2,}).*mod\.ts /g, "$1runfcgi ");
    return `${before}${/^#.*\n#\n/.test(shown) ? whole : whole.replace(/^[^]*?\n\n/, "")}\`\`\``;
  });
}

/** The cookbook with the recipes, which tests run. */
function withRecipes(text: string): string {
  return text.replace(/(```tsx?\n\/\/ (\S+)\n)[^]*?```/g, (_, before, name) => {
    return `${before}${readFileSync(join(root, "tests/cookbook", name), "utf8")}\`\`\``;
  });
}

if (import.meta.main) {
  const files = ["README.md", ...globSync("src/cli/manual/*.md", { cwd: root })].map((name) => join(root, name));
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    const own = { "options.md": withOptions, "cookbook.md": withRecipes }[basename(file)] ?? ((text: string) => text);
    writeFileSync(file, withConfigurations(own(text)));
  }
  execFileSync(tools().deno, ["fmt", "--quiet", ...files], { cwd: root, stdio: "inherit" });
}
