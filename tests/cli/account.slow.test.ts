/** Whose the processes, the socket and the files are. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ask, cleanUp, launch, run, serving, site, tryRead } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

const isRoot = process.getuid?.() === 0;
/** A user that has no rights and is everywhere. */
const user = "nobody";
const [uid, gid, home] = readFileSync("/etc/passwd", "utf8").split("\n").map((row) => row.split(":"))
  .filter(([name]) => name === user).map((row) => [Number(row[2]), Number(row[3]), row[5]] as const)[0] ?? [65534, 65534, "/"];
const mod = fileURLToPath(new URL("../../mod.ts", import.meta.url));
const mayRead = isRoot && [mod, command[0]].every((file) => spawnSync("test", ["-r", file], { uid, gid }).status === 0);

const tells = `import process from "node:process";
import { readFileSync } from "node:fs";
const groups = /^Groups:(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1].trim();
const { USER, HOME } = process.env;
export default () => Response.json({ uid: process.getuid!(), gid: process.getgid!(), groups, USER, HOME });
`;

/** A folder that other users can enter and read, but not write. */
function openSite(files: Record<string, string>): string {
  const cwd = site(files);
  chmodSync(join(cwd, ".."), 0o755);
  chmodSync(cwd, 0o755);
  return cwd;
}

