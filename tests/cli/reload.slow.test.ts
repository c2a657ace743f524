import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { Crowd, Service } from "../support/processes.ts";
import { program, until, whole } from "../support/program.ts";

const { name: runtime } = program();
const methods: Record<string, string[]> = {
  threaded: ["threads=2"],
  prefork: ["method=prefork", "minspare=2", "maxchildren=8"],
};
const reloads = whole ? 20 : 8;
/** Milliseconds for these: Node and Deno take seconds to start where much else is going on. */
const timeout = 300_000;
const RELOADED = /Reloaded: all workers run the new code/;
const FAILED = /Cannot load the new code, still serving the old: /;

const version = (text: string | number) => `export default () => new Response("${text}");\n`;

for (const [method, words] of Object.entries(methods)) {
  describe(`reload, ${method} (${runtime})`, () => {
    test(`no request fails while ${reloads} signals bring new code`, { timeout }, async () => {
      await using service = await Service.start({ "app.ts": version(0) }, [...words, "watch=false"]);
      await using crowd = new Crowd(service.address);
      await crowd.got("0");
      for (let i = 1; i <= reloads; i++) {
        service.write("app.ts", version(i));
        service.running.kill("SIGHUP");
        await crowd.got(`${i}`);
        await service.logged(RELOADED, i);
      }
      await crowd.end();
      assert.deepEqual(crowd.failures, []);
      assert.equal(crowd.answers.size, reloads + 1);
      assert.ok(crowd.answered > 16 * reloads, `${crowd.answered}`);
      assert.equal((await service.ask()).text, `${reloads}`);
    });

    test(`no request fails while the application is rewritten ${reloads} times`, { timeout }, async () => {
      await using service = await Service.start({ "app.ts": version(0) }, words);
      await using crowd = new Crowd(service.address);
      await crowd.got("0");
      for (let i = 1; i <= reloads; i++) {
        service.write("app.ts", version(i));
        await crowd.got(`${i}`);
        await service.logged(RELOADED, i);
      }
      await crowd.end();
      assert.deepEqual(crowd.failures, []);
      assert.equal(crowd.answers.size, reloads + 1);
    });
  });
}

describe(`new code (${runtime})`, () => {
  test("finds a process that has started while its files were still being written", async () => {
    await using service = await Service.start({ "app.ts": version("old") }, ["threads=1"]);
    assert.equal(service.workers().length, 1);
    // Without its end it is waited for, a second from each change on.
    let pieces = 0;
    await until("another process runs", () => {
      writeFileSync(join(service.folder, "app.ts"), `export default // ${pieces++ % 2}`);
      return service.workers().length > 1;
    });
    service.write("app.ts", version("new"));
    await until("the new code serves", async () => (await service.ask()).text === "new");
  });

  test("that is broken is not loaded until it is fixed", async () => {
    await using service = await Service.start({ "app.ts": version("old") }, ["threads=2"]);
    assert.equal((await service.ask()).text, "old");
    service.write("app.ts", "export default syntax error;\n");
    await service.logged(new RegExp(`${FAILED.source}.*app\\.ts`));
    for (let i = 0; i < 8; i++) assert.equal((await service.ask()).text, "old");
    service.write("app.ts", version("fixed"));
    await service.logged(RELOADED);
    for (let i = 0; i < 8; i++) assert.equal((await service.ask()).text, "fixed");
  });

  test("is what answers all that is asked once the log says so, however busy the old worker is", async () => {
    const busy = (text: number) =>
      `export default () => {
        for (const end = performance.now() + 30; performance.now() < end;);
        return new Response("${text}");
      };\n`;
    await using service = await Service.start({ "app.ts": busy(0) }, ["threads=1", "watch=false"]);
    await using _crowd = new Crowd(service.address, 8, 0);
    for (let i = 1; i <= 5; i++) {
      service.write("app.ts", busy(i));
      service.running.kill("SIGHUP");
      await service.logged(RELOADED, i);
      const answers = await Promise.all(Array.from({ length: 8 }, () => service.ask()));
      assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set([`${i}`]));
    }
  });

  test("is left alone with watch=false, until a signal comes", async () => {
    await using watching = await Service.start({ "app.ts": version("old") }, ["threads=1"]);
    await using service = await Service.start({ "app.ts": version("old") }, ["threads=1", "watch=false"]);
    service.write("app.ts", version("new"));
    // In the meantime it would have noticed, too.
    for (let i = 1; i <= 2; i++) {
      watching.write("app.ts", version(i));
      await watching.logged(RELOADED, i);
    }
    assert.equal((await service.ask()).text, "old");
    service.running.kill("SIGHUP");
    await service.logged(RELOADED);
    assert.equal((await service.ask()).text, "new");
    assert.doesNotMatch(service.log, /Files have changed/);
  });

  test("is noticed in a module that the application imports, also in one that the new code brought", async () => {
    const app = (module: string) => `import { text } from "./${module}";\nexport default () => new Response(text);\n`;
    const words = (text: string) => `export const text = "${text}";\n`;
    await using service = await Service.start({ "app.ts": app("a.ts"), "a.ts": words("a") }, ["method=prefork", "minspare=1"]);
    assert.equal((await service.ask()).text, "a");
    service.write("a.ts", words("a2"));
    await service.logged(RELOADED);
    assert.equal((await service.ask()).text, "a2");
    service.write("b.ts", "export const text = no text;\n");
    service.write("app.ts", app("b.ts"));
    await service.logged(FAILED);
    assert.equal((await service.ask()).text, "a2");
    service.write("b.ts", words("b"));
    await service.logged(RELOADED, 2);
    assert.equal((await service.ask()).text, "b");
    service.write("b.ts", words("b2"));
    await service.logged(RELOADED, 3);
    assert.equal((await service.ask()).text, "b2");
  });

  test("is taken although the worker that it replaces is killed meanwhile, and the next is, too", async () => {
    const slow = (text: string) => `await new Promise((done) => setTimeout(done, 300));\n${version(text)}`;
    await using service = await Service.start({ "app.ts": slow("old") }, ["method=prefork", "minspare=1", "watch=false"]);
    for (const text of ["1", "2"]) {
      const [old] = service.workers();
      service.write("app.ts", slow(text));
      service.running.kill("SIGHUP");
      await until("another is started", () => service.workers().length > 1);
      process.kill(old, "SIGKILL");
      await service.logged(RELOADED, Number(text));
      assert.equal((await service.ask()).text, text);
    }
  });

  test("is what answers in the end when it comes while other code is being loaded", async () => {
    const slow = (text: string) => `await new Promise((done) => setTimeout(done, 200));\n${version(text)}`;
    await using service = await Service.start({ "app.ts": slow("0") }, [...methods.prefork, "watch=false"]);
    for (let i = 1; i <= 5; i++) {
      service.write("app.ts", i < 5 ? `throw new Error("broken");\n` : slow("5"));
      service.running.kill("SIGHUP");
      // Each comes at another moment of what the one before began.
      await new Promise((resolve) => setTimeout(resolve, 60 * i));
    }
    await service.logged(RELOADED);
    for (let i = 0; i < 8; i++) assert.equal((await service.ask()).text, "5");
  });
});
