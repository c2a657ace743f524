import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { closeDescriptor, copyDescriptor, prepareDescriptors } from "../../src/runtime/descriptor.ts";
import { bindFor } from "../../src/runtime/listen.ts";
import type { Limits } from "../../src/server/limits.ts";
import type { Address } from "../../src/runtime/socket.ts";
import { serveWorker as serve, type WorkerServer as Server } from "../../src/server/serve.ts";
import { ask, folder, gate, turns } from "../support/peer.ts";
import { until } from "../support/program.ts";

const { deno, bun } = process.versions;
/** Servers that share a listening socket, as workers do. */
async function share(
  count: number,
  concurrency: number | undefined,
  handler: (server: number) => Promise<Response> | Response,
  limits: Partial<Limits> = {},
) {
  const place = folder();
  await prepareDescriptors();
  const bound = await bindFor({ transport: "unix", path: place.join("s") });
  const fd = copyDescriptor(bound.fd)!;
  bound.release();
  const servers: Server[] = [];
  for (let i = 0; i < count; i++) {
    servers.push(await serve({ fd, shared: true, concurrency, limits }, () => handler(i)));
  }
  return {
    address: bound.address,
    servers,
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server.shutdown(0)));
      closeDescriptor(fd);
      place[Symbol.dispose]();
    },
  };
}

const get = async (address: Address) => (await ask(address)).text;

describe("serve() with concurrency", { skip: !deno && !bun && "Node can share descriptors 0 to 2 only: see tests/cli" }, () => {
  test("counts work after the response", async () => {
    const work = gate();
    const place = folder();
    await prepareDescriptors();
    const bound = await bindFor({ transport: "unix", path: place.join("s") });
    const fd = copyDescriptor(bound.fd)!;
    bound.release();
    const server = await serve({ fd, shared: true, concurrency: 1 }, (_request, info) => {
      info.waitUntil(work.promise);
      return new Response("done");
    });
    assert.equal(await get(bound.address), "done");
    let answered = false;
    const second = get(bound.address).then((text) => (answered = true, text));
    await turns(20);
    assert.equal(answered, false);
    work.resolve();
    assert.equal(await second, "done");
    await server.shutdown(0);
    closeDescriptor(fd);
    place[Symbol.dispose]();
  });

  for (const stops of [false, true]) {
    const end = stops ? "a shutdown answers them" : "are served when there is room";
    test(`connections above maxConnections wait, and ${end}`, async () => {
      let inFlight = 0;
      const most = 5;
      const release = gate();
      await using shared = await share(1, undefined, async () => {
        inFlight++;
        await release.promise;
        inFlight--;
        return new Response("answered");
      }, { maxConnections: most });
      let lost = 0;
      const asked = Array.from({ length: 4 * most }, () => get(shared.address).catch(() => void lost++));
      await until("there are as many as may be", () => inFlight === most);
      await turns(20);
      assert.equal(inFlight, most);
      if (stops) {
        // What it has not accepted is left to others, of which there are none.
        const stopped = shared.servers[0].shutdown(30, true);
        release.resolve();
        await stopped;
        assert.deepEqual({ inFlight, lost }, { inFlight: 0, lost: 0 });
        return;
      }
      release.resolve();
      for (const text of await Promise.all(asked)) assert.equal(text, "answered");
    });
  }

  test("leaves connections to others, and to itself for later", async () => {
    const release = gate();
    const inFlight = [0, 0];
    await using shared = await share(2, 2, async (server) => {
      inFlight[server]++;
      await release.promise;
      inFlight[server]--;
      return new Response(`${server}`);
    });
    const asked: Promise<string>[] = [];
    // One by one, since Deno accepts all that wait before it reports the first.
    for (let i = 1; i <= 4; i++) {
      asked.push(get(shared.address));
      await until("it is in flight", () => inFlight[0] + inFlight[1] === i);
    }
    for (let i = 0; i < 8; i++) asked.push(get(shared.address));
    await turns(20);
    assert.deepEqual(inFlight, [2, 2]);
    release.resolve();
    const answers = await Promise.all(asked);
    assert.equal(answers.length, 12);
    assert.equal(new Set(answers).size, 2);
  });

  test("loses nothing, however often it pauses", async () => {
    await using shared = await share(2, 1, () => new Response("answered"));
    for (let i = 0; i < 20; i++) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => get(shared.address)));
      assert.ok(answers.every((text) => text === "answered"));
    }
  });

  test("a shutdown leaves to others what it has not accepted, and answers the rest", async () => {
    await using shared = await share(2, undefined, () => new Response("answered"));
    let over = false;
    const visitors = Array.from({ length: 8 }, async () => {
      let count = 0;
      for (; !over; count++) assert.equal(await get(shared.address), "answered");
      return count;
    });
    await turns(10);
    await shared.servers[0].shutdown(5, true);
    await turns(10);
    over = true;
    for (const count of await Promise.all(visitors)) assert.ok(count > 0);
  });
});
