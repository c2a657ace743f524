import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { bytes } from "../support/bytes.ts";
import { ask, cgi, cleanUp, hello, launch, leave, run, serving, site, tryList, tryRead, waiting } from "../support/cli.ts";
import { askAt, startManaged } from "../support/managed.ts";
import { Service } from "../support/processes.ts";
import { accepting, freePort, isRunning, program, type Running, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

describe(`the program (${runtime})`, () => {
  test("prints its help and its version on standard output", async () => {
    const help = await run(["help"]);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /\[option=value …\]/);
    assert.equal(help.stderr, "");
    assert.match(
      (await run(["--version"])).stdout,
      /^runfcgi \d+\.\d+\.\d+ \((?:commit [0-9a-f]{10}\+?, )?(?:Deno|Bun|Node) [\d.]+, linux-\w+\)\n$/,
    );
    const { code, stderr } = await run(["version", "app.ts"]);
    assert.deepEqual({ code, stderr }, { code: 2, stderr: 'runfcgi: version takes no arguments, got "app.ts"\n' });
  });

  test("prints more than a pipe holds to a reader that begins late, and ends in peace when one leaves", async () => {
    const { stdout: all } = await run(["completion", "fish"]);
    assert.ok(all.length > 64 * 1024, `${all.length} bytes are no trial`);
    const piped = async (reader: string) => {
      const script = `{ "$@"; echo "status $?" >&2; } | { sleep 1; ${reader}; }`;
      const running = launch(["sh", "-c", script, "sh", ...command, "completion", "fish"]);
      await running.exit;
      assert.equal(running.stderr(), "status 0\n");
      return running.stdout();
    };
    const late = await piped("cat");
    assert.ok(late === all, `${late.length} of ${all.length} characters arrived`);
    assert.equal(await piped("head -n 1"), all.slice(0, all.indexOf("\n") + 1));
  });

  const helps = [
    "init help",
    "doctor url=http://localhost/ help",
    "stop help",
    "get --help",
    "stop pidfile=/a -h",
    "help doctor",
  ];
  for (const words of helps.map((line) => line.split(" "))) {
    test(`${words.join(" ")} prints the command's help, and does nothing else`, async () => {
      const cwd = site({});
      const { code, stdout, stderr } = await run(words, { cwd });
      assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
      assert.match(stdout, new RegExp(`^runfcgi ${words.find((word) => /^(?:init|stop|get|doctor)$/.test(word))} `));
      assert.deepEqual(readdirSync(cwd), []);
    });
  }

  const usage: [words: string[], message: RegExp][] = [
    [["docter"], /^runfcgi: there is no command "docter", did you mean "doctor"\?\n$/],
    [["conifg", "nginx"], /^runfcgi: there is no command "conifg", did you mean "config"\?\n$/],
    [["port=0", "protocol=fgci"], /^runfcgi: protocol is "fgci", expected .*: did you mean "fcgi"\?\n$/],
    [["port=1", "port=2"], /^runfcgi: port=1 and port=2 are both given: port takes one value\n$/],
    [["port=abc"], /^runfcgi: port is "abc", expected .*\n$/],
    [["nothere.ts", "port=0"], /^runfcgi: there is no file "nothere\.ts"\n$/],
    [["host=::1"], /^runfcgi: host is "::1" but there is no port: give one, such as port=3033\n$/],
    [["socket=/tmp/a", "proxyprotocol=true"], /^runfcgi: proxyprotocol belongs to HTTP, not to fcgi: give protocol=http\n$/],
    [["socket=/tmp/a", "port=1"], /^runfcgi: give one of socket and port\n$/],
    [["port=0", "static=/media/=./none"], /^runfcgi: static gives "\/media\/" the folder "\.\/none", which is not there\n$/],
    [["port=0", "static=/a/=.."], /^runfcgi: static gives "\/a\/" the folder "\.\.", where visitors could read .*app\.ts".*\n$/],
    [
      ["port=0", "static=/a/=/bin", "static=/b/=/bin", "static=/a/=/etc"],
      /^runfcgi: static gives "\/a\/" twice: give one folder for it\n$/,
    ],
    [["port=0", "sendfile=x-sendfile"], /^runfcgi: sendfile is given but there are no static files: .*\n$/],
    [[], /^runfcgi: there is nothing to listen on: give socket=PATH or port=PORT, or preview=8000 .*\/dev\/null.*\n$/],
  ];
  for (const [words, message] of usage) {
    test(`says in one line what is wrong with "${words.join(" ")}" and exits with 2`, async () => {
      const { code, stderr } = await run(words, { cwd: site() });
      assert.match(stderr, message);
      assert.equal(code, 2);
    });
  }

  test("exits with 1 when the endpoint is taken, and names it", async () => {
    const socket = join(site(), "a.sock");
    const first = await serving({ socket });
    const { code, stderr } = await run([`socket=${socket}`]);
    await first.stop();
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `runfcgi: Cannot listen on "${socket}": a running server listens there. Stop it or choose another path\n`,
    );
  });

  test("serves a named application on a Unix socket with the permissions asked for", async () => {
    const cwd = site({ "site.ts": hello });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["site.ts", "mode=600"], { cwd });
    assert.equal((await ask({ socket }, "/a%20b")).text, "hello /a%20b");
    assert.match(execFileSync("ls", ["-l", socket], { encoding: "utf8" }), /^srw-------/);
    await running.stop();
  });

  test("has the umask that it is told, or that it was started with", async () => {
    const app = `import { writeFileSync } from "node:fs";
export default () => { writeFileSync("made", ""); return new Response(); };\n`;
    for (const [mask, words, modes] of [["022", ["umask=027"], ["640", "750"]], ["077", [], ["600", "700"]]] as const) {
      const cwd = site({ "app.ts": app });
      const socket = join(cwd, "s.sock");
      const masked = ["/bin/sh", "-c", `umask ${mask}; exec "$@"`, "sh", ...command, ...words, `socket=${socket}`];
      const running = launch(masked, { cwd });
      await accepting({ socket }, running);
      await ask({ socket });
      const found = execFileSync("stat", ["-c", "%a", join(cwd, "made"), socket], { encoding: "utf8" });
      assert.deepEqual(found.trim().split("\n"), modes);
      await running.stop();
    }
  });

  test("serves app.ts of the working directory on a TCP port", async () => {
    const port = await freePort();
    const running = await serving({ port }, [], { cwd: site({ "app.ts": hello }) });
    assert.equal((await ask({ port }, "/x")).text, "hello /x");
    const said = new RegExp(`serving .*app\\.ts over FastCGI on 127\\.0\\.0\\.1:${port} with `);
    await until("it says what it serves", () => said.test(running.stderr()));
    await running.stop();
  });

  test("serves on the address that host names, and on no other", async () => {
    const port = await freePort();
    const running = launch([...command, "host=127.0.0.2", `port=${port}`], { cwd: site({ "app.ts": hello }) });
    await until("it says where", () => running.stderr().includes(` on 127.0.0.2:${port} with `));
    assert.equal((await askAt({ transport: "tcp", hostname: "127.0.0.2", port }, "/x")).text, "hello /x");
    await assert.rejects(ask({ port }));
    await running.stop();
  });

  test("serves on the descriptor that fd names, with workers", async () => {
    const words = ["/bin/sh", "-c", 'exec "$@" 5<&0 </dev/null', "sh", ...command, "fd=5", "threads=2"];
    const { port, running } = await startManaged(words, site({ "app.ts": hello }));
    leave(running);
    await until("it says so", () => running.stderr().includes(" on an inherited socket with 2 threads"));
    assert.equal((await ask({ port }, "/x")).text, "hello /x");
    await running.stop();
  });

  test("has no more connections wait in the kernel than backlog says", async () => {
    await using service = await Service.start({ "app.ts": hello }, ["backlog=3", "threads=1"]);
    const workers = service.workers();
    for (const pid of workers) process.kill(pid, "SIGSTOP");
    const sockets = Array.from({ length: 20 }, () => createConnection(service.socket));
    const waiting = await Promise.all(sockets.map((socket) => once(socket, "connect").then(() => true, () => false)));
    for (const socket of sockets) socket.destroy();
    for (const pid of workers) process.kill(pid, "SIGCONT");
    // The kernel takes one more.
    assert.equal(waiting.filter(Boolean).length, 4);
  });

  test("serves folders of files before the application, the longest path first", async () => {
    const cwd = site({ "app.ts": hello });
    for (const folder of ["public", "media"]) {
      mkdirSync(join(cwd, folder));
      writeFileSync(join(cwd, folder, "a.txt"), folder);
    }
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["static=/media/=./media", "static=/=public"], { cwd });
    const answers = { "/a.txt": "public", "/media/a.txt": "media", "/x": "hello /x", "/app.ts": "hello /app.ts" };
    for (const [path, text] of Object.entries(answers)) assert.equal((await ask({ socket }, path)).text, text);
    assert.equal((await ask({ socket }, "/media/x")).status, 404);
    await running.stop();
  });

  test("refuses to serve the folder of a named application, also by way of a link", async () => {
    const cwd = site({ "site.ts": hello });
    symlinkSync(".", join(cwd, "public"));
    const { code, stderr } = await run(["site.ts", "port=0", "static=/=public"], { cwd });
    assert.match(stderr, /could read the source of the application, ".*site\.ts": choose a subfolder/);
    assert.equal(code, 2);
  });

  test("takes a function as an application", async () => {
    const cwd = site({ "app.ts": `export default (request: Request) => new Response(request.method);\n` });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, [], { cwd });
    assert.equal((await ask({ socket })).text, "GET");
    await running.stop();
  });

  test("with debug, shows what arrived when there is no application, and hides secrets", async () => {
    const cwd = site();
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["debug=true"], { cwd });
    const { status, text } = await ask({ socket }, "/<b>", {
      HTTP_COOKIE: "session=rosebud",
      HTTP_AUTHORIZATION: "Basic rosebud",
      REDIRECT_HTTP_AUTHORIZATION: "Basic rosebud",
      DB_PASSWORD: "rosebud",
      SERVER_SOFTWARE: "testserver/1",
    });
    await running.stop();
    assert.equal(status, 200);
    assert.match(text, /It works\./);
    assert.match(text, /testserver\/1/);
    assert.match(text, new RegExp({ deno: "Deno", bun: "Bun", node: "Node", binary: "Bun" }[runtime]));
    assert.doesNotMatch(text, /rosebud/);
    assert.doesNotMatch(text, /<b>/);
  });

  test("serves an application that is put into its folder later", async () => {
    const cwd = site();
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, [], { cwd });
    assert.match((await ask({ socket })).text, /It works/);
    writeFileSync(join(cwd, "app.ts"), hello);
    await until("it is served", async () => (await ask({ socket }, "/x")).text === "hello /x");
    await running.stop();
  });

  test("drains on TERM: the request in flight is answered, exit status 0", async () => {
    const cwd = site({
      "app.ts": `import { existsSync, writeFileSync } from "node:fs";
export default async () => {
  writeFileSync("begun", "");
  while (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response("finished");
};\n`,
    });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, [], { cwd });
    const answer = ask({ socket });
    await until("the request is in flight", () => tryRead(join(cwd, "begun")) !== undefined);
    running.kill("SIGTERM");
    await until(
      "nothing is accepted any more",
      () => tryRead(socket) === undefined && ask({ socket }).then(() => false, () => true),
    );
    writeFileSync(join(cwd, "go"), "");
    assert.equal((await answer).text, "finished");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
  });

  test("exits at once on a second TERM", async () => {
    const cwd = site({
      "app.ts": `import { writeFileSync } from "node:fs";
export default () => { writeFileSync("begun", ""); return new Promise(() => {}); };\n`,
    });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, [], { cwd });
    const answer = ask({ socket }).catch(() => "lost");
    await until("the request is in flight", () => tryRead(join(cwd, "begun")) !== undefined);
    running.kill("SIGTERM");
    await until("it accepts nothing any more", () => tryRead(socket) === undefined);
    let over = false;
    const exit = running.exit.finally(() => over = true);
    // What comes at once is taken for the same one, sent to all processes.
    await until("a second one has ended it", () => {
      running.kill("SIGTERM");
      return over;
    });
    assert.equal((await exit).code, 1);
    assert.equal(await answer, "lost");
  });

  for (const signal of ["SIGINT", "SIGUSR1"] as const) {
    test(`stops on ${signal} with exit status 0`, async () => {
      const cwd = site();
      const running = await serving({ socket: join(cwd, "s.sock") }, [], { cwd });
      await until("the program has said that it serves", () => running.stderr().includes("serving"));
      running.kill(signal);
      assert.deepEqual(await running.exit, { code: 0, signal: null });
    });
  }
});

