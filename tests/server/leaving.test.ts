import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Handler } from "../../src/server/handler.ts";
import { bytes } from "../support/bytes.ts";
import { MemoryConnection } from "../support/memory.ts";
import { Changing, gate, soon, startSite, transports } from "../support/peer.ts";
import { until } from "../support/program.ts";
import { traffic } from "../support/traffic.ts";

/** An application that answers nothing, and what happens to its requests. */
class Watcher extends Changing {
  readonly seen: string[] = [];

  readonly handler: Handler = (request, info) => {
    this.#see("begun");
    request.signal.addEventListener("abort", () => this.#see(`aborted: ${request.signal.reason.name}`));
    info.completed.catch((error: Error) => this.#see(`not completed: ${error.name}`));
    return new Promise(() => {});
  };

  #see(what: string): void {
    this.seen.push(what);
    this.changed();
  }

  saw(what: string): Promise<boolean> {
    return this.until(`the application sees "${what}"`, () => this.seen.includes(what));
  }
}

/** A Response whose stream gives one chunk and then nothing. */
function silentStream(cancelled: (reason: unknown) => void): Response {
  return new Response(
    new ReadableStream({
      start: (controller) => controller.enqueue(bytes("first")),
      pull: () => new Promise(() => {}),
      cancel: cancelled,
    }),
  );
}

for (const transport of transports) {
  describe(`a web server that leaves over ${transport}`, () => {
    test("in the middle of the response: the signal fires and the stream is cancelled", async () => {
      const cancelled = gate<unknown>();
      const aborted = gate();
      await using site = await startSite((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        return silentStream(cancelled.resolve);
      }, { transport });
      const peer = await site.connect();
      const response = peer.get();
      await peer.until("the first chunk is there", () => response.text === "first");
      peer.destroy();
      await soon("the signal", aborted.promise);
      assert.equal((await soon("the stream to be cancelled", cancelled.promise) as Error).name, "AbortError");
    });

    test("ends a response whose stream always has more at once", async () => {
      const most = 20_000;
      let given = 0;
      let cancelled = 0;
      await using site = await startSite(() => {
        const source = {
          pull(controller: ReadableStreamDefaultController<Uint8Array>) {
            controller.enqueue(new Uint8Array(65_536));
            // A test that never yields could not fail.
            if (++given >= most) controller.close();
          },
          cancel: () => void cancelled++,
        };
        return new Response(new ReadableStream(source));
      }, { transport });
      for (let visitor = 1; visitor <= 10; visitor++) {
        given = 0;
        const peer = await site.connect();
        const response = peer.get();
        await peer.until("the response has begun", () => response.text.length > 0);
        peer.destroy();
        await until("the stream is over", () => cancelled === visitor || given >= most);
        assert.ok(given < most, `visitor ${visitor} has left, and all of the stream was read`);
      }
    });
  });
}

describe("a web server that leaves", () => {
  test("with a reset: the signal fires", async () => {
    const watcher = new Watcher();
    await using site = await startSite(watcher.handler, { transport: "tcp" });
    const peer = await site.connect();
    peer.get();
    await watcher.saw("begun");
    peer.reset();
    await watcher.saw("aborted: AbortError");
  });

  test("fires the signals of all requests on its connection, and of no other", async () => {
    const seen: string[] = [];
    const changing = new Changing();
    await using site = await startSite((request) => {
      const { pathname } = new URL(request.url);
      seen.push(`begun ${pathname}`);
      request.signal.addEventListener("abort", () => {
        seen.push(`aborted ${pathname}`);
        changing.changed();
      });
      changing.changed();
      return new Promise(() => {});
    });
    const [leaving, staying] = [await site.connect(), await site.connect()];
    leaving.get("/1", { id: 1, keep: true });
    leaving.get("/2", { id: 2, keep: true });
    staying.get("/3", { keep: true });
    await changing.until("all are begun", () => seen.length === 3);
    leaving.destroy();
    await changing.until("two are aborted", () => seen.length === 5);
    assert.deepEqual(seen.slice(3).sort(), ["aborted /1", "aborted /2"]);
  });

  test("leaves a kept connection without a request in silence", async () => {
    await using site = await startSite(() => new Response("x"));
    const peer = await site.connect();
    peer.get("/", { keep: true });
    await peer.answer();
    peer.destroy();
    assert.equal((await site.ask()).text, "x");
    assert.deepEqual(site.errors, []);
  });
});

describe("ABORT_REQUEST", () => {
  test("fires the signal, fails the body and is answered with END_REQUEST", async () => {
    const failed = gate<Error>();
    const watcher = new Watcher();
    await using site = await startSite((request, info) => {
      request.text().catch(failed.resolve);
      return watcher.handler(request, info);
    });
    const peer = await site.connect();
    peer.begin("/", { keep: true, params: { REQUEST_METHOD: "POST" } });
    peer.body("half");
    await watcher.saw("begun");
    peer.abort();
    const response = await peer.answer();
    assert.equal(response.head, undefined);
    assert.deepEqual(watcher.seen, ["begun", "aborted: AbortError", "not completed: AbortError"]);
    assert.equal((await soon("the body to fail", failed.promise)).name, "AbortError");
  });

  test("leaves the other requests of the connection and the connection itself alone", async () => {
    const slow = gate();
    await using site = await startSite(async (request) => {
      if (request.url.endsWith("/slow")) await slow.promise;
      return new Response(new URL(request.url).pathname);
    });
    const peer = await site.connect();
    peer.get("/slow", { id: 1, keep: true });
    peer.get("/slow", { id: 2, keep: true });
    peer.abort();
    await peer.answer(1);
    slow.resolve();
    assert.equal((await peer.answer(2)).text, "/slow");
    peer.get("/next", { id: 1, keep: true });
    assert.equal((await peer.answer(1)).text, "/next");
  });

  test("in the middle of a response cuts it and cancels the stream", async () => {
    const cancelled = gate<unknown>();
    await using site = await startSite(() => silentStream(cancelled.resolve));
    const peer = await site.connect();
    const response = peer.get("/", { keep: true });
    await peer.until("the first chunk is there", () => response.text === "first");
    peer.abort();
    await peer.answer();
    await soon("the stream to be cancelled", cancelled.promise);
  });

  test("a Response that comes after it is cancelled", async () => {
    const [begun, aborted] = [gate(), gate()];
    const cancelled = gate<unknown>();
    await using site = await startSite(async (request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      begun.resolve();
      await aborted.promise;
      return silentStream(cancelled.resolve);
    });
    const peer = await site.connect();
    peer.get("/", { keep: true });
    await begun.promise;
    peer.abort();
    await peer.answer();
    await soon("the stream to be cancelled", cancelled.promise);
    assert.deepEqual(site.errors, []);
  });
});

test("a request that is aborted before the application was called never reaches it", async () => {
  const watcher = new Watcher();
  const connection = new MemoryConnection(watcher.handler);
  connection.receive(traffic().get("/", { keep: true }).abort());
  await connection.answered();
  assert.deepEqual(connection.lines, ["stdout 1", "end 1 \0\0\0\0\0\0\0\0"]);
  assert.deepEqual(watcher.seen, []);
});

describe("whether the web server is still there", () => {
  /** A request whose web server has ended its side while the application is silent. */
  async function silence(): Promise<MemoryConnection> {
    const connection = new MemoryConnection(() => new Promise(() => {}));
    connection.receive(traffic().get("/", { keep: true }));
    connection.served.end();
    await Promise.resolve();
    return connection;
  }

  test("is asked with an empty STDERR record when it has ended its side", async () => {
    const connection = await silence();
    assert.deepEqual(connection.lines, ["stderr 1"]);
    assert.equal(connection.state, "open");
    connection.destroy();
  });

  test("is asked again from time to time: it may leave later", async () => {
    const connection = await silence();
    const before = connection.writes.length;
    connection.pass(5);
    assert.ok(connection.writes.length > before);
    assert.deepEqual(new Set(connection.lines), new Set(["stderr 1"]));
    connection.destroy();
  });

  test("is not asked while it sends", () => {
    const connection = new MemoryConnection(() => new Promise(() => {}));
    connection.receive(traffic().get("/", { keep: true }));
    connection.pass(20);
    assert.deepEqual(connection.writes, []);
    connection.destroy();
  });
});

describe("a Filter whose web server leaves in the middle of the data", () => {
  test("gets a signal, and its data fails", async () => {
    const failed = gate<Error>();
    const watcher = new Watcher();
    const connection = new MemoryConnection((request, info) => {
      new Response(info.data).text().catch(failed.resolve);
      return watcher.handler(request, info);
    }, { roles: ["filter"] });
    connection.receive(traffic().begin({ role: 3 }).params({ REQUEST_URI: "/" }).stdin().data("half"));
    await watcher.saw("begun");
    connection.served.end();
    await watcher.saw("aborted: AbortError");
    assert.equal((await soon("the data to fail", failed.promise)).name, "AbortError");
    assert.equal(connection.state, "closed");
  });
});
