import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ServeOptions } from "../../src/server/options.ts";
import { bytes } from "../support/bytes.ts";
import { MemoryConnection } from "../support/memory.ts";
import { gate, startSite, turns } from "../support/peer.ts";
import { traffic } from "../support/traffic.ts";

/** What an application under test may return: anything. */
type Misbehaving = (request: Request) => unknown;

/** A server whose application misbehaves on all paths but `/ok`. */
function siteWith(misbehave: Misbehaving, options: { onError?: ServeOptions["onError"] } = {}) {
  return startSite((request) => {
    if (new URL(request.url).pathname === "/ok") return new Response("ok");
    return misbehave(request) as Response;
  }, options);
}

function stream(start: (controller: ReadableStreamDefaultController) => void): ReadableStream {
  return new ReadableStream({ start });
}

const longHead = { headers: { "x-long": "x".repeat(70_000) } };

describe("an application that fails before its head has left", () => {
  const failures: [what: string, misbehave: Misbehaving, error: RegExp][] = [
    ["throws", () => {
      throw new Error("boom");
    }, /boom/],
    ["rejects", () => Promise.reject(new Error("boom")), /boom/],
    ["throws a text", () => {
      throw "just text";
    }, /just text/],
    ["rejects with nothing", () => Promise.reject(), /undefined/],
    ["returns undefined", () => undefined, /returned undefined, expected a Response/],
    ["returns null", () => null, /returned null/],
    ["returns a promise of nothing", () => Promise.resolve(), /returned undefined/],
    ["returns a text", () => "hello", /returned a value of type string/],
    ["returns another object", () => new Map(), /returned an object of Map/],
    ["returns a Response that was read", async () => {
      const response = new Response("x");
      await response.text();
      return response;
    }, /has been read already/],
    ["returns a Response whose body is locked", () => {
      const response = new Response(new Blob(["x"]).stream());
      response.body!.getReader();
      return response;
    }, /lock|read already/i],
    ["returns Response.error()", () => Response.error(), /status 0/],
    [
      "gives a stream that fails at once",
      () => new Response(stream((controller) => controller.error(new Error("boom")))),
      /boom/,
    ],
    [
      "gives an object as text",
      () => new Response(String({})),
      /The page is "\[object Object\]".*jsxImportSource.*Response\.json/,
    ],
    ["gives an object as a body", () => new Response({ a: 1 } as unknown as string), /The page is "\[object Object\]"/],
    ["gives a stream of numbers", () => new Response(stream((controller) => controller.enqueue(1))), /a value of type number/],
    ["has a head above 64 KiB", () => new Response(null, longHead), /response head/],
    ["has a head above 64 KiB and a text", () => new Response("x", longHead), /response head/],
    ["has a head above 64 KiB and a stream that is silent", () => new Response(stream(() => {}), longHead), /response head/],
    [
      "has a head above 64 KiB and a stream that goes on",
      () => {
        let timer: ReturnType<typeof setInterval>;
        return new Response(
          new ReadableStream({
            start: (controller) => void (timer = setInterval(() => controller.enqueue(bytes("x")), 1)),
            cancel: () => clearInterval(timer),
          }),
          longHead,
        );
      },
      /response head/,
    ],
  ];
  for (const [what, misbehave, error] of failures) {
    test(`and ${what}: the visitor gets a 500, the log one line, and the server goes on`, async () => {
      await using site = await siteWith(misbehave);
      const answer = await site.ask("/fails?x=1");
      assert.equal(answer.head.status, 500);
      assert.match(answer.text, /<h1[^>]*>500 Internal Server Error/);
      assert.doesNotMatch(answer.text, error);
      assert.equal(site.errors.length, 1, site.errors.join("\n"));
      assert.match(site.errors[0], /^GET \/fails\?x=1: /);
      assert.match(site.errors[0], error);
      assert.equal((await site.ask("/ok")).text, "ok");
    });
  }

  test("keeps its connection when that is to be kept", async () => {
    await using site = await siteWith(() => {
      throw new Error("boom");
    });
    const peer = await site.connect();
    for (const [path, status] of [["/fails", 500], ["/ok", 200], ["/fails", 500], ["/ok", 200]] as const) {
      peer.get(path, { keep: true });
      assert.equal((await peer.answer()).head?.status, status);
    }
  });

  test("rejects info.completed", async () => {
    const failed = gate<Error>();
    const connection = new MemoryConnection((_, info) => {
      info.completed.catch(failed.resolve);
      throw new Error("boom");
    });
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    assert.equal((await failed.promise).message, "boom");
  });
});

