import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, test } from "node:test";
import { nodeHandler, type NodeListener } from "../../src/handlers/node_app.ts";
import { bytes, concat, pattern } from "../support/bytes.ts";
import { gate, type Site, type SiteOptions, soon, startSite, turns } from "../support/peer.ts";

const MIB = 1024 * 1024;

const startApp = (listener: NodeListener, options?: SiteOptions): Promise<Site> => startSite(nodeHandler(listener), options);

/** The values of a header. */
function values(headers: readonly string[], name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1].toLowerCase() === name);
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("what a Node-style listener is given", () => {
  test("method, target, headers and the visitor", async () => {
    await using site = await startApp((request, response) => {
      const { method, url, headers, httpVersion, socket } = request;
      const { remoteAddress, remotePort, encrypted } = socket as typeof socket & { encrypted: boolean };
      response.end(JSON.stringify({ method, url, headers, httpVersion, remoteAddress, remotePort, encrypted }));
    });
    const { text } = await site.ask("/a%20b/%C3%A9?x=1&y='", {
      HTTP_HOST: "example.com:8443",
      HTTPS: "on",
      REMOTE_ADDR: "192.0.2.7",
      REMOTE_PORT: "4711",
      HTTP_COOKIE: "a=1",
      HTTP_X_LATIN: "é",
      HTTP_CONNECTION: "keep-alive",
      HTTP_EXPECT: "100-continue",
    });
    assert.deepEqual(JSON.parse(text), {
      method: "GET",
      url: "/a%20b/%C3%A9?x=1&y='",
      headers: { host: "example.com:8443", cookie: "a=1", "x-latin": Buffer.from("é").toString("latin1"), connection: "close" },
      httpVersion: "1.1",
      remoteAddress: "192.0.2.7",
      remotePort: 4711,
      encrypted: true,
    });
  });

  test("the path of the URL, where the visitor typed dots or a backslash, and the query as it was typed", async () => {
    await using site = await startApp((request, response) => response.end(request.url));
    const went = { SCRIPT_NAME: "", PATH_INFO: "/b" };
    for (
      const [sent, target, params] of [
        ["/private/../b?x=%2F/../'", "/b?x=%2F/../'", { ...went, QUERY_STRING: "x=%2F/../'" }],
        ["/private/%2e%2E/b", "/b", went],
        ["/private/..%2fb", "/b", went],
        // nginx has resolved what the URL parser would not.
        ["/x%2fy/../b", "/x/b", { DOCUMENT_URI: "/x/b" }],
        ["/private\\b?\\", "/private%5Cb?\\", {}],
        ["/b/.../..c?/../", "/b/.../..c?/../", {}],
      ] as const
    ) assert.equal((await site.ask(sent, params)).text, target, sent);
  });

  test("a path that only begins with the letters of the mount is not below it", async () => {
    await using site = await startApp((request, response) => response.end(request.url), { scriptName: "/my app" });
    for (
      const [sent, target] of [
        ["/my%20apples?x='", "/my%20app/my%20apples?x=%27"],
        ["/my%20app/a?x='", "/my%20app/a?x='"],
        ["/my%20app?x='", "/my%20app?x='"],
        ["/my%20app", "/my%20app"],
      ]
    ) assert.equal((await site.ask(sent)).text, target, sent);
  });

  test("the facts that a fetch handler gets", async () => {
    await using site = await startApp((request, response) => {
      response.end((request.socket as unknown as { info: { params: Record<string, string> } }).info.params.SERVER_ADMIN);
    });
    assert.equal((await site.ask("/", { SERVER_ADMIN: "me@example.com" })).text, "me@example.com");
  });

  test("headers longer than node:http takes by itself", async () => {
    await using site = await startApp((request, response) => {
      response.setHeader("x-long", "y".repeat(50_000));
      response.end(String(request.headers["x-long"]!.length));
    });
    const { head, text } = await site.ask("/", { HTTP_X_LONG: "x".repeat(100_000) });
    assert.equal(text, "100000");
    assert.equal(values(head.headers, "x-long")[0].length, 50_000);
  });

  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    test(`the body of a ${method}, with and without a length`, async () => {
      await using site = await startApp(async (request, response) => {
        response.end(`${request.method} ${request.headers["content-length"]} ${await textOf(request)}`);
      });
      const length = { REQUEST_METHOD: method, CONTENT_LENGTH: "4" };
      assert.equal((await site.ask("/", length, Readable.from([bytes("body")]))).text, `${method} 4 body`);
      const { text } = await site.ask("/", { REQUEST_METHOD: method }, Readable.from([bytes("body")]));
      assert.equal(text, `${method} undefined body`);
      assert.match((await site.ask("/", { REQUEST_METHOD: method })).text, /^[A-Z]+ (0|undefined) $/);
    });
  }

  test("the body of a GET that says that it has one, which fetch does not know", async () => {
    await using site = await startApp(async (request, response) => {
      response.end(`${request.headers["content-length"]} ${await textOf(request)}`);
    });
    const ask = async (params: Record<string, string>) => (await site.ask("/", params, Readable.from([bytes("body")]))).text;
    assert.equal(await ask({ CONTENT_LENGTH: "4" }), "4 body");
    assert.equal(await ask({ HTTP_TRANSFER_ENCODING: "chunked" }), "undefined body");
    assert.equal((await site.ask("/")).text, "undefined ");
  });

  test("more bytes than were declared are not taken for another request", async () => {
    const seen: unknown[] = [];
    await using site = await startApp((request, response) => {
      seen.push(request.url);
      request.resume().on("end", () => response.end("answered"));
    });
    const body = bytes("bodyGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n");
    const { head } = await site.ask("/", { REQUEST_METHOD: "POST", CONTENT_LENGTH: "4" }, Readable.from([body]));
    assert.equal(head.status, 500);
    assert.match(site.errors.join(), /declared a content-length of 4 and had more/);
    await turns();
    assert.ok(!seen.includes("/smuggled"));
  });

  test("fewer bytes than were declared are a 500 for who waits for the end", async () => {
    await using site = await startApp((request, response) => void request.resume().on("end", () => response.end("answered")));
    const { head } = await site.ask("/", { REQUEST_METHOD: "POST", CONTENT_LENGTH: "10" }, Readable.from([bytes("half")]));
    assert.equal(head.status, 500);
    assert.match(site.errors.join(), /declared a content-length of 10 and had 4 bytes/);
  });
});

