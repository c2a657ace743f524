import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { bytesLength, isComplete, knownBody } from "../../src/gateway/known_body.ts";
import { patchGlobals } from "../../src/gateway/patch_globals.ts";
import { rawResponse } from "../../src/gateway/raw_response.ts";
import { responseParts } from "../../src/gateway/response_parts.ts";
import { runtime } from "../../src/runtime/name.ts";

patchGlobals();

/** Both ways to a Response whose body is known: what the application writes, and what it gets of that on Node and Deno. */
const makers: [name: string, make: (body: string, init?: ResponseInit) => Response][] = [
  ["new Response()", (body, init) => new Response(body, init)],
  ["rawResponse()", (body, init = {}) => rawResponse(responseParts(body, init)!)],
];

for (const [name, make] of makers) {
  describe(`a Response of text by ${name}`, () => {
    test("has its text known until the body is used", async () => {
      const response = make("hello");
      assert.equal(knownBody(response), "hello");
      assert.equal(await response.text(), "hello");
      assert.equal(knownBody(response), undefined);
    });

    test("is a Response", () => {
      const response = make("hello");
      assert.ok(response instanceof Response);
      assert.equal(Object.prototype.toString.call(response), "[object Response]");
    });

    test("has status, reason and headers as given, which can be changed", () => {
      const response = make("hello", { status: 404, statusText: "Gone Fishing", headers: { "x-a": "1" } });
      response.headers.set("x-b", "2");
      assert.equal(response.status, 404);
      assert.equal(response.ok, false);
      assert.equal(response.statusText, "Gone Fishing");
      assert.equal(response.headers.get("x-a"), "1");
      assert.equal(response.headers.get("x-b"), "2");
      assert.equal(knownBody(response), "hello");
    });

    test("is plain text unless its headers say otherwise", () => {
      assert.equal(make("a").headers.get("content-type")?.toLowerCase(), "text/plain;charset=utf-8");
      assert.equal(make("a", { headers: { "content-type": "text/html" } }).headers.get("content-type"), "text/html");
    });

    const ways: [name: string, read: (response: Response) => Promise<unknown>, expected: unknown][] = [
      ["text()", (response) => response.text(), '{"a":"é"}'],
      ["json()", (response) => response.json(), { a: "é" }],
      ["bytes()", async (response) => new TextDecoder().decode(await response.bytes()), '{"a":"é"}'],
      ["arrayBuffer()", async (response) => new TextDecoder().decode(await response.arrayBuffer()), '{"a":"é"}'],
      ["blob()", async (response) => await (await response.blob()).text(), '{"a":"é"}'],
      ["body", async (response) => new TextDecoder().decode((await response.body!.getReader().read()).value), '{"a":"é"}'],
    ];
    for (const [way, read, expected] of ways) {
      test(`is read by ${way}, once`, async () => {
        const response = make('{"a":"é"}');
        assert.equal(response.bodyUsed, false);
        assert.deepEqual(await read(response), expected);
        assert.equal(response.bodyUsed, true);
        await assert.rejects(response.text());
      });
    }

    test("is read as a form", async () => {
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      assert.equal((await make("a=1&b=2", { headers }).formData()).get("b"), "2");
    });

    test("is cloned whole, before it is read", async () => {
      const response = make("hello", { status: 201, headers: { "x-a": "1" } });
      const copy = response.clone();
      assert.equal(copy.status, 201);
      assert.equal(copy.headers.get("x-a"), "1");
      copy.headers.set("x-a", "2");
      assert.equal(response.headers.get("x-a"), "1");
      assert.equal(await copy.text(), "hello");
      assert.equal(await response.text(), "hello");
      assert.throws(() => response.clone());
    });

    test("is cloned after its body was looked at, with status and headers", async () => {
      const response = make("hello", { status: 201, headers: { "x-a": "1" } });
      assert.ok(response.body);
      const copy = response.clone();
      assert.equal(copy.status, 201);
      assert.equal(copy.headers.get("x-a"), "1");
      assert.equal(await copy.text() + await response.text(), "hellohello");
    });

    test("serves as the pattern of another", async () => {
      const response = make("hello", { status: 201, headers: { "x-a": "1" } });
      const other = new Response(response.body, response);
      assert.equal(other.status, 201);
      assert.equal(other.headers.get("x-a"), "1");
      assert.equal(await other.text(), "hello");
    });

    test("can be shown, cloned and looked at before it is sent", () => {
      for (const text of ["", "hello"]) {
        const response = make(text);
        inspect(response);
        void response.body;
        assert.equal(response.clone().status, 200);
        assert.equal(response.bodyUsed, false);
        const known = knownBody(response);
        assert.ok(known === undefined || known === text);
      }
    });

    test("is known after a look at its body, until somebody reads that", () => {
      for (const text of ["", "hello"]) {
        const response = make(text);
        void response.body;
        assert.equal(knownBody(response), text);
      }
    });

    test("with an empty text has an empty body, not none", async () => {
      assert.equal(knownBody(make("")), "");
      assert.equal(await make("").text(), "");
    });
  });
}

describe("the constructor of Response", () => {
  test("refuses a body where the status has none, and an invalid status", () => {
    // Bun lets it pass, and the body is not sent.
    if (runtime.name !== "Bun") assert.throws(() => new Response("x", { status: 204 }), TypeError);
    assert.throws(() => new Response("x", { status: 99 }), RangeError);
    assert.throws(() => (Response as unknown as (body: string) => void)("x"), TypeError);
  });

  test("makes what it always made of other bodies", async () => {
    assert.equal(new Response().body, null);
    assert.equal(knownBody(new Response(new Blob(["x"]))), undefined);
    assert.equal(await new Response(new Blob(["x"])).text(), "x");
    assert.equal(await Response.json({ a: 1 }).text(), '{"a":1}');
    assert.ok(Response.json({}) instanceof Response);
    assert.equal(Response.redirect("http://h/").status, 302);
  });

  test("can be derived from", async () => {
    class Page extends Response {
      constructor(text: string) {
        super(`<p>${text}</p>`, { headers: { "content-type": "text/html" } });
      }
    }
    const page = new Page("hello");
    assert.ok(page instanceof Page && page instanceof Response);
    assert.equal(page.headers.get("content-type"), "text/html");
    assert.equal(await page.text(), "<p>hello</p>");
  });

  for (const [kind, bytes] of [["bytes", new TextEncoder().encode("hello")], ["a Buffer", Buffer.from("hello")]] as const) {
    test(`keeps ${kind} as they were when it was called`, async () => {
      const response = new Response(bytes);
      bytes.fill(0);
      const known = knownBody(response);
      assert.equal(known === undefined, runtime.name === "Bun");
      if (known) assert.equal(new TextDecoder().decode(known as Uint8Array), "hello");
      assert.equal(await response.text(), "hello");
      assert.equal(response.headers.get("content-type"), null);
    });
  }

  test("knows the length of bytes until they are used, and of no other body", async () => {
    const response = new Response(new ArrayBuffer(5));
    assert.equal(bytesLength(response), 5);
    await response.bytes();
    assert.equal(bytesLength(response), undefined);
    const blob = new Response(new Blob(["hello"]));
    const stream = new Response(blob.clone().body);
    assert.deepEqual([blob, stream].map((response) => [isComplete(response), bytesLength(response)]), [
      [true, undefined],
      [false, undefined],
    ]);
  });
});
