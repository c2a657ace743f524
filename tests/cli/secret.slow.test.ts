/** What may not be known to everybody: a secret in the command line, and the proxy that a visitor would like to be. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cgi, cleanUp, hello, launch, processesIn, run, site } from "../support/cli.ts";
import { freePort, program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

describe(`a secret (${runtime})`, () => {
  const secret = "rosebud-4711";
  const showsSecret = `import process from "node:process";
export default () => new Response(JSON.stringify(process.env).includes("${secret}") ? "shown" : "hidden");
`;

  const given: [what: string, words: string[], environment: Record<string, string>, shown: boolean][] = [
    ["from a file", ["secret=@secret"], {}, false],
    ["from the environment", [], { RUNFCGI_SECRET: secret }, false],
    ["from a file that the environment names", [], { RUNFCGI_SECRET: "@secret" }, false],
    ["in the command line", [`secret=${secret}`], {}, true],
    ["as a word of its own", ["--secret", secret], {}, true],
  ];
  for (const [what, words, env, shown] of given) {
    test(`${what} is asked for, and is in no command line that we start, nor in the application's environment`, async () => {
      const cwd = site({ "app.ts": showsSecret, secret: `${secret}\n` });
      chmodSync(join(cwd, "secret"), 0o600);
      const port = await freePort();
      const running = launch([...command, "app.ts", "protocol=ajp", `port=${port}`, "method=prefork", ...words], { cwd, env });
      await until("it serves", () => running.stderr().includes("serving"));
      const endpoint = ["get", "protocol=ajp", `port=${port}`];
      const asked = await run([...endpoint, "secret=@secret", "/"], { cwd });
      assert.deepEqual([asked.code, asked.stdout], [0, "hidden"], asked.stderr);
      assert.equal((await run([...endpoint, "-i", "/"], { cwd })).stdout.includes("403"), true);
      const lines = processesIn(cwd).filter((pid) => pid !== running.pid).map((pid) =>
        readFileSync(`/proc/${pid}/cmdline`, "utf8")
      );
      assert.ok(lines.length >= 2, String(lines.length));
      assert.ok(lines.every((line) => !line.includes(secret)), lines.join("\n"));
      assert.equal(running.stderr().includes("all users can see the secret in the command: use secret=@FILE"), shown);
      await running.stop();
    });
  }

  test("is the same after a restart, however it was given", async () => {
    for (const [what, words, env] of given) {
      const cwd = site({ "app.ts": showsSecret, secret: `${secret}\n` });
      chmodSync(join(cwd, "secret"), 0o600);
      const [port, pidfile] = [await freePort(), join(cwd, "pid")];
      const started = await run(["app.ts", "protocol=ajp", `port=${port}`, `pidfile=${pidfile}`, "threads=1", ...words], {
        cwd,
        env,
      });
      assert.equal(started.code, 0, started.stderr);
      try {
        // The environment of who restarts it is another.
        const restarted = await run(["restart", `pidfile=${pidfile}`], { cwd });
        assert.equal(restarted.code, 0, `${what}: ${restarted.stderr}`);
        const asked = await run(["get", "protocol=ajp", `port=${port}`, "secret=@secret", "/"], { cwd });
        assert.deepEqual([asked.code, asked.stdout], [0, "hidden"], `${what}: ${asked.stderr}`);
        const lines = processesIn(cwd).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
        assert.ok(lines.every((line) => !line.includes(secret)), `${what}: ${lines.join("\n")}`);
      } finally {
        await run(["stop", `pidfile=${pidfile}`]);
      }
    }
  });

  test("in a file that others can read, or that is not one, is an error that says what to do", async () => {
    const cwd = site({ "app.ts": hello, open: secret, empty: "\n" });
    chmodSync(join(cwd, "open"), 0o644);
    chmodSync(join(cwd, "empty"), 0o600);
    execFileSync("mkfifo", ["-m", "600", join(cwd, "pipe")]);
    for (
      const [file, reason] of [
        ["open", "every user can read it. Run: chmod o= open"],
        ["empty", "it is empty"],
        ["pipe", "it is not a regular file"],
      ]
    ) {
      const { code, stderr } = await run(["app.ts", "port=0", "protocol=ajp", `secret=@${file}`], { cwd });
      assert.deepEqual([code, stderr], [2, `runfcgi: the secret cannot be read from "${file}": ${reason}\n`]);
    }
    const { code, stderr } = await run(["app.ts", "port=0", "protocol=ajp", "secret=@none"], { cwd });
    assert.equal(code, 2);
    assert.match(stderr, /^runfcgi: the secret cannot be read from "none": .*\n$/);
  });
});

test(`the header Proxy of CGI is no proxy of the application, nor of what it starts (${runtime})`, async () => {
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url!);
    response.end("proxied");
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as AddressInfo;
  // Options that are no literal are those of a module that is evaluated for them.
  const app = `import { execFileSync } from "node:child_process";
const atLoad = process.env.HTTP_PROXY;
const ping = "/ping";
export const runfcgi = { ping };
export default async (request: Request, { params }: { params: Record<string, string> }) => {
  const fetched = await fetch("http://host.invalid/").then((response) => response.text(), () => "failed");
  const child = execFileSync("/usr/bin/env", { encoding: "utf8" }).includes("HTTP_PROXY");
  return Response.json([atLoad ?? null, process.env.HTTP_PROXY ?? null, child, fetched, params.HTTP_PROXY, request.headers.get("proxy")]);
};
`;
  const cwd = site({ "app.ts": app });
  const sent = `http://127.0.0.1:${port}`;
  const { text } = await cgi(cwd, [], { HTTP_PROXY: sent });
  proxy.close();
  assert.deepEqual(JSON.parse(text.split("\r\n\r\n")[1] ?? "null"), [null, null, false, "failed", sent, null], text);
  assert.deepEqual(asked, []);
});