describe("how a Node-style listener answers", () => {
  const answers: Record<string, (response: ServerResponse, request: IncomingMessage) => void> = {
    object: (response) => response.writeHead(201, { "x-a": "1", "set-cookie": ["a=1", "b=2"] }).end("made"),
    reason: (response) => response.writeHead(404, "Not Here", { "content-type": "text/x" }).end("no"),
    raw: (response) => response.writeHead(200, ["x-a", "1", "set-cookie", "a=1", "set-cookie", "b=2"]).end("raw"),
    empty: (response) => response.writeHead(204).end(),
    cached: (response) => response.writeHead(304, { etag: '"1"' }).end(),
    moved: (response) => response.writeHead(302, { location: "/elsewhere" }).end(),
    length: (response) => response.writeHead(200, { "content-length": 5 }).end("12345"),
    pieces: (response) => {
      response.write("a");
      response.write(Buffer.from("b"));
      response.end("c");
    },
    trailers: (response) => {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "1" });
      response.end();
    },
  };
  const listener: NodeListener = (request, response) => answers[request.url!.slice(1)](response, request);

  const expected: Record<string, [status: number, text: string, headers?: Record<string, string[]>]> = {
    object: [201, "made", { "x-a": ["1"], "set-cookie": ["a=1", "b=2"] }],
    reason: [404, "no", { "content-type": ["text/x"] }],
    raw: [200, "raw", { "x-a": ["1"], "set-cookie": ["a=1", "b=2"] }],
    empty: [204, ""],
    cached: [304, "", { etag: ['"1"'] }],
    moved: [302, "", { location: ["/elsewhere"] }],
    length: [200, "12345", { "content-length": ["5"] }],
    pieces: [200, "abc"],
    trailers: [200, "body"],
  };
  for (const [name, [status, text, headers = {}]] of Object.entries(expected)) {
    test(`${name}: with a ${status}`, async () => {
      await using site = await startApp(listener);
      const answer = await site.ask(`/${name}`);
      assert.equal(answer.head.status, status);
      assert.equal(answer.text, text);
      for (const [header, all] of Object.entries(headers)) assert.deepEqual(values(answer.head.headers, header), all);
      for (const header of ["connection", "transfer-encoding", "keep-alive"]) {
        assert.deepEqual(values(answer.head.headers, header), []);
      }
      if (name === "reason") assert.equal(answer.head.reason, "Not Here");
    });
  }

  test("HEAD gets the length and no body", async () => {
    await using site = await startApp(listener);
    const { head, text } = await site.ask("/length", { REQUEST_METHOD: "HEAD" });
    assert.deepEqual(values(head.headers, "content-length"), ["5"]);
    assert.equal(text, "");
  });

  test("what is flushed arrives before more is written", async () => {
    const [first, second] = [gate(), gate()];
    await using site = await startApp(async (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      await first.promise;
      response.write("data: 1\n\n");
      await second.promise;
      response.end("data: 2\n\n");
    });
    const peer = await site.connect();
    const response = peer.get();
    await peer.until("the head is there", () => response.head);
    assert.equal(response.text, "");
    first.resolve();
    await peer.until("the first event is there", () => response.text === "data: 1\n\n");
    second.resolve();
    assert.equal((await peer.answer()).text, "data: 1\n\ndata: 2\n\n");
  });

  test("before the body was read, and the rest is passed over", async () => {
    await using site = await startApp((_request, response) => void response.writeHead(413).end("too much"));
    const peer = await site.connect();
    peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
    for (let i = 0; i < 64; i++) peer.body(pattern(64 * 1024));
    peer.bodyEnd();
    const { head, text } = await peer.answer();
    assert.deepEqual([head?.status, text], [413, "too much"]);
    assert.deepEqual(site.errors, []);
  });
});

