/** Processes that come and go behind nginx: its visitors notice nothing of a reload, and of a death no more than they must. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Service } from "../support/processes.ts";
import { freePort, isRunning, killed, program, until, whole } from "../support/program.ts";
import { makeFolder, needs, startWebServer } from "../support/servers.ts";
import { Visitors } from "../support/visitors.ts";

const { name: runtime } = program();
const version = (text: string | number) =>
  `import process from "node:process";\nexport default () => new Response("${text} " + process.pid);\n`;

const methods: Record<string, string[]> = {
  threaded: ["threads=2"],
  prefork: ["method=prefork", "minspare=2", "maxchildren=8"],
};
const connections: Record<string, { upstream: string; keep: string }> = {
  "a connection each": { upstream: "", keep: "" },
  "kept connections": { upstream: "keepalive 8;", keep: "fastcgi_keep_conn on;" },
};
/** How often each thing is done: all of it where a method is used as it mostly is, and a little elsewhere. */
const much = whole ? { signals: 20, writes: 5, kills: 50 } : { signals: 10, writes: 2, kills: 15 };
const little = { signals: 5, writes: 1, kills: 5 };
const usual: Record<string, string> = { threaded: "kept connections", prefork: "a connection each" };

const timeout = 300_000;

for (const [method, words] of Object.entries(methods)) {
  for (const [kind, { upstream, keep }] of Object.entries(connections)) {
    const { signals, writes, kills } = usual[method] === kind ? much : little;
    describe(`behind nginx, ${method}, ${kind} (${runtime})`, { skip: needs("nginx") }, () => {
      test("reloads are not noticed, and a death only by who was being served", { timeout }, async () => {
        await using service = await Service.start({ "app.ts": version(0) }, [...words, "mode=666"]);
        const folder = makeFolder();
        const port = await freePort();
        const site = `
          upstream app { server unix:${service.socket}; ${upstream} }
          server {
            listen 127.0.0.1:${port};
            location / {
              include fastcgi_params;
              ${keep}
              fastcgi_pass app;
            }
          }`;
        const web = await startWebServer("nginx", { folder: folder.path, port }, site);
        const visitors = new Visitors(port, 16);
        try {
          for (let i = 1; i <= signals + writes; i++) {
            service.write("app.ts", version(i));
            if (i <= signals) service.running.kill("SIGHUP");
            await until("the new code answers", () => visitors.last.some((text) => text.startsWith(`${i} `)));
            await service.logged(/Reloaded: all workers run the new code/, i);
          }
          assert.equal(visitors.failures.length, 0, `${JSON.stringify(visitors.failures)}\n${web.errors()}`);
          for (visitors.era = 0; visitors.era < kills;) {
            const failed = visitors.failures.length;
            const pid = await until("somebody who serves is killed", () => {
              const serving = service.workers().filter((pid) => visitors.last.some((text) => text.endsWith(` ${pid}`)));
              const one = serving[Math.floor(Math.random() * serving.length)];
              return one !== undefined && killed(one) && one;
            });
            await until("it is gone", () => !isRunning(pid));
            const before = visitors.answered;
            // What is asked for from now on waits for another worker at most.
            visitors.era++;
            await until("others serve", () => visitors.answered > before + 32);
            const failures = visitors.failures.slice(failed);
            const few = failures.length <= 16 && failures.every(({ era }) => era < visitors.era);
            assert.ok(few, `${JSON.stringify(failures)}\n${service.log.slice(-2000)}`);
          }
          assert.deepEqual(visitors.failures.filter(({ what }) => !what.startsWith("502 ")), []);
        } finally {
          await visitors.leave();
          await web.running.stop();
          folder.remove();
        }
      });
    });
  }
}
