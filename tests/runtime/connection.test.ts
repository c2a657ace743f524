import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createConnection, type Socket } from "node:net";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { listen } from "../../src/runtime/listen.ts";
import { connect } from "../../src/runtime/node.ts";
import type { Address, Connection, ConnectionHandler, Listener } from "../../src/runtime/socket.ts";
import { concat, pattern, text } from "../support/bytes.ts";
import { Changing, folder, soon, transports, turns } from "../support/peer.ts";

const MIB = 1024 * 1024;
/** Making it takes a while. */
const piece = pattern(MIB);

/** What a connection told the server, and the connection itself. */
class Told extends Changing implements ConnectionHandler {
  readonly chunks: Uint8Array[] = [];
  length = 0;
  drains = 0;
  readonly events: string[] = [];
  readonly connection: Connection;

  constructor(connection: Connection) {
    super();
    this.connection = connection;
  }

  data(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.length += bytes.length;
    if (this.events.at(-1) !== "data") this.events.push("data");
    this.changed();
  }

  end(): void {
    this.events.push("end");
    this.changed();
  }

  drain(): void {
    this.drains++;
    this.changed();
  }

  close(): void {
    this.events.push("close");
    this.changed();
  }

  saw(event: string): Promise<boolean> {
    return this.until(`the server sees ${event}`, () => this.events.includes(event));
  }
}

/** A listening server of the runtime under test and one connection to it. */
class Pair extends Changing implements AsyncDisposable {
  readonly #place = folder();
  #listener!: Listener;
  /** The server's side. */
  server!: Told;
  /** The other side: a plain socket. */
  socket!: Socket;
  received: Uint8Array[] = [];
  length = 0;
  ended = false;
  closed = false;

  static async open(transport: "unix" | "tcp"): Promise<Pair> {
    const pair = new Pair();
    const endpoint: Address = transport === "unix"
      ? { transport, path: pair.#place.join("s") }
      : { transport, hostname: "127.0.0.1", port: 0 };
    pair.#listener = await listen(endpoint, (connection) => {
      pair.server = new Told(connection);
      pair.changed();
      return pair.server;
    });
    const { address } = pair.#listener;
    pair.socket = createConnection(
      address.transport === "unix"
        ? { path: address.path, allowHalfOpen: true }
        : { host: address.hostname, port: address.port, allowHalfOpen: true, noDelay: true },
    );
    pair.socket.on("data", (bytes: Uint8Array) => {
      pair.received.push(bytes);
      pair.length += bytes.length;
      pair.changed();
    });
    pair.socket.on("end", () => {
      pair.ended = true;
      pair.changed();
    });
    pair.socket.on("drain", () => pair.changed());
    pair.socket.on("error", () => {});
    pair.socket.on("close", () => {
      pair.closed = true;
      pair.changed();
    });
    await pair.until("the connection is accepted", () => pair.server);
    return pair;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    this.#listener.close();
    this.server.connection.destroy();
    await this.server.saw("close");
    this.#place[Symbol.dispose]();
  }
}

