import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import { Service } from "../support/processes.ts";
import { isRunning, program, until, whole } from "../support/program.ts";

const { name: runtime } = program();

const app = `
import { execSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
writeFileSync("loaded", "");
while (existsSync("stuck")) await wait(20);
export default async (request) => {
  switch (new URL(request.url).pathname) {
    case "/slow":
      writeFileSync("begun", "");
      while (!existsSync("go")) await wait(5);
      return new Response("finished");
    case "/late":
      request.signal.addEventListener("abort", () => writeFileSync("aborted", String(request.signal.reason.message)));
      return new Promise(() => {});
    case "/loop":
      writeFileSync("looping", "");
      for (;;);
    case "/program":
      execSync("touch waiting; while [ ! -e go ]; do sleep 0.05; done");
  }
  return new Response("hello");
};
`;

/** Whether a process listens on a TCP port. */
function listensOnPort(pid: number): boolean {
  const rows = readFileSync("/proc/net/tcp", "latin1").split("\n").map((row) => row.trim().split(/ +/));
  const listening = new Set(rows.filter(([, , , state]) => state === "0A").map((row) => `socket:[${row[9]}]`));
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return listening.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      // It was just closed.
      return false;
    }
  });
}

const methods: Record<string, string[]> = {
  threaded: ["threads=2"],
  prefork: ["method=prefork", "minspare=2", "maxchildren=4"],
};

test("USR1 leaves no debugger open, which every user of the machine could connect to", {
  skip: runtime !== "deno" && "Deno opens one",
}, async () => {
  await using service = await Service.start({ "app.ts": app }, ["threads=1", "watch=false"]);
  const asked = service.ask("/slow");
  await until("it is under way", () => service.read("begun") !== undefined);
  // Deno listens to it half a second after its start.
  for (const pid of service.workers()) {
    const { length } = service.log;
    await until("Deno has opened one", () => {
      process.kill(pid, "SIGUSR1");
      return service.log.slice(length).includes("inspect");
    });
  }
  service.running.kill("SIGUSR1");
  await until("the socket is gone", () => !service.bound);
  await until("none is open", () => [service.supervisor, ...service.workers()].every((pid) => !listensOnPort(pid)));
  service.write("go", "");
  assert.equal((await asked).text, "finished");
  assert.deepEqual(await service.running.exit, { code: 0, signal: null });
});

