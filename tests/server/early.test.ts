import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Handler } from "../../src/server/handler.ts";
import { MemoryConnection } from "../support/memory.ts";
import { repeated, startSite, transports } from "../support/peer.ts";
import { traffic } from "../support/traffic.ts";

const MIB = 1024 * 1024;
const text = "Too much. ".repeat(1000);
/** Answers an upload without reading it. */
const tooMuch: Handler = (request) => new Response(text, { status: request.method === "POST" ? 413 : 200 });
const post = { REQUEST_METHOD: "POST" };

for (const transport of transports) {
  describe(`an answer before the body has arrived, over ${transport}`, () => {
    test("reaches a client that sends 5 MiB, complete", async () => {
      await using site = await startSite(tooMuch, { transport });
      const answer = await site.ask("/", post, repeated(5 * MIB));
      assert.equal(answer.head.status, 413);
      assert.equal(answer.text, text);
      assert.deepEqual(site.errors, []);
    });
  });
}

describe("a connection after an early answer", () => {
  test("is ended on the server's side only, until the web server has ended its own", async () => {
    const connection = new MemoryConnection(tooMuch);
    connection.receive(traffic().begin().params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }).stdin("x"));
    await connection.answered();
    assert.equal(connection.state, "shut down");
    connection.receive(traffic().stdin("y"));
    assert.equal(connection.state, "shut down");
    connection.served.end();
    assert.equal(connection.state, "closed");
  });

  test("is not read any further than maxDiscard", async () => {
    const connection = new MemoryConnection(tooMuch, { limits: { maxDiscard: 100_000 } });
    connection.receive(traffic().begin().params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }));
    await connection.answered();
    connection.receive(traffic().stdin("x".repeat(60_000)));
    assert.equal(connection.state, "shut down");
    connection.receive(traffic().stdin("x".repeat(60_000)));
    assert.equal(connection.state, "destroyed");
  });

  test("counts the bytes of each early answer separately", async () => {
    const connection = new MemoryConnection(tooMuch, { limits: { maxDiscard: 100_000 } });
    for (let round = 1; round <= 5; round++) {
      connection.receive(traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }));
      await connection.answered(round);
      connection.receive(traffic().stdin("x".repeat(60_000)).stdin());
    }
    assert.equal(connection.state, "open");
  });
});
