/** Going to the background, the pidfile, the commands that it is for, and the restart script that everybody has. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, hello, killInTheEnd, launch, processesIn, run, serving, site, tryRead, waiting } from "../support/cli.ts";
import { type Endpoint, freePort, isRunning, program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

/** A site with its endpoint and pidfile. */
function place(files: Record<string, string> = { "app.ts": hello }) {
  const cwd = site(files);
  return { cwd, socket: join(cwd, "s.sock"), pidfile: join(cwd, "s.pid") };
}

/** Starts a server in the background. */
async function daemon({ cwd, socket, pidfile }: ReturnType<typeof place>, words: string[] = []) {
  const { code, stdout, stderr } = await run(["app.ts", `socket=${socket}`, `pidfile=${pidfile}`, "threads=1", ...words], {
    cwd,
  });
  assert.equal(code, 0, stderr);
  return { pid: killInTheEnd(pidfile), stdout, stderr };
}

/** Numbers of proc(5), stat: parent, process group, session, terminal. */
function statOf(pid: number) {
  const [, parent, group, session, terminal] = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  return { parent: Number(parent), group: Number(group), session: Number(session), terminal: Number(terminal) };
}

const workersOf = (pid: number) => allProcesses().filter((other) => parentOf(other) === pid);
const allProcesses = () => readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
function parentOf(pid: number): number | undefined {
  try {
    return statOf(pid).parent;
  } catch {
    return undefined;
  }
}

