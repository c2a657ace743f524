/** SCGI and uwsgi over real sockets: one request for each connection, which ends with the response. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import process from "node:process";
import type { Handler } from "../../src/server/handler.ts";
import { bytes, concat, pattern } from "../support/bytes.ts";
import { gate, repeated, type Site, soon, startSite, transports, turns } from "../support/peer.ts";
import { singleProtocols } from "../support/single.ts";

const MIB = 1024 * 1024;
const piece = pattern(64 * 1024);
const post = (length: number) => ({ REQUEST_METHOD: "POST", CONTENT_LENGTH: String(length) });

/** A Response whose stream gives one chunk and then waits for what the test does. */
function begun(
  next: (controller: ReadableStreamDefaultController) => Promise<void>,
  headers: Record<string, string> = {},
): Response {
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(bytes("begin")),
    pull: next,
  }, { highWaterMark: 0 });
  return new Response(stream, { headers });
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

for (const protocol of singleProtocols) {
  for (const transport of transports) {
    const start = (handler: Handler, options: Parameters<typeof startSite>[1] = {}): Promise<Site> =>
      startSite(handler, { protocol, transport, ...options });

    describe(`${protocol} over ${transport}`, () => {
      test("a GET gets status, headers and body, and the handler is told the protocol", async () => {
        await using site = await start((request, info) =>
          new Response(`${info.protocol} ${request.method} ${request.url}`, { status: 201, headers: { "x-b": "é" } })
        );
        const peer = await site.connect();
        peer.get("/p?q=1");
        const response = await peer.answer();
        assert.deepEqual({ status: response.head?.status, reason: response.head?.reason }, { status: 201, reason: "Created" });
        assert.equal(response.text, `${protocol} GET http://localhost/p?q=1`);
        assert.deepEqual(response.header("x-b"), ["é"]);
        assert.deepEqual(response.header("content-length"), [String(response.length)]);
        assert.equal(peer.error, undefined);
      });

      for (const [size, length] of [["13 bytes", 13], ["1 MiB", MIB], ["20 MiB", 20 * MIB]] as const) {
        test(`a POST of ${size} comes back whole`, async () => {
          await using site = await start((request) => new Response(request.body));
          const hash = createHash("sha256");
          for await (const chunk of repeated(length)) hash.update(chunk);
          const answer = await site.ask("/", post(length), repeated(length));
          assert.equal(answer.bytes.length, length);
          assert.equal(createHash("sha256").update(answer.bytes).digest("hex"), hash.digest("hex"));
          assert.deepEqual(site.errors, []);
        });
      }

      test("a body of unknown length is collected by the client, which has to say its length", async () => {
        await using site = await start(async (request) => {
          return new Response(`${request.headers.get("content-length")} ${(await request.text()).length}`);
        });
        assert.equal((await site.ask("/", { REQUEST_METHOD: "POST" }, repeated(100_000))).text, "100000 100000");
      });

      test("HEAD gets the length that GET would have, and 204 and 304 have none", async () => {
        await using site = await start((request) => {
          const status = Number(new URL(request.url).pathname.slice(1));
          return new Response(status === 200 ? "12345" : null, { status });
        });
        for (
          const [status, params, length] of [[200, { REQUEST_METHOD: "HEAD" }, ["5"]], [204, {}, []], [304, {}, []]] as const
        ) {
          const peer = await site.connect();
          peer.get(`/${status}`, { params });
          const response = await peer.answer();
          assert.equal(response.head?.status, status);
          assert.deepEqual({ text: response.text, length: response.header("content-length") }, { text: "", length });
        }
      });

      test("a response that comes in pieces arrives piece by piece, and its end is the connection's", async () => {
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
          assert.equal(peer.ended, false);
          seen[i].resolve();
        }
        assert.equal((await peer.answer()).text, "01234");
        assert.equal(peer.ended, true);
      });

      test("an answer before the body has arrived reaches who sends all of 5 MiB first, and then the connection closes", async () => {
        const page = "Too much. ".repeat(1000);
        await using site = await start(() => new Response(page, { status: 413 }));
        const peer = await site.connect();
        peer.pause();
        peer.begin("/", { params: post(80 * piece.length) });
        for (let i = 0; i < 80; i++) peer.body(piece);
        await peer.sent();
        peer.resume();
        const response = await peer.answer();
        assert.equal(response.head?.status, 413);
        assert.equal(response.text, page);
        assert.equal(peer.error, undefined);
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

      test("the end of the web server's side behind a complete request is no abort", async () => {
        const [begun, ended] = [gate(), gate()];
        await using site = await start(async (request) => {
          begun.resolve();
          await ended.promise;
          return new Response(request.signal.aborted ? "aborted" : await request.text());
        });
        const peer = await site.connect();
        peer.begin("/", { params: post(4) });
        peer.body("body");
        peer.halfClose();
        await soon("the request", begun.promise);
        await turns();
        ended.resolve();
        assert.equal((await peer.answer()).text, "body");
      });

      test("a web server that leaves in the middle of the response fires the signal and cancels the stream", async () => {
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

      test("an application that does not read makes the web server wait, and then all arrives", async () => {
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

      test("a web server that does not read holds back the stream, and then all arrives", async () => {
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

      test("an application that throws is a 500 and a line in the log", async () => {
        await using site = await start(() => {
          throw new Error("boom");
        });
        const { head, text } = await site.ask("/fails");
        assert.equal(head.status, 500);
        assert.doesNotMatch(text, /boom/);
        assert.deepEqual(site.errors, ["GET /fails: boom"]);
      });

      test("a response that fails after its head has left is cut short", async () => {
        const seen = gate();
        await using site = await start(() =>
          begun(async (controller) => {
            await seen.promise;
            controller.error(new Error("boom"));
          }, { "content-length": "10" })
        );
        const peer = await site.connect();
        const response = peer.get("/fails");
        await peer.until("the beginning is there", () => response.text === "begin");
        seen.resolve();
        await peer.until("the connection is over", () => peer.ended || peer.closed);
        assert.equal(response.end, undefined);
        // A Unix socket knows no reset: there only a length tells that something is missing.
        if (transport === "tcp") assert.equal(peer.error?.code, "ECONNRESET");
        else assert.equal(peer.incomplete, true);
        assert.deepEqual(site.errors, ["GET /fails: boom"]);
      });

      /** The status that a request with a body gets. */
      async function status(site: Site, params: Record<string, string>): Promise<number | undefined> {
        const peer = await site.connect();
        peer.begin("/", { params: { ...params, ...post(100_000) } });
        peer.body("x".repeat(100_000));
        return (await peer.answer()).head?.status;
      }

      test("too many params are refused with 431", async () => {
        await using site = await start(() => new Response("ok"), { limits: { maxParamsBytes: 1000, maxParams: 20 } });
        const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`HTTP_X${i}`, "x"]));
        assert.equal(await status(site, { HTTP_X: "x".repeat(2000) }), 431);
        assert.equal(await status(site, many), 431);
        assert.equal(await status(site, {}), 200);
        assert.deepEqual(site.errors, [
          "a connection: Refused with 431: more than 1000 bytes of params",
          "a connection: Refused with 431: more than 20 params",
        ]);
      });

      test("too many connections are refused with 503", async () => {
        await using site = await start(() => new Response("ok"), { limits: { maxConnections: 1 } });
        const first = await site.connect();
        assert.equal(await status(site, {}), 503);
        first.get();
        assert.equal((await first.answer()).text, "ok");
        assert.deepEqual(site.errors, [
          "a connection: Refused with 503: there are 1 connections already, and maxconnections allows no more",
        ]);
      });

      test("what is no request closes its connection, with a line in the log, and nothing else", async () => {
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
        assert.equal(site.errors.length, 1, site.errors.join("\n"));
        assert.match(site.errors[0], /^a connection: Closed a connection: Not (SCGI|uwsgi): /);
        slow.resolve();
        assert.equal((await other.answer()).text, "ok");
      });

      test("a shutdown lets a request finish whose body is still arriving, and closes connections without one", async () => {
        const begun = gate();
        await using site = await start(async (request) => {
          begun.resolve();
          return new Response(await request.text());
        });
        const [peer, unused] = [await site.connect(), await site.connect()];
        peer.begin("/", { params: post(12) });
        peer.body("first ");
        await soon("the request", begun.promise);
        const shutdown = site.server.shutdown(60);
        await unused.gone();
        peer.body("second");
        assert.equal((await peer.answer()).text, "first second");
        await soon("the shutdown", shutdown);
      });

      // There is nothing to ask with, as FastCGI has, and a half-close looks the same until something is written.
      const noticed = transport === "unix" && process.versions.bun !== undefined;
      test(
        "a web server that leaves while the application is silent fires the signal",
        { skip: !noticed && "only Bun notices it, on Unix sockets" },
        async () => {
          const [begun, aborted] = [gate(), gate()];
          await using site = await start((request) => {
            request.signal.addEventListener("abort", () => aborted.resolve());
            begun.resolve();
            return new Promise(() => {});
          });
          const peer = await site.connect();
          peer.get();
          await soon("the request", begun.promise);
          peer.destroy();
          await soon("the signal", aborted.promise);
        },
      );
    });
  }
}
