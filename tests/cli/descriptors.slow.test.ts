import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cleanUp, site } from "../support/cli.ts";
import { askPort, startManaged } from "../support/managed.ts";
import { commandOf, descendants, Service } from "../support/processes.ts";
import { program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();
const O_NONBLOCK = 0o4000;

/** An application with a child process that has its standard input. */
const app = `
import { spawn } from "node:child_process";
spawn("sleep", ["10"], { stdio: ["inherit", "ignore", "ignore"] });
export default () => new Response("hello");
`;

/** Descriptors of a process that are this socket: their flags. */
function flagsOf(pid: number, inode: string): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`)
      .map((fd) => parseInt(/^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))![1], 8));
  } catch {
    // It has ended.
    return [];
  }
}

for (const [method, words] of Object.entries({ threaded: ["threads=2"], prefork: ["method=prefork", "minspare=2"] })) {
  describe(`the listening socket, ${method} (${runtime})`, () => {
    test("is had by nobody but the supervisor and its workers, and never becomes a blocking one", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "watch=false", "grace=1"]);
      const inode = await until("the kernel knows it", () =>
        readFileSync("/proc/net/unix", "utf8").split("\n")
          .map((line) => line.split(/ +/))
          .find(([, , , flags, , , , path]) => flags === "00010000" && path?.startsWith(service.folder))?.[6]);
      for (let i = 0; i < 2; i++) {
        for (let j = 0; j < 10; j++) assert.equal((await service.ask()).text, "hello");
        const workers = service.workers();
        const having = descendants(service.running.pid).filter((pid) => flagsOf(pid, inode).length > 0);
        const others = having.filter((pid) => pid !== service.supervisor && !workers.includes(pid));
        // Node cannot move the socket away from what children can inherit, which is their standard input.
        assert.deepEqual(others.map(commandOf), new Array(others.length).fill(runtime === "node" ? "sleep" : ""));
        assert.ok(having.length >= 2);
        for (const pid of having) {
          for (const flags of flagsOf(pid, inode)) assert.ok((flags & O_NONBLOCK) !== 0, `process ${pid}: ${flags.toString(8)}`);
        }
        service.running.kill("SIGHUP");
        await service.logged(/Reloaded/, i + 1);
      }
    });

    test("takes no more descriptors the longer it is served", async () => {
      await using service = await Service.start(
        { "app.ts": app },
        [...words, "concurrency=1", "maxspare=2", "watch=false", "grace=1"],
      );
      const open = () => service.workers().map((pid) => readdirSync(`/proc/${pid}/fd`).length);
      const ask = () => Promise.all(Array.from({ length: 10 }, () => service.ask()));
      for (let i = 0; i < 10; i++) await ask();
      const before = open();
      for (let i = 0; i < 30; i++) await ask();
      await until("connections are closed", () => open().every((count, i) => count <= (before[i] ?? 0) + 5));
    });
  });
}

describe(`workers on a socket that came on descriptor 0 (${runtime})`, () => {
  for (const words of [["threads=2"], ["threads=1"], ["method=prefork", "minspare=2"]]) {
    test(`serve with ${words.join(" ")}`, async () => {
      const cwd = site({ "app.ts": `export default () => new Response("hello");\n` });
      const { port, running } = await startManaged([...command, join(cwd, "app.ts"), "watch=false", "grace=1", ...words], cwd);
      try {
        for (let i = 0; i < 4; i++) assert.equal((await askPort(port)).text, "hello");
        assert.doesNotMatch(running.stderr(), /Cannot listen/);
      } finally {
        await running.stop();
      }
    });
  }
});
