/** Servers by name: ls, status, reload, stop and logs. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, hello, killInTheEnd, launch, run, serving, site } from "../support/cli.ts";
import { isRunning, program, until } from "../support/program.ts";
import { listText } from "../../src/cli/commands/ls.ts";
import { runningServers } from "../../src/supervisor/servers.ts";

const { name: runtime, command } = program();
cleanUp();

describe(`servers by name (${runtime})`, { skip: process.platform !== "linux" && "needs /proc" }, () => {
  test("ls lists them, and status, reload, logs and stop take their names", async () => {
    const name = `shop-${process.pid}`;
    const cwd = site({ "app.ts": hello });
    const [socket, pidfile, errlog] = ["s.sock", `${name}.pid`, "error.log"].map((file) => join(cwd, file));
    const { code, stderr } = await run(["app.ts", `socket=${socket}`, `pidfile=${pidfile}`, `errlog=${errlog}`, "threads=1"], {
      cwd,
    });
    assert.equal(code, 0, stderr);
    const pid = killInTheEnd(pidfile);
    const front = join(cwd, "front.sock");
    const foreground = await serving({ socket: front }, ["app.ts", "threads=1"], { cwd });
    await ask({ socket }, "/a");

    const listed = await run(["ls"]);
    const row = (pattern: string) => assert.match(listed.stdout, new RegExp(`^${pattern}$`, "m"));
    row("name +state +process +requests +memory +application +uptime +workers +version");
    row(`${name} +running +${pid} +1 +[\\d.]+ MiB +${join(cwd, "app.ts")} +\\d+ s +1 +\\d+\\.\\d+\\.\\d+`);
    const { stdout } = await run(["ls", "--json"]);
    const all: { name: string; pid: number; app: string; logs: object; requests?: number }[] = JSON.parse(stdout);
    const mine = all.find((server) => server.name === name)!;
    assert.deepEqual([mine.pid, mine.requests, mine.logs], [pid, 1, { errlog }]);
    const inFront = all.filter((server) => server.app === join(cwd, "app.ts") && server.name !== name);
    const folder = basename(cwd);
    assert.deepEqual(inFront.map((server) => server.name), [folder]);
    // Other tests may have servers in folders of this name.
    const many = all.filter((server) => server.name === folder).length > 1;
    if (!many) {
      assert.equal((await run(["status", folder])).code, 0);
      assert.match((await run(["reload", folder])).stderr, /asked process \d+ to load new code; its log says whether it did/);
      await until("it has", () => foreground.stderr().includes("Reloaded"));
      assert.match((await run(["stop", folder])).stderr, /stopped process \d+/);
      assert.deepEqual(await foreground.exit, { code: 0, signal: null });
    }
    await foreground.stop();

    process.kill(pid, "SIGSTOP");
    try {
      assert.match((await run(["ls"])).stdout, new RegExp(`^${name} +no answer +${pid} `, "m"));
    } finally {
      process.kill(pid, "SIGCONT");
    }

    assert.match((await run(["status", name])).stdout, new RegExp(`^running, process ${pid}\n`));
    const reloaded = await run(["reload", name]);
    assert.deepEqual([reloaded.code, reloaded.stderr], [0, `runfcgi: process ${pid} has taken over the new code\n`]);

    const near = await run(["status", `${name}x`]);
    assert.deepEqual([near.code, near.stderr], [2, `runfcgi: no server is called "${name}x", did you mean "${name}"?\n`]);
    const none = await run(["logs", name, "log=accesslog"]);
    assert.deepEqual([none.code, none.stderr], [1, `runfcgi: ${name} has no accesslog: start it with accesslog=PATH\n`]);

    writeFileSync(errlog, Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join(""));
    assert.equal((await run(["logs", name, "lines=2"])).stdout, "line 28\nline 29\n");
    const following = launch([...command, "logs", "-f", name, "lines=1"]);
    await until("it shows the last line", () => following.stdout() === "line 29\n");
    appendFileSync(errlog, "added\n");
    await until("it shows what is added", () => following.stdout() === "line 29\nadded\n");
    renameSync(errlog, `${errlog}.1`);
    appendFileSync(`${errlog}.1`, "late\n");
    writeFileSync(errlog, "new\n", { flag: "a" });
    await until(
      "it goes on with the new file",
      () => following.stdout().includes("late\n") && following.stdout().includes("new\n"),
    );
    await following.stop();

    assert.match((await run(["status", String(pid)])).stdout, new RegExp(`^running, process ${pid}\n`));

    assert.equal((await run(["stop", name])).code, 0);
    assert.equal(isRunning(pid), false);
    assert.deepEqual(
      JSON.parse((await run(["ls", "--json"])).stdout).filter((server: { name: string }) => server.name === name),
      [],
    );
  });

  test("each command takes each way of naming a server", async () => {
    const cwd = site({ "app.ts": hello });
    const name = `named-${process.pid}`;
    const [pidfile, socket, errlog] = [`${name}.pid`, "s.sock", "error.log"].map((file) => join(cwd, file));
    // A folder of this name is no file to serve.
    mkdirSync(join(cwd, name));
    let pid = 0;
    for (const way of ["name", "number", "pidfile", "socket", "application"] as const) {
      const { code, stderr } = await run(["app.ts", `socket=${socket}`, `pidfile=${pidfile}`, `errlog=${errlog}`, "threads=1"], {
        cwd,
      });
      assert.equal(code, 0, stderr);
      pid = killInTheEnd(pidfile);
      const words = { name, number: `${pid}`, pidfile: `pidfile=${pidfile}`, socket: "socket=s.sock", application: "app.ts" };
      const expected: [command: string, said: RegExp][] = [
        ["status", new RegExp(`^running, process ${pid}\n`)],
        ["reload", new RegExp(`^runfcgi: process ${pid} has taken over the new code\n$`)],
        ["logs", /Reloaded: all workers run the new code\n$/],
        ["down", new RegExp(`^runfcgi: "${cwd}" is down for maintenance`)],
        ["up", new RegExp(`^runfcgi: "${cwd}" is up again\n$`)],
        ["stop", new RegExp(`^runfcgi: stopped process ${pid}\n$`)],
      ];
      for (const [command, said] of expected) {
        // What is written counts for more than the environment.
        const env = { RUNFCGI_PIDFILE: join(cwd, "other.pid"), RUNFCGI_SOCKET: join(cwd, "other.sock") };
        const { code, stdout, stderr } = await run([command, words[way]], { cwd, env });
        assert.equal(code, 0, `${command} by ${way}: ${stderr}`);
        assert.match(stdout + stderr, said, `${command} by ${way}`);
      }
      assert.equal(isRunning(pid), false, way);
    }
  });

  test("a server is not taken for another one that only a part of the words names", async () => {
    const cwd = site({ "app.ts": hello });
    const [one, two] = ["one", "two"].map((name) => ({ name: `${name}-${process.pid}`, socket: join(cwd, `${name}.sock`) }));
    const pids: number[] = [];
    for (const { name, socket } of [one, two]) {
      const pidfile = join(cwd, `${name}.pid`);
      const { code, stderr } = await run(["app.ts", `socket=${socket}`, `pidfile=${pidfile}`, "threads=1"], { cwd });
      assert.equal(code, 0, stderr);
      pids.push(killInTheEnd(pidfile));
    }
    const refused = async (words: string[], reason: string) => {
      for (const command of ["status", "reload", "stop", "logs", "down"]) {
        const { code, stderr } = await run([command, ...words], { cwd });
        assert.deepEqual([code, stderr], [2, `runfcgi: ${reason.replace("COMMAND", command)}\n`]);
      }
    };
    await refused(
      [one.name, `pidfile=${two.name}.pid`],
      `no server that runs has the name "${one.name}" and the pidfile ` +
        `"${two.name}.pid": ls lists them`,
    );
    await refused(
      [one.name, `socket=${two.socket}`],
      `no server that runs has the name "${one.name}" and the socket ` +
        `"${two.socket}": ls lists them`,
    );
    const both = [one, two].map(({ name }, i) => `${name} (process ${pids[i]})`).join(", ");
    for (const command of ["status", "reload", "stop", "logs"]) {
      const { code, stderr } = await run([command, "app.ts"], { cwd });
      assert.deepEqual([code, stderr.startsWith(`runfcgi: ${command} which server? There are ${both}: give`)], [2, true], stderr);
    }
    assert.ok(pids.every(isRunning));
  });
});

test("servers are known by what was handed over to them, and nothing else is", () => {
  const proc = site({});
  const process = (pid: number, handover: unknown, parent = 1) => {
    mkdirSync(join(proc, String(pid)));
    const text = typeof handover === "string" ? handover : JSON.stringify(handover);
    writeFileSync(join(proc, `${pid}/environ`), `PATH=/bin\0RUNFCGI_HANDOVER=${text}\0`);
    writeFileSync(join(proc, `${pid}/status`), `Name:\tx\nPPid:\t${parent}\n`);
  };
  process(20, {
    role: "supervisor",
    app: "/srv/b.ts",
    options: { pidfile: "/run/b.pid", errlog: "/log/b", pages: "/p" },
    bound: { address: { path: "b.sock" } },
    cwd: "/srv",
  });
  process(21, { role: "worker", app: "/srv/b.ts", options: { pidfile: "/run/b.pid" } }, 20);
  process(31, { role: "worker", options: { exec: "gunicorn site" } }, 30);
  process(32, { role: "worker", options: { exec: "gunicorn site" } }, 30);
  process(40, "no JSON");
  process(41, { role: "check", app: "/srv/c.ts" });
  process(42, "null");
  mkdirSync(join(proc, "50"));
  mkdirSync(join(proc, "self"));
  const nowhere = { socket: undefined, pages: undefined };
  const none = { outlog: undefined, accesslog: undefined, slowlog: undefined };
  assert.deepEqual(runningServers(proc), [
    {
      name: "b",
      pid: 20,
      pidfile: "/run/b.pid",
      app: "/srv/b.ts",
      socket: "/srv/b.sock",
      pages: "/p",
      logs: { errlog: "/log/b", ...none },
    },
    {
      name: "gunicorn site",
      pid: 30,
      pidfile: undefined,
      app: "gunicorn site",
      ...nowhere,
      logs: { errlog: undefined, ...none },
    },
  ]);
  assert.deepEqual(runningServers(join(proc, "nowhere")), []);
});

test("a narrow terminal gets fewer columns", () => {
  const server = {
    name: "shop",
    pid: 7,
    pidfile: "/run/shop.pid",
    app: "/srv/shop/app.ts",
    logs: {},
    version: "0.1.0",
    uptime: 9,
  };
  const titles = (width: number) =>
    listText([{ ...server, workers: 2, requests: 3, memory: 2 ** 21 }], width).split("\n")[0].split(/ +/);
  assert.equal(titles(160).length, 9);
  assert.deepEqual(titles(80).slice(-2), ["uptime", "workers"]);
  assert.deepEqual(titles(60).slice(-2), ["memory", "application"]);
  assert.deepEqual(titles(10), ["name", "state", "process", "requests"]);
});