test("a request that nobody read closes all the same", async () => {
  let closed = gate();
  await using site = await startApp((request, response) => {
    request.on("close", () => closed.resolve());
    response.end("x");
  });
  for (const method of ["GET", "POST"]) {
    closed = gate();
    await site.ask("/", { REQUEST_METHOD: method }, Readable.from([bytes("body")]));
    await soon("close", closed.promise);
  }
});

describe("streams of a Node-style listener", () => {
  const piece = pattern(64 * 1024);
  const pieces = 24 * MIB / piece.length;
  const ROOM = 8 * MIB;
  const hash = createHash("sha256");
  for (let i = 0; i < pieces; i++) hash.update(piece);
  const expected = hash.digest("hex");

  test("a body that is not read makes the web server wait, and then all arrives", async () => {
    const go = gate();
    await using site = await startApp(async (request, response) => {
      await go.promise;
      const hash = createHash("sha256");
      request.on("data", (bytes) => hash.update(bytes));
      request.on("end", () => response.end(hash.digest("hex")));
    });
    const peer = await site.connect();
    peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
    const taken = await peer.bodyUntilFull(piece, pieces);
    assert.ok(taken * piece.length < ROOM, `${taken} pieces were taken`);
    for (let i = taken + 1; i < pieces; i++) peer.body(piece);
    peer.bodyEnd();
    go.resolve();
    assert.equal((await peer.answer()).text, expected);
  });

  test("a response that is not taken makes write() say so, and then all arrives", async () => {
    let written = 0;
    await using site = await startApp(async (_request, response) => {
      while (written < pieces) {
        written++;
        if (!response.write(piece)) await new Promise<void>((resolve) => response.once("drain", () => resolve()));
      }
      response.end();
    });
    const peer = await site.connect();
    peer.pause();
    const response = peer.get();
    for (let before = -1; written === 0 || written !== before; await turns(10)) before = written;
    assert.ok(written * piece.length < ROOM, `${written * piece.length} bytes were written`);
    peer.resume();
    await peer.answer();
    assert.equal(createHash("sha256").update(concat(...response.chunks)).digest("hex"), expected);
  });

  test("pipe() in both directions", async () => {
    await using site = await startApp((request, response) => void request.pipe(response), { duplex: true });
    const peer = await site.connect();
    const response = peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
    peer.body("first");
    await peer.until("the first piece is back", () => response.text === "first");
    for (let i = 0; i < 32; i++) peer.body(piece);
    peer.bodyEnd();
    await peer.answer();
    assert.equal(response.length, 5 + 32 * piece.length);
  });

  test("pipeline() from a stream", async () => {
    await using site = await startApp((_request, response) =>
      pipeline(Readable.from(Array.from({ length: 20 }, () => Buffer.from(piece))), response)
    );
    assert.equal((await site.ask()).bytes.length, 20 * piece.length);
  });
});

