import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import {
  expectUnused,
  isRunning,
  PidfileError,
  removePidfile,
  runningPid,
  serverVariable,
  writePidfile,
} from "../../src/supervisor/pidfile.ts";
import { folder } from "../support/peer.ts";
import { until } from "../support/program.ts";

describe("a pidfile", () => {
  test("has the number of the process, and is gone when it is removed", () => {
    using place = folder();
    const file = place.join("a.pid");
    assert.equal(runningPid(file), undefined);
    writePidfile(file);
    assert.equal(readFileSync(file, "utf8"), `${process.pid}\n`);
    assert.deepEqual(readdirSync(place.path), ["a.pid"]);
    removePidfile(file);
    assert.deepEqual(readdirSync(place.path), []);
    removePidfile(file);
  });

  test("of a running process is in use, and of this process not", async () => {
    using place = folder();
    const file = place.join("a.pid");
    // As a server of ours: a number that another program has by now means nothing.
    const child = spawn("sleep", ["30"], { stdio: "ignore", env: { ...process.env, [serverVariable]: "{}" } });
    try {
      writeFileSync(file, `${child.pid}\n`);
      // Its environment is there a moment after it is.
      await until("it is known", () => runningPid(file) === child.pid);
      assert.throws(() => expectUnused(file), (error: unknown) => {
        assert.ok(error instanceof PidfileError);
        assert.match(error.message, new RegExp(`names the running process ${child.pid}: stop it first, with stop pidfile=`));
        return true;
      });
      removePidfile(file);
      assert.equal(readFileSync(file, "utf8"), `${child.pid}\n`);
    } finally {
      child.kill("SIGKILL");
    }
    await until("it has ended", () => !isRunning(child.pid!));
    assert.equal(runningPid(file), undefined);
    expectUnused(file);
    writeFileSync(file, `${process.pid}\n`);
    expectUnused(file);
  });

  test("that is empty is stale, as after a crash", () => {
    using place = folder();
    writeFileSync(place.join("a.pid"), "");
    expectUnused(place.join("a.pid"));
  });

  for (const text of ["hello", "0", "-1", "12 34", "99999999999", "1\n2"]) {
    test(`with ${JSON.stringify(text)} is no pidfile, and is left alone`, () => {
      using place = folder();
      const file = place.join("a.pid");
      writeFileSync(file, text);
      assert.throws(() => runningPid(file), /the file ".*a\.pid" is no pidfile: remove it or name another/);
      removePidfile(file);
      assert.equal(readFileSync(file, "utf8"), text);
    });
  }

  test("that cannot be written or read is an error of one line", () => {
    using place = folder();
    assert.throws(() => writePidfile(place.join("none/a.pid")), /^PidfileError: cannot write the pidfile ".*a\.pid": /);
    assert.throws(() => runningPid(place.path), /cannot read the pidfile/);
  });
});
