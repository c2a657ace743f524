import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { describe, test } from "node:test";
import type { Address } from "../../src/runtime/socket.ts";
import { accessLine } from "../../src/server/access_log.ts";
import { Monitor } from "../../src/server/monitor.ts";
import { serve } from "../../src/server/serve.ts";
import { bytes } from "../support/bytes.ts";
import { ask, folder, gate, Peer, soon, startSite, transports, turns } from "../support/peer.ts";

const MIB = 1024 * 1024;

/** Waits until nobody is accepted any more. Not asking all the time, since a server takes in what comes before it closes. */
async function refused(address: Address): Promise<void> {
  for (;;) {
    await turns(10);
    try {
      (await soon("an answer to connecting", Peer.connect(address))).destroy();
    } catch {
      return;
    }
  }
}

for (const transport of transports) {
  describe(`a shutdown over ${transport}`, () => {
    test("lets requests that are in flight finish, then closes their connections", async () => {
      const [begun, slow] = [gate(), gate()];
      await using site = await startSite(async () => {
        begun.resolve();
        await slow.promise;
        return new Response("slow");
      }, { transport });
      const peer = await site.connect();
      peer.get("/", { keep: true });
      await begun.promise;
      let finished = false;
      const shutdown = site.server.shutdown(10);
      site.server.finished.then(() => finished = true);
      await refused(site.address);
      assert.equal(peer.ended, false);
      assert.equal(finished, false);
      slow.resolve();
      assert.equal((await peer.answer()).text, "slow");
      await peer.gone();
      await soon("the shutdown", shutdown);
      assert.equal(finished, true);
    });

    test("accepts nothing new", async () => {
      await using site = await startSite(() => new Response("x"), { transport });
      const { address } = site;
      await soon("the shutdown", site.server.shutdown(10));
      await assert.rejects(Peer.connect(address), { code: transport === "unix" ? "ENOENT" : "ECONNREFUSED" });
    });

    test("delivers all of a large response", async () => {
      await using site = await startSite(() => new Response(new Uint8Array(16 * MIB)), { transport });
      const peer = await site.connect();
      peer.pause();
      peer.get("/", { keep: true });
      const shutdown = site.server.shutdown(10);
      await refused(site.address);
      peer.resume();
      assert.equal((await peer.answer()).length, 16 * MIB);
      await soon("the shutdown", shutdown);
    });

    test("cuts what is still in flight when the grace is over: a page, a line, and no 499 that blames the visitor", async () => {
      const [begun, aborted] = [gate(), gate<Error>()];
      const errors: string[] = [];
      const lines: string[] = [];
      const monitor = new Monitor({ onEnded: (request, seconds) => lines.push(accessLine("combined", request, seconds)) });
      const onError = (error: Error, { during }: { during: string }) => void errors.push(`${during}: ${error.message}`);
      await using site = await startSite((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve(request.signal.reason));
        begun.resolve();
        return new Promise(() => {});
      }, { transport, observer: monitor, onError });
      const peer = await site.connect();
      peer.get("/cut", { keep: true });
      await begun.promise;
      const shutdown = site.server.shutdown(0.05);
      assert.match((await aborted.promise).message, /shutting down/);
      const { head, text } = await peer.answer();
      assert.equal(head?.status, 503);
      assert.match(text, /The server is stopping/);
      await soon("the shutdown", shutdown);
      assert.equal(errors.length, 1);
      assert.match(errors[0], /^GET \/cut: Cut after \d\.\d s: the server is shutting down$/);
      assert.match(lines[0], /" 503 \d+ .* cut\n$/);
      assert.equal(monitor.counts.cuts, 1);
    });

    test("cuts a response that has begun, with the status that was sent", async () => {
      const lines: string[] = [];
      const monitor = new Monitor({ onEnded: (request, seconds) => lines.push(accessLine("json", request, seconds)) });
      await using site = await startSite(
        () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(bytes("begun")) })),
        { transport, observer: monitor, onError: () => {} },
      );
      const peer = await site.connect();
      const response = peer.get("/", { keep: true });
      await peer.until("it has begun", () => response.length > 0);
      await soon("the shutdown", site.server.shutdown(0.05));
      await peer.gone();
      assert.equal(response.end, undefined);
      const { status, cut } = JSON.parse(lines[0]);
      assert.deepEqual({ status, cut }, { status: 200, cut: true });
    });

    test("in its patient form waits for requests beyond its grace, ends event streams, and becomes strict when asked", async () => {
      const [begun, slow, hangs] = [gate(), gate(), gate()];
      const headers = { "content-type": "text/event-stream" };
      const errors: Error[] = [];
      await using site = await startSite(async (request) => {
        const { pathname } = new URL(request.url);
        if (pathname === "/events") {
          return new Response(new ReadableStream({ start: (controller) => controller.enqueue(bytes("data: 1\n\n")) }), {
            headers,
          });
        }
        if (pathname === "/hangs") {
          hangs.resolve();
          return await new Promise<never>(() => {});
        }
        begun.resolve();
        await slow.promise;
        return new Response("slow");
      }, { transport, onError: (error) => void errors.push(error) });
      const [ordinary, events, hanging] = [await site.connect(), await site.connect(), await site.connect()];
      ordinary.get("/", { keep: true });
      hanging.get("/hangs", { keep: true });
      const stream = events.get("/events", { keep: true });
      await Promise.all([begun.promise, hangs.promise, events.until("an event", () => stream.length > 0)]);
      const shutdown = site.server.shutdown(0.05, false, true);
      assert.equal((await events.answer()).text, "data: 1\n\n");
      assert.deepEqual(errors, []);
      slow.resolve();
      assert.equal((await ordinary.answer()).text, "slow");
      site.server.shutdown(0.01);
      assert.equal((await hanging.answer()).head?.status, 503);
      await soon("the shutdown", shutdown);
    });

    test("waits for what the application does after its response", async () => {
      const [work, rejected] = [gate(), gate<string>()];
      const monitor = new Monitor();
      await using site = await startSite((_request, info) => {
        info.waitUntil(work.promise.then(() => Promise.reject(new Error("no mail"))));
        return new Response("done");
      }, { transport, observer: monitor, onError: (error, { during }) => rejected.resolve(`${during}: ${error.message}`) });
      const peer = await site.connect();
      peer.get("/mail", { keep: true });
      assert.equal((await peer.answer()).text, "done");
      let finished = false;
      const shutdown = site.server.shutdown(10).then(() => finished = true);
      await peer.gone();
      assert.deepEqual([finished, monitor.counts.requests, monitor.counts.inFlight], [false, 1, 1]);
      work.resolve();
      await soon("the shutdown", shutdown);
      assert.equal(await rejected.promise, "GET /mail: no mail");
      assert.equal(monitor.counts.inFlight, 0);
    });

    test("waits no longer than its grace for it", async () => {
      await using site = await startSite((_request, info) => {
        info.waitUntil(new Promise(() => {}));
        return new Response("done");
      }, { transport, onError: () => {} });
      assert.equal((await site.ask()).text, "done");
      await soon("the shutdown", site.server.shutdown(0.05));
    });

    test("gives up a response that is not taken when the grace is over", async () => {
      await using site = await startSite(
        () => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(MIB)) })),
        { transport },
      );
      const peer = await site.connect();
      peer.pause();
      peer.get("/", { keep: true });
      await soon("the shutdown", site.server.shutdown(0.05));
    });
  });
}

