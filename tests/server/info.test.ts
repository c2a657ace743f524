import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ServeInfo } from "../../src/server/handler.ts";
import { MemoryConnection, type MemoryOptions } from "../support/memory.ts";
import { gate, startSite } from "../support/peer.ts";
import { type Pairs, traffic } from "../support/traffic.ts";

/** `info` of a request with these params. */
async function infoOf(params: Pairs): Promise<ServeInfo> {
  const info = gate<ServeInfo>();
  const connection = new MemoryConnection((_, given) => {
    info.resolve(given);
    return new Response();
  });
  connection.receive(traffic().begin({ keep: true }).params(params).stdin());
  await connection.answered();
  return info.promise;
}

describe("info.params", () => {
  test("has every param, repeated headers and cookies joined, other repeated names with the last value", async () => {
    const { params } = await infoOf([
      ["REQUEST_URI", "/"],
      ["HTTP_X_DUP", "1"],
      ["HTTP_COOKIE", "a=1"],
      ["SERVER_NAME", "first"],
      ["HTTP_X_DUP", "2"],
      ["HTTP_COOKIE", "b=2"],
      ["SERVER_NAME", "last"],
      ["MY_OWN", ""],
    ]);
    assert.deepEqual({ ...params }, {
      REQUEST_URI: "/",
      HTTP_X_DUP: "1, 2",
      HTTP_COOKIE: "a=1; b=2",
      SERVER_NAME: "last",
      MY_OWN: "",
    });
  });

  test("is decoded as UTF-8 where it is that, as Latin-1 where not", async () => {
    const { params } = await infoOf({ REQUEST_URI: "/", A: "\xc3\xa9", B: "\xe9" });
    assert.equal(params.A, "é");
    assert.equal(params.B, "é");
  });

  test("is one object, and a param cannot reach its prototype", async () => {
    const info = await infoOf({ REQUEST_URI: "/", __proto__x: "1", constructor: "2" });
    assert.equal(info.params, info.params);
    assert.equal(info.params.constructor, "2");
    assert.equal(info.params.toString, undefined);
  });
});

describe("info", () => {
  test("has the URL that the visitor typed, wherever the web server went", async () => {
    const params = { REQUEST_URI: "/private/a%2Fb?x", HTTP_HOST: "H:80", DOCUMENT_URI: "/auth" };
    assert.equal((await infoOf(params)).visitorUrl, "http://h/private/a%2Fb?x");
    assert.equal((await infoOf(params)).pathInfo, "/auth");
  });

  test("names the visitor's address", async () => {
    assert.deepEqual((await infoOf({ REMOTE_ADDR: "2001:db8::1", REMOTE_PORT: "4711" })).remoteAddr, {
      transport: "tcp",
      hostname: "2001:db8::1",
      port: 4711,
    });
    assert.deepEqual((await infoOf({ REQUEST_URI: "/" })).remoteAddr, { transport: "tcp", hostname: "", port: 0 });
  });

  test("splits the path into the mount and the rest", async () => {
    const mounted = await infoOf({ REQUEST_URI: "/app/a%20b?q", SCRIPT_NAME: "/app", PATH_INFO: "/a b" });
    assert.equal(mounted.scriptName, "/app");
    assert.equal(mounted.pathInfo, "/a b");
    const root = await infoOf({ REQUEST_URI: "/a/b" });
    assert.equal(root.scriptName, "");
    assert.equal(root.pathInfo, "/a/b");
  });

  test("has the mount that the server was given, and so has the URL", async () => {
    const handler = (request: Request, { scriptName, pathInfo }: ServeInfo) => Response.json([request.url, scriptName, pathInfo]);
    const seen = async (scriptName: string) => {
      await using site = await startSite(handler, { scriptName });
      return JSON.parse((await site.ask("/a%20b?q", { SCRIPT_NAME: "/a b", PATH_INFO: "" })).text);
    };
    assert.deepEqual(await seen("/app"), ["http://localhost/app/a%20b?q", "/app", "/a b"]);
    assert.deepEqual(await seen(""), ["http://localhost/a%20b?q", "", "/a b"]);
    await assert.rejects(startSite(handler, { scriptName: "app" }), /scriptName is "app", expected "" or a path/);
  });

  test("names protocol and role, and has no data for a Responder", async () => {
    const info = await infoOf({ REQUEST_URI: "/" });
    assert.equal(info.protocol, "fcgi");
    assert.equal(info.role, "responder");
    assert.equal(info.data, null);
  });
});

describe("trust", () => {
  for (const protocol of ["fcgi", "scgi", "ajp", "uwsgi"] as const) {
    test(`takes the visitor and the scheme from a trusted proxy over ${protocol}`, async () => {
      const handler = (request: Request, { remoteAddr }: ServeInfo) => new Response(`${request.url} ${remoteAddr.hostname}`);
      const params = { REMOTE_ADDR: "10.0.0.1", HTTP_X_FORWARDED_FOR: "192.0.2.1", HTTP_X_FORWARDED_PROTO: "https" };
      for (
        const [trust, expected] of [[["10.0.0.0/8"], "https://localhost/ 192.0.2.1"], [[], "http://localhost/ 10.0.0.1"]] as const
      ) {
        await using site = await startSite(handler, { protocol, trust });
        assert.equal((await site.ask("/", params)).text, expected);
      }
    });
  }
});