describe("a visitor who leaves a Node-style listener", () => {
  for (const [when, begin] of [["before the response", false], ["in the middle of the response", true]] as const) {
    test(`${when}: "close" comes`, async () => {
      const [begun, closed] = [gate(), gate<boolean>()];
      await using site = await startApp((_request, response) => {
        if (begin) response.write("first");
        response.on("close", () => closed.resolve(response.writableFinished));
        begun.resolve();
      });
      const peer = await site.connect();
      const response = peer.get();
      await soon("the request", begun.promise);
      if (begin) await peer.until("the first piece is there", () => response.text === "first");
      peer.destroy();
      assert.equal(await soon("close", closed.promise), false);
      assert.deepEqual(site.errors, []);
    });
  }

  test("in the middle of the body: the request breaks off", async () => {
    const [begun, broken] = [gate(), gate<boolean>()];
    await using site = await startApp((request) => {
      request.once("data", () => begun.resolve());
      request.on("error", () => {});
      request.on("close", () => broken.resolve(request.complete));
    });
    const peer = await site.connect();
    peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
    peer.body("half");
    await soon("the first half", begun.promise);
    peer.destroy();
    assert.equal(await soon("close", broken.promise), false);
  });
});

describe("a Node-style listener that fails", () => {
  const failing: Record<string, NodeListener> = {
    "throws": () => {
      throw new Error("thrown for a test");
    },
    "rejects": () => Promise.reject(new Error("thrown for a test")),
  };
  for (const [how, listener] of Object.entries(failing)) {
    test(`and ${how}: a page with 500, and the reason in the log`, async () => {
      await using site = await startApp(listener);
      const { head, text } = await site.ask("/path");
      assert.equal(head.status, 500);
      assert.doesNotMatch(text, /thrown/);
      assert.deepEqual(site.errors, ["GET /path: thrown for a test"]);
    });
  }

  test("in the middle of the response: it is cut, and the reason is in the log", async () => {
    const seen = gate();
    await using site = await startApp(async (_request, response) => {
      response.write("first");
      await seen.promise;
      throw new Error("thrown late");
    });
    const peer = await site.connect();
    const response = peer.get();
    await peer.until("the first piece is there", () => response.text === "first");
    seen.resolve();
    await peer.gone();
    assert.equal(response.end, undefined);
    assert.deepEqual(site.errors, ["GET /: thrown late"]);
  });

  test("and destroys the connection: 500", async () => {
    await using site = await startApp((request) => void request.socket.destroy());
    assert.equal((await site.ask()).head.status, 500);
    assert.deepEqual(site.errors, ["GET /: The application closed the connection"]);
  });

  test("and never answers: a shutdown gives it up", async () => {
    const [begun, closed] = [gate(), gate()];
    await using site = await startApp((_request, response) => {
      response.on("close", () => closed.resolve());
      begun.resolve();
    });
    const peer = await site.connect();
    peer.get("/", { keep: true });
    await soon("the request", begun.promise);
    await soon("the shutdown", site.server.shutdown(0.05));
    await soon("close", closed.promise);
  });
});

for (const protocol of ["scgi", "uwsgi", "ajp"] as const) {
  test(`a Node-style listener over ${protocol}`, async () => {
    await using site = await startApp((request, response) => void request.pipe(response), { protocol });
    const { head, text } = await site.ask(
      "/",
      { REQUEST_METHOD: "POST", CONTENT_LENGTH: "10" },
      Readable.from([bytes("to and fro")]),
    );
    assert.deepEqual([head.status, text], [200, "to and fro"]);
  });
}

test("request.socket.setTimeout() works", async () => {
  const fired = gate();
  await using site = await startApp((request, response) => {
    request.socket.setTimeout(1, () => {
      fired.resolve();
      response.end();
    });
  });
  const peer = await site.connect();
  peer.get();
  await soon("the timeout", fired.promise);
});
