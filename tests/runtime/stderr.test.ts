import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("complaining.ts", import.meta.url));
const words = process.versions.deno === undefined ? [script] : ["run", "-A", "--no-check", script];

describe("standard error", () => {
  test("gets all of what a reader takes late", async () => {
    const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] });
    const printed = text(child.stdout);
    // By then more waits than a pipe holds.
    await once(child.stderr, "readable");
    const lines = (await text(child.stderr)).trimEnd().split("\n");
    assert.equal(lines.length, 1001);
    assert.deepEqual(lines.slice(0, -1).map((line) => Number(line.slice(0, 4))), Array.from({ length: 1000 }, (_, i) => i));
    assert.equal(lines[1000], "the end");
    assert.equal(await printed, "false");
  });

  test("is no screen where it is /dev/null, and nobody to complain to where it is closed", async () => {
    const nothing = openSync("/dev/null", "w");
    const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", nothing] });
    closeSync(nothing);
    assert.equal(await text(child.stdout!), "false");
    const alone = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] });
    alone.stderr.destroy();
    await once(alone, "exit");
  });
});
