import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describe, test } from "node:test";
import { exportsOf, handlerOf } from "../../src/app/exported.ts";
import { startSite } from "../support/peer.ts";

/** What an application that is exported so answers. */
async function answerOf(module: Record<string, unknown>) {
  await using site = await startSite(await handlerOf(module, "app.ts"));
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
    const handler = await handlerOf({
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

test("what cannot be an application is an error that says why", async () => {
  await assert.rejects(() => handlerOf({}, "app.ts"), /app\.ts has no default export/);
  await assert.rejects(() => handlerOf({ default: {} }, "app.ts"), /without a method fetch/);
  await assert.rejects(
    () => handlerOf({ default: listener, runfcgi: { app: "nod" } }, "app.ts"),
    /"nod", expected fetch or node/,
  );
  await assert.rejects(() => handlerOf({ default: {}, runfcgi: { app: "node" } }, "app.ts"), /is no listener/);
  const Site = class Site {
    fetch() {}
  };
  await assert.rejects(() => handlerOf({ default: Site }, "app.ts"), /app\.ts exports the class Site.* "new Site\(\)"/);
  await assert.rejects(() =>
    handlerOf({
      default: (() =>
        class {
          fetch() {}
        })(),
    }, "app.ts"), /app\.ts exports a class.* with new/);
});

describe("an instance of a framework that is exported", () => {
  const bound = (request: IncomingMessage, response: ServerResponse) => listener(request, response);
  const started: string[] = [];
  const cases: Record<string, Record<string, unknown>> = {
    "Fastify's": {
      default: { server: createServer(bound), ready: () => Promise.resolve(started.push("ready")), use() {}, callback() {} },
    },
    "hapi's": { default: { listener: createServer(bound), initialize: () => Promise.resolve(started.push("initialized")) } },
    "Nest's": {
      default: {
        use() {},
        init: () => Promise.resolve(started.push("begun")),
        getHttpAdapter: () => ({ getInstance: () => bound }),
      },
    },
    "polka's": { default: { use() {}, listen() {}, handler: bound } },
  };
  for (const [name, module] of Object.entries(cases)) {
    test(name, async () => {
      assert.deepEqual(await answerOf(module), { status: 200, text: "node /path", error: "" });
    });
  }
  test("and it is made ready", () => assert.deepEqual(started, ["ready", "initialized", "begun"]));
});

describe("exports with a name of their own", () => {
  const withNext = (request: IncomingMessage, response: ServerResponse, _next: () => void) => listener(request, response);
  const fetched = { status: 200, text: "fetch GET /path", error: "" };
  const called = { status: 200, text: "node /path", error: "" };
  const cases: Record<string, [Record<string, unknown>, typeof fetched]> = {
    "fetch": [{ fetch: fetching }, fetched],
    "handler that takes next()": [{ handler: withNext }, called],
    "handler that is declared": [{ handler: listener, runfcgi: { app: "node" } }, called],
    "listener": [{ listener }, called],
    "app": [{ app: { fetch: fetching } }, fetched],
    "listener beside a handler that may be either": [{ handler: listener, listener }, called],
    "server": [{ server: createServer(listener), host: "0.0.0.0" }, called],
    "a default export first": [{ default: { fetch: fetching }, listener }, fetched],
  };
  for (const [name, [module, expected]] of Object.entries(cases)) {
    test(name, async () => assert.deepEqual(await answerOf(module), expected));
  }

  test("what may be one or the other has to be declared", async () => {
    for (const name of ["handler", "app", "server"]) {
      await assert.rejects(
        () => handlerOf({ [name]: listener }, "app.ts"),
        new RegExp(`exports "${name}", which may be .* app: "node"`),
      );
    }
  });
});

test("an object that has every method is a fetch handler if it has fetch", async () => {
  const every = new Proxy({ fetch: fetching }, { get: (target, name) => name === "fetch" ? target.fetch : () => every });
  assert.deepEqual(await answerOf({ default: every }), { status: 200, text: "fetch GET /path", error: "" });
});

test("what TypeScript compiles to CommonJS has its exports in the default one", async () => {
  const compiled = Object.defineProperty({ default: { fetch: fetching } }, "__esModule", { value: true });
  assert.deepEqual(await answerOf(exportsOf({ default: compiled })), { status: 200, text: "fetch GET /path", error: "" });
  for (const module of [{ default: { fetch: fetching } }, { handler: listener }, { default: () => {} }]) {
    assert.equal(exportsOf(module), module);
  }
});