describe(`an application that cannot be loaded (${runtime})`, () => {
  const broken: [name: string, files: Record<string, string>, reason: RegExp, fixed: Record<string, string>][] = [
    ["has a syntax error", { "app.ts": "export default {\n  fetch( {\n};\n" }, /app\.ts:\d+/, { "app.ts": hello }],
    ["throws", { "app.ts": "\n\nthrow new TypeError('no database');\n" }, /no database[^]*app\.ts:3/, { "app.ts": hello }],
    [
      "imports a module that throws",
      {
        "app.ts": `import { name } from "./dep.ts";\nexport default () => new Response("hello " + name);\n`,
        "dep.ts": "throw new Error('bad dep');\nexport const name = '';\n",
      },
      /bad dep[^]*dep\.ts:1/,
      { "dep.ts": "export const name: string = '/x';\n" },
    ],
    [
      "imports a module that is not there",
      { "app.ts": `import { name } from "./dep.ts";\nexport default () => new Response("hello " + name);\n` },
      /dep\.ts/,
      { "dep.ts": "export const name: string = '/x';\n" },
    ],
    [
      "exports nothing",
      { "app.ts": "export const fetch = 1;\n" },
      /app\.ts has no default export and does not listen\. Write: export default/,
      {
        "app.ts": hello,
      },
    ],
    ["exports no handler", { "app.ts": "export default { get: 1 };\n" }, /exports a default without a method fetch/, {
      "app.ts": hello,
    }],
  ];
  for (const [name, files, reason, fixed] of broken) {
    test(`that ${name} gives a 503 page, tells the reason once everywhere, and is tried again when a file changes`, async () => {
      const cwd = site(files);
      const socket = join(cwd, "s.sock");
      const errlog = join(cwd, "error.log");
      const running = await serving({ socket }, [`errlog=${errlog}`, "threads=1"], { cwd });
      const first = await ask({ socket });
      assert.equal(first.status, 503);
      assert.match(first.text, /cannot be loaded[^]*error\.log/);
      assert.match(first.stderr, reason);
      const second = await ask({ socket });
      assert.equal(second.status, 503);
      assert.equal(second.stderr, "");
      await until("the reason is on standard error and in the file", () => {
        return reason.test(running.stderr()) && reason.test(readFileSync(errlog, "utf8"));
      });
      assert.equal(running.stderr().match(/Cannot load/g)?.length, 1);
      for (const [file, text] of Object.entries(fixed)) writeFileSync(join(cwd, file), text);
      const served = await until("the fixed application is served", async () => {
        const { status, text } = await ask({ socket }, "/x");
        return status === 200 && text;
      });
      assert.equal(served, "hello /x");
      await running.stop();
    });
  }
});

