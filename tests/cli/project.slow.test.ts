/** What tsconfig.json, deno.json, node_modules and .env of the application's folder say holds, on every runtime. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ask, cleanUp, run, serving, site } from "../support/cli.ts";
import { program, until } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

/** Does what a package for JSX does. */
const jsxPackage = {
  "package.json": '{ "type": "module" }',
  "node_modules/tinyjsx/package.json":
    '{ "name": "tinyjsx", "type": "module", "exports": { "./jsx-runtime": "./index.js", "./jsx-dev-runtime": "./index.js" } }',
  "node_modules/tinyjsx/index.js":
    "export const jsx = (tag, { children = '' }) => `<${tag}>${[children].flat().join('')}</${tag}>`;\nexport const jsxs = jsx, jsxDEV = jsx;\n",
};
/** Compiles for Node, which does not: as much as the test needs. */
const compiler = {
  "node_modules/typescript/package.json": '{ "name": "typescript", "main": "index.js" }',
  "node_modules/typescript/index.js": `exports.transpileModule = (text, { compilerOptions }) => ({ outputText:
  "import { jsx } from '" + compilerOptions.jsxImportSource + "/jsx-runtime';\\n" +
  text.replace(/<p>(.*?)<\\/p>/g, (_, children) => "jsx('p', { children: " + JSON.stringify(children) + " })") });`,
};
const page = "export default () => new Response(String(<p>Hello</p>));\n";

/** What the application gives, or why it cannot be loaded. */
async function answerOf(
  files: Record<string, string>,
  app: string,
  words: readonly string[] = [],
  workdir?: string,
): Promise<string> {
  const cwd = site(files);
  const socket = join(cwd, "s.sock");
  const running = await serving({ socket }, [join(cwd, app), "threads=1", ...words], { cwd: workdir ?? cwd });
  const { status, text } = await ask({ socket });
  await running.stop();
  return status === 200 ? text : running.stderr();
}

