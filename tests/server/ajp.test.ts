/** AJP over real sockets: one connection for many requests, whose bodies are asked for. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { ListenError } from "../../src/runtime/listen.ts";
import { request } from "../../src/server/client.ts";
import type { Handler } from "../../src/server/handler.ts";
import { serve } from "../../src/server/serve.ts";
import { cping, forward, packet } from "../support/ajp.ts";
import { bytes, concat, pattern } from "../support/bytes.ts";
import { folder, gate, paramsOf, repeated, type Site, soon, startSite, transports, turns } from "../support/peer.ts";

const MIB = 1024 * 1024;
const post = (length: number) => ({ REQUEST_METHOD: "POST", CONTENT_LENGTH: String(length) });
const chunked = { REQUEST_METHOD: "POST", HTTP_TRANSFER_ENCODING: "chunked" };

for (const transport of transports) {
  const start = (handler: Handler, options: Parameters<typeof startSite>[1] = {}): Promise<Site> =>
    startSite(handler, { protocol: "ajp", transport, ...options });

  describe(`AJP over ${transport}`, () => {
    test("a GET gets status, headers and body, and the handler is told the protocol", async () => {
      await using site = await start((request, info) =>
        new Response(`${info.protocol} ${request.method} ${request.url}`, { status: 201, headers: { "x-b": "é" } })
      );
      const peer = await site.connect();
      peer.get("/p?q=1");
      const response = await peer.answer();
      assert.deepEqual({ status: response.head?.status, reason: response.head?.reason }, { status: 201, reason: "Created" });
      assert.equal(response.text, "ajp GET http://localhost/p?q=1");
      assert.deepEqual(response.header("x-b"), ["é"]);
      assert.deepEqual(response.header("content-length"), [String(response.length)]);
    });

    for (const [size, length] of [["13 bytes", 13], ["1 MiB", MIB], ["20 MiB", 20 * MIB]] as const) {
      for (const [way, params] of [["with its length", post(length)], ["without a length", chunked]] as const) {
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

    test("packets of 65536 bytes carry bodies both ways", async () => {
      await using site = await start((request) => new Response(request.body), { packetSize: 65536 });
      const peer = await site.connect({ packetSize: 65536 });
      const content = pattern(300_000);
      for (const params of [post(content.length), chunked]) {
        peer.begin("/", { params });
        await peer.bodyAsAsked(content);
        assert.deepEqual(concat(...(await peer.answer()).chunks), content);
      }
    });

    test("headers of a response may be as long as a packet is said to be", async () => {
      for (const [packetSize, status] of [[undefined, 500], [65536, 200]]) {
        await using site = await start(() => new Response("ok", { headers: { "x-long": "x".repeat(20_000) } }), { packetSize });
        const peer = await site.connect({ packetSize });
        peer.get();
        assert.equal((await peer.answer()).head?.status, status);
      }
    });

    test("200 requests go over one connection, each after the other", async () => {
      await using site = await start(async (request) => new Response(`${new URL(request.url).pathname} ${await request.text()}`));
      const peer = await site.connect();
      for (let i = 0; i < 200; i++) {
        const content = pattern((i % 5) * 4000);
        peer.send(cping);
        peer.begin(`/${i}`, { params: i % 2 === 0 ? post(content.length) : chunked });
        await peer.bodyAsAsked(content);
        assert.equal((await peer.answer()).text, `/${i} ${new TextDecoder().decode(content)}`);
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
        peer.get(`/${status}`, { params });
        const response = await peer.answer();
        assert.equal(response.head?.status, status);
        assert.deepEqual({ text: response.text, length: response.header("content-length") }, { text: "", length });
      }
    });

    test("a response that comes in pieces arrives piece by piece", async () => {
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
      const response = peer.get();
      for (let i = 0; i < seen.length; i++) {
        await peer.until(`piece ${i} is there`, () => response.length === i + 1);
        assert.equal(response.end, undefined);
        seen[i].resolve();
      }
      assert.equal((await peer.answer()).text, "01234");
    });

    test("an answer before the body has arrived leaves the connection as it was", async () => {
      await using site = await start((request) => {
        const { pathname } = new URL(request.url);
        return new Response(pathname, { status: pathname === "/post" ? 413 : 200 });
      });
      const peer = await site.connect();
      for (let round = 0; round < 10; round++) {
        const content = pattern(1 + round * 800);
        peer.begin("/post", { params: post(content.length) });
        assert.equal((await peer.answer()).head?.status, 413);
        // It comes unasked, whatever was answered.
        peer.body(content);
        peer.get("/next");
        const next = await peer.answer();
        assert.deepEqual({ status: next.head?.status, text: next.text }, { status: 200, text: "/next" });
      }
      assert.deepEqual(site.errors, []);
    });

    for (const way of ["halfClose", "destroy"] as const) {
      test(`a web server that leaves in the middle of the body (${way}) aborts the request`, async () => {
        const [begun, failed, aborted] = [gate(), gate<Error>(), gate()];
        await using site = await start((request) => {
          request.signal.addEventListener("abort", () => aborted.resolve());
          request.text().catch(failed.resolve);
          begun.resolve();
          return new Promise(() => {});
        });
        const peer = await site.connect();
        peer.begin("/", { params: post(10) });
        peer.body("half");
        await soon("the request", begun.promise);
        peer[way]();
        await soon("the signal", aborted.promise);
        assert.equal((await soon("the body to fail", failed.promise)).name, "AbortError");
        if (way === "halfClose") await peer.gone();
      });
    }

    test("the empty packet by which mod_jk says that the visitor left aborts the request, and not the connection", async () => {
      const [begun, aborted] = [gate(), gate()];
      await using site = await start((request) => {
        if (request.method === "GET") return new Response("next");
        request.signal.addEventListener("abort", () => aborted.resolve());
        begun.resolve();
        return new Promise(() => {});
      });
      const peer = await site.connect();
      const left = peer.begin("/", { params: post(10) });
      peer.body("half");
      await soon("the request", begun.promise);
      peer.send(packet("\0\0"));
      await soon("the signal", aborted.promise);
      await peer.until("the request is over", () => left.end);
      assert.equal(left.head, undefined);
      peer.get();
      assert.equal((await peer.answer()).text, "next");
    });

    test("a web server that leaves in the middle of the response fires the signal and cancels the stream", async () => {
      const [aborted, cancelled] = [gate(), gate<Error>()];
      await using site = await start((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        const stream = new ReadableStream({
          async pull(controller) {
            await turns(1);
            controller.enqueue(pattern(20_000));
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

    test("an application that does not read is not asked for more than it holds, and then all arrives", async () => {
      const [begun, go] = [gate(), gate()];
      const content = pattern(4 * MIB);
      await using site = await start(async (request) => {
        begun.resolve();
        await go.promise;
        return new Response(String((await request.bytes()).length));
      }, { limits: { maxUnread: 64 * 1024 } });
      const peer = await site.connect();
      peer.begin("/", { params: post(content.length) });
      let sent = 0;
      const sending = (async () => {
        while (sent < content.length) {
          await peer.until("the server asks for more", () => peer.codec.room > 0);
          const piece = content.subarray(sent, sent + peer.codec.room);
          sent += piece.length;
          peer.body(piece);
        }
      })();
      await soon("the request", begun.promise);
      for (let before = -1; before !== sent;) {
        before = sent;
        await turns(10);
      }
      assert.ok(sent < 128 * 1024, `${sent} bytes were asked for`);
      go.resolve();
      await sending;
      assert.equal((await peer.answer()).text, String(content.length));
    });

    test("an application that throws is a 500 and a line in the log, and the connection stays", async () => {
      await using site = await start((request) => {
        if (new URL(request.url).pathname === "/fails") throw new Error("boom");
        return new Response("ok");
      });
      const peer = await site.connect();
      peer.get("/fails");
      const response = await peer.answer();
      assert.equal(response.head?.status, 500);
      assert.doesNotMatch(response.text, /boom/);
      assert.deepEqual(site.errors, ["GET /fails: boom"]);
      peer.get("/");
      assert.equal((await peer.answer()).text, "ok");
    });

    test("a response whose head does not fit into a packet is a 500 and a line that says what to raise", async () => {
      await using site = await start(() => new Response("ok", { headers: { "x-long": "x".repeat(9000) } }));
      const peer = await site.connect();
      peer.get("/long");
      assert.equal((await peer.answer()).head?.status, 500);
      assert.match(
        site.errors.join("\n"),
        /^GET \/long: The response head has \d+ bytes, .*raise packetsize here and in the web server$/,
      );
    });

    test("a response that fails after its head has left is cut short", async () => {
      const seen = gate();
      await using site = await start(() => {
        const stream = new ReadableStream({
          start: (controller) => controller.enqueue(bytes("begin")),
          async pull(controller) {
            await seen.promise;
            controller.error(new Error("boom"));
          },
        }, { highWaterMark: 0 });
        return new Response(stream);
      });
      const peer = await site.connect();
      const response = peer.get("/fails");
      await peer.until("the beginning is there", () => response.text === "begin");
      seen.resolve();
      await peer.until("the connection is over", () => peer.ended || peer.closed);
      assert.equal(response.end, undefined);
      assert.deepEqual(site.errors, ["GET /fails: boom"]);
    });

    for (const [name, secret] of [["wrong", "other"], ["missing", undefined]] as const) {
      test(`a secret that is ${name} is a 403 and the end of the connection, and the application is not called`, async () => {
        let called = 0;
        await using site = await start(() => new Response(String(++called)), { secret: "s3cret" });
        for (const params of [{}, post(5)]) {
          const peer = await site.connect({ secret });
          peer.begin("/", { params });
          if ("CONTENT_LENGTH" in params) peer.body("hello");
          assert.equal((await peer.answer()).head?.status, 403);
          await peer.gone();
          assert.equal(peer.error, undefined);
        }
        assert.equal(called, 0);
        const reason = `a connection: Refused with 403: the web server gave ${secret ? "another" : "no"} secret`;
        assert.deepEqual(site.errors, [reason, reason]);
        const peer = await site.connect({ secret: "s3cret" });
        peer.get();
        assert.equal((await peer.answer()).text, "1");
      });
    }

    test("the project's own client gives its secret", async () => {
      await using site = await start(() => new Response("ok"), { secret: "s3cret", packetSize: 65536 });
      const asked = { address: site.address, protocol: "ajp", params: paramsOf("/") } as const;
      assert.equal((await request({ ...asked, secret: "s3cret", packetSize: 65536 })).head.status, 200);
      assert.equal((await request(asked)).head.status, 403);
    });

    test("too many params are refused with 431, and the connection stays", async () => {
      await using site = await start(() => new Response("ok"), { limits: { maxParamsBytes: 1000, maxParams: 20 } });
      const peer = await site.connect();
      const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`HTTP_X${i}`, "x"]));
      for (const [params, status] of [[{ HTTP_X: "x".repeat(2000) }, 431], [many, 431], [{}, 200]] as const) {
        peer.begin("/", { params: { ...params, ...post(5) } });
        peer.body("hello");
        assert.equal((await peer.answer()).head?.status, status);
      }
    });

    test("too many connections are refused with 503 and closed, since web servers keep them", async () => {
      await using site = await start(() => new Response("ok"), { limits: { maxConnections: 1 } });
      const first = await site.connect();
      const second = await site.connect();
      second.get();
      assert.equal((await second.answer()).head?.status, 503);
      await second.gone();
      first.get();
      assert.equal((await first.answer()).text, "ok");
    });

    test("what is no AJP closes its connection, with a line in the log, and nothing else", async () => {
      const slow = gate();
      await using site = await start(async () => {
        await slow.promise;
        return new Response("ok");
      });
      const other = await site.connect();
      other.get();
      const peer = await site.connect();
      peer.send(bytes("GET / HTTP/1.1\r\n\r\n"));
      await peer.gone();
      assert.equal(peer.received, 0);
      assert.deepEqual(site.errors, ["a connection: Closed a connection: Not AJP: a packet begins with 0x4745"]);
      slow.resolve();
      assert.equal((await other.answer()).text, "ok");
    });

    test("Shutdown does not shut down", async () => {
      await using site = await start(() => new Response("ok"));
      const peer = await site.connect();
      peer.send(concat(packet("\x07"), forward()));
      peer.codec.request(1, paramsOf("/"));
      assert.equal((await peer.answer()).text, "ok");
      assert.deepEqual(site.errors, ["a connection: Ignored a Shutdown packet: a web server does not decide that"]);
    });

    test("a shutdown lets a request finish whose body is still arriving, and closes connections without one", async () => {
      const begun = gate();
      await using site = await start(async (request) => {
        begun.resolve();
        return new Response(await request.text());
      });
      const [peer, unused, used] = [await site.connect(), await site.connect(), await site.connect()];
      used.get();
      const answering = used.answer();
      peer.begin("/", { params: post(12) });
      peer.body("first ");
      await soon("the request", begun.promise);
      await answering;
      const shutdown = site.server.shutdown(60);
      await unused.gone();
      await used.gone();
      await peer.until("the server asks for more", () => peer.codec.room > 0);
      peer.body("second");
      assert.equal((await peer.answer()).text, "first second");
      await soon("the shutdown", shutdown);
    });
  });
}

describe("without a secret, AJP", () => {
  const handler = () => new Response("ok");

  test("is not spoken where other machines reach it", async () => {
    for (const host of ["0.0.0.0", "::"]) {
      await assert.rejects(serve({ protocol: "ajp", host, port: 0 }, handler), (error: Error) => {
        assert.ok(error instanceof ListenError);
        assert.match(
          error.message,
          /^Cannot listen for AJP on \S+ without a secret, since other machines reach it: give secret=WORD/,
        );
        return true;
      });
    }
  });

  test("is spoken on loopback addresses and Unix sockets", async () => {
    using place = folder();
    for (
      const endpoint of [{ port: 0 }, { host: "localhost", port: 0 }, { host: "127.0.0.2", port: 0 }, { socket: place.join("s") }]
    ) {
      await (await serve({ protocol: "ajp", ...endpoint }, handler)).shutdown(0);
    }
  });

  test('is spoken everywhere when the secret is "none", or is given', async () => {
    for (const secret of ["none", "s3cret"]) {
      const server = await serve({ protocol: "ajp", host: "0.0.0.0", port: 0, secret, onError() {} }, handler);
      const { address } = server;
      assert.ok(address.transport === "tcp");
      const params = paramsOf("/");
      const asked = { address: { ...address, hostname: "127.0.0.1" }, protocol: "ajp", params } as const;
      assert.equal((await soon("an answer", request(asked))).head.status, secret === "none" ? 200 : 403);
      await server.shutdown(0);
    }
  });

  test("is asked for nothing by other protocols", async () => {
    await (await serve({ host: "0.0.0.0", port: 0 }, handler)).shutdown(0);
  });
});
