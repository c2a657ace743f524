import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { loadsNoServer } from "../../src/app/imports.ts";

describe("a module that loads none with servers", () => {
  const texts = [
    "export default { fetch: () => new Response() };",
    'import type { ServeInfo } from "runfcgi";\nimport type Handler from "./handler.ts";\nexport type { A } from "./a.ts";\nexport default 1;',
    'import { readFileSync } from "node:fs";\nimport { join } from "path";\nimport { setTimeout } from "node:timers/promises";',
    'import { Database } from "bun:sqlite"\nimport { serve } from "bun"\nserve({ fetch() {} })',
    'import"node:fs";import*as path from"node:path";import fs,{existsSync}from"fs";',
    'import {\n  readFile, // the file\n  stat,\n} from "node:fs/promises";',
    "const folder = import.meta.dirname; Array.from([1]);",
    "Bun.serve({ fetch: () => new Response() }); Deno.serve(() => new Response());",
    "type Import = { from: string };",
  ];
  for (const text of texts) test(text, () => assert.equal(loadsNoServer("/site/app.ts", text), true));
});

describe("a module that may load one", () => {
  const texts = [
    'import { createServer } from "node:http";',
    'import http from "http"',
    'import"./server.js"',
    'import { Hono } from "hono";',
    'import type { A } from "./a.ts"; import { b } from "./b.ts";',
    'import { type A, b } from "./b.ts";',
    'import type from "./type.ts";',
    'type A = 1\nexport type { A }\nimport { b } from "./b.ts"',
    'const text = "import type from"; import { b } from "./b.ts"',
    'import { readFileSync } from "node:fs"; import { WebSocketServer } from "ws";',
    'import fs from "node:fs", http = require("http")',
    'export { default } from "./app.ts";',
    'export*from"./app.ts"',
    'export * as app from // the application\n "./app.ts";',
    'const http = await import("node:http");',
    'const http = await import(process.env.SERVER ?? "http");',
    "const http = await import(`node:http`);",
    'import http = require("node:http");',
    'const http = require("http");',
    'import.meta.require("http").createServer().listen();',
    'process.getBuiltinModule("node:http");',
    'import { createRequire } from "node:module";',
    'import { runInThisContext } from "node:vm";',
    "eval(text)",
    'new Function("return 1")()',
    'r\\u0065quire("http")',
    'import { a } from "node:fs";export{a}from"./a.js"',
    'import { a } /* from "node:fs" */ from "./a.js"',
    "import { a } // from 'node:fs'\n from './a.js'",
    'import data from "./data.json" with { type: "json" };',
  ];
  for (const text of texts) test(text, () => assert.equal(loadsNoServer("/site/app.ts", text), false));

  test("JSX, which is compiled to an import", () => {
    assert.equal(loadsNoServer("/site/app.tsx", "export default () => new Response();"), false);
  });
});
