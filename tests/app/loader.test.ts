import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describe, test } from "node:test";
import { handlerOf } from "../../src/app/loader.ts";
import { startSite } from "../support/peer.ts";

/** What an application that is exported so answers. */
async function answerOf(module: Record<string, unknown>) {
  await using site = await startSite(handlerOf(module, "app.ts"));
  const { head, text } = await site.ask("/path");
  return { status: head.status, text, error: site.errors.join("\n") };
}

/** Tells how it is called. */
const listener = (request: IncomingMessage, response: ServerResponse) => void response.end(`node ${request.url}`);
const fetching = (request: Request, info: { pathInfo: string }) => new Response(`fetch ${request.method} ${info.pathInfo}`);

describe("a default export that is called as a Node-style listener", () => {
  const express = Object.assign((request: IncomingMessage, response: ServerResponse) => listener(request, response), {
    use() {},
    handle() {},
  });
  class KoaLike extends EventEmitter {
    use() {}
    callback() {
      return listener;
    }
  }
  const cases: Record<string, Record<string, unknown>> = {
    "a server that does not listen": { default: createServer(listener) },
    "a function with the methods of Express's application": { default: express },
    "an object with the methods of Koa's application": { default: new KoaLike() },
    "a function of three parameters": {
      default: (request: IncomingMessage, response: ServerResponse, _next: () => void) => listener(request, response),
    },
    "a function that is declared": { default: listener, runfcgi: { app: "node" } },
  };
  for (const [name, module] of Object.entries(cases)) {
    test(name, async () => {
      assert.deepEqual(await answerOf(module), { status: 200, text: "node /path", error: "" });
    });
  }

  test("next() is a 404, next(error) a 500", async () => {
    const pass = (_request: unknown, _response: unknown, next: () => void) => next();
    assert.equal((await answerOf({ default: pass })).status, 404);
    const fail = (_request: unknown, _response: unknown, next: (error: Error) => void) => next(new Error("passed on"));
    assert.deepEqual((({ status, error }) => [status, error])(await answerOf({ default: fail })), [500, "GET /path: passed on"]);
  });
});

describe("a default export that is called as a fetch handler", () => {
  const cases: Record<string, Record<string, unknown>> = {
    "an object with fetch": { default: { fetch: fetching } },
    "a function of two parameters": { default: fetching },
    "a function that is declared": {
      default: (request: Request, info: { pathInfo: string }, _more: unknown) => fetching(request, info),
      runfcgi: { app: "fetch" },
    },
  };
  for (const [name, module] of Object.entries(cases)) {
    test(name, async () => {
      assert.deepEqual(await answerOf(module), { status: 200, text: "fetch GET /path", error: "" });
    });
  }

  const hint = /If app\.ts exports a Node-style listener .*: export const runfcgi = \{ app: "node" \}/;
  test("a listener that is not declared is a 500, and the log says how to declare it", async () => {
    for (const undeclared of [listener, (_request: unknown, _response: unknown) => {}]) {
      const { status, error } = await answerOf({ default: undeclared });
      assert.equal(status, 500);
      assert.match(error, hint);
    }
  });

  test("other errors, and those of a function that has worked, are left as they are", async () => {
    let calls = 0;
    const handler = handlerOf({
      default(_request: Request, _info: unknown) {
        if (calls++ === 1) return new Response("works");
        throw calls === 1 ? new RangeError("first") : new TypeError("third");
      },
    }, "app.ts");
    await using site = await startSite(handler);
    for (let i = 0; i < 3; i++) await site.ask("/");
    assert.deepEqual(site.errors, ["GET /: first", "GET /: third"]);
  });
});

test("what cannot be an application is an error that says why", () => {
  assert.throws(() => handlerOf({}, "app.ts"), /app\.ts has no default export/);
  assert.throws(() => handlerOf({ default: {} }, "app.ts"), /without a method fetch/);
  assert.throws(() => handlerOf({ default: listener, runfcgi: { app: "nod" } }, "app.ts"), /"nod", expected fetch or node/);
  assert.throws(() => handlerOf({ default: {}, runfcgi: { app: "node" } }, "app.ts"), /is no listener/);
});
