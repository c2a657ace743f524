/** Applications written with frameworks. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { checkProtocols } from "./protocols.ts";
import { checkAnswers } from "./routes.ts";

const names = ["express", "express_listen", "koa", "fastify", "hono", "h3", "itty"];
const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const installed = existsSync(fileOf("../../.tools/node_modules/fastify"));

checkProtocols("applications of frameworks", names, {
  skip: !installed && process.env.CI !== "true" && "the frameworks are not installed",
  // Their sessions are in the memory of one thread.
  words: () => Object.fromEntries(names.map((name) => [name, [fileOf(`frameworks/${name}.ts`), "threads=1"]])),
  async check({ host, visit }, name) {
    const where = JSON.parse((await visit("/where?a=%20b&c")).text);
    // h3 knows no visitor.
    const ip = name === "h3" ? undefined : "127.0.0.1";
    assert.deepEqual({ ip, ...where }, { url: "/where?a=%20b&c", ip, host, protocol: "http" });

    await checkAnswers(visit, host);
    // As the application wrote it.
    assert.equal((await visit("/old")).headers.location, "/new?a=1");
  },
});
