/** What a server does over every protocol alike, over real sockets. What only one protocol has is in the file of its name. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import process from "node:process";
import { describe, test } from "node:test";
import type { ListeningProtocol } from "../../src/protocol/protocols.ts";
import type { Handler } from "../../src/server/handler.ts";
import { bytes, pattern } from "../support/bytes.ts";
import { gate, type Peer, repeated, type Site, soon, startSite, transports, turns } from "../support/peer.ts";

const MIB = 1024 * 1024;
const piece = pattern(64 * 1024);
const post = (length: number) => ({ REQUEST_METHOD: "POST", CONTENT_LENGTH: String(length) });
/** As HTTP and AJP say that they do not know the length; FastCGI need not say anything. */
const endless = { REQUEST_METHOD: "POST", HTTP_TRANSFER_ENCODING: "chunked" };

/** How a protocol differs from others. */
interface Traits {
  /** A connection serves several requests. */
  keeps: boolean;
  /** A request body may have no length. */
  chunked: boolean;
  /** The web server has an error log for the application. */
  stderr: boolean;
  /** The body comes as the server asks for it. */
  asks?: boolean;
  /** A peer that ends its side has left. */
  endIsLeave?: boolean;
}

/** Sends back what it got, as it comes; or reads all before it answers. */
const echoes: Record<string, Handler> = {
  echo: (request) => new Response(request.body),
  store: async (request) => new Response(await request.bytes()),
};

