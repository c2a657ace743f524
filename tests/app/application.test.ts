import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { filesOfProgram } from "../../src/app/application.ts";
import { folder } from "../support/peer.ts";

test("the files of a command are its programs and scripts, and not what it may write into", () => {
  using place = folder();
  const names = ["server.js", "site.py", "config.ru", "program", "access.log", "data.sqlite", "settings.json"];
  for (const name of names) writeFileSync(place.join(name), "");
  chmodSync(place.join("program"), 0o755);
  const words = [...names.map((name) => place.join(name)), place.path, place.join("missing.js"), process.execPath, "{socket}"];
  const found = filesOfProgram({ exec: `A=b cd /tmp && ${words.join(" ")} --more='${place.join("server.js")}'` });
  const expected = ["server.js", "site.py", "config.ru", "program"].map((name) => place.join(name));
  assert.deepEqual([...new Set(found.slice(1))], expected);
});
