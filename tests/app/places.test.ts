/** Where an application is looked for, and what was perhaps meant to be one. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { nearMisses } from "../../src/app/places.ts";

test("nearMisses() names files whose case or ending is another one", () => {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-places-"));
  const near = [
    "Shop.ts.txt",
    "index.ts",
    "server.mjs",
    "shop (1).ts",
    "shop.TS",
    "shop.cjs",
    "shop.cts",
    "shop.jsx",
    "shop.mts",
    "shop.ts~",
  ];
  const others = ["shop.css", "shop.fcgi", "shopping.ts", "data.mts", "shop.ts.map", "shop"];
  const before = process.cwd();
  try {
    // It is looked for there, too.
    process.chdir(folder);
    for (const name of [...near, ...others]) writeFileSync(join(folder, name), "");
    assert.deepEqual(nearMisses(join(folder, "shop.fcgi")), near);
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});
