import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { Peer, soon } from "../support/peer.ts";
import { Crowd, isZombie, Service } from "../support/processes.ts";
import { isRunning, killed, program, until } from "../support/program.ts";

const { name: runtime } = program();
const kills = 50;
/** Milliseconds for these: Node and Deno take seconds to start where much else is going on. */
const timeout = 300_000;

/** Says who it is, and does what it is asked to do wrong. */
const app = `
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { threadId } from "node:worker_threads";
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
if (existsSync("bad")) throw new Error("it is bad");
if (existsSync("hold") && threadId % 2 === 0) await wait(60_000);
if (existsSync("short")) setTimeout(() => { throw new Error("it is short"); }, 50);
export default async (request) => {
  switch (new URL(request.url).pathname) {
    case "/slow":
      writeFileSync("begun", "");
      while (!existsSync("go")) await wait(5);
      return new Response("finished");
    case "/loop":
      writeFileSync("looping", "");
      for (;;);
    case "/exit":
      process.exit(7);
      break;
    case "/throw":
      setTimeout(() => { throw new Error("a late error"); });
      return new Promise(() => {});
    case "/reject":
      Promise.reject(new Error("a late rejection"));
      return new Promise(() => {});
  }
  return new Response(process.pid + "." + threadId);
};
`;

const methods: Record<string, string[]> = {
  threaded: ["threads=2"],
  prefork: ["method=prefork", "minspare=2", "maxchildren=4"],
};

for (const [method, words] of Object.entries(methods)) {
  describe(`deaths, ${method} (${runtime})`, () => {
    test(`${kills} killed workers take nothing with them but their own requests`, { timeout }, async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "watch=false", "status=/status"]);
      await using crowd = new Crowd(service.address);
      await crowd.allGoOn();
      for (let i = 0; i < kills; i++) {
        const [failed, repeated] = [crowd.failures.length, crowd.repeated.length];
        const pid = await until("somebody who serves is killed", () => {
          const serves = (pid: number) => isRunning(pid) && crowd.last.some((text) => text.startsWith(`${pid}.`));
          const serving = service.workers().filter(serves);
          const one = serving[Math.floor(Math.random() * serving.length)];
          return one !== undefined && killed(one) && one;
        });
        await until("it is gone", () => !isRunning(pid));
        // What is sent from now on waits for another worker at most.
        crowd.era++;
        await crowd.allGoOn();
        const failures = crowd.failures.slice(failed);
        const few = failures.length <= 16 && failures.every(({ era }) => era === i);
        assert.ok(few, `${JSON.stringify(failures.slice(0, 20))}\n${service.log.slice(-3000)}`);
        const others = crowd.repeated.slice(repeated).filter((text) => !text.startsWith(`${pid}.`));
        assert.deepEqual(others, [], `of ${pid}`);
      }
      await crowd.end();
      // The supervisor hears of the last one a moment later.
      await until("all deaths are counted", async () => (await service.status()).deaths === kills);
      // The connection broke off, or was never accepted: nobody got a wrong answer.
      assert.deepEqual(crowd.failures.filter(({ reason }) => !/closed before|ECONNRESET|EPIPE/.test(reason)), []);
      await until("nothing has ended that nobody asks after", () => !service.processes().some(isZombie));
    });

    for (const what of ["exit", "throw", "reject"]) {
      test(`a handler that ends its worker by ${what} takes nobody's but its own requests along`, async () => {
        await using service = await Service.start({ "app.ts": app }, [...words, "watch=false"]);
        // Two connections that different workers have accepted.
        const peers: Peer[] = [];
        const who = async (peer: Peer) => (await peer.answer((peer.get("/", { keep: true }), 1))).text;
        const first = await Peer.connect(service.address);
        peers.push(first);
        const one = await who(first);
        let other: Peer | undefined;
        while (other === undefined) {
          const peer = await Peer.connect(service.address);
          peers.push(peer);
          if (await who(peer) !== one) other = peer;
        }
        first.get("/slow");
        await until("a request is under way", () => service.read("begun") !== undefined);
        other.get(`/${what}`);
        await soon("the end of a connection whose worker is dead", other.gone());
        assert.equal((await service.ask("/")).status, 200);
        service.write("go", "");
        assert.equal((await first.answer()).text, "finished");
        if (what !== "exit") await service.logged(/a late (?:error|rejection)/);
        const name = method === "threaded" ? "Thread" : "Worker";
        const how = what === "exit" ? "exited with status 7" : method === "threaded" ? "ended" : "exited with status 1";
        await service.logged(new RegExp(`${name} \\d+ ${how}[^]*; under way: .*GET /${what} for \\d`));
        for (const peer of peers) peer.destroy();
      });
    }

    test("a worker that is killed is told with the signal and what it was at", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "watch=false"]);
      const asked = service.ask("/loop").catch(() => "lost");
      await until("it is under way", () => service.read("looping") !== undefined);
      for (const pid of service.workers()) killed(pid);
      await service.logged(/Worker \d+ was killed by SIGKILL; under way: GET \/loop for \d+\.\d s/);
      assert.equal(await asked, "lost");
    });

    if (method === "threaded") {
      test("visitors of a process whose threads do not all serve yet get no page that says that none does", async () => {
        await using service = await Service.start({ "app.ts": app }, [...words, "watch=false"]);
        service.write("hold", "");
        for (let i = 0; i < 15; i++) {
          for (const pid of service.workers()) killed(pid);
          const { status, text } = await service.ask("/");
          assert.equal(status, 200, `visit ${i}: ${text}\n${service.log}`);
        }
      });
    }

    for (const killed of ["launcher", "supervisor"] as const) {
      test(`nothing is left when the ${killed} is killed, be it in an endless loop`, async () => {
        await using service = await Service.start({ "app.ts": app }, words);
        const asked = ["/slow", "/loop"].map((path) => service.ask(path).catch(() => {}));
        await until("a worker is in a loop", () => service.read("looping") !== undefined);
        assert.ok(service.processes().length >= (runtime === "node" ? 4 : 3));
        process.kill(killed === "launcher" ? service.running.pid : service.supervisor, "SIGKILL");
        await service.gone();
        await Promise.all(asked);
      });
    }
  });
}

