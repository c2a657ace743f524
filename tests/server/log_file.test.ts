import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import { LogFile } from "../../src/server/log_file.ts";
import { folder } from "../support/peer.ts";
import { start, until } from "../support/program.ts";

/** How this runtime runs a script. */
const runtimeWords = process.versions.deno ? ["run", "-A", "--no-check"] : [];
const read = (file: string) => readFileSync(file, "utf8");
const module = new URL("../../src/server/log_file.ts", import.meta.url).href;

describe("LogFile", () => {
  test("appends to what is there", () => {
    using place = folder();
    const file = place.join("a.log");
    writeFileSync(file, "before\n");
    const log = new LogFile(file);
    log.write("one\n");
    log.write("two ☃\n");
    assert.equal(read(file), "before\none\ntwo ☃\n");
  });

  for (const [what, take] of [["renamed", (file: string) => renameSync(file, `${file}.1`)], ["removed", rmSync]] as const) {
    test(`follows a file that was ${what}, within a second or when it is asked to`, async () => {
      using place = folder();
      const file = place.join("a.log");
      const log = new LogFile(file);
      log.write("old\n");
      take(file);
      log.reopen();
      log.write("told\n");
      assert.equal(read(file), "told\n");
      take(file);
      await until("there is another", () => {
        log.write("noticed\n");
        try {
          return read(file).startsWith("noticed\n");
        } catch {
          return false;
        }
      });
      if (what === "renamed") assert.match(read(`${file}.1`), /^told\n(noticed\n)*$/);
    });
  }

  test("holds lines for one write, and writes them before a process ends", async () => {
    using place = folder();
    const file = place.join("a.log");
    const log = new LogFile(file);
    log.writeSoon("one\n", 5);
    log.writeSoon("two\n", 5);
    assert.equal(read(file), "");
    await until("they are written", () => read(file) === "one\ntwo\n");
    log.writeSoon("x".repeat(40_000));
    assert.equal(read(file).length, 8 + 40_000);
    log.writeSoon("last\n");
    log.flush();
    assert.ok(read(file).endsWith("last\n"));
    const code = `import { LogFile } from ${JSON.stringify(module)};
import process from "node:process";
new LogFile(${JSON.stringify(file)}).writeSoon("at the end\\n");
process.exit(0);`;
    const script = place.join("script.ts");
    writeFileSync(script, code);
    const { status, stderr } = spawnSync(process.execPath, [...runtimeWords, script], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.ok(read(file).endsWith("at the end\n"));
  });

  test("many processes append whole lines", async () => {
    using place = folder();
    const file = place.join("a.log");
    const script = place.join("script.ts");
    writeFileSync(
      script,
      `import { LogFile } from ${JSON.stringify(module)};
import process from "node:process";
const log = new LogFile(${JSON.stringify(file)});
const [, , name] = process.argv;
for (let i = 0; i < 500; i++) log.writeSoon(name + " " + i + " " + name.repeat(200) + "\\n");
log.flush();
`,
    );
    const names = ["a", "b", "c"];
    const running = names.map((name) => start([process.execPath, ...runtimeWords, script, name]));
    for (const { exit, stderr } of running) assert.deepEqual(await exit, { code: 0, signal: null }, stderr());
    const lines = read(file).trimEnd().split("\n");
    assert.equal(lines.length, 1500);
    for (const name of names) {
      const own = lines.filter((line) => line.startsWith(name));
      assert.deepEqual(own, Array.from({ length: 500 }, (_, i) => `${name} ${i} ${name.repeat(200)}`));
    }
  });

  test("that cannot be opened is an error at the start, and later a line that is lost", () => {
    using place = folder();
    assert.throws(() => new LogFile(place.join("none/a.log")), /ENOENT|No such file/);
    mkdirSync(place.join("logs"));
    const log = new LogFile(place.join("logs/a.log"));
    rmSync(place.join("logs"), { recursive: true });
    log.writeSoon("lost\n");
    log.flush();
    mkdirSync(place.join("logs"));
    log.reopen();
    log.write("found\n");
    assert.equal(read(place.join("logs/a.log")), "found\n");
  });

  test("above its size goes on in a new file, with the old one beside it", () => {
    using place = folder();
    const file = place.join("a.log");
    const log = new LogFile(file, { maxSize: 10 });
    for (const line of ["one\n", "two\n", "3\n"]) log.write(line);
    assert.equal(read(file), "one\ntwo\n3\n");
    log.write("four\n");
    assert.deepEqual([read(`${file}.1`), read(file)], ["one\ntwo\n3\n", "four\n"]);
    // Another process does it now.
    mkdirSync(`${file}.lock`);
    log.write("five five\n");
    assert.deepEqual(readdirSync(place.path).sort(), ["a.log", "a.log.1", "a.log.lock"]);
    assert.equal(read(file), "four\nfive five\n");
    // It has ended meanwhile: the lock goes, and then the file.
    utimesSync(`${file}.lock`, 0, 0);
    log.write("six\n");
    log.write("seven\n");
    assert.deepEqual([read(`${file}.1`), read(file)], ["four\nfive five\nsix\n", "seven\n"]);
    assert.deepEqual(readdirSync(place.path).sort(), ["a.log", "a.log.1"]);
  });
});
