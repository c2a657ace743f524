import assert from "node:assert/strict";
import { chmodSync, copyFileSync, existsSync, linkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { runManaged } from "../../src/doctor/managed.ts";
import { freePort, program, startServing, until } from "../support/program.ts";
import { run, workplace } from "../support/words.ts";

const { site, path: place } = workplace();
chmodSync(place, 0o755);
const hello = `export default { fetch: () => new Response("hello") };`;

/** A folder with an application, and with the compiled program if that is tested. */
function managedSite(app: string): string {
  const { name, command: [file] } = program();
  if (name !== "binary") return site({ "app.ts": app });
  const folder = site({ "mysite.ts": app });
  chmodSync(folder, 0o755);
  try {
    linkSync(file, join(folder, "mysite.fcgi"));
  } catch {
    // Another file system.
    copyFileSync(file, join(folder, "mysite.fcgi"));
  }
  return folder;
}

/** Runs a command of the shell as mod_fcgid would, with little patience. */
function managed(script: string, words: readonly string[] = [], answer = 20) {
  return runManaged(["/bin/sh", "-c", script, "sh", ...words], site({ "app.ts": hello }), { answer, end: 0.3 });
}

describe("doctor", () => {
  test("finds nothing wrong with a server that runs", async () => {
    const folder = site({ "app.ts": hello });
    chmodSync(folder, 0o755);
    const socket = join(folder, "s");
    const words = ["app.ts", `socket=${socket}`, "mode=666", "pidfile=pid", "errlog=log"];
    const running = await startServing({ socket }, [
      ...words.filter((word) => !word.startsWith("socket")),
      "daemonize=false",
      "threads=1",
    ], { cwd: folder });
    try {
      await until("the pidfile is written", () => existsSync(join(folder, "pid")));
      const { code, stdout, stderr } = await run(
        ["doctor", "app.ts", `socket=${socket}`, "pidfile=pid", "errlog=log", "user=nobody"],
        { cwd: folder },
      );
      for (
        const line of [/^ok +application +/m, /^ok +endpoint +.* answers GET \/ with 200$/m, /^ok +socket +nobody may connect/m]
      ) {
        assert.match(stdout, line);
      }
      assert.match(stdout, /^ok +pidfile .*names the running process \d+$/m);
      assert.match(stdout, /^ok +errlog /m);
      assert.ok(!stdout.includes("problem"), stdout);
      assert.equal(code, 0, stdout + stderr);
      const url = await run(["doctor", "app.ts", `socket=${socket}`, "url=http://127.0.0.1:9/"], { cwd: folder });
      assert.match(url.stdout, /^not checked +what arrives +because the program runs on the endpoint\. Stop it/m);
    } finally {
      await running.stop();
    }
  });

  test("finds an application that cannot be loaded, where it is wrong, and a log that cannot be written", async () => {
    const folder = site({ "app.ts": `import "./none.ts";\n`, "exits.ts": "process.exit(3);", "shape.ts": "export default 1;" });
    writeFileSync(join(folder, "option.ts"), `export const runfcgi = { tiemout: 1 };\n${hello}`);
    const results = await Promise.all(
      ["app.ts", "exits.ts", "shape.ts", "option.ts"].map((app) =>
        run(["doctor", app, `port=${1}`, "errlog=none/log"], { cwd: folder })
      ),
    );
    const texts = [/none\.ts/, /it ended the process \(status 3\)/, /without a method fetch/, /there is no option "tiemout"/];
    results.forEach(({ code, stdout }, i) => {
      assert.equal(code, 1);
      assert.match(stdout, /^problem +application +".*" cannot be loaded\n {28}/m);
      assert.match(stdout, texts[i]);
      assert.match(stdout, /^problem +endpoint +nothing listens on 127\.0\.0\.1:1\n {28}Start the program/m);
      assert.match(stdout, /^problem +errlog +.*\n +mkdir -p none$/m);
    });
  });

  test("looks through a web server by serving the endpoint itself", async () => {
    const folder = site({ "app.ts": hello });
    const [port, front] = [await freePort(), await freePort()];
    // The endpoint itself, as if it were a site: over HTTP all arrives but the visitor's host is its own.
    const words = ["doctor", "app.ts", "protocol=http", `port=${port}`];
    const [through, past] = await Promise.all([
      run([...words, `url=http://127.0.0.1:${port}/`], { cwd: folder }),
      run(["doctor", "app.ts", `socket=${join(folder, "s")}`, `url=http://127.0.0.1:${front}/`], { cwd: folder }),
    ]);
    assert.match(through.stdout, /^ok +endpoint +nothing runs there: the doctor serves it now$/m);
    for (const check of ["web server", "scheme", "host", "path", "authorization", "visitor", "uploads", "events"]) {
      assert.match(through.stdout, new RegExp(`^ok +${check} `, "m"));
    }
    assert.equal(through.code, 0, through.stdout + through.stderr);
    assert.match(past.stdout, /^problem +web server +http:.* does not answer/m);
    assert.equal(past.code, 1);
  });

  test("gives a site the password that the owner's page hands on, and nobody else", async () => {
    const folder = site({ "nothing.txt": "" });
    const sent: (string | undefined)[] = [];
    const server = createServer(({ headers }, response) => {
      sent.push(headers.authorization);
      response.writeHead(401).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `url=http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const authorization = `Basic ${btoa("me:a:b c")}`;
      const { stdout } = await run(["doctor", url], { cwd: folder, env: { RUNFCGI_AUTHORIZATION: authorization } });
      assert.match(stdout, /refuses the user and the password/);
      assert.ok(sent.length > 1 && sent.every((one) => one === authorization), String(sent));
    } finally {
      server.close();
    }
  });

  test("exits with 2 for words that make no sense, and has a help", async () => {
    const [url, user, as, help] = await Promise.all([
      run(["doctor", "url=example.org"]),
      run(["doctor", "user=no-such-user"]),
      run(["doctor", "as=php"]),
      run(["doctor", "--help"]),
    ]);
    assert.match(url.stderr, /url is "example\.org", expected a URL/);
    assert.match(user.stderr, /there is no user "no-such-user"/);
    assert.deepEqual([url.code, user.code, as.code, help.code], [2, 2, 2, 0]);
  });
});

describe("doctor as=mod_fcgid", () => {
  test("shows the answer and all that the program wrote, with the little that mod_fcgid gives", async () => {
    const app = `
      import { statSync, writeFileSync } from "node:fs";
      import process from "node:process";
      writeFileSync("made", "");
      const mode = (statSync("made").mode & 0o777).toString(8);
      export default { fetch(request: Request) {
        console.error("written by the application");
        return new Response(JSON.stringify([mode, process.cwd(), process.env.HOME ?? null, process.env.PATH, new URL(request.url).pathname]));
      } };`;
    const folder = managedSite(app);
    const { code, stdout } = await run(["doctor", "as=mod_fcgid"], { cwd: folder, env: { HOME: "/somewhere" } });
    assert.match(stdout, /^ok +answer +GET \/ was answered with 200 after \d+ ms$/m);
    assert.match(stdout, /^ok +end +asked by TERM, it ended after \d+ ms$/m);
    const seen = JSON.stringify(["600", folder, null, "/usr/local/bin:/usr/bin:/bin", "/"]);
    assert.ok(stdout.includes(`The page, status 200:\n  ${seen}\n`), stdout);
    assert.match(stdout, /What the program wrote:\n[^]*written by the application/);
    assert.equal(code, 0, stdout);
  });

  test("finds a page that fails, and why", async () => {
    const folder = managedSite(`export default { fetch() { throw new Error("out of order"); } };`);
    const { code, stdout } = await run(["doctor", "as=mod_fcgid"], { cwd: folder });
    assert.match(stdout, /^problem +answer +GET \/ was answered with 500/m);
    assert.match(stdout, /What the program wrote:\n[^]*out of order/);
    assert.equal(code, 1);
  });

  test("finds a program that cannot be run, that ends, that hangs, and that does not end", async () => {
    const [missing, closed, ends, killed, hangs, stays] = await Promise.all([
      managed("exec /nothing/here"),
      managed("exec /etc/passwd"),
      managed("echo wrong >&2; exit 3"),
      managed("kill -s SEGV $$"),
      managed("sleep 20", [], 0.3),
      managed('exec 3<&0; trap "" TERM; "$@" <&3 3<&- & wait', program().command),
    ]);
    const first = ({ findings: [{ state, text }] }: Awaited<ReturnType<typeof managed>>) => `${state}: ${text}`;
    assert.match(first(missing), /^problem: the program is not there/);
    assert.match(first(closed), /^problem: the program cannot be executed/);
    assert.match(first(ends), /^problem: the program ended with the status 3 before it had answered/);
    assert.equal(ends.output, "wrong\n");
    assert.match(first(killed), /^problem: the program ended by the signal SIGSEGV/);
    assert.match(first(hangs), /^problem: there was no answer in 0\.3 s/);
    assert.deepEqual(
      stays.findings.map(({ check, state }) => [check, state]),
      [["answer", "ok"], ["end", "problem"]],
      stays.output,
    );
    assert.match(stays.findings[1].text, /has not ended 0\.3 s after TERM/);
  });
});
