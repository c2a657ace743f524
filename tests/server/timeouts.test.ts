import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Handler } from "../../src/server/handler.ts";
import { MemoryConnection, type MemoryOptions } from "../support/memory.ts";
import { gate } from "../support/peer.ts";
import { traffic } from "../support/traffic.ts";

/** None is what it is by default. */
const limits: MemoryOptions["limits"] = {
  headTimeout: 5000,
  readTimeout: 150,
  writeTimeout: 200,
  idleTimeout: 1000,
  lingerTimeout: 20,
};
const post = { REQUEST_METHOD: "POST", REQUEST_URI: "/" };

function silent(aborted?: (reason: Error) => void): MemoryConnection {
  return new MemoryConnection((request) => {
    request.signal.addEventListener("abort", () => aborted?.(request.signal.reason));
    return new Promise(() => {});
  }, { limits });
}

/** A connection is as it was after so many seconds, and has ended a little later. */
function endsAfter(connection: MemoryConnection, seconds: number, before = "open", end = "destroyed"): void {
  connection.pass(seconds);
  assert.equal(connection.state, before);
  connection.pass(5);
  assert.equal(connection.state, end);
}

describe("readTimeout", () => {
  test("ends a connection whose peer is silent in the middle of a body", async () => {
    const aborted = gate<Error>();
    const connection = silent(aborted.resolve);
    connection.receive(traffic().begin({ keep: true }).params(post).stdin("half"));
    endsAfter(connection, 150);
    assert.equal((await aborted.promise).name, "AbortError");
    assert.deepEqual(connection.errors, [
      "a connection: Closed a connection: the web server sent nothing for 150 s in the middle of a request",
    ]);
  });

  test("ends a connection whose peer is silent in the middle of the params, or of a record", () => {
    for (const bytes of [traffic().begin().openParams(post).bytes(), traffic().begin().bytes().slice(0, 5)]) {
      const connection = silent();
      connection.served.data(bytes);
      endsAfter(connection, 150);
    }
  });

  test("starts again with whatever arrives", () => {
    const connection = silent();
    connection.receive(traffic().begin({ keep: true }).params(post));
    for (let i = 0; i < 10; i++) {
      connection.pass(125);
      connection.receive(traffic().stdin("x"));
    }
    assert.equal(connection.state, "open");
    connection.destroy();
  });

  test("does not concern an application that takes its time", () => {
    const connection = silent();
    connection.receive(traffic().get("/", { keep: true }));
    connection.pass(100_000);
    assert.equal(connection.state, "open");
    connection.destroy();
  });

  test("does not concern a peer that is made to wait by the application", () => {
    const connection = new MemoryConnection(() => new Promise(() => {}), { limits: { ...limits, maxUnread: 1000 } });
    connection.receive(traffic().begin({ keep: true }).params(post).stdin("x".repeat(5000)));
    assert.equal(connection.paused, true);
    connection.pass(100_000);
    assert.equal(connection.state, "open");
    connection.destroy();
  });

  test("counts from when the application has read, not from when the peer was made to wait", async () => {
    const [read, seen] = [gate(), gate()];
    const connection = new MemoryConnection(async (request) => {
      await read.promise;
      await request.body!.getReader().read();
      seen.resolve();
      return new Promise<Response>(() => {});
    }, { limits: { ...limits, maxUnread: 1000 } });
    connection.receive(traffic().begin({ keep: true }).params(post).stdin("x".repeat(5000)));
    connection.pass(100_000);
    read.resolve();
    await seen.promise;
    assert.equal(connection.paused, false);
    endsAfter(connection, 150);
  });
});

