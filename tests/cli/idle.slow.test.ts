/** Sites that nobody visits: no worker runs, or nothing at all where systemd holds the socket, and no request is lost. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runningServers } from "../../src/supervisor/servers.ts";
import { ask, cleanUp, launch, site } from "../support/cli.ts";
import { children, Service } from "../support/processes.ts";
import { type Endpoint, freePort, isRunning, program, type Running, until, whole } from "../support/program.ts";

const { name: runtime, command } = program();
/** How often visitors cross with the exit. */
const ROUNDS = whole ? 200 : 2;
cleanUp();

const answering = (answer = "hello") => `export default () => new Response("${answer}");\n`;

/** Seconds without a visitor. */
const IDLE = 0.2;
const asleep = /no worker runs until the next one/g;
const sleeps = (text: string) => text.match(asleep)?.length ?? 0;

/** Visitors who come about when the site goes to sleep, a little before and a little after. */
async function cross(running: Running, where: Endpoint, isAsleep: () => boolean, rounds = ROUNDS): Promise<void> {
  const failures: string[] = [];
  const visit = async (when: string) => {
    const { status, text } = await ask(where).catch((error) => ({ status: 0, text: String(error) }));
    if (status !== 200 || text !== "hello") failures.push(`${when}: ${status} ${text}`);
  };
  for (let round = 0; round < rounds; round++) {
    // In steps of a few milliseconds around the moment, of which workers tell after 20 ms to a second.
    for (let i = 0; i < 3; i++) {
      await visit(`round ${round}, ${i}`);
      await delay(IDLE * 1000 - 20 + 10 * ((3 * round + i) % 7));
    }
    const slept = sleeps(running.stderr());
    await visit(`round ${round}, awake`);
    // One that was just going to sleep has answered, and says nothing more.
    await until("it goes to sleep", () => sleeps(running.stderr()) > slept || isAsleep());
    await Promise.all(Array.from({ length: 1 + round % 3 }, () => visit(`round ${round}, asleep`)));
  }
  assert.deepEqual(failures, []);
}

describe(`a site that nobody visits (${runtime})`, () => {
  for (const words of [["threads=1"], ["threads=2"], ["method=prefork", "minspare=0", "maxchildren=2"]]) {
    test(`has no worker, and whoever comes gets one, with ${words.join(" ")}`, async () => {
      await using service = await Service.start({ "app.ts": answering() }, [...words, `idleexit=${IDLE}`, "status=/status"]);
      for (let i = 0; i < 2; i++) {
        await until("no worker is left", () => service.workers().length === 0);
        assert.deepEqual(await service.ask(), { status: 200, text: "hello" });
      }
      assert.equal((await service.status()).deaths, 0);
    });
  }

  test("is noticed over TCP, too", async () => {
    const cwd = site({ "app.ts": answering() });
    const port = await freePort();
    const running = launch([...command, "app.ts", `port=${port}`, "threads=1", `idleexit=${IDLE}`], { cwd });
    await until("it sleeps", () => sleeps(running.stderr()) === 1);
    assert.equal((await ask({ port })).text, "hello");
    await running.stop();
  });

  test("loses no request that comes when it goes to sleep", async () => {
    await using service = await Service.start({ "app.ts": answering() }, ["threads=1", `idleexit=${IDLE}`]);
    await cross(service.running, { socket: service.socket }, () => service.workers().length === 0);
    assert.doesNotMatch(service.log, /exited|killed|could not/);
  });

  test("takes over new code when somebody comes, reloads and stops", async () => {
    await using service = await Service.start({ "app.ts": answering() }, ["threads=1", `idleexit=${IDLE}`]);
    await service.logged(asleep);
    // Until then, it may answer with the old code.
    await until("no worker is left", () => service.workers().length === 0);
    service.write("app.ts", answering("changed"));
    assert.equal((await service.ask()).text, "changed");
    await service.logged(asleep, 2);
    await until("no worker is left", () => service.workers().length === 0);
    const app = join(service.folder, "app.ts");
    assert.ok(runningServers().some((server) => server.app === app && server.pid === service.supervisor), "ls finds it");
    service.running.kill("SIGHUP");
    await service.logged(/Reloaded: the next worker runs the new code/);
    service.running.kill();
    assert.deepEqual(await service.running.exit, { code: 0, signal: null });
    assert.equal(service.bound, false);
  });

  test("stays awake as long as a request takes", async () => {
    const slow = `import { existsSync, writeFileSync } from "node:fs";
export default async () => {
  writeFileSync("begun", "");
  while (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response("finished");
};
`;
    await using service = await Service.start({ "app.ts": slow }, ["threads=1", "idleexit=0.1"]);
    const answer = service.ask();
    await until("it is under way", () => service.read("begun") !== undefined);
    // It may have slept before.
    const slept = sleeps(service.log);
    // A worker tells of itself every second.
    await delay(1500);
    assert.equal(sleeps(service.log), slept);
    service.write("go", "");
    assert.equal((await answer).text, "finished");
    await service.logged(asleep, slept + 1);
  });
});

test(`a check fails as long as the application cannot be loaded (${runtime})`, async () => {
  await using service = await Service.start({ "app.ts": "throw new Error('broken');\n" }, ["threads=1", "ping=/ping"]);
  const { status, text } = await service.ask("/ping");
  assert.deepEqual([status, text], [503, "the application cannot be loaded\n"]);
  service.write("app.ts", answering());
  await until("it is loaded", async () => (await service.ask("/")).status === 200);
  await until("the check is content", async () => (await service.ask("/ping")).text === "pong\n");
});

/** Holds a socket as systemd does: starts a command when somebody connects, with the socket on descriptor 3. */
const holder = `
import select, signal, socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(100)
child = None
def stop(*_):
    if child: child.terminate(); child.wait()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("listening", flush=True)
script = 'exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
while True:
    select.select([listener], [], [])
    child = subprocess.Popen(["sh", "-c", script, "sh"] + sys.argv[2:], stdin=listener)
    print("ended", child.wait(), flush=True)
    child = None
`;
const lacking = spawnSync("python3", ["--version"]).status !== 0 && process.env.CI !== "true" && "python3 is not installed";

describe(`where systemd holds the socket (${runtime})`, { skip: lacking }, () => {
  test("nothing runs that nobody visits, and no request is lost", async () => {
    const cwd = site({ "app.ts": answering() });
    const socket = join(cwd, "s.sock");
    writeFileSync(join(cwd, "holder.py"), holder);
    const running = launch(["python3", "holder.py", socket, ...command, "app.ts", `idleexit=${IDLE}`], { cwd });
    await until("it listens", () => running.stdout().includes("listening"));
    await cross(running, { socket }, () => children(running.pid).length === 0, whole ? ROUNDS : 2);
    const ended = () => running.stdout().match(/^ended .*$/gm) ?? [];
    await until("nothing runs", () => ended().length > 0 && children(running.pid).length === 0);
    assert.deepEqual([...new Set(ended())], ["ended 0"]);
    assert.ok(isRunning(running.pid));
    await running.stop();
  });
});
