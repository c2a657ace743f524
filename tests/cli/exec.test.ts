import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ask } from "../support/peer.ts";
import { isRunning, program, type Running, start, startServing, until } from "../support/program.ts";

const { command } = program();
const folder = mkdtempSync(join(tmpdir(), "runfcgi-cli-"));
const left: Running[] = [];
after(async () => {
  await Promise.all(left.map((running) => running.stop()));
  rmSync(folder, { recursive: true, force: true });
});

// The program under test may have no runtime for others; the one that runs the test is one.
const runtime = process.versions.deno ? `"${process.execPath}" run -A --quiet --no-check` : `"${process.execPath}"`;
const http = `${runtime} ${fileURLToPath(new URL("../support/http_program.ts", import.meta.url))}`;

let sockets = 0;
async function serving(words: string[]): Promise<{ running: Running; get(path: string): ReturnType<typeof ask> }> {
  const path = join(folder, `${sockets++}.sock`);
  const running = await startServing({ socket: path }, words);
  left.push(running);
  return { running, get: (target) => ask({ transport: "unix", path }, target) };
}

async function run(words: string[]) {
  const running = start([...command, ...words], { cwd: folder });
  const { code } = await running.exit;
  return { code, stderr: running.stderr() };
}

describe("exec", () => {
  test("serves a program, logs what it writes, and stops it on TERM", async () => {
    const { running, get } = await serving([`exec=${http} {socket}`]);
    const { pid, url } = JSON.parse((await get("/echo?a=1")).text);
    assert.equal(url, "/echo?a=1");
    await until("its output is logged", () => /runfcgi\[\d+\] listening/.test(running.stderr()));
    running.kill("SIGTERM");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    assert.equal(isRunning(pid), false);
  });

  test("serves another server of this program", async () => {
    writeFileSync(join(folder, "inner.ts"), "export default () => new Response('inner')");
    const inner = [...command, join(folder, "inner.ts"), "protocol=http", "socket={socket}", "threads=1"].join(" ");
    const { running, get } = await serving([`exec=${inner}`]);
    assert.equal((await get("/")).text, "inner");
    await running.stop();
  });

  test("runs a JavaScript server itself, and nothing else has to be there", async () => {
    const server = fileURLToPath(new URL("../support/http_program.ts", import.meta.url));
    const { running, get } = await serving([`execjs=${server} "" stubborn`, "grace=0.1"]);
    const { pid, url } = JSON.parse((await get("/echo?a=1")).text);
    assert.equal(url, "/echo?a=1");
    const environment = JSON.parse((await get("/environment")).text);
    assert.match(environment.PORT, /^\d+$/);
    running.kill("SIGTERM");
    await running.exit;
    assert.equal(isRunning(pid), false);
  });

  test("has another program when a file that the command names has changed", async () => {
    const file = join(folder, "server.mjs");
    const code = `import ${JSON.stringify(fileURLToPath(new URL("../support/http_program.ts", import.meta.url)))};\n`;
    writeFileSync(file, code);
    const { running, get } = await serving([`exec=${runtime} ${file} {socket}`]);
    const { pid } = JSON.parse((await get("/echo")).text);
    writeFileSync(file, `${code}nonsense {\n`);
    await until("the new code fails", () => /ended with exit status/.test(running.stderr()));
    assert.equal(JSON.parse((await get("/echo")).text).pid, pid);
    writeFileSync(file, `${code}// This is the new code.\n`);
    await until("another answers", async () => JSON.parse((await get("/echo")).text).pid !== pid);
    await until("the old one is gone", () => !isRunning(pid));
    await running.stop();
  });

  for (const signal of ["SIGKILL", "SIGINT"] as const) {
    test(`leaves nothing of the program when it ends by ${signal}`, async () => {
      const { running, get } = await serving([`exec=${http} "" stubborn`, "grace=0.1"]);
      const { pid } = JSON.parse((await get("/echo")).text);
      const started = [pid, Number((await get("/child")).text), Number((await get("/stray")).text)];
      assert.ok(started.every(isRunning));
      running.kill(signal);
      await running.exit;
      await until("the program is gone", () => !started.some(isRunning));
    });
  }

  test("leaves no folder when it is killed", async () => {
    const note = join(folder, "socket");
    const { running, get } = await serving([`exec=sh -c 'echo "$0" > "${note}"; exec ${http} "$0"' {socket}`]);
    await get("/echo");
    const socket = readFileSync(note, "utf8").trim();
    assert.ok(existsSync(socket));
    running.kill("SIGKILL");
    await running.exit;
    await until("the folder is gone", () => !existsSync(dirname(socket)));
  });

  test("says what is wrong, and exits with 2", async () => {
    writeFileSync(join(folder, "some.ts"), "export default () => new Response()");
    const cases: [string[], RegExp][] = [
      [["some.ts", "exec=a"], /^runfcgi: there are an application and exec: give one of them\n$/],
      [["execjs=a.js", "exec=a"], /^runfcgi: exec and execjs are both given: give one of them\n$/],
      [["exec=a {socket} {port}"], /^runfcgi: "a \{socket\} \{port\}" has both \{socket\} and \{port\}: .*\n$/],
      [[`exec=${http}`, "static=/=."], /^runfcgi: static gives "\/" the folder ".*", where visitors could read the source/],
      [["exec=node some.ts", `workdir=${folder}`, `static=/=${folder}`], /^runfcgi: static .* the source .*some\.ts": choose/],
      [["exec="], /^runfcgi: exec is "", expected a command, such as exec="gunicorn /],
    ];
    for (const [words, message] of cases) {
      const { code, stderr } = await run([...words, `socket=${join(folder, "x.sock")}`]);
      assert.match(stderr, message);
      assert.equal(code, 2);
    }
  });
});