describe(`a process started by a web server (${runtime})`, () => {
  async function managed(words: string[], cwd: string, file?: string): Promise<{ port: number; running: Running }> {
    const started = await startManaged(file ? [file] : [...command, ...words], cwd);
    leave(started.running);
    return started;
  }

  test("serves on the socket that it finds on descriptor 0, and says nothing", async () => {
    const cwd = site({ "site.ts": hello });
    const { port, running } = await managed(["site.ts"], cwd);
    assert.equal((await ask({ port }, "/m")).text, "hello /m");
    running.kill("SIGTERM");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    assert.equal(running.stderr(), "");
  });

  test("answers with a page even when the application that was named is not there", async () => {
    const { port, running } = await managed(["nothere.ts"], site());
    assert.equal((await ask({ port })).status, 503);
    await running.stop();
  });

  test("stops on TERM, whenever it comes in a restart", async () => {
    const cwd = site({ "app.ts": hello });
    for (let delay = 0; delay < 60; delay += 6) {
      const { port, running } = await managed(["app.ts", "maxrequests=1"], cwd);
      assert.equal((await ask({ port }, "/1")).text, "hello /1");
      await new Promise((resolve) => setTimeout(resolve, delay));
      running.kill("SIGTERM");
      const { code, signal } = await running.exit;
      assert.ok(code === 0 || signal === "SIGTERM", running.stderr());
    }
  });

  test("is watched by nothing from before it restarted", async () => {
    const tmp = site({});
    const cwd = site({ "app.ts": hello });
    const words = ["/usr/bin/env", `TMPDIR=${tmp}`, ...command, "app.ts", "timeout=1", "maxrequests=2"];
    const { port, running } = await startManaged(words, cwd);
    leave(running);
    const notes = join(tmp, `runfcgi-notes-${process.getuid?.()}`);
    let folders: string[] = [];
    await until("it is watched", () => (folders = tryList(notes)).length === 1);
    for (const path of ["/1", "/2", "/3"]) assert.equal((await ask({ port }, path)).text, `hello ${path}`);
    await until(
      "the old watchdog is gone, or has ended the process",
      () => !isRunning(running.pid) || !tryList(notes).includes(folders[0]),
    );
    assert.equal(isRunning(running.pid), true, running.stderr());
    assert.equal((await ask({ port }, "/4")).text, "hello /4");
    await running.stop();
    await until("nothing is left", () => tryList(notes).length === 0);
  });

  test("leaves no zombie when it restarts", async () => {
    const cwd = site({ "app.ts": `let served = 0;\nexport default () => new Response(String(++served));\n` });
    const { port, running } = await managed(["app.ts", "maxrequests=2"], cwd);
    // Two lives: a process that ended in the first could be no child of the second otherwise.
    for (let lives = 0; lives < 2;) if ((await ask({ port })).text === "2") lives++;
    assert.equal((await ask({ port })).text, "1");
    const children = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, "utf8").split(" ").filter(Boolean);
    assert.deepEqual(children.filter((pid) => !isRunning(Number(pid))), []);
    await running.stop();
  });

  for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1"] as const) {
    test(`finishes the request in flight at ${signal}, and exits with 0`, async () => {
      const cwd = site({ "app.ts": waiting });
      const { port, running } = await managed([], cwd);
      const answer = ask({ port }, "/wait");
      await until("the request is in flight", () => tryRead(join(cwd, "begun")) !== undefined);
      running.kill(signal);
      writeFileSync(join(cwd, "go"), "");
      assert.equal((await answer).text, "finished");
      assert.deepEqual(await running.exit, { code: 0, signal: null });
    });
  }

  test("lets the request in flight use files after it has stopped listening", async () => {
    const app = `import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
export default async (request: Request) => {
  if (!request.url.endsWith("/wait")) return new Response("hello");
  writeFileSync("begun", "");
  while (!existsSync("go")) await delay(10);
  writeFileSync("file", "written");
  const { stdout } = spawnSync("/bin/cat", { stdio: ["inherit", "pipe", "inherit"], encoding: "utf8" });
  return new Response(readFileSync("file", "utf8") + stdout);
};
`;
    const cwd = site({ "app.ts": app });
    const { port, running } = await managed(["grace=60"], cwd);
    const answer = ask({ port }, "/wait");
    await until("the request is in flight", () => tryRead(join(cwd, "begun")) !== undefined);
    running.kill("SIGTERM");
    const input = () => {
      try {
        return readlinkSync(`/proc/${running.pid}/fd/0`);
      } catch {
        return "closed";
      }
    };
    await until("it has stopped listening", () => !input().startsWith("socket:"));
    writeFileSync(join(cwd, "go"), "");
    assert.equal((await answer).text, "written");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
  });

  test("gives up requests that do not end within its grace, or at a second INT", async () => {
    const begin = async (grace: number) => {
      const cwd = site({ "app.ts": waiting });
      const { port, running } = await managed([`grace=${grace}`], cwd);
      const answer = ask({ port }, "/wait").then(({ status }) => status, () => "lost");
      await until("the request is in flight", () => tryRead(join(cwd, "begun")) !== undefined);
      running.kill("SIGINT");
      return { answer, running };
    };
    const patient = await begin(60);
    const hasty = await begin(0.1);
    assert.equal(await hasty.answer, 503);
    assert.deepEqual(await hasty.running.exit, { code: 0, signal: null });
    assert.ok(isRunning(patient.running.pid), "the one that has longer was told before");
    let over = false;
    patient.running.exit.then(() => over = true);
    patient.running.kill("SIGINT");
    await until("the second INT has ended it", () => over);
    assert.deepEqual(await patient.running.exit, { code: 1, signal: null });
    assert.equal(await patient.answer, "lost");
  });

  test("opens its logs again at USR2", async () => {
    const cwd = site({ "app.ts": hello });
    const { port, running } = await managed(["accesslog=access.log"], cwd);
    const [log, old] = ["access.log", "access.log.1"].map((name) => join(cwd, name));
    await ask({ port }, "/first");
    await until("it is in the log", () => tryRead(log)?.includes("/first"));
    renameSync(log, old);
    running.kill("SIGUSR2");
    await until("there is a new one", () => tryRead(log) !== undefined);
    await ask({ port }, "/second");
    await until("it is in the new log", () => tryRead(log)!.includes("/second"));
    assert.doesNotMatch(tryRead(old)!, /second/);
    await running.stop();
  });

  test("restarts when the last request is finished, and others do not wait for that", async () => {
    const cwd = site({
      "app.ts": `import { existsSync, writeFileSync } from "node:fs";
const born = Math.random();
export default async (request: Request) => {
  if (!request.url.endsWith("/wait")) return new Response(String(born));
  writeFileSync("begun", "");
  while (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response("finished");
};\n`,
    });
    const { port, running } = await managed(["maxrequests=2", "grace=0.1"], cwd);
    const answer = ask({ port }, "/wait");
    await until("a request is in flight", () => tryRead(join(cwd, "begun")) !== undefined);
    const { text } = await ask({ port });
    await until("it is restarting", () => /Restarting: it has served 2 requests/.test(running.stderr()));
    for (let i = 0; i < 3; i++) assert.equal((await ask({ port })).text, text);
    writeFileSync(join(cwd, "go"), "");
    assert.equal((await answer).text, "finished");
    await until("another answers", async () => (await ask({ port })).text !== text);
    await running.stop();
  });

  const enough = { bun: 200, binary: 200, deno: 250, node: 300 }[runtime];
  const limits: [word: string, reason: RegExp][] = [
    ["maxrequests=3", /Restarting: it has served 3 requests/],
    ["maxage=1", /Restarting: it is older than 1 s/],
    [`maxmemory=${enough}`, new RegExp(`Restarting: it takes more than ${enough} MiB`)],
  ];
  for (const [word, reason] of limits) {
    test(`restarts in place with ${word}, even without watching files`, async () => {
      const cwd = site({
        "app.ts": `const born = Math.random();
const kept: Uint8Array[] = [];
export default () => {
  ${word.startsWith("maxmemory") ? "kept.push(new Uint8Array(1 << 23).fill(1));" : ""}
  return new Response(String(born));
};\n`,
      });
      const { port, running } = await managed([word, "watch=false"], cwd);
      const { text } = await ask({ port });
      await until("another answers", async () => (await ask({ port })).text !== text);
      await running.stop();
      assert.match(running.stderr(), reason);
    });
  }

  if (runtime === "binary") {
    for (const ending of ["ts", "tsx", "js", "mjs"]) {
      test(`called mysite.fcgi serves mysite.${ending} beside it, wherever it is started`, async () => {
        const text = ending.startsWith("ts") ? hello : hello.replace(/: (Request|Response)/g, "");
        const cwd = site({ [`mysite.${ending}`]: text });
        const file = install(cwd);
        const { port, running } = await managed([], site(), file);
        assert.equal((await ask({ port }, "/m")).text, "hello /m");
        await running.stop();
      });
    }

    test("runs nothing that lies in its working directory", async () => {
      const cwd = site({
        "bunfig.toml": `preload = ["./hostile.ts"]\n`,
        "hostile.ts": `import { writeFileSync } from "node:fs";\nwriteFileSync("hostile", "");\n`,
        ".env": "HOSTILE=1\n",
        "mysite.ts": `export default () => new Response("HOSTILE is " + process.env.HOSTILE);\n`,
      });
      const { port, running } = await managed([], cwd, install(cwd));
      assert.equal((await ask({ port })).text, "HOSTILE is undefined");
      assert.equal(tryRead(join(cwd, "hostile")), undefined);
      await running.stop();
    });

    test("works in an empty directory with an empty environment", async () => {
      const { port, running } = await managed([], site());
      assert.match((await ask({ port })).text, /It works\./);
      await running.stop();
    });
  }

  /** Puts the compiled program into a folder as `mysite.fcgi`. */
  function install(cwd: string): string {
    const file = join(cwd, "mysite.fcgi");
    try {
      linkSync(command[0], file);
    } catch {
      copyFileSync(command[0], file);
    }
    return file;
  }
});