describe(`in the background (${runtime})`, () => {
  test("the command returns 0 when the application is loaded, with one line that says what runs where", async () => {
    const app = `import { writeFileSync } from "node:fs";
await new Promise((resolve) => setTimeout(resolve, 300));
writeFileSync("loaded", "");
${hello}`;
    const at = place({ "app.ts": app });
    const { stdout, stderr, pid } = await daemon(at);
    assert.ok(existsSync(join(at.cwd, "loaded")));
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^runfcgi: serving \\S*app\\.ts over FastCGI on ${at.socket} with 1 process\n$`));
    assert.equal(tryRead(at.pidfile), `${pid}\n`);
    assert.equal((await ask(at, "/x")).text, "hello /x");
  });

  test("the server has left the terminal, and holds nothing that the shell had open", async () => {
    const at = place();
    const held = join(at.cwd, "held");
    writeFileSync(held, "");
    const words = [...command, "app.ts", `socket=${at.socket}`, `pidfile=${at.pidfile}`, "threads=2"].map((word) => `'${word}'`);
    const shell = `exec 9<${held}; exec 8>>${held}; exec ${words.join(" ")}`;
    const terminal = launch(["script", "-qec", `sh -c "${shell}"`, "/dev/null"], { cwd: at.cwd });
    assert.deepEqual(await terminal.exit, { code: 0, signal: null }, terminal.stdout());
    const pid = killInTheEnd(at.pidfile);
    assert.deepEqual(statOf(pid), { ...statOf(pid), group: pid, session: pid, terminal: 0 });
    const children = workersOf(pid);
    assert.ok(children.length > 0);
    for (const one of [pid, ...children]) {
      const open = readdirSync(`/proc/${one}/fd`).map((fd) => [fd, tryLink(`/proc/${one}/fd/${fd}`)] as const);
      assert.deepEqual(open.filter(([, file]) => file === held || /^\/dev\/(pts|tty)/.test(file ?? "")), [], `process ${one}`);
      assert.equal(statOf(one).terminal, 0);
    }
    for (const fd of [1, 2]) assert.equal(tryLink(`/proc/${pid}/fd/${fd}`), "/dev/null");
    assert.equal(await until("it answers", async () => (await ask(at)).text), "hello /");
  });

  test("it is where it was started, with the umask of daemons; workdir and umask say otherwise", async () => {
    const app = `import { writeFileSync } from "node:fs";
import process from "node:process";
export default () => { writeFileSync("made", ""); return new Response(process.cwd()); };
`;
    const made = async (at: ReturnType<typeof place>, folder: string) => {
      const { text } = await ask(at);
      assert.equal(text, folder);
      return execFileSync("stat", ["-c", "%a", join(folder, "made"), at.socket], { encoding: "utf8" }).split("\n").slice(0, 2);
    };
    const plain = place({ "app.ts": app });
    await daemon(plain);
    assert.deepEqual(await made(plain, plain.cwd), ["644", "755"]);
    const told = place({ "app.ts": app });
    mkdirSync(join(told.cwd, "work"));
    // Relative paths of the words are those of the shell.
    await daemon({ cwd: told.cwd, socket: "s.sock", pidfile: "s.pid" }, ["workdir=work", "umask=027", "errlog=err.log"]);
    killInTheEnd(told.pidfile);
    assert.deepEqual(await made(told, join(told.cwd, "work")), ["640", "750"]);
    assert.ok(existsSync(join(told.cwd, "err.log")));
  });

  test("daemonize=true needs no pidfile, and daemonize=false stays in spite of one, and writes it", async () => {
    const at = place();
    const gone = await run(["app.ts", `socket=${at.socket}`, "daemonize=true", "threads=1"], { cwd: at.cwd });
    assert.equal(gone.code, 0, gone.stderr);
    const [, pid] = /^(\d+)$/m.exec(processesIn(at.cwd).filter((one) => statOf(one).session === one).join("\n")) ?? [];
    assert.equal((await ask(at)).text, "hello /");
    process.kill(Number(pid), "SIGTERM");
    await until("it has ended", () => !existsSync(at.socket) && processesIn(at.cwd).length === 0);
    const running = await serving({ socket: at.socket }, [`pidfile=${at.pidfile}`, "daemonize=false"], { cwd: at.cwd });
    await until("the pidfile is there", () => tryRead(at.pidfile));
    assert.ok(isRunning(running.pid));
    running.kill();
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    assert.equal(tryRead(at.pidfile), undefined);
  });

  test("output goes to the logs, also what is written while it is loaded", async () => {
    const app = `console.log("out at start");
console.error("err at start");
export default () => { console.log("out"); console.error("err"); return new Response("ok"); };
`;
    const at = place({ "app.ts": app });
    const [outlog, errlog] = ["out.log", "err.log"].map((name) => join(at.cwd, name));
    const { pid } = await daemon(at, [`outlog=${outlog}`, `errlog=${errlog}`]);
    await ask(at);
    await until("it is in the logs", () => /^out$/m.test(tryRead(outlog)!) && /^err$/m.test(tryRead(errlog)!));
    assert.equal(tryRead(outlog), "out at start\nout\n");
    assert.equal(tryRead(errlog), "err at start\nerr\n");
    // What the runtime says when the server itself breaks down.
    assert.equal(tryLink(`/proc/${pid}/fd/2`), errlog);
  });
});

describe(`what cannot be started in the background (${runtime})`, () => {
  const cases: [name: string, message: RegExp, words: string[], prepare?: (cwd: string) => unknown][] = [
    ["an application that throws", /^runfcgi: Cannot load \S+app\.ts: [^]*no database[^]*app\.ts:2/, [], (cwd) => {
      writeFileSync(join(cwd, "app.ts"), "\nthrow new Error('no database');\n");
    }],
    ["an application that ends the process", /^runfcgi: The first worker exited with status 3\n$/, [], (cwd) => {
      writeFileSync(join(cwd, "app.ts"), `import process from "node:process";\nprocess.exit(3);\n`);
    }],
    ["a pidfile in a folder that is not there", /^runfcgi: cannot write the pidfile "\S+": .*\n$/, ["pidfile=none/s.pid"]],
    ["a pidfile that is something else", /^runfcgi: the file "\S+app\.ts" is not a pidfile: .*\n$/, ["pidfile=app.ts"]],
    ["an errlog in a folder that is not there", /^runfcgi: cannot write to "\S+none\/err\.log": .*\n$/, ["errlog=none/err.log"]],
    ["an outlog that is a folder", /^runfcgi: cannot write to "\S+": .*\n$/, ["outlog=."]],
    ["an accesslog in a folder that is not there", /^runfcgi: cannot write to "\S+none\/a\.log": .*\n$/, [
      "accesslog=none/a.log",
    ]],
    ["a slowlog in a folder that is not there", /^runfcgi: cannot write to "\S+none\/s\.log": .*\n$/, ["slowlog=none/s.log"]],
    ["a workdir that is not there", /^runfcgi: there is no directory "\S+none"\n$/, ["workdir=none"]],
    ["a user that is not there", /^runfcgi: there is no user "nobody-at-all"\n$/, ["user=nobody-at-all"]],
    ["a group that is not there", /^runfcgi: there is no group "nobody-at-all"\n$/, ["group=nobody-at-all"]],
  ];
  for (const [name, message, words, prepare] of cases) {
    test(`${name}: the error, status 1, and nothing is left behind`, async () => {
      const at = place();
      await prepare?.(at.cwd);
      const before = readdirSync(at.cwd);
      const given = words.some((word) => word.startsWith("pidfile=")) ? [] : ["pidfile=s.pid"];
      const { code, stderr } = await run(["app.ts", "socket=s.sock", "threads=1", "daemonize=true", ...given, ...words], {
        cwd: at.cwd,
      });
      assert.match(stderr, message);
      assert.equal(code, 1);
      assert.deepEqual(readdirSync(at.cwd), before);
      await until("all its processes have ended", () => processesIn(at.cwd).length === 0);
    });
  }

  test("an endpoint that is taken: the error, status 1, and its server goes on", async () => {
    const at = place();
    await daemon(at);
    const second = join(at.cwd, "second.pid");
    const { code, stderr } = await run(["app.ts", `socket=${at.socket}`, `pidfile=${second}`], { cwd: at.cwd });
    assert.match(stderr, /^runfcgi: Cannot listen on "\S+": a running server listens there\. Stop it or choose another path\n$/);
    assert.equal(code, 1);
    assert.equal(tryRead(second), undefined);
    assert.equal((await ask(at)).text, "hello /");
  });

  test("a preview on a port that is taken", async () => {
    const at = place();
    const port = await freePort();
    const other = await serving({ port }, [], { cwd: site() });
    const { stderr } = await daemon(at, [`preview=${port}`]);
    assert.match(stderr, new RegExp(`preview on http://127\\S+/ \\(another program listens on port ${port}\\)\n$`));
    await other.stop();
  });
});

