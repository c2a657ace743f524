/** The status on an endpoint of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, killInTheEnd, run, serving, site } from "../support/cli.ts";
import { freePort, program, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

/** Requests for `/busy` keep the processor until there is a file `go`. */
const app = `import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
export default (request: Request): Response => {
  if (!request.url.endsWith("/busy")) return new Response("the application");
  writeFileSync(join(import.meta.dirname!, "begun"), "");
  while (!existsSync(join(import.meta.dirname!, "go")));
  return new Response("was busy");
};
`;

describe(`statuslisten (${runtime})`, () => {
  test("answers while no worker does, in every form, and says what is under way", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const port = await freePort();
    const running = await serving({ socket }, ["app.ts", "threads=1", `statuslisten=${port}`], { cwd });
    const get = (path: string, accept = "*/*") => fetch(`http://127.0.0.1:${port}${path}`, { headers: { accept } });
    assert.equal(await (await get("/ping")).text(), "pong\n");
    assert.equal((await get("/other")).status, 404);
    const busy = ask({ socket }, "/busy");
    await until("the worker is busy", () => existsSync(join(cwd, "begun")));
    // What a silent worker is at is seen after a moment.
    const under = () => get("/status").then((response) => response.text());
    assert.match(await until("it is told", async () => /under way:\n(.*)/.exec(await under())?.[1]), /GET \/busy for/);
    assert.match(await (await get("/", "text/html")).text(), /<h1>Status<\/h1>[^]*GET \/busy for/);
    assert.equal((await (await get("/status?json")).json()).total.inFlight, 1);
    assert.match(await (await get("/metrics")).text(), /^runfcgi_requests_in_flight 1$/m);
    writeFileSync(join(cwd, "go"), "");
    assert.equal((await busy).text, "was busy");
    running.kill();
    assert.deepEqual(await running.exit, { code: 0, signal: null }, running.stderr());
  });

  const promtool = "/usr/bin/promtool";
  test(
    "has metrics in which promtool finds no fault",
    { skip: !existsSync(promtool) && `${promtool} is not installed` },
    async () => {
      const cwd = site({ 'app "1".ts': app });
      const [socket, status] = [join(cwd, "s.sock"), join(cwd, "status.sock")];
      const running = await serving({ socket }, ['app "1".ts', `statuslisten=${status}`], { cwd });
      await ask({ socket }, "/");
      const { stdout } = await run(["get", "protocol=http", `socket=${status}`, "/metrics"]);
      assert.match(stdout, /^runfcgi_requests_total\{.*\} 1$/m);
      const { status: code, stderr } = spawnSync(promtool, ["check", "metrics"], { input: stdout, encoding: "utf8" });
      assert.deepEqual([code, stderr], [0, ""]);
      await running.stop();
    },
  );

  test("goes over to the next server in a restart, and an endpoint that is taken is an error", async () => {
    const cwd = site({ "app.ts": app });
    const [socket, pidfile, status] = ["s.sock", "s.pid", "status.sock"].map((file) => join(cwd, file));
    const words = ["app.ts", `socket=${socket}`, `pidfile=${pidfile}`, `statuslisten=${status}`, "threads=1"];
    const { code, stderr } = await run(words, { cwd });
    assert.equal(code, 0, stderr);
    const get = ["get", "protocol=http", `socket=${status}`, "/status?json"];
    assert.equal(JSON.parse((await run(get)).stdout).pid, killInTheEnd(pidfile));
    const other = await run(["app.ts", `socket=${socket}2`, `statuslisten=${status}`], { cwd });
    assert.equal(other.code, 1);
    assert.match(other.stderr, /Cannot listen on ".*status\.sock": a running server listens there/);
    assert.equal((await run(["restart", `pidfile=${pidfile}`], { cwd })).code, 0);
    const pid = killInTheEnd(pidfile);
    await until("the new server answers", async () => {
      const { code, stdout } = await run(get);
      return code === 0 && JSON.parse(stdout).pid === pid;
    });
    assert.equal((await run(["stop", `pidfile=${pidfile}`])).code, 0);
    assert.equal(existsSync(status), false);
  });
});