describe(`plain CGI (${runtime})`, () => {
  test("answers the one request in the environment and exits", async () => {
    const cwd = site({
      "app.ts":
        `export default async (request: Request) => new Response(request.url + " " + await request.text(), { status: 201 });\n`,
    });
    const environment = { REQUEST_METHOD: "POST", REQUEST_URI: "/c?d", CONTENT_LENGTH: "5" };
    const { text, code } = await cgi(cwd, [], environment, "hello and more than the length says");
    assert.match(
      text,
      /^content-type: text\/plain;charset=UTF-8\r\ncontent-length: 26\r\nStatus: 201 Created\r\n\r\nhttp:\/\/localhost\/c\?d hello$/i,
    );
    assert.equal(code, 0);
  });

  test("answers with a page when the application cannot be loaded", async () => {
    const { text, code } = await cgi(site({ "app.ts": "throw new Error('no');\n" }));
    assert.match(text, /Status: 503 Service Unavailable\r\n/);
    assert.equal(code, 0);
  });

  test("hands over a large response whole", async () => {
    const cwd = site({ "app.ts": `export default () => new Response("x".repeat(3_000_000));\n` });
    const { text } = await cgi(cwd);
    assert.equal(text.slice(text.indexOf("\r\n\r\n") + 4).length, 3_000_000);
  });
});

