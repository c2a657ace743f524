import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, linkSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { tools } from "../../scripts/tools.ts";
import { cleanUp, leave, site } from "../support/cli.ts";
import { askPort, startManaged } from "../support/managed.ts";
import { program, start } from "../support/program.ts";

/** Generous: the file has 100 MB. */
const timeout = 120_000;

const { name: runtime, command } = program();
cleanUp();

/** The compiled program needs nothing; others need Bun. */
const needed = runtime === "binary" ? "" : dirname(tools().bun);

/** Runs the program with nothing but this on its PATH. */
async function run(words: string[], cwd: string, path = needed) {
  const environment = runtime === "binary" ? Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined])) : {};
  const running = start([...programIn(cwd), ...words], { cwd, env: { ...environment, PATH: path } });
  leave(running);
  const { code } = await running.exit;
  return { code, stderr: running.stderr() };
}

/** The compiled program is put into the folder, where nothing else of the project is. */
function programIn(cwd: string): readonly string[] {
  if (runtime !== "binary") return command;
  const file = join(cwd, "runfcgi");
  try {
    linkSync(command[0], file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") copyFileSync(command[0], file);
  }
  return [file];
}

/** Asks what was built, once a web server has started it. */
async function dropped(file: string) {
  const { port, running } = await startManaged([file], site({ "empty.txt": "" }));
  leave(running);
  return { running, ask: (path?: string, params?: Record<string, string>) => askPort(port, path, params) };
}

const app = `import { greet } from "./lib/greet.ts";
import { name } from "a-package";
export const runfcgi = { debug: true, envfrom: "MYSITE_*" };
const { MYSITE_NAME, NODE_ENV = "none" } = process.env;
const where: string = await Promise.resolve("built");
export default {
  fetch(request: Request): Response {
    const { pathname } = new URL(request.url);
    if (pathname === "/fail") throw new Error("failed for a test");
    return new Response([greet(pathname), name, where, MYSITE_NAME, NODE_ENV].join(" "));
  },
};
`;
const files = {
  "app.ts": app,
  "lib/greet.ts": "export const greet = (name: string): string => `hello ${name}`;\n",
  "node_modules/a-package/package.json": `{ "name": "a-package", "type": "module", "exports": "./main.js" }`,
  "node_modules/a-package/main.js": `export const name = "a package";\n`,
  ".env": "NODE_ENV=hostile\n",
};

describe(`build (${runtime})`, () => {
  test("makes one file with the application inside, which needs nothing else", { timeout }, async () => {
    const cwd = site({ ...files, "mysite.fcgi": "an older one" });
    const { code, stderr } = await run(["build", "app.ts", "-o", "mysite.fcgi"], cwd);
    assert.match(
      stderr,
      /^runfcgi: building mysite\.fcgi for \S+ …\nrunfcgi: built mysite\.fcgi, \d+ MiB: it starts and answers\n$/,
    );
    assert.equal(code, 0);
    assert.deepEqual(readdirSync(cwd).filter((name) => name !== "runfcgi").sort(), [
      ".env",
      "app.ts",
      "lib",
      "mysite.fcgi",
      "node_modules",
    ]);
    const help = spawnSync(join(cwd, "mysite.fcgi"), ["help", "nginx"], { cwd, encoding: "utf8", timeout });
    assert.match(help.stdout, /^NGINX\n/, help.stderr);
    const { ask, running } = await dropped(join(cwd, "mysite.fcgi"));
    rmSync(join(cwd, "app.ts"));
    assert.equal((await ask("/x", { MYSITE_NAME: "named" })).text, "hello /x a package built named none");
    const { status, text } = await ask("/fail");
    assert.equal(status, 500);
    assert.match(text, /<h1>Error: failed for a test<\/h1>[^]*at fetch \(\S*app\.ts:9:/);
    assert.doesNotMatch(text, /runfcgi\.(?:bundle|entry)|bunfs/);
    await running.stop();
  });

  test("leaves what is there when the application is wrong", { timeout }, async () => {
    const cwd = site({ "app.ts": "export default (\n", "app.fcgi": "an older one" });
    const { code, stderr } = await run(["build", "app.ts"], cwd);
    assert.match(stderr, /runfcgi: It cannot be built:\n[^]*app\.ts:1/);
    assert.equal(code, 1);
    assert.equal(readFileSync(join(cwd, "app.fcgi"), "utf8"), "an older one");
    assert.deepEqual(readdirSync(cwd).filter((name) => name !== "runfcgi").sort(), ["app.fcgi", "app.ts"]);
  });

  test("says that an application cannot be loaded here; then it is a page", { timeout }, async () => {
    const cwd = site({ "app.ts": `throw new Error("no database");\n` });
    const { code, stderr } = await run(["build", "app.ts"], cwd);
    assert.match(stderr, /built app\.fcgi, .*: it starts, but its application cannot be loaded here: Error: no database\n/);
    assert.equal(code, 0);
    const { ask, running } = await dropped(join(cwd, "app.fcgi"));
    const { status, text } = await ask();
    assert.equal(status, 503);
    assert.match(text, /The site cannot be loaded\. The reason is in the log \.htapp\.log\./);
    await running.stop();
    const again = start([join(cwd, "app.fcgi"), "build", "app.ts"], { cwd });
    assert.equal((await again.exit).code, 2);
    assert.match(again.stderr(), /this program was built itself/);
  });

  test("says that a page is an error, and leaves out packages that are not there", { timeout }, async () => {
    const cwd = site({
      "app.ts": `export default async () => {
  await import("not-installed");
  return new Response("never");
};
`,
    });
    const refused = await run(["build", "app.ts"], cwd);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /not-installed/);
    const { code, stderr } = await run(["build", "app.ts", "external=not-installed"], cwd);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /built app\.fcgi, .*: it starts, but answers GET \/ with 500: .*not-installed/);
  });

  test("takes in files that the application reads beside itself, by their paths", { timeout }, async () => {
    const cwd = site({
      "site/app.ts": `import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
const page = readFileSync(new URL("./pages/sub/page.txt", import.meta.url), "utf8");
export default () => new Response(page + readdirSync(join(import.meta.dirname!, "pages")) + readFileSync(import.meta.dirname + "/one.txt"));
`,
      "site/pages/sub/page.txt": "a page ",
      "site/one.txt": " one",
    });
    const { code, stderr } = await run(["build", "site/app.ts", "include=pages", "include=one.txt"], cwd);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /it starts and answers\n$/);
    rmSync(join(cwd, "site"), { recursive: true });
    const { ask, running } = await dropped(join(cwd, "app.fcgi"));
    assert.equal((await ask()).text, "a page sub one");
    await running.stop();
  });

  if (runtime === "deno" || runtime === "node") {
    test("says what it needs where Bun is not", async () => {
      const { code, stderr } = await run(["build", "app.ts"], site(files), "");
      assert.match(stderr, /runfcgi: build needs Bun, and there is no bun on the PATH: install it, or use the compiled program/);
      assert.equal(code, 1);
    });
  }

  const wrong: [words: string[], message: RegExp][] = [
    [[], /^runfcgi: give an application, such as .* build app\.ts -o mysite\.fcgi\n$/],
    [["app.ts", "more.ts"], /^runfcgi: give an application, /],
    [["nothere.ts"], /^runfcgi: there is no file "nothere\.ts"\n$/],
    [["app.ts", "--target", "vax"], /^runfcgi: target is "vax", expected linux-x64\|/],
    [["app.ts", "target=vax"], /^runfcgi: target is "vax"/],
    [["app.ts", "include=../x"], /^runfcgi: include is "\.\.\/x", which is not in the application's folder /],
    [["app.ts", "include=nothere"], /^runfcgi: include is "nothere", which is not there\n$/],
    [["app.ts", "--quux"], /^runfcgi: there is no option "quux": help lists them\n$/],
  ];
  for (const [words, message] of wrong) {
    test(`says what is wrong with "${words.join(" ")}" and exits with 2`, async () => {
      const { code, stderr } = await run(["build", ...words], site(files));
      assert.match(stderr, message);
      assert.equal(code, 2);
    });
  }
});
