/** Applications that listen. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest, Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { basename, join } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { loadHandler } from "../../src/app/listen.ts";
import { freePort } from "../support/program.ts";
import { gate, repeated, soon, startSite, turns } from "../support/peer.ts";
import { WebSocketPeer } from "../support/websocket.ts";

// deno-lint-ignore no-explicit-any
const { Bun, Deno } = globalThis as any;

type Evaluate = () => Record<string, unknown> | Promise<Record<string, unknown>> | void | Promise<void>;

const errors: unknown[] = [];

function load(evaluate: Evaluate, text = "app.listen()") {
  const module = async () => await evaluate() ?? {};
  return soon("loading", loadHandler(module, { name: "app.ts", source: () => text, failed: (error) => errors.push(error) }));
}

/** What the application answers to a visitor of `/path`. */
async function answerOf(evaluate: Evaluate): Promise<string> {
  return (await answerTo(evaluate)).text;
}

async function answerTo(evaluate: Evaluate, path = "/path", body?: string) {
  await using site = await startSite(await load(evaluate));
  const params: Record<string, string> = { REMOTE_ADDR: "192.0.2.7", REMOTE_PORT: "4711", HTTP_COOKIE: "a=1" };
  if (body !== undefined) Object.assign(params, { REQUEST_METHOD: "POST", CONTENT_LENGTH: String(body.length) });
  const { head, text } = await site.ask(path, params, body === undefined ? undefined : repeated(body.length));
  const cookies = head.headers.filter((_, i, headers) => headers[i - 1] === "set-cookie");
  return { status: head.status, text, cookies };
}

/** Whether somebody takes connections on a port. */
async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const open = Promise.withResolvers<boolean>();
  socket.on("connect", () => open.resolve(true)).on("error", () => open.resolve(false));
  try {
    return await soon("the connection", open.promise);
  } finally {
    socket.destroy();
  }
}

const server = (text = "node") => createServer((request, response) => response.end(`${text} ${request.url}`));

describe("a server of node:http that listens is the site", () => {
  const port = 3000;
  const cases: Record<string, Evaluate> = {
    "at once": () => void server().listen(port),
    "on a host": () => void server().listen(port, "0.0.0.0", 511, () => {}),
    "on a path": () => void server().listen("/nowhere/app.sock"),
    "as options say": () => void server().listen({ port, host: "::" }),
    "on any port": () => void server().listen(),
    "over https": () => void createSecureServer({}, (request, response) => response.end(`node ${request.url}`)).listen(port),
    "some time after its module was evaluated": () => {
      turns(20).then(() => server().listen(port));
    },
    "and its module waits for that": async () => void await once(server().listen(port), "listening"),
    "and its module waits for ever": async () => {
      server().listen(port);
      await new Promise(() => {});
    },
    "over HTTP/2": () => void createHttp2Server((request, response) => response.end(`node ${request.url}`)).listen(port),
    "twice with one listener": () => {
      const first = server();
      first.listen(port);
      createServer(first.listeners("request")[0] as never).listen(port + 1);
    },
    "some time after a module of CommonJS was evaluated, which exports nothing": () => {
      // More than the wait for a module that looks as if it did not listen.
      setTimeout(() => server().listen(port), 700);
      return { default: {} };
    },
    "and exports what is no application": () => {
      server().listen(port);
      return { default: { port }, host: "localhost" };
    },
    "and exports what may be a handler of either kind": () => {
      server().listen(port);
      return { handler: (..._args: unknown[]) => {} };
    },
    "and is exported": () => ({ default: server().listen(port) }),
  };
  for (const [name, evaluate] of Object.entries(cases)) {
    test(name, async () => assert.equal(await answerOf(evaluate), "node /path"));
  }

  test("it looks as if it listened, and no port is open", async () => {
    const port = await freePort();
    const heard: unknown[] = [];
    const app = server();
    app.on("listening", () => heard.push("listening"));
    const listen = () => {
      app.listen(port, "127.0.0.1", () => heard.push("called back"));
      heard.push((app.address() as AddressInfo).port, app.listening);
    };
    assert.equal(await answerOf(listen), "node /path");
    assert.deepEqual(heard, [port, true, "listening", "called back"]);
    assert.equal(app.listening, true);
    assert.deepEqual(app.address(), { address: "127.0.0.1", family: "IPv4", port });
    assert.equal(await isOpen(port), false);
    const closed = once(app, "close");
    app.close();
    await soon("close", closed);
    assert.equal(app.listening, false);
    assert.equal(app.address(), null);
  });
});

