/** Log files: what is in them, and that they can be taken away. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { ask, cleanUp, killInTheEnd, run, serving, site, tryRead } from "../support/cli.ts";
import { program, type Running, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

const app = `export default async (request: Request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/slow") await new Promise((resolve) => setTimeout(resolve, 1100));
  if (pathname === "/throw") throw new Error("thrown for a test: <b>");
  console.log("out " + pathname);
  console.error("err " + pathname);
  return new Response("hello", { status: 201 });
};
`;

/** Waits until it has ended by itself, and so has written all that it had to, however long that takes. */
async function ended(running: Running): Promise<void> {
  running.kill();
  assert.deepEqual(await running.exit, { code: 0, signal: null });
}

describe(`logs (${runtime})`, () => {
  test("a line for each request in Apache's format, and one for each slow request", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const words = ["accesslog=access.log", "slowlog=slow.log", "slowtime=1", "threads=1"];
    const running = await serving({ socket }, words, { cwd });
    const visitor = { REMOTE_ADDR: "192.0.2.7", HTTP_REFERER: 'http://a/"b"', HTTP_USER_AGENT: "Agent/1" };
    await ask({ socket }, "/a?b", visitor);
    await ask({ socket }, "/slow", visitor);
    await ended(running);
    const lines = tryRead(join(cwd, "access.log"))!.trimEnd().split("\n");
    assert.equal(lines.length, 2);
    const pattern = new RegExp(
      String.raw`^192\.0\.2\.7 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a\?b HTTP/1\.1" 201 5 ` +
        String.raw`"http://a/\\"b\\"" "Agent/1" \d+\.\d{6}$`,
    );
    assert.match(lines[0], pattern);
    // On a busy machine, the first one can be slow as well.
    const slow = tryRead(join(cwd, "slow.log"))!.replace(/^.* "GET \/a\?b" .*\n/, "");
    assert.match(slow, /^\[\S+ \+0000\] 192\.0\.2\.7 "GET \/slow" \d+\.\d{3} s, [^\n]*\n$/);
  });

  for (const threads of [1, 2]) {
    test(`lose what nobody reads any more, and nothing else, with threads=${threads}`, async () => {
      const cwd = site({
        "app.ts": `export default (request, info) => {
          console.log("out");
          console.error("err");
          process.stdout.write("out\\n");
          process.stderr.write("err\\n");
          info.stderr("info");
          if (request.url.endsWith("/throw")) throw new Error("thrown for a test");
          return new Response(String(process.pid));
        };`,
      });
      const socket = join(cwd, "s.sock");
      const running = await serving({ socket }, [`threads=${threads}`], { cwd });
      running.abandon();
      const answers = new Set<string>();
      for (let i = 0; i < 20; i++) {
        const { text, status } = await ask({ socket }, i % 5 === 4 ? "/throw" : "/");
        answers.add(status === 200 ? text : String(status));
      }
      assert.equal(answers.size, 2, [...answers].join());
      assert.ok(answers.has("500"), [...answers].join());
      await ended(running);
    });
  }

  test("or in JSON", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["accesslog=access.log", "accessformat=json", "method=prefork"], { cwd });
    await Promise.all([ask({ socket }, "/a"), ask({ socket }, "/b")]);
    await ended(running);
    const lines = tryRead(join(cwd, "access.log"))!.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ target, status, bytes, protocol }) => [target, status, bytes, protocol]).sort(), [
      ["/a", 201, 5, "fcgi"],
      ["/b", 201, 5, "fcgi"],
    ]);
  });

  test("what a visitor sends makes no entry of its own, and does nothing in a terminal", async () => {
    const forged = "[2026-01-01 00:00:00] runfcgi[1] Worker 1 is replaced";
    const cwd = site({
      "app.ts": `export default (_: Request, { params }: { params: Record<string, string> }) => {
  throw new Error(params.REQUEST_URI);
};
`,
    });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["errlog=err.log", "threads=1"], { cwd });
    const sent = { REQUEST_URI: `/a\r\n${forged}\n\x9b2J\u2028${forged}` };
    assert.equal((await ask({ socket }, "/", { REQUEST_METHOD: "GET\x1b]0;title\x07" })).status, 400);
    assert.equal((await ask({ socket }, "/", sent)).status, 500);
    await until("it is logged", () => /Error: \/a/.test(tryRead(join(cwd, "err.log")) ?? ""));
    await ended(running);
    for (const text of [tryRead(join(cwd, "err.log"))!, running.stderr()]) {
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(text, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]/);
      assert.doesNotMatch(text, /^\[2026-01-01/m);
      // The request in one line, and then the error with its lines indented.
      const escaped = String.raw`GET /a\x0d\x0a${forged}\x0a\xc2\x9b2J\xe2\x80\xa8${forged}: Error: /a`;
      assert.ok(text.includes(`${escaped}\n  ${forged}\n  \\xc2\\x9b2J`), text);
      assert.ok(text.includes(String.raw`GET\x1b]0;title\x07 /: `), text);
      assert.match(text, /^ {4}at .*app\.ts:2/m);
    }
  });

  for (const words of [["threads=1"], ["threads=2"], ["method=prefork"]]) {
    test(`nor does what the application prints of it, with ${words}`, async () => {
      const forged = "[2026-01-01 00:00:00] runfcgi[1] Worker 1 is replaced";
      const cwd = site({
        "app.ts": `import process from "node:process";
export default (_: Request, { params }: { params: Record<string, string> }) => {
  console.error(params.REQUEST_URI);
  console.error(new Error(params.REQUEST_URI));
  process.stderr.write("half a line");
  throw new Error("thrown for a test");
};
`,
      });
      const socket = join(cwd, "s.sock");
      const running = await serving({ socket }, ["errlog=err.log", ...words], { cwd });
      assert.equal((await ask({ socket }, "/", { REQUEST_URI: `/a\r\n${forged}\n\x1b[2J${forged}` })).status, 500);
      await until("it is logged", () => /thrown for a test/.test(tryRead(join(cwd, "err.log")) ?? ""));
      await running.stop();
      for (const text of [tryRead(join(cwd, "err.log"))!, running.stderr()]) {
        // deno-lint-ignore no-control-regex
        assert.doesNotMatch(text, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
        assert.doesNotMatch(text, /^\[2026-01-01/m);
        assert.ok(text.includes(`\n  ${forged}\n\\x1b[2J`), text);
        assert.match(text, /^ +at .*app\.ts:4/m);
        assert.match(text, /^\[[^\]]+\] runfcgi\[\d+\] GET [^\n]*: Error: thrown for a test\n {4}at .*app\.ts:6/m);
      }
    });
  }

  for (const background of [false, true]) {
    test(`renamed files are created again, at USR2 and by themselves, ${background ? "in the background" : "in the foreground"}`, async () => {
      const cwd = site({ "app.ts": app });
      const socket = join(cwd, "s.sock");
      const logs = Object.fromEntries(["errlog", "outlog", "accesslog"].map((name) => [name, join(cwd, `${name}.log`)]));
      const words = [...Object.entries(logs).map(([name, file]) => `${name}=${file}`), "threads=1", "status=/status"];
      const [pid, pidfile] = [() => Number(tryRead(pidfile)), join(cwd, "s.pid")];
      if (background) {
        const { code, stderr } = await run([`socket=${socket}`, `pidfile=${pidfile}`, ...words], { cwd });
        assert.equal(code, 0, stderr);
        killInTheEnd(pidfile);
      } else await serving({ socket }, [`pidfile=${pidfile}`, "daemonize=false", ...words], { cwd });
      await until("the pidfile is there", pid);
      const written = async (path: string) => {
        let asked = 0;
        await until(`${path} is in all logs`, async () => {
          await ask({ socket }, path);
          asked++;
          return Object.values(logs).every((file) => tryRead(file)?.includes(path));
        });
        // A response overtakes the lines of its request, which must not come behind the next rename.
        const lines = (file: string) => ["", ".1", ".2"].map((ending) => tryRead(file + ending) ?? "").join("").split(path);
        await until("no line is on its way", () => Object.values(logs).every((file) => lines(file).length - 1 === asked));
      };
      await written("/first");
      const rename = (ending: string) => Object.values(logs).forEach((file) => renameSync(file, `${file}${ending}`));
      rename(".1");
      process.kill(pid(), "SIGUSR2");
      await until("new files are there", () => Object.values(logs).every((file) => tryRead(file) !== undefined));
      // The answer comes to the worker behind what it was told at USR2.
      await ask({ socket }, "/status");
      await written("/second");
      for (const file of Object.values(logs)) {
        assert.doesNotMatch(tryRead(file)!, /first/);
        assert.doesNotMatch(tryRead(`${file}.1`)!, /second/);
      }
      rename(".2");
      await written("/third");
      for (const file of Object.values(logs)) assert.doesNotMatch(tryRead(file)!, /second/);
      process.kill(pid(), "SIGTERM");
      await until("it has ended", () => tryRead(pidfile) === undefined);
    });
  }

  test("debug=true shows a visitor what was thrown, escaped; otherwise nobody sees it", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const secret = { HTTP_COOKIE: "rosebud" };
    const open = await serving({ socket }, ["debug=true", "threads=1"], { cwd });
    const shown = await ask({ socket }, "/throw", secret);
    assert.equal(shown.status, 500);
    assert.match(shown.text, /thrown for a test: &[#\w]+;b&[#\w]+;/);
    assert.match(shown.text, /app\.ts/);
    assert.doesNotMatch(shown.text, /rosebud|<b>/);
    await open.stop();
    const closed = await serving({ socket }, ["threads=1"], { cwd });
    const hidden = await ask({ socket }, "/throw", secret);
    assert.equal(hidden.status, 500);
    assert.doesNotMatch(hidden.text, /thrown/);
    await until("the log has it", () => closed.stderr().includes("thrown for a test"));
    await closed.stop();
  });

  test("accesslog=syslog and journal are taken by programs, in the format and but for the paths that are asked for", async () => {
    for (const [word, name] of [["syslog", "logger"], ["journal", "systemd-cat"]]) {
      const cwd = site({ "mysite.ts": app, [`bin/${name}`]: '#!/bin/sh\necho "$@" > taken\nexec cat >> taken\n' });
      chmodSync(join(cwd, "bin", name), 0o755);
      const socket = join(cwd, "s.sock");
      const words = ["mysite.ts", `accesslog=${word}`, "accessformat=%m %U %s", "logskip=/ping", "logskip=/media/", "threads=1"];
      const env = { PATH: `${join(cwd, "bin")}:${process.env.PATH}` };
      const running = await serving({ socket }, words, { cwd, env });
      for (const path of ["/ping", "/media/a", "/a", "/b"]) await ask({ socket }, path);
      await until("the lines are there", () => tryRead(join(cwd, "taken"))?.endsWith("GET /b 201\n"));
      const [arguments_, ...lines] = tryRead(join(cwd, "taken"))!.split("\n");
      assert.match(arguments_, /mysite/);
      assert.deepEqual(lines, ["GET /a 201", "GET /b 201", ""]);
      await ended(running);
    }
  });

  test("a program that is not there is named before anything is served", async () => {
    const cwd = site({ "app.ts": app });
    const { code, stderr } = await run(["app.ts", "accesslog=syslog", `socket=${join(cwd, "s")}`], { cwd, env: { PATH: cwd } });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^runfcgi: "syslog" needs the program logger, which is not there: install it, or give the path of a file\n$/,
    );
  });

  for (const path of ["-", "/dev/stdout", "stdout"]) {
    test(`accesslog=${path} is standard output, also where that is a socket`, async () => {
      const cwd = site({ "app.ts": app });
      const socket = join(cwd, "s.sock");
      const running = await serving({ socket }, [`accesslog=${path}`, "threads=1"], { cwd });
      await ask({ socket }, "/a");
      await until("the line is there", () => /"GET \/a HTTP\/1\.1" 201 /.test(running.stdout()));
      await running.stop();
      assert.equal(tryRead(join(cwd, "-")), undefined);
    });
  }

  test("there is no standard output in the background, and no file for what goes there anyway", async () => {
    const cwd = site({ "app.ts": app });
    for (
      const [words, message] of [
        [
          ["accesslog=-", "pidfile=a.pid"],
          /^runfcgi: accesslog is "-", but the background has no standard output: give a file\n$/,
        ],
        [
          ["errlog=-"],
          /^runfcgi: errlog is "-", expected the path of a file; without it, all goes to standard output and standard/,
        ],
      ] as const
    ) {
      const { code, stderr } = await run([...words, `socket=${join(cwd, "s.sock")}`], { cwd });
      assert.match(stderr, message);
      assert.equal(code, 2);
    }
  });

  const missing = !existsSync("/usr/sbin/logrotate") && "logrotate is not installed";
  test("logrotate takes them away by the printed configuration, and no line is lost", { skip: missing }, async () => {
    const cwd = site({ "app.ts": app });
    const [socket, log] = [join(cwd, "s.sock"), join(cwd, "access.log")];
    const running = await serving({ socket }, [`accesslog=${log}`, "threads=1"], { cwd });
    const configuration = join(cwd, "logrotate.conf");
    writeFileSync(configuration, configText(["logrotate", `accesslog=${log}`]), { mode: 0o644 });
    await ask({ socket }, "/before");
    await until("the line is there", () => tryRead(log)?.includes("/before"));
    const rotated = spawnSync("/usr/sbin/logrotate", ["--force", "--state", join(cwd, "state"), configuration], {
      encoding: "utf8",
    });
    assert.deepEqual([rotated.status, rotated.stderr], [0, ""]);
    let asked = 0;
    await until("lines are in a new file", async () => {
      await ask({ socket }, `/after${asked++}`);
      return tryRead(log)?.includes("/after");
    });
    await ended(running);
    const lines = [...`${tryRead(`${log}.1`)}${tryRead(log)}`.matchAll(/"GET (\S+) /g)].map(([, path]) => path);
    assert.deepEqual(lines, ["/before", ...Array.from({ length: asked }, (_, i) => `/after${i}`)]);
  });
});