describe("an application that fails after its head has left", () => {
  /** The stream goes on, or fails, when the test has seen the beginning. */
  async function cutShort(fail: (controller: ReadableStreamDefaultController) => void, error: RegExp) {
    const seen = gate();
    await using site = await siteWith(() =>
      new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(bytes("begin")),
          async pull(controller) {
            await seen.promise;
            fail(controller);
          },
        }, { highWaterMark: 0 }),
      )
    );
    const peer = await site.connect();
    const response = peer.get("/fails", { keep: true });
    await peer.until("the beginning is there", () => response.text === "begin");
    seen.resolve();
    await peer.gone();
    assert.equal(response.end, undefined);
    assert.equal(site.errors.length, 1, site.errors.join("\n"));
    assert.match(site.errors[0], error);
    assert.equal((await site.ask("/ok")).text, "ok");
  }

  test("in its stream: the response is cut short without END_REQUEST", () => {
    return cutShort((controller) => controller.error(new Error("boom")), /boom/);
  });

  test("with a number in its stream: the same", () => {
    return cutShort((controller) => controller.enqueue(1), /a value of type number/);
  });

  test("ends only its own request when others share the connection", async () => {
    const [seen, slow] = [gate(), gate()];
    await using site = await startSite(async (request) => {
      if (request.url.endsWith("/slow")) {
        await slow.promise;
        return new Response("slow");
      }
      return new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(bytes("begin")),
          async pull(controller) {
            await seen.promise;
            controller.error(new Error("boom"));
          },
        }, { highWaterMark: 0 }),
      );
    });
    const peer = await site.connect();
    peer.get("/slow", { id: 1, keep: true });
    const failing = peer.get("/fails", { id: 2, keep: true });
    await peer.until("the beginning is there", () => failing.text === "begin");
    seen.resolve();
    await peer.answer(2);
    slow.resolve();
    assert.equal((await peer.answer(1)).text, "slow");
  });

  test("cancels nothing twice and is logged once, whatever length it declared", async () => {
    let cancels = 0;
    const seen = gate();
    const connection = new MemoryConnection(() =>
      new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(bytes("begin")),
          async pull(controller) {
            await seen.promise;
            controller.enqueue(1 as unknown as Uint8Array);
          },
          cancel: () => void cancels++,
        }, { highWaterMark: 0 }),
        { headers: { "content-length": "1000" } },
      )
    );
    connection.receive(traffic().get("/", { keep: true }));
    await connection.until("the beginning is there", () => connection.writes.length > 0);
    seen.resolve();
    await connection.until("it is given up", () => connection.state === "destroyed");
    await turns();
    assert.equal(cancels, 1);
    assert.equal(connection.errors.length, 1);
  });
});

describe("onError", () => {
  const boom: Misbehaving = () => {
    throw new Error("boom");
  };

  test("gets the error, what it was during, and the params", async () => {
    const told = gate<unknown[]>();
    await using site = await siteWith(boom, {
      onError: (error, { during, params }) => told.resolve([error.message, during, params?.REQUEST_URI]),
    });
    await site.ask("/a?b", { REQUEST_METHOD: "PUT" });
    assert.deepEqual(await told.promise, ["boom", "PUT /a?b", "/a?b"]);
  });

  for (const later of [false, true]) {
    test(`gives the page with a ${later ? "promise of a " : ""}Response`, async () => {
      await using site = await siteWith(boom, {
        onError(error) {
          const page = new Response(`sorry: ${error.message}`, { status: 502 });
          return later ? Promise.resolve(page) : page;
        },
      });
      const answer = await site.ask("/fails");
      assert.equal(answer.head.status, 502);
      assert.equal(answer.text, "sorry: boom");
    });
  }

  for (
    const [what, onError] of [
      ["throws", () => {
        throw new Error("second");
      }],
      ["rejects", () => Promise.reject(new Error("second"))],
      ["gives a Response that was read", async () => {
        const response = new Response("x");
        await response.text();
        return response;
      }],
      ["gives something else", () => "page" as unknown as Response],
      ["gives a head above 64 KiB", () => new Response("page", longHead)],
    ] as [string, ServeOptions["onError"]][]
  ) {
    test(`that ${what} leaves the visitor with a plain 500`, async () => {
      await using site = await siteWith(boom, { onError });
      const answer = await site.ask("/fails");
      assert.equal(answer.head.status, 500);
      assert.match(answer.text, /500 Internal Server Error/);
      assert.equal((await site.ask("/ok")).text, "ok");
    });
  }
});

describe("bytes that are not FastCGI", () => {
  test("close their connection with one line in the log, and touch no other", async () => {
    const slow = gate();
    await using site = await startSite(async () => {
      await slow.promise;
      return new Response("slow");
    });
    const [good, bad] = [await site.connect(), await site.connect()];
    good.get("/");
    bad.send(bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    await bad.gone();
    assert.deepEqual(site.errors, [
      "a connection: Closed a connection: Not FastCGI: a record starts with 71, expected version 1",
    ]);
    slow.resolve();
    assert.equal((await good.answer()).text, "slow");
  });

  test("abort what is not complete on their own connection", async () => {
    const aborted = gate();
    const connection = new MemoryConnection((request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      return new Promise(() => {});
    });
    connection.receive(traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }).stdin("x"));
    connection.served.data(bytes("garbage!"));
    await aborted.promise;
    assert.equal(connection.state, "destroyed");
    assert.equal(connection.errors.length, 1);
  });
});

test("a protocol that can encode no response at all costs the connection, and does not go on for ever", async () => {
  const connection = new MemoryConnection(() => new Response("hello"), {
    encode: () => {
      throw new Error("cannot encode");
    },
  });
  connection.receive(traffic().get("/"));
  await connection.until("the connection is destroyed", () => connection.state === "destroyed");
  await turns();
  assert.equal(connection.errors.filter((error) => error.includes("cannot encode")).length, 3);
});