/** Closes the server of an application while it answers: that ends when the answer is sent. */
async function closeWhileAnswering(listen: (answer: () => Promise<string>) => void, close: () => Promise<unknown>) {
  const [asked, answer] = [gate(), gate<string>()];
  const handler = await load(() =>
    listen(() => {
      asked.resolve();
      return answer.promise;
    })
  );
  await using site = await startSite(handler);
  const asking = site.ask();
  await soon("the request", asked.promise);
  let closed = false;
  const closing = close().then(() => closed = true);
  await turns(20);
  assert.equal(closed, false);
  answer.resolve("answered");
  assert.equal((await asking).text, "answered");
  await soon("the end", closing);
}

describe("a server that is closed waits for its requests", () => {
  test("of node:http", () => {
    const app = createServer();
    return closeWhileAnswering(
      (answer) => void app.on("request", async (_, response) => response.end(await answer())).listen(3000),
      () => new Promise((resolve) => app.close(resolve)),
    );
  });

  test("of Bun.serve", { skip: !Bun && "not on this runtime" }, () => {
    let served: { stop(): Promise<void> };
    return closeWhileAnswering(
      (answer) => void (served = Bun.serve({ fetch: async () => new Response(await answer()) })),
      () => served.stop(),
    );
  });

  test("of Deno.serve", { skip: !Deno && "not on this runtime" }, () => {
    let served: { shutdown(): Promise<void> };
    return closeWhileAnswering(
      (answer) => void (served = Deno.serve(async () => new Response(await answer()))),
      () => served.shutdown(),
    );
  });
});

describe("a server that listens beside what is exported", () => {
  test("listens", async () => {
    const beside = server("beside");
    const text = await answerOf(() => {
      beside.listen(0, "127.0.0.1");
      return { default: () => new Response("exported") };
    });
    assert.equal(text, "exported");
    if (!beside.listening) await soon("listening", once(beside, "listening"));
    const { port } = beside.address() as AddressInfo;
    const answer = Promise.withResolvers<number>();
    httpRequest({ port, agent: false }, (response) => answer.resolve(response.resume().statusCode!)).end();
    assert.equal(await soon("the answer", answer.promise), 200);
    beside.close();
  });

  test("and so do servers that come when the application serves", async () => {
    await answerOf(() => void server().listen(3000));
    const later = server().listen(0, "127.0.0.1");
    await soon("listening", once(later, "listening"));
    assert.ok(later instanceof Server && (later.address() as AddressInfo).port > 0);
    later.close();
  });
});

describe("of several servers", () => {
  const both = () => {
    server("first").listen(3000);
    server("second").listen(3001);
  };

  test("two that are equal are refused by name", async () => {
    await assert.rejects(
      load(both),
      /app\.ts listens on port 3000 and on port 3001: which one is the site\? Write env=PORT=3001/,
    );
  });

  test("the one on PORT counts, and the other listens", async () => {
    const { PORT } = process.env;
    const other = server("other");
    process.env.PORT = "3001";
    try {
      const text = await answerOf(() => {
        other.listen(0, "127.0.0.1");
        server("site").listen(3001);
      });
      assert.equal(text, "site /path");
      if (!other.listening) await soon("listening", once(other, "listening"));
      other.close();
    } finally {
      if (PORT === undefined) delete process.env.PORT;
      else process.env.PORT = PORT;
    }
  });
});

test("a module that neither exports an application nor listens is an error", async () => {
  await assert.rejects(load(() => {}, ""), /app\.ts has no default export and does not listen\. Write: export default/);
  await assert.rejects(load(() => ({ default: { port: 3000 } })), /without a method fetch/);
});

test("a module that listens only as the first one of a process is told what to write", async () => {
  for (const main of ["import.meta.main", "require.main"]) {
    await assert.rejects(
      load(() => {}, `if (${main}) server.listen(3000);`),
      new RegExp(`app\\.ts exports no application, and listens only where ${main} says .* by execjs=app\\.ts`),
    );
  }
});

test("processes of node:cluster are refused, since each would be this program again", async () => {
  await assert.rejects(
    load(async () => {
      const { default: cluster } = await import("node:cluster");
      if (cluster.isPrimary) cluster.fork();
    }),
    /cluster\.fork\(\) would start this program again: .* or run it as it is by execjs=/,
  );
});