describe(`started by root (${runtime})`, { skip: !mayRead && "needs root, and files that others can read" }, () => {
  /** Root with the groups of an administrator. */
  const asRoot = ["setpriv", "--groups=0,4,27"];

  for (const method of ["threaded", "prefork"]) {
    test(`${method} workers run as the user, without root's groups, and the socket is the user's`, async () => {
      const cwd = openSite({ "app.ts": tells });
      const socket = join(cwd, "s.sock");
      const words = ["app.ts", `socket=${socket}`, `user=${user}`, "mode=600", `method=${method}`, "threads=2", "minspare=1"];
      const running = launch([...asRoot, ...command, ...words], { cwd, env: { HOME: "/root", USER: "root" } });
      await until("it serves", () => running.stderr().includes("serving"));
      const told = JSON.parse((await ask({ socket })).text);
      assert.deepEqual({ ...told, groups: "" }, { uid, gid, groups: "", USER: user, HOME: home });
      assert.deepEqual(told.groups.split(" ").filter((group: string) => group !== "" && Number(group) !== gid), []);
      const { uid: owner, gid: group, mode } = statSync(socket);
      assert.deepEqual([owner, group, mode & 0o777], [uid, gid, 0o600]);
      assert.match(readFileSync(`/proc/${running.pid}/status`, "utf8"), /^Uid:\s+0\s/m);
      await running.stop();
    });
  }

  test("an application that the user may not read is told to be that, with what keeps the user from it", async () => {
    const cwd = openSite({ "app.ts": tells, "closed/app.ts": tells, "other.ts": tells });
    chmodSync(join(cwd, "closed"), 0o700);
    chmodSync(join(cwd, "other.ts"), 0o600);
    for (
      const [app, why] of [
        ["closed/app.ts", `may not enter the folder ${JSON.stringify(join(cwd, "closed"))}: chmod o+x ${join(cwd, "closed")}`],
        ["other.ts", `may not read it: chmod o+r ${join(cwd, "other.ts")}`],
      ]
    ) {
      const socket = join(cwd, "s.sock");
      const running = await serving({ socket }, [app, `user=${user}`, "threads=1"], { cwd });
      await until("the reason is told", () => running.stderr().includes(`The user ${user} ${why}`));
      await running.stop();
    }
  });

  test("group alone changes the group, user and group both", async () => {
    const cwd = openSite({ "app.ts": tells });
    const socket = join(cwd, "s.sock");
    const first = await serving({ socket }, ["group=daemon", "mode=660", "threads=1"], { cwd });
    const { gid: group } = statSync(socket);
    const { uid: own, gid: told } = JSON.parse((await ask({ socket })).text);
    assert.deepEqual([own, told === group, group !== 0], [0, true, true]);
    await first.stop();
    const second = await serving({ socket }, [`user=${user}`, "group=daemon", "threads=1"], { cwd });
    assert.equal(statSync(socket).uid, uid);
    const both = JSON.parse((await ask({ socket })).text);
    assert.deepEqual([both.uid, both.gid], [uid, group]);
    await second.stop();
  });

  test("logs of the workers can be in a folder that is root's, also after a rotation", async () => {
    const cwd = openSite({ "app.ts": tells });
    const socket = join(cwd, "s.sock");
    const accesslog = join(cwd, "access.log");
    const running = await serving({ socket }, [`user=${user}`, "threads=1", `accesslog=${accesslog}`], { cwd });
    await ask({ socket }, "/one");
    await until("the line is there", () => tryRead(accesslog)?.includes("/one"));
    renameSync(accesslog, `${accesslog}.1`);
    // Nobody has made a new file yet: the old one gets it, and nothing is lost.
    await until("a look at the file", async () => {
      await ask({ socket }, "/two");
      return tryRead(`${accesslog}.1`)?.includes("/two");
    });
    running.kill("SIGUSR2");
    await until("the new file is there", () => tryRead(accesslog) !== undefined);
    await until("it is written", async () => {
      await ask({ socket }, "/three");
      return tryRead(accesslog)?.includes("/three");
    });
    assert.equal(statSync(accesslog).uid, uid);
    await running.stop();
  });

  /** A folder that is the user's, and a file of root's that is none of the user's business. */
  function ownSite() {
    const cwd = openSite({ "app.ts": tells });
    const victim = join(openSite({ victim: "root's own\n" }), "victim");
    chmodSync(victim, 0o600);
    chownSync(cwd, uid, gid);
    const isUntouched = () => {
      const { mode, uid: owner, gid: group } = statSync(victim);
      assert.deepEqual([readFileSync(victim, "utf8"), mode & 0o7777, owner, group], ["root's own\n", 0o600, 0, 0]);
    };
    return { cwd, socket: join(cwd, "s.sock"), victim, isUntouched };
  }

  const places = ["errlog", "outlog", "accesslog", "slowlog"] as const;
  const obstacles = {
    "a symbolic link": (path: string, victim: string) => symlinkSync(victim, path),
    "a hard link": (path: string, victim: string) => linkSync(victim, path),
    "a pipe": (path: string) => execFileSync("mkfifo", ["-m", "666", path]),
    "a directory": (path: string) => mkdirSync(path),
  };

  for (const [what, put] of Object.entries(obstacles)) {
    test(`${what} in the place of a log, in the user's folder, is an error, and nothing outside is touched`, async () => {
      const { cwd, socket, victim, isUntouched } = ownSite();
      for (const name of places) {
        const file = join(cwd, `${name}.log`);
        put(file, victim);
        for (const daemonize of [false, true]) {
          const words = ["app.ts", `socket=${socket}`, `user=${user}`, `daemonize=${daemonize}`, `${name}=${file}`];
          const { code, stderr } = await run(words, { cwd });
          assert.deepEqual([name, code], [name, 1], stderr);
          assert.match(stderr, /^runfcgi: cannot write to ".*\.log", as user \d+ since its folder is not root's alone: /);
        }
      }
      isUntouched();
    });
  }

  test("logs, pidfile and socket in the user's folder are made with the user's rights, and nothing goes through a link", async () => {
    const { cwd, socket, victim, isUntouched } = ownSite();
    const pidfile = join(cwd, "s.pid");
    symlinkSync(victim, pidfile);
    const words = places.map((name) => `${name}=${join(cwd, `${name}.log`)}`);
    const options = [`user=${user}`, "mode=660", "threads=1", "daemonize=false", ...words];
    // It names no server, since it cannot be told what it is.
    const refused = await run(["app.ts", `socket=${socket}`, ...options, `pidfile=${pidfile}`], { cwd });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /is not a pidfile/);
    rmSync(pidfile);
    const running = await serving({ socket }, [...options, `pidfile=${pidfile}`], { cwd });
    await until("the pidfile is there", () => tryRead(pidfile));
    for (const file of [pidfile, socket, ...places.map((name) => join(cwd, `${name}.log`))]) {
      const { uid: owner, gid: group } = lstatSync(file);
      assert.deepEqual([file, owner, group], [file, uid, gid]);
    }
    assert.equal(lstatSync(socket).mode & 0o777, 0o660);
    // While it runs, too: the supervisor opens again what was taken away.
    const errlog = join(cwd, "errlog.log");
    rmSync(errlog);
    symlinkSync(victim, errlog);
    running.kill("SIGUSR2");
    await until("it says so", () => running.stderr().includes("Cannot open the log files again"));
    running.kill();
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    assert.equal(tryRead(socket), undefined);
    assert.equal(tryRead(pidfile), undefined);
    isUntouched();
  });

  test("a folder of the user's that leads elsewhere gives root's rights to nobody", async () => {
    const { cwd, isUntouched } = ownSite();
    const away = openSite({});
    symlinkSync(away, join(cwd, "run"));
    for (const word of ["errlog=run/e", "accesslog=run/a", "socket=run/s", "pidfile=run/p"]) {
      const endpoint = word.startsWith("socket") ? [] : [`socket=${join(cwd, "s.sock")}`];
      const { code, stderr } = await run(["app.ts", ...endpoint, `user=${user}`, word], { cwd });
      assert.deepEqual([word, code], [word, 1], stderr);
    }
    assert.deepEqual(readdirSync(away), []);
    isUntouched();
  });

  /** Lets the user write to a folder by an access control list; `false` where that cannot be had. */
  function addToList(folder: string): boolean {
    const entries = [[1, 7, -1], [2, 7, uid], [4, 5, -1], [16, 7, -1], [32, 5, -1]];
    const list = Buffer.alloc(4 + 8 * entries.length, 2);
    list.writeUInt32LE(2);
    entries.forEach(([tag, permissions, id], i) => {
      list.writeUInt16LE(tag, 4 + 8 * i);
      list.writeUInt16LE(permissions, 6 + 8 * i);
      list.writeInt32LE(id, 8 + 8 * i);
    });
    const set = `import os, sys; os.setxattr(sys.argv[1], "system.posix_acl_access", bytes.fromhex(sys.argv[2]))`;
    return [["setfacl", "-m", `u:${user}:rwx`, folder], ["python3", "-c", set, folder, list.toString("hex")]]
      .some(([name, ...words]) => spawnSync(name, words).status === 0 && (statSync(folder).mode & 0o020) !== 0);
  }

  test("a link in a folder of root's that others can write to, by their group or a list, gives root's rights to nobody", async (t) => {
    const { cwd, socket, victim, isUntouched } = ownSite();
    const shared = openSite({});
    const listed = openSite({});
    chmodSync(shared, 0o775);
    chownSync(shared, 0, gid + 1000);
    const folders = addToList(listed) ? [shared, listed] : [shared];
    if (folders.length === 1) t.diagnostic("no access control list can be set here");
    for (const folder of folders) {
      for (const name of places) {
        const file = join(folder, `${name}.log`);
        symlinkSync(victim, file);
        const { code, stderr } = await run(["app.ts", `socket=${socket}`, `user=${user}`, `${name}=${file}`], { cwd });
        assert.deepEqual([name, code], [name, 1], stderr);
        assert.match(stderr, /^runfcgi: cannot write to ".*\.log"/);
        rmSync(file);
      }
    }
    isUntouched();
    // Root makes them where the user cannot, and the user where it can.
    const logs = folders.map((folder, i) => `${places[i + 1]}=${join(folder, "a.log")}`);
    const running = await serving({ socket }, [`user=${user}`, "threads=1", ...logs], { cwd });
    for (const folder of folders) assert.deepEqual(readdirSync(folder), ["a.log"]);
    await running.stop();
  });

  test("an application that exports options is not loaded as root for them", async () => {
    const cwd = openSite({
      "app.ts": `import { appendFileSync } from "node:fs";
import process from "node:process";
appendFileSync(process.env.PLACE + "/uids", process.getuid!() + " " + process.cwd() + "\\n");
const ping = "/p";
export const runfcgi = { ping };
export default () => new Response("ok");
`,
    });
    const work = openSite({});
    chmodSync(work, 0o777);
    const socket = join(cwd, "s.sock");
    const words = [`user=${user}`, `env=PLACE=${work}`, `workdir=${work}`, "threads=1"];
    const running = await serving({ socket }, ["app.ts", ...words], { cwd });
    assert.equal((await ask({ socket }, "/p")).text, "pong\n", running.stderr());
    assert.deepEqual(readFileSync(join(work, "uids"), "utf8").split("\n"), [`${uid} ${work}`, `${uid} ${work}`, ""]);
    await running.stop();
  });

  test("no command loads a user's application as root", async () => {
    const app = `import { appendFileSync } from "node:fs";
import process from "node:process";
appendFileSync(import.meta.dirname + "/uids", process.getuid!() + "\\n");
const ping = "/p";
export const runfcgi = { ping };
export default () => new Response("ok");
`;
    const cwd = openSite({ "app.ts": app, "request.bin": "GET / HTTP/1.1\r\nHost: a\r\n\r\n" });
    for (const name of ["", "app.ts"]) chownSync(join(cwd, name), uid, gid);
    const file = join(cwd, "app.ts");
    const env = { DENO_DIR: join(cwd, "cache") };
    const uids = () => tryRead(join(cwd, "uids"));
    for (const words of [["doctor", file], ["doctor", file, `user=${user}`], ["replay", "request.bin", file]]) {
      rmSync(join(cwd, "uids"), { force: true });
      const { stdout, stderr } = await run(words, { cwd, env });
      assert.match(uids() ?? "", new RegExp(`^(?:${uid}\\n)+$`), `${words}: ${stdout}${stderr}`);
    }
    rmSync(join(cwd, "uids"));
    for (
      const words of [["config", "nginx", file], ["explain", file], ["init", "new", "for=nginx"], ["build", file, "-o", "built"]]
    ) {
      await run(words, { cwd, env });
      assert.doesNotMatch(uids() ?? "", /^0$/m, String(words));
    }
    // Root's own application is root's to load.
    for (const name of ["", "app.ts"]) chownSync(join(cwd, name), 0, 0);
    const own = await run(["doctor", file, `user=${user}`], { cwd, env });
    assert.match(own.stdout, /application/);
    assert.doesNotMatch(uids() ?? "", /^0$/m);
  });
});