describe(`the pidfile (${runtime})`, () => {
  test("of a running server is refused, before anything else is touched", async () => {
    const at = place();
    const { pid } = await daemon(at);
    const other = join(at.cwd, "other.sock");
    const { code, stderr } = await run(["app.ts", `socket=${other}`, `pidfile=${at.pidfile}`], { cwd: at.cwd });
    assert.match(stderr, new RegExp(`^runfcgi: the pidfile "${at.pidfile}" names the running process ${pid}: stop it`));
    assert.equal(code, 1);
    assert.equal(existsSync(other), false);
    assert.equal(tryRead(at.pidfile), `${pid}\n`);
  });

  const stale: [name: string, content: () => string][] = [
    ["of a process that has ended", () => `${spawnSync("true").pid}\n`],
    ["of another program that has got the number since", () => `${process.pid}\n`],
    ["that is empty", () => ""],
  ];
  for (const [name, content] of stale) {
    test(`${name} is replaced, and names no server until then`, async () => {
      const at = place();
      writeFileSync(at.pidfile, content());
      const status = await run(["status", `pidfile=${at.pidfile}`]);
      assert.deepEqual([status.code, status.stdout], [1, `not running ("${at.pidfile}")\n`]);
      const stop = await run(["stop", `pidfile=${at.pidfile}`]);
      assert.deepEqual([stop.code, stop.stderr], [0, `runfcgi: no server with the pidfile "${at.pidfile}" is running\n`]);
      const { pid } = await daemon(at);
      assert.equal(tryRead(at.pidfile), `${pid}\n`);
      process.kill(pid, "SIGTERM");
      await until("it is removed", () => tryRead(at.pidfile) === undefined && !isRunning(pid));
    });
  }

  test("is left alone at the end when it is another server's by then", async () => {
    const at = place();
    const { pid } = await daemon(at);
    writeFileSync(at.pidfile, "1\n");
    process.kill(pid, "SIGTERM");
    await until("the server has ended", () => !isRunning(pid));
    assert.equal(tryRead(at.pidfile), "1\n");
  });
});

