import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { patchGlobals } from "../../src/gateway/patch_globals.ts";
import { rawHeaders } from "../../src/gateway/raw_response.ts";
import { runtime } from "../../src/runtime/name.ts";

const Platform = globalThis.Response;
patchGlobals();
type Constructor = typeof Response;

const isDeno = runtime.name === "Deno";
/** On Deno responses of parts have a prototype of their own before the platform's. */
const isOfResponse = (object: object) =>
  isDeno ? object instanceof Response : Object.getPrototypeOf(object) === Response.prototype;

/** What an application may give as a body, made anew for each response. */
const bodies: [name: string, make: () => unknown][] = [
  ["nothing", () => undefined],
  ["null", () => null],
  ["text", () => "a=1&b=é\u{1f600}"],
  ["no text", () => ""],
  // Deno gives the text as it was where nobody has encoded it.
  ...isDeno ? [] : [["half a character", () => "a\ud800b"] as [string, () => unknown]],
  ["JSON", () => '{"a":[1,"é"]}'],
  ["bytes", () => new TextEncoder().encode("a=1&b=2")],
  ["no bytes", () => new Uint8Array(0)],
  ["a Buffer", () => Buffer.from("buffer")],
  ["a part of a buffer", () => new Uint8Array(new TextEncoder().encode("0123456789").buffer, 3, 4)],
  ["5000 bytes", () => new Uint8Array(5000).fill(65)],
  ["64 KiB", () => new Uint8Array(64 * 1024).fill(66)],
  ["70000 bytes", () => new Uint8Array(70000).fill(67)],
  ["an ArrayBuffer", () => new TextEncoder().encode("array").buffer],
  ["a DataView", () => new DataView(new ArrayBuffer(3))],
  ["a detached array", () => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  }],
  ["a Blob", () => new Blob(["blob"], { type: "text/css" })],
  ["parameters", () => new URLSearchParams({ a: "b c" })],
  ["a stream", () => new Blob(["stream"]).stream()],
  ["a number", () => 5],
  ["an object", () => ({ a: 1 })],
  ["an object with text", () => ({ toString: () => "own" })],
  ["a symbol", () => Symbol("body")],
];

const usual = new Set(["nothing", "text", "no text", "JSON", "bytes", "64 KiB"]);

/** What may stand as the second argument, made anew for each response. */
const inits: [name: string, make: () => unknown][] = [
  ["no init", () => undefined],
  ["null", () => null],
  ["a text", () => "x"],
  ["a number", () => 5],
  ["a function", () => Object.assign(() => {}, { status: 201 })],
  ...[199, 200, 201, 204, 205, 299, 300, 304, 404, 599, 600, 99, 101, -1, 200.5, NaN, Infinity, 65736].map((
    status,
  ): [string, () => unknown] => [`the status ${status}`, () => ({ status })]),
  ["a status as text", () => ({ status: "404" })],
  ["no status", () => ({ status: null })],
  ["an undefined status", () => ({ status: undefined, statusText: undefined, headers: undefined })],
  ["a reason", () => ({ statusText: "Gone Fishing \t\x80ÿ" })],
  ["a reason with a line end", () => ({ statusText: "a\r\nb" })],
  ["a reason beyond bytes", () => ({ statusText: "ā" })],
  ["a reason of another type", () => ({ statusText: 5 })],
  ...([
    ["none", {}],
    ["null", null],
    ["text", "a: b"],
    ["some", { "X-A": "1", "content-type": "text/html", "Set-Cookie": "a=b" }],
    ["a type in capitals", { "Content-Type": "application/json" }],
    ["an empty type", { "content-type": "" }],
    ["a form's type", { "content-type": "application/x-www-form-urlencoded" }],
    ["a number", { "content-length": 7 }],
    ["others than text", { a: true, b: null, c: undefined, d: { toString: () => "e" }, e: [1, 2], f: 1e21, g: -0 }],
    ["spaces around", { a: "  b c\t", b: " ", c: "\r\nd", d: "x \t y" }],
    ["bytes", { a: "é\x80ÿ" }],
    ["control characters", { a: "a\x01\x7fb" }],
    ["a character beyond bytes", { a: "ā" }],
    ["a line end", { a: "b\r\nc: d" }],
    ["a null character", { a: "b\0" }],
    ["an invalid name", { "a b": "c" }],
    ["an empty name", { "": "c" }],
    ["a name beyond bytes", { "ā": "c" }],
    ["a name twice", { "x-a": "1", "X-A": "2" }],
    ["a symbol", { a: "b", [Symbol("c")]: "d" }],
    ["pairs", [["X-B", "1"], ["x-a", "2"], ["set-cookie", "a=1"], ["Set-Cookie", "b=2"]]],
    ["pairs that repeat", [["a", "1"], ["A", "2"], ["cookie", "a"], ["cookie", "b"]]],
    ["pairs of the wrong length", [["a"]]],
    ["pairs of three", [["a", "b", "c"]]],
    ["pairs of text", ["ab"]],
    ["pairs of sets", [new Set(["a", "b"])]],
    ["pairs of numbers", [[1, 2]]],
    ["a Map", new Map([["a", "b"]])],
    ["a Headers", new Headers([["x-a", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]])],
    ["an array's entries", [["a", "b"]].values()],
    ["no prototype", Object.assign(Object.create(null), { a: "b" })],
    ["inherited ones", Object.create({ a: "b" }, { c: { value: "d", enumerable: true }, e: { value: "f" } })],
  ] as [string, unknown][]).map(([name, headers]): [string, () => unknown] => [`the headers ${name}`, () => ({ headers })]),
  ["all", () => ({ status: 418, statusText: "Teapot", headers: { "x-a": "1" }, other: 1 })],
  ["another response", () => new Response("other", { status: 202, statusText: "Other", headers: { "x-o": "1" } })],
  ["inherited members", () => Object.create({ status: 203, headers: { "x-i": "1" } })],
  ...isDeno ? [] : [["an init that is counted", () => {
    let reads = 0;
    return {
      get status() {
        return 400 + ++reads;
      },
    };
  }] as [string, () => unknown]],
];

