import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ask, folder, Peer, turns } from "../support/peer.ts";
import { program, type Running, startServing } from "../support/program.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const timeout = 60_000;
/**
 * How much a server may grow, however much passes through it, once as much has passed through it before. V8 collects when
 * it likes.
 */
const ROOM = (/bun|binary/.test(program().name) ? 48 : 96) * MIB;
/** How much the first may take: V8 lets buffers gather, and to collect them sooner would stop all requests for too long. */
const FIRST_ROOM = 192 * MIB;

/** Counts what is sent to it, and sends as much as it is asked for. */
const app = `
const piece = new Uint8Array(64 * 1024).fill(120);

async function count(request: Request): Promise<Response> {
  let length = 0;
  for await (const chunk of request.body ?? []) length += chunk.length;
  return new Response(String(length));
}

function send(length: number): Response {
  let left = length;
  return new Response(new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      controller.enqueue(piece);
      left -= piece.length;
    },
  }));
}

export default {
  fetch(request: Request) {
    if (request.url.endsWith("/pid")) return new Response(String(process.pid));
    return request.method === "POST" ? count(request) : send(Number(new URL(request.url).searchParams.get("length")));
  },
};
`;

const { name } = program();

const skip = !existsSync("/proc/self/status") && "without /proc nobody says how much memory a process has";

describe(`the memory of a server (${name})`, { skip }, () => {
  const place = folder();
  const address = { transport: "unix", path: place.join("s") } as const;
  let server: Running;
  /** The process that serves. */
  let worker: string;

  /** What it takes once it has done everything before. */
  let level = 0;

  before(async () => {
    writeFileSync(place.join("app.ts"), app);
    server = await startServing({ socket: address.path }, ["app.ts", "threads=1"], { cwd: place.path });
    worker = (await ask(address, "/pid")).text;
    for (let i = 0; i < 500; i++) await ask(address, "/?length=10000");
    const idle = resident();
    await upload(GIB);
    level = resident();
    assert.ok(level - idle < FIRST_ROOM, `the first upload took ${Math.round((level - idle) / MIB)} MiB`);
  }, { timeout });

  after(async () => {
    await server.stop();
    place[Symbol.dispose]();
  });

  function resident(): number {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${worker}/status`, "utf8"))![1]) * 1024;
  }

  /** The most that the server takes during something. */
  async function peak(run: () => Promise<void>): Promise<number> {
    let most = resident();
    const timer = setInterval(() => most = Math.max(most, resident()), 10);
    try {
      await run();
    } finally {
      clearInterval(timer);
    }
    return Math.max(most, resident());
  }

  async function assertSteady(run: () => Promise<void>): Promise<void> {
    const grown = await peak(run) - level;
    assert.ok(grown < ROOM, `it grew by ${Math.round(grown / MIB)} MiB`);
  }

  const piece = new Uint8Array(MIB).fill(120);

  async function upload(length: number): Promise<void> {
    const peer = await Peer.connect(address);
    peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
    const records = peer.codec.body(1, piece);
    for (let sent = 0; sent < length; sent += piece.length) {
      if (!peer.send(records)) await peer.sent();
    }
    peer.bodyEnd();
    assert.equal((await peer.answer()).text, String(length), server.stderr());
    peer.destroy();
  }

  test("stays as it is while an upload of 1 GiB passes through", { timeout }, async () => {
    await assertSteady(() => upload(GIB));
  });

  test("stays as it is while a download of 1 GiB passes through", { timeout }, async () => {
    await assertSteady(async () => {
      const peer = await Peer.connect(address, { forget: true });
      const response = peer.get(`/?length=${GIB}`);
      while (!response.end) {
        await turns(5);
        assert.equal(peer.closed, false);
      }
      assert.equal(response.length, GIB);
      peer.destroy();
    });
  });

  test("stays as it is while a download of 1 GiB waits for each of 20 visitors who do not read", { timeout }, async () => {
    await assertSteady(async () => {
      const peers = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(address, { forget: true })));
      for (const peer of peers) {
        peer.get(`/?length=${GIB}`);
        peer.pause();
      }
      await turns(100);
      for (const peer of peers) peer.destroy();
    });
  });
});