for (const [method, words] of Object.entries(methods)) {
  describe(`signals, ${method} (${runtime})`, () => {
    test("TERM lets requests under way finish, and those that wait in the kernel", async () => {
      await using service = await Service.start({ "app.ts": app }, words);
      const asked = Array.from({ length: 6 }, () => service.ask("/slow"));
      await until("one is under way", () => service.read("begun") !== undefined);
      service.processes();
      service.running.kill("SIGTERM");
      await until("the socket is gone", () => service.ask().then(() => false, () => true));
      service.write("go", "");
      for (const answer of asked) assert.equal((await answer).text, "finished");
      assert.deepEqual(await service.running.exit, { code: 0, signal: null });
      await service.gone();
    });

    test("QUIT lets requests under way finish, too", async () => {
      await using service = await Service.start({ "app.ts": app }, words);
      const asked = service.ask("/slow");
      await until("it is under way", () => service.read("begun") !== undefined);
      service.running.kill("SIGQUIT");
      await until("the socket is gone", () => !service.bound);
      service.write("go", "");
      assert.equal((await asked).text, "finished");
      assert.deepEqual(await service.running.exit, { code: 0, signal: null });
    });

    test("a second TERM ends all at once", async () => {
      await using service = await Service.start({ "app.ts": app }, words);
      const asked = service.ask("/slow").catch(() => "lost");
      await until("one is under way", () => service.read("begun") !== undefined);
      service.processes();
      service.running.kill("SIGTERM");
      await until("the socket is gone", () => service.ask().then(() => false, () => true));
      // One that comes at once is taken for the first, which systemd tells all processes.
      let over = false;
      service.running.exit.then(() => over = true);
      await until("a later one ends it", () => {
        if (!over) service.running.kill("SIGTERM");
        return over;
      });
      assert.deepEqual(await service.running.exit, { code: 1, signal: null });
      assert.equal(await asked, "lost");
      await service.gone();
    });

    test("TERM counts also from the first moment on", async () => {
      for (let i = 0; i < 3; i++) {
        await using service = await Service.start({ "app.ts": app }, words, { early: true });
        await until("the socket is there", () => service.bound);
        service.running.kill("SIGTERM");
        assert.deepEqual(await service.running.exit, { code: 0, signal: null });
        assert.equal(service.bound, false);
      }
    });

    test("TERM does not wait for an application that is still being loaded", async () => {
      await using service = await Service.start({ "app.ts": app, stuck: "" }, words, { early: true });
      await until("the application is being loaded", () => service.read("loaded") !== undefined);
      service.processes();
      service.running.kill("SIGTERM");
      assert.deepEqual(await service.running.exit, { code: 0, signal: null });
      await service.gone();
    });

    test("TERM ends what never finishes after the grace", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "grace=0.5"]);
      const asked = ["/slow", "/loop"].map((path) => service.ask(path).then(({ status }) => status, () => "lost"));
      await until("one is in a loop", () => service.read("looping") !== undefined);
      service.processes();
      service.running.kill("SIGTERM");
      let over = false;
      service.running.exit.then(() => over = true);
      await until("it has ended, sooner than after 30 s", () => over, 25);
      assert.deepEqual(await service.running.exit, { code: 0, signal: null });
      const [slow, loop] = await Promise.all(asked);
      // Both may have come to the same thread.
      assert.ok(slow === 503 || slow === "lost", String(slow));
      assert.equal(loop, "lost");
      // The process of a thread and its supervisor end it in the same moment.
      assert.match(
        service.log,
        /(?:Worker \d+ was killed by SIGKILL|Thread \d+ exited with status 1) while it finished its requests; under way: .*\/loop for \d/,
      );
      await service.gone();
    });

    test("TERM to a worker lets it finish, and another takes its place", async () => {
      await using service = await Service.start({ "app.ts": app }, words);
      const asked = service.ask("/slow");
      await until("it is under way", () => service.read("begun") !== undefined);
      const workers = service.workers();
      for (const pid of workers) process.kill(pid, "SIGTERM");
      service.write("go", "");
      assert.equal((await asked).text, "finished");
      await until("they have ended", () => !workers.some(isRunning));
      assert.equal((await service.ask()).text, "hello");
    });

    test("TERM to a worker ends what never finishes after the grace", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "grace=0.5"]);
      const asked = service.ask("/slow");
      await until("it is under way", () => service.read("begun") !== undefined);
      const workers = service.workers();
      for (const pid of workers) process.kill(pid, "SIGTERM");
      await until("they have ended, sooner than after 30 s", () => !workers.some(isRunning), 25);
      assert.equal((await asked).status, 503);
      assert.match(service.log, /GET \/slow: .*Cut after \d\.\d s: the server is shutting down/);
      assert.equal((await service.ask()).text, "hello");
    });

    test("what all processes get is the supervisor's to decide", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "watch=false"]);
      const tellAll = (signal: string) => process.kill(-service.supervisor, signal);
      const asked = service.ask("/slow");
      await until("it is under way", () => service.read("begun") !== undefined);
      for (const signal of ["SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGHUP"]) tellAll(signal);
      await service.logged(/Reloaded: all workers run the new code/);
      tellAll("SIGINT");
      await until("the socket is gone", () => !service.bound);
      service.write("go", "");
      assert.equal((await asked).text, "finished");
      assert.deepEqual(await service.running.exit, { code: 0, signal: null });
    });
  });

  describe(`timeout, ${method} (${runtime})`, () => {
    test("a request that takes too long is answered with 504, and told so", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "timeout=1"]);
      const { status, text } = await service.ask("/late");
      assert.equal(status, 504);
      assert.match(text, /The site took too long to answer/);
      await until("the handler is told", () => service.read("aborted") !== undefined);
      assert.equal(service.read("aborted"), "The application took longer than 1 s");
      await service.logged(/GET \/late: .*The application took longer than 1 s/);
      assert.equal((await service.ask()).text, "hello");
    });

    test("a handler in an endless loop is ended, and others are served", async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "timeout=1", "watch=false"]);
      const looping = service.ask("/loop").then(() => "answered", () => "lost");
      await until("it loops", () => service.read("looping") !== undefined);
      assert.equal(await looping, "lost");
      const name = method === "threaded" ? "Thread" : "Worker";
      await service.logged(new RegExp(`${name} \\d+ has shown no sign of life for \\d+ s; under way: GET /loop for \\d`));
      for (let i = 0; i < 4; i++) assert.equal((await service.ask()).text, "hello");
    });

    test("a handler that waits for a program is ended, too, and its process where that takes it", {
      skip: !whole && "it takes longer; --whole tests it",
    }, async () => {
      await using service = await Service.start({ "app.ts": app }, [...words, "timeout=1", "watch=false"]);
      const [worker] = service.workers();
      const waiting = service.ask("/program").then(() => "answered", () => "lost");
      await until("it waits", () => service.read("waiting") !== undefined);
      assert.equal(await waiting, "lost");
      service.write("go", "");
      await until("it is gone", () => method === "prefork" || !isRunning(worker));
      await service.logged(/has shown no sign of life for \d+ s; under way: GET \/program for \d/);
      assert.doesNotMatch(service.log, /while it finished its requests/);
      for (let i = 0; i < 4; i++) assert.equal((await service.ask()).text, "hello");
    });
  });
}
