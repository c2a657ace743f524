/** Pages of the site's own, and maintenance. */
import assert from "node:assert/strict";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, run, serving, site } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

const app = `export const runfcgi = { ping: "/ping" };
export default ({ url }: Request): Response => {
  const { pathname } = new URL(url);
  if (pathname === "/throw") throw new Error("thrown for a test");
  if (pathname === "/api") return Response.json({ found: false }, { status: 404 });
  if (pathname === "/nothing") return new Response(null, { status: 404, headers: { "x-own": "1" } });
  return new Response("the site");
};
`;
const pages = { "404.html": "<p>own 404</p>", "500.html": "<p>own 500</p>", "503.html": "<p>own 503</p>" };
const header = (headers: readonly string[], name: string) => headers[headers.indexOf(name) + 1];

describe(`own pages (${runtime})`, () => {
  test("stand in for ours and for empty ones, and for nothing else", async () => {
    const cwd = site({ "app.ts": app, ...pages, "media/a.txt": "a" });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["threads=1", "static=/media/=media"], { cwd });
    const seen = async (path: string) => {
      const { status, text } = await ask({ socket }, path);
      return `${status} ${text}`;
    };
    assert.equal(await seen("/"), "200 the site");
    assert.equal(await seen("/throw"), "500 <p>own 500</p>");
    assert.equal(await seen("/nothing"), "404 <p>own 404</p>");
    assert.equal(await seen("/media/missing"), "404 <p>own 404</p>");
    assert.equal(await seen("/api"), '404 {"found":false}');
    const { headers } = await ask({ socket }, "/nothing");
    assert.deepEqual([header(headers, "x-own"), header(headers, "content-type")], ["1", "text/html; charset=utf-8"]);
    await running.stop();
  });

  test("are those of pages=, also while the application cannot be loaded", async () => {
    const cwd = site({ "app.ts": "syntax error", "pages/503.html": "<p>own 503</p>" });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["threads=1", "pages=pages"], { cwd });
    const { status, text, headers } = await ask({ socket });
    assert.deepEqual([status, text, header(headers, "retry-after")], [503, "<p>own 503</p>", "5"]);
    await running.stop();
  });
});

describe(`maintenance (${runtime})`, () => {
  test("goes from down to up, while the server goes on", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["threads=1"], { cwd });
    assert.equal((await ask({ socket })).status, 200);
    assert.deepEqual((await run(["down", "app.ts", "retry=600"], { cwd })).code, 0);
    await until("the site is down", async () => (await ask({ socket })).status === 503);
    const plain = await ask({ socket }, "/a");
    assert.equal(header(plain.headers, "retry-after"), "600");
    assert.match(plain.text, /down for maintenance/);
    writeFileSync(join(cwd, "maintenance.html"), "<p>own maintenance</p>");
    const own = await ask({ socket });
    assert.deepEqual([own.text, header(own.headers, "retry-after")], ["<p>own maintenance</p>", "600"]);
    assert.equal((await ask({ socket }, "/ping")).text, "pong\n");
    const up = await run(["up", "app.ts"], { cwd });
    assert.match(up.stderr, /is up again/);
    await until("the site is up", async () => (await ask({ socket })).text === "the site");
    assert.match((await run(["up", "app.ts"], { cwd })).stderr, /was not down/);
    // From elsewhere, by what its server is called, and where it listens.
    assert.equal((await run(["down", basename(cwd)])).code, 0);
    await until("the site is down again", async () => (await ask({ socket })).status === 503);
    assert.equal((await run(["up", `socket=${socket}`])).code, 0);
    await until("the site is up again", async () => (await ask({ socket })).status === 200);
    const nobody = await run(["down", `pidfile=${join(cwd, "none.pid")}`]);
    assert.equal(nobody.code, 2);
    assert.match(nobody.stderr, /no server that runs has the pidfile "/);
    assert.match((await run(["status", `socket=${socket}`])).stdout, /^running, process /);
    writeFileSync(join(cwd, "other"), "kept");
    symlinkSync(join(cwd, "other"), join(cwd, ".htmaintenance"));
    await run(["down", "app.ts"], { cwd });
    assert.equal(readFileSync(join(cwd, "other"), "utf8"), "kept");
    await running.stop();
  });
});