describe("writeTimeout", () => {
  test("ends a connection whose peer takes nothing of the response", async () => {
    const connection = new MemoryConnection(() => new Response("x"), { limits });
    connection.full = true;
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    endsAfter(connection, 200);
    assert.deepEqual(connection.errors, ["a connection: Closed a connection: the web server took nothing for 200 s"]);
  });

  test("starts again when the peer has taken something", async () => {
    const connection = new MemoryConnection(() => new Response("x"), { limits });
    for (let i = 1; i <= 5; i++) {
      connection.full = true;
      connection.receive(traffic().get("/", { keep: true }));
      await connection.answered(i);
      connection.pass(150);
      connection.drain();
    }
    assert.equal(connection.state, "open");
  });

  test("ends a connection that was given to another protocol, if its peer takes nothing", async () => {
    const handler: Handler = (request, info) => info.upgradeWebSocket(request, { idleTimeout: 0 }).response;
    const connection = new MemoryConnection(handler, { limits, protocol: "http" });
    connection.receive(
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    await connection.until("it is open", () => connection.text.startsWith("HTTP/1.1 101 "));
    connection.unsent = false;
    connection.pass(100_000);
    assert.equal(connection.state, "open");
    connection.unsent = true;
    connection.pass(150);
    connection.drain();
    endsAfter(connection, 200);
  });

  test("and not lingerTimeout is what counts while an early answer has not been taken", async () => {
    const connection = new MemoryConnection(() => new Response("no", { status: 413 }), { limits });
    connection.full = true;
    connection.receive(traffic().begin().params(post).stdin("half"));
    await connection.answered();
    assert.equal(connection.state, "shut down");
    endsAfter(connection, 200, "shut down");
  });
});

describe("idleTimeout", () => {
  test("closes a connection without a request, in silence", async () => {
    const connection = new MemoryConnection(() => new Response("x"), { limits });
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    endsAfter(connection, 1000, "open", "closed");
    assert.deepEqual(connection.errors, []);
  });

  test("closes a connection that never said anything", () => {
    const connection = silent();
    connection.pass(1005);
    assert.equal(connection.state, "closed");
  });

  test("starts again with each request", async () => {
    const connection = new MemoryConnection(() => new Response("x"), { limits });
    for (let i = 1; i <= 3; i++) {
      connection.pass(900);
      connection.receive(traffic().get("/", { keep: true }));
      await connection.answered(i);
    }
    assert.equal(connection.state, "open");
  });
});

describe("lingerTimeout", () => {
  async function answeredEarly(): Promise<MemoryConnection> {
    const connection = new MemoryConnection(() => new Response("no", { status: 413 }), { limits });
    connection.receive(traffic().begin().params(post).stdin("half"));
    await connection.answered();
    return connection;
  }

  test("closes a connection whose peer does not close it after an early answer, in silence", async () => {
    const connection = await answeredEarly();
    // Not by a reset: the kernel may still have much of the response for a slow peer.
    endsAfter(connection, 20, "shut down", "closed");
    assert.deepEqual(connection.errors, []);
  });

  test("does not differ from the end of a shutdown, which resets nobody who has all of the response", async () => {
    for (const [unsent, state] of [[false, "closed"], [true, "destroyed"]] as const) {
      const connection = await answeredEarly();
      connection.unsent = unsent;
      connection.served.shutDown();
      assert.equal(connection.state, "shut down");
      connection.served.cutOff("The grace is over");
      assert.equal(connection.state, state);
      assert.deepEqual(connection.errors, []);
    }
  });

  test("starts again with whatever arrives", async () => {
    const connection = await answeredEarly();
    for (let i = 0; i < 5; i++) {
      connection.pass(15);
      connection.receive(traffic().stdin("more"));
    }
    assert.equal(connection.state, "shut down");
    connection.destroy();
  });
});

describe("over HTTP", () => {
  const head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
  const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  const open = (handler: Handler) => new MemoryConnection(handler, { limits, protocol: "http" });

  for (const [where, sent] of [["head", "GET / HTTP/1.1\r\nHo"], ["body", `${head}half`]]) {
    test(`readTimeout ends a connection whose peer is silent in the middle of the ${where}`, () => {
      const connection = open(() => new Promise(() => {}));
      connection.receive(sent);
      endsAfter(connection, 150);
      assert.deepEqual(connection.errors, [
        "a connection: Closed a connection: the web server sent nothing for 150 s in the middle of a request",
      ]);
    });
  }

  test("no timeout concerns an application that takes its time, or events that are far apart", async () => {
    const go = gate();
    const connection = open(async () => {
      await go.promise;
      return new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1)) }));
    });
    connection.receive(get);
    connection.pass(100_000);
    go.resolve();
    await connection.until("the response begins", () => connection.text.includes("1\r\n\0\r\n"));
    connection.pass(100_000);
    assert.equal(connection.state, "open");
    connection.destroy();
  });

  test("writeTimeout ends a connection whose peer takes nothing of the response", async () => {
    const connection = open(() => new Response("x"));
    connection.full = true;
    connection.receive(get);
    await connection.until("the response is there", () => connection.text.endsWith("x"));
    endsAfter(connection, 200);
  });

  test("idleTimeout closes a connection without a request, used before or not, in silence", async () => {
    const [used, unused] = [open(() => new Response("x")), open(() => new Response("x"))];
    used.receive(get);
    await used.until("the response is there", () => used.text.endsWith("x"));
    for (const connection of [used, unused]) {
      endsAfter(connection, 1000, "open", "closed");
      assert.deepEqual(connection.errors, []);
    }
  });

  test("lingerTimeout closes a connection whose peer does not close it after an early answer that is the last", async () => {
    const connection = open(() => new Response("no", { status: 413 }));
    connection.receive(head.replace("Host: h", "Host: h\r\nConnection: close"));
    await connection.until("the response is there", () => connection.text.endsWith("no"));
    await connection.until("our side is closed", () => connection.state === "shut down");
    endsAfter(connection, 20, "shut down", "closed");
  });
});
