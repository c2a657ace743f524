/** Each recipe of the manual's cookbook, as the program serves it. */
import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { frameworks, tools } from "../../scripts/tools.ts";
import { cleanUp, leave, serving, site } from "../support/cli.ts";
import { ask as askHttp } from "../support/http.ts";
import { chapter } from "../support/manual.ts";
import { freePort, program, until, within } from "../support/program.ts";
import { mariadb, missing, postgres } from "../support/databases.ts";

const { name: runtime } = program();
const timeout = 120_000;
cleanUp();

const folder = new URL("./", import.meta.url);
const source = (name: string) => readFileSync(new URL(name, folder), "utf8");

/** Serves a recipe, with other files beside it, and gives what fetches from it. */
async function served(name: string, files: Record<string, string> = {}, env: Record<string, string> = {}, threads = 2) {
  const cwd = site({ [name]: source(name), ...files });
  const port = await freePort();
  const words = [
    name,
    "protocol=http",
    `threads=${threads}`,
    ...Object.entries(env).map(([name, value]) => `env=${name}=${value}`),
  ];
  const running = await serving({ port }, words, { cwd });
  const ask = (path = "/", init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, { redirect: "manual", ...init });
  return { cwd, port, ask, end: () => running.stop() };
}

const post = (body: BodyInit): RequestInit => ({ method: "POST", body });