const isReady = ({ state }: { state: string }) => state === "idle" || state === "busy";

describe(`workers that cannot start (${runtime})`, () => {
  for (const file of ["bad", "short"]) {
    test(`are started more and more slowly, and others go on: ${file}`, async () => {
      await using service = await Service.start({ "app.ts": app }, [
        "method=prefork",
        "minspare=2",
        // While the status is asked for, a third would be started.
        "maxchildren=2",
        "watch=false",
        "status=/status",
      ]);
      await until("two are ready", async () => (await service.status()).workers.filter(isReady).length === 2);
      const [healthy, killed] = service.workers();
      service.write(file, "");
      process.kill(killed, "SIGKILL");
      await service.logged(/The next one is started in 2 s/);
      assert.match(service.log, file === "bad" ? /could not start: Cannot load .*app\.ts: Error: it is bad/ : /it is short/);
      const tries = service.log.match(/Worker \d+ (?:could not start|ended|exited)/g)?.length ?? 0;
      assert.ok(tries >= 3 && tries <= 6, service.log);
      assert.equal((await service.ask("/")).status, 200);
      assert.ok(isRunning(healthy));
      service.write("app.ts", `export default () => new Response("fixed");\n`);
      await until("a worker has the new code", async () => (await service.ask("/")).text === "fixed");
    });
  }

  test("threads, too", async () => {
    await using service = await Service.start({ "app.ts": app }, ["threads=2", "watch=false"]);
    service.write("bad", "");
    const [worker] = service.workers();
    await service.ask("/exit").catch(() => {});
    await service.logged(/Thread \d+ could not start: .*it is bad/, 3);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.ok(service.log.match(/Thread \d+ (?:could not start|ended|exited)/g)!.length <= 7, service.log);
    assert.equal((await service.ask("/")).text.split(".")[0], `${worker}`);
  });
});