/** What an application may do with a response, until something is to be compared. */
const allUses: [name: string, use: (response: Response) => unknown][] = [
  ["its members", (r) => [r.type, r.url, r.redirected, r.status, r.ok, r.statusText, r.bodyUsed, r.body === null]],
  ["headers", (r) => [[...r.headers], r.headers.getSetCookie(), r.headers === r.headers]],
  ["text()", (r) => r.text()],
  ["json()", (r) => r.json()],
  ["bytes()", (r) => r.bytes()],
  ["arrayBuffer()", async (r) => new Uint8Array(await r.arrayBuffer())],
  ["blob()", async (r) => {
    const blob = await r.blob();
    return [blob.type, blob.size, await blob.text()];
  }],
  ["formData()", async (r) => [...await r.formData()]],
  ["blob() with another type", async (r) => {
    r.headers.set("content-type", "image/x-own");
    return (await r.blob()).type;
  }],
  ["blob() with another type after a look at the body", async (r) => {
    void r.body;
    r.headers.delete("content-type");
    return (await r.blob()).type;
  }],
  ["a second reading", async (r) => [await r.text(), r.bodyUsed, await outcome(() => r.text())]],
  ["its stream", async (r) => [await new Response(r.body).text(), r.bodyUsed, r.body === r.body, r.body?.locked]],
  ["a locked stream", async (r) => [r.body?.getReader() !== undefined, r.bodyUsed, await outcome(() => r.clone().status)]],
  ["a cancelled stream", async (r) => [await r.body?.cancel(), r.bodyUsed, await outcome(() => r.text())]],
  ["clone()", async (r) => {
    const copy = r.clone();
    copy.headers.set("x-copy", "1");
    const facts = [
      copy.status,
      copy.statusText,
      [...copy.headers],
      [...r.headers],
      isOfResponse(copy),
    ];
    return [...facts, await copy.text(), r.bodyUsed, await r.text()];
  }],
  ["clone() after changes", async (r) => {
    r.headers.append("x-a", "2");
    return [[...r.clone().headers], await r.clone().clone().text()];
  }],
  ["clone() after a look at the body", async (r) => {
    void r.body;
    r.headers.set("x-late", "1");
    const copy = r.clone();
    return [[...copy.headers], await copy.text(), await r.text()];
  }],
  ["clone() of a used one", async (r) => {
    await r.text();
    return r.clone();
  }],
  ["as the init of another", async (r) => {
    const other = new Response(r.body, r);
    return [other.status, other.statusText, [...other.headers], await other.text()];
  }],
  ["what it is", (r) => [
    r instanceof Response,
    isOfResponse(r),
    String(r),
    Object.keys(r),
    Reflect.ownKeys(r).filter((key) => typeof key === "string"),
    "status" in r,
    JSON.stringify(r),
  ]],
  ["an assignment", (r) => {
    (r as { status: number }).status = 500;
  }],
  ["members of the prototype", async (r) => {
    const get = (name: string) => Object.getOwnPropertyDescriptor(Response.prototype, name)!.get!.call(r);
    return [get("status"), [...get("headers")], get("bodyUsed"), await Response.prototype.text.call(r)];
  }],
  ["a property of its own", (r) => Object.assign(r, { own: 1 }).own],
  // Except how names of headers were written.
  ["how it is shown", (r) => inspect(r).replace(/headers: Headers \{.*?\},/s, "")],
  ["structuredClone()", (r) => structuredClone(r)],
  ["the constructor", (r) => [r.constructor.name, r.constructor === Response]],
];

