import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { start, until } from "../support/program.ts";

const module = new URL("../../src/runtime/watchdog.ts", import.meta.url).href;

/** Runs a program that has a watchdog `dog`, and resolves with how it ended. */
async function watched(program: string, options: Record<string, unknown>) {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-watchdog-"));
  mkdirSync(join(folder, "dog"));
  const file = join(folder, "program.ts");
  writeFileSync(
    file,
    `import { Watchdog } from ${JSON.stringify(module)};
import process from "node:process";
const dog = new Watchdog(${JSON.stringify({ ...options, folder: join(folder, "dog") })});
const wait = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));
const use = (milliseconds: number) => {
  for (const begun = process.cpuUsage(); ;) {
    const { user, system } = process.cpuUsage(begun);
    if ((user + system) / 1000 > milliseconds) return;
  }
};
dog.work();
dog.busy = () => true;
${program}
process.exit(5);
`,
  );
  const { deno } = process.versions;
  const running = start([process.execPath, ...deno ? ["run", "-A", "--no-check"] : [], file], { cwd: folder });
  const { code, signal } = await running.exit;
  await until("nothing of it is left", () => !existsSync(join(folder, "dog")));
  rmSync(folder, { recursive: true });
  return { code, signal, stderr: running.stderr() };
}

describe("Watchdog", () => {
  test("ends a process that uses the processor for too long without a turn of its event loop", async () => {
    const { signal, stderr } = await watched("for (;;);", { limit: 1, clock: false });
    assert.equal(signal, "SIGKILL", stderr);
    assert.match(
      stderr,
      /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] runfcgi\[\d+\] The application blocked the event loop for too long: .*\n$/,
    );
  });

  test("leaves one alone that uses as much by turns", async () => {
    const { code, stderr } = await watched("for (let i = 0; i < 12; i++) { use(300); await wait(300); }", {
      limit: 1,
      clock: false,
    });
    assert.deepEqual([code, stderr], [5, ""]);
  });

  test("leaves one alone that has closed it", async () => {
    const { code, stderr } = await watched("await wait(1500); dog.close(); dog.work(); use(4000);", { limit: 1, clock: false });
    assert.deepEqual([code, stderr], [5, ""]);
  });

  test("leaves one alone that sleeps in a call, unless seconds are those of the clock", async () => {
    const sleep = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000);";
    assert.equal((await watched(sleep, { limit: 1, clock: false })).code, 5);
    assert.equal((await watched(sleep, { limit: 1, clock: true })).signal, "SIGKILL");
  });
});
