import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { asksToBeFrugal } from "../../src/runtime/frugal.ts";
import { cleanUp, site } from "../support/cli.ts";
import { askPort, startManaged } from "../support/managed.ts";
import { program } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

const app = `
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";
const seen = /^(?:BUN_JSC_|MIMALLOC_|UV_THREADPOOL_SIZE|GOMAXPROCS)/;
/** Bun calls C with its JIT alone. */
async function hasJit() {
  const { dlopen } = await import("bun:ffi");
  for (const file of ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]) {
    try {
      return dlopen(file, { getpid: { args: [], returns: "i32" } }).symbols.getpid() === process.pid;
    } catch {
      // Another C library, or no JIT.
    }
  }
  return false;
}
export default async () => {
  // Starting a program takes further threads.
  const threads = readdirSync("/proc/self/task").length;
  const exported = spawnSync("/bin/sh", ["-c", "export -p"], { encoding: "utf8" }).stdout.split("\\n");
  return Response.json({
    pid: process.pid,
    threads,
    jit: await hasJit(),
    own: Object.keys(process.env).filter((name) => seen.test(name)),
    exported: exported.map((line) => line.replace(/^export /, "")).filter((line) => seen.test(line)),
  });
};
`;

/** Limits of address space, without the gaps in which Bun starts only if its environment says so beforehand. */
const spaces = [400, 600, 1000, 1600, 2000, 2600, 3500];
const onlyBun = runtime === "bun" || runtime === "binary" ? false : "only Bun is told by its environment to take less";

describe(`a small limit of address space (${runtime})`, () => {
  for (const mib of spaces) {
    test(`leaves the JIT, with few threads, at ${mib} MiB, and the application inherits nothing`, { skip: onlyBun }, async () => {
      const cwd = site({ "app.ts": app });
      const limited = ["/bin/sh", "-c", `ulimit -v ${mib * 1024}; exec "$@"`, "sh", ...command];
      const { port, running } = await startManaged([...limited, join(cwd, "app.ts")], cwd);
      try {
        const { status, text } = await askPort(port);
        assert.equal(status, 200, text);
        const { pid, threads, jit, own, exported } = JSON.parse(text);
        assert.equal(pid, running.pid);
        assert.equal(jit, true);
        // From source, two of Bun's more that read modules.
        assert.ok(threads <= (runtime === "bun" ? 5 : 3), `${threads} threads`);
        assert.deepEqual({ own, exported }, { own: [], exported: [] });
      } finally {
        await running.stop();
      }
    });
  }

  test("holds for workers and their threads, too", { skip: onlyBun }, async () => {
    for (const words of [["threads=2"], ["method=prefork", "minspare=1", "maxspare=1"]]) {
      const cwd = site({ "app.ts": app });
      const limited = ["/bin/sh", "-c", `ulimit -v ${1000 * 1024}; exec "$@"`, "sh", ...command];
      const { port, running } = await startManaged([...limited, join(cwd, "app.ts"), "watch=false", "grace=1", ...words], cwd);
      try {
        const { status, text } = await askPort(port);
        assert.equal(status, 200, text);
        const { jit, own, exported } = JSON.parse(text);
        assert.deepEqual({ jit, own, exported }, { jit: true, own: [], exported: [] });
      } finally {
        await running.stop();
      }
    }
  });
});

test("limits ask for it by what /proc says of them", () => {
  const limits = (space: string, processes: string) =>
    `Limit                     Soft Limit           Hard Limit           Units     \n` +
    `Max processes             ${processes.padEnd(20)} 63000                processes \n` +
    `Max address space         ${space.padEnd(20)} unlimited            bytes     \n`;
  assert.equal(asksToBeFrugal(limits("unlimited", "unlimited"), false), false);
  assert.equal(asksToBeFrugal(limits(String(2 ** 30), "unlimited"), true), true);
  assert.equal(asksToBeFrugal(limits(String(2 ** 40), "unlimited"), false), false);
  assert.equal(asksToBeFrugal(limits("unlimited", "25"), false), true);
  assert.equal(asksToBeFrugal(limits("unlimited", "25"), true), false);
  assert.equal(asksToBeFrugal("", false), false);
});