function sumOf(chunks: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** A Response whose stream gives one chunk, and then waits for what the test does. */
function begun(next: (controller: ReadableStreamDefaultController) => unknown, init?: ResponseInit): Response {
  const start = (controller: ReadableStreamDefaultController) => controller.enqueue(bytes("begin"));
  return new Response(
    new ReadableStream({ start, pull: async (controller) => void await next(controller) }, { highWaterMark: 0 }),
    init,
  );
}

/** An application that answers nothing, and what becomes of its request. */
function watched() {
  const begun = gate();
  const aborted = gate();
  const failed = gate<Error>();
  const completed = gate<Error>();
  const handler: Handler = (request, info) => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    request.text().catch(failed.resolve);
    info.completed.catch(completed.resolve);
    begun.resolve();
    return new Promise(() => {});
  };
  return { begun: begun.promise, aborted: aborted.promise, failed: failed.promise, completed: completed.promise, handler };
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

function conformance(protocol: ListeningProtocol, { keeps, chunked, stderr, asks = false, endIsLeave = false }: Traits): void {
  for (const transport of transports) {
    const start = (handler: Handler, options: Parameters<typeof startSite>[1] = {}): Promise<Site> =>
      startSite(handler, { protocol, transport, ...options });
    /** Whether the connection is as it should be behind a response. */
    const stays = (peer: Peer) => assert.equal(peer.ended || peer.closed, !keeps);

    describe(`${protocol} over ${transport}`, () => {
      test("a GET gets status, headers and body, and the handler gets the protocol", async () => {
        await using site = await start((request, info) =>
          new Response(`${info.protocol} ${request.method} ${request.url}`, {
            status: 201,
            headers: [["x-b", "é"], ["set-cookie", "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT"], ["set-cookie", "b=2"]],
          })
        );
        const peer = await site.connect();
        peer.get("/p?q=1");
        const response = await peer.answer();
        assert.deepEqual({ status: response.head?.status, reason: response.head?.reason }, { status: 201, reason: "Created" });
        assert.equal(response.text, `${protocol} GET http://localhost/p?q=1`);
        assert.deepEqual(response.header("x-b"), ["é"]);
        assert.deepEqual(response.header("set-cookie"), ["a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "b=2"]);
        assert.deepEqual(response.header("content-length"), [String(response.length)]);
        assert.equal(peer.error, undefined);
      });

      const ways = { "with its length": post, ...chunked && { "without a length": () => endless } };
      for (const [way, paramsOf] of Object.entries(ways)) {
        for (const [size, length] of [["13 bytes", 13], ["1 MiB", MIB], ["20 MiB", 20 * MIB]] as const) {
          for (const [verb, handler] of Object.entries(echoes)) {
            // One that is stored is the same in either way.
            if (verb === "store" && way !== Object.keys(ways).at(-1)) continue;
            test(`a POST of ${size} ${way} comes back whole from an application that ${verb}s it`, async () => {
              await using site = await start(handler);
              const answer = await site.ask("/", paramsOf(length), repeated(length));
              assert.equal(answer.bytes.length, length);
              assert.equal(sumOf([answer.bytes]), sumOf(await Array.fromAsync(repeated(length))));
              assert.deepEqual(site.errors, []);
            });
          }
        }
      }

      if (!chunked) {
        test("a body of unknown length is collected by the client, which has to say its length", async () => {
          await using site = await start(async (request) => {
            return new Response(`${request.headers.get("content-length")} ${(await request.text()).length}`);
          });
          assert.equal((await site.ask("/", { REQUEST_METHOD: "POST" }, repeated(100_000))).text, "100000 100000");
        });
      }

      if (keeps) {
        test("200 requests go over one connection, each after the other", async () => {
          await using site = await start(async (request) => {
            return new Response(`${new URL(request.url).pathname} ${await request.text()}`);
          });
          const peer = await site.connect();
          for (let i = 0; i < 200; i++) {
            const content = "x".repeat((i % 5) * 4000);
            peer.begin(`/${i}`, { keep: true, params: i % 2 === 0 ? post(content.length) : endless });
            await peer.bodyAsAsked(bytes(content));
            assert.equal((await peer.answer()).text, `/${i} ${content}`);
          }
          stays(peer);
          assert.deepEqual(site.errors, []);
        });
      }

      // A web server that speaks AJP keeps its connections.
      if (!asks) {
        for (const [size, length] of [["3 bytes", 3], ["4 MiB", 4 * MIB]] as const) {
          test(`the connection closes behind a response of ${size} when it is not to be kept, and not before`, async () => {
            await using site = await start(() => new Response(pattern(length) as Uint8Array<ArrayBuffer>));
            const peer = await site.connect();
            peer.get("/", { keep: false });
            assert.equal((await peer.answer()).length, length);
            await peer.gone();
            assert.equal(peer.error, undefined);
          });
        }
      }

      test("HEAD gets the length that GET would have, and 204 and 304 have none", async () => {
        await using site = await start((request) => {
          const status = Number(new URL(request.url).pathname.slice(1));
          if (status === 203) return new Response(null, { headers: { "content-length": "77" } });
          return new Response(status === 200 ? "12345" : null, { status });
        });
        let peer = await site.connect();
        const head = { REQUEST_METHOD: "HEAD" };
        const rows: [status: number, params: Record<string, string>, length: string[]][] = [
          [200, head, ["5"]],
          [203, head, ["77"]],
          [204, {}, []],
          [304, {}, []],
          [202, {}, ["0"]],
        ];
        for (const [status, params, length] of rows) {
          peer.get(`/${status}`, { params, keep: keeps });
          const response = await peer.answer();
          assert.equal(response.head?.status, status === 203 ? 200 : status);
          assert.deepEqual({ text: response.text, length: response.header("content-length") }, { text: "", length });
          stays(peer);
          if (!keeps) peer = await site.connect();
        }
      });

      test("HEAD of an endless body gets the head without a length, and the body is cancelled", async () => {
        const cancelled = gate();
        await using site = await start(() => {
          const start = (controller: ReadableStreamDefaultController) => controller.enqueue(bytes("first"));
          return new Response(
            new ReadableStream({ start, pull: () => new Promise(() => {}), cancel: () => cancelled.resolve() }),
          );
        });
        const peer = await site.connect();
        peer.get("/", { params: { REQUEST_METHOD: "HEAD" } });
        const response = await peer.answer();
        assert.deepEqual({ text: response.text, length: response.header("content-length") }, { text: "", length: [] });
        await soon("the body to be cancelled", cancelled.promise);
      });

      test("a response that comes in pieces arrives piece by piece, and its end when it is complete", async () => {
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
        const response = peer.get("/", { keep: keeps });
        for (let i = 0; i < seen.length; i++) {
          await peer.until(`piece ${i} is there`, () => response.length === i + 1);
          assert.deepEqual([response.end, peer.ended], [undefined, false]);
          seen[i].resolve();
        }
        assert.equal((await peer.answer()).text, "01234");
        stays(peer);
      });

      if (keeps) {
        test("an answer before the body has arrived leaves the connection as it was", async () => {
          await using site = await start((request) => {
            const { pathname } = new URL(request.url);
            return new Response(pathname, { status: pathname === "/post" ? 413 : 200 });
          });
          const peer = await site.connect();
          for (let round = 0; round < 10; round++) {
            // The first packet of a body comes unasked, whatever was answered.
            const content = pattern(round === 5 && !asks ? 5 * MIB : 1 + round * (asks ? 800 : 8000));
            peer.begin("/post", { params: round % 2 && !asks ? endless : post(content.length), keep: true });
            assert.equal((await peer.answer()).head?.status, 413);
            peer.body(content);
            peer.bodyEnd();
            peer.get("/next", { keep: true });
            const next = await peer.answer();
            assert.deepEqual({ status: next.head?.status, text: next.text }, { status: 200, text: "/next" });
          }
          assert.deepEqual(site.errors, []);
        });
      }

      if (!asks) {
        test("an early answer reaches a peer that first sends all of 5 MiB, and then the connection closes", async () => {
          const page = "Too much. ".repeat(1000);
          await using site = await start(() => new Response(page, { status: 413 }));
          const peer = await site.connect();
          peer.pause();
          peer.begin("/", { params: post(80 * piece.length) });
          for (let i = 0; i < 80; i++) peer.body(piece);
          peer.bodyEnd();
          await peer.sent();
          peer.resume();
          const response = await peer.answer();
          assert.deepEqual({ status: response.head?.status, text: response.text }, { status: 413, text: page });
          await peer.gone();
          assert.equal(peer.error, undefined);
        });

        test("no more than maxDiscard of a body is read behind an early answer", async () => {
          await using site = await start(() => new Response("no", { status: 413 }), { limits: { maxDiscard: 100_000 } });
          for (const keep of keeps ? [true, false] : [false]) {
            const peer = await site.connect();
            peer.begin("/", { params: post(20 * MIB), keep });
            await peer.answer();
            for (let i = 0; i < 32; i++) peer.body(piece);
            await peer.gone();
          }
          assert.equal((await site.ask()).head.status, 413);
        });

        test("an application that does not read makes the web server wait, and then all arrives", async () => {
          const go = gate();
          const total = 24 * MIB;
          await using site = await start(async (request) => {
            await go.promise;
            return new Response(sumOf([await request.bytes()]));
          });
          const peer = await site.connect();
          peer.begin("/", { params: post(total) });
          for (let sent = 0; sent < total; sent += piece.length) peer.body(piece);
          peer.bodyEnd();
          const waiting = await settled(() => peer.unsent);
          assert.ok(waiting > total / 2, `${waiting} of ${total} bytes wait`);
          go.resolve();
          assert.equal((await peer.answer()).text, sumOf(Array(total / piece.length).fill(piece)));
        });
      }

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
        assert.equal(sumOf(response.chunks), sumOf(Array(total / piece.length).fill(piece)));
      });

      for (const way of ["halfClose", "destroy"] as const) {
        test(`a web server that leaves in the middle of the body (${way}) aborts the request`, async () => {
          const { handler, ...app } = watched();
          await using site = await start(handler);
          const peer = await site.connect();
          peer.begin("/", { params: post(10) });
          peer.body("half");
          await soon("the request", app.begun);
          peer[way]();
          await soon("the signal", app.aborted);
          assert.equal((await soon("the body to fail", app.failed)).name, "AbortError");
          assert.equal((await soon("info.completed to reject", app.completed)).name, "AbortError");
          if (way === "halfClose") await peer.gone();
          assert.deepEqual(site.errors, []);
        });

        if (endIsLeave) {
          test(`a web server that leaves behind a complete request (${way}) aborts it`, async () => {
            const { handler, ...app } = watched();
            await using site = await start(handler);
            const peer = await site.connect();
            peer.begin("/", { params: post(4) });
            peer.body("full");
            await soon("the request", app.begun);
            peer[way]();
            await soon("the signal", app.aborted);
            if (way === "halfClose") await peer.gone();
            assert.deepEqual(site.errors, []);
          });
        }
      }

      if (!endIsLeave && !asks) {
        test("the end of the web server's side behind a complete request does not abort it", async () => {
          const [begun, ended] = [gate(), gate()];
          await using site = await start(async (request) => {
            begun.resolve();
            await ended.promise;
            return new Response(request.signal.aborted ? "aborted" : await request.text());
          });
          const peer = await site.connect();
          peer.begin("/", { params: post(4), keep: keeps });
          peer.body("body");
          peer.bodyEnd();
          peer.halfClose();
          await soon("the request", begun.promise);
          // FastCGI has something to ask with.
          if (stderr) await peer.until("the server noticed the end", () => peer.received > 0);
          else await turns();
          ended.resolve();
          assert.equal((await peer.answer()).text, "body");
          await peer.gone();
        });
      }

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

      // Others than FastCGI have nothing to ask with, and a half-close looks the same until something is written.
      const noticed = stderr || endIsLeave || (transport === "unix" && process.versions.bun !== undefined);
      const skip = !noticed && "only Bun notices it, on Unix sockets";
      test("a web server that leaves while the application is silent fires the signal", { skip }, async () => {
        const { handler, ...app } = watched();
        await using site = await start(handler);
        const peer = await site.connect();
        peer.get();
        await soon("the request", app.begun);
        peer.destroy();
        await soon("the signal", app.aborted);
        assert.deepEqual(site.errors, []);
      });

      test("text for the error log goes to the web server where it has one, and breaks nothing elsewhere", async () => {
        await using site = await start((_request, info) => {
          info.stderr(stderr ? "for the log" : "");
          return new Response("ok");
        });
        const answer = await site.ask();
        assert.deepEqual([answer.text, answer.stderr], ["ok", stderr ? "for the log" : ""]);
      });

      test("an application that throws is a 500 and a line in the log", async () => {
        await using site = await start((request) => {
          if (request.url.endsWith("/fails")) throw new Error("boom");
          return new Response("ok");
        });
        const peer = await site.connect();
        peer.get("/fails", { keep: keeps });
        const response = await peer.answer();
        assert.equal(response.head?.status, 500);
        assert.doesNotMatch(response.text, /boom/);
        assert.deepEqual(site.errors, ["GET /fails: boom"]);
        stays(peer);
        if (!keeps) return;
        peer.get("/", { keep: true });
        assert.equal((await peer.answer()).text, "ok");
      });

      for (const [way, headers] of [["without a length", {}], ["with its length", { "content-length": "10" }]] as const) {
        test(`a response ${way} that fails after its head has left is cut short`, async () => {
          const seen = gate();
          await using site = await start(() =>
            begun(async (controller) => {
              await seen.promise;
              controller.error(new Error("boom"));
            }, { headers })
          );
          const peer = await site.connect();
          const response = peer.get("/fails", { keep: keeps });
          await peer.until("the beginning is there", () => response.text === "begin");
          seen.resolve();
          await peer.until("the connection is over", () => peer.ended || peer.closed);
          assert.deepEqual(site.errors, ["GET /fails: boom"]);
          // A Unix socket has no reset. Where its end is that of a response, only a length shows that something is missing.
          if (keeps || "content-length" in headers) assert.equal(response.end, undefined);
          if (transport === "tcp") assert.equal(peer.error?.code, "ECONNRESET");
          else if (!stderr && !asks && (keeps || "content-length" in headers)) assert.equal(peer.incomplete, true);
        });
      }

      /** Ten bytes, more in a second chunk, and no end until the response is cancelled or the gate opens. */
      const declares = (rest: string, closes: boolean) => {
        const seen = gate();
        const cancelled = gate();
        const handler: Handler = (request) => {
          const { pathname } = new URL(request.url);
          if (pathname === "/") return new Response("ok");
          return new Response(
            new ReadableStream({
              async start(controller) {
                controller.enqueue(bytes("1234567890"));
                await seen.promise;
                controller.enqueue(bytes(rest));
                if (closes) controller.close();
              },
              cancel: () => cancelled.resolve(),
            }),
            { headers: { "content-length": pathname.slice(1) } },
          );
        };
        return { seen, cancelled: cancelled.promise, handler };
      };

      for (const [size, surplus] of [["a little", "bcHTTP/1.1 200 OK\r\n\r\n"], ["much", "b".repeat(200_000)]] as const) {
        test(`a response that is ${size} longer than its content-length ends there`, async () => {
          const { seen, cancelled, handler } = declares(surplus, false);
          await using site = await start(handler);
          const peer = await site.connect();
          const response = peer.get("/11", { keep: keeps });
          await peer.until("the beginning is there", () => response.text === "1234567890");
          seen.resolve();
          assert.equal((await peer.answer()).text, "1234567890b");
          await soon("the stream to be cancelled", cancelled);
          assert.deepEqual(site.errors, [
            "GET /11: The Response declared a content-length of 11 and has more, which was not sent",
          ]);
          if (!keeps) return;
          peer.get("/", { keep: true });
          assert.equal((await peer.answer()).text, "ok");
          assert.equal(site.errors.length, 1);
        });
      }

      test("a response that is shorter than its content-length is cut off", async () => {
        const { seen, handler } = declares("b", true);
        await using site = await start(handler);
        const peer = await site.connect();
        const response = peer.get("/12", { keep: keeps });
        await peer.until("the beginning is there", () => response.text === "1234567890");
        seen.resolve();
        await peer.until("the connection is over", () => peer.ended || peer.closed);
        assert.equal(response.end, undefined);
        if (transport === "tcp") assert.equal(peer.error?.code, "ECONNRESET");
        else if (!stderr && !asks) assert.equal(peer.incomplete, true);
        assert.deepEqual(site.errors, ["GET /12: The Response declared a content-length of 12 and had 11 bytes"]);
      });

      test("an event stream that has a content-length is cut off by a shutdown", async () => {
        const headers = { "content-type": "text/event-stream", "content-length": "1000" };
        await using site = await start(() => begun(() => new Promise(() => {}), { headers }));
        const peer = await site.connect();
        const response = peer.get("/", { keep: keeps });
        await peer.until("the beginning is there", () => response.text === "begin");
        await site.server.shutdown(0);
        await peer.gone();
        assert.equal(response.end, undefined);
        assert.match(site.errors.join(), /Cut after .* s: the server is shutting down/);
      });

      test("a content-length that is no length is not passed on", async () => {
        for (const length of ["1,1", "-1", "0x1", "9".repeat(20)]) {
          const { seen, handler } = declares("b", true);
          await using site = await start((request, info) => {
            const response = handler(new Request(new URL("/11", request.url)), info) as Response;
            return new Response(response.body, { headers: { "content-length": length } });
          });
          const peer = await site.connect();
          const response = peer.get();
          await peer.until("the beginning is there", () => response.text === "1234567890");
          seen.resolve();
          assert.equal((await peer.answer()).text, "1234567890b");
          assert.deepEqual([response.header("content-length"), site.errors], [[], []]);
        }
      });

      test("too many params are refused with 431", async () => {
        await using site = await start(() => new Response("ok"), { limits: { maxParamsBytes: 1000, maxParams: 20 } });
        const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`HTTP_X${i}`, "x"]));
        let peer = await site.connect();
        for (const [params, status] of [[{ HTTP_X: "x".repeat(2000) }, 431], [many, 431], [{}, 200]] as const) {
          peer.begin("/", { params: { ...params, ...post(5) }, keep: keeps });
          peer.body("hello");
          peer.bodyEnd();
          assert.equal((await peer.answer()).head?.status, status);
          // Over HTTP nobody knows what follows then.
          if (!keeps || endIsLeave) peer = await site.connect();
        }
        assert.deepEqual(site.errors, [
          "a connection: Refused with 431: more than 1000 bytes of params",
          "a connection: Refused with 431: more than 20 params",
        ]);
      });

      test("too many connections are refused with 503 and closed", async () => {
        await using site = await start(() => new Response("ok"), { limits: { maxConnections: 1 } });
        const first = await site.connect();
        const second = await site.connect();
        second.begin("/", { params: post(5), keep: keeps });
        second.body("hello");
        second.bodyEnd();
        assert.equal((await second.answer()).head?.status, 503);
        if (protocol === "http") assert.deepEqual(second.response().header("connection"), ["close"]);
        await second.gone();
        first.get();
        assert.equal((await first.answer()).text, "ok");
        assert.deepEqual(site.errors, [
          "a connection: Refused with 503: there are 1 connections already, and maxconnections allows no more",
        ]);
      });

      // HTTP has an answer to them.
      if (protocol !== "http") {
        test("bytes that are not the protocol's close their connection, with a line in the log, and nothing else", async () => {
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
          assert.match(site.errors[0], /^a connection: Closed a connection: Not (?:FastCGI|SCGI|uwsgi|AJP): /);
          slow.resolve();
          assert.equal((await other.answer()).text, "ok");
        });
      }

      test("a shutdown lets a request finish whose body is still arriving, and closes connections without one", async () => {
        const begun = gate();
        await using site = await start(async (request) => {
          begun.resolve();
          return new Response(await request.text());
        });
        const [peer, unused, used] = [await site.connect(), await site.connect(), await site.connect()];
        used.get("/", { keep: keeps });
        await used.answer();
        peer.begin("/", { params: post(12), keep: keeps });
        peer.body("first ");
        await soon("the request", begun.promise);
        const shutdown = site.server.shutdown(60);
        await unused.gone();
        await used.gone();
        await peer.until("the server takes more", () => peer.codec.room > 0);
        peer.body("second");
        peer.bodyEnd();
        const response = await peer.answer();
        assert.equal(response.text, "first second");
        if (protocol === "http") assert.deepEqual(response.header("connection"), ["close"]);
        await peer.gone();
        await soon("the shutdown", shutdown);
      });

      test("a shutdown still answers connections that were made and asked just before", async () => {
        for (let round = 0; round < 5; round++) {
          await using site = await start((request) => new Response(new URL(request.url).pathname));
          const peers = await Promise.all(Array.from({ length: 10 }, () => site.connect()));
          for (const peer of peers) peer.get("/asked", { keep: keeps });
          const shutdown = site.server.shutdown(10);
          for (const peer of peers) assert.equal((await peer.answer()).text, "/asked");
          await soon("the shutdown", shutdown);
        }
      });
    });
  }
}

conformance("fcgi", { keeps: true, chunked: true, stderr: true });
conformance("scgi", { keeps: false, chunked: false, stderr: false });
conformance("uwsgi", { keeps: false, chunked: false, stderr: false });
conformance("ajp", { keeps: true, chunked: true, stderr: false, asks: true });
conformance("http", { keeps: true, chunked: true, stderr: false, endIsLeave: true });