describe("a shutdown", () => {
  test("happens once, however often it is asked for", async () => {
    await using site = await startSite(() => new Response("x"));
    assert.equal(site.server.shutdown(), site.server.shutdown(1));
    await soon("the shutdown", site.server.finished);
  });

  test("comes with options.signal", async () => {
    const controller = new AbortController();
    await using site = await startSite(() => new Response("x"), { signal: controller.signal });
    assert.equal((await site.ask()).text, "x");
    controller.abort();
    await soon("the end", site.server.finished);
  });

  test("comes before listening when options.signal is aborted already", async () => {
    using place = folder();
    const socket = place.join("s");
    await assert.rejects(serve({ socket, signal: AbortSignal.abort(new Error("no")) }, () => new Response("x")), /no/);
    assert.equal(existsSync(socket), false);
  });

  test("removes the file of the socket", async () => {
    using place = folder();
    const socket = place.join("s");
    const server = await serve({ socket }, () => new Response("x"));
    assert.ok(existsSync(socket));
    await soon("the shutdown", server.shutdown());
    assert.equal(existsSync(socket), false);
  });

  test("leaves the file of a server that has replaced it, which goes on", async () => {
    using place = folder();
    const socket = place.join("s");
    const address = { transport: "unix", path: socket } as const;
    const old = await serve({ socket }, () => new Response("old"));
    const peer = await Peer.connect(address);
    rmSync(socket);
    const replacing = await serve({ socket }, () => new Response("new"));
    peer.get("/", { keep: true });
    assert.equal((await peer.answer()).text, "old");
    await soon("the shutdown", old.shutdown());
    assert.equal((await ask(address)).text, "new");
    await soon("the shutdown", replacing.shutdown());
  });

  test("answers every request of a connection that has several, then closes it", async () => {
    const [begun, slow] = [gate(), gate()];
    let calls = 0;
    await using site = await startSite(async (request) => {
      if (++calls === 3) begun.resolve();
      await slow.promise;
      return new Response(new URL(request.url).pathname);
    });
    const peer = await site.connect();
    for (const id of [1, 2, 3]) peer.get(`/${id}`, { id, keep: true });
    await begun.promise;
    const shutdown = site.server.shutdown(10);
    slow.resolve();
    for (const id of [1, 2, 3]) assert.equal((await peer.answer(id)).text, `/${id}`);
    await peer.gone();
    await soon("the shutdown", shutdown);
  });

  test("waits for the rest of a request that was answered early, within its grace", async () => {
    await using site = await startSite(() => new Response("no", { status: 413 }));
    const peer = await site.connect();
    peer.begin("/", { keep: true, params: { REQUEST_METHOD: "POST" } });
    await peer.answer();
    const shutdown = site.server.shutdown(10);
    peer.body(bytes("rest"));
    peer.bodyEnd();
    await peer.gone();
    peer.halfClose();
    await soon("the shutdown", shutdown);
    assert.equal(peer.error, undefined);
  });
});