function digest(...parts: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

for (const transport of transports) {
  describe(`a connection over ${transport}`, () => {
    test("gives what arrives, then its end, then that it is gone, once each", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.end("hello");
      await pair.server.saw("end");
      assert.equal(text(concat(...pair.server.chunks)), "hello");
      pair.server.connection.close();
      await pair.server.saw("close");
      assert.deepEqual(pair.server.events, ["data", "end", "close"]);
    });

    test("bytes stay what they were when more arrive", async () => {
      await using pair = await Pair.open(transport);
      const sent = concat(piece, piece, piece);
      pair.socket.write(sent);
      await pair.server.until("all has arrived", () => pair.server.length === sent.length);
      assert.equal(digest(...pair.server.chunks), digest(sent));
    });

    test("can still be written to when the peer has ended its side", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.end("question");
      await pair.server.saw("end");
      pair.server.connection.write(new TextEncoder().encode("answer"));
      pair.server.connection.close();
      await pair.until("the answer is there", () => pair.ended);
      assert.equal(text(concat(...pair.received)), "answer");
    });

    test("shutdown() ends its side behind what was written, and goes on reading", async () => {
      await using pair = await Pair.open(transport);
      const sent = concat(piece, piece, piece);
      pair.server.connection.write(sent);
      pair.server.connection.shutdown();
      await pair.until("the end is there", () => pair.ended);
      assert.equal(digest(...pair.received), digest(sent));
      pair.socket.end("still here");
      // With both sides ended, some runtimes close at once.
      await pair.server.until("the server sees the end", () => pair.server.events.length > 1);
      assert.equal(text(concat(...pair.server.chunks)), "still here");
    });

    test("close() sends what was written first", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.pause();
      // More than the kernel's buffers hold.
      const sent = concat(...Array.from({ length: 20 }, () => piece));
      assert.equal(pair.server.connection.write(sent), false);
      pair.server.connection.close();
      await turns();
      pair.socket.resume();
      await pair.until("the end is there", () => pair.ended);
      assert.equal(digest(...pair.received), digest(sent));
    });

    test("close() closes both directions, whether the peer does or not", async () => {
      await using pair = await Pair.open(transport);
      pair.server.connection.write(new Uint8Array(10));
      pair.server.connection.close();
      await pair.server.saw("close");
    });

    test("close() after shutdown() closes", async () => {
      await using pair = await Pair.open(transport);
      pair.server.connection.shutdown();
      await pair.until("the end is there", () => pair.ended);
      pair.server.connection.close();
      await pair.server.saw("close");
    });

    test("destroy() drops what was not sent", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.pause();
      pair.server.connection.write(new Uint8Array(20 * MIB));
      pair.server.connection.destroy();
      await pair.server.saw("close");
      pair.socket.resume();
      await pair.until("the socket is closed", () => pair.closed || pair.ended);
      assert.ok(pair.length < 10 * MIB, `${pair.length} bytes arrived`);
    });

    if (transport === "tcp") {
      test("destroy() is a reset, so that what has arrived is not taken for all", async () => {
        await using pair = await Pair.open(transport);
        const errors: (string | undefined)[] = [];
        pair.socket.on("error", (error: NodeJS.ErrnoException) => errors.push(error.code));
        pair.server.connection.write(new Uint8Array(10));
        await pair.until("the bytes are there", () => pair.length === 10);
        pair.server.connection.destroy();
        await pair.until("the socket is closed", () => pair.closed);
        assert.deepEqual(errors, ["ECONNRESET"]);
      });
    }

    test("nothing is told after close", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.write(new Uint8Array(MIB));
      await pair.server.saw("data");
      pair.server.connection.destroy();
      await pair.server.saw("close");
      pair.socket.write(new Uint8Array(10));
      await turns();
      assert.equal(pair.server.events.at(-1), "close");
      assert.equal(pair.server.events.filter((event) => event === "close").length, 1);
    });

    test("writing, pausing and closing a connection that is gone does no harm", async () => {
      await using pair = await Pair.open(transport);
      const { connection } = pair.server;
      pair.socket.destroy();
      connection.destroy();
      await pair.server.saw("close");
      connection.write(new Uint8Array(10));
      connection.pause();
      connection.resume();
      connection.shutdown();
      connection.close();
      connection.destroy();
      await turns();
      assert.equal(pair.server.events.filter((event) => event === "close").length, 1);
    });

    test("write() says when to wait, and drain when to go on", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.pause();
      let written = 0;
      const chunk = new Uint8Array(64 * 1024);
      while (pair.server.connection.write(chunk)) {
        written += chunk.length;
        assert.ok(written < 64 * MIB, "write() never asks to wait");
        await turns(1);
      }
      written += chunk.length;
      assert.equal(pair.server.drains, 0);
      pair.socket.resume();
      await pair.server.until("the server is told to go on", () => pair.server.drains > 0);
      pair.server.connection.close();
      await pair.until("all has arrived", () => pair.ended);
      assert.equal(pair.length, written);
    });

    test("pause() makes the peer wait, and resume() gives the rest", async () => {
      await using pair = await Pair.open(transport);
      pair.server.connection.pause();
      let pieces = 0;
      // What does not fit into the kernel's buffers stays with the peer.
      while (pair.socket.writableLength < 4 * MIB && pieces < 64) {
        pair.socket.write(piece);
        pieces++;
        await turns(1);
      }
      await turns();
      assert.ok(pieces < 64, "the peer never had to wait");
      assert.ok(pair.server.length < MIB, `${pair.server.length} bytes arrived`);
      pair.server.connection.resume();
      await pair.server.until("all has arrived", () => pair.server.length === pieces * MIB);
      assert.equal(digest(...pair.server.chunks), digest(...Array.from({ length: pieces }, () => piece)));
    });

    test("a peer that vanishes is told as gone once something is written", async () => {
      await using pair = await Pair.open(transport);
      pair.socket.destroy();
      await pair.server.saw("end");
      // Over TCP the first write is only answered by a reset, which the second one meets.
      for (let writes = 0; writes < 2; writes++) {
        pair.server.connection.write(new Uint8Array(8));
        await turns();
      }
      await pair.server.saw("close");
    });

    for (const sent of [0, 20 * MIB]) {
      test(`close() closes a paused connection whose peer has gone${sent > 0 ? " without reading" : ""}`, async () => {
        await using pair = await Pair.open(transport);
        const { connection } = pair.server;
        connection.pause();
        pair.socket.pause();
        pair.socket.write(new Uint8Array(1000));
        if (sent > 0) connection.write(new Uint8Array(sent));
        await turns();
        pair.socket.destroy();
        await pair.until("the peer has gone", () => pair.closed);
        await turns();
        connection.close();
        await pair.server.saw("close");
      });
    }
  });
}

