/** What visitors get while no worker can start, or none answers, and what reload and restart tell then. */
import assert from "node:assert/strict";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, killInTheEnd, run, site } from "../support/cli.ts";
import { Crowd, Service } from "../support/processes.ts";
import { program, until, whole } from "../support/program.ts";

const { name: runtime } = program();
const timeout = 300_000;
/** Seconds in which the application is loaded where much else is going on. */
const limit = runtime === "binary" ? 4 : 14;
cleanUp();

const app = `
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
if (existsSync("exits")) process.exit(3);
if (existsSync("loops")) for (;;);
export default (request) => {
  const { pathname } = new URL(request.url);
  if (pathname.startsWith("/loop")) writeFileSync("begun" + pathname.slice(1), "");
  if (pathname.startsWith("/loop")) for (;;);
  return new Response("served");
};
`;

const longer = { skip: !whole && "it takes longer; --whole tests it" };

for (const words of [["threads=2"], ["method=prefork", "minspare=2"]]) {
  describe(`workers that end while they start, ${words[0]} (${runtime})`, words.length > 1 ? longer : {}, () => {
    test("visitors get a page, and the site as soon as a worker can start", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "watch=false", "status=/status", "ping=/ping"]);
      assert.equal((await service.ask()).text, "served");
      writeFileSync(join(service.folder, "exits"), "");
      for (const pid of service.workers()) process.kill(pid, "SIGKILL");
      const { status, text } = await service.ask();
      assert.deepEqual([status, /cannot be loaded/.test(text)], [503, true], text);
      await service.logged(/Cannot load .*app\.ts: Error: Worker \d+ .*exited with status 3\n/);
      assert.equal((await service.ask("/ping")).status, 503);
      assert.ok((await service.status()).total.statuses[5] >= 1);
      const begun = service.log.match(/Cannot load/g)!.length;
      service.running.kill("SIGHUP");
      await until("it is tried again", () => service.log.match(/exited with status 3$/gm)!.length > begun);
      assert.equal((await service.ask()).status, 503);
      rmSync(join(service.folder, "exits"));
      service.running.kill("SIGHUP");
      await service.logged(/Reloaded: all workers run the new code/);
      await using crowd = new Crowd(service.address);
      await crowd.allGoOn();
      await crowd.end();
      assert.deepEqual(crowd.failures, []);
      assert.equal((await service.ask("/ping")).text, "pong\n");
    });
  });
}

describe(`a first start (${runtime})`, longer, () => {
  test("whose workers end: visitors get a page until it is mended", { timeout }, async () => {
    await using service = await Service.start({ "app.ts": app, exits: "" }, ["app.ts", "threads=1"], { early: true });
    await until("the socket is there", () => service.bound);
    assert.equal((await service.ask()).status, 503);
    rmSync(join(service.folder, "exits"));
    service.write("app.ts", `${app}// mended\n`);
    await until("the site is served", async () => (await service.ask()).text === "served");
  });
});

describe(`new code that is never loaded (${runtime})`, () => {
  test("reload and restart say so after loadtimeout, and the old code serves", { timeout }, async () => {
    const cwd = site({ "app.ts": app });
    const at = { socket: join(cwd, "s.sock") };
    const pidfile = join(cwd, "s.pid");
    const words = ["app.ts", `socket=${at.socket}`, `pidfile=${pidfile}`, "threads=1", "watch=false", `loadtimeout=${limit}`];
    assert.equal((await run(words, { cwd })).code, 0);
    killInTheEnd(pidfile);
    writeFileSync(join(cwd, "loops"), "");
    const outcomes = await Promise.all(["reload", "restart"].map((word) => run([word, `pidfile=${pidfile}`], { cwd })));
    for (const { code, stderr } of outcomes) {
      assert.equal(code, 1, stderr);
      assert.match(stderr, /has not loaded the application within \d+ s/);
    }
    assert.equal((await ask(at)).text, "served");
    rmSync(join(cwd, "loops"));
    assert.equal((await run(["restart", `pidfile=${pidfile}`], { cwd })).code, 0);
    assert.equal((await ask(at)).text, "served");
    assert.equal((await run(["stop", `pidfile=${pidfile}`], { cwd })).code, 0);
    await until("nothing is left", () => !existsSync(at.socket));
  });
});

describe(`workers that all loop (${runtime})`, longer, () => {
  test("the status is answered, and visitors get a page", { timeout }, async () => {
    await using service = await Service.start({ "app.ts": app }, [
      "method=prefork",
      "minspare=2",
      "maxchildren=2",
      "status=/status",
    ]);
    const looping: Promise<unknown>[] = [];
    // One after the other, since what a worker has accepted waits for that worker.
    for (const name of ["loop-one", "loop-two"]) {
      looping.push(service.ask(`/${name}`).catch(() => {}));
      await until("it loops", () => existsSync(join(service.folder, `begun${name}`)));
    }
    const { workers } = await service.status();
    assert.ok(workers.some(({ underWay }) => underWay.some(({ url }) => url.startsWith("/loop"))), JSON.stringify(workers));
    assert.equal((await service.ask()).status, 503);
    for (const pid of service.workers()) process.kill(pid, "SIGKILL");
    await Promise.all(looping);
    await until("the site is served", async () => (await service.ask()).text === "served");
  });
});
