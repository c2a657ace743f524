/** What the command `types` writes for editors. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { tools } from "../../scripts/tools.ts";
import { cleanUp, run, site } from "../support/cli.ts";
import { program } from "../support/program.ts";

cleanUp();

const app = `import { AbortedError, nodeHandler, type ServeInfo } from "@runfcgi/runfcgi";
import { type Handler, staticFiles } from "runfcgi";
const handler: Handler = (request: Request, info: ServeInfo) => new Response(info.scriptName + request.url);
export default staticFiles({ prefix: "/media/", folder: "media" })(handler);
export const failed: Error = new AbortedError("a reason");
// @ts-expect-error -- it takes a function
nodeHandler(7);
// @ts-expect-error -- there is no such thing
export type { Nothing } from "runfcgi";
`;

describe(`types (${program().name})`, () => {
  test("has an editor know the library by both of its names", async () => {
    const cwd = site({ "mysite/app.ts": app });
    const first = await run(["types", "mysite"], { cwd });
    assert.deepEqual([first.code, first.stdout.match(/^wrote {2}.*$/gm)?.length], [0, 2], first.stderr);
    const { node, tsc } = tools();
    const { status, stdout } = spawnSync(node, [tsc, "-p", join(cwd, "mysite")], { encoding: "utf8", timeout: 120_000 });
    assert.equal(status, 0, stdout);
  });

  test("leaves a tsconfig.json, and writes what is its own again", async () => {
    const cwd = site({ "tsconfig.json": "{}" });
    for (let time = 0; time < 2; time++) {
      writeFileSync(join(cwd, "runfcgi.d.ts"), "an older one");
      const { code, stdout, stderr } = await run(["types"], { cwd });
      assert.deepEqual([code, /^wrote .*runfcgi\.d\.ts\nleft .*tsconfig\.json\n$/.test(stdout)], [0, true], stdout + stderr);
    }
    assert.equal(readFileSync(join(cwd, "tsconfig.json"), "utf8"), "{}");
    assert.match(readFileSync(join(cwd, "runfcgi.d.ts"), "utf8"), /declare module "runfcgi" \{/);
  });

  test("says what is wrong", async () => {
    const cwd = site({ "a-file": "" });
    const two = await run(["types", "a", "b"], { cwd });
    assert.deepEqual([two.code, two.stderr], [2, 'runfcgi: types is for one folder, not for "a" and "b"\n']);
    const { code, stderr } = await run(["types", "a-file"], { cwd });
    assert.deepEqual([code, /^runfcgi: cannot write ".*a-file\/runfcgi\.d\.ts": /.test(stderr)], [1, true], stderr);
  });
});
