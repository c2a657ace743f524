import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import { withLock } from "../../src/runtime/lock.ts";
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

/** How this runtime runs a script. */
const runtimeWords = process.versions.deno ? ["run", "-A", "--no-check"] : [];

describe("a pidfile", () => {
  test("has the number of the process, and is gone when it is removed", async () => {
    using place = folder();
    const file = place.join("a.pid");
    assert.equal(runningPid(file), undefined);
    await writePidfile(file);
    assert.equal(readFileSync(file, "utf8"), `${process.pid}\n`);
    assert.deepEqual(readdirSync(place.path), ["a.pid"]);
    await removePidfile(file);
    assert.deepEqual(readdirSync(place.path), []);
    await removePidfile(file);
  });

  test("that another server is just writing is not removed", async () => {
    using place = folder();
    const file = place.join("a.pid");
    await writePidfile(file);
    let removing: Promise<void> | undefined;
    await withLock(file, undefined, async () => {
      removing = removePidfile(file);
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(readdirSync(place.path).filter((name) => name === "a.pid"), ["a.pid"]);
      writeFileSync(file, "1\n");
    });
    await removing;
    assert.equal(readFileSync(file, "utf8"), "1\n");
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
      await removePidfile(file);
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

  test("names no process that only has the file's name in its command line", async () => {
    using place = folder();
    const file = place.join("a.pid");
    const start = (word: string, variables = {}) =>
      spawn("/bin/sh", ["-c", "sleep 30; :", word], { stdio: "ignore", detached: true, env: { ...process.env, ...variables } });
    const [server, other, editor] = [start(`pidfile=${file}`), start("", { RUNFCGI_PIDFILE: file }), start(file)];
    const namesakes = [start("pidfile=/elsewhere/a.pid"), start("", { RUNFCGI_PIDFILE: "/elsewhere/a.pid" })];
    try {
      for (const { pid } of [server, other]) {
        writeFileSync(file, `${pid}\n`);
        await until("it is known", () => runningPid(file) === pid);
      }
      for (const { pid } of [editor, ...namesakes]) {
        writeFileSync(file, `${pid}\n`);
        await until("it runs", () => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("/bin/sh"));
        assert.equal(runningPid(file), undefined);
      }
    } finally {
      for (const { pid } of [server, other, editor, ...namesakes]) process.kill(-pid!, "SIGKILL");
    }
  });

  test("that is empty is stale, as after a crash", () => {
    using place = folder();
    writeFileSync(place.join("a.pid"), "");
    expectUnused(place.join("a.pid"));
  });

  for (const text of ["hello", "0", "-1", "12 34", "99999999999", "1\n2"]) {
    test(`with ${JSON.stringify(text)} is no pidfile, and is left alone`, async () => {
      using place = folder();
      const file = place.join("a.pid");
      writeFileSync(file, text);
      assert.throws(() => runningPid(file), /the file ".*a\.pid" is not a pidfile: remove it or name another/);
      await removePidfile(file);
      assert.equal(readFileSync(file, "utf8"), text);
    });
  }

  test("that cannot be written or read is an error of one line", async () => {
    using place = folder();
    await assert.rejects(writePidfile(place.join("none/a.pid")), /^PidfileError: cannot write the pidfile ".*a\.pid": /);
    assert.throws(() => runningPid(place.path), /cannot read the pidfile/);
  });

  test("that is a pipe is an error, and nobody waits for it", () => {
    using place = folder();
    const file = place.join("a.pid");
    execFileSync("mkfifo", [file]);
    assert.throws(() => runningPid(file), /^PidfileError: cannot read the pidfile ".*a\.pid": it is not a regular file$/);
  });

  test("is written again: a link in its place is replaced, and what it leads to is left alone", async () => {
    using place = folder();
    const [file, other] = [place.join("a.pid"), place.join("other")];
    writeFileSync(other, "");
    symlinkSync(other, file);
    await writePidfile(file);
    assert.equal(readFileSync(other, "utf8"), "");
    assert.equal(readFileSync(file, "utf8"), `${process.pid}\n`);
    assert.equal(lstatSync(file).isSymbolicLink(), false);
  });

  test("that cannot be put in place leaves nothing behind", async () => {
    using place = folder();
    const file = place.join("a.pid");
    mkdirSync(file);
    await assert.rejects(writePidfile(file), PidfileError);
    assert.deepEqual(readdirSync(place.path), ["a.pid"]);
  });

  test("whose number another server has by now is stale", async () => {
    using place = folder();
    const file = place.join("a.pid");
    const as = (handover: object) =>
      spawn("sleep", ["30"], { stdio: "ignore", env: { ...process.env, [serverVariable]: JSON.stringify(handover) } });
    const own = as({ role: "supervisor", options: { pidfile: file } });
    const others = [
      as({ role: "supervisor", options: { pidfile: place.join("b.pid") } }),
      as({ role: "supervisor", options: {} }),
      as({ role: "worker", options: { pidfile: file } }),
    ];
    try {
      writeFileSync(file, `${own.pid}\n`);
      await until("it is known", () => runningPid(file) === own.pid);
      for (const other of others) {
        writeFileSync(file, `${other.pid}\n`);
        await until(
          "its environment is there",
          () => readFileSync(`/proc/${other.pid}/environ`, "utf8").includes(serverVariable),
        );
        assert.equal(runningPid(file), undefined);
      }
    } finally {
      for (const child of [own, ...others]) child.kill("SIGKILL");
    }
  });

  test(
    "names another user's process that has it as an option, and is stale if it is older, or the process is another one",
    { skip: process.getuid?.() !== 0 && "needs root" },
    async () => {
      using place = folder();
      const file = place.join("a.pid");
      chmodSync(place.path, 0o755);
      const script = place.join("script.ts");
      const module = new URL("../../src/supervisor/pidfile.ts", import.meta.url).href;
      const start = (word: string) => spawn("/bin/sh", ["-c", "sleep 30; :", word], { stdio: "ignore", detached: true });
      const [child, other] = [start(`pidfile=${file}`), start("")];
      const runsFor = (pid = 0) => readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("/bin/sh");
      try {
        await until("they run", () => runsFor(child.pid) && runsFor(other.pid));
        writeFileSync(file, `${other.pid}\n`);
        const code = `import { runningPid } from ${JSON.stringify(module)};
import process from "node:process";
process.seteuid(65534);
process.stdout.write(String(runningPid(${JSON.stringify(file)})));`;
        writeFileSync(script, code);
        const ask = () => spawnSync(process.execPath, [...runtimeWords, script], { encoding: "utf8" });
        assert.equal(ask().stdout, "undefined");
        writeFileSync(file, `${child.pid}\n`);
        const younger = ask();
        assert.equal(younger.stdout, String(child.pid), younger.stderr);
        utimesSync(file, 1e9, 1e9);
        assert.equal(ask().stdout, "undefined");
      } finally {
        for (const { pid } of [child, other]) process.kill(-pid!, "SIGKILL");
      }
    },
  );

  test("is had by one of all that write it at the same moment", async () => {
    using place = folder();
    const file = place.join("a.pid");
    const script = place.join("script.ts");
    const module = new URL("../../src/supervisor/pidfile.ts", import.meta.url).href;
    const code = `import { writePidfile } from ${JSON.stringify(module)};
import process from "node:process";
await writePidfile(${JSON.stringify(file)}).then(() => console.log("written"), (error) => console.log(error.message));
process.stdin.on("end", () => process.exit());
process.stdin.resume();`;
    writeFileSync(script, code);
    // As left by a crash.
    writeFileSync(file, "99999999\n");
    const env = { ...process.env, [serverVariable]: JSON.stringify({ role: "supervisor", options: { pidfile: file } }) };
    const children = Array.from({ length: 4 }, () => spawn(process.execPath, [...runtimeWords, script], { env }));
    const said = children.map((child) => {
      let text = "";
      child.stdout.setEncoding("utf8").on("data", (piece: string) => text += piece);
      return () => text;
    });
    try {
      await until("all have tried", () => said.every((text) => text().endsWith("\n")));
      assert.deepEqual(
        said.map((text) => text() === "written\n").sort(),
        [false, false, false, true],
        said.map((text) => text()).join(""),
      );
      const winner = children[said.findIndex((text) => text() === "written\n")];
      assert.equal(readFileSync(file, "utf8"), `${winner.pid}\n`);
      assert.deepEqual(readdirSync(place.path).sort(), ["a.pid", "script.ts"]);
    } finally {
      for (const child of children) child.kill("SIGKILL");
    }
  });
});
