import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { describe, test } from "node:test";
import type { Address } from "../../src/runtime/socket.ts";
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
    test("lets requests that are under way finish, then closes their connections", async () => {
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

    test("closes kept connections without a request", async () => {
      await using site = await startSite(() => new Response("x"), { transport });
      const [used, unused] = [await site.connect(), await site.connect()];
      used.get("/", { keep: true });
      await used.answer();
      await soon("the shutdown", site.server.shutdown(10));
      await used.gone();
      await unused.gone();
    });

    test("accepts nothing new", async () => {
      await using site = await startSite(() => new Response("x"), { transport });
      const { address } = site;
      await soon("the shutdown", site.server.shutdown(10));
      await assert.rejects(Peer.connect(address), { code: transport === "unix" ? "ENOENT" : "ECONNREFUSED" });
    });

    test("completes a body that is still arriving", async () => {
      const begun = gate();
      await using site = await startSite(async (request) => {
        begun.resolve();
        return new Response(await request.text());
      }, { transport });
      const peer = await site.connect();
      peer.begin("/", { keep: true, params: { REQUEST_METHOD: "POST" } });
      peer.body("first ");
      await begun.promise;
      const shutdown = site.server.shutdown(10);
      await refused(site.address);
      peer.body("second");
      peer.bodyEnd();
      assert.equal((await peer.answer()).text, "first second");
      await soon("the shutdown", shutdown);
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

    test("still answers connections that were made and asked just before", async () => {
      for (let round = 0; round < 5; round++) {
        await using site = await startSite((request) => new Response(new URL(request.url).pathname), { transport });
        const peers = await Promise.all(Array.from({ length: 10 }, () => site.connect()));
        for (const peer of peers) peer.get("/asked", { keep: true });
        const shutdown = site.server.shutdown(10);
        for (const peer of peers) assert.equal((await peer.answer()).text, "/asked");
        await soon("the shutdown", shutdown);
      }
    });

    test("gives up what is still under way when the grace is over", async () => {
      const [begun, aborted] = [gate(), gate<Error>()];
      await using site = await startSite((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve(request.signal.reason));
        begun.resolve();
        return new Promise(() => {});
      }, { transport });
      const peer = await site.connect();
      peer.get("/", { keep: true });
      await begun.promise;
      await soon("the shutdown", site.server.shutdown(0.05));
      assert.match((await aborted.promise).message, /shutting down/);
      await peer.gone();
      assert.equal(peer.response().end, undefined);
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
  test("is one, however often it is asked for", async () => {
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