describe(`the cookbook (${runtime})`, () => {
  test("has a recipe for each file, as it is", () => {
    const files = readdirSync(folder).filter((name) => /\.tsx?$/.test(name) && !name.includes(".test."));
    const shown = [...chapter("cookbook").matchAll(/```tsx?\n\/\/ (\S+)\n([^]*?)```/g)].map(([, name, text]) => {
      assert.equal(text, source(name), "deno task manual writes it");
      return name;
    });
    assert.deepEqual(shown.sort(), files.sort());
  });

  test("has a form", async () => {
    const { ask, end } = await served("form.ts");
    assert.match(await (await ask()).text(), /<form method="post">/);
    const greeted = await ask("/", post(new URLSearchParams({ name: "<b>Jürgen" })));
    assert.match(await greeted.text(), /<p>Hello &#60;b&#62;Jürgen$/);
    const forged = await ask("/", { ...post(new URLSearchParams({ name: "a" })), headers: { "sec-fetch-site": "cross-site" } });
    assert.deepEqual([forged.status, await forged.text()], [403, "Not from there\n"]);
    await end();
  });

  test("has an upload", async () => {
    const { cwd, ask, end } = await served("upload.ts");
    const data = new Uint8Array(300_000).fill(7);
    const put = await ask("/", { method: "PUT", body: data });
    assert.deepEqual([put.status, await put.text()], [201, "300000 bytes\n"]);
    const form = new FormData();
    form.set("photo", new File([data.subarray(0, 1000)], "../../me.jpg"));
    const sent = await ask("/", post(form));
    assert.deepEqual([sent.status, await sent.text()], [201, "1000 bytes\n"]);
    const uploads = () => readdirSync(join(cwd, "uploads")).map((name) => readFileSync(join(cwd, "uploads", name)).length);
    assert.deepEqual(uploads().sort(), [1000, 300_000]);
    const large = await ask("/", { method: "PUT", body: new Uint8Array(10 * 2 ** 20 + 1) });
    assert.deepEqual([large.status, await large.text()], [413, "Too large\n"]);
    assert.equal(uploads().length, 2);
    await end();
  });

  test("has SQLite, which all workers share", async () => {
    const { ask, end } = await served("sqlite.ts");
    for (const text of ["one", "two'); DROP TABLE entries"]) await (await ask("/", post(text))).text();
    assert.deepEqual(await (await ask()).json(), ["two'); DROP TABLE entries", "one"]);
    await end();
  });

  test("has sessions", async () => {
    const { ask, end } = await served("sessions.ts");
    const visit = async (cookie: string) => {
      const response = await ask("/", { headers: { cookie } });
      const [set] = /^[^;]*/.exec(response.headers.get("set-cookie")!)!;
      return { set, text: await response.text() };
    };
    const first = await visit("a=b");
    assert.equal(first.text, "Visit 1\n");
    for (const n of [2, 3, 4]) assert.deepEqual(await visit(`a=b; ${first.set}`), { set: first.set, text: `Visit ${n}\n` });
    const chosen = await visit("session=chosen-by-a-stranger");
    assert.equal(chosen.text, "Visit 1\n");
    assert.notEqual(chosen.set, "session=chosen-by-a-stranger");
    await end();
  });

  test("has mail", async () => {
    const outbox = site({ sendmail: '#!/bin/sh\necho "$@" > "${0%/*}/mail"\ncat >> "${0%/*}/mail"\n' });
    chmodSync(join(outbox, "sendmail"), 0o755);
    const { ask, end } = await served("mail.ts", {}, { SENDMAIL: join(outbox, "sendmail") });
    const form = new URLSearchParams({ subject: "Hello\nBcc: all@example.org", text: "Grüße" });
    assert.equal(await (await ask("/", post(form))).text(), "Sent\n");
    const [head, body] = readFileSync(join(outbox, "mail"), "utf8").split("\n\n");
    assert.match(
      head,
      /^-t -i\nTo: webmaster@example\.org\nSubject: =\?UTF-8\?B\?(\S+)\?=\nMIME-Version: 1\.0\nContent-Type: \S+ \S+$/,
    );
    assert.equal(body, "Grüße\n");
    await end();
  });

  test("has pages of the site's own", async () => {
    const { ask, end } = await served("own-pages.ts", { "404.html": "<p>Not here", "500.html": "<p>Our fault" });
    const seen = async (path: string) => {
      const response = await ask(path);
      return [response.status, await response.text()];
    };
    assert.deepEqual(await seen("/"), [200, "Home\n"]);
    assert.deepEqual(await seen("/none"), [404, "<p>Not here"]);
    assert.deepEqual(await seen("/broken"), [500, "<p>Our fault"]);
    await end();
  });

  test("has JSX", { skip: runtime === "node" && "Node itself compiles no JSX" }, async () => {
    const text = runtime === "deno"
      ? source("jsx.tsx").replace("hono/jsx", `npm:hono@${frameworks.hono}/jsx`)
      : source("jsx.tsx");
    const cwd = site({ "jsx.tsx": text });
    if (runtime !== "deno") symlinkSync(tools().modules, join(cwd, "node_modules"));
    const port = await freePort();
    const running = await serving({ port }, ["jsx.tsx", "protocol=http", "threads=1"], { cwd });
    const page = await (await fetch(`http://127.0.0.1:${port}/?name=<b>`)).text();
    assert.equal(page, '<!doctype html><html lang="en"><title>Hello</title><h1>Hello &lt;b&gt;</h1></html>');
    await running.stop();
  });

  test("has server-sent events, which stop when the visitor leaves", async () => {
    const { ask, end } = await served("events.ts");
    const leaving = new AbortController();
    const response = await ask("/", { signal: leaving.signal });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    await until("there are two events", async () => {
      text += (await reader.read()).value ?? "";
      return text.split("data: ").length > 2;
    });
    assert.match(text, /^retry: 2000\n\ndata: \d{4}-\S+\n\ndata: /);
    leaving.abort();
    await reader.read().catch(() => {});
    await end();
  });

  test("has a chat", async () => {
    const { ask, port, end } = await served("chat.ts", {}, {}, 1);
    assert.match(await (await ask()).text(), /new WebSocket/);
    const visitors = [0, 1].map(() => new WebSocket(`ws://127.0.0.1:${port}/`));
    const opened = visitors.map((visitor) => new Promise((resolve) => visitor.onopen = resolve));
    const heard = visitors.map((visitor) => new Promise((resolve) => visitor.onmessage = ({ data }) => resolve(data)));
    await within("both are open", Promise.all(opened));
    visitors[0].send("Grüße");
    assert.deepEqual(await within("both hear it", Promise.all(heard)), ["Grüße", "Grüße"]);
    const headers = { connection: "upgrade", upgrade: "websocket", origin: "https://example.org" };
    const foreign = await askHttp(port, "/", { headers });
    assert.equal(foreign.status, 403);
    const closed = visitors.map((visitor) => new Promise((resolve) => visitor.onclose = resolve));
    for (const visitor of visitors) visitor.close();
    await within("both are closed", Promise.all(closed));
    await end();
  });

  for (const [name, database] of [["postgres.ts", postgres], ["mysql.ts", mariadb]] as const) {
    const lacks = runtime === "node" || runtime === "deno" ? "Bun has it" : missing(database);
    test(`has ${name}`, { skip: lacks, timeout }, async () => {
      const { url } = leave(await database.start(site(), await freePort()));
      const { ask, end } = await served(name, {}, { DATABASE_URL: url });
      for (const text of ["one", "two'); DROP TABLE entries"]) await (await ask("/", post(text))).text();
      assert.deepEqual(await (await ask()).json(), ["two'); DROP TABLE entries", "one"]);
      await end();
    });
  }
});
