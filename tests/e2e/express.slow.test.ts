/**
 * An Express application answers as it does on Node's own `node:http`: over HTTP and over FastCGI, on each program. What
 * concerns a connection is the server's, and is not compared.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { existsSync, utimesSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { tools } from "../../scripts/tools.ts";
import { pattern } from "../support/bytes.ts";
import type { Question } from "../support/http.ts";
import { accepting, freePort, type Running, start, startServing } from "../support/program.ts";
import { makeFolder, needs, type RunningWebServer, startWebServer } from "../support/servers.ts";
import { multipart, urlencoded } from "./protocols.ts";

const timeout = 60_000;
const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const isInstalled = existsSync(fileOf("../../.tools/node_modules/multer"));
const json = (value: string): Question => ({ method: "POST", headers: { "content-type": "application/json" }, body: value });

/** In this order: some count what came before. */
const questions: [name: string, path: string, question?: Question][] = [
  ["text that is not ASCII", "/text"],
  ["HEAD", "/text", { method: "HEAD" }],
  ["JSON", "/json"],
  ["bytes", "/bytes"],
  ["204", "/none"],
  ["a status alone", "/status"],
  ["a redirect", "/redirect"],
  ["what the visitor has", "/text", { headers: { "if-none-match": 'W/"8-Gt7eZDQkJPIxvLzeJQVQ+I8Bnkc"' } }],
  ["request headers", "/headers", { headers: { "X-One": "1, 2", cookie: "a=b; c=d", "accept-language": "de, en;q=0.5" } }],
  ["a route", "/where/a%20b/c/%C3%A9?x=1&x=2&y%5Bz%5D=%20"],
  ["cookies and appended headers", "/cookies"],
  ["negotiation", "/format", { headers: { accept: "text/html;q=0.5, application/json" } }],
  ["negotiation that fails", "/format", { headers: { accept: "image/png" } }],
  ["writeHead() with a reason and a list", "/raw"],
  ["parts", "/parts"],
  ["a stream of 200,000 bytes", "/stream"],
  ["a file", "/files/page.html"],
  ["HEAD of a file", "/files/page.html", { method: "HEAD" }],
  ["a part of a file", "/files/page.html", { headers: { range: "bytes=2-8" } }],
  ["a part that is not there", "/files/page.html", { headers: { range: "bytes=1000-" } }],
  ["a folder", "/files"],
  ["a hidden file", "/files/.hidden"],
  ["a download", "/download"],
  ["a session", "/session"],
  ["the session once more", "/session", {
    headers: { cookie: "connect.sid=s%3Aone.KIzGbS%2FD1i3oW7DJQpVDGnZBQ1T3Dz8P4bHY0wM6o2E" },
  }],
  ["a form", "/form", urlencoded({ "a[b]": "ü", c: "" })],
  ["JSON that is sent", "/json", json('{"a":["ü"]}')],
  ["JSON that is invalid", "/json", json('{"a":')],
  ["JSON that is too much", "/json", json(JSON.stringify("x".repeat(2000)))],
  ["text that is sent", "/text", { method: "POST", body: "naïve" }],
  ["a body with a length", "/digest", { method: "POST", headers: { "content-length": "300000" }, body: [pattern(300_000)] }],
  ["a body in chunks", "/digest", { method: "PATCH", body: [pattern(100_000), pattern(10)] }],
  ["a GET with a body", "/digest", { headers: { "content-length": "4" }, body: "body" }],
  ["no body", "/digest", { method: "DELETE" }],
  ["a body that is piped back", "/echo", { method: "PUT", body: [pattern(70_000), pattern(70_000)] }],
  ["an upload of two", "/upload", multipart({ title: "ü" }, { name: "a.txt", text: "x".repeat(100_000) })],
  ["OPTIONS", "/json", { method: "OPTIONS" }],
  ["what is thrown", "/throw"],
  ["what is rejected", "/reject"],
  ["a path that is not there", "/nowhere"],
  ["a method that is not there", "/text", { method: "DELETE" }],
  ["how many responses have finished", "/finished"],
];

interface Answer {
  status: number | undefined;
  reason: string | undefined;
  headers: string[];
  body: string;
}

/** Of the connection, or of the web server. */
const ofConnection = /^(?:connection|date|keep-alive|server|transfer-encoding)$/i;

async function ask(port: number, path: string, { method, headers, body = [] }: Question = {}): Promise<Answer> {
  const pieces = typeof body === "string" ? [Buffer.from(body)] : [...body];
  const length = typeof body === "string" ? { "content-length": String(pieces[0].length) } : {};
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { host: "127.0.0.1", port, path, method, agent: false, headers: { host: "site.test", ...length, ...headers } };
  const sent = request(options, resolve).on("error", reject);
  for (const piece of pieces) sent.write(piece);
  sent.end();
  const response = await promise;
  const chunks: Uint8Array[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const fields = response.rawHeaders.flatMap((name, i, all) =>
    i % 2 || ofConnection.test(name) ? [] : [`${name.toLowerCase()}: ${all[i + 1]}`]
  );
  const answered = Buffer.concat(chunks).toString("latin1");
  return { status: response.statusCode, reason: response.statusMessage, headers: fields.sort(), body: answered };
}

const hasLength = ({ headers }: Answer) => headers.some((field) => field.startsWith("content-length:"));

describe("an Express application", {
  skip: needs("nginx") || (!isInstalled && process.env.CI !== "true" && "Express is not installed"),
}, () => {
  const folder = makeFolder();
  const started: Running[] = [];
  const expected: Answer[] = [];
  const ports = { HTTP: 0, FastCGI: 0 };
  let web: RunningWebServer;

  before(async () => {
    const app = fileOf("express_app.ts");
    const file = join(folder.path, "page.html");
    writeFileSync(file, "<!doctype html>\n<title>A page</title>\n");
    // Runtimes round its time differently.
    utimesSync(file, 1_000_000_000, 1_000_000_000);
    const env = { NODE_ENV: "production", FILES: folder.path };
    const own = await freePort();
    const reference = start([tools().node, app], { env: { ...env, OWN_PORT: String(own) } });
    started.push(reference);
    await accepting({ port: own }, reference);
    for (const [, path, question] of questions) expected.push(await ask(own, path, question));
    for (const over of ["HTTP", "FastCGI"] as const) {
      ports[over] = await freePort();
      const words = [app, "threads=1", `protocol=${over === "HTTP" ? "http" : "fcgi"}`];
      started.push(await startServing({ port: ports[over] }, words, { env }));
    }
    const upstream = ports.FastCGI;
    ports.FastCGI = await freePort();
    web = await startWebServer(
      "nginx",
      { folder: folder.path, port: ports.FastCGI },
      `
      server {
        listen 127.0.0.1:${ports.FastCGI};
        location / {
          include fastcgi_params;
          fastcgi_param HTTP_HOST $http_host;
          fastcgi_request_buffering off;
          fastcgi_pass 127.0.0.1:${upstream};
        }
      }`,
    );
  }, { timeout });

  after(async () => {
    await Promise.all([web?.running, ...started].map((running) => running?.stop()));
    folder.remove();
  }, { timeout });

  for (const over of ["HTTP", "FastCGI"] as const) {
    for (const [i, [name, path, question]] of questions.entries()) {
      test(`${name}, over ${over}`, { timeout }, async () => {
        const answer = await ask(ports[over], path, question);
        // Where the whole body is there, its length is known.
        if (!hasLength(expected[i])) answer.headers = answer.headers.filter((field) => !/^content-length:/.test(field));
        assert.deepEqual(answer, expected[i]);
      });
    }
  }
});
