import assert from "node:assert/strict";
import { createServer } from "node:http";
import { describe, test } from "node:test";
import { patchGlobals } from "../../src/gateway/patch_globals.ts";
import { lazyRequest } from "../../src/gateway/request.ts";
import { Params } from "../../src/protocol/params.ts";
import { bytes } from "../support/bytes.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A request of ours with the header `X-A: 1`. */
function request(method: string, url: string, body: Bytes | ReadableStream<Bytes> | null): Request {
  const { signal } = new AbortController();
  return lazyRequest({ params: new Params(["HTTP_X_A", "1"]), takeBody: () => body, signal }, method, url);
}

function post(body: Bytes | ReadableStream<Bytes>): Request {
  return request("POST", "http://h/p?q", body);
}

const content = (text: string) => new Uint8Array(bytes(text)) as Bytes;

function stream(...pieces: string[]): ReadableStream<Bytes> {
  return new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(content(piece));
    },
  });
}

describe("the patched globals", () => {
  patchGlobals();
  patchGlobals();

  test("makes a Request of a request", async () => {
    const original = post(content("body"));
    const copy = new Request(original);
    assert.ok(copy instanceof Request);
    assert.notEqual(copy, original);
    assert.equal(copy.url, "http://h/p?q");
    assert.equal(copy.method, "POST");
    assert.equal(copy.headers.get("x-a"), "1");
    assert.equal(await copy.text(), "body");
    // As with a Request of the runtime's own: Bun leaves the first one's body to be read again.
    const own = new Request("http://h/", { method: "POST", body: content("body") });
    await new Request(own).text();
    assert.equal(original.bodyUsed, own.bodyUsed);
  });

  test("makes a Request of a request and of something else for it", async () => {
    const copy = new Request(post(content("body")), { headers: { "x-b": "2" }, body: "other" });
    assert.equal(copy.headers.get("x-a"), null);
    assert.equal(copy.headers.get("x-b"), "2");
    assert.equal(copy.method, "POST");
    assert.equal(await copy.text(), "other");
  });

  test("makes a Request of another URL and a request", async () => {
    const copy = new Request("http://other/", post(content("body")));
    assert.equal(copy.url, "http://other/");
    assert.equal(copy.method, "POST");
    assert.equal(copy.headers.get("x-a"), "1");
    assert.equal(await copy.text(), "body");
  });

  test("makes a Request of a request whose body is still coming", async () => {
    assert.equal(await new Request(post(stream("one ", "two"))).text(), "one two");
  });

  test("makes Requests of all else as before", async () => {
    assert.equal(new Request("http://h/a").url, "http://h/a");
    assert.equal(new Request(new URL("http://h/b")).url, "http://h/b");
    assert.equal(await new Request("http://h/", { method: "PUT", body: "x" }).text(), "x");
    assert.equal(new Request(new Request("http://h/c")).url, "http://h/c");
    assert.throws(() => new Request("not a URL"), TypeError);
    assert.equal(Request.name, "Request");
  });

  test("lets classes extend Request", async () => {
    class Own extends Request {
      own = 1;
    }
    const own = new Own(post(content("x")));
    assert.ok(own instanceof Own && own instanceof Request);
    assert.equal(own.own, 1);
    assert.equal(await own.text(), "x");
  });

  test("fetches a request, with method, headers and body", async () => {
    const server = createServer((message, response) => {
      let body = "";
      message.setEncoding("utf8").on("data", (piece) => body += piece);
      message.on("end", () => response.end(`${message.method} ${message.url} ${message.headers["x-a"]} ${body}`));
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    try {
      const address = server.address();
      assert.ok(address !== null && typeof address === "object");
      const url = `http://127.0.0.1:${address.port}/p?q`;
      for (const body of [content("body"), stream("bo", "dy")]) {
        const response = await fetch(request("POST", url, body));
        assert.equal(await response.text(), "POST /p?q 1 body");
      }
      assert.equal(await (await fetch(request("GET", url, null))).text(), "GET /p?q 1 ");
      assert.equal(await (await fetch(url)).text(), "GET /p?q undefined ");
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  const types: [name: string, body: () => BodyInit | null, init: ResponseInit, type: string | null][] = [
    ["text", () => "x", {}, "text/plain;charset=UTF-8"],
    ["no text", () => "", {}, "text/plain;charset=UTF-8"],
    ["text with a type of its own", () => "x", { headers: { "content-type": "text/html" } }, "text/html"],
    ["a form", () => new URLSearchParams({ a: "b" }), {}, "application/x-www-form-urlencoded;charset=UTF-8"],
    ["a blob", () => new Blob(["x"], { type: "image/png" }), {}, "image/png"],
    ["bytes", () => content("x"), {}, null],
    ["a stream", () => stream("x"), {}, null],
    ["nothing", () => null, {}, null],
  ];
  for (const [name, body, init, type] of types) {
    test(`gives a Response made of ${name} the content type ${type}`, () => {
      assert.equal(new Response(body(), init).headers.get("content-type"), type);
    });
  }

  test("makes Responses as before", async () => {
    const response = new Response("x", { status: 201, statusText: "Made", headers: { a: "b" } });
    assert.ok(response instanceof Response);
    assert.deepEqual([response.status, response.statusText, response.headers.get("a"), await response.text()], [
      201,
      "Made",
      "b",
      "x",
    ]);
    assert.equal(Response.json({ a: 1 }).headers.get("content-type")?.split(";")[0], "application/json");
    assert.equal(Response.redirect("http://h/", 303).status, 303);
    assert.equal(Response.error().type, "error");
    assert.equal(Response.name, "Response");
    assert.equal(response.constructor, Response);
    assert.equal(post(content("x")).constructor, Request);
    class Own extends Response {}
    assert.ok(new Own("x") instanceof Own);
  });
});