test(`another user than root cannot become another, nor stop another's server (${runtime})`, {
  skip: isRoot && !mayRead && "needs files that others can read",
}, async () => {
  const cwd = openSite({ "app.ts": tells });
  const drop = isRoot ? ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"] : [];
  const own = isRoot ? uid : process.getuid!();
  const env = { HOME: "/tmp", DENO_DIR: join(cwd, "cache") };
  const running = launch([...drop, ...command, "app.ts", "port=0", "user=root"], { cwd, env });
  assert.deepEqual([(await running.exit).code, running.stderr()], [
    1,
    `runfcgi: user=root needs root, and this is user ${own}: start it as root, or without\n`,
  ]);
  if (isRoot) {
    const server = launch(["/bin/sh", "-c", "echo up; sleep 60; :", "pidfile=s.pid"]);
    await until("it runs", () => server.stdout() !== "");
    writeFileSync(join(cwd, "s.pid"), `${server.pid}\n`);
    const stopping = launch([...drop, ...command, "stop", "pidfile=s.pid"], { cwd, env });
    assert.equal((await stopping.exit).code, 1);
    assert.match(stopping.stderr(), /^runfcgi: cannot send a signal to process \d+: .*\. It belongs to another user\n$/);
    await server.stop();
  }
  const unknown = await run(["app.ts", "port=0", "user=nobody-at-all"], { cwd });
  assert.deepEqual([unknown.code, unknown.stderr], [1, 'runfcgi: there is no user "nobody-at-all"\n']);
});
