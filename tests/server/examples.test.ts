/** The examples in the documentation of the public API run as they stand. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import * as library from "../../src/app/library.ts";

const list = new URL("../../src/app/library.ts", import.meta.url);
const files = [...readFileSync(list, "utf8").matchAll(/ from "(.*)";$/gm)].map(([, path]) => new URL(path, list));

/** A comment in front of what it documents, and the examples in it. */
const documented = /\/\*\*((?:(?!\*\/)[^])*)\*\/\nexport (?:async )?(?:class|const|function) (\w+)/g;
const examples = new Map<string, string>();
for (const file of files) {
  for (const [, comment, name] of readFileSync(file, "utf8").matchAll(documented)) {
    const [, code] = /@example\n \* ```ts\n([^]*?)\n \* ```/.exec(comment) ?? [];
    if (code !== undefined && name in library) examples.set(name, code.replace(/^ \* ?/gm, ""));
  }
}

describe("the documentation's example", () => {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-examples-"));
  after(() => rmSync(folder, { recursive: true }));

  for (const name of Object.keys(library)) {
    test(`of ${name} runs`, async () => {
      const code = examples.get(name);
      assert.ok(code, `${name} has no example`);
      const media = join(folder, "media");
      mkdirSync(media, { recursive: true });
      const file = join(folder, `${name}.ts`);
      writeFileSync(file, code.replace('"runfcgi"', JSON.stringify(list.href)).replace("./media", media));
      await import(pathToFileURL(file).href);
    });
  }
});
