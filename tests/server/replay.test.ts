import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Handler } from "../../src/server/handler.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { replay } from "../../src/server/replay.ts";
import { bytes, concat, fixture, pattern, text } from "../support/bytes.ts";
import { paramsOf } from "../support/peer.ts";

/** Replays and collects what was sent and what went wrong. */
async function replayed(sent: Uint8Array, handler: Handler) {
  const answers: Uint8Array[] = [];
  const errors: string[] = [];
  const result = await replay(sent, {
    handler,
    onError: (error) => void errors.push(error.message),
    onSent: (answer) => answers.push(answer),
  });
  return { ...result, errors, answer: text(concat(...answers)) };
}

describe("a replay", () => {
  for (const protocol of Object.keys(protocols) as ListeningProtocol[]) {
    test(`serves what a client of ${protocol} sends`, async () => {
      const body = pattern(3000);
      const client = protocols[protocol].client({});
      const request = client.request(1, paramsOf("/a", { REQUEST_METHOD: "POST", CONTENT_LENGTH: "3000" }));
      const sent = concat(request, client.body(1, body), client.bodyEnd(1));
      const result = await replayed(sent, async (request) => new Response(`got ${(await request.bytes()).length}`));
      assert.ok(result.answer.includes("got 3000"), result.answer);
      assert.deepEqual([result.answered, result.cut, result.errors], [1, false, []]);
    });

    test(`of ${protocol} that ends in the middle of a request is reported as cut`, async () => {
      const client = protocols[protocol].client({});
      const begin = client.request(1, paramsOf("/a", { REQUEST_METHOD: "POST", CONTENT_LENGTH: "3000" }));
      const inBody = await replayed(
        concat(begin, client.body(1, pattern(100))),
        async (request) => new Response(await request.text()),
      );
      assert.deepEqual([inBody.answered, inBody.cut], [1, true]);
      const inHead = await replayed(begin.slice(0, 10), () => new Response());
      assert.deepEqual([inHead.answered, inHead.cut], [0, true]);
    });
  }

  test("serves one request after the other on a connection, and several at once", async () => {
    const names = ["nginx-fcgi-keepconn-seq3", "apache-mod_jk-seq3", "haproxy-fcgi-mpx-par8"];
    const counts = [];
    for (const name of names) counts.push((await replayed(fixture(name), () => new Response("ok"))).answered);
    assert.deepEqual(counts, [3, 3, 9]);
  });

  test("reports bytes that are not a request", async () => {
    const { answered, errors } = await replayed(bytes("\x02\x01\x00\x01\x00\x00\x00\x00"), () => new Response());
    assert.equal(answered, 0);
    assert.match(errors[0], /^Closed a connection: /);
  });
});