/** Deno's own clone() loses the headers of some. */
const uses = allUses.filter(([name]) => !(isDeno && name.startsWith("clone()")));

/** What comes of it: a value, or an error by its name and message. */
async function outcome(run: () => unknown): Promise<{ value: unknown } | { error: string }> {
  try {
    const value = await run();
    // Deno gives a Buffer for one.
    return { value: value instanceof Buffer ? new Uint8Array(value) : value };
  } catch (error) {
    const { name, message } = error as Error;
    // Deno names the functions of its own in some.
    return { error: isDeno ? name : `${name}: ${message}` };
  }
}

const skip = runtime.name === "Bun" && "it keeps its own";

describe("a Response of parts is as the platform's:", { skip }, () => {
  for (const [name, body] of bodies) {
    test(`made of ${name}`, async () => {
      // Of most kinds the platform makes all.
      for (const [initName, init] of inits.filter((_, i) => usual.has(name) || i % 8 === 0)) {
        const make = (constructor: Constructor) => new constructor(body() as BodyInit, init() as ResponseInit);
        for (const [useName, use] of uses) {
          const [ours, theirs] = await Promise.all([Response, Platform].map((made) => outcome(() => use(make(made)))));
          assert.deepEqual(ours, theirs, `${initName}: ${useName}`);
          // It cannot be made, and not be used in other ways.
          if (useName === uses[0][0] && "error" in theirs) break;
        }
      }
    });
  }

  test("made of JSON", async () => {
    const values = [1, null, "é", { a: [1] }, undefined, () => {}, 10n, { toJSON: () => "own" }, new Date(0), NaN];
    for (const value of values) {
      for (const [initName, init] of inits) {
        for (const [useName, use] of uses) {
          const make = ({ json }: Constructor) => json(value, init() as ResponseInit);
          const [ours, theirs] = await Promise.all([Response, Platform].map((made) => outcome(() => use(make(made)))));
          assert.deepEqual(ours, theirs, `${String(value)}, ${initName}: ${useName}`);
          if (useName === uses[0][0] && "error" in theirs) break;
        }
      }
    }
    const none = (constructor: Constructor) => outcome(() => (constructor.json as () => Response)());
    assert.deepEqual(await none(Response), await none(Platform));
  });

  test("derived from", async () => {
    for (const [useName, use] of uses) {
      const results = [Response, Platform].map((constructor) => {
        class Page extends constructor {
          readonly #secret = 1;
          own = 2;
          override get statusText(): string {
            return `own ${super.statusText}`;
          }
          get sum(): number {
            return this.#secret + this.own;
          }
        }
        const page = new Page("<p>", { status: 201, statusText: "Made", headers: { "content-type": "text/html" } });
        return outcome(async () => [page instanceof Page, page.constructor === Page, page.sum, await use(page)]);
      });
      assert.deepEqual(await results[0], await results[1], useName);
    }
  });
});

