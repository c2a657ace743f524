/** Applications written with frameworks, each behind three protocols at once: one program speaks all of them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ask, type Question } from "../support/http.ts";
import { freePort, type Running, startServing } from "../support/program.ts";
import { makeFolder, needs, type RunningWebServer, startWebServer } from "../support/servers.ts";

const frameworks = ["express", "koa", "hono", "h3"] as const;
const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What nginx and Apache are told of the program on a socket. */
const protocols = {
  fcgi: (socket: string) => `
    location / {
      include fastcgi_params;
      fastcgi_param HTTP_HOST $http_host;
      fastcgi_pass unix:${socket};
    }`,
  scgi: (socket: string) => `ProxyPass "/" "unix:${socket}|scgi://localhost/"`,
  ajp: (socket: string) => `ProxyPass "/" "unix:${socket}|ajp://localhost/" nocanon`,
};
type Protocol = keyof typeof protocols;

const missing = needs("nginx") || needs("apache") ||
  (!existsSync(fileOf("../../.tools/node_modules/h3")) && process.env.CI !== "true" && "the frameworks are not installed");

describe("applications of frameworks", { skip: missing }, () => {
  const folder = makeFolder();
  const ports = { nginx: 0, apache: 0 };
  const programs: Running[] = [];
  const servers: RunningWebServer[] = [];

  before(async () => {
    const sockets = frameworks.map((name) => [name, join(folder.path, `${name}.sock`)] as const);
    programs.push(
      ...await Promise.all(sockets.map(([name, socket]) => {
        return startServing({ socket }, [fileOf(`frameworks/${name}.ts`), "protocol=auto", "mode=666"]);
      })),
    );
    ports.nginx = await freePort();
    servers.push(
      await startWebServer(
        "nginx",
        { folder: folder.path, port: ports.nginx },
        sockets.map(([name, socket]) =>
          `server { listen 127.0.0.1:${ports.nginx}; server_name ${name}-fcgi; ${protocols.fcgi(socket)} }`
        ).join("\n"),
      ),
    );
    ports.apache = await freePort();
    const host = (name: string, site: string) =>
      `<VirtualHost 127.0.0.1:${ports.apache}>\nServerName ${name}\n${site}\n</VirtualHost>`;
    servers.push(
      await startWebServer(
        "apache",
        { folder: folder.path, port: ports.apache },
        sockets.flatMap(([name, socket]) =>
          (["scgi", "ajp"] as const).map((protocol) => host(`${name}-${protocol}`, protocols[protocol](socket)))
        ).join("\n"),
      ),
    );
  }, { timeout: 60_000 });

  after(async () => {
    await Promise.all([...servers.map(({ running }) => running.stop()), ...programs.map((running) => running.stop())]);
    folder.remove();
  });

  for (const name of frameworks) {
    for (const protocol of Object.keys(protocols) as Protocol[]) {
      test(`${name} over ${protocol}`, { timeout: 60_000 }, async () => {
        try {
          const host = `${name}-${protocol}`;
          const port = ports[protocol === "fcgi" ? "nginx" : "apache"];
          await check(host, (path, question) => ask(port, path, { ...question, headers: { host, ...question?.headers } }));
        } catch (error) {
          const logs = [...programs.map((program) => program.stderr()), ...servers.map((server) => server.errors())];
          throw new Error(`The logs end with:\n${logs.join("\n").slice(-4000)}`, { cause: error });
        }
      });
    }
  }
});

async function check(host: string, visit: (path: string, question?: Question) => ReturnType<typeof ask>): Promise<void> {
  const where = JSON.parse((await visit("/where?a=%20b&c")).text);
  // h3 knows no visitor but by a header.
  const ip = host.startsWith("h3") ? null : "127.0.0.1";
  assert.deepEqual(where, { url: "/where?a=%20b&c", ip, host, protocol: "http" });

  const first = await visit("/visits");
  assert.equal(first.text, "1");
  const cookie = first.headers["set-cookie"]!.map((line) => line.split(";")[0]).join("; ");
  assert.equal((await visit("/visits", { headers: { cookie } })).text, "2");

  const form = await visit("/form", {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "name=J%C3%BCrgen+M&empty=",
  });
  assert.deepEqual(JSON.parse(form.text), { name: "Jürgen M", empty: "" });

  const size = 300_000;
  const upload = await visit("/upload", {
    method: "POST",
    headers: { "content-type": "multipart/form-data; boundary=XX" },
    body: '--XX\r\ncontent-disposition: form-data; name="title"\r\n\r\nA title\r\n' +
      '--XX\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\n' +
      `${"x".repeat(size - 1)}!\r\n--XX--\r\n`,
  });
  assert.deepEqual(JSON.parse(upload.text), { title: "A title", name: "a.txt", size, last: "!".charCodeAt(0) });

  const { status, headers } = await visit("/old");
  assert.deepEqual({ status, location: headers.location }, { status: 302, location: "/new?a=1" });

  assert.equal((await visit("/throw")).status, 500);
  assert.equal((await visit("/nowhere")).status, 404);
}
