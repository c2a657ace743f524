import assert from "node:assert/strict";
import { chownSync, existsSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { askControl, openControl } from "../../src/supervisor/control.ts";
import { folder } from "../support/peer.ts";

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
  assert.equal(asked, false);
  await new Promise((resolve) => server.close(resolve));
});
