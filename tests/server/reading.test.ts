/** A body that the application reads as a whole: without the platform's `Request`, and as that would do it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { ScgiClient } from "../../src/protocol/scgi.ts";
import { bytes, concat, pattern, text } from "../support/bytes.ts";
import { MemoryConnection } from "../support/memory.ts";
import { gate, paramsOf, soon, turns } from "../support/peer.ts";

const head = (length: number) =>
  new ScgiClient().request(1, paramsOf("/", { REQUEST_METHOD: "POST", CONTENT_LENGTH: String(length) }));

/** How the body comes: with the head, or when the application reads already. */
const ways: Record<string, (body: Uint8Array) => Uint8Array[]> = {
  "with its head": (body) => [concat(head(body.length), body)],
  "behind its head": (body) => [head(body.length), body],
  "in pieces": (body) => [head(body.length), body.slice(0, 1), body.slice(1, 3), body.slice(3)],
};

/** Lets an application have a request, and fails as it does. */
async function handle(
  pieces: readonly Uint8Array[],
  application: (request: Request) => Promise<void>,
  protocol: "scgi" | "fcgi" = "scgi",
): Promise<void> {
  const { promise, resolve, reject } = gate();
  const connection = new MemoryConnection(async (request) => {
    await application(request).then(resolve, reject);
    return new Response();
  }, { protocol });
  for (const piece of pieces) {
    connection.served.data(piece);
    await turns(1);
  }
  await soon("the application", promise);
}

for (const [way, pieces] of Object.entries(ways)) {
  describe(`a body that comes ${way}`, () => {
    test("is text, without its byte order mark and with what is no UTF-8 replaced", () =>
      handle(
        pieces(bytes("\xef\xbb\xbfcaf\xc3\xa9 \xff")),
        async (request) => assert.equal(await request.text(), "café \ufffd"),
      ));

    test("is JSON, or a SyntaxError", async () => {
      await handle(pieces(bytes('{"a":[1]}')), async (request) => assert.deepEqual(await request.json(), { a: [1] }));
      await handle(pieces(bytes('{"a":')), (request) => assert.rejects(request.json(), SyntaxError));
    });

    test("is bytes in memory of its own", async () => {
      for (const content of [pattern(9), pattern(300_000)]) {
        await handle(pieces(content), async (request) => {
          const read = await request.bytes();
          assert.equal(read.constructor, Uint8Array);
          assert.deepEqual([read.byteOffset, read.buffer.byteLength], [0, content.length]);
          assert.deepEqual(read, content);
        });
        await handle(pieces(content), async (request) => {
          const buffer = await request.arrayBuffer();
          assert.equal(buffer.constructor, ArrayBuffer);
          assert.deepEqual(new Uint8Array(buffer), content);
        });
      }
    });

    test("is used from then on, for whatever looks at it", () =>
      handle(pieces(bytes("body")), async (request) => {
        assert.equal(request.bodyUsed, false);
        const read = request.text();
        assert.equal(request.bodyUsed, true);
        await assert.rejects(request.json(), TypeError);
        assert.equal(await read, "body");
        await assert.rejects(request.text(), TypeError);
        await assert.rejects(request.blob(), TypeError);
        await assert.rejects(request.formData(), TypeError);
        assert.throws(() => request.clone(), TypeError);
        assert.equal(request.bodyUsed, true);
        assert.equal(request.method, "POST");
      }));

    test("can be looked at before", () =>
      handle(pieces(bytes("body")), async (request) => {
        assert.ok(request.body instanceof ReadableStream);
        const copy = request.clone();
        assert.deepEqual(await Promise.all([request.text(), copy.text()]), ["body", "body"]);
      }));
  });
}

test("a request without a body can be read again and again", () =>
  handle([head(0)], async (request) => {
    assert.equal(await request.text(), "");
    assert.equal(request.bodyUsed, false);
    assert.equal((await request.bytes()).length, 0);
    assert.equal(request.body, null);
  }));

test("reading fails when the web server leaves, and says so when the response is complete before", async () => {
  const failed = gate<Error>();
  const left = new MemoryConnection((request) => {
    request.text().catch(failed.resolve);
    return new Promise(() => {});
  }, { protocol: "scgi" });
  left.served.data(concat(head(10), bytes("half")));
  left.served.close();
  assert.equal((await soon("the failure", failed.promise)).name, "AbortError");

  const early = gate<Error>();
  const answered = new MemoryConnection((request) => {
    request.text().catch(early.resolve);
    return new Response("early");
  }, { protocol: "scgi" });
  answered.served.data(concat(head(10), bytes("half")));
  assert.match((await soon("the failure", early.promise)).message, /complete before the request body was read/);
});

describe("a body over FastCGI that is shorter than its CONTENT_LENGTH", () => {
  const client = new FastCgiClient();
  const sent = (length: string, headers = {}) => [
    client.request(1, paramsOf("/", { REQUEST_METHOD: "POST", CONTENT_LENGTH: length, ...headers })),
    client.body(1, bytes("half")),
    client.bodyEnd(1),
  ];
  const readers: Record<string, (request: Request) => Promise<unknown>> = {
    text: (request) => request.text(),
    stream: (request) => Array.fromAsync(request.body!),
    form: (request) => request.clone().formData(),
  };
  for (const [name, read] of Object.entries(readers)) {
    test(`fails when it is read as ${name}, whether it is there already or comes meanwhile`, async () => {
      const expected = /declared a content-length of 10 and had 4 bytes/;
      const headers = { CONTENT_TYPE: "application/x-www-form-urlencoded" };
      const fails = (request: Request) => assert.rejects(read(request), expected);
      await handle([concat(...sent("10", headers))], fails, "fcgi");
      await handle(sent("10", headers), fails, "fcgi");
    });
  }

  test("does not concern who does not read it", async () => {
    const connection = new MemoryConnection(() => new Response("unread"));
    connection.served.data(concat(...sent("10")));
    await turns();
    assert.match(text(concat(...connection.writes)), /unread/);
    assert.deepEqual(connection.errors, []);
  });

  test("is read where the web server inflates it, or has no number for its length", async () => {
    for (const [length, headers] of [["10", { HTTP_CONTENT_ENCODING: "gzip" }], ["-1", {}], ["", {}], ["4", {}]] as const) {
      await handle(sent(length, headers), async (request) => assert.equal(await request.text(), "half"), "fcgi");
    }
  });
});
