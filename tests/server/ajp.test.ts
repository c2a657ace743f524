/** AJP over real sockets: one connection for many requests, whose bodies are asked for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ListenError } from "../../src/runtime/listen.ts";
import { request } from "../../src/server/client.ts";
import type { Handler } from "../../src/server/handler.ts";
import { serve } from "../../src/server/serve.ts";
import { cping, forward, packet } from "../support/ajp.ts";
import { concat, pattern } from "../support/bytes.ts";
import { folder, gate, paramsOf, type Site, soon, startSite, transports, turns } from "../support/peer.ts";

const MIB = 1024 * 1024;
const post = (length: number) => ({ REQUEST_METHOD: "POST", CONTENT_LENGTH: String(length) });
const chunked = { REQUEST_METHOD: "POST", HTTP_TRANSFER_ENCODING: "chunked" };

for (const transport of transports) {
  const start = (handler: Handler, options: Parameters<typeof startSite>[1] = {}): Promise<Site> =>
    startSite(handler, { protocol: "ajp", transport, ...options });

  describe(`AJP over ${transport}`, () => {
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

    test("a CPing between two requests is answered and changes nothing", async () => {
      await using site = await start(async (request) => new Response(`${new URL(request.url).pathname} ${await request.text()}`));
      const peer = await site.connect();
      for (let i = 0; i < 20; i++) {
        const content = pattern((i % 5) * 4000);
        peer.send(cping);
        peer.begin(`/${i}`, { params: i % 2 === 0 ? post(content.length) : chunked });
        await peer.bodyAsAsked(content);
        assert.equal((await peer.answer()).text, `/${i} ${new TextDecoder().decode(content)}`);
      }
      assert.equal(peer.closed || peer.ended, false);
      assert.deepEqual(site.errors, []);
    });

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

    test("Shutdown does not shut down", async () => {
      await using site = await start(() => new Response("ok"));
      const peer = await site.connect();
      peer.send(concat(packet("\x07"), forward()));
      peer.codec.request(1, paramsOf("/"));
      assert.equal((await peer.answer()).text, "ok");
      assert.deepEqual(site.errors, ["a connection: Ignored a Shutdown packet: a web server does not decide that"]);
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
