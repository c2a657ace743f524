/** Applications that clean up when they get SIGTERM, as those do that listen. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, serving, site } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

/** Its requests for `/wait` last until there is a file `go`. When it ends, it says so in the file `ends`, after a while. */
const app = `
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";

const server = createServer((request, response) => {
  if (request.url !== "/wait") return response.end("hello");
  writeFileSync("begun", "");
  const timer = setInterval(() => {
    if (!existsSync("go")) return;
    clearInterval(timer);
    response.end("finished");
  }, 5);
});
server.listen(3000);
process.on("SIGTERM", () => {
  appendFileSync("ends", "asked ");
  server.close(() => {
    setTimeout(() => {
      appendFileSync("ends", "closed ");
      process.exit(0);
    }, 50);
  });
});
`;

describe(`an application that cleans up (${runtime})`, () => {
  for (const threads of [1, 2]) {
    test(`does so after its last request, on ${threads} thread${threads > 1 ? "s" : ""}`, async () => {
      const cwd = site({ "app.js": app, "package.json": '{ "type": "module" }' });
      const socket = join(cwd, "s");
      const running = await serving({ socket }, ["app.js", `threads=${threads}`], { cwd });
      const waiting = ask({ socket }, "/wait");
      await until("the request has begun", () => existsSync(join(cwd, "begun")));
      running.kill();
      await until("nobody listens", () => ask({ socket }).then(() => false, () => true));
      writeFileSync(join(cwd, "go"), "");
      assert.equal((await waiting).text, "finished");
      assert.equal((await running.exit).code, 0);
      assert.equal(readFileSync(join(cwd, "ends"), "utf8").split(" ").filter((word) => word === "closed").length, threads);
    });
  }
});
