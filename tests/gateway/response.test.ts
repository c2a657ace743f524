import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hasNoBody, plainResponse, responseHead } from "../../src/gateway/response.ts";
import { cgiHead } from "../../src/protocol/cgi_response.ts";

/** Headers as `name: value`, sorted. */
function headers(init: HeadersInit, bodyLength?: number, status = 200): string[] {
  const { headers } = responseHead(new Response(null, { status, headers: init }), "responder", bodyLength);
  return headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : [])).sort();
}

describe("the head of a response", () => {
  const reasons: [status: number, statusText: string, reason: string][] = [
    [200, "", "OK"],
    [404, "", "Not Found"],
    [404, "Gone Fishing", "Gone Fishing"],
    [299, "", "Unknown"],
    [599, "", "Unknown"],
    [200, "Bien s\xfbr", "Bien s\xfbr"],
  ];
  for (const [status, statusText, reason] of reasons) {
    test(`has the status ${status} and the reason ${reason}`, () => {
      const head = responseHead(new Response(null, { status, statusText }), "responder");
      assert.deepEqual([head.status, head.reason], [status, reason]);
    });
  }

  for (const statusText of ["a\r\nSet-Cookie: x=1", "a\nb", "a\rb", "a\0b", "\u010a"]) {
    test(`has no reason with ${JSON.stringify(statusText)}, which Bun lets an application give`, () => {
      // Deno and Node refuse such a Response, so it is made up for all.
      const response = new Response(null, { status: 404 });
      Object.defineProperty(response, "statusText", { value: statusText });
      const head = responseHead(response, "responder");
      assert.equal(head.reason, "Not Found");
      assert.equal(cgiHead(head), "Status: 404 Not Found\r\n\r\n");
    });
  }

  test("has each Set-Cookie on its own", () => {
    assert.deepEqual(headers([["set-cookie", "a=1; Path=/"], ["x-a", "1"], ["set-cookie", "b=2, c"]]), [
      "set-cookie: a=1; Path=/",
      "set-cookie: b=2, c",
      "x-a: 1",
    ]);
  });

  test("has other repeated headers joined", () => {
    assert.deepEqual(headers([["vary", "a"], ["vary", "b"]]), ["vary: a, b"]);
  });

  test("has no headers that concern one connection, and none that CGI would take for the status", () => {
    const dropped = ["Connection", "Keep-Alive", "Proxy-Connection", "Status", "TE", "Trailer", "Transfer-Encoding", "Upgrade"];
    assert.deepEqual(headers([...dropped.map((name): [string, string] => [name, "x"]), ["x-status", "kept"]]), [
      "x-status: kept",
    ]);
  });

  test("keeps the bytes of values", () => {
    assert.deepEqual(headers({ "x-a": "caf\xe9" }), ["x-a: caf\xe9"]);
  });

  const lengths: [name: string, declared: string | undefined, known: number | undefined, status: number, length: string[]][] = [
    ["the application's where the body's is not known", "20", undefined, 200, ["content-length: 20"]],
    ["the body's where it is known, whatever the application says", "20", 5, 200, ["content-length: 5"]],
    ["the body's, also when that is empty", undefined, 0, 200, ["content-length: 0"]],
    ["none where nobody knows", undefined, undefined, 200, []],
    ["none with the status 204", "20", undefined, 204, []],
    ["the application's with the status 304, which has that of the page", "20", undefined, 304, ["content-length: 20"]],
  ];
  for (const [name, declared, known, status, length] of lengths) {
    test(`has this content-length: ${name}`, () => {
      assert.deepEqual(headers(declared === undefined ? {} : { "content-length": declared }, known, status), length);
    });
  }

  for (const type of ["text/event-stream", "text/event-stream; charset=utf-8", "text/event-stream;charset=utf-8"]) {
    test(`of ${type} asks nginx not to hold it back`, () => {
      assert.deepEqual(headers({ "content-type": type }), [`content-type: ${type}`, "x-accel-buffering: no"]);
    });
  }

  test("of events keeps the application's own header about buffering", () => {
    for (const value of ["yes", "no"]) {
      assert.deepEqual(headers({ "content-type": "text/event-stream", "x-accel-buffering": value }), [
        "content-type: text/event-stream",
        `x-accel-buffering: ${value}`,
      ]);
    }
  });

  test("of anything else says nothing about buffering", () => {
    assert.deepEqual(headers({ "content-type": "text/html" }), ["content-type: text/html"]);
  });

  test("of an Authorizer has variables in capitals, and no other role's has", () => {
    const response = () =>
      new Response(null, { headers: { "Variable-AUTH_METHOD": "x", "variable-user": "y", "x-variable-z": "z" } });
    const names = (role: "authorizer" | "responder" | "filter") =>
      responseHead(response(), role).headers.filter((_, i) => i % 2 === 0).sort();
    assert.deepEqual(names("authorizer"), ["Variable-AUTH_METHOD", "Variable-USER", "x-variable-z"]);
    assert.deepEqual(names("responder"), ["variable-auth_method", "variable-user", "x-variable-z"]);
    assert.deepEqual(names("filter"), ["variable-auth_method", "variable-user", "x-variable-z"]);
  });

  test("without a body has no length, except that of a 304", () => {
    for (const status of [204, 205]) assert.deepEqual(headers({ "content-length": "5" }, undefined, status), []);
    assert.deepEqual(headers({ "content-length": "5" }, undefined, 304), ["content-length: 5"]);
  });

  test("does not exist for Response.error()", () => {
    assert.throws(() => responseHead(Response.error(), "responder"), {
      name: "TypeError",
      message: "The handler returned a Response with the status 0, expected 200 to 599",
    });
  });
});

