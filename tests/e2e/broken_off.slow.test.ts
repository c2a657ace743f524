/**
 * Responses that break off reach the visitor as such, and never as a complete page, and text for the error log before a
 * response costs nobody the response.
 *
 * @module
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ResponseReader } from "../support/response_reader.ts";
import { needs } from "../support/servers.ts";
import { fcgidRow } from "./fcgid.ts";
import { type Row, startAround, startRow, testSite } from "./site.ts";

/** The response fails after its head has left: nobody writes anything for the visitor once it has come so far. */
const application = `
const sizes = { "a little": 100, "a lot": 300_000 };
export default {
  fetch(request, info) {
    const url = new URL(request.url);
    const { pathInfo } = info;
    if (pathInfo === "/says") {
      info.stderr("a line for the error log\\n".repeat(Math.ceil(Number(url.searchParams.get("length")) / 25)));
      return new Response("said");
    }
    if (pathInfo === "/longer") {
      const pieces = ["hello", "HTTP/1.1 200 OK\\r\\ncontent-length: 3\\r\\n\\r\\nBAD"].map((text) => new TextEncoder().encode(text));
      const body = new ReadableStream({
        async pull(controller) {
          if (pieces.length === 1) await new Promise((resolve) => setTimeout(resolve, 20));
          controller.enqueue(pieces.shift());
          if (pieces.length === 0) controller.close();
        },
      }, { highWaterMark: 0 });
      return new Response(body, { headers: { "content-length": "5" } });
    }
    const size = sizes[url.searchParams.get("size")];
    let pulls = 0;
    const body = new ReadableStream({
      async pull(controller) {
        if (pulls++ === 0) return controller.enqueue(new Uint8Array(size).fill(97));
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw new Error("broken off for a test");
      },
    }, { highWaterMark: 0 });
    const headers = url.searchParams.has("length") ? { "content-length": String(2 * size) } : {};
    return new Response(body, { headers });
  },
};
`;

function app(folder: string): string {
  const file = join(folder, "mysite.ts");
  writeFileSync(file, application);
  return file;
}

/** How a response ends for the visitor. */
type End = "complete" | "broken off" | "an error" | "never";

const PATIENCE_MS = 20_000;

function visit(port: number, path: string): Promise<End> {
  const { promise, resolve } = Promise.withResolvers<End>();
  const reader = new ResponseReader(() => {});
  const socket = createConnection({ host: "127.0.0.1", port });
  const over = () => resolve(!reader.complete ? "broken off" : reader.status === 200 ? "complete" : "an error");
  socket.setTimeout(PATIENCE_MS, () => resolve("never"));
  socket.on("data", (bytes) => {
    reader.push(bytes);
    if (reader.complete) over();
  });
  socket.on("end", () => {
    reader.end();
    over();
  });
  socket.on("error", over);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`);
  return promise.finally(() => socket.destroy());
}

/** Asks one after the other on one connection, and returns the bodies. */
async function bodiesOnOneConnection(port: number, paths: readonly string[]): Promise<string[]> {
  const bodies: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = createConnection({ host: "127.0.0.1", port });
  const ask = () => {
    let body = "";
    const reader = new ResponseReader((bytes) => body += new TextDecoder().decode(bytes));
    socket.removeAllListeners("data").on("data", (bytes: Uint8Array) => {
      try {
        reader.push(bytes);
      } catch (error) {
        return reject(error);
      }
      if (!reader.complete) return;
      bodies.push(body);
      if (bodies.length < paths.length) ask();
      else resolve();
    });
    socket.write(`GET ${paths[bodies.length]} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`);
  };
  socket.on("error", reject).on("close", () => reject(new Error(`closed after ${bodies.length} responses`)));
  socket.setTimeout(PATIENCE_MS, () => reject(new Error(`nothing came after ${bodies.length} responses`)));
  ask();
  try {
    await promise;
  } finally {
    socket.destroy();
  }
  return bodies;
}

const protocols = ["fcgi", "scgi", "uwsgi", "http"] as const;
const listens = ["socket", "port"] as const;
const noSign = "a Unix socket has no reset, and these protocols have no other sign than the end of the connection";

/** What a web server cannot be told, and why. */
const cannot: Record<string, string> = {
  "nginx, scgi, socket, without a length": noSign,
  "nginx, uwsgi, socket, without a length": noSign,
};

const rows: readonly Row[] = protocols.flatMap((protocol) =>
  listens.flatMap((listens) =>
    [false, true].filter((keepalive) => !keepalive || protocol === "fcgi" || protocol === "http").map((keepalive): Row => ({
      name: `nginx, ${protocol}, ${listens}${keepalive ? ", keepalive" : ""}`,
      server: "nginx",
      protocol,
      listens,
      logs: "program",
      app,
      config: ["nginx", ...keepalive ? ["keepalive=4"] : []],
    }))
  )
);

for (const row of rows) {
  describe(`a response that breaks off behind ${row.name}`, { skip: needs(row.server) }, () => {
    const running = startAround(() => startRow(row));
    for (const length of ["with a length", "without a length"]) {
      for (const size of ["a little", "a lot"]) {
        const reason = cannot[`${row.name}, ${length}`];
        testSite(`${length} after ${size}${reason ? `: ${reason}` : ""}`, running, async ({ port }) => {
          const end = await visit(port, `/breaks?size=${encodeURIComponent(size)}${length === "with a length" ? "&length" : ""}`);
          // What a web server cannot be told is looked at as well, so that this says when it can.
          if (reason) assert.equal(end, "complete");
          else assert.ok(end === "broken off" || end === "an error", `it ends ${end}`);
        });
      }
    }
    testSite("costs the next request nothing", running, async (site) => {
      assert.equal((await site.ask("/says?length=1")).text, "said");
    });
  });
}

const loggers: readonly Row[] = [
  ...listens.map((listens): Row => ({ name: `nginx, ${listens}`, server: "nginx", listens, config: ["nginx"], app })),
  { name: "nginx, keepalive", server: "nginx", listens: "port", config: ["nginx", "keepalive=4"], app },
  { ...fcgidRow, app },
  { name: "Apache mod_proxy_fcgi", server: "apache", listens: "socket", config: ["apache"], app },
  { name: "lighttpd", server: "lighttpd", listens: "socket", config: ["lighttpd"], app },
  { name: "HAProxy", server: "haproxy", listens: "socket", config: ["haproxy"], logs: "program", app },
];

const TIMES = 10;

for (const row of loggers) {
  describe(`text for the error log before a response behind ${row.name}`, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow(row));
    for (const kib of [4, 100]) {
      testSite(`of ${kib} KiB`, running, async (site) => {
        for (let i = 0; i < TIMES; i++) {
          const { status, text } = await site.ask(`/says?length=${kib * 1024}`);
          assert.deepEqual({ status, text }, { status: 200, text: "said" });
        }
      });
    }
    testSite("and what is behind the content-length of a response is in no other", running, async ({ port }) => {
      assert.deepEqual(await bodiesOnOneConnection(port, ["/longer", "/says?length=1"]), ["hello", "said"]);
    });
    test("is there", () => assert.match(running().errors, /a line for the error log/));
  });
}
