import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { Service } from "../support/processes.ts";
import { isRunning, program, until, whole } from "../support/program.ts";

const { name: runtime } = program();
const fast = runtime === "bun" || runtime === "binary";

/** Answers with its process, at once or when it may. */
const app = `
import { appendFileSync, existsSync } from "node:fs";
import process from "node:process";
import { threadId } from "node:worker_threads";
const kept = [];
export default async (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/slow") {
    appendFileSync("begun", ".");
    while (!existsSync("go")) await new Promise((done) => setTimeout(done, 5));
  }
  if (pathname === "/leak") kept.push(new Uint8Array(16 << 20).fill(1));
  return new Response(process.pid + "." + threadId);
};
`;

/** Asks one by one, since Deno accepts all that waits before it tells of the first, until so many are under way. */
async function busy<T>(service: Service, count: number, ask: () => Promise<T>): Promise<Promise<T>[]> {
  const asked: Promise<T>[] = [];
  for (let i = 1; i <= count; i++) {
    asked.push(ask());
    await until(`${i} are under way`, () => service.read("begun")?.length === i);
  }
  return asked;
}

describe(`a pool of processes (${runtime})`, () => {
  test("grows to maxchildren, lets further requests wait and serves them, and shrinks to maxspare", async () => {
    const words = ["method=prefork", "minspare=1", "maxspare=2", "maxchildren=4", "watch=false"];
    await using service = await Service.start({ "app.ts": app }, words);
    assert.equal((await service.ask()).status, 200);
    const answers: string[] = [];
    const ask = async () => answers.push((await service.ask("/slow")).text);
    const asked = await busy(service, 4, ask);
    for (let i = 0; i < 8; i++) asked.push(ask());
    assert.equal(service.workers().length, 4);
    // Two more looks at the pool, which then has the wish for a fifth.
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(service.workers().length, 4);
    assert.equal(answers.length, 0);
    service.write("go", "");
    await Promise.all(asked);
    assert.equal(answers.length, 12);
    assert.equal(new Set(answers).size, 4, answers.join(" "));
    await until("two are left", () => service.workers().length === 2);
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(service.workers().length, 2);
  });

  test("a process takes one request at a time, and more where concurrency says so", async () => {
    await using service = await Service.start(
      { "app.ts": app },
      ["method=prefork", "minspare=1", "maxspare=9", "maxchildren=3", "concurrency=2", "status=/status", "watch=false"],
    );
    const asked = await busy(service, 5, () => service.ask("/slow"));
    // The page takes the last place. What workers report can be a moment old.
    await until("all places are taken", async () => {
      const { workers } = await service.status();
      return workers.map(({ counts }) => counts.inFlight).join(" ") === "2 2 2";
    });
    service.write("go", "");
    await Promise.all(asked);
  });

  test("a process has as many threads as threads says, and takes a request for each", async () => {
    const words = ["method=prefork", "minspare=1", "maxchildren=1", "threads=2", "status=/status", "watch=false"];
    await using service = await Service.start({ "app.ts": app }, words);
    const { workers } = await service.status();
    assert.deepEqual([workers.length, new Set(workers.map(({ pid }) => pid)).size], [2, 1]);
    const asked = await busy(service, 2, () => service.ask("/slow"));
    service.write("go", "");
    await Promise.all(asked);
  });

  test("TTIN and TTOU change how many are kept ready", async () => {
    const words = ["method=prefork", "minspare=1", "maxspare=1", "maxchildren=4", "watch=false", "status=/status"];
    await using service = await Service.start({ "app.ts": app }, words);
    service.running.kill("SIGTTIN");
    await service.logged(/Keeps 2 idle workers ready/);
    await until("there are two", () => service.workers().length === 2);
    await until("the page shows them", async () => (await service.status()).workers.length === 2);
    service.running.kill("SIGTTOU");
    await service.logged(/Keeps 1 idle workers? ready/);
    await until("there is one", () => service.workers().length === 1);
    assert.equal((await service.status()).deaths, 0);
  });

  test("requests pass from worker to worker when each may serve but one", async () => {
    await using service = await Service.start(
      { "app.ts": app },
      ["method=prefork", "minspare=2", "maxchildren=4", "maxrequests=1", "watch=false", "status=/status"],
    );
    // As many as fit into some seconds, and a few on a machine that is busy: what counts is a process each.
    const deadline = Date.now() + (fast && whole ? 30_000 : 8000);
    const served = new Set<string>();
    let count = 0;
    for (; count < 5 || count < 500 && Date.now() < deadline; count++) {
      const { status, text } = await service.ask();
      assert.equal(status, 200);
      served.add(text);
    }
    assert.equal(served.size, count);
    // Workers tell what they have counted a moment after the answer; each question counts as well, for the next.
    let asked = 0;
    await until("all are counted", async () => {
      const { total, deaths } = await service.status();
      assert.equal(deaths, 0);
      assert.ok(total.requests <= count + asked++, `${total.requests} of ${count}`);
      return total.requests >= count;
    });
  });
});

