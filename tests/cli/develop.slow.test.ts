/** A day of a developer: a preview, an editor, and a terminal. */
import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, launch, serving, site } from "../support/cli.ts";
import { program, type Running, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

/** An application that says a word, and fails where it is asked to. */
const app = (word: string) =>
  `import { part } from "./part.ts";
export default async (request: Request): Promise<Response> => {
  if (!request.url.endsWith("/fail")) return new Response("${word} " + part);
  await request.text();
  throw new Error("thrown for a test");
};
`;
const part = (word: string) => `export const part: string = "${word}";\n`;

async function preview(files: Record<string, string>, words: string[] = []) {
  const cwd = site(files);
  const running = launch([...command, "preview=0", ...words], { cwd });
  const url = await until("the address is printed", () => /open (http:\S+)/.exec(running.stderr())?.[1]);
  const save = (name: string, text: string) => writeFileSync(join(cwd, name), text);
  return { cwd, running, save, get: (path = "/", init?: RequestInit) => fetched(new URL(path, url), init) };
}

async function fetched(url: URL, init?: RequestInit) {
  const response = await fetch(url, init);
  return { status: response.status, text: await response.text() };
}

async function stopped(running: Running): Promise<void> {
  running.kill();
  assert.deepEqual(await running.exit, { code: 0, signal: null }, running.stderr());
}

describe(`a preview (${runtime})`, () => {
  test("answers the first request after a change by the new code, and shows what is wrong with it", async () => {
    const { cwd, running, save, get } = await preview({ "app.ts": app("app"), "part.ts": part("0") });
    assert.deepEqual(await get(), { status: 200, text: "app 0" });
    for (const word of ["1", "2", "3"]) {
      save("part.ts", part(word));
      assert.deepEqual(await get(), { status: 200, text: `app ${word}` });
    }
    // As many editors save.
    save("next.ts", app("renamed"));
    renameSync(join(cwd, "next.ts"), join(cwd, "app.ts"));
    assert.deepEqual(await get(), { status: 200, text: "renamed 3" });

    save("part.ts", "export const part = ;\n");
    const broken = await get();
    assert.equal(broken.status, 503);
    assert.match(broken.text, /part\.ts, line 1<\/h2>/);
    rmSync(join(cwd, "part.ts"));
    assert.equal((await get()).status, 503);
    save("part.ts", part("4"));
    assert.deepEqual(await get(), { status: 200, text: "renamed 4" });
    await stopped(running);
  });

  test("shows errors with the body of the request, and each request in a line", async () => {
    const { running, get } = await preview({ "app.ts": app("app"), "part.ts": part("0") });
    const form = await get("/fail", { method: "POST", body: new URLSearchParams({ name: "<Ann>", password: "s3cret" }) });
    assert.equal(form.status, 500);
    assert.match(form.text, /thrown for a test/);
    assert.match(form.text, /<th scope="row">name<\/th><td>&#60;Ann&#62;<\/td>/);
    assert.doesNotMatch(form.text, /s3cret/);
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: '{"a":[1],"token":"s3cret"}' };
    const json = await get("/fail", init);
    assert.match(json.text, /&#34;a&#34;: \[\n {4}1\n/);
    assert.doesNotMatch(json.text, /s3cret/);
    const long = await get("/fail", { method: "POST", body: "x".repeat(100_000) });
    assert.match(long.text, /The first 16384 of 100000 bytes\./);
    assert.match((await get("/fail", { method: "POST", body: new Uint8Array(9) })).text, /<p>9 bytes of an unknown type\.<\/p>/);
    await get("/a%20b?c=1");
    await until("the lines are there", () => /^GET \/a%20b\?c=1 200 \d+(?:\.\d)? m?s$/m.test(running.stderr()));
    assert.match(running.stderr(), /^POST \/fail 500 \d+(?:\.\d)? m?s$/m);
    await stopped(running);
  });

  test("takes an application that is made later, and its changes", async () => {
    const { running, save, get } = await preview({ "part.ts": part("0") });
    assert.match((await get()).text, /It works\./);
    save("app.ts", app("made"));
    assert.deepEqual(await get(), { status: 200, text: "made 0" });
    save("app.ts", app("changed"));
    assert.deepEqual(await get(), { status: 200, text: "changed 0" });
    await stopped(running);
  });

  test("takes what deno.json says, made and changed later", async () => {
    const files = { "one.ts": part("one"), "two.ts": part("two"), "app.ts": app("app"), "part.ts": part("0") };
    const { running, save, get } = await preview(files);
    assert.deepEqual(await get(), { status: 200, text: "app 0" });
    save("app.ts", app("app").replace("./part.ts", "part"));
    for (const word of ["one", "two"]) {
      save("deno.json", `{ "imports": { "part": "./${word}.ts" } }\n`);
      assert.deepEqual(await get(), { status: 200, text: `app ${word}` });
    }
    await stopped(running);
  });

  test("beside an endpoint that others reach shows no errors unless it is asked to", async () => {
    const { running, get } = await preview({ "app.ts": app("app"), "part.ts": part("0") }, ["socket=s"]);
    const { status, text } = await get("/fail", { method: "POST", body: "text" });
    assert.equal(status, 500);
    assert.doesNotMatch(text, /thrown for a test/);
    await stopped(running);
  });
});

test(`a server loads changes that nobody asks for, and keeps the old code while new code is broken (${runtime})`, async () => {
  const cwd = site({ "app.ts": app("app"), "part.ts": part("0") });
  const socket = join(cwd, "s");
  const running = await serving({ socket }, ["app.ts", "threads=2"], { cwd });
  const save = (text: string) => writeFileSync(join(cwd, "part.ts"), text);
  const logged = (what: string) => running.stderr().split(what).length - 1;
  // From the first change on, a process waits for the next.
  for (const [round, word] of ["1", "2"].entries()) {
    save("export const part = ;\n");
    await until("the error is logged", () => logged("Cannot load the new code, still serving the old") > round);
    assert.equal((await ask({ socket })).text, `app ${round}`);
    save(part(word));
    await until("the new code is there", () => logged("all workers run the new code") > round);
    assert.equal((await ask({ socket })).text, `app ${word}`);
  }
  // A module that is made after what imports it.
  writeFileSync(join(cwd, "app.ts"), app("app").replace("./part.ts", "./lib/later.ts"));
  await until("the error is logged", () => logged("Cannot load the new code, still serving the old") > 2);
  mkdirSync(join(cwd, "lib"));
  writeFileSync(join(cwd, "lib/later.ts"), part("later"));
  await until("the new code is there", async () => (await ask({ socket })).text === "app later");
  writeFileSync(join(cwd, "app.ts"), app("app"));
  await until("the new code is there", async () => (await ask({ socket })).text === "app 2");
  // The last of many counts, whatever was being loaded meanwhile.
  for (let i = 3; i < 20; i++) {
    const before = logged("Files have changed");
    save(part(String(i)));
    if (i % 4 === 0) await until("a reload begins", () => logged("Files have changed") > before);
  }
  await until("the last is there", async () => (await ask({ socket })).text === "app 19");
  await stopped(running);
});
