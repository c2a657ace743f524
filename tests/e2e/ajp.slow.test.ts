/** AJP, which has no error log of its own: what the application logs is in the program's. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { until } from "../support/program.ts";
import { apacheModules, needs } from "../support/servers.ts";
import { pattern } from "./app.ts";
import { checkRow, newId, type Row, type Site, startAround, startRow, testSite } from "./site.ts";

const modJk = `${apacheModules}/mod_jk.so`;

const secret = ["secret=s3cret", "packetsize=65536"];

const apache: Row[] = [
  {
    name: "Apache mod_proxy_ajp, Unix socket",
    server: "apache",
    protocol: "ajp",
    listens: "socket",
    config: ["apache"],
    logs: "program",
  },
  {
    name: "Apache mod_proxy_ajp, TCP with a secret and large packets",
    server: "apache",
    protocol: "ajp",
    listens: "port",
    config: ["apache", ...secret],
    logs: "program",
  },
  {
    name: "Apache mod_jk",
    server: "apache",
    files: [modJk],
    protocol: "ajp",
    listens: "port",
    config: ["mod_jk"],
    logs: "program",
  },
  {
    name: "Apache mod_jk with a secret and large packets",
    server: "apache",
    files: [modJk],
    protocol: "ajp",
    listens: "port",
    config: ["mod_jk", ...secret],
    logs: "program",
  },
];

for (const row of apache) checkRow(row);

checkRow({
  name: "lighttpd mod_ajp13",
  server: "lighttpd",
  protocol: "ajp",
  listens: "socket",
  config: ["lighttpd"],
  logs: "program",
  cannot: {
    "so it is with what a path is made of elsewhere": "lighttpd decodes the path",
    "PUT, PATCH, DELETE and OPTIONS arrive": "lighttpd answers 400 to PATCH",
  },
});

/** What AJP's packets make harder than other protocols. */
const more: Record<string, (site: Site) => Promise<void>> = {
  "100 MiB in chunks arrive": async (site) => {
    const { status, text } = await site.ask("/upload", { method: "POST", body: pattern(100 * 1024 * 1024) });
    assert.deepEqual({ status, text }, { status: 200, text: String(100 * 1024 * 1024) });
  },

  "a cookie of 5000 bytes arrives": async (site) => {
    const cookie = `a=${"x".repeat(4998)}`;
    assert.equal((await site.echo("/echo", { headers: { cookie } })).headers.cookie, cookie);
  },

  "100 headers arrive": async (site) => {
    // Two are there already, and Apache takes no more.
    const headers = Object.fromEntries(Array.from({ length: 98 }, (_, i) => [`x-${i}`, `value ${i}`]));
    const echo = await site.echo("/echo", { headers });
    for (const [name, value] of Object.entries(headers)) assert.equal(echo.headers[name], value);
  },

  "events that are longer than a packet come one by one": async (site) => {
    for (const length of [8171, 9000, 20_000, 70_000]) {
      const id = newId();
      const { body } = await site.open(`/events?id=${id}&more=${length}`);
      let text = "";
      for await (const bytes of body) {
        text += new TextDecoder().decode(bytes);
        // Without this the second one is never sent.
        if (text.endsWith("x\n\n")) await site.ask(`/seen?id=${id}`);
      }
      assert.equal(text.length, "data: first\n\ndata: second\n\n".length + length);
    }
  },

  "a header Content_Length is no length of the body": async (site) => {
    for (let i = 0; i < 3; i++) {
      const headers = { content_length: "5", transfer_encoding: "chunked" };
      assert.equal((await site.echo(`/echo?${i}`, { headers })).body, "");
    }
  },

  "bodies and early answers leave their connections as they were": async (site) => {
    for (let i = 0; i < 20; i++) {
      const body = "x".repeat(i * 1000);
      assert.equal((await site.ask("/early", { method: "POST", body })).status, 413);
      assert.equal((await site.ask("/early", { method: "POST", body: pattern(i * 1000) })).status, 413);
      assert.equal((await site.echo("/echo", { method: "POST", body })).body, body);
    }
  },
};

for (const row of apache) {
  describe(`${row.name}, what its packets make harder`, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow(row));
    for (const [name, check] of Object.entries(more)) testSite(name, running, check);
  });
}

/** The same with a web server that gives another secret, or none. */
const wrong = apache.filter(({ name }) => name.includes("secret")).flatMap((row) =>
  ["secret=other", ""].map((secret): Row => ({
    ...row,
    name: `${row.name}, that is ${secret ? "wrong" : "missing"}`,
    change: (config) =>
      config.replace(/(JkWorkerProperty worker\.mysite\.)?secret=s3cret$/m, (_, own = "") => secret && own + secret)
        .replace(/ secret=s3cret(?= ping)/, secret && ` ${secret}`),
  }))
);

for (const row of wrong) {
  describe(row.name, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow(row));
    testSite("a visitor gets a 403, and the application is not called", running, async (site) => {
      const id = newId();
      assert.equal((await site.ask(`/seen?id=${id}`)).status, 403);
      assert.equal((await site.ask(`/seen?id=${id}`, { method: "POST", body: "body" })).status, 403);
      assert.equal(existsSync(join(site.folder, "state", `seen-${id}`)), false);
      await until("the log says why", () => /Refused with 403: the web server gave (no|another) secret/.test(site.errors));
    });
  });
}