describe(`threads (${runtime})`, () => {
  test("take as many requests as concurrency says, and leave more to the others", async () => {
    await using service = await Service.start({ "app.ts": app }, ["threads=4", "concurrency=1", "watch=false"]);
    const asked = await busy(service, 4, () => service.ask("/slow"));
    service.write("go", "");
    const answers = (await Promise.all(asked)).map(({ text }) => text);
    assert.equal(new Set(answers).size, 4, answers.join(" "));
  });

  test("are as many as maxchildren at most", async () => {
    await using service = await Service.start({ "app.ts": app }, ["maxchildren=1", "watch=false"]);
    assert.match(service.log, / with 1 process\n/);
  });

  test("are changed for others when each may serve but some requests, and the status page knows of all", async () => {
    const words = ["threads=2", "maxrequests=10", "watch=false", "status=/status"];
    await using service = await Service.start({ "app.ts": app }, words);
    const served = new Map<string, number>();
    for (let i = 0; i < 60; i++) {
      const { text } = await service.ask();
      served.set(text, (served.get(text) ?? 0) + 1);
    }
    assert.ok(served.size >= 6, [...served].join(" "));
    assert.ok([...served.values()].every((count) => count <= (runtime === "deno" ? 12 : 10)), [...served].join(" "));
    assert.equal(new Set([...served.keys()].map((text) => text.split(".")[0])).size, 1);
    await until("the page shows two threads", async () => (await service.status()).workers.length === 2);
    await until("all are counted", async () => (await service.status()).total.requests >= 61);
    assert.equal((await service.status()).deaths, 0);
  });

  test("become more and fewer by TTIN and TTOU, also for the processes that come after", async () => {
    await using service = await Service.start({ "app.ts": app }, ["threads=1", "watch=false", "status=/status"]);
    const threads = async () => (await service.status()).workers.filter(({ state }) => state !== "draining").length;
    assert.equal(await threads(), 1);
    for (const count of [2, 3]) {
      service.running.kill("SIGTTIN");
      await until(`there are ${count}`, async () => await threads() === count);
    }
    service.running.kill("SIGTTOU");
    await until("there are two", async () => await threads() === 2);
    const { workers } = await service.status();
    process.kill(workers.find(({ state }) => state !== "draining")!.pid, "SIGKILL");
    await until("there are two in another process", async () => await threads() === 2 && (await service.status()).deaths === 1);
  });
});

describe(`a worker's life (${runtime})`, () => {
  for (const method of [["method=prefork", "minspare=1", "maxchildren=2"], ["threads=2"]]) {
    test(`ends without a lost request when it takes too much memory, ${method[0]}`, async () => {
      const limit = { bun: 200, binary: 200, deno: 250, node: 300 }[runtime];
      const words = [...method, `maxmemory=${limit}`, "watch=false", "status=/status"];
      await using service = await Service.start({ "app.ts": app }, words);
      const pids = new Set<string>();
      await until("two processes have answered", async () => {
        const { status, text } = await service.ask(pids.size < 2 ? "/leak" : "/");
        assert.equal(status, 200);
        pids.add(text.split(".")[0]);
        return pids.size >= 2;
      });
      assert.match(service.log, new RegExp(`Worker \\d+ is replaced: it takes \\d+ MiB, more than ${limit}`));
      assert.equal((await service.status()).deaths, 0);
    });
  }

  test("ends when it is old", async () => {
    await using service = await Service.start({ "app.ts": app }, ["threads=2", "maxage=1", "watch=false", "status=/status"]);
    const [first] = service.workers();
    await until("another has taken its place", async () => {
      assert.equal((await service.ask()).status, 200);
      return !isRunning(first);
    });
    assert.match(service.log, /Worker \d+ is replaced: it is older than 1 s/);
    assert.equal((await service.status()).deaths, 0);
  });
});

describe(`the status page (${runtime})`, () => {
  for (const method of [["method=prefork", "minspare=2", "maxchildren=4"], ["threads=2"]]) {
    test(`sums over all workers, also those that were replaced, ${method[0]}`, async () => {
      await using service = await Service.start({ "app.ts": app }, [...method, "watch=false", "status=/status", "ping=/ping"]);
      let asked = 31;
      const status = () => service.status().finally(() => asked++);
      // Workers tell of themselves a moment later.
      const counted = () =>
        until("all are counted", async () => {
          const before = asked;
          const { total } = await status();
          return total.requests === before && total.inFlight === 0;
        });
      assert.deepEqual(await service.ask("/ping"), { status: 200, text: "pong\n" });
      for (let i = 0; i < 30; i++) await service.ask();
      await counted();
      service.running.kill("SIGHUP");
      await service.logged(/Reloaded/);
      for (let i = 0; i < 9; i++) await service.ask();
      asked += 9;
      await until("all that drained have ended", async () => {
        const { workers, reloads } = await status();
        // A tick during a question may have added a process to a pool.
        return reloads === 1 && workers.length >= 2 && workers.every(({ state }) => state !== "draining");
      });
      await counted();
      const { total, workers } = await status();
      const now = workers.reduce((sum, { counts }) => sum + counts.requests, 0);
      assert.ok(now < total.requests);
      assert.equal(total.statuses["2"], total.requests);
      assert.deepEqual(total.protocols, { fcgi: total.requests });
      assert.match((await service.ask("/status")).text, /^application: .*app\.ts$/m);
    });
  }
});
