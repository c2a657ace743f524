/** systemd: sockets from it, what it is told, and the units. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { manySites, systemdUnits } from "../../src/config/systemd.ts";
import { descriptorOf } from "../../src/runtime/descriptor.ts";
import { ask, cleanUp, launch, serving, site, tryRead } from "../support/cli.ts";
import { type Endpoint, program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

const app = `import process from "node:process";
export default () => new Response(JSON.stringify([process.env.LISTEN_PID, process.env.LISTEN_FDS]));
`;

describe(`a socket from systemd (${runtime})`, () => {
  /** Passes the listening socket on its standard input as systemd does, to the process that it becomes. */
  const activate = ["sh", "-c", 'exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"', "sh"];

  for (const transport of ["unix", "tcp"]) {
    for (const words of [["threads=1"], ["method=prefork", "minspare=2"]]) {
      test(`over ${transport} is served with ${words.join(" ")}, and left where it is`, async () => {
        const cwd = site({ "app.ts": app });
        const socket = join(cwd, "s.sock");
        const listener = createServer();
        await new Promise<void>((resolve) =>
          transport === "unix" ? listener.listen(`${socket}.new`, resolve) : listener.listen(0, "127.0.0.1", resolve)
        );
        const address = listener.address();
        const endpoint: Endpoint = typeof address === "string" ? { socket } : { port: address!.port };
        // Closing it here removes the file that was bound.
        if (transport === "unix") renameSync(`${socket}.new`, socket);
        const fd = descriptorOf(
          listener,
          "socket" in endpoint
            ? { transport: "unix", path: `${socket}.new` }
            : { transport: "tcp", hostname: "127.0.0.1", port: endpoint.port },
        );
        const running = launch([...activate, ...command, "app.ts", ...words], { cwd, stdin: fd });
        listener.close();
        await until("it serves", () => running.stderr().includes("serving"));
        // JavaScript turns what is not there into null: the application sees nothing of it.
        assert.equal((await ask(endpoint)).text, "[null,null]");
        running.kill();
        assert.deepEqual(await running.exit, { code: 0, signal: null });
        if (transport === "unix") assert.ok(existsSync(socket));
      });
    }
  }

  test("of several is the first, and the log says so", async () => {
    const cwd = site({ "app.ts": app });
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as { port: number };
    const fd = descriptorOf(listener, { transport: "tcp", hostname: "127.0.0.1", port });
    const two = ["sh", "-c", 'exec 3<&0 4<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@"', "sh"];
    const env = { LISTEN_FDNAMES: "web:admin" };
    const running = launch([...two, ...command, "app.ts", "threads=1"], { cwd, stdin: fd, env });
    listener.close();
    await until("it serves", () => running.stderr().includes("serving"));
    assert.match(running.stderr(), /^runfcgi: systemd hands over 2 sockets \(web, admin\), and only the first is served: /m);
    assert.equal((await ask({ port })).text, "[null,null]");
    await running.stop();
  });

  const activator = "/usr/bin/systemd-socket-activate";
  test("by its own program", { skip: !existsSync(activator) && `${activator} is not installed` }, async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const running = launch([activator, "-l", socket, "-E", `PATH=${process.env.PATH}`, ...command, "app.ts", "threads=1"], {
      cwd,
    });
    // The socket is there a moment before it listens.
    const { text } = await until("it answers", () => ask({ socket }).catch(() => undefined));
    assert.equal(text, "[null,null]");
    await running.stop();
  });
});

