/** The README says of the options what the program says. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { optionTable } from "../../src/cli/options.ts";

const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** Cells of the table below a heading. */
function table(heading: string): string[][] {
  const section = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  return rows.map((row) => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

describe("the README", () => {
  const names = Object.keys(optionTable);

  test("lists every option, and no other", () => {
    assert.deepEqual(table("Options").map(([name]) => name.replaceAll("`", "")).sort(), [...names].sort());
  });

  test("maps each of Django's options", () => {
    // Of django/core/servers/fastcgi.py.
    const django = "protocol host port socket method maxrequests maxspare minspare maxchildren daemonize pidfile workdir umask " +
      "outlog errlog debug";
    const rows = table("Coming from Django");
    assert.deepEqual(rows.map(([name]) => name.replaceAll("`", "")), django.split(" "));
    for (const [name, ours] of rows) assert.ok(names.includes(/^`(\w+)/.exec(ours)?.[1] ?? ""), `${name}: ${ours}`);
  });
});
