import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import type { Handler } from "../../src/server/handler.ts";
import { bytes, concat, text } from "../support/bytes.ts";
import { MemoryConnection } from "../support/memory.ts";
import { gate, startSite, turns } from "../support/peer.ts";
import { records, traffic } from "../support/traffic.ts";

/** Reads all before it answers. */
const store: Handler = async (request) => new Response(await request.bytes());

describe("requests", () => {
  test("several on one connection are answered as they become ready", async () => {
    const gates = [gate(), gate(), gate(), gate()];
    await using site = await startSite(async (request) => {
      const number = Number(new URL(request.url).pathname.slice(1));
      await gates[number].promise;
      return new Response(`answer ${number}`);
    });
    const peer = await site.connect();
    for (let i = 0; i < 4; i++) peer.get(`/${i}`, { id: i + 1, keep: true });
    for (const number of [2, 0, 3, 1]) {
      gates[number].resolve();
      assert.equal((await peer.answer(number + 1)).text, `answer ${number}`);
    }
    assert.deepEqual(peer.finished, [3, 1, 4, 2]);
  });

  test("bodies that arrive in turns on one connection do not mix", async () => {
    await using site = await startSite(store);
    const peer = await site.connect();
    const post = { keep: true, params: { REQUEST_METHOD: "POST" } };
    for (const id of [1, 2, 3]) peer.begin("/", { ...post, id });
    for (let i = 0; i < 50; i++) {
      for (const id of [1, 2, 3]) peer.body(`${id}`, id);
    }
    for (const id of [3, 1, 2]) peer.bodyEnd(id);
    for (const id of [1, 2, 3]) assert.equal((await peer.answer(id)).text, `${id}`.repeat(50));
  });

  test("the connection stays while a request that is not to be kept waits for another one", async () => {
    const slow = gate();
    await using site = await startSite(async (request) => {
      if (request.url.endsWith("/slow")) await slow.promise;
      return new Response(new URL(request.url).pathname);
    });
    const peer = await site.connect();
    peer.get("/slow", { id: 1, keep: true });
    peer.get("/quick", { id: 2, keep: false });
    await peer.answer(2);
    assert.equal(peer.ended, false);
    slow.resolve();
    assert.equal((await peer.answer(1)).text, "/slow");
    await peer.gone();
  });

  test("a request can be cloned, read twice and passed on", async () => {
    await using site = await startSite(async (request) => {
      const copy = request.clone();
      return new Response(await request.text() + await new Request(copy).text());
    });
    const answer = await site.ask(
      "/",
      { REQUEST_METHOD: "POST" },
      (async function* () {
        yield bytes("ab");
      })(),
    );
    assert.equal(answer.text, "abab");
  });

  test("memory that an application transfers is not shared with others", async () => {
    const post = { REQUEST_METHOD: "POST", REQUEST_URI: "/" };
    const results: string[] = [];
    const connection = new MemoryConnection(async (request) => {
      let found = "";
      for await (const piece of request.body!) {
        // As a stream of bytes does with what it is given, or postMessage.
        const own = structuredClone(piece, { transfer: [piece.buffer] });
        found += `${own.length}${text(own.subarray(0, 1))} `;
      }
      results.push(found.trim());
      return new Response();
    }, { limits: { maxUnread: 64 * 1024 } });
    const piece = (letter: string) => bytes(letter.repeat(5000));
    connection.receive(
      traffic().begin({ id: 1, keep: true }).params(post, { id: 1 }).begin({ id: 2, keep: true }).params(post, { id: 2 }),
    );
    for (let i = 0; i < 10; i++) {
      const pieces = traffic().stdin(piece("a"), { id: 1 }).stdin(piece("x"), { id: 2 }).stdin(piece("b"), { id: 1 })
        .stdin(piece("y"), { id: 2 });
      // A Buffer as sockets give it, whose slice() copies nothing.
      connection.served.data(Buffer.from(pieces.bytes()));
      await turns(1);
    }
    connection.receive(traffic().stdin("", { id: 1 }).stdin("", { id: 2 }));
    await connection.answered(2);
    assert.deepEqual(results.sort(), [
      Array(10).fill("5000a 5000b").join(" "),
      Array(10).fill("5000x 5000y").join(" "),
    ]);
    // What is held is counted to nothing again, or the connection would stop in time.
    connection.receive(traffic().begin().params(post).stdin(piece("a").subarray(0, 2000)));
    assert.equal(connection.paused, false);
    connection.receive(traffic().stdin(""));
    await connection.answered(3);
    assert.deepEqual(connection.errors, []);
  });
});

describe("the way a response leaves", () => {
  const responses: [what: string, handler: Handler, body: string][] = [
    ["text", () => new Response("hello"), "hello"],
    ["text that comes later", () => Promise.resolve(new Response("hello")), "hello"],
    ["bytes", () => new Response(bytes("hello") as Uint8Array<ArrayBuffer>), "hello"],
    ["no body", () => new Response(null), ""],
    ["60,000 bytes", () => new Response("x".repeat(60_000)), "x".repeat(60_000)],
    ["a stream whose chunks are there already", () => new Response(ReadableStream.from([bytes("hel"), bytes("lo")])), "hello"],
  ];
  for (const [what, handler, body] of responses) {
    test(`${what} goes with head and end in one write`, async () => {
      const connection = new MemoryConnection(handler);
      connection.receive(traffic().get("/", { keep: true }));
      await connection.answered();
      assert.equal(connection.writes.length, 1);
      const [stdout] = records(connection.writes[0]);
      assert.equal(stdout.type, 6);
      assert.equal(text(stdout.content).split("\r\n\r\n")[1], body);
    });
  }

  test("the whole head is in the first STDOUT record, however long it is", async () => {
    const connection = new MemoryConnection(() =>
      new Response("x".repeat(200_000), { headers: { "x-long": "y".repeat(60_000) } })
    );
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    const stdout = records(concat(...connection.writes)).filter(({ type }) => type === 6).map(({ content }) => text(content));
    assert.match(stdout[0], /^[^]*x-long: y{60000}\r\n[^]*Status: 200 OK\r\n\r\n/);
    assert.equal(stdout.join("").split("\r\n\r\n")[1].length, 200_000);
  });

  test("two requests that arrive in one read are both answered", async () => {
    const connection = new MemoryConnection((request) => new Response(new URL(request.url).pathname));
    connection.receive(traffic().get("/a", { id: 1, keep: true }).get("/b", { id: 2, keep: true }));
    await connection.answered(2);
    assert.equal(connection.lines.filter((line) => /^stdout \d [^]*\/[ab]$/.test(line)).length, 2);
  });
});
