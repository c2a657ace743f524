import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import { Guard } from "../../src/runtime/guard.ts";
import { folder } from "../support/peer.ts";
import { children } from "../support/processes.ts";
import { isRunning, start, until } from "../support/program.ts";

/** A process that listens to no request to end. */
function stubborn(): ChildProcess {
  return spawn("/bin/sh", ["-c", "trap '' HUP INT TERM; while :; do sleep 1; done"], { stdio: "ignore" });
}

const module = new URL("../../src/runtime/guard.ts", import.meta.url).href;
const runtimeWords = process.versions.deno ? ["run", "-A", "--no-check"] : [];

describe("Guard", () => {
  test("kills what is left when nobody holds it any more, and nothing else", async () => {
    const [guarded, removed, never] = [stubborn(), stubborn(), stubborn()];
    try {
      const guard = new Guard();
      for (const child of [removed, guarded]) guard.add(child.pid!);
      guard.remove(removed.pid!);
      guard.close();
      await until("it is killed", () => !isRunning(guarded.pid!));
      assert.ok(isRunning(removed.pid!));
      assert.ok(isRunning(never.pid!));
    } finally {
      for (const child of [guarded, removed, never]) child.kill("SIGKILL");
    }
  });

  test("kills groups of processes, too, and removes the folder", async () => {
    using place = folder();
    mkdirSync(place.join("made"));
    writeFileSync(place.join("made/file"), "");
    const shell = spawn("/bin/sh", ["-c", "sleep 100 & echo $!; wait"], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    const [line] = await once(shell.stdout!, "data");
    const below = Number(String(line));
    const guard = new Guard({ folder: place.join("made") });
    guard.add(-shell.pid!);
    guard.close();
    await until("all are killed", () => !isRunning(shell.pid!) && !isRunning(below));
    await until("the folder is gone", () => !existsSync(place.join("made")));
  });

  test("needs no PATH", async () => {
    using place = folder();
    mkdirSync(place.join("made"));
    const { PATH } = process.env;
    process.env.PATH = "";
    const guard = new Guard({ folder: place.join("made") });
    process.env.PATH = PATH;
    guard.close();
    await until("the folder is gone", () => !existsSync(place.join("made")));
  });

  test("ends at once when all were removed", async () => {
    const before = children(process.pid);
    const guard = new Guard();
    const shell = await until("it runs", () => children(process.pid).find((pid) => !before.includes(pid)));
    guard.add(2 ** 30);
    guard.remove(2 ** 30);
    guard.close();
    await until("it has ended", () => !isRunning(shell));
  });

  test("is there again when somebody kills it, and knows all", async () => {
    const child = stubborn();
    const before = children(process.pid);
    try {
      const guard = new Guard();
      guard.add(child.pid!);
      const shell = () => children(process.pid).find((pid) => !before.includes(pid) && isRunning(pid));
      const first = await until("it runs", shell);
      process.kill(first, "SIGKILL");
      await until("another runs", () => {
        const pid = shell();
        return pid !== undefined && pid !== first;
      });
      guard.close();
      await until("the process is killed", () => !isRunning(child.pid!));
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("notices that its process was killed", async () => {
    using place = folder();
    const script = place.join("script.ts");
    writeFileSync(
      script,
      `import { Guard } from ${JSON.stringify(module)};
new Guard().add(Number(process.argv[2]));
setInterval(() => {}, 1000);
// What is written leaves with a later turn of the event loop.
setTimeout(() => console.log("guarded"), 300);
`.replace(/^/, 'import process from "node:process";\n'),
    );
    const child = stubborn();
    try {
      const running = start([process.execPath, ...runtimeWords, script, `${child.pid}`]);
      await until("it is guarded", () => running.stdout().includes("guarded"));
      // A signal for all of a terminal's processes does not reach the guard.
      process.kill(-running.pid, "SIGINT");
      await running.exit;
      await until("the process is killed", () => !isRunning(child.pid!));
    } finally {
      child.kill("SIGKILL");
    }
  });
});
