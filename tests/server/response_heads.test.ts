/** What an application puts into the head of a response goes out as one head, or not at all. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import type { Handler } from "../../src/server/handler.ts";
import { nodeHandler } from "../../src/handlers/node_app.ts";
import { forward } from "../../src/handlers/proxy.ts";
import { cleanUp, launch, site as files } from "../support/cli.ts";
import { startSite } from "../support/peer.ts";
import { program } from "../support/program.ts";

cleanUp();

const protocols = ["fcgi", "scgi", "uwsgi", "ajp", "http"] as const;

/** A Response as packages and applications make it, which nobody has checked. */
function foreign(headers: Record<string, string>, statusText = "", status = 200): Response {
  return { status, statusText, headers: new Map(Object.entries(headers)), body: null } as unknown as Response;
}

for (const protocol of protocols) {
  describe(`a foreign Response over ${protocol}`, () => {
    const bad: [name: string, value: string, shown: string][] = [
      ["x-bad", "a\r\nset-cookie: b=c", String.raw`"x-bad" with the value "a\r\nset-cookie: b=c"`],
      ["x-bad", "a\nb", String.raw`"x-bad" with the value "a\nb"`],
      ["x-bad", "a\0b", String.raw`"x-bad" with the value "a\u0000b"`],
      ["x-bad", "a\u010dset-cookie: b=c", String.raw`"x-bad" with the value "a\u010dset-cookie: b=c"`],
      ["x-bad", "a\u010aset-cookie: b=c", String.raw`"x-bad" with the value "a\u010aset-cookie: b=c"`],
      ["x\r\nset-cookie", "b=c", String.raw`"x\r\nset-cookie" with the value "b=c"`],
      ["x\u010aset-cookie", "b=c", String.raw`"x\u010aset-cookie" with the value "b=c"`],
    ];
    test("with an invalid name or value is a 500, and the log says which", async () => {
      for (const [name, value, shown] of bad) {
        await using site = await startSite(() => foreign({ "x-good": "1", [name]: value }), { protocol });
        const { head } = await site.ask();
        assert.equal(head.status, 500);
        assert.ok(!head.headers.some((part) => /cookie|x-good/i.test(part)), head.headers.join());
        assert.deepEqual(site.errors, [`GET /: The Response has the header ${shown}, which cannot be sent`]);
      }
    });

    test("has another reason in the place of one that cannot be sent", async () => {
      for (const reason of ["a\r\nset-cookie: b=c", "a\u010aset-cookie: b=c"]) {
        await using site = await startSite(() => foreign({}, reason, 404), { protocol });
        const { head } = await site.ask();
        assert.deepEqual([head.status, head.reason], [404, "Not Found"]);
        assert.ok(!head.headers.some((part) => /cookie/i.test(part)));
      }
    });

    test("has no headers that concern the connection, however they are written", async () => {
      const headers = { "Transfer-Encoding": "chunked", Status: "500", "Content-Length": "5", "X-Kept": "\xe9" };
      await using site = await startSite(() => foreign(headers), { protocol });
      const { head } = await site.ask();
      const names = head.headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
      assert.equal(head.status, 200);
      assert.ok(!names.includes("transfer-encoding") && !names.includes("status"), names.join());
      assert.deepEqual(names.filter((name) => name === "content-length").length, 1);
      assert.ok(head.headers.includes("\xe9"));
    });
  });
}

describe("a Response without headers has the type of its body", () => {
  const form = new FormData();
  form.append("name", "value");
  const bodies: [name: string, body: BodyInit, type: RegExp][] = [
    ["a Blob", new Blob(["a{}"], { type: "text/css" }), /^text\/css/],
    ["a form", form, /^multipart\/form-data; ?boundary=/],
    ["an encoded form", new URLSearchParams({ a: "b" }), /^application\/x-www-form-urlencoded/],
  ];
  for (const [name, body, type] of bodies) {
    test(name, async () => {
      await using site = await startSite(() => new Response(body));
      const { headers } = (await site.ask()).head;
      assert.match(headers[headers.findIndex((part) => part.toLowerCase() === "content-type") + 1], type);
    });
  }
});

describe("a Node-style application", () => {
  const heads: [name: string, write: (response: ServerResponse) => void][] = [
    ["a reason", (response) => response.statusMessage = "a\r\nset-cookie: b=c"],
    ["a reason of writeHead", (response) => response.writeHead(200, "a\u010aset-cookie: b=c")],
    ["a value", (response) => response.setHeader("x", "a\u010aset-cookie: b=c")],
    ["a value of writeHead", (response) => response.writeHead(200, { x: "a\r\nset-cookie: b=c" })],
    ["a value in a list", (response) => response.writeHead(200, ["x", "a\u010dset-cookie: b=c"])],
    ["a name", (response) => response.writeHead(200, { "x: y\r\nset-cookie": "b=c" })],
  ];
  for (const [name, write] of heads) {
    test(`gets a 500 for ${name} that is invalid`, async () => {
      const app = (_: IncomingMessage, response: ServerResponse) => {
        write(response);
        response.end("hello");
      };
      await using site = await startSite(nodeHandler(app));
      const { head } = await site.ask();
      assert.equal(head.status, 500);
      assert.ok(!head.headers.some((part) => /cookie/i.test(part)));
      assert.equal(site.errors.length, 1);
    });
  }
});

describe("a program that answers over HTTP", () => {
  /** Answers with this head, whatever it is asked. */
  let answer = "";
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => socket.end(answer, "latin1"));
  });
  before(() => new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve)));
  after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const handler: Handler = (request, info) => {
    const { port } = server.address() as { port: number };
    return forward(request, request.body, info, {
      connection: { host: "127.0.0.1", port },
      headers: { host: "h" },
      explain: (error) => error,
    });
  };

  for (const head of ["x: a\0b", "x: a\rset-cookie: b=c", "x\0y: z", "x y\0: z"]) {
    test(`passes on nothing of the head ${JSON.stringify(head)}`, async () => {
      answer = `HTTP/1.1 200 OK\r\n${head}\r\ncontent-length: 0\r\n\r\n`;
      await using site = await startSite(handler);
      const { head: seen } = await site.ask();
      assert.ok(!seen.headers.some((part) => /[\r\n\0]|cookie/i.test(part)), seen.headers.join());
    });
  }
});

test("CGI sends no head that is not one either", async () => {
  const cwd = files({
    "app.ts": `export default () => ({
  status: 200,
  statusText: "",
  headers: new Map([["x-bad", "a\\u010aset-cookie: b=c"]]),
  body: null,
});
`,
  });
  const variables = { GATEWAY_INTERFACE: "CGI/1.1", REQUEST_METHOD: "GET", REQUEST_URI: "/", SERVER_PROTOCOL: "HTTP/1.1" };
  const running = launch([...program().command, "app.ts"], {
    cwd,
    env: { ...process.env, ...variables, HTTP_HOST: "localhost" },
  });
  await running.exit;
  assert.match(running.stdout(), /^Status: 500 /m);
  assert.doesNotMatch(running.stdout(), /cookie/i);
  assert.match(
    running.stderr(),
    /The Response has the header "x-bad" with the value "a\\u010aset-cookie: b=c", which cannot be sent/,
  );
});