describe(`what systemd is told (${runtime})`, () => {
  test("that the server is ready, reloads and stops", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    writeFileSync(join(cwd, "systemd-notify"), `#!/bin/sh\necho "$@" >>'${cwd}/told'\n`);
    chmodSync(join(cwd, "systemd-notify"), 0o755);
    const env = { NOTIFY_SOCKET: "/run/systemd/notify", PATH: `${cwd}:${process.env.PATH}` };
    const running = await serving({ socket }, ["threads=1"], { cwd, env });
    const told = () => tryRead(join(cwd, "told"))?.trimEnd().split("\n") ?? [];
    await until("it is ready", () => told().length === 1);
    const before = clock();
    running.kill("SIGHUP");
    await until("it has reloaded", () => told().length === 3);
    running.kill("SIGTERM");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    const [ready, reloading, again, stopping] = told();
    assert.match(ready, /^READY=1 STATUS=Serving .*app\.ts$/);
    const [, time] = /^RELOADING=1 MONOTONIC_USEC=(\d+)$/.exec(reloading) ?? [];
    assert.ok(Number(time) >= before * 1e6 && Number(time) <= (clock() + 1) * 1e6, `${before} ${time}`);
    assert.deepEqual([again, stopping, told().length], ["READY=1", "STOPPING=1", 4]);
  });

  test("that it lives, as often as the unit wants to hear it", async () => {
    const cwd = site({
      "app.ts": `import process from "node:process";\nexport default () => new Response(process.env.WATCHDOG_USEC);`,
    });
    const socket = join(cwd, "s.sock");
    writeFileSync(join(cwd, "systemd-notify"), `#!/bin/sh\necho "$@" >>'${cwd}/told'\n`);
    chmodSync(join(cwd, "systemd-notify"), 0o755);
    const env = { NOTIFY_SOCKET: "/run/systemd/notify", WATCHDOG_USEC: "200000", PATH: `${cwd}:${process.env.PATH}` };
    const running = await serving({ socket }, ["threads=1"], { cwd, env });
    await until("it is told twice", () => tryRead(join(cwd, "told"))?.match(/^WATCHDOG=1$/mg)?.[1]);
    assert.equal((await ask({ socket })).text, "");
    await running.stop();
  });

  test("or why not", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const env = { NOTIFY_SOCKET: "/run/systemd/notify", PATH: cwd };
    const running = await serving({ socket }, ["threads=1"], { cwd, env });
    await until("the log has it", () => running.stderr().includes("cannot run systemd-notify"));
    await running.stop();
  });

  test("a stop that systemd tells all processes is one, and what is under way is finished", async () => {
    const cwd = site({
      "app.ts": `import { writeFileSync } from "node:fs";
export default async () => {
  writeFileSync("begun", "");
  await new Promise((resolve) => setTimeout(resolve, 500));
  return new Response("finished");
};
`,
    });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["threads=1"], { cwd });
    const answer = ask({ socket });
    await until("it is under way", () => existsSync(join(cwd, "begun")));
    const all = execFileSync("ps", ["-eo", "pid,ppid", "--no-headers"], { encoding: "utf8" }).trim().split("\n")
      .map((row) => row.trim().split(/\s+/).map(Number));
    const below = (
      pid: number,
    ): number[] => [pid, ...all.filter(([, parent]) => parent === pid).flatMap(([child]) => below(child))];
    for (const pid of below(running.pid)) process.kill(pid, "SIGTERM");
    assert.equal((await answer).text, "finished");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
  });
});

/** Seconds since the machine was started, as the kernel counts them. */
function clock(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
}

