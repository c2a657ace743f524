/** Workers that are replaced, stopped or paused: whose requests wait, whose are cut, and what is told of them. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { descendants, Service, type Status } from "../support/processes.ts";
import { program, until } from "../support/program.ts";

const { name: runtime } = program();
/** Milliseconds for these: Node and Deno take seconds to start where much else is going on. */
const timeout = 300_000;

const app = (version: string) => `
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import process from "node:process";
const id = crypto.randomUUID();
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const gone = async (name) => { while (!existsSync(name)) await wait(5); };
export default async (request, info) => {
  const { pathname, search } = new URL(request.url);
  switch (pathname) {
    case "/slow":
      appendFileSync("begun", search + " ");
      await gone("go");
      return new Response("finished");
    case "/events":
      appendFileSync("begun", "events ");
      return new Response(new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1")) }), {
        headers: { "content-type": "text/event-stream" },
      });
    case "/id":
      return new Response(id);
    case "/mail":
      info.waitUntil(gone("go").then(() => writeFileSync("mailed", "")));
      return new Response("queued");
    case "/send":
      for (const message of [{}, null, 1, [], { type: "state" }, { type: "ready" }, { type: "__proto__" }]) {
        // Found again by those who look for it.
        (process.send ?? (() => {})).call(process, message);
        process._send?.(message);
      }
      return new Response(typeof process.send + " " + typeof process.disconnect);
    case "/busy":
      while (!existsSync("go"));
      return new Response("was busy");
  }
  return new Response("${version}");
};
`;

const methods: Record<string, string[]> = {
  threaded: ["threads=2"],
  "one thread": ["threads=1"],
  prefork: ["method=prefork", "minspare=1", "maxchildren=8"],
};

for (const [method, words] of Object.entries(methods)) {
  describe(`leaving, ${method} (${runtime})`, () => {
    test("a reload cuts no request however long it takes, and ends event streams after the grace", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app("0") }, [...words, "watch=false", "grace=0.2"]);
      const slow = service.ask("/slow");
      const events = service.ask("/events");
      await until("both are under way", () => (service.read("begun")?.match(/ /g)?.length ?? 0) === 2);
      service.write("app.ts", app("1"));
      service.running.kill("SIGHUP");
      await service.logged(/Reloaded: all workers run the new code/);
      assert.equal((await events).text, "data: 1");
      assert.equal((await service.ask()).text, "1");
      service.write("go", "");
      assert.equal((await slow).text, "finished");
      assert.doesNotMatch(service.log, /Cut after/);
    });

    test("of three old generations with requests under way the oldest is ended after the grace", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app("0") }, [...words, "watch=false", "grace=0.2", "status=/status"]);
      const asked: Promise<number>[] = [];
      for (let i = 1; i <= 3; i++) {
        asked.push(service.ask(`/slow?${i}`, { QUERY_STRING: `${i}` }).then(({ status }) => status));
        await until("it is under way", () => service.read("begun")?.includes(`?${i}`));
        service.running.kill("SIGHUP");
        await service.logged(/Reloaded: all workers run the new code/, i);
      }
      assert.equal(await asked[0], 503);
      await service.logged(/GET \/slow\?1: .*Cut after /);
      service.write("go", "");
      assert.deepEqual(await Promise.all(asked), [503, 200, 200]);
      await until("the cut is counted", async () => (await service.status()).total.cuts === 1);
    });

    test("recycling cuts no request", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app("0") }, [...words, "watch=false", "grace=0.2", "maxrequests=4"]);
      const slow = service.ask("/slow");
      await until("it is under way", () => service.read("begun") !== undefined);
      const seen = new Set<string>();
      await until("several have been replaced", async () => seen.add((await service.ask("/id")).text).size > 6);
      service.write("go", "");
      assert.equal((await slow).text, "finished");
    });

    test("a stop waits for work after the response", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app("0") }, [...words, "watch=false"]);
      assert.equal((await service.ask("/mail")).text, "queued");
      service.running.kill("SIGTERM");
      await until("the socket is gone", () => !service.bound);
      service.write("go", "");
      assert.deepEqual(await service.running.exit, { code: 0, signal: null });
      assert.equal(service.read("mailed"), "");
    });

    test("what an application sends to the supervisor harms nobody", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app("0") }, [...words, "watch=false", "status=/status"]);
      const { supervisor } = service;
      assert.equal((await service.ask("/send")).text, "undefined undefined");
      assert.equal((await service.ask()).text, "0");
      service.running.kill("SIGHUP");
      await service.logged(/Reloaded: all workers run the new code/);
      assert.equal(service.supervisor, supervisor);
      assert.equal((await service.status()).deaths, 0);
    });

    test("nobody is taken for deaf after all processes have stood still", { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app("0") }, [...words, "watch=false", "timeout=1", "status=/status"]);
      const all = descendants(service.running.pid);
      for (let i = 0; i < 2; i++) {
        for (const pid of all) process.kill(pid, "SIGSTOP");
        // Longer than the timeout and what is added to it.
        await new Promise((resolve) => setTimeout(resolve, 4500));
        for (const pid of all.reverse()) process.kill(pid, "SIGCONT");
        assert.equal((await service.ask()).text, "0");
        // The next look at the workers has been taken.
        await new Promise((resolve) => setTimeout(resolve, 1500));
      }
      assert.doesNotMatch(service.log, /no sign of life/);
      assert.equal((await service.status()).deaths, 0);
    });

    test("the status tells what is under way, also of a worker that is busy", { timeout }, async () => {
      // Somebody has to be free to answer.
      const more = words[0] === "threads=1" ? ["method=prefork", "minspare=2"] : [];
      await using service = await Service.start({ "app.ts": app("0") }, [...words, ...more, "watch=false", "status=/status"]);
      const busy = service.ask("/busy?x", { QUERY_STRING: "x" });
      const told = await until("it is told", async () => {
        // One that the busy worker has accepted just before waits for it.
        const asked = service.ask("/status?json", { QUERY_STRING: "json" }, AbortSignal.timeout(2000));
        const answer = await asked.catch(() => undefined);
        const { workers } = JSON.parse(answer?.text ?? '{"workers":[]}') as Pick<Status, "workers">;
        return workers.flatMap(({ underWay }) => underWay).find(({ url }) => url === "/busy?x");
      });
      service.write("go", "");
      assert.equal(told.method, "GET");
      assert.ok(Math.abs(Date.now() - told.since) < 60_000);
      assert.equal((await busy).text, "was busy");
    });
  });
}
