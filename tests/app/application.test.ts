import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { filesOfProgram } from "../../src/app/application.ts";
import { AppFile } from "../../src/app/loader.ts";
import { Log } from "../../src/app/log.ts";
import { patchGlobals } from "../../src/gateway/patch_globals.ts";
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

test("a module that keeps a global when it is loaded keeps the one that knows the server's requests and responses", async () => {
  using place = folder();
  writeFileSync(place.join("app.mjs"), "globalThis.kept = [Request, Response, fetch]; export default () => new Response();");
  const app = new AppFile(place.join("app.mjs"), { log: new Log(undefined, { stderr: false, file: false }), debug: false });
  assert.equal(await app.load(), undefined);
  const { kept } = globalThis as { kept?: unknown[] };
  patchGlobals();
  assert.deepEqual(kept, [Request, Response, fetch]);
});
