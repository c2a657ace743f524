/** Applications written with frameworks. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { checkProtocols, multipart, urlencoded } from "./protocols.ts";

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

    const first = await visit("/visits");
    assert.equal(first.text, "1");
    const cookie = first.headers["set-cookie"]!.map((line) => line.split(";")[0]).join("; ");
    assert.equal((await visit("/visits", { headers: { cookie } })).text, "2");

    const form = await visit("/form", urlencoded({ name: "Jürgen M", empty: "" }));
    assert.deepEqual(JSON.parse(form.text), { name: "Jürgen M", empty: "" });

    const size = 300_000;
    const upload = await visit("/upload", multipart({ title: "A title" }, { name: "a.txt", text: `${"x".repeat(size - 1)}!` }));
    assert.deepEqual(JSON.parse(upload.text), { title: "A title", name: "a.txt", size, last: "!".charCodeAt(0) });

    const { status, headers } = await visit("/old");
    assert.deepEqual({ status, location: headers.location }, { status: 302, location: "/new?a=1" });

    assert.equal((await visit("/throw")).status, 500);
    assert.equal((await visit("/nowhere")).status, 404);
  },
});