test("a module that fails while it is served is told of", async () => {
  errors.length = 0;
  const text = await answerOf(async () => {
    await once(server().listen(3000), "listening");
    throw new Error("too late");
  });
  assert.equal(text, "node /path");
  assert.match(String(errors), /too late/);
});

describe("Bun.serve", { skip: !Bun && "not on this runtime" }, () => {
  const fetch = (request: Request) => new Response(`fetch ${new URL(request.url).pathname}`);
  const thisFile = readFileSync(import.meta.filename!, "utf8");
  const cases: Record<string, [Evaluate, expected: string, path?: string, body?: string]> = {
    "with fetch": [() => void Bun.serve({ port: 3000, fetch }), "fetch /path"],
    "that asks who the visitor is": [
      () => void Bun.serve({ fetch: (request: Request, server: typeof Bun) => Response.json(server.requestIP(request)) }),
      '{"address":"192.0.2.7","port":4711,"family":"IPv4"}',
    ],
    "with a page for errors": [
      () =>
        void Bun.serve({
          fetch() {
            throw new Error("thrown for a test");
          },
          error: (error: Error) => new Response(`page: ${error.message}`),
        }),
      "page: thrown for a test",
    ],
    "with a route": [() => void Bun.serve({ routes: { "/path": new Response("route"), "/*": new Response("any") } }), "route"],
    "with a param": [
      () =>
        void Bun.serve({
          routes: { "/:name": (request: Request & { params: { name: string } }) => new Response(request.params.name) },
        }),
      "path",
    ],
    "with methods": [
      () => void Bun.serve({ routes: { "/path": { POST: () => new Response("post"), GET: () => new Response("get") } }, fetch }),
      "get",
    ],
    "with a param that is no UTF-8": [
      () =>
        void Bun.serve({
          routes: { "/:name": ({ params }: { params: { name: string } }) => new Response(encodeURIComponent(params.name)) },
        }),
      "%EF%BF%BD%26%2B",
      "/%ff&+",
    ],
    "with a file": [() => void Bun.serve({ routes: { "/path": Bun.file(import.meta.filename) } }), thisFile],
    "with a file that is not there": [() => void Bun.serve({ routes: { "/path": Bun.file("/nowhere") }, fetch }), "fetch /path"],
    "with a folder": [
      () => void Bun.serve({ routes: { "/files/*": { dir: import.meta.dirname } } }),
      thisFile,
      `/files/${basename(import.meta.filename!)}`,
    ],
    "with a folder that is left": [
      () => void Bun.serve({ routes: { "/files/*": { dir: join(import.meta.dirname!, "nothing") } } }),
      "400",
      `/files/..%2f${basename(import.meta.filename!)}`,
    ],
    "with cookies": [
      () =>
        void Bun.serve({
          routes: {
            // deno-lint-ignore no-explicit-any
            "/path"({ cookies }: any) {
              cookies.set("b", `not ${cookies.get("a")}`);
              return new Response("baked");
            },
          },
        }),
      "baked set-cookie: b=not%201; Path=/; SameSite=Lax",
    ],
    "with a limit of bodies": [() => void Bun.serve({ maxRequestBodySize: 2, fetch }), "413", "/path", "abc"],
    "with routes that do not match": [
      () => void Bun.serve({ routes: { "/other": new Response("other") }, fetch }),
      "fetch /path",
    ],
  };
  for (const [name, [evaluate, expected, path, body]] of Object.entries(cases)) {
    test(name, async () => {
      const { status, text, cookies } = await answerTo(evaluate, path, body);
      assert.equal(
        status === 413 || status === 400 ? `${status}` : text + cookies.map((line) => ` set-cookie: ${line}`).join(""),
        expected,
      );
    });
  }

  test("with a file answers for a part of it, and that it has not changed, as Bun.serve does", async () => {
    const evaluate = () =>
      void Bun.serve({
        routes: { "/file": Bun.file(import.meta.filename), "/files/*": { dir: import.meta.dirname } },
      });
    await using site = await startSite(await load(evaluate), { protocol: "http" });
    const headOf = (headers: readonly string[], name: string) =>
      headers[headers.findIndex((one) => one.toLowerCase() === name) + 1];
    for (const path of ["/file", `/files/${basename(import.meta.filename!)}`]) {
      const { head, text } = await site.ask(path);
      const [etag, modified] = ["etag", "last-modified"].map((name) => headOf(head.headers, name));
      assert.equal(text, thisFile);
      const size = Buffer.byteLength(thisFile);
      const cases: [headers: Record<string, string>, status: number, text: string, range?: string][] = [
        [{ HTTP_RANGE: "bytes=2-5" }, 206, thisFile.slice(2, 6), `bytes 2-5/${size}`],
        [{ HTTP_RANGE: "bytes=-4" }, 206, thisFile.slice(-4), `bytes ${size - 4}-${size - 1}/${size}`],
        [{ HTTP_RANGE: "bytes=2-" }, 206, thisFile.slice(2), `bytes 2-${size - 1}/${size}`],
        [{ HTTP_RANGE: `bytes=${size}-` }, 416, "", `bytes */${size}`],
        [{ HTTP_RANGE: "bytes=1-2,4-5" }, 200, thisFile],
        [{ HTTP_RANGE: "bytes=2-5", HTTP_IF_RANGE: '"other"' }, 200, thisFile],
        [{ HTTP_RANGE: "bytes=2-5", HTTP_IF_RANGE: modified }, 206, thisFile.slice(2, 6), `bytes 2-5/${size}`],
        [{ HTTP_IF_NONE_MATCH: etag }, 304, ""],
        [{ HTTP_IF_NONE_MATCH: '"other"' }, 200, thisFile],
        [{ HTTP_IF_MODIFIED_SINCE: modified }, 304, ""],
        [{ REQUEST_METHOD: "HEAD" }, 200, ""],
      ];
      for (const [headers, status, expected, range] of cases) {
        const { head, text } = await site.ask(path, headers);
        assert.deepEqual([head.status, text], [status, expected], JSON.stringify(headers));
        if (range) assert.equal(headOf(head.headers, "content-range"), range);
      }
    }
  });

  test("with a limit refuses a longer body in chunks, whatever its handler makes of it", async () => {
    const evaluate = () =>
      void Bun.serve({
        maxRequestBodySize: 5,
        fetch: async (request: Request) => new Response(await request.text().catch(() => "caught")),
      });
    await using site = await startSite(await load(evaluate), { protocol: "http" });
    const post = { REQUEST_METHOD: "POST" };
    for (const [pieces, status, text] of [[["abc", "def"], 413, ""], [["abc", "de"], 200, "abcde"]] as const) {
      const sent = await site.ask("/", post, Readable.from(pieces.map((piece) => Buffer.from(piece))));
      assert.deepEqual([sent.head.status, sent.text], [status, text]);
    }
  });

  test("with a page that it bundles itself is refused", async () => {
    await assert.rejects(
      load(() => void Bun.serve({ routes: { "/": { index: "/page.html" } } })),
      /The route "\/" is HTML that Bun\.serve bundles: run the application as it is by execjs=/,
    );
  });

  test("tells where it listens, and stops", async () => {
    let served: { port: number; url: URL; stop(): Promise<void> } | undefined;
    await answerOf(() => void (served = Bun.serve({ port: 3456, fetch })));
    assert.deepEqual([served!.port, served!.url.href], [3456, "http://localhost:3456/"]);
    await served!.stop();
  });

  test("listens beside what is exported", async () => {
    let beside: { port: number; stop(force: boolean): Promise<void> } | undefined;
    const text = await answerOf(() => {
      beside = Bun.serve({ port: 0, fetch });
      return { default: () => new Response("exported") };
    });
    assert.equal(text, "exported");
    assert.equal(await isOpen(beside!.port), true);
    await beside!.stop(true);
  });
});

