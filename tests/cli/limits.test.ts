import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { asksToBeFrugal } from "../../src/runtime/frugal.ts";
import { ask, cleanUp, site } from "../support/cli.ts";
import { askAt, askPort, startManaged } from "../support/managed.ts";
import { accepting, program, start, until } from "../support/program.ts";

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

/** Limits of address space in MiB, without those at which Bun starts only if its environment says so beforehand. */
const spaces = [400, 600, 1000, 1600, 2000, 2600, 3500];
/** Those: the compiled program sets it there itself before its runtime begins. */
const gaps = [1150, 1200, 1240, 2190, 2240, 2290];
const onlyCompiled = runtime === "binary" && process.arch === "x64" ? false : "only the compiled program on x64 sees to it";
const onlyBun = runtime === "bun" || runtime === "binary" ? false : "only Bun is told by its environment to take less";

describe(`a small limit of address space (${runtime})`, () => {
  for (const mib of [...spaces, ...gaps]) {
    const skip = gaps.includes(mib) ? onlyCompiled : onlyBun;
    test(`leaves the JIT, with few threads, at ${mib} MiB, and the application inherits nothing`, { skip }, async () => {
      const cwd = site({ "app.ts": app });
      const limited = ["/bin/sh", "-c", `ulimit -v ${mib * 1024}; exec "$@"`, "sh", ...command];
      const { port, running } = await startManaged([...limited, join(cwd, "app.ts")], cwd);
      try {
        const { status, text } = await askPort(port);
        assert.equal(status, 200, text);
        const { pid, threads, jit, own, exported } = JSON.parse(text);
        assert.equal(pid, running.pid);
        assert.equal(jit, true);
        // One, the two of the pool, and one that tidies its memory; from source, two more that read modules.
        assert.ok(threads <= (runtime === "bun" ? 6 : 4), `${threads} threads`);
        assert.deepEqual({ own, exported }, { own: [], exported: [] });
      } finally {
        await running.stop();
      }
    });
  }

  test("that is too small is named in one line, in the place of a crash report", { skip: onlyCompiled }, async () => {
    for (const mib of [200, 340]) {
      const running = start(["/bin/sh", "-c", `ulimit -v ${mib * 1024}; exec "$@"`, "sh", ...command, "version"]);
      assert.equal((await running.exit).code, 1);
      assert.match(
        running.stderr(),
        /^runfcgi: the host allows .* too little address space \(ulimit -v\): it takes 400 MiB\..*\n$/,
      );
    }
  });

  test("leaves what somebody has set, and the descriptors that a parent gives", { skip: onlyCompiled }, async () => {
    const cwd = site({ "app.ts": app });
    // Descriptor 9 stays, which Bun would close when it starts again in its place; the application sees its own variable.
    const script = `ulimit -v ${1200 * 1024}; UV_THREADPOOL_SIZE=3 exec "$@" 9</dev/null`;
    const { port, running } = await startManaged(["/bin/sh", "-c", script, "sh", ...command, join(cwd, "app.ts")], cwd);
    try {
      assert.deepEqual(JSON.parse((await askPort(port)).text).own, ["UV_THREADPOOL_SIZE"]);
      assert.equal(readlinkSync(`/proc/${running.pid}/fd/9`), "/dev/null");
      assert.match(readFileSync(`/proc/${running.pid}/comm`, "utf8"), /^runfcgi/);
    } finally {
      await running.stop();
    }
  });

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

/** What needs a thread of the runtime, and what does not. */
const pool = `
import { readFile } from "node:fs/promises";
export default async (request) => {
  const wanted = new URL(request.url).pathname;
  return new Response(wanted === "/file" ? await readFile("/proc/self/comm", "utf8") : "hello");
};
`;

/** A user who has no other processes: the kernel counts them for each. */
const uid = 54_321;
const asUser = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
const compiledAsRoot = runtime !== "binary"
  ? "a runtime starts threads before it runs the program"
  : process.getuid!() !== 0
  ? "only root can be another user"
  : false;

describe(`a small limit of processes (${runtime})`, { skip: compiledAsRoot }, () => {
  /** Starts it as this user, who may have so many processes and threads. */
  function startLimited(processes: number, cwd = openSite(), path?: string) {
    const script = `ulimit -u ${processes}; exec "$@"`;
    const words = [...asUser, "/bin/bash", "-c", script, "sh", ...command, join(cwd, "app.ts"), "watch=false"];
    return startManaged(words, cwd, {}, path);
  }

  function openSite(): string {
    const cwd = site({ "app.ts": pool });
    for (const folder of [dirname(cwd), cwd]) chmodSync(folder, 0o777);
    return cwd;
  }

  test("of one leaves what needs no thread, and who needs one gets a page, not silence", async () => {
    const { port, running } = await startLimited(1);
    try {
      assert.deepEqual((await askPort(port)).text, "hello");
      const refused = await askPort(port, "/file");
      assert.equal(refused.status, 503);
      assert.match(refused.text, /too few processes/);
      assert.deepEqual((await askPort(port)).text, "hello");
      assert.match(running.stderr(), /allows this process no thread.*: 1 of 1 processes.*\(ulimit -u\).*ask the host/);
      assert.doesNotMatch(running.stderr(), /crash/i);
    } finally {
      await running.stop();
    }
  });

  for (const processes of [2, 3, 4, 5, 6, 8]) {
    test(`of ${processes} is enough for one process`, async () => {
      const { port, running } = await startLimited(processes);
      try {
        for (const path of ["/", "/file", "/file"]) assert.equal((await askPort(port, path)).status, 200, path);
        assert.equal(running.stderr(), "");
      } finally {
        await running.stop();
      }
    });
  }

  test("that others have used up is tried again when they are gone", async () => {
    const other = start([...asUser, "sleep", "60"]);
    const { port, running } = await startLimited(2);
    try {
      assert.equal((await askPort(port, "/file")).status, 503);
      assert.match(running.stderr(), /: 2 of 2 processes/);
      await other.stop();
      await until("there is a thread", async () => (await askPort(port, "/file")).status === 200);
      assert.match(running.stderr(), /the host allowed it no thread/);
    } finally {
      await other.stop();
      await running.stop();
    }
  });

  test("leaves a process no thread, and another one of the site answers for it", async () => {
    const cwd = openSite();
    // As mod_fcgid names them.
    const [first, second] = [1, 2].map((i) => join(cwd, `${process.pid}.${i}`));
    const askFile = (path: string) => askAt({ transport: "unix", path }, "/file");
    const one = await startLimited(3, cwd, first);
    try {
      assert.equal((await askFile(first)).status, 200);
      const two = await startLimited(3, cwd, second);
      try {
        const { status, text } = await askFile(second);
        assert.equal(status, 200, text + two.running.stderr());
        assert.match(two.running.stderr(), /allows this process no thread.*answered by another process.*: \d of 3 processes/);
        // It makes room.
        assert.equal((await two.running.exit).code, 0);
      } finally {
        await two.running.stop();
      }
      assert.equal((await askFile(first)).status, 200);
    } finally {
      await one.running.stop();
    }
  });

  test("is named by the doctor, with what is in use", async () => {
    const cwd = site({ "app.ts": pool });
    for (const folder of [dirname(cwd), cwd]) chmodSync(folder, 0o777);
    const running = start([...asUser, "/bin/bash", "-c", `ulimit -u 20; exec "$@"`, "sh", ...command, "doctor", "app.ts"], {
      cwd,
    });
    await running.exit;
    assert.match(running.stdout(), /ok +processes +[1-9]\d* of 20 are in use \(ulimit -u; threads count\)/);
  });

  test("in which a worker cannot be started is named, and the server goes on", async () => {
    const cwd = site({ "app.ts": pool });
    for (const folder of [dirname(cwd), cwd]) chmodSync(folder, 0o777);
    const script = `ulimit -u 1; exec "$@"`;
    const words = ["socket=s.sock", "threads=1", "watch=false"];
    const running = start([...asUser, "/bin/bash", "-c", script, "sh", ...command, "app.ts", ...words], { cwd });
    try {
      await until("it is told", () => /allows no further process: 1 of 1/.test(running.stderr()));
      assert.doesNotMatch(running.stderr(), /crash/i);
    } finally {
      await running.stop();
    }
  });
});

test(`does not start with fewer descriptors than the runtime needs (${runtime})`, async () => {
  const cwd = site({ "app.ts": pool });
  const [least, allowed] = { deno: [128, 100], node: [32, 30] }[runtime as string] ?? [24, 14];
  const words = ["-c", `ulimit -n ${allowed}; exec "$@"`, "sh", ...command, "app.ts", "socket=s"];
  const running = start(["/bin/sh", ...words], { cwd });
  assert.equal((await running.exit).code, 1);
  const said = `runfcgi: (Deno|Node|Bun) needs at least ${least} open files, and ulimit -n allows ${allowed}: raise the limit${
    runtime === "deno" ? ", or use " : "\\n"
  }`;
  assert.match(running.stderr(), new RegExp(`^${said}`));
});

for (const method of ["threaded", "prefork"]) {
  test(`a full disk takes what is printed, and nothing else, with ${method} (${runtime})`, {
    skip: !existsSync("/dev/full") && "needs Linux",
  }, async () => {
    const cwd = site({ "app.ts": `export default () => (console.log("lost"), console.error("lost"), new Response("hello"));` });
    const words = ["app.ts", "socket=s.sock", `method=${method}`, "threads=1", "errlog=/dev/full"];
    const running = start(["/bin/sh", "-c", `exec "$@" >/dev/full 2>/dev/full`, "sh", ...command, ...words], { cwd });
    try {
      const at = { socket: join(cwd, "s.sock") };
      await accepting(at, running);
      for (let i = 0; i < 5; i++) {
        assert.equal((await ask(at)).text, "hello");
        // The supervisor has something to say, too.
        running.kill("SIGHUP");
      }
    } finally {
      running.kill();
    }
    assert.deepEqual(await running.exit, { code: 0, signal: null });
  });
}

test("limits ask for it by address space and by processes", () => {
  const asks = (addressSpace: number, processes: number, root = false) => asksToBeFrugal({ addressSpace, processes }, root);
  assert.equal(asks(Infinity, Infinity), false);
  assert.equal(asks(2 ** 30, Infinity, true), true);
  assert.equal(asks(2 ** 40, Infinity), false);
  assert.equal(asks(Infinity, 25), true);
  assert.equal(asks(Infinity, 25, true), false);
});
