/** Responses of bytes in memory, whose memory is used again: nobody ever sees those of another response. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../support/bytes.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { startSite } from "../support/peer.ts";

const LENGTH = 64 * 1024;
const filled = (value: number) => new Uint8Array(LENGTH).fill(value);
const isFilled = (bytes: Uint8Array, value: number) => bytes.length === LENGTH && bytes.every((byte) => byte === value);

for (const protocol of Object.keys(protocols) as ListeningProtocol[]) {
  describe(`a Response of bytes over ${protocol}`, () => {
    test("leaves its clones, the application's bytes and later responses as they are", async () => {
      const kept: Response[] = [];
      const source = filled(0);
      await using site = await startSite((request) => {
        const value = Number(new URL(request.url).pathname.slice(1));
        const response = new Response(source.fill(value));
        kept.push(response.clone());
        // As one that uses its buffer again.
        source.fill(255);
        return response;
      }, { protocol });
      for (let i = 1; i <= 20; i++) {
        const { bytes } = await site.ask(`/${i}`);
        assert.ok(isFilled(bytes, i), `response ${i} begins with ${toHex(bytes.subarray(0, 8))}`);
      }
      for (const [i, clone] of kept.entries()) assert.ok(isFilled(await clone.bytes(), i + 1), `clone ${i + 1}`);
      assert.ok(isFilled(source, 255));
    });

    test("of a class that returns bytes that it keeps leaves them to it", async () => {
      const own = filled(7);
      class Kept extends Response {
        override arrayBuffer(): Promise<ArrayBuffer> {
          return Promise.resolve(own.buffer);
        }
      }
      await using site = await startSite(() => new Kept(filled(8)), { protocol });
      for (let i = 0; i < 3; i++) assert.ok(isFilled((await site.ask("/")).bytes, 8));
      assert.ok(isFilled(own, 7));
    });

    test("waits for a peer that reads late, and is lost with one that leaves, while others get theirs", async () => {
      await using site = await startSite(
        (request) => new Response(filled(Number(new URL(request.url).pathname.slice(1)))),
        { protocol },
      );
      const late = await Promise.all(Array.from({ length: 8 }, () => site.connect({ protocol })));
      for (const [i, peer] of late.entries()) {
        peer.pause();
        peer.get(`/${i}`, { keep: false });
      }
      for (let i = 100; i < 120; i++) assert.ok(isFilled((await site.ask(`/${i}`)).bytes, i));
      for (const peer of late.slice(4)) peer.destroy();
      for (let i = 120; i < 140; i++) assert.ok(isFilled((await site.ask(`/${i}`)).bytes, i));
      for (const [i, peer] of late.slice(0, 4).entries()) {
        peer.resume();
        const { chunks } = await peer.answer();
        assert.ok(isFilled(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()), i));
      }
    });
  });
}

test("more of them than the kernel takes arrive as they are when the peer reads at last", async () => {
  const count = 24;
  await using site = await startSite((request) => new Response(filled(Number(new URL(request.url).pathname.slice(1)))));
  const peer = await site.connect();
  peer.pause();
  for (let id = 1; id <= count; id++) peer.get(`/${id}`, { id, keep: true });
  // They use the memory that the ones that wait must not be in.
  for (let i = 100; i < 150; i++) assert.ok(isFilled((await site.ask(`/${i}`)).bytes, i));
  peer.resume();
  for (let id = 1; id <= count; id++) {
    const { chunks } = await peer.answer(id);
    assert.ok(isFilled(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()), id), `response ${id}`);
  }
});
