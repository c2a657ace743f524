/** Processes that come and go behind nginx: its visitors notice nothing of a reload, and of a death no more than they must. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { ask } from "../support/http.ts";
import { Service } from "../support/processes.ts";
import { freePort, isRunning, program, until } from "../support/program.ts";
import { makeFolder, needs, startWebServer } from "../support/servers.ts";

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

for (const [method, words] of Object.entries(methods)) {
  for (const [kind, { upstream, keep }] of Object.entries(connections)) {
    describe(`behind nginx, ${method}, ${kind} (${runtime})`, { skip: needs("nginx") }, () => {
      test("reloads are not noticed, and a death only by who was being served", async () => {
        await using service = await Service.start({ "app.ts": version(0) }, [...words, "watch=false", "mode=666"]);
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
        let over = false;
        let last: string[] = [];
        let answered = 0;
        const failures: string[] = [];
        const visitors = Array.from({ length: 16 }, async () => {
          while (!over) {
            const { status, text } = await ask(port, "/").catch((error) => ({ status: 0, text: String(error) }));
            if (status === 200) {
              answered++;
              last = [text, ...last.slice(0, 15)];
            } else failures.push(`${status} ${text}`);
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        });
        try {
          for (let i = 1; i <= 10; i++) {
            service.write("app.ts", version(i));
            service.running.kill("SIGHUP");
            await until("the new code answers", () => last.some((text) => text.startsWith(`${i} `)));
            await service.logged(/Reloaded: all workers run the new code/, i);
          }
          assert.equal(failures.length, 0, `${failures.join("\n")}\n${web.errors()}`);
          const kills = 3;
          for (let i = 0; i < kills; i++) {
            const pid = await until("somebody serves", () => {
              const serving = service.workers().filter((pid) => last.some((text) => text.endsWith(` ${pid}`)));
              return serving[Math.floor(Math.random() * serving.length)];
            });
            process.kill(pid, "SIGKILL");
            await until("it is gone", () => !isRunning(pid));
            const before = answered;
            await until("others serve", () => answered > before + 32);
          }
          assert.ok(failures.length <= 16 * kills, failures.join("\n"));
          assert.deepEqual(failures.filter((failure) => !failure.startsWith("502 ")), []);
        } finally {
          over = true;
          await Promise.all(visitors);
          await web.running.stop();
          folder.remove();
        }
      });
    });
  }
}