describe("systemdUnits()", () => {
  const command = ["/bin/echo", "/srv/my site/app.ts", "env=A=100%", "exec=$HOME"];

  test("writes a service and its socket", () => {
    const units = systemdUnits({
      name: "mysite",
      command,
      endpoint: { socket: "/run/mysite.sock" },
      user: "me",
      workdir: "/srv/mysite",
    });
    assert.equal(
      units.service.split("# Files")[0],
      `[Unit]
Description=mysite, an application behind a web server
Requires=mysite.socket
After=network.target mysite.socket

[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/echo "/srv/my site/app.ts" env=A=100%% exec=$$HOME pidfile=/run/mysite/mysite.pid daemonize=false
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec=40
Restart=on-failure
User=me
WorkingDirectory=/srv/mysite
RuntimeDirectory=mysite
`,
    );
    assert.deepEqual(
      units.service.split("\n").filter((line) => /^(?:Protect(?:System|Home)|PrivateTmp|ReadWritePaths)=/.test(line)),
      [
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "ReadWritePaths=-/srv/mysite",
      ],
    );
    assert.match(units.service, /\n\n\[Install\]\nWantedBy=multi-user\.target\n$/);
    assert.equal(
      units.socket,
      `[Unit]
Description=Socket of mysite

[Socket]
ListenStream=/run/mysite.sock
Backlog=511
SocketUser=me
SocketMode=0660

[Install]
WantedBy=sockets.target
`,
    );
    assert.match(
      systemdUnits({ name: "a", command, endpoint: { host: "::1", port: 3033 } }).socket,
      /^ListenStream=\[::1\]:3033$/m,
    );
  });

  test("leaves the service the folders that it uses", () => {
    const units = (program: string, workdir: string) =>
      systemdUnits({
        name: "a",
        command: [program],
        endpoint: { port: 1, host: "::1" },
        workdir,
        writes: ["/var/log/a b", workdir],
      }).service;
    assert.match(
      units("/home/me/a.fcgi", "/srv/a"),
      /^ProtectHome=read-only\nPrivateTmp=yes\nReadWritePaths=-\/srv\/a "-\/var\/log\/a b"$/m,
    );
    assert.match(units("/srv/a.fcgi", "/tmp/a"), /^ProtectHome=yes\nPrivateTmp=no$/m);
  });

  test("of many sites have the name of each", () => {
    const { service, socket } = systemdUnits({ ...manySites("site@", "/srv/100%/"), command: ["/bin/echo", "env=A=100%"] });
    for (
      const line of [
        "Description=site@%i, an application behind a web server",
        "After=network.target site@%i.socket",
        "ExecStart=/bin/echo env=A=100%% pidfile=/run/site/%i/%i.pid daemonize=false",
        "WorkingDirectory=/srv/100%%/%i",
        "RuntimeDirectory=site/%i",
        "ReadWritePaths=-/srv/100%%/%i",
      ]
    ) assert.ok(service.includes(`\n${line}\n`), `${line} in\n${service}`);
    assert.match(socket, /^ListenStream=\/run\/site\/%i\.sock$/m);
  });

  const analyze = "/usr/bin/systemd-analyze";
  test("that systemd understands", { skip: !existsSync(analyze) && `${analyze} is not installed` }, () => {
    const folder = site();
    const mysite = { name: "mysite", workdir: "/srv" };
    for (
      const where of [
        { ...mysite, endpoint: { socket: "/run/mysite.sock", mode: 0o666 } },
        { ...mysite, endpoint: { host: "127.0.0.1", port: 3033 } },
        manySites("mysite@", "/srv"),
      ]
    ) {
      const units = systemdUnits({ ...where, command, user: "root", group: "root" });
      const files = Object.entries(units).map(([kind, text]) => {
        const file = join(folder, `${where.name}${where.name.endsWith("@") ? "a-b" : ""}.${kind}`);
        writeFileSync(file, text);
        return file;
      });
      const { stderr } = spawnSync(analyze, ["verify", "--man=no", ...files], { encoding: "utf8" });
      assert.deepEqual(stderr.split("\n").filter((line) => line.includes("mysite")), []);
    }
  });

  test("that systemd calls well protected", { skip: !existsSync(analyze) && `${analyze} is not installed` }, () => {
    const file = join(site(), "mysite.service");
    writeFileSync(
      file,
      systemdUnits({ name: "mysite", command, endpoint: { socket: "/run/a" }, user: "me", workdir: "/srv" }).service,
    );
    const { stdout } = spawnSync(analyze, ["security", "--offline=true", "--threshold=30", file], { encoding: "utf8" });
    const [, exposure] = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout)!;
    assert.ok(Number(exposure) <= 3, stdout);
  });
});