/** A connection to a peer in another thread, which goes on when `leave` is called and has gone when that returns. */
async function withLeavingPeer(use: (server: Told, leave: () => void) => Promise<void>): Promise<void> {
  using place = folder();
  const path = place.join("s");
  const state = new Int32Array(new SharedArrayBuffer(8));
  const accepted = Promise.withResolvers<Told>();
  const listener = await listen({ transport: "unix", path }, (connection) => {
    const server = new Told(connection);
    accepted.resolve(server);
    return server;
  });
  const peer = new Worker(new URL("leaving_peer.ts", import.meta.url), { workerData: { path, state } });
  const leave = () => {
    Atomics.store(state, 0, 1);
    // This thread must not send more, nor hear of it, when the peer has read.
    Atomics.wait(state, 1, 0, 30_000);
    assert.equal(Atomics.load(state, 1), 1, "the peer has not left");
  };
  try {
    await use(await accepted.promise, leave);
  } finally {
    listener.close();
    await peer.terminate();
  }
}

describe("a peer that has read all and left while a paused connection has more for it", () => {
  test("is told as gone", () =>
    withLeavingPeer(async (server, leave) => {
      server.connection.pause();
      server.connection.write(new Uint8Array(20 * MIB));
      leave();
      server.connection.close();
      await server.saw("close");
    }));
});

describe("a peer that has left while this thread was busy", () => {
  test("lets nobody write on and on: the event loop has to go on to tell it", () =>
    withLeavingPeer(async (server, leave) => {
      leave();
      let writes = 1;
      while (server.connection.write(new Uint8Array(65_536)) && writes < 100) writes++;
      assert.ok(writes < 100, `${writes} writes, and none asked to wait`);
      server.connection.pause();
      await server.saw("close");
    }));
});

describe("a reset", () => {
  test("is told as gone", async () => {
    await using pair = await Pair.open("tcp");
    pair.socket.write("x");
    await pair.server.saw("data");
    pair.socket.resetAndDestroy();
    await pair.server.saw("close");
  });
});

describe("connecting", () => {
  test("fails when nobody is there", async () => {
    using place = folder();
    const handler: ConnectionHandler = { data() {}, end() {}, drain() {}, close() {} };
    await assert.rejects(soon("a refusal", connect({ transport: "unix", path: place.join("none") }, () => handler)));
  });
});