describe("the constructor of Response", { skip }, () => {
  test("makes usual responses without the platform", () => {
    assert.deepEqual(rawHeaders(new Response("x", { headers: { "X-A": "1" } })), [
      "x-a",
      "1",
      "content-type",
      "text/plain;charset=UTF-8",
    ]);
    assert.deepEqual(rawHeaders(Response.json({}, { status: 201 })), ["content-type", "application/json"]);
    assert.deepEqual(rawHeaders(new Response(null, { status: 302, headers: [["location", "/a"]] })), ["location", "/a"]);
    assert.equal(rawHeaders(new Platform("x")), undefined);
  });

  test("gives clones that have all, whether they are looked at before or after", async () => {
    for (const body of ["text", new TextEncoder().encode("text"), new Uint8Array(64 * 1024).fill(65)]) {
      const text = typeof body === "string" ? body : new TextDecoder().decode(body);
      for (const look of [() => {}, (r: Response) => void r.headers, (r: Response) => void r.body]) {
        const response = new Response(body, {
          status: 201,
          statusText: "Made",
          headers: { "content-type": "text/x", "X-A": "1" },
        });
        look(response);
        const clone = response.clone();
        clone.headers.set("x-a", "2");
        const facts = [clone, response].map((r) => [r.status, r.statusText, r.headers.get("content-type"), r.headers.get("x-a")]);
        assert.deepEqual(facts, [[201, "Made", "text/x", "2"], [201, "Made", "text/x", "1"]]);
        assert.ok(clone instanceof Response && isOfResponse(clone));
        assert.deepEqual([await clone.text(), response.bodyUsed, await response.text()], [text, false, text]);
        await assert.rejects(async () => await response.clone().text(), TypeError);
      }
    }
  });

  test("has the members that the platform's has", async () => {
    assert.deepEqual(Reflect.ownKeys(Response).sort(), Reflect.ownKeys(Platform).sort());
    for (const name of ["name", "length"] as const) assert.equal(Response[name], Platform[name]);
    assert.equal(Response.json.length, Platform.json.length);
    assert.equal(Response.prototype.clone.name, "clone");
    assert.deepEqual(Object.keys(new Response().headers), []);
    await assert.rejects(async () => await Response.prototype.text.call({} as Response), TypeError);
  });
});

interface DenoFunctions {
  serve(options: object, handler: (request: Request) => Response): { addr: { port: number }; shutdown(): Promise<void> };
}
const deno = (globalThis as { Deno?: DenoFunctions }).Deno;

describe("Deno's own functions take responses of parts:", { skip: !deno && "on Deno" }, () => {
  test("Deno.serve", async () => {
    class Page extends Response {
      override get status(): number {
        return 202;
      }
    }
    const shared = new Response("twice");
    const cases: [make: () => Response, status: number, type: string | null, length: number][] = [
      [() => new Response("text"), 200, "text/plain;charset=UTF-8", 4],
      [() => new Response("é", { status: 404, headers: { "content-type": "text/x" } }), 404, "text/x", 2],
      [() => new Response(new Uint8Array(64 * 1024)), 200, null, 64 * 1024],
      [() => new Response(new Uint8Array(70_000)), 200, null, 70_000],
      [() => new Response(null, { status: 204 }), 204, null, 0],
      [() => Response.json({ a: 1 }, { status: 201 }), 201, "application/json", 7],
      [() => new Page("page"), 200, "text/plain;charset=UTF-8", 4],
      [() => new Response("clone").clone(), 200, "text/plain;charset=UTF-8", 5],
      [() => shared.clone(), 200, "text/plain;charset=UTF-8", 5],
      [
        () => {
          const response = new Response("changed");
          response.headers.set("content-type", "text/late");
          return response;
        },
        200,
        "text/late",
        7,
      ],
      [
        () => {
          const response = new Response("looked at");
          void response.body;
          return response;
        },
        200,
        "text/plain;charset=UTF-8",
        9,
      ],
    ];
    const server = deno!.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
      return cases[Number(new URL(request.url).pathname.slice(1))][0]();
    });
    try {
      for (const [i, [, status, type, length]] of cases.entries()) {
        const response = await fetch(`http://127.0.0.1:${server.addr.port}/${i}`);
        const body = await response.arrayBuffer();
        assert.deepEqual(
          [response.status, response.headers.get("content-type"), body.byteLength],
          [status, type, length],
          `case ${i}`,
        );
      }
    } finally {
      await server.shutdown();
    }
  });

  test("WebAssembly.compileStreaming()", async () => {
    const empty = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
    const response = new Response(empty, { headers: { "content-type": "application/wasm" } });
    assert.ok(await WebAssembly.compileStreaming(response) instanceof WebAssembly.Module);
    assert.equal(response.bodyUsed, true);
  });
});
