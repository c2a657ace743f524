/** Each symptom of the README's table: provoked, explained by the command that the table names, and mended as that says. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { needs } from "../support/servers.ts";
import { type Case, isRoot, Trouble } from "./trouble/kit.ts";
import { own } from "./trouble/own.ts";
import { shared } from "./trouble/shared.ts";

const timeout = 90_000;
const cases: Record<string, Case> = { ...shared, ...own };

function skipped({ server, files, root }: Case): string | false {
  return needs(server, files) || (root && !isRoot ? "root alone has another user to be the web server's" : false);
}

describe("trouble", () => {
  for (const [symptom, trouble] of Object.entries(cases)) {
    test(symptom, { timeout, skip: skipped(trouble) }, async () => {
      await using site = await Trouble.begin(trouble.server);
      try {
        await trouble.run(site);
      } catch (error) {
        throw new Error(site.history, { cause: error });
      }
    });
  }

  test("is in the README, and no other", () => {
    const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const section = text.split("\n## When something is wrong\n")[1].split("\n## ")[0];
    const [, , ...rows] = section.split("\n").filter((line) => line.startsWith("| "));
    assert.deepEqual(rows.map((row) => row.split("|")[1].trim()).sort(), Object.keys(cases).sort());
  });
});