/** What the application answers to a visitor's WebSocket, and how that ended. */
async function talk(evaluate: Evaluate): Promise<{ messages: (string | Uint8Array)[]; head: string; code: number }> {
  await using site = await startSite(await load(evaluate), { protocol: "http" });
  const visitors = [new WebSocketPeer(site.address), new WebSocketPeer(site.address)];
  for (const visitor of visitors) {
    visitor.ask("/path", { "sec-websocket-protocol": "chat" });
    await visitor.frame(1);
  }
  const [visitor, other] = visitors;
  visitor.send({ opcode: 1, payload: "text" });
  visitor.send({ opcode: 2, payload: new Uint8Array([1, 255]) });
  for (const one of visitors) await one.frame(3);
  visitor.send({ opcode: 1, payload: "close" });
  const { code } = await visitor.closeFrame();
  for (const { socket } of visitors) socket.destroy();
  const messages = [visitor, other].flatMap(({ frames }) =>
    frames.filter(({ first }) => first !== 0x88).map(({ first, payload }) =>
      first === 0x81 ? String(payload) : new Uint8Array(payload)
    )
  );
  return { messages, head: visitor.head, code };
}

describe("a WebSocket", () => {
  test("of Bun.serve is a visitor's", { skip: !Bun && "not on this runtime" }, async () => {
    const { messages, head, code } = await talk(() =>
      void Bun.serve({
        fetch(request: Request, server: typeof Bun) {
          const headers = { "sec-websocket-protocol": "chat", "x-a": "1" };
          if (server.upgrade(request, { data: new URL(request.url).pathname, headers })) return;
          return new Response("no", { status: 400 });
        },
        websocket: {
          open(socket: typeof Bun) {
            socket.subscribe("all");
            socket.send(`open ${socket.data}`);
          },
          message(socket: typeof Bun, data: string | Uint8Array) {
            if (data === "close") return socket.close(4000, "asked");
            socket.send(data);
            socket.publish("all", data);
          },
        },
      })
    );
    assert.match(head, /\r\nsec-websocket-protocol: chat\r\n[^]*x-a: 1/);
    const bytes = new Uint8Array([1, 255]);
    assert.deepEqual(messages, ["open /path", "text", bytes, "open /path", "text", bytes]);
    assert.equal(code, 4000);
  });

  test("of Bun.serve also ends with a code that cannot be sent", { skip: !Bun && "not on this runtime" }, async () => {
    const app = await load(() =>
      void Bun.serve({
        fetch: (request: Request, server: typeof Bun) => void server.upgrade(request),
        websocket: { open: (socket: typeof Bun) => socket.close(403, "no"), message() {} },
      })
    );
    await using site = await startSite(app, { protocol: "http" });
    const visitor = new WebSocketPeer(site.address);
    visitor.ask("/path");
    assert.equal((await visitor.closeFrame()).code, 1005);
    visitor.socket.destroy();
  });

  test("by Deno.upgradeWebSocket is a visitor's", { skip: !Deno && "not on this runtime" }, async () => {
    const all = new Set<WebSocket>();
    const { messages, code } = await talk(() =>
      void Deno.serve((request: Request) => {
        const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "chat", idleTimeout: 30 });
        all.add(socket);
        socket.binaryType = "arraybuffer";
        socket.onopen = () => socket.send("open");
        socket.onmessage = ({ data }: MessageEvent) => {
          if (data === "close") socket.close(4000, "asked");
          else for (const one of all) one.send(data);
        };
        return response;
      })
    );
    const bytes = new Uint8Array([1, 255]);
    assert.deepEqual(messages, ["open", "text", bytes, "open", "text", bytes]);
    assert.equal(code, 4000);
  });
});

