import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bytes, concat, text } from "../support/bytes.ts";
import { MemoryConnection } from "../support/memory.ts";
import { gate, startSite, transports } from "../support/peer.ts";
import { records, traffic } from "../support/traffic.ts";

for (const transport of transports) {
  describe(`a response that comes in pieces, over ${transport}`, () => {
    test("arrives event by event, each before the next is made", async () => {
      const events = 20;
      const seen = Array.from({ length: events }, () => gate());
      await using site = await startSite(() => {
        let made = 0;
        const stream = new ReadableStream({
          async pull(controller) {
            if (made > 0) await seen[made - 1].promise;
            if (made === events) controller.close();
            else controller.enqueue(bytes(`data: ${made++}\n\n`));
          },
        }, { highWaterMark: 0 });
        return new Response(stream, { headers: { "content-type": "text/event-stream" } });
      }, { transport });
      const peer = await site.connect();
      const response = peer.get();
      let expected = "";
      for (let i = 0; i < events; i++) {
        expected += `data: ${i}\n\n`;
        await peer.until(`event ${i} is there`, () => response.text === expected);
        assert.equal(response.end, undefined);
        seen[i].resolve();
      }
      await peer.answer();
      assert.equal(response.text, expected);
      assert.deepEqual(response.header("x-accel-buffering"), ["no"]);
      assert.deepEqual(response.header("content-length"), []);
    });

    test("sends its head before the first chunk is there", async () => {
      const headSeen = gate();
      await using site = await startSite(() => {
        const stream = new ReadableStream({
          async pull(controller) {
            await headSeen.promise;
            controller.enqueue(bytes("late"));
            controller.close();
          },
        });
        return new Response(stream, { status: 202 });
      }, { transport });
      const peer = await site.connect();
      const response = peer.get();
      await peer.until("the head is there", () => response.head);
      assert.equal(response.head?.status, 202);
      headSeen.resolve();
      assert.equal((await peer.answer()).text, "late");
    });

    test("can follow the request body piece by piece", async () => {
      await using site = await startSite((request) => {
        const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
          transform: (chunk, controller) => controller.enqueue(bytes(`[${text(chunk)}]`)),
        });
        request.body!.pipeTo(writable);
        return new Response(readable as ReadableStream<Uint8Array<ArrayBuffer>>);
      }, { transport, duplex: true });
      const peer = await site.connect();
      const response = peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
      let expected = "";
      for (const piece of ["one", "two", "three"]) {
        peer.body(piece);
        expected += `[${piece}]`;
        await peer.until(`${piece} is back`, () => response.text === expected);
      }
      peer.bodyEnd();
      assert.equal((await peer.answer()).text, expected);
    });
  });
}

describe("a stream of text", () => {
  /** Response bodies that are made of these chunks. */
  function bodies(chunks: readonly unknown[]): Record<string, unknown> {
    return {
      "ReadableStream": new ReadableStream({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(chunk);
          controller.close();
        },
      }),
      "ReadableStream, later": new ReadableStream({
        async start(controller) {
          for (const chunk of chunks) {
            controller.enqueue(chunk);
            await new Promise((resolve) => setTimeout(resolve, 0));
          }
          controller.close();
        },
      }),
    };
  }
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  const cases: Record<string, [chunks: unknown[], text: string]> = {
    "words": [["Grüße ", "", "日本"], "Grüße 日本"],
    "text and bytes": [["a", bytesOf("é"), "b"], "aéb"],
    "a character in two pieces": [["x\ud83d", "\ude00y"], "x\u{1f600}y"],
    "half a character at the end": [["x\ud83d"], "x\ufffd"],
    "half a character before bytes": [["x\ud83d", bytesOf("y")], "x\ufffdy"],
    "a buffer and a view": [[bytesOf("ab").buffer, new DataView(bytesOf("xyz").buffer, 1, 1)], "aby"],
    "200,000 characters": [["é".repeat(200_000)], "é".repeat(200_000)],
  };
  for (const protocol of ["fcgi", "scgi", "ajp", "uwsgi", "http"] as const) {
    test(`is UTF-8 over ${protocol}`, async () => {
      for (const [what, [chunks, expected]] of Object.entries(cases)) {
        for (const kind of Object.keys(bodies([]))) {
          await using site = await startSite(() => new Response(bodies(chunks)[kind] as BodyInit), { protocol });
          const answer = await site.ask();
          assert.equal(answer.head.status, 200, `${what}, ${kind}: ${site.errors}`);
          assert.equal(answer.text, expected, `${what}, ${kind}`);
          assert.deepEqual(site.errors, []);
        }
      }
    });
  }

  test("of an async generator is UTF-8", async () => {
    async function* words() {
      yield "Grüße ";
      await Promise.resolve();
      yield "日本";
    }
    await using site = await startSite(() => new Response(words() as unknown as BodyInit));
    assert.equal((await site.ask()).text, "Grüße 日本");
  });
});

