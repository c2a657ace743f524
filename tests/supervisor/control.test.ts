import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { askControl, openControl, readRestart } from "../../src/supervisor/control.ts";
import { serverVariable } from "../../src/supervisor/pidfile.ts";
import { folder } from "../support/peer.ts";
import { until } from "../support/program.ts";

const actions = {
  name: "app.ts",
  report: () => ({ uptime: 1, deaths: 0, reloads: 0 }) as never,
  reload: () => Promise.resolve({ text: "has reloaded" }),
  restart: () => Promise.resolve({ error: "cannot restart" }),
};

test("a server is asked at the socket beside its pidfile", async () => {
  using place = folder();
  const pidfile = place.join("pid");
  assert.equal(await askControl(pidfile, "POST", "/reload"), undefined);
  const close = await openControl(pidfile, actions);
  assert.deepEqual(await askControl(pidfile, "POST", "/reload"), { done: true, text: "has reloaded" });
  assert.deepEqual(await askControl(pidfile, "POST", "/restart", {}), { done: false, text: "cannot restart" });
  await close();
  assert.equal(existsSync(`${pidfile}.sock`), false);
});

test("who asks a server whose place another takes asks that one, and there is one at any moment", async () => {
  using place = folder();
  const pidfile = place.join("pid");
  let close: (() => Promise<void>) | undefined;
  const closeOld = await openControl(pidfile, {
    ...actions,
    reload: async () => {
      close = await openControl(pidfile, { ...actions, reload: () => Promise.resolve({ text: "the new one" }) });
      return { moved: true };
    },
  });
  assert.deepEqual(await askControl(pidfile, "POST", "/reload"), { done: true, text: "the new one" });
  await closeOld();
  assert.deepEqual(await askControl(pidfile, "POST", "/reload"), { done: true, text: "the new one" });
  await close!();
  assert.deepEqual(readdirSync(place.path), []);
});

test("who is cut off by a server that has given its place away asks the new one", {
  skip: process.platform !== "linux" && "needs /proc",
}, async () => {
  using place = folder();
  const pidfile = place.join("pid");
  const env = { ...process.env, [serverVariable]: "{}" };
  const servers = [0, 1].map(() => spawn("sleep", ["300"], { stdio: "ignore", env }));
  let close: (() => Promise<void>) | undefined;
  let ends = () => Promise.resolve();
  const old = createServer((socket) => socket.once("data", () => ends().then(() => socket.destroy())));
  try {
    for (const { pid } of servers) await until("it runs", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
    await new Promise<void>((resolve) => old.listen(`${pidfile}.sock`, resolve));
    writeFileSync(pidfile, `${servers[0].pid}\n`);
    await assert.rejects(askControl(pidfile, "POST", "/reload"));
    ends = async () => {
      writeFileSync(pidfile, `${servers[1].pid}\n`);
      close = await openControl(pidfile, actions);
    };
    assert.deepEqual(await askControl(pidfile, "POST", "/reload"), { done: true, text: "has reloaded" });
  } finally {
    for (const server of servers) server.kill("SIGKILL");
    await close?.();
    await new Promise((resolve) => old.close(resolve));
  }
});

test("another user's socket in its place is not asked", { skip: process.getuid?.() !== 0 && "needs root" }, async () => {
  using place = folder();
  const pidfile = place.join("pid");
  let asked = false;
  const server = createServer((socket) => {
    asked = true;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(`${pidfile}.sock`, resolve));
  chownSync(`${pidfile}.sock`, 65534, 65534);
  assert.equal(await askControl(pidfile, "POST", "/restart", { words: ["secret=s"] }), undefined);
  assert.equal(await askControl(pidfile, "GET", "/status"), undefined);
  assert.equal(asked, false);
  await new Promise((resolve) => server.close(resolve));
});

test("a server of another user is asked by root, and told no arguments", {
  skip: (process.getuid?.() !== 0 || process.platform !== "linux") && "needs root on Linux",
}, async () => {
  using place = folder();
  const pidfile = place.join("pid");
  const close = await openControl(pidfile, { ...actions, restart: () => assert.fail("it was told") });
  chownSync(`${pidfile}.sock`, 65534, 65534);
  const env = { ...process.env, [serverVariable]: "{}" };
  const child = spawn("sleep", ["300"], { stdio: "ignore", uid: 65534, gid: 65534, env });
  try {
    writeFileSync(pidfile, `${child.pid}\n`);
    await until("it runs", () => readFileSync(`/proc/${child.pid}/comm`, "utf8") === "sleep\n");
    assert.deepEqual(await askControl(pidfile, "POST", "/reload"), { done: true, text: "has reloaded" });
    assert.equal(await askControl(pidfile, "POST", "/restart", { words: ["secret=s"] }), undefined);
  } finally {
    child.kill();
    await close();
  }
});

test(
  "root opens none where the user that it works for could put another",
  { skip: process.getuid?.() !== 0 && "needs root" },
  async () => {
    using place = folder();
    const pidfile = place.join("pid");
    const owner = { uid: 65534, gid: 65534 };
    writeFileSync(`${pidfile}.sock`, "kept");
    chmodSync(place.path, 0o777);
    await assert.rejects(openControl(pidfile, actions, owner), /the folder of ".*" is not root's alone/);
    assert.equal(existsSync(`${pidfile}.sock`), true);
  },
);

test("what a restart is asked for is checked", () => {
  assert.deepEqual(readRestart(""), { words: undefined, cwd: undefined });
  assert.deepEqual(readRestart(`{"words":["a.ts","port=1"],"cwd":"/srv"}`), { words: ["a.ts", "port=1"], cwd: "/srv" });
  const invalid = [
    "{",
    "1",
    "null",
    "[]",
    `{"words":"a"}`,
    `{"words":[1]}`,
    `{"words":["a\\u0000"]}`,
    `{"cwd":1}`,
    `{"cwd":"srv"}`,
  ];
  assert.deepEqual(invalid.filter((body) => readRestart(body) !== undefined), []);
});
