/** spawn-fcgi and multiwatch, which start FastCGI programs for web servers that do not. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, launch, processesIn, site } from "../support/cli.ts";
import { type Endpoint, freePort, until } from "../support/program.ts";
import { putProgram } from "./site.ts";

cleanUp();

const [spawner, watcher] = ["/usr/bin/spawn-fcgi", "/usr/bin/multiwatch"];
const missing = [spawner, watcher].find((file) => !existsSync(file));
const skip = missing !== undefined && process.env.CI !== "true" && `${missing} is not installed`;

const app = (version: string) => `export default () => new Response("${version}");\n`;

describe("spawn-fcgi", { skip }, () => {
  const cases: [name: string, words: string[], after: string[], where: "socket" | "port"][] = [
    ["in the background", ["-F", "1"], [], "socket"],
    ["with several processes on a port", ["-F", "3"], [], "port"],
    ["in the foreground", ["-n"], [], "port"],
    ["with multiwatch", ["-n"], [watcher, "-f", "2", "--"], "socket"],
  ];
  for (const [name, words, after, where] of cases) {
    test(`${name}: changed code is served without anybody who restarts the program`, async () => {
      const cwd = site({ "mysite.ts": app("one") });
      const program = join(cwd, "mysite.fcgi");
      putProgram(program, join(cwd, "mysite.ts"));
      const endpoint: Endpoint = where === "socket" ? { socket: join(cwd, "s.sock") } : { port: await freePort() };
      const at = "socket" in endpoint ? ["-s", endpoint.socket] : ["-a", "127.0.0.1", "-p", String(endpoint.port)];
      const running = launch([spawner, ...words, ...at, "-d", cwd, "--", ...after, program], { cwd });
      const text = () => ask(endpoint).then(({ text }) => text, () => undefined);
      try {
        await until("it answers", async () => await text() === "one");
        for (const version of ["two", "three"]) {
          writeFileSync(join(cwd, "mysite.ts"), app(version));
          await until(`all answer ${version}`, async () => {
            const answers = await Promise.all(Array.from({ length: 6 }, text));
            return answers.every((answer) => answer === version);
          });
        }
      } finally {
        if (!words.includes("-n")) { for (const pid of processesIn(cwd)) process.kill(pid, "SIGTERM"); }
        await running.stop();
        await until("all has ended", () => processesIn(cwd).length === 0);
      }
      assert.equal(await text(), undefined);
    });
  }

  test("with multiwatch: programs restart by maxrequests, again and again, and no request fails", async () => {
    const cwd = site({
      "mysite.ts": `export const runfcgi = { maxrequests: 20 };
const born = Math.random();
export default () => new Response(String(born));
`,
    });
    const [program, socket] = [join(cwd, "mysite.fcgi"), join(cwd, "s.sock")];
    putProgram(program, join(cwd, "mysite.ts"));
    const running = launch([spawner, "-n", "-s", socket, "-d", cwd, "--", watcher, "-f", "2", "--", program], { cwd });
    try {
      await until("it answers", () => ask({ socket }).then(() => true, () => false));
      const born = new Set<string>();
      let over = false;
      const visitors = Array.from({ length: 4 }, async () => {
        while (!over) {
          const { status, text } = await ask({ socket });
          assert.equal(status, 200);
          born.add(text);
        }
      });
      await Promise.race([Promise.all(visitors), until("many have answered", () => born.size >= 10)]).finally(() => over = true);
      await Promise.all(visitors);
    } finally {
      await running.stop();
      await until("all has ended", () => processesIn(cwd).length === 0);
    }
  });
});
