/** The folder of a site is removed and uploaded again, or its socket is, while the server runs. */
import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, hello, killInTheEnd, run, serving, site } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

const app = (text: string) =>
  `import process from "node:process";
export default () => new Response("${text} " + process.pid + " " + process.cwd());
`;

describe(`a folder that changes (${runtime})`, () => {
  for (const method of ["threaded", "prefork"]) {
    test(`${method}: workers start again in a folder that was removed and uploaded again`, async () => {
      const cwd = join(site(), "site");
      const upload = (text: string) => {
        mkdirSync(cwd);
        writeFileSync(join(cwd, "app.ts"), app(text));
      };
      upload("old");
      const socket = join(site(), "s.sock");
      const words = ["app.ts", `method=${method}`, "threads=1", "minspare=1", "maxspare=1"];
      const running = await serving({ socket }, words, { cwd });
      const told = async () => (await ask({ socket })).text.split(" ");
      const [, first] = await told();
      rmSync(cwd, { recursive: true });
      upload("new");
      process.kill(Number(first), "SIGKILL");
      await until("the new code answers, in the folder that is there now", async () => {
        const [text, pid, at] = await told().catch(() => []);
        return text === "new" && pid !== first && at === cwd;
      }).catch((error) => assert.fail(`${error}\n${running.stderr()}`));
      await running.stop();
    });
  }

  for (const [what, change] of Object.entries({ removed: rmSync, replaced: (path: string) => renameSync(path, `${path}.old`) })) {
    test(`a socket that is ${what} is told of in the log, and what is there then is left alone`, async () => {
      const cwd = site({ "app.ts": hello });
      const socket = join(cwd, "s.sock");
      const running = await serving({ socket }, ["app.ts", "threads=1"], { cwd });
      change(socket);
      if (what === "replaced") writeFileSync(socket, "another's");
      await until("it says so", () => running.stderr().includes(`The socket "${socket}" was removed or replaced: `));
      await running.stop();
      assert.equal(running.stderr().split("was removed or replaced").length, 2);
    });
  }

  test("of two starts at the same moment on one pidfile, or one socket, one serves and the other says why not", async () => {
    const cwd = site({ "app.ts": hello });
    for (const shared of ["socket", "pidfile"]) {
      const words = [0, 1].map((i) => {
        const name = (kind: string) => join(cwd, `${kind === shared ? "both" : i}.${kind}`);
        return ["app.ts", "threads=1", `socket=${name("socket")}`, `pidfile=${name("pidfile")}`];
      });
      const ran = await Promise.all(words.map((each) => run(each, { cwd })));
      const won = ran.findIndex(({ code }) => code === 0);
      assert.deepEqual(ran.map(({ code }) => code).sort(), [0, 1], ran.map(({ stderr }) => stderr).join("\n"));
      assert.match(ran[1 - won].stderr, shared === "socket" ? /a running server listens there/ : /names the running process \d+/);
      const pidfile = words[won][3].replace("pidfile=", "");
      killInTheEnd(pidfile);
      const stopped = await run(["stop", `pidfile=${pidfile}`], { cwd });
      assert.equal(stopped.code, 0, stopped.stderr);
    }
  });
});