describe(`preview (${runtime})`, () => {
  let running: Running;
  let url: string;
  let cwd: string;
  before(async () => {
    cwd = site({
      "app.ts": `export default async (request: Request, info: { protocol: string }) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/echo") return new Response(request.body);
  const headers = new Headers([["set-cookie", "a=1"], ["set-cookie", "b=2"]]);
  return new Response(request.url + " " + info.protocol, { headers });
};\n`,
    });
    running = launch([...command, "preview=0"], { cwd });
    url = await until("the address is printed", () => /open (http:\S+)/.exec(running.stderr())?.[1]);
  });
  after(() => running.stop());

  test("answers HTTP by asking the application over FastCGI", async () => {
    const response = await fetch(new URL("/a%20b?c", url));
    assert.equal(await response.text(), new URL("/a%20b?c", url).href + " fcgi");
    assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  });

  test("passes bodies on both ways", async () => {
    const body = "0123456789".repeat(200_000);
    const response = await fetch(new URL("/echo", url), { method: "POST", body });
    assert.equal(await response.text(), body);
  });

  for (const [protocol, ...more] of [["scgi"], ["uwsgi"], ["http"], ["ajp", "secret=s3cret", "packetsize=65536"]]) {
    test(`asks over ${protocol} as well, with the length of a body that comes in chunks`, async () => {
      const other = launch([...command, "preview=0", `protocol=${protocol}`, ...more], { cwd });
      try {
        const at = await until("the address is printed", () => /open (http:\S+)/.exec(other.stderr())?.[1]);
        // More than a packet of AJP holds, if nothing else is said.
        const headers = { "x-long": "x".repeat(10_000) };
        assert.equal(await (await fetch(new URL("/a", at), { headers })).text(), `${new URL("/a", at).href} ${protocol}`);
        const body = ReadableStream.from([bytes("0123456789".repeat(50_000)), bytes("end")]);
        const init: RequestInit & { duplex: "half" } = { method: "POST", body, duplex: "half" };
        assert.equal((await (await fetch(new URL("/echo", at), init)).text()).length, 500_003);
      } finally {
        await other.stop();
      }
    });
  }

  test("takes the next free port when another program has the one that was asked for, and says so", async () => {
    const { port } = new URL(url);
    const other = launch([...command, `preview=${port}`], { cwd });
    try {
      const [, at, taken] = await until(
        "the address is printed",
        () => /open (http:\S+) in a browser \(another program listens on port (\d+)\)\. Stop with Ctrl-C\n/.exec(other.stderr()),
      );
      assert.equal(taken, port);
      assert.ok(Number(new URL(at).port) > Number(port), at);
      assert.equal(await (await fetch(new URL("/a", at))).text(), `${new URL("/a", at).href} fcgi`);
    } finally {
      await other.stop();
    }
  });
});
