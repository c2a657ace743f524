/** A runtime may be called anything: Fedora's Node is `node-24`, behind a link. */
import assert from "node:assert/strict";
import { chmodSync, constants, copyFileSync, linkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ask, cleanUp, hello, launch, run, site } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

test(
  `a runtime of another name runs the source, with threads (${runtime})`,
  { skip: runtime === "binary" && "it is one file" },
  async () => {
    const cwd = site({ "app.ts": hello });
    const other = join(cwd, "js-24");
    try {
      linkSync(process.execPath, other);
    } catch {
      copyFileSync(process.execPath, other, constants.COPYFILE_FICLONE);
      chmodSync(other, 0o755);
    }
    const words = [other, ...command.slice(1)];
    const socket = join(cwd, "s.sock");
    const running = launch([...words, "app.ts", `socket=${socket}`, "threads=2"], { cwd });
    await until("both threads serve", () => running.stderr().includes("serving"));
    assert.equal((await ask({ socket }, "/a")).text, "hello /a", running.stderr());
    await running.stop();
    assert.doesNotMatch(running.stderr(), /Thread|could not start/);
    const listed = launch([...words, "config", "nginx"], { cwd });
    await listed.exit;
    assert.equal(listed.stdout(), (await run(["config", "nginx"], { cwd })).stdout);
  },
);