describe(`commands (${runtime})`, () => {
  test("status, reload, restart and stop do what they say to the server of the pidfile", async () => {
    const at = place({ "app.ts": `export default () => new Response("one");\n` });
    const { pid } = await daemon(at, ["watch=false"]);
    const named = `pidfile=${at.pidfile}`;
    const status = await run(["status", named]);
    assert.equal(status.code, 0);
    assert.match(status.stdout, new RegExp(`^running, process ${pid}\n\napplication: +\\S+app\\.ts\n`));
    const { version, workers } = JSON.parse((await run(["status", named, "--json"])).stdout);
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.equal(workers.length, 1);
    writeFileSync(join(at.cwd, "app.ts"), `export default () => new Response("two");\n`);
    const reloaded = await run(["reload", named]);
    assert.deepEqual([reloaded.code, reloaded.stderr], [0, `runfcgi: process ${pid} has taken over the new code\n`]);
    assert.equal((await ask(at)).text, "two");
    assert.equal(Number(tryRead(at.pidfile)), pid);
    const restarted = await run(["restart", "app.ts", `socket=${at.socket}`, named, "threads=1"], { cwd: at.cwd });
    assert.equal(restarted.code, 0, restarted.stderr);
    const second = killInTheEnd(at.pidfile);
    const told = `^runfcgi: serving .*\nrunfcgi: process ${second} has replaced process ${pid}\n$`;
    assert.match(restarted.stderr, new RegExp(told));
    assert.notEqual(second, pid);
    assert.equal((await ask(at)).text, "two");
    // As a crontab would have it.
    const stopped = await run(["stop"], { env: { RUNFCGI_PIDFILE: at.pidfile } });
    assert.deepEqual([stopped.code, stopped.stderr], [0, `runfcgi: stopped process ${second}\n`]);
    assert.deepEqual([existsSync(at.pidfile), existsSync(at.socket), processesIn(at.cwd)], [false, false, []]);
    const again = await run(["reload", named]);
    assert.deepEqual([again.code, again.stderr], [1, `runfcgi: no server with the pidfile "${at.pidfile}" is running\n`]);
    const { code, stderr } = await run(["restart", named]);
    assert.equal(code, 2);
    assert.match(stderr, /^runfcgi: no server that can restart itself has the pidfile ".*": give its other arguments, too\n$/);
  });

  test("without a pidfile they say what to give", async () => {
    const { code, stderr } = await run(["restart"], { cwd: site() });
    assert.deepEqual([code, stderr], [2, "runfcgi: restart which server? Give its pidfile=PATH, which ls --json lists\n"]);
  });

  const broken = "export default syntax error;\n";

  /** Begins a reload whose new code is never loaded; the next one is. */
  async function endlessReload({ cwd, pidfile }: ReturnType<typeof place>): Promise<{ reload: ReturnType<typeof run> }> {
    const app = `import { rmSync } from "node:fs";
if (existsSync("slow")) {
  rmSync("slow");
  await new Promise(() => setInterval(() => {}, 1000));
}
${waiting}`;
    writeFileSync(join(cwd, "slow"), "");
    writeFileSync(join(cwd, "app.ts"), app);
    const reload = run(["reload", `pidfile=${pidfile}`]);
    await until("it loads the new code", () => !existsSync(join(cwd, "slow")));
    return { reload };
  }

  test("reload returns 1 with the reason when the new code cannot be loaded, and the old goes on", async () => {
    const at = place();
    await daemon(at, ["watch=false"]);
    writeFileSync(join(at.cwd, "app.ts"), broken);
    const { code, stderr } = await run(["reload", `pidfile=${at.pidfile}`]);
    assert.match(stderr, /^runfcgi: the new code cannot be loaded, the old code still serves: Cannot load \S+app\.ts/);
    assert.equal(code, 1);
    assert.equal((await ask(at)).text, "hello /");
    const { stdout } = await run(["status", `pidfile=${at.pidfile}`]);
    assert.match(stdout, /^last error: +\S+ Cannot load the new code/m);
  });

  test("status waits for no worker, and names what one is at that never lets go", async () => {
    const app = `import { writeFileSync } from "node:fs";
export default () => {
  writeFileSync("looping", "");
  for (;;);
};
`;
    const at = place({ "app.ts": app });
    const { pid } = await daemon(at);
    const asked = ask(at, "/loop?x").catch(() => "lost");
    await until("it loops", () => existsSync(join(at.cwd, "looping")));
    await until("the status names it", async () => {
      const { code, stdout } = await run(["status", `pidfile=${at.pidfile}`]);
      assert.equal(code, 0);
      return /^under way:\n {2}GET \/loop\?x for \d+\.\d s$/m.test(stdout);
    });
    process.kill(-pid, "SIGKILL");
    assert.equal(await asked, "lost");
  });

  test("restart without other words takes those of the start, refuses nobody, and lets requests finish", async () => {
    const at = place({ "app.ts": waiting });
    const { pid } = await daemon(at, ["env=GREETING=one"]);
    const answer = ask(at, "/wait");
    await until("it is under way", () => existsSync(join(at.cwd, "begun")));
    const failures: unknown[] = [];
    let over = false;
    const crowd = Array.from({ length: 4 }, async () => {
      while (!over) {
        await ask(at).catch((error) => failures.push(error));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    // From another folder.
    const { code, stderr } = await run(["restart", `pidfile=${at.pidfile}`], { cwd: site() });
    assert.equal(code, 0, stderr);
    const second = killInTheEnd(at.pidfile);
    assert.notEqual(second, pid);
    await until("the new one answers alone", async () => {
      const workers = workersOf(second).map(String);
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask(at)));
      return answers.every(({ text }) => workers.includes(text));
    });
    over = true;
    await Promise.all(crowd);
    assert.deepEqual(failures, []);
    assert.ok(isRunning(pid), "the old one waits for its request");
    writeFileSync(join(at.cwd, "go"), "");
    assert.equal((await answer).text, "finished");
    await until("the old one has ended", () => !isRunning(pid));
    assert.equal(tryRead(at.pidfile), `${second}\n`);
    const stopped = await run(["stop", `pidfile=${at.pidfile}`]);
    assert.deepEqual([stopped.code, stopped.stderr], [0, `runfcgi: stopped process ${second}\n`]);
    assert.deepEqual([existsSync(at.pidfile), existsSync(at.socket), processesIn(at.cwd)], [false, false, []]);
  });

  test("restarts and reloads at once are done one after the other", async () => {
    const at = place();
    await daemon(at, ["watch=false"]);
    const named = `pidfile=${at.pidfile}`;
    const commands = ["restart", "reload", "restart", "reload"];
    const results = await Promise.all(commands.map((command) => run([command, named])));
    killInTheEnd(at.pidfile);
    assert.deepEqual(results.map(({ code }) => code), [0, 0, 0, 0], results.map(({ stderr }) => stderr).join(""));
    assert.equal((await ask(at)).text, "hello /");
    const stopped = await run(["stop", named]);
    assert.equal(stopped.code, 0, stopped.stderr);
    await until("all have ended", () => processesIn(at.cwd).length === 0);
    assert.deepEqual(readdirSync(at.cwd).filter((name) => name !== "app.ts"), []);
  });

  test("a reload that a restart overtakes waits for nothing, and asks the new server", async () => {
    const at = place({ "app.ts": waiting });
    await daemon(at, ["watch=false"]);
    const named = `pidfile=${at.pidfile}`;
    const answer = ask(at, "/wait");
    await until("a request is under way", () => existsSync(join(at.cwd, "begun")));
    const { reload: first } = await endlessReload(at);
    // Another one waits for the first.
    const second = run(["reload", named]);
    const restarted = await run(["restart", named]);
    assert.equal(restarted.code, 0, restarted.stderr);
    const pid = killInTheEnd(at.pidfile);
    for (const { code, stderr } of [await first, await second]) {
      assert.deepEqual([code, stderr], [0, `runfcgi: process ${pid} has taken over the new code\n`]);
    }
    writeFileSync(join(at.cwd, "go"), "");
    assert.equal((await answer).text, "finished");
  });

  test("restart on a TCP port hands the port over, and to another socket leaves the old one", async () => {
    const at = place();
    const port = await freePort();
    const started = await run(["app.ts", `port=${port}`, `pidfile=${at.pidfile}`, "threads=1"], { cwd: at.cwd });
    assert.equal(started.code, 0, started.stderr);
    killInTheEnd(at.pidfile);
    const again = await run(["restart", `pidfile=${at.pidfile}`]);
    assert.equal(again.code, 0, again.stderr);
    killInTheEnd(at.pidfile);
    assert.equal((await ask({ port })).text, "hello /");
    const moved = await run(["restart", "app.ts", `socket=${at.socket}`, `pidfile=${at.pidfile}`, "threads=1"], { cwd: at.cwd });
    assert.equal(moved.code, 0, moved.stderr);
    killInTheEnd(at.pidfile);
    assert.equal((await ask(at)).text, "hello /");
    await until("the port is free", () => ask({ port }).then(() => false, () => true));
  });

  test("restart returns 1 with the reason when the application cannot be loaded, and the old goes on", async () => {
    const at = place();
    const { pid } = await daemon(at, ["watch=false"]);
    writeFileSync(join(at.cwd, "app.ts"), broken);
    for (const words of [[], ["app.ts", `socket=${at.socket}`]]) {
      const { code, stderr } = await run(["restart", `pidfile=${at.pidfile}`, ...words], { cwd: at.cwd });
      assert.match(stderr, new RegExp(`^runfcgi: process ${pid} still serves: Cannot load \\S+app\\.ts`));
      assert.equal(code, 1);
      assert.equal((await ask(at)).text, "hello /");
    }
    assert.equal(tryRead(at.pidfile), `${pid}\n`);
    const unknown = await run(["restart", `pidfile=${at.pidfile}`, "socke=x"], { cwd: at.cwd });
    assert.equal(unknown.code, 2);
    assert.equal((await ask(at)).text, "hello /");
  });

  test("stop waits for the requests under way, and not for a reload", async () => {
    const at = place({ "app.ts": waiting });
    await daemon(at, ["watch=false"]);
    const answer = ask(at, "/wait");
    await until("it is under way", () => existsSync(join(at.cwd, "begun")));
    const { reload } = await endlessReload(at);
    const stopping = launch([...command, "stop", `pidfile=${at.pidfile}`]);
    await until("the endpoint is given up", () => !existsSync(at.socket));
    const { code, stderr } = await reload;
    assert.deepEqual([code, stderr], [1, "runfcgi: the new code cannot be loaded, the server is stopping\n"]);
    assert.ok(isRunning(stopping.pid));
    writeFileSync(join(at.cwd, "go"), "");
    assert.equal((await answer).text, "finished");
    assert.deepEqual(await stopping.exit, { code: 0, signal: null });
  });
});

describe(`the restart script of Django's documentation (${runtime})`, () => {
  /** Word by word; only what it starts is ours. */
  const script = `#!/bin/bash

# Replace these three settings.
PROJDIR="$1"
PIDFILE="$PROJDIR/mysite.pid"
SOCKET="$PROJDIR/mysite.sock"

cd $PROJDIR
if [ -f $PIDFILE ]; then
    kill \`cat -- $PIDFILE\`
    rm -f -- $PIDFILE
fi

exec /usr/bin/env - \\
  PATH=$PATH \\
  ${command.map((word) => `'${word}'`).join(" ")} app.ts ENDPOINT pidfile=$PIDFILE
`;
  const endpoints: [name: string, make: (cwd: string) => Promise<[Endpoint, word: string]>][] = [
    ["a Unix socket", (cwd) => Promise.resolve([{ socket: join(cwd, "mysite.sock") }, "socket=$SOCKET"])],
    ["a TCP port", async () => {
      const port = await freePort();
      return [{ port }, `host=127.0.0.1 port=${port}`];
    }],
  ];
  for (const [name, make] of endpoints) {
    test(`restarts the server again and again on ${name}, and the old ones finish their requests`, async () => {
      const cwd = site({ "app.ts": waiting });
      const [endpoint, word] = await make(cwd);
      const file = join(cwd, "restart.sh");
      writeFileSync(file, script.replace("ENDPOINT", word));
      chmodSync(file, 0o755);
      const pidfile = join(cwd, "mysite.pid");
      const pids: number[] = [];
      let answer: ReturnType<typeof ask> | undefined;
      for (let i = 0; i < 4; i++) {
        const restarting = launch([file, cwd]);
        assert.deepEqual(await restarting.exit, { code: 0, signal: null }, restarting.stderr());
        pids.push(killInTheEnd(pidfile));
        assert.match((await ask(endpoint)).text, /^\d+$/);
        if (i !== 1) continue;
        answer = ask(endpoint, "/wait");
        await until("a request is under way", () => existsSync(join(cwd, "begun")));
      }
      assert.equal(new Set(pids).size, 4);
      await until("idle servers have ended", () => !isRunning(pids[0]) && !isRunning(pids[2]));
      assert.ok(isRunning(pids[1]), "the server with a request under way waits for it");
      writeFileSync(join(cwd, "go"), "");
      assert.equal((await answer!).text, "finished");
      await until("that has ended, too", () => !isRunning(pids[1]));
      assert.equal(tryRead(pidfile), `${pids[3]}\n`);
      assert.match((await ask(endpoint)).text, /^\d+$/);
    });
  }
});

function tryLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
