import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { pattern } from "../support/bytes.ts";
import { MemoryConnection } from "../support/memory.ts";
import { gate, turns } from "../support/peer.ts";
import { traffic } from "../support/traffic.ts";

const piece = pattern(64 * 1024);

describe("backpressure of one connection", () => {
  const body = "x".repeat(60_000);

  test("reading pauses above maxUnread and goes on when the application reads", async () => {
    const go = gate();
    const connection = new MemoryConnection(async (request) => {
      await go.promise;
      return new Response(String((await request.text()).length));
    }, { limits: { maxUnread: 100_000 } });
    connection.receive(traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }));
    connection.receive(traffic().stdin(body));
    assert.equal(connection.paused, false);
    connection.receive(traffic().stdin(body));
    assert.equal(connection.paused, true);
    go.resolve();
    await connection.until("reading goes on", () => !connection.paused);
    connection.receive(traffic().stdin());
    await connection.answered();
    assert.match(connection.lines[0], /\r\n\r\n120000$/);
  });

  test("an early response frees what waits to be read", async () => {
    const connection = new MemoryConnection(() => new Response("no", { status: 413 }), { limits: { maxUnread: 100_000 } });
    connection.receive(
      traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }).stdin(body).stdin(body),
    );
    await connection.answered();
    assert.equal(connection.paused, false);
  });

  test("an application that cancels the body frees what waits to be read, and the rest is ignored", async () => {
    const go = gate();
    const connection = new MemoryConnection(async (request) => {
      await request.body!.cancel();
      await go.promise;
      return new Response("done");
    }, { limits: { maxUnread: 100_000 } });
    connection.receive(
      traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }).stdin(body).stdin(body),
    );
    await connection.until("reading goes on", () => !connection.paused);
    for (let i = 0; i < 10; i++) connection.receive(traffic().stdin(body));
    assert.equal(connection.paused, false);
    connection.receive(traffic().stdin());
    go.resolve();
    await connection.answered();
  });

  test("a full connection holds back the stream and nothing is read once its requests are over", async () => {
    let pulls = 0;
    const connection = new MemoryConnection(() =>
      new Response(
        new ReadableStream({
          pull(controller) {
            if (pulls++ < 100) controller.enqueue(piece);
            else controller.close();
          },
        }, { highWaterMark: 0 }),
      )
    );
    connection.full = true;
    connection.receive(traffic().get("/", { keep: true }));
    await connection.until("something was written", () => connection.writes.length > 0);
    await turns();
    assert.ok(pulls < 5, `${pulls} chunks were taken`);
    connection.drain();
    await connection.answered();
    assert.equal(pulls, 101);
  });

  test("a connection that is gone ends the waiting", async () => {
    const cancelled = gate<unknown>();
    const connection = new MemoryConnection(() =>
      new Response(
        new ReadableStream({ pull: (controller) => controller.enqueue(piece), cancel: cancelled.resolve }, { highWaterMark: 0 }),
      )
    );
    connection.full = true;
    connection.receive(traffic().get("/", { keep: true }));
    await connection.until("something was written", () => connection.writes.length > 0);
    await turns();
    connection.destroy();
    assert.equal((await cancelled.promise as Error).name, "AbortError");
  });

  test("a peer that takes nothing of the last response is not read from", async () => {
    const connection = new MemoryConnection(() => new Response("x"));
    connection.full = true;
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    assert.equal(connection.paused, true);
    connection.drain();
    assert.equal(connection.paused, false);
  });
});