describe("the records of a response that comes in pieces", () => {
  test("chunks that are there together leave together", async () => {
    const connection = new MemoryConnection(() => {
      let pulls = 0;
      return new Response(
        new ReadableStream({
          pull: (controller) => pulls++ < 100 ? controller.enqueue(bytes("x".repeat(10))) : controller.close(),
        }, { highWaterMark: 0 }),
      );
    });
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered();
    const stdout = records(concat(...connection.writes)).filter(({ type, content }) => type === 6 && content.length > 0);
    assert.ok(stdout.length <= 3, `${stdout.length} records for 100 chunks`);
    assert.ok(text(concat(...stdout.map(({ content }) => content))).endsWith("x".repeat(1000)));
  });

  /** A response whose head has left, and whose body `late` comes when the gate opens. */
  async function headOf(headers: Record<string, string>) {
    const headSeen = gate();
    const connection = new MemoryConnection(() => {
      const stream = new ReadableStream({
        async pull(controller) {
          await headSeen.promise;
          controller.enqueue(bytes("late"));
          controller.close();
        },
      });
      return new Response(stream, { headers });
    });
    connection.receive(traffic().get("/", { keep: true }));
    await connection.until("the head is there", () => connection.writes.length > 0);
    return { connection, headSeen };
  }

  test("the head is in one record of its own when the body is not there yet", async () => {
    const { connection, headSeen } = await headOf({ "x-a": "1" });
    assert.deepEqual(connection.lines, ["stdout 1 x-a: 1\r\nStatus: 200 OK"]);
    headSeen.resolve();
    await connection.answered();
    assert.deepEqual(connection.lines.slice(1), ["stdout 1 late", "stdout 1", "end 1 \0\0\0\0\0\0\0\0"]);
  });

  test("a declared length stays, since the real one is not known yet", async () => {
    const { connection, headSeen } = await headOf({ "content-length": "4" });
    assert.match(connection.lines[0], /content-length: 4\r\n/);
    headSeen.resolve();
    await connection.answered();
    assert.deepEqual(connection.errors, []);
  });

  test("a declared length that was not kept is logged", async () => {
    const { connection, headSeen } = await headOf({ "content-length": "5" });
    headSeen.resolve();
    await connection.until("it is logged", () => connection.errors.length > 0);
    assert.match(connection.errors[0], /declared a content-length of 5 and had 4 bytes/);
  });

  test("info.completed resolves when the last byte was handed over, not before", async () => {
    const [headSeen, completed] = [gate(), gate<string>()];
    let done = false;
    const connection = new MemoryConnection((_, info) => {
      info.completed.then(() => completed.resolve("completed"));
      completed.promise.then(() => done = true);
      return new Response(
        new ReadableStream({
          async pull(controller) {
            await headSeen.promise;
            controller.close();
          },
        }),
      );
    });
    connection.receive(traffic().get("/", { keep: true }));
    await connection.until("the head is there", () => connection.writes.length > 0);
    assert.equal(done, false);
    headSeen.resolve();
    await connection.answered();
    assert.equal(await completed.promise, "completed");
  });
});
