/** Where options come from besides the command line: the environment and the application. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { environmentOptions, exportedOptions } from "../../src/options/options.ts";
import { ask, cleanUp, run, serving, site } from "../support/cli.ts";
import { program } from "../support/program.ts";
import { UsageError } from "../../src/options/arguments.ts";

const { name: runtime } = program();
cleanUp();

/** Fails to be loaded without its environment, and says which of the variables has counted. */
const app = `import process from "node:process";
if (!process.env.DATABASE) throw new Error("no DATABASE");
export const runfcgi = { ping: "/app", status: "/app-status", env: ["FROM=app"], threads: 1 };
export default () => new Response(process.env.DATABASE + " " + process.env.FROM);
`;

describe(`options (${runtime})`, () => {
  test("of the command line count for more than the environment's, and those for more than the application's", async () => {
    const cwd = site({ "app.ts": app });
    const socket = join(cwd, "s.sock");
    const pong = async (path: string) => (await ask({ socket }, path)).text === "pong\n";
    const env = { RUNFCGI_PING: "/environment", RUNFCGI_ENV: "DATABASE=one=two\nFROM=environment" };
    const first = await serving({ socket }, [], { cwd, env });
    assert.deepEqual([await pong("/environment"), await pong("/app")], [true, false]);
    assert.equal((await ask({ socket })).text, "one=two environment");
    assert.match((await ask({ socket }, "/app-status")).text, /^application:/);
    await first.stop();
    const second = await serving({ socket }, ["ping=/line", "env=DATABASE=three", "env=FROM=line"], { cwd, env });
    assert.deepEqual([await pong("/line"), await pong("/environment")], [true, false]);
    assert.equal((await ask({ socket })).text, "three line");
    await second.stop();
  });

  test("that the application works out are those that it comes to in its environment", async () => {
    const cwd = site({
      "app.ts": `import process from "node:process";
export const runfcgi = { ping: process.env.PATH_OF_PING };
export default () => new Response("the application");
`,
    });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["env=PATH_OF_PING=/told"], { cwd });
    assert.equal((await ask({ socket }, "/told")).text, "pong\n");
    await running.stop();
  });

  test("that are wrong are told with where they come from", async () => {
    const cwd = site({ "app.ts": `export const runfcgi = { maxrequest: 3 };\nexport default () => new Response("");\n` });
    const fromApp = await run(["app.ts", "port=0"], { cwd });
    assert.deepEqual([fromApp.code, fromApp.stderr], [
      2,
      'runfcgi: there is no option "maxrequest", did you mean "maxrequests"? (maxrequest in the application\'s export runfcgi)\n',
    ]);
    const fromEnvironment = await run(["port=0"], { cwd, env: { RUNFCGI_GRACE: "soon" } });
    assert.equal(fromEnvironment.code, 2);
    assert.match(fromEnvironment.stderr, /^runfcgi: grace is "soon", expected a number of seconds.* \(RUNFCGI_GRACE\)\n$/);
  });
});

test("environmentOptions() reads each option, and one a line where there can be several", () => {
  const options = environmentOptions({ RUNFCGI_PORT: "80", RUNFCGI_STATIC: "/a/=a\n/b/=b", RUNFCGI_DEBUG: "yes", PATH: "/" });
  assert.deepEqual(options, {
    port: 80,
    debug: true,
    static: [{ prefix: "/a/", folder: "a" }, { prefix: "/b/", folder: "b" }],
  });
});

test("exportedOptions() takes strings, numbers, booleans and lists, and nothing else", () => {
  const options = exportedOptions({ app: "node", maxrequests: 5, watch: false, method: "fork", env: ["A=1", "B=2"] });
  assert.deepEqual(options, { maxrequests: 5, watch: false, method: "prefork", env: ["A=1", "B=2"] });
  assert.deepEqual(exportedOptions(undefined), {});
  assert.throws(() => exportedOptions({ maxrequests: {} }), UsageError);
});