test("204, 205 and 304 have no body, others may have one", () => {
  for (let status = 200; status < 600; status++) {
    assert.equal(hasNoBody(status), [204, 205, 304].includes(status), `status ${status}`);
  }
});

describe("a Response that is not the platform's", () => {
  /** As a package or an application makes it: nothing has checked what stands in it. */
  const foreign = (
    pairs: readonly (readonly [name: unknown, value: unknown])[],
    more: { status?: unknown; statusText?: unknown } = {},
  ) =>
    ({
      status: 200,
      statusText: "",
      headers: {
        forEach: (each: (value: unknown, name: unknown) => void) => pairs.forEach(([name, value]) => each(value, name)),
      },
      body: null,
      ...more,
    }) as unknown as Response;
  const head = (...args: Parameters<typeof foreign>) => responseHead(foreign(...args), "responder");

  for (
    const [value, shown] of [
      ["a\r\nSet-Cookie: x=1", '"a\\r\\nSet-Cookie: x=1"'],
      ["a\nb", '"a\\nb"'],
      ["a\rb", '"a\\rb"'],
      ["a\0b", '"a\\u0000b"'],
      ["a\u010ab", '"a\\u010ab"'],
      ["a\u010db", '"a\\u010db"'],
      ["a\u0100b", '"a\\u0100b"'],
      ["\u4e2d", '"\\u4e2d"'],
      ["\ud83d\ude00", '"\\ud83d\\ude00"'],
    ]
  ) {
    test(`cannot have the value ${shown}, which the log shows in one line`, () => {
      assert.throws(() => head([["x-good", "1"], ["x-bad", value]]), {
        name: "TypeError",
        message: `The Response has the header "x-bad" with the value ${shown}, which cannot be sent`,
      });
    });
  }

  for (const name of ["", "a b", "a:b", "a\r\nb", "a\n", "a\0", "\xe9", "x\u0161", "(a)", "a\tb"]) {
    test(`cannot have a header named ${JSON.stringify(name)}`, () => {
      assert.throws(() => head([[name, "x"]]), (error: Error) => error.message.includes("cannot be sent"));
    });
  }

  test("has values as the platform takes them: bytes, and no space around them", () => {
    const { headers } = head([["X-A", " caf\xe9\t"], ["x-b", "a\r\n"], ["x-c", 5], ["x-d", ""]]);
    assert.deepEqual(headers, ["x-a", "caf\xe9", "x-b", "a", "x-c", "5", "x-d", ""]);
  });

  test("has each Set-Cookie on its own, and none of the headers that are dropped, however they are written", () => {
    const { headers } = head([
      ["Set-Cookie", "a=1"],
      ["Transfer-Encoding", "chunked"],
      ["STATUS", "500"],
      ["Connection", "close"],
      ["set-cookie", "b=2"],
    ]);
    assert.deepEqual(headers, ["set-cookie", "a=1", "set-cookie", "b=2"]);
  });

  test("may have a Map for its headers", () => {
    const response = { ...foreign([]), headers: new Map([["Content-Type", "text/html"]]) } as unknown as Response;
    assert.deepEqual(responseHead(response, "responder", 3).headers, ["content-type", "text/html", "content-length", "3"]);
  });

  test("has the usual reason in the place of one that cannot be sent", () => {
    for (const statusText of ["a\r\nb", "\u010a", "a\0", undefined, null, 5]) {
      assert.equal(head([], { status: 404, statusText }).reason, "Not Found", String(statusText));
    }
  });

  test("needs a status", () => {
    for (const status of [199, 600, 200.5, NaN, Infinity, "200", undefined]) {
      assert.throws(() => head([], { status }), {
        message: `The handler returned a Response with the status ${status}, expected 200 to 599`,
      });
    }
  });

  test("is checked by the platform's own Headers, whatever took their place", () => {
    const own = globalThis.Headers;
    globalThis.Headers = class {
      append() {}
      forEach() {}
    } as unknown as typeof Headers;
    try {
      assert.throws(() => head([["x", "\n\n"], ["y", "a\nb"]]), TypeError);
    } finally {
      globalThis.Headers = own;
    }
  });
});

describe("a page of the server's own", () => {
  test("has its status, is not stored and is HTML", async () => {
    const response = plainResponse(503, "Try again.", { "retry-after": "5" });
    assert.equal(response.status, 503);
    assert.deepEqual(Object.fromEntries(response.headers), {
      "cache-control": "no-store",
      "content-type": "text/html; charset=utf-8",
      "retry-after": "5",
    });
    const page = await response.text();
    assert.match(page, /<title>503 Service Unavailable<\/title>/);
    assert.match(page, /<p>Try again\.<\/p>/);
  });

  test("shows text as text", async () => {
    assert.match(await plainResponse(400, "<script> & </p>").text(), /<p>&lt;script> &amp; &lt;\/p><\/p>/);
  });
});
