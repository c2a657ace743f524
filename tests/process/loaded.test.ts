import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const source = fileURLToPath(new URL("../../src/", import.meta.url));

/** What a file loads as soon as it is loaded itself, and what that loads: files of the source, and modules of Node. */
function loadedBy(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(join(source, file), "utf8");
  for (const [, target] of text.matchAll(/^(?:import (?!type\b)|export [*{])[^"';]*?"([^"]+)"/gm)) {
    if (target.startsWith("node:")) found.add(target);
    else loadedBy(join(dirname(file), target), found);
  }
  return found;
}

/** Each takes 1.5 MiB or more of a process on Bun. */
const streams = ["node:crypto", "node:http", "node:https", "node:net", "node:stream", "node:tls", "node:tty"];
/** What serves requests, a third of the program or more. */
const serving = ["server/serve.ts", "app/loader.ts", "handlers/exec.ts", "protocol/protocols.ts", "process/spawned.ts"];

describe("what takes memory is not loaded", () => {
  for (const file of ["cli/program.ts", "process/supervise.ts", "process/work.ts"]) {
    test(`by ${file}, which is part of a process that serves no requests`, () => {
      const loaded = loadedBy(file);
      assert.ok(loaded.has("supervisor/crew.ts"));
      assert.deepEqual([...streams, ...serving].filter((name) => loaded.has(name)), []);
    });
  }

  test("by what a web server starts: they are a tenth of the processor time to its first answer", () => {
    const loaded = ["cli/main.ts", "cli/program.ts", "process/spawned.ts"].flatMap((file) => [...loadedBy(file)]);
    assert.ok(loaded.includes("server/serve.ts"));
    const slow = [...streams, "node:child_process", "node:util", "node:worker_threads", "node:zlib"];
    assert.deepEqual(slow.filter((name) => loaded.includes(name)), []);
  });

  test("by a worker, for protocols and pages that it has not", () => {
    const loaded = loadedBy("process/serve_site.ts");
    assert.ok(loaded.has("server/serve.ts"));
    const others = ["protocol/protocols.ts", "protocol/auto.ts", "server/capture.ts", "handlers/exec.ts", "app/owner.ts"];
    assert.deepEqual(others.filter((name) => loaded.has(name)), []);
  });
});
