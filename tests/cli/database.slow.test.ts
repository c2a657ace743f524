/** Applications that cannot be loaded before something else is there, such as a database. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, serving, site } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

const connect = `import { existsSync } from "node:fs";
import { createServer } from "node:http";
const isThere = () => existsSync("database");
const listen = () => createServer((_, response) => response.end("served")).listen(3000);
`;
const applications: Record<string, string> = {
  "awaits it": `${connect}await null;
if (!isThere()) throw new Error("no database");
export default () => new Response("served");
`,
  "has a promise of it that nobody catches": `const { existsSync } = require("node:fs");
const { createServer } = require("node:http");
const isThere = () => existsSync("database");
const listen = () => createServer((_, response) => response.end("served")).listen(3000);
const connected = async () => {
  if (!isThere()) throw new Error("no database");
};
connected().then(listen);
`,
  "throws in a callback": `${connect}
setTimeout(() => {
  if (!isThere()) throw new Error("no database");
  listen();
});
`,
};

describe(`an application that needs a database (${runtime})`, () => {
  for (const [name, app] of Object.entries(applications)) {
    test(`and ${name} is a 503 until it is there`, async () => {
      const file = /require/.test(app) ? "app.cjs" : "app.mjs";
      const cwd = site({ [file]: app });
      const socket = join(cwd, "s");
      const running = await serving({ socket }, [file, "threads=1", "ping=/ping"], { cwd });
      assert.equal((await ask({ socket })).status, 503);
      assert.match(running.stderr(), /Cannot load .*app\.[cm]js: Error: no database/);
      writeFileSync(join(cwd, "database"), "");
      // Where nothing but a probe asks, it has to be loaded, too.
      await until("it is loaded", async () => (await ask({ socket }, "/ping")).text === "pong\n");
      assert.equal((await ask({ socket })).text, "served");
      await running.stop();
    });
  }
});
