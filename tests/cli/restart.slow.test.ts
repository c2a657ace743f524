/** A restart that something comes between. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, hello, killInTheEnd, processesIn, run, site, tryRead } from "../support/cli.ts";
import { program, until, whole } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

/** A server in the background, with its socket given by a name relative to its folder. */
async function server(words: string[] = []) {
  const cwd = site({ "app.ts": hello });
  mkdirSync(join(cwd, "work"));
  const pidfile = join(cwd, "s.pid");
  const started = await run(
    ["app.ts", "socket=s.sock", `pidfile=${pidfile}`, `errlog=${join(cwd, "log")}`, "threads=1", "watch=false", ...words],
    { cwd },
  );
  assert.equal(started.code, 0, started.stderr);
  killInTheEnd(pidfile);
  const socket = join(cwd, "s.sock");
  const command = async (word: string) => {
    const { code, stderr } = await run([word, `pidfile=${pidfile}`], { cwd });
    return { code, stderr };
  };
  return { cwd, socket, pidfile, command, log: () => tryRead(join(cwd, "log")) ?? "" };
}

describe(`restart (${runtime})`, () => {
  for (const moment of whole ? [0, 2, 4] : [2]) {
    test(`and a stop meanwhile, with ${moment} more processes: neither server is left`, async () => {
      const { cwd, socket, pidfile, command } = await server();
      const before = processesIn(cwd).length;
      let over = false;
      const restart = command("restart").finally(() => over = true);
      await until("it is as far as that", () => over || processesIn(cwd).length >= before + moment);
      const stop = await command("stop");
      assert.equal(stop.code, 0, stop.stderr);
      await restart;
      await until("no process is left", () => processesIn(cwd).length === 0);
      assert.deepEqual([socket, pidfile].map(existsSync), [false, false]);
    });
  }

  test("after somebody has removed the socket: the new server makes it again", async () => {
    const { socket, command } = await server();
    rmSync(socket);
    assert.equal((await command("restart")).code, 0);
    assert.equal((await ask({ socket }, "/x")).text, "hello /x");
    assert.equal((await command("stop")).code, 0);
    assert.equal(existsSync(socket), false);
  });

  test("with a socket beside the workdir: the same socket serves on, and is removed in the end", async () => {
    const { socket, command, log } = await server(["workdir=work"]);
    assert.equal((await command("restart")).code, 0);
    assert.equal((await ask({ socket }, "/x")).text, "hello /x");
    assert.equal((await command("stop")).code, 0);
    assert.equal(existsSync(socket), false);
    assert.doesNotMatch(log(), /was removed or replaced/);
  });
});
