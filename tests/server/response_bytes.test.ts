/** Bytes that an application makes a Response of are sent as they were then, whatever becomes of them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { patchGlobals } from "../../src/gateway/patch_globals.ts";
import { runtime } from "../../src/runtime/name.ts";
import type { Handler } from "../../src/server/handler.ts";
import { gate, startSite } from "../support/peer.ts";

patchGlobals();

/** Around the lengths at which memory is dealt with in another way. */
const lengths = [1, 4095, 4096, 5000, 65535, 65536, 65537, 200_000];
const filled = (length: number, value: number) => new Uint8Array(length).fill(value);

for (const protocol of ["fcgi", "http"] as const) {
  describe(`the body of a Response over ${protocol}`, () => {
    const serve = (handler: Handler) => startSite(handler, { protocol });

    test("can be changed as soon as it is made", async () => {
      const scratch = new Uint8Array(200_000);
      await using site = await serve(async (request) => {
        const [, length, value] = new URL(request.url).pathname.split("/").map(Number);
        const response = new Response(scratch.fill(value).subarray(0, length));
        scratch.fill(0);
        if (value % 2) await new Promise(setImmediate);
        return response;
      });
      for (const length of lengths) {
        const answers = await Promise.all([1, 2, 3, 4, 5].map((value) => site.ask(`/${length}/${value}`)));
        for (const [i, { bytes }] of answers.entries()) assert.deepEqual(bytes, filled(length, i + 1));
      }
    });

    test("are those of its own, also when one is made that is sent later", async () => {
      const goOn = gate();
      const made = gate();
      await using site = await serve(async (request) => {
        const value = request.url.endsWith("/late") ? 7 : 8;
        const response = new Response(filled(65_536, value));
        if (value === 7) {
          made.resolve();
          await goOn;
        }
        return response;
      });
      const late = site.ask("/late");
      await made;
      for (let i = 0; i < 3; i++) assert.deepEqual((await site.ask("/")).bytes, filled(65_536, 8));
      goOn.resolve();
      assert.deepEqual((await late).bytes, filled(65_536, 7));
    });

    test("are all there in each clone, and in what was cloned", async () => {
      for (const length of lengths) {
        const kept = new Response(filled(length, 3), { headers: { "x-kept": "1" } });
        await using site = await serve(() => kept.clone());
        for (let i = 0; i < 3; i++) {
          const { bytes, head } = await site.ask();
          assert.deepEqual(bytes, filled(length, 3));
          assert.ok(head.headers.includes("x-kept"));
        }
        assert.deepEqual(await kept.bytes(), filled(length, 3));
      }
    });

    test("are not sent for HEAD, which tells their length", async () => {
      for (const length of lengths) {
        await using site = await serve(() => new Response(filled(length, 3)));
        const { head, bytes } = await site.ask("/", { REQUEST_METHOD: "HEAD" });
        assert.equal(bytes.length, 0);
        const told = head.headers[head.headers.findIndex((name) => name.toLowerCase() === "content-length") + 1];
        assert.equal(told, String(length));
      }
    });

    test("of a text have their length, whatever it is, and are sent again", async () => {
      for (const length of lengths) {
        const kept = new Response("é".repeat(length));
        await using site = await serve(() => kept);
        for (const method of ["GET", "HEAD", "GET"]) {
          const { head, bytes } = await site.ask("/", { REQUEST_METHOD: method });
          const told = head.headers[head.headers.findIndex((name) => name.toLowerCase() === "content-length") + 1];
          assert.equal(told, String(2 * length));
          assert.deepEqual(bytes, method === "HEAD" ? new Uint8Array(0) : new TextEncoder().encode("é".repeat(length)));
        }
      }
    });

    const skip = runtime.name !== "Node" && "other runtimes use a Response up";
    test("are sent again with a Response that is returned again", { skip }, async () => {
      for (const length of lengths) {
        const kept = new Response(filled(length, 3));
        const seen: Response[] = [];
        await using site = await serve((request) => {
          if (request.url.endsWith("/other")) return new Response(filled(length, 4));
          seen.push(kept);
          return kept;
        });
        for (let i = 0; i < 3; i++) {
          assert.deepEqual((await site.ask()).bytes, filled(length, 3));
          assert.deepEqual((await site.ask("/other")).bytes, filled(length, 4));
        }
        assert.deepEqual(await seen[0].bytes(), filled(length, 3));
      }
    });

    test("are sent although somebody has looked at the body", async () => {
      for (const length of lengths) {
        const seen: Response[] = [];
        await using site = await serve(() => {
          const response = new Response(filled(length, seen.length));
          assert.ok(response.body);
          seen.push(response);
          return response;
        });
        for (let i = 0; i < 3; i++) assert.deepEqual((await site.ask()).bytes, filled(length, i));
        if (runtime.name !== "Node" || length > 65_536) continue;
        for (const [i, response] of seen.entries()) assert.deepEqual(await response.bytes(), filled(length, i));
      }
    });
  });
}