describe("info as an object", () => {
  const params = { REQUEST_URI: "/a", HTTP_HOST: "h", REMOTE_ADDR: "192.0.2.1", REMOTE_PORT: "4711", SCRIPT_NAME: "" };
  const names = [
    "remoteAddr params protocol role visitorUrl scriptName pathInfo data completed stderr waitUntil earlyHints",
    "upgradeWebSocket requestIP",
  ].flatMap((row) => row.split(" "));

  test("is a plain one: own, writable, enumerable properties, whichever is read first", async () => {
    assert.deepEqual(Object.keys(await infoOf(params)).sort(), [...names].sort());
    const copy = { ...await infoOf(params) };
    assert.equal(copy.remoteAddr.hostname, "192.0.2.1");
    assert.equal(copy.visitorUrl, "http://h/a");
    assert.equal(typeof copy.stderr, "function");
    for (const name of names) {
      const info = await infoOf(params);
      const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(info, name)!;
      assert.deepEqual({ writable, enumerable, configurable }, { writable: true, enumerable: true, configurable: true }, name);
      assert.ok(name in info && Object.hasOwn(info, name));
    }
    assert.equal(Object.getPrototypeOf(await infoOf(params)), Object.prototype);
    assert.equal((await infoOf(params)).constructor, Object);
    assert.equal("toString" in await infoOf(params) && "nonsense" in await infoOf(params), false);
  });

  test("keeps what is set, defined or deleted", async () => {
    const info = await infoOf(params) as unknown as Record<string, unknown>;
    info.params = { query: "{ hello }" };
    info.own = 1;
    Object.assign(info, { role: "mine" });
    delete info.pathInfo;
    assert.deepEqual(info.params, { query: "{ hello }" });
    assert.equal(info.role, "mine");
    assert.equal(info.pathInfo, undefined);
    assert.equal("pathInfo" in info, false);
    assert.deepEqual(Object.keys(info).sort(), [...names, "own"].filter((name) => name !== "pathInfo").sort());
  });

  test("can be frozen", async () => {
    const info = Object.freeze(await infoOf(params));
    assert.equal(info.role, "responder");
    assert.equal(Object.getPrototypeOf(info), Object.prototype);
    assert.ok(Object.isFrozen(info));
  });

  test("has methods that work by themselves", async () => {
    const { requestIP, waitUntil } = await infoOf(params);
    waitUntil(Promise.resolve());
    assert.deepEqual(requestIP(), { address: "192.0.2.1", family: "IPv4", port: 4711 });
  });

  test("has the address as Bun's server does", async () => {
    const v6 = await infoOf({ REMOTE_ADDR: "2001:db8::1" });
    assert.deepEqual(v6.requestIP(), { address: "2001:db8::1", family: "IPv6", port: 0 });
    assert.equal((await infoOf({ REQUEST_URI: "/" })).requestIP(), null);
    assert.equal((await infoOf({ REMOTE_ADDR: "unix:" })).requestIP(), null);
  });
});

describe("info.stderr", () => {
  test("reaches the web server's log, before, during and after the head", async () => {
    await using site = await startSite((_, info) => {
      info.stderr("before, ");
      let pulls = 0;
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (pulls++ > 0) return controller.close();
            info.stderr("during ÄÖ");
            controller.enqueue(new TextEncoder().encode("body"));
          },
        }, { highWaterMark: 0 }),
      );
    });
    const answer = await site.ask();
    assert.equal(answer.stderr, "before, during ÄÖ");
    assert.equal(answer.text, "body");
  });

  test("of 200,000 bytes arrives whole", async () => {
    await using site = await startSite((_, info) => {
      info.stderr("x".repeat(200_000));
      return new Response("body");
    });
    assert.equal((await site.ask()).stderr.length, 200_000);
  });

  test("after the response goes elsewhere and breaks nothing", async () => {
    const info = gate<ServeInfo>();
    const connection = new MemoryConnection((_, given) => {
      info.resolve(given);
      return new Response("x");
    });
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    const before = connection.writes.length;
    (await info.promise).stderr("written by a test after a response");
    assert.equal(connection.writes.length, before);
  });
});

describe("info.completed", () => {
  test("resolves after the response, also when it is asked for late", async () => {
    const info = await infoOf({ REQUEST_URI: "/" });
    assert.equal(await info.completed, undefined);
  });

  test("rejects when the web server left, also when it is asked for late", async () => {
    const info = gate<ServeInfo>();
    const connection = new MemoryConnection((_, given) => {
      info.resolve(given);
      return new Promise(() => {});
    });
    connection.receive(traffic().get("/", { keep: true }));
    connection.destroy();
    await connection.until("the connection is gone", () => connection.gone);
    await assert.rejects((await info.promise).completed, { name: "AbortError" });
  });
});

describe("the other roles", () => {
  const roles: MemoryOptions["roles"] = ["responder", "authorizer", "filter"];

  test("an Authorizer is asked without a body, and hands over variables", async () => {
    const connection = new MemoryConnection(async (request, info) => {
      const body = await request.text();
      return new Response(null, { headers: { "Variable-AUTH_METHOD": `${info.role} ${body.length}` } });
    }, { roles });
    connection.receive(traffic().begin({ role: 2, keep: true }).params({ REQUEST_URI: "/" }));
    await connection.answered();
    assert.match(
      connection.lines[0],
      /\nVariable-AUTH_METHOD: authorizer 0\r\n|^stdout 1 Variable-AUTH_METHOD: authorizer 0\r\n/,
    );
    assert.match(connection.lines[0], /Status: 200 OK/);
  });

  test("a Filter gets the file as a stream behind the body", async () => {
    const connection = new MemoryConnection(async (request, info) => {
      const body = await request.text();
      return new Response(`${info.role} ${body} ${await new Response(info.data).text()}`);
    }, { roles });
    connection.receive(
      traffic().begin({ role: 3, keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }).stdin("body"),
    );
    connection.receive(traffic().stdin().data("the "));
    connection.receive(traffic().data("file").data());
    await connection.answered();
    assert.match(connection.lines[0], /\r\n\r\nfilter body the file$/);
  });
});
