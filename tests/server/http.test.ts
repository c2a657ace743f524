/** HTTP over real sockets, as proxies and others speak it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createConnection, type Socket } from "node:net";
import { describe, test } from "node:test";
import type { Address } from "../../src/runtime/socket.ts";
import type { Handler } from "../../src/server/handler.ts";
import { bytes, concat, pattern, text } from "../support/bytes.ts";
import { Changing, gate, repeated, type Site, soon, startSite, transports, turns } from "../support/peer.ts";
import { Random } from "../support/random.ts";

const MIB = 1024 * 1024;
const piece = pattern(64 * 1024);
const post = (length: number) => ({ REQUEST_METHOD: "POST", CONTENT_LENGTH: String(length) });
const chunked = { REQUEST_METHOD: "POST", HTTP_TRANSFER_ENCODING: "chunked" };

/** A connection for bytes as they are. */
class Raw extends Changing implements Disposable {
  readonly #socket: Socket;
  /** What has arrived, as a byte string. */
  text = "";
  ended = false;
  closed = false;
  error: Error | undefined;

  constructor(address: Address) {
    super();
    this.#socket = address.transport === "unix"
      ? createConnection({ path: address.path, allowHalfOpen: true })
      : createConnection({ host: address.hostname, port: address.port, allowHalfOpen: true });
    this.#socket.on("data", (bytes: Uint8Array) => {
      this.text += text(bytes);
      this.changed();
    });
    this.#socket.on("error", (error) => this.error = error);
    this.#socket.on("end", () => {
      this.ended = true;
      this.changed();
    });
    this.#socket.on("close", () => {
      this.closed = true;
      this.changed();
    });
  }

  send(text: string): void {
    this.#socket.write(bytes(text));
  }

  halfClose(): void {
    this.#socket.end();
  }

  /** Waits for what is to come and gives all that has. */
  async saw(pattern: RegExp): Promise<string> {
    await this.until(`${pattern} arrives, and not ${JSON.stringify(this.text)}`, () => pattern.test(this.text));
    return this.text;
  }

  /** Waits for the end of the connection and gives all that came before. */
  async all(): Promise<string> {
    await this.until(`the connection ends behind ${JSON.stringify(this.text)}`, () => this.ended || this.closed);
    this.#socket.end();
    return this.text;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const echo: Handler = async (request) => new Response(`${new URL(request.url).pathname} ${await request.text()}`);

for (const transport of transports) {
  const start = (handler: Handler, options: Parameters<typeof startSite>[1] = {}): Promise<Site> =>
    startSite(handler, { protocol: "http", transport, ...options });

  describe(`HTTP over ${transport}`, () => {
    test("a GET gets status, headers and body, and the handler is told the protocol", async () => {
      await using site = await start((request, info) =>
        new Response(`${info.protocol} ${request.method} ${request.url}`, {
          status: 201,
          headers: [["x-b", "é"], ["set-cookie", "a=1"], ["set-cookie", "b=2"], ["connection", "x-hop"], ["keep-alive", "9"]],
        })
      );
      const peer = await site.connect();
      peer.get("/p?q=1", { keep: true });
      const response = await peer.answer();
      assert.deepEqual({ status: response.head?.status, reason: response.head?.reason }, { status: 201, reason: "Created" });
      assert.equal(response.text, "http GET http://localhost/p?q=1");
      assert.deepEqual(response.header("x-b"), ["é"]);
      assert.deepEqual(response.header("set-cookie"), ["a=1", "b=2"]);
      assert.deepEqual([response.header("connection"), response.header("keep-alive")], [["keep-alive"], []]);
      assert.deepEqual(response.header("content-length"), [String(response.length)]);
      assert.equal(response.header("date").length, 1);
    });

    test("the application is told where the request comes from", async () => {
      await using site = await start((_request, { remoteAddr, params }) =>
        Response.json({ ...remoteAddr, SERVER_SOFTWARE: params.SERVER_SOFTWARE, SERVER_PORT: params.SERVER_PORT })
      );
      const { hostname, port, SERVER_SOFTWARE, SERVER_PORT } = JSON.parse((await site.ask()).text);
      assert.match(SERVER_SOFTWARE, /^runfcgi\/\d/);
      assert.equal(SERVER_PORT, "80");
      if (transport === "unix") assert.deepEqual([hostname, port], ["", 0]);
      else assert.ok(hostname === "127.0.0.1" && port > 0, `${hostname} ${port}`);
    });

    test("the visitor is who the proxy names, if it is trusted", async () => {
      const handler: Handler = (request, { remoteAddr }) => new Response(`${request.url} ${remoteAddr.hostname}`);
      const visitor = { REMOTE_ADDR: "192.0.2.1", HTTPS: "on" };
      for (
        const [trust, expected] of [[[], "http://localhost/ 127.0.0.1"], [["loopback"], "https://localhost/ 192.0.2.1"]] as const
      ) {
        await using site = await start(handler, { trust });
        assert.equal((await site.ask("/", visitor)).text, transport === "unix" ? "https://localhost/ 192.0.2.1" : expected);
      }
    });

    for (const [size, length] of [["13 bytes", 13], ["1 MiB", MIB], ["20 MiB", 20 * MIB]] as const) {
      for (const [way, params] of [["with its length", post(length)], ["in chunks", chunked]] as const) {
        test(`a POST of ${size} ${way} comes back whole`, async () => {
          await using site = await start((request) => new Response(request.body));
          const hash = createHash("sha256");
          for await (const chunk of repeated(length)) hash.update(chunk);
          const answer = await site.ask("/", params, repeated(length));
          assert.equal(answer.bytes.length, length);
          assert.equal(createHash("sha256").update(answer.bytes).digest("hex"), hash.digest("hex"));
          assert.deepEqual(site.errors, []);
        });
      }
    }

    test("200 requests go over one connection, each after the other", async () => {
      await using site = await start(echo);
      const peer = await site.connect();
      for (let i = 0; i < 200; i++) {
        const content = "x".repeat((i % 5) * 4000);
        peer.begin(`/${i}`, { keep: true, params: i % 2 === 0 ? post(content.length) : chunked });
        peer.body(content);
        peer.bodyEnd();
        assert.equal((await peer.answer()).text, `/${i} ${content}`);
      }
      assert.equal(peer.closed || peer.ended, false);
      assert.deepEqual(site.errors, []);
    });

    test("HEAD gets the length that GET would have, 204 and 304 have none, and the connection stays", async () => {
      await using site = await start((request) => {
        const status = Number(new URL(request.url).pathname.slice(1));
        return new Response(status === 200 ? "12345" : null, { status });
      });
      const peer = await site.connect();
      for (const [status, params, length] of [[200, { REQUEST_METHOD: "HEAD" }, ["5"]], [204, {}, []], [304, {}, []]] as const) {
        peer.get(`/${status}`, { params, keep: true });
        const response = await peer.answer();
        assert.equal(response.head?.status, status);
        assert.deepEqual({ text: response.text, length: response.header("content-length") }, { text: "", length });
      }
    });

    test("a response that comes in pieces arrives piece by piece, and the connection stays", async () => {
      const seen = Array.from({ length: 5 }, () => gate());
      await using site = await start(() => {
        let made = 0;
        const stream = new ReadableStream({
          async pull(controller) {
            if (made > 0) await seen[made - 1].promise;
            if (made === seen.length) controller.close();
            else controller.enqueue(bytes(`${made++}`));
          },
        }, { highWaterMark: 0 });
        return new Response(stream);
      });
      const peer = await site.connect();
      const response = peer.get("/", { keep: true });
      for (let i = 0; i < seen.length; i++) {
        await peer.until(`piece ${i} is there`, () => response.length === i + 1);
        assert.equal(response.end, undefined);
        seen[i].resolve();
      }
      assert.equal((await peer.answer()).text, "01234");
      assert.equal((await site.ask("/")).text, "01234");
      assert.equal(peer.ended, false);
    });

    test("requests that are sent at once are answered one by one, in order", async () => {
      const gates = Array.from({ length: 3 }, () => gate());
      const begun: string[] = [];
      await using site = await start(async (request) => {
        const { pathname } = new URL(request.url);
        begun.push(pathname);
        await gates[Number(pathname[1])].promise;
        return new Response(`<${pathname} ${await request.text()}>`);
      });
      using raw = new Raw(site.address);
      raw.send(
        "GET /0 HTTP/1.1\r\nHost: h\r\n\r\nPOST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody" +
          "GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
      );
      gates[2].resolve();
      gates[1].resolve();
      await raw.until("the first is begun", () => begun.length > 0 || (turns(1).then(() => raw.changed()), false));
      await turns();
      assert.deepEqual(begun, ["/0"]);
      gates[0].resolve();
      assert.deepEqual((await raw.all()).match(/<.*?>/g), ["</0 >", "</1 body>", "</2 >"]);
    });

    test("many requests that are sent at once are all answered", async () => {
      await using site = await start(async (request) => {
        await turns(1);
        return new Response(`<${new URL(request.url).pathname}>`);
      });
      using raw = new Raw(site.address);
      for (let i = 0; i < 300; i++) raw.send(`GET /${i} HTTP/1.1\r\nHost: h\r\n${i === 299 ? "Connection: close\r\n" : ""}\r\n`);
      assert.deepEqual((await raw.all()).match(/<.*?>/g), Array.from({ length: 300 }, (_, i) => `</${i}>`));
    });

    test("thousands of requests that are sent at once and answered at once need no stack of their number", async () => {
      await using site = await start((request) => new Response(`<${new URL(request.url).pathname}>`));
      using raw = new Raw(site.address);
      const request = (i: number) => `GET /${i} HTTP/1.1\r\nHost: h\r\n${i === 4999 ? "Connection: close\r\n" : ""}\r\n`;
      raw.send(Array.from({ length: 5000 }, (_, i) => request(i)).join(""));
      assert.deepEqual((await raw.all()).match(/<.*?>/g), Array.from({ length: 5000 }, (_, i) => `</${i}>`));
      assert.deepEqual(site.errors, []);
    });

    test("HTTP/1.0 gets a response that ends with the connection, with Host or without", async () => {
      await using site = await start((request) => new Response(new Blob([request.url]).stream()));
      for (const [head, url] of [["", "http://localhost"], ["Host: h:81\r\n", "http://h:81"]]) {
        using raw = new Raw(site.address);
        raw.send(`GET /old HTTP/1.0\r\n${head}\r\n`);
        const answer = await raw.all();
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
        assert.doesNotMatch(answer, /transfer-encoding/i);
        const port = head || transport === "unix" ? "" : `:${site.address.transport === "tcp" && site.address.port}`;
        assert.equal(answer.slice(answer.indexOf("\r\n\r\n") + 4), `${url}${port}/old`);
      }
    });

    test("Expect: 100-continue is told to go on", async () => {
      await using site = await start(echo);
      using raw = new Raw(site.address);
      raw.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
      assert.equal(await raw.saw(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
      raw.send("body");
      assert.match(await raw.all(), /\r\n\r\n\/e body$/);
    });

    test("a method that nobody has heard of and bytes that are not ASCII reach the application, as over FastCGI", async () => {
      await using site = await start((request, { params }) => {
        return new Response(`${request.method} ${request.url} ${params.REQUEST_URI} ${params.PATH_INFO}`);
      });
      for (
        const [target, url, path] of [
          ["/\xc3\xa9?\xc3\xbc", "/%C3%A9?%C3%BC", "/\xc3\xa9"],
          ["/\xe9?\xfc", "/%E9?%FC", "/\xc3\xa9"],
        ]
      ) {
        using raw = new Raw(site.address);
        raw.send(`BREW ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
        const answer = await raw.all();
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
        const [method, seen, uri, pathInfo] = answer.slice(answer.indexOf("\r\n\r\n") + 4).split(" ");
        const utf8 = text(new TextEncoder().encode(target.includes("\xc3") ? "/é?ü" : "/\xe9?\xfc"));
        assert.deepEqual([method, seen, uri, pathInfo], ["BREW", `http://h${url}`, utf8, path]);
      }
      assert.deepEqual(site.errors, []);
    });

    test("an Upgrade is a request like any other", async () => {
      await using site = await start(echo);
      using raw = new Raw(site.address);
      for (const path of ["/first", "/second"]) {
        raw.send(`GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
        assert.match(await raw.saw(new RegExp(`${path} $`)), /^HTTP\/1\.1 200 OK/);
      }
    });

    test("what comes behind the last request is passed over", async () => {
      await using site = await start(echo);
      using raw = new Raw(site.address);
      raw.send("POST /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody\r\nGET / HTTP/1.1\r\n\r\n");
      assert.match(await raw.all(), /^HTTP\/1\.1 200 OK[^]*\/last body$/);
      assert.deepEqual(site.errors, []);
    });

    /** What is refused, how, and what the log says. */
    const refused: [name: string, request: string, status: number, reason: RegExp][] = [
      ["what is no HTTP", "hello\r\n\r\n", 400, /Not HTTP: /],
      ["a method in small letters", "head / HTTP/1.1\r\nHost: h\r\n\r\n", 400, /Not HTTP: the method "head"/],
      ["a Content-Length beside a Transfer-Encoding", chunks("Content-Length: 3\r\n"), 400, /Not HTTP: .*Content-Length/],
      [
        "and before it",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        /Not/,
      ],
      ["two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nbody", 400, /Not HTTP: /],
      ["a length in a list", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nbody", 400, /Not HTTP: /],
      ["a length with a sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nbody", 400, /Not HTTP: /],
      [
        "a coding that is not chunked",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
        /Not HTTP: /,
      ],
      ["a coding beside chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, /gzip/],
      ["chunked twice", chunks("Transfer-Encoding: chunked\r\n"), 400, /Not HTTP: /],
      [
        "two codings in two headers",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
        /the Transfer-Encoding "gzip, chunked"/,
      ],
      ["chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, /in HTTP\/1\.0/],
      ["a chunk without a length", chunks("", "zz\r\n"), 400, /Not HTTP: /],
      ["a blank before a colon", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\n", 400, /Not HTTP: /],
      ["a header in two lines", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, /Not HTTP: /],
      ["lines without CR", "GET / HTTP/1.1\nHost: h\n\n", 400, /Not HTTP: /],
      ["a header with NUL", "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400, /Not HTTP: /],
      ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, /no Host/],
      ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, /more than one Host/],
      ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, /HTTP\/2/],
      ["HTTP/2 in a line of HTTP/1", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, /HTTP\/2\.0/],
      ["CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405, /the method CONNECT is not allowed/],
      ["another expectation", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: coffee\r\n\r\n", 417, /expectation/],
      ["headers that are too long", `GET / HTTP/1.1\r\nHost: h\r\nX: ${"x".repeat(6000)}\r\n\r\n`, 431, /more than 5000 bytes/],
      [
        "a target that is too long",
        `GET /${"x".repeat(6000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
        414,
        /a request line of more than 5000 bytes/,
      ],
      ["too many headers", `GET / HTTP/1.1\r\nHost: h\r\n${"X: x\r\n".repeat(50)}\r\n`, 431, /more than 50 params/],
    ];
    test("what cannot be taken is refused, with a line in the log, and nothing else is touched", async () => {
      let calls = 0;
      const slow = gate();
      await using site = await start(async (request) => {
        const { pathname } = new URL(request.url);
        if (pathname !== "/slow") return new Response(String(++calls));
        await slow.promise;
        return new Response("ok");
      }, { limits: { maxParamsBytes: 5000, maxParams: 50 } });
      const other = await site.connect();
      other.get("/slow", { keep: true });
      for (const [name, request, status, reason] of refused) {
        using raw = new Raw(site.address);
        raw.send(`${request}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n`);
        const answer = await raw.all();
        assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\n`), name);
        assert.match(answer, /\r\nconnection: close\r\n/i, name);
        assert.equal(answer.split("HTTP/1.1 ").length, 2, `${name}: ${answer}`);
        const [error = "", ...more] = site.errors.splice(0);
        assert.match(error, new RegExp(`^a connection: Refused with ${status}: `), name);
        assert.match(error, reason, name);
        assert.deepEqual(more, [], name);
      }
      slow.resolve();
      assert.equal((await other.answer()).text, "ok");
      assert.equal(calls, 0);
    });

    test("a body that makes no sense aborts its request, and the visitor gets a 400", async () => {
      const [begun, aborted] = [gate(), gate()];
      await using site = await start((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        begun.resolve();
        return new Promise(() => {});
      });
      using raw = new Raw(site.address);
      raw.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
      await soon("the request", begun.promise);
      raw.send("no length\r\n");
      assert.match(await raw.all(), /^HTTP\/1\.1 400 /);
      await soon("the signal", aborted.promise);
      assert.match(site.errors.join(), /^a connection: Refused with 400: Not HTTP: [^:]*$/);
    });

    test("TLS is told apart, without an answer that nobody could read", async () => {
      await using site = await start(() => new Response("ok"));
      using raw = new Raw(site.address);
      raw.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
      assert.equal(await raw.all(), "");
      assert.deepEqual(site.errors, [
        "a connection: Closed a connection: Not HTTP: it looks like TLS, and this endpoint takes http:// only",
      ]);
    });

    test("bytes that make no sense behind the head of a response end the connection", async () => {
      await using site = await start((request) => new Response(request.body), { duplex: true });
      using raw = new Raw(site.address);
      raw.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
      await raw.saw(/begin/);
      raw.send("no length\r\n");
      await raw.all();
      assert.doesNotMatch(raw.text, /\r\n0\r\n/);
      assert.match(site.errors[0], /^a connection: Closed a connection: Not HTTP: /);
    });

    test("an answer before the body has arrived leaves the connection as it was", async () => {
      await using site = await start((request) => {
        const { pathname } = new URL(request.url);
        return new Response(pathname, { status: pathname === "/post" ? 413 : 200 });
      });
      const peer = await site.connect();
      for (let round = 0; round < 10; round++) {
        const content = pattern(1 + round * 8000);
        peer.begin("/post", { params: round % 2 ? chunked : post(content.length), keep: true });
        assert.equal((await peer.answer()).head?.status, 413);
        peer.body(content);
        peer.bodyEnd();
        peer.get("/next", { keep: true });
        const next = await peer.answer();
        assert.deepEqual({ status: next.head?.status, text: next.text }, { status: 200, text: "/next" });
      }
      assert.deepEqual(site.errors, []);
    });

    test("an early answer reaches who sends all of 5 MiB first, also on a connection that ends with it", async () => {
      const page = "Too much. ".repeat(1000);
      await using site = await start(() => new Response(page, { status: 413 }));
      const peer = await site.connect();
      peer.pause();
      peer.begin("/", { params: post(80 * piece.length) });
      for (let i = 0; i < 80; i++) peer.body(piece);
      await peer.sent();
      peer.resume();
      const response = await peer.answer();
      assert.deepEqual({ status: response.head?.status, text: response.text }, { status: 413, text: page });
      await peer.gone();
      assert.equal(peer.error, undefined);
    });

    test("no more than maxDiscard of a body is read behind an early answer", async () => {
      await using site = await start(() => new Response("no", { status: 413 }), { limits: { maxDiscard: 100_000 } });
      const peer = await site.connect();
      peer.begin("/", { params: post(20 * MIB), keep: true });
      await peer.answer();
      for (let i = 0; i < 32; i++) peer.body(piece);
      await peer.gone();
    });

    test("an application that does not read makes the proxy wait, and then all arrives", async () => {
      const go = gate();
      const total = 24 * MIB;
      await using site = await start(async (request) => {
        await go.promise;
        return new Response(String((await request.bytes()).length));
      });
      const peer = await site.connect();
      peer.begin("/", { params: post(total) });
      for (let sent = 0; sent < total; sent += piece.length) peer.body(piece);
      const waiting = await settled(() => peer.unsent);
      assert.ok(waiting > total / 2, `${waiting} of ${total} bytes wait`);
      go.resolve();
      assert.equal((await peer.answer()).text, String(total));
    });

    test("a proxy that does not read holds back the stream, and then all arrives", async () => {
      const total = 24 * MIB;
      let made = 0;
      await using site = await start(() => {
        const stream = new ReadableStream({
          pull(controller) {
            if (made === total) return controller.close();
            made += piece.length;
            controller.enqueue(piece);
          },
        }, { highWaterMark: 0 });
        return new Response(stream);
      });
      const peer = await site.connect();
      peer.pause();
      const response = peer.get();
      await peer.until("a piece is made", () => made > 0 || (turns(1).then(() => peer.changed()), false));
      assert.ok(await settled(() => made) < total / 2, `${made} of ${total} bytes were made`);
      peer.resume();
      await peer.answer();
      assert.equal(response.length, total);
      assert.deepEqual(concat(...response.chunks).subarray(-piece.length), piece);
    });

    for (const way of ["halfClose", "destroy"] as const) {
      for (const [when, length] of [["in the middle of the body", 10], ["behind a complete request", 4]] as const) {
        test(`a proxy that leaves ${when} (${way}) aborts the request`, async () => {
          const [begun, aborted] = [gate(), gate()];
          await using site = await start((request) => {
            request.signal.addEventListener("abort", () => aborted.resolve());
            begun.resolve();
            return new Promise(() => {});
          });
          const peer = await site.connect();
          peer.begin("/", { params: post(length) });
          peer.body("half");
          await soon("the request", begun.promise);
          peer[way]();
          await soon("the signal", aborted.promise);
          if (way === "halfClose") await peer.gone();
          assert.deepEqual(site.errors, []);
        });
      }
    }

    test("a proxy that leaves in the middle of the response fires the signal and cancels the stream", async () => {
      const [aborted, cancelled] = [gate(), gate<Error>()];
      await using site = await start((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        const stream = new ReadableStream({
          async pull(controller) {
            await turns(1);
            controller.enqueue(piece);
          },
          cancel: cancelled.resolve,
        });
        return new Response(stream);
      });
      const peer = await site.connect({ forget: true });
      const response = peer.get();
      await peer.until("something is there", () => response.length > 0);
      peer.destroy();
      await soon("the signal", aborted.promise);
      assert.equal((await soon("the stream to be cancelled", cancelled.promise)).name, "AbortError");
    });

    test("an application that throws is a 500 and a line in the log, and the connection stays", async () => {
      await using site = await start((request) => {
        if (request.url.endsWith("/fails")) throw new Error("boom");
        return new Response("ok", { headers: request.url.endsWith("/bad") ? { "x-bad": "\x01" } : {} });
      });
      const peer = await site.connect();
      for (const path of ["/fails", "/bad", "/works"]) {
        peer.get(path, { keep: true });
        assert.equal((await peer.answer()).head?.status, path === "/works" ? 200 : 500);
      }
      assert.equal(site.errors.length, 2);
      assert.equal(site.errors[0], "GET /fails: boom");
      assert.match(site.errors[1], /^GET \/bad: /);
    });

    for (
      const [name, length] of [["without a length", undefined], ["with its length", "10"]] as const
    ) {
      test(`a response ${name} that fails after its head has left is cut short`, async () => {
        const seen = gate();
        await using site = await start(() => {
          const stream = new ReadableStream({
            start: (controller) => controller.enqueue(bytes("begin")),
            async pull(controller) {
              await seen.promise;
              controller.error(new Error("boom"));
            },
          }, { highWaterMark: 0 });
          return new Response(stream, { headers: length ? { "content-length": length } : {} });
        });
        const peer = await site.connect();
        const response = peer.get("/fails", { keep: true });
        await peer.until("the beginning is there", () => response.text === "begin");
        seen.resolve();
        await peer.until("the connection is over", () => peer.ended || peer.closed);
        assert.equal(response.end, undefined);
        if (transport === "tcp") assert.equal(peer.error?.code, "ECONNRESET");
        else assert.equal(peer.incomplete, true);
        assert.deepEqual(site.errors, ["GET /fails: boom"]);
      });
    }

    test("a response that is not as long as it says cannot be mistaken for another", async () => {
      const stream = () =>
        new ReadableStream({
          async start(controller) {
            controller.enqueue(bytes("12345"));
            await turns(2);
            controller.enqueue(bytes("67890"));
            controller.close();
          },
        });
      await using site = await start((request) =>
        new Response(stream(), { headers: { "content-length": new URL(request.url).pathname.slice(1) } })
      );
      const short = await site.connect();
      short.get("/8", { keep: true });
      assert.equal((await short.answer()).text, "12345678");
      assert.match(site.errors.splice(0).join(), /^GET \/8: The Response declared a content-length of 8 and had 10 bytes$/);
      short.get("/10", { keep: true });
      assert.equal((await short.answer()).text, "1234567890");
      const long = await site.connect();
      long.get("/12", { keep: true });
      await long.gone();
      assert.equal(long.response().end, undefined);
      assert.match(site.errors.join(), /^GET \/12: The Response is 2 bytes shorter than its content-length says$/);
    });

    test("too many connections are refused with 503", async () => {
      await using site = await start(() => new Response("ok"), { limits: { maxConnections: 1 } });
      const first = await site.connect();
      const second = await site.connect();
      second.get("/", { keep: true });
      const { head, header } = await second.answer();
      assert.equal(head?.status, 503);
      assert.deepEqual(header.call(second.response(), "connection"), ["close"]);
      await second.gone();
      first.get();
      assert.equal((await first.answer()).text, "ok");
      assert.deepEqual(site.errors, [
        "a connection: Refused with 503: there are 1 connections already, and maxconnections allows no more",
      ]);
    });

    test("a shutdown closes idle connections, completes requests, and says that their connections end", async () => {
      const begun = gate();
      await using site = await start(async (request) => {
        begun.resolve();
        return new Response(await request.text());
      });
      const [peer, unused, used] = [await site.connect(), await site.connect(), await site.connect()];
      used.get("/", { keep: true });
      await used.answer();
      peer.begin("/", { params: post(12), keep: true });
      peer.body("first ");
      await soon("the request", begun.promise);
      const shutdown = site.server.shutdown(60);
      await unused.gone();
      await used.gone();
      peer.body("second");
      const response = await peer.answer();
      assert.equal(response.text, "first second");
      assert.deepEqual(response.header("connection"), ["close"]);
      await peer.gone();
      await soon("the shutdown", shutdown);
    });

    test("a shutdown still answers connections that were made and asked just before", async () => {
      await using site = await start((request) => new Response(new URL(request.url).pathname));
      const peers = await Promise.all(Array.from({ length: 10 }, () => site.connect()));
      for (const peer of peers) peer.get("/asked", { keep: true });
      const shutdown = site.server.shutdown(10);
      for (const peer of peers) assert.equal((await peer.answer()).text, "/asked");
      await soon("the shutdown", shutdown);
    });

    test("random and garbled bytes end their own connections at most", async () => {
      await using site = await start(echo, { limits: { maxParamsBytes: 2000 } });
      const valid = [
        "GET /1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyGET /3 HTTP/1.1\r\nHost: h\r\nForwarded: for=_a;host=b\r\n\r\n",
        "POST /4 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nT: x\r\n\r\n",
      ].map(bytes);
      const other = await site.connect();
      for (let round = 0; round < 10; round++) {
        const raws = Array.from({ length: 20 }, (_, i) => {
          const random = new Random(round * 20 + i);
          const raw = new Raw(site.address);
          const content = random.once(8) ? random.bytes(100) : random.mutate(concat(random.pick(valid), random.pick(valid)));
          for (const part of random.pieces(content)) raw.send(text(part));
          raw.halfClose();
          return raw;
        });
        for (const raw of raws) await raw.until("the connection ends", () => raw.ended || raw.closed);
        for (const raw of raws) raw[Symbol.dispose]();
        other.get(`/${round}`, { keep: true });
        assert.equal((await other.answer()).text, `/${round} `);
      }
      for (const error of site.errors) {
        assert.match(error, /^(?:a connection: (?:Refused with|Closed a connection)|.*: Refused with 4)/);
      }
    });
  });
}

function chunks(header: string, body = "3\r\nabc\r\n0\r\n\r\n"): string {
  return `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n${header}\r\n${body}`;
}

/** Waits until all that goes into the kernel's buffers is there. */
async function settled(amount: () => number): Promise<number> {
  let before = -1;
  while (amount() !== before) {
    before = amount();
    await turns(10);
  }
  return before;
}