describe("Deno.serve", { skip: !Deno && "not on this runtime" }, () => {
  const handler = (request: Request, info: { remoteAddr: { hostname: string } }) =>
    new Response(`${new URL(request.url).pathname} ${info.remoteAddr.hostname}`);
  const cases: Record<string, Evaluate> = {
    "with a handler": () => void Deno.serve(handler),
    "with options": () => void Deno.serve({ port: 3000 }, handler),
    "with a handler among its options": () => void Deno.serve({ port: 3000, handler }),
    "whose module waits for its end": async () => void await Deno.serve(handler).finished,
  };
  for (const [name, evaluate] of Object.entries(cases)) {
    test(name, async () => assert.equal(await answerOf(evaluate), "/path 192.0.2.7"));
  }

  test("with a page for errors", async () => {
    const text = await answerOf(() =>
      void Deno.serve({
        onError: (error: Error) => new Response(`page: ${error.message}`),
        handler() {
          throw new Error("thrown for a test");
        },
      })
    );
    assert.equal(text, "page: thrown for a test");
  });

  test("tells where it listens, and shuts down", async () => {
    const told = Promise.withResolvers<unknown>();
    let served: { addr: unknown; finished: Promise<void>; shutdown(): Promise<void> } | undefined;
    await answerOf(() => void (served = Deno.serve({ port: 3456, hostname: "127.0.0.1", onListen: told.resolve }, handler)));
    const address = { transport: "tcp", hostname: "127.0.0.1", port: 3456 };
    assert.deepEqual(await soon("onListen", told.promise), address);
    assert.deepEqual(served!.addr, address);
    await served!.shutdown();
    await soon("the end", served!.finished);
  });
});
