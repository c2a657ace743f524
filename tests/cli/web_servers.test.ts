/** FCGI_WEB_SERVER_ADDRS, for each way to be started. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, cleanUp, leave, run, serving, site } from "../support/cli.ts";
import { startManaged } from "../support/managed.ts";
import { freePort, program, until } from "../support/program.ts";

cleanUp();

const app = { "app.ts": `export default () => new Response("hello");\n` };

describe("FCGI_WEB_SERVER_ADDRS", () => {
  test("that is no list of addresses is an error at start", async () => {
    const { code, stderr } = await run(["app.ts", "port=0"], { cwd: site(app), env: { FCGI_WEB_SERVER_ADDRS: "localhost" } });
    assert.deepEqual([code, stderr], [
      2,
      'runfcgi: FCGI_WEB_SERVER_ADDRS has "localhost", expected IP addresses joined by commas, such as 127.0.0.1,10.0.0.5\n',
    ]);
  });

  for (const method of ["threaded", "prefork"]) {
    test(`keeps others out of workers (${method})`, async () => {
      for (const [list, allowed] of [["192.0.2.1", false], ["192.0.2.1,127.0.0.1", true]] as const) {
        const endpoint = { port: await freePort() };
        const words = ["app.ts", `method=${method}`, "threads=1", "maxchildren=1"];
        const running = await serving(endpoint, words, { cwd: site(app), env: { FCGI_WEB_SERVER_ADDRS: list } });
        const text = await ask(endpoint).then(({ text }) => text, () => undefined);
        assert.equal(text, allowed ? "hello" : undefined);
        if (!allowed) await until("it says so", () => running.stderr().includes("Refused a connection from 127.0.0.1"));
        await running.stop();
      }
    });
  }

  test("keeps others out of a program that was given its socket", async () => {
    for (const [list, allowed] of [["192.0.2.1", false], ["127.0.0.1", true]] as const) {
      const words = ["/usr/bin/env", `FCGI_WEB_SERVER_ADDRS=${list}`, ...program().command, "app.ts"];
      const { port, running } = await startManaged(words, site(app));
      leave(running);
      const text = await ask({ port }).then(({ text }) => text, () => undefined);
      assert.equal(text, allowed ? "hello" : undefined, running.stderr());
      await running.stop();
    }
  });
});