describe(`the application's project (${runtime})`, () => {
  for (const name of ["tsconfig.json", "deno.json"]) {
    const config = (compilerOptions: object) => ({
      [name]: `{\n  // A comment\n  "compilerOptions": ${JSON.stringify(compilerOptions)},\n}`,
    });

    test(`has JSX of the package that ${name} names`, async () => {
      const files = { ...jsxPackage, ...config({ jsx: "react-jsx", jsxImportSource: "tinyjsx" }), "app.tsx": page };
      if (runtime !== "node") return assert.equal(await answerOf(files, "app.tsx"), "<p>Hello</p>");
      assert.match(await answerOf(files, "app.tsx"), /Node does not run JSX\. Run "npm install esbuild"/);
      assert.equal(await answerOf({ ...files, ...compiler }, "app.tsx"), "<p>Hello</p>");
    });

    test(`has classic JSX as ${name} says`, { skip: runtime === "node" && "Node has no JSX" }, async () => {
      const files = {
        ...config({ jsx: "react", jsxFactory: "h" }),
        "app.tsx": `const h = (tag: string, _: null, text: string) => tag + ":" + text;\n${page}`,
      };
      assert.equal(await answerOf(files, "app.tsx"), "p:Hello");
    });
  }

  test("is that of the application, and not of the working directory", async () => {
    const tsconfig = (compilerOptions: object) => ({ "tsconfig.json": JSON.stringify({ compilerOptions }) });
    const files = { ...tsconfig({ paths: { "@/*": ["./lib/*"] } }), "lib/greet.ts": 'export const greet: string = "Hello";\n' };
    const elsewhere = site(tsconfig({ paths: { "@/*": ["./other/*"] } }));
    const app = 'import { greet } from "@/greet";\nexport default () => new Response(greet);\n';
    assert.equal(await answerOf({ ...files, "app.ts": app }, "app.ts", [], elsewhere), "Hello");
    if (runtime === "node") return;
    const jsx = { ...jsxPackage, ...tsconfig({ jsx: "react-jsx", jsxImportSource: "tinyjsx" }), "app.tsx": page };
    assert.equal(await answerOf(jsx, "app.tsx", [], elsewhere), "<p>Hello</p>");
  });

  test("has decorators with their types", { skip: runtime === "node" && "Node has no decorators" }, async () => {
    const files = {
      // Deno reads none that another extends, unless there is a deno.json as well.
      "tsconfig.json": `{ "extends": "./base", "compilerOptions": ${
        JSON.stringify({ emitDecoratorMetadata: true, experimentalDecorators: runtime === "deno" || undefined })
      } }`,
      "base.json": '{ "compilerOptions": { "experimentalDecorators": true } }',
      "app.ts": `const types: string[] = [];
(Reflect as any).metadata = (key: string, types_: { name: string }[]) => () => {
  if (key === "design:paramtypes") types.push(...types_.map(({ name }) => name));
};
const mark = (_target: unknown) => {};
class Service {}
@mark
class Controller { constructor(private readonly service: Service) {} }
export default () => new Response(Controller.name + " " + types);
`,
    };
    assert.equal(await answerOf(files, "app.ts"), "Controller Service");
  });

  test("has the names of paths and of an import map", async () => {
    const modules = {
      "lib/greet.ts": 'export const greet: string = "Hello";\n',
      "app.ts": 'import { greet } from "@/greet";\nexport default () => new Response(greet);\n',
      "mapped.ts":
        'import { greet } from "greet";\nimport { greet as again } from "lib/greet.ts";\nexport default () => new Response(greet + again);\n',
    };
    const paths = { ...modules, "tsconfig.json": '{ "compilerOptions": { "paths": { "@/*": ["./lib/*"] } } }' };
    assert.equal(await answerOf(paths, "app.ts"), "Hello");
    const map = { ...modules, "deno.json": '{ "imports": { "greet": "./lib/greet.ts", "lib/": "./lib/" } }' };
    assert.equal(await answerOf(map, "mapped.ts"), "HelloHello");
    assert.equal(await answerOf({ ...map, ...paths }, "mapped.ts"), "HelloHello");
    assert.equal(await answerOf({ ...map, ...paths }, "app.ts"), "Hello");
  });

  test("has its packages", async () => {
    const files = {
      "package.json": '{ "type": "module" }',
      "node_modules/greeting/package.json": '{ "name": "greeting", "version": "1.0.0", "main": "main.js" }',
      "node_modules/greeting/main.js": 'exports.greet = "Hello";\n',
      "src/app.ts": 'import { greet } from "greeting";\nexport default () => new Response(greet);\n',
    };
    assert.equal(await answerOf(files, "src/app.ts"), "Hello");
  });

  test("has its packages where CommonJS requires those that are modules", async () => {
    const files = {
      "package.json": "{}",
      "node_modules/esm/package.json": '{ "name": "esm", "type": "module", "exports": "./index.js" }',
      "node_modules/esm/index.js": "export { text } from './text.js';\n",
      "node_modules/esm/text.js": "export const text = 'of two modules';\n",
      "app.cjs": "const { text } = require('esm');\nmodule.exports = () => new Response(text);\n",
    };
    assert.equal(await answerOf(files, "app.cjs"), "of two modules");
  });

  test("sees the arguments of a program that was started with it alone", async () => {
    const files = {
      "app.mjs": `import { createServer } from "node:http";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
parseArgs({ options: { port: { type: "string" } } });
const isMain = process.argv[1] === fileURLToPath(import.meta.url);
if (isMain) createServer((_, response) => response.end("main")).listen(3000);
`,
    };
    assert.equal(await answerOf(files, "app.mjs"), "main");
  });

  test("that cannot be read is named, and the application is loaded when it can", async () => {
    const cwd = site({ "tsconfig.json": '{ "compilerOptions": ', "app.ts": 'export default () => new Response("Hello");\n' });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["threads=1"], { cwd });
    assert.equal((await ask({ socket })).status, 503);
    assert.match(running.stderr(), /tsconfig\.json cannot be read: /);
    writeFileSync(join(cwd, "tsconfig.json"), "{}");
    await until("the application is loaded", async () => (await ask({ socket })).text === "Hello");
    await running.stop();
  });
});

describe(`the file .env (${runtime})`, () => {
  const app =
    'import process from "node:process";\nexport default () => new Response([process.env.FIRST, process.env.SECOND] + "");\n';
  const env = "# A comment\nFIRST=\"one\"\nSECOND='two'\n";

  test("is read when it is named, and what is set already stays", async () => {
    assert.equal(await answerOf({ "app.ts": app, "my.env": env }, "app.ts", ["envfile=my.env", "env=SECOND=given"]), "one,given");
  });

  test("is told of where nobody named it", async () => {
    // Bun reads that of the working directory itself.
    const cwd = site({ "site/app.ts": app, "site/.env": env });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["site/app.ts", "threads=1"], { cwd });
    assert.equal((await ask({ socket })).text, ",");
    await running.stop();
    assert.equal(running.stderr().match(/site\/\.env" is not read: envfile=/g)?.length, 1, running.stderr());
  });

  test("that is missing is an error", async () => {
    const { code, stderr } = await run(["port=0", "envfile=missing.env"], { cwd: site({ "app.ts": app }) });
    assert.deepEqual([code, /^runfcgi: envfile is ".*missing\.env", which cannot be read: /.test(stderr)], [2, true], stderr);
  });
});
