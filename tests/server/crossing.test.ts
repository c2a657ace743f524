/** Responses and uploads that cross: web servers that do not read while they write, and applications that do not either. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import process from "node:process";
import type { Handler } from "../../src/server/handler.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { body as ajpBody, post as ajpPost } from "../support/ajp.ts";
import { concat, pattern, text } from "../support/bytes.ts";
import { MemoryConnection, type MemoryOptions } from "../support/memory.ts";
import { type Arrived, folder, gate, paramsOf, type Peer, repeated, startSite, transports, turns } from "../support/peer.ts";
import { records, type Traffic, traffic } from "../support/traffic.ts";

const MIB = 1024 * 1024;
const piece = pattern(64 * 1024);
const timeout = 60_000;
const all: readonly ListeningProtocol[] = ["fcgi", "scgi", "uwsgi", "ajp", "http"];

/** What web servers do with a body of so many pieces. */
const webServers: Record<string, (peer: Peer, pieces: number) => Promise<void>> = {
  /** Apache's mod_fcgid and mod_proxy_scgi, Caddy. */
  async "writes everything before it reads"(peer, pieces) {
    peer.pause();
    for (let i = 0; i < pieces; i++) {
      peer.body(piece);
      await peer.sent();
    }
    peer.bodyEnd();
    await peer.sent();
    peer.resume();
  },
  async "writes no more once it has seen a head"(peer, pieces) {
    for (let i = 0; i < pieces; i++) {
      if (peer.response().head) return;
      peer.body(piece);
      await peer.sent();
      await new Promise((resolve) => setImmediate(resolve));
    }
    peer.bodyEnd();
  },
  async "reads while it writes"(peer, pieces) {
    for (let i = 0; i < pieces; i++) {
      peer.body(piece);
      await peer.sent();
    }
    peer.bodyEnd();
  },
  async "sends as it is asked"(peer, pieces) {
    for (let i = 0; i < pieces; i++) {
      for (let at = 0; at < piece.length;) {
        await peer.until("the server asks for more", () => peer.codec.room > 0);
        const part = piece.subarray(at, at + peer.codec.room);
        at += part.length;
        peer.body(part);
      }
    }
    peer.bodyEnd();
  },
};

function made(pieces: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let left = pieces;
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(piece.slice());
      else controller.close();
    },
  }, { highWaterMark: 0 });
}

async function count(request: Request): Promise<number> {
  let length = 0;
  for await (const chunk of request.body!) length += chunk.length;
  return length;
}

/** A response in two parts around what happens between them. */
function around(first: number, between: () => Promise<unknown>, last: number): Response {
  let step = 0;
  return new Response(
    new ReadableStream({
      async pull(controller) {
        if (step === first) await between();
        if (step++ < first + last) controller.enqueue(piece.slice());
        else controller.close();
      },
    }, { highWaterMark: 0 }),
  );
}

interface Kind {
  app(pieces: number): Handler;
  check(response: Arrived, pieces: number): void;
}

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const hashes = new Map<number, string>();
function expected(pieces: number): string {
  const known = hashes.get(pieces);
  if (known) return known;
  const hash = createHash("sha256");
  for (let i = 0; i < pieces; i++) hash.update(piece);
  const value = hash.digest("hex");
  hashes.set(pieces, value);
  return value;
}
const isWhole = (response: Arrived, pieces: number) => {
  assert.equal(response.length, pieces * piece.length);
  assert.equal(hashOf(concat(...response.chunks)), expected(pieces));
};

const kinds: Record<string, Kind> = {
  echo: { app: () => (request) => new Response(request.body), check: isWhole },
  gzip: {
    app: () => (request) => new Response(request.body!.pipeThrough(new CompressionStream("gzip"))),
    check: (response, pieces) => assert.equal(hashOf(gunzipSync(concat(...response.chunks))), expected(pieces)),
  },
  early: {
    app: (pieces) => (request) => around(1, async () => assert.equal(await count(request), pieces * piece.length), 1),
    check: (response) => isWhole(response, 2),
  },
  unread: { app: (pieces) => () => new Response(made(pieces)), check: isWhole },
  late: {
    app: (pieces) => (request) => around(pieces, async () => assert.equal(await count(request), pieces * piece.length), 0),
    check: isWhole,
  },
  small: {
    app: () => () => new Response("small", { status: 413 }),
    check: (response) => assert.equal(`${response.head?.status} ${response.text}`, "413 small"),
  },
  "small by a stream": {
    app: () => () => new Response(new Blob(["small"]).stream() as ReadableStream<Uint8Array<ArrayBuffer>>, { status: 401 }),
    check: (response) => assert.equal(`${response.head?.status} ${response.text}`, "401 small"),
  },
};

async function cross(protocol: ListeningProtocol, transport: "unix" | "tcp", server: string, kind: Kind, pieces: number) {
  await using site = await startSite(kind.app(pieces), { protocol, transport });
  const peer = await site.connect();
  const length = { CONTENT_LENGTH: String(pieces * piece.length) };
  peer.begin("/", { params: { REQUEST_METHOD: "POST", ...length } });
  const sending = webServers[server](peer, pieces);
  const response = peer.response();
  for (let before = -1; !response.end; before = response.length) {
    // As long as something moves.
    if (peer.closed && !response.end) break;
    const unsent = peer.unsent;
    await peer.until("the response goes on", () => {
      return response.end || response.length !== before || peer.unsent !== unsent || peer.closed;
    }, 10_000);
  }
  void sending.catch(() => {});
  assert.deepEqual(site.errors, []);
  kind.check(response, pieces);
}

for (const transport of transports) {
  for (const protocol of all) {
    // AJP asks for each piece, so that its peers always read.
    const servers = Object.keys(webServers).filter((name) => (name === "sends as it is asked") === (protocol === "ajp"));
    for (const server of servers) {
      describe(`a peer that ${server}, ${protocol} over ${transport}`, () => {
        for (const [name, kind] of Object.entries(kinds)) {
          // Past the kernel's buffers, of which TCP has more.
          const size = transport === "tcp" && name === "echo" ? 20 * MIB : 4 * MIB;
          test(name, { timeout }, () => cross(protocol, transport, server, kind, size / piece.length));
        }
      });
    }
  }
}

describe("the head of a response that is being made", () => {
  const post = { REQUEST_METHOD: "POST", REQUEST_URI: "/" };
  const begin = () => traffic().begin({ keep: true }).params(post);
  const endless = () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(piece.slice(0, 10)) }));

  test("waits until the body has been taken in", async () => {
    const connection = new MemoryConnection(endless);
    connection.receive(begin().stdin("half"));
    await turns();
    assert.equal(connection.writes.length, 0);
    connection.receive(traffic().stdin());
    await connection.until("it has left", () => connection.text.includes("Status: 200"));
    connection.destroy();
  });

  test("does not wait for a body that the application cancels", async () => {
    const go = gate();
    const connection = new MemoryConnection((request) => {
      go.promise.then(() => request.body!.cancel());
      return endless();
    });
    connection.receive(begin().stdin("half"));
    await turns();
    assert.equal(connection.writes.length, 0);
    go.resolve();
    await connection.until("it has left", () => connection.text.includes("Status: 200"));
    connection.destroy();
  });

  test("waits until a Filter's data has been taken in as well, and all of it comes back", async () => {
    const connection = new MemoryConnection((_, info) => new Response(info.data), {
      limits: { maxUnread: 1000 },
      roles: ["filter"],
    });
    const part = piece.subarray(0, 50_000);
    connection.receive(traffic().begin({ role: 3, keep: true }).params(post).stdin("body"));
    connection.receive(traffic().stdin());
    for (let i = 0; i < 4; i++) {
      connection.receive(traffic().data(part));
      await turns();
      assert.deepEqual([connection.writes.length, connection.paused], [0, false]);
    }
    connection.receive(traffic().data());
    await connection.answered();
    const sent = records(concat(...connection.writes)).filter(({ type }) => type === 6).map(({ content }) => content);
    const whole = concat(...sent);
    const bodyAt = whole.length - 4 * part.length;
    assert.equal(hashOf(whole.subarray(bodyAt)), hashOf(concat(part, part, part, part)));
    assert.match(text(whole.subarray(0, bodyAt)), /Status: 200 OK\r\n\r\n$/);
  });

  test("does not wait for the body of a GET", async () => {
    const connection = new MemoryConnection(endless);
    connection.receive(traffic().begin({ keep: true }).params({ REQUEST_METHOD: "GET", REQUEST_URI: "/" }));
    await connection.until("it has left", () => connection.text.includes("Status: 200"));
    connection.destroy();
  });

  test("does not wait with duplex", async () => {
    const connection = new MemoryConnection(endless, { duplex: true });
    connection.receive(begin().stdin("half"));
    await connection.until("it has left", () => connection.text.includes("Status: 200"));
    connection.destroy();
  });

  for (
    const [what, body] of [["bytes", piece.slice()], ["text", "x".repeat(200_000)], [
      "a Blob",
      new Blob([piece.slice()]),
    ]] as const
  ) {
    test(`does not wait where the body is ${what}`, async () => {
      await using site = await startSite(() => new Response(body, { status: 413 }));
      const peer = await site.connect();
      const response = peer.begin("/", { params: { REQUEST_METHOD: "POST" } });
      peer.body("half");
      await peer.until("it is here", () => response.head);
    });
  }

  test("waits on one request while another of the connection is answered", async () => {
    const connection = new MemoryConnection((request) => {
      return new URL(request.url).pathname === "/small" ? new Response("small") : new Response(request.body);
    }, { limits: { maxUnread: 1000 } });
    connection.receive(
      begin().stdin(piece.subarray(0, 50_000)).stdin(piece.subarray(0, 50_000)).stdin(piece.subarray(0, 50_000)),
    );
    await turns();
    assert.equal(connection.paused, false);
    connection.receive(traffic().get("/small", { id: 2, keep: true }));
    await connection.answered(1);
    assert.match(connection.text, /small/);
    connection.receive(traffic().stdin());
    await connection.answered(2);
  });

  test("and its request are given up when the web server aborts it or leaves", async () => {
    for (const leave of ["abort", "close"]) {
      const aborted = gate<Error>();
      const connection = new MemoryConnection((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve(request.signal.reason));
        return new Response(made(100));
      }, { limits: { maxUnread: 1000 } });
      connection.receive(begin().stdin(piece.subarray(0, 50_000)).stdin(piece.subarray(0, 50_000)));
      await turns();
      if (leave === "abort") connection.receive(traffic().abort());
      else connection.destroy();
      assert.equal((await aborted.promise).name, "AbortError");
    }
  });
});

describe("a request on the same connection", () => {
  test("is taken while the body of another waits for the application", async () => {
    const go = gate();
    const connection = new MemoryConnection(async (request) => {
      if (new URL(request.url).pathname === "/small") return new Response("small");
      await go.promise;
      return new Response(String((await request.bytes()).length));
    }, { limits: { maxUnread: 1000 } });
    const slow = traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" });
    connection.receive(slow.stdin(piece.subarray(0, 60_000)));
    assert.equal(connection.paused, true);
    // What had arrived before reading stopped.
    connection.receive(traffic().get("/small", { id: 2, keep: true }).stdin(piece.subarray(0, 60_000)));
    await connection.answered(1);
    go.resolve();
    connection.receive(traffic().stdin());
    await connection.answered(2);
    assert.match(connection.text, /120000/);
  });
});

describe("the room for bodies that wait", () => {
  const post = { REQUEST_METHOD: "POST" };
  const pieces = 64;

  async function send(peer: Peer): Promise<void> {
    for (let i = 0; i < pieces && !peer.closed; i++) peer.body(piece);
    peer.bodyEnd();
    await peer.sent();
  }

  for (const protocol of all.filter((name) => name !== "ajp")) {
    test(`a longer body than maxspool is a 413 over ${protocol}, and others go on`, { timeout }, async () => {
      await using site = await startSite((request) => new Response(request.body), { protocol, limits: { maxSpool: MIB } });
      const peer = await site.connect();
      const length = { CONTENT_LENGTH: String(pieces * piece.length) };
      const response = peer.begin("/", { params: { ...post, ...length } });
      await send(peer);
      await peer.until("the refusal is here", () => response.end);
      assert.equal(response.head?.status, 413);
      assert.match(
        site.errors.join("\n"),
        /^POST \/: Gave up an upload: the head of the response waits .* \(duplex=true .*\), and it is longer than the 1048576 bytes of maxspool$/,
      );
      assert.equal((await site.ask("/", { ...post, CONTENT_LENGTH: "5" }, repeated(5))).text, "xxxxx");
    });
  }

  test("a response that has begun is cut", { timeout }, async () => {
    await using site = await startSite((request) => new Response(request.body), { duplex: true, limits: { maxSpool: MIB } });
    const peer = await site.connect();
    peer.pause();
    peer.begin("/", { params: post });
    for (let i = 0; i < 4 * pieces && site.errors.length === 0; i++) {
      peer.body(piece);
      await turns(1);
    }
    await peer.until("it is said", () => site.errors.length > 0 || peer.unsent === 0);
    assert.match(site.errors[0], /takes no more of the response .* maxspool$/);
    peer.resume();
    await peer.gone();
    assert.equal(peer.response().end, undefined);
  });

  test("a folder that is gone is a 503 for the request that needs it, and nothing else", { timeout }, async () => {
    using place = folder();
    mkdirSync(place.join("spool"));
    await using site = await startSite((request) => new Response(request.body), { spoolDir: place.join("spool") });
    place[Symbol.dispose]();
    mkdirSync(place.path);
    const peer = await site.connect();
    const response = peer.begin("/", { params: post });
    await send(peer);
    await peer.until("the refusal is here", () => response.end);
    assert.equal(response.head?.status, 503);
    assert.match(site.errors[0], /spooldir=FOLDER names another/);
    assert.equal((await site.ask("/", post, repeated(5))).text, "xxxxx");
  });

  test("a folder that cannot be used is an error at start", async () => {
    using place = folder();
    writeFileSync(place.join("file"), "");
    await assert.rejects(startSite(() => new Response(), { spoolDir: place.join("none") }), /spooldir.*does not exist/);
    await assert.rejects(startSite(() => new Response(), { spoolDir: place.join("file") }), /spooldir.*not a folder/);
  });

  const descriptors = () => readdirSync("/proc/self/fd").length;
  const skip = process.platform !== "linux" && "only /proc tells of descriptors";
  test("is given back by requests that are aborted", { timeout, skip }, async () => {
    using place = folder();
    await using site = await startSite((request) => new Response(request.body), {
      spoolDir: place.path,
      limits: { maxUnread: 1000 },
    });
    const before = descriptors();
    for (let round = 0; round < 20; round++) {
      const peers: Peer[] = [];
      for (let i = 0; i < 50; i++) {
        const peer = await site.connect();
        peers.push(peer);
        peer.begin("/", { params: post });
        for (let i = 0; i < 3; i++) peer.body(piece);
      }
      await Promise.all(peers.map((peer) => peer.sent()));
      for (const peer of peers) peer.destroy();
    }
    for (let tries = 0; descriptors() > before && tries < 1000; tries++) await turns(1);
    assert.ok(descriptors() <= before, `${descriptors()} descriptors, and ${before} before`);
    assert.deepEqual(readdirSync(place.path), []);
    assert.deepEqual(site.errors, []);
  });
});

describe("what is held of a body", () => {
  const post = { REQUEST_METHOD: "POST", REQUEST_URI: "/" };
  const maxUnread = 100_000;

  /** Bytes of buffers that an application finds when reading has paused, and those of the body. */
  async function held(
    receive: (connection: MemoryConnection) => void,
    protocol: ListeningProtocol = "fcgi",
  ): Promise<[held: number, body: number]> {
    const buffers = new Set<ArrayBufferLike>();
    const go = gate();
    let length = 0;
    const connection = new MemoryConnection(async (request) => {
      await go.promise;
      for await (const chunk of request.body!) {
        buffers.add(chunk.buffer);
        length += chunk.length;
      }
      return new Response();
    }, { limits: { maxUnread }, protocol });
    connection.receive(begins[protocol]());
    for (let sent = 0; !connection.paused && sent < 2000; sent++) receive(connection);
    assert.equal(connection.paused, true);
    go.resolve();
    await connection.until("reading goes on", () => !connection.paused);
    await turns(1);
    connection.destroy();
    return [[...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0), length];
  }

  const endless = { ...post, CONTENT_LENGTH: "10000000" };
  const begins: Record<ListeningProtocol, () => string | Traffic> = {
    fcgi: () => traffic().begin({ keep: true }).params(post),
    scgi: () => text(protocols.scgi.client({}).request(1, paramsOf("/", endless))),
    uwsgi: () => text(protocols.uwsgi.client({}).request(1, paramsOf("/", endless))),
    ajp: () => text(ajpPost(Number(endless.CONTENT_LENGTH))),
    http: () => "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
  };
  /** One byte of a body as each protocol frames it. */
  const bytewise: Record<ListeningProtocol, string> = {
    fcgi: text(traffic().stdin("x").bytes()),
    scgi: "x",
    uwsgi: "x",
    ajp: text(ajpBody("x")),
    http: "1\r\nx\r\n",
  };
  for (const protocol of all) {
    const byte = bytewise[protocol];
    test(`is at most twice maxUnread: bytes that come one by one over ${protocol}`, async () => {
      const [memory, length] = await held((connection) => {
        for (let i = 0; i < 1000; i++) connection.receive(byte);
      }, protocol);
      assert.ok(memory <= 2 * maxUnread, `${memory} bytes are held`);
      assert.ok(length >= maxUnread / 2, `${length} bytes were taken`);
    });

    test(`is at most twice maxUnread: bytes that are framed one by one over ${protocol}`, async () => {
      const [memory, length] = await held((connection) => connection.receive(byte.repeat(1000)), protocol);
      assert.ok(memory <= 2 * maxUnread, `${memory} bytes are held`);
      assert.ok(length >= maxUnread / 2, `${length} bytes were taken`);
    });
  }

  const cases: Record<string, (connection: MemoryConnection) => void> = {
    "padded records": (connection) => {
      const records = traffic();
      for (let i = 0; i < 100; i++) records.stdin("x", { padding: 255 });
      connection.receive(records);
    },
    "small records among other things": (connection) => {
      connection.receive(traffic().stdin("x".repeat(2000)).record(99, "y".repeat(60_000)));
    },
    "large records": (connection) => connection.receive(traffic().stdin(piece.subarray(0, 60_000))),
  };
  for (const [what, receive] of Object.entries(cases)) {
    test(`is at most twice maxUnread: ${what}`, async () => {
      const [memory] = await held(receive);
      assert.ok(memory <= 2 * maxUnread, `${memory} bytes are held`);
    });
  }
});

describe("bodies of many connections that nobody reads", () => {
  const post = { REQUEST_METHOD: "POST", REQUEST_URI: "/" };
  const MAX = 24 * MIB;
  const part = piece.subarray(0, 60_000);
  const sumOf = (parts: number) => createHash("sha1").update(concat(...Array(parts).fill(part))).digest("hex");

  /** Connections with a body of so many bytes each, of which none is read before `go`. */
  async function upload(count: number, options: MemoryOptions = {}) {
    const buffers = new Set<ArrayBufferLike>();
    const go = gate();
    const bodies: { length: number; sum: string }[] = [];
    const connections = Array.from({ length: count }, () =>
      new MemoryConnection(async (request) => {
        await go.promise;
        const sum = createHash("sha1");
        let length = 0;
        for await (const chunk of request.body!) {
          // What was read back from a file has memory of its own.
          if (chunk.buffer.byteLength > piece.length) buffers.add(chunk.buffer);
          sum.update(chunk);
          length += chunk.length;
        }
        bodies.push({ length, sum: sum.digest("hex") });
        return new Response();
      }, options));
    for (const connection of connections) {
      connection.receive(traffic().begin({ keep: true }).params(post));
      for (let sent = 0; !connection.paused && sent < 10; sent++) connection.receive(traffic().stdin(part).record(99, part));
    }
    const files = descriptors();
    go.resolve();
    for (const connection of connections) {
      await connection.until("reading goes on", () => !connection.paused);
      connection.receive(traffic().stdin());
      await connection.answered();
    }
    const memory = [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
    assert.equal(bodies.length, count);
    for (const { length, sum } of bodies) {
      assert.equal(sum, sumOf(length / part.length));
    }
    return { memory, files, errors: connections.flatMap(({ errors }) => errors) };
  }

  const descriptors = () => readdirSync("/proc/self/fd").length;
  const skip = process.platform !== "linux" && "only Linux tells which files are open";

  test("hold no more memory than one process may, and are still complete", { skip, timeout }, async () => {
    const before = descriptors();
    const { memory, files } = await upload(300);
    assert.ok(memory > MAX / 2, `${memory} bytes were held, so that this shows nothing`);
    assert.ok(memory < MAX + MIB, `${memory} bytes were held`);
    assert.ok(files > before, "nothing was taken into a file");
    assert.equal(descriptors(), before);
  });

  test("hold memory where there is no room in files", { timeout }, async () => {
    using place = folder();
    const { errors } = await upload(300, { spoolFolder: place.join("none") });
    assert.deepEqual(errors, []);
  });
});

describe("text for the web server's error log", () => {
  test("goes out behind the head, with what comes at once and with what streams", async () => {
    for (
      const made of [
        () => new Response("body"),
        () => new Response(new Blob([piece.slice()]).stream() as ReadableStream<Uint8Array<ArrayBuffer>>),
      ]
    ) {
      const connection = new MemoryConnection(async (_request, info) => {
        info.stderr("before ");
        await turns(1);
        info.stderr("the head");
        return made();
      });
      connection.receive(traffic().get("/", { keep: true }));
      await connection.answered();
      const kinds = connection.lines.map((line) => line.split(" ")[0]);
      assert.equal(kinds[0], "stdout");
      assert.ok(connection.lines.includes("stderr 1 before the head"));
      assert.equal(kinds.at(-1), "end");
    }
  });
});

describe("text for the web server's error log whose response never began", () => {
  const ends: [name: string, end: (connection: MemoryConnection) => void][] = [
    ["broke the protocol", (connection) => connection.served.data(new Uint8Array(8).fill(0xff))],
    ["aborted the request", (connection) => connection.receive(traffic().abort({ id: 1 }))],
    ["closed the connection", (connection) => connection.destroy()],
  ];
  for (const [name, end] of ends) {
    test(`goes to standard error when the web server ${name}`, async () => {
      const connection = new MemoryConnection((_request, info) => {
        info.stderr("why it failed");
        return new Promise(() => {});
      });
      connection.receive(traffic().begin({ id: 1, keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/" }).stdin("x"));
      const written: string[] = [];
      const { write } = process.stderr;
      process.stderr.write = (text: string | Uint8Array) => written.push(String(text)) > 0;
      try {
        end(connection);
        await turns(1);
      } finally {
        process.stderr.write = write;
      }
      assert.deepEqual(written, ["why it failed\n"]);
    });
  }
});

describe("headTimeout", () => {
  const starts: [protocol: ListeningProtocol, first: Uint8Array, next: () => Uint8Array][] = [
    ["fcgi", traffic().begin().openParams({ A: "b" }).bytes(), () => traffic().openParams({ A: "b" }).bytes()],
    ["scgi", new TextEncoder().encode("9000:CONTENT_LENGTH"), () => new Uint8Array(1)],
    ["uwsgi", Uint8Array.of(0, 0, 40, 0), () => new Uint8Array(1)],
    ["ajp", Uint8Array.of(0x12, 0x34, 30, 0), () => new Uint8Array(1)],
    ["http", new TextEncoder().encode("GET / HTTP/1.1\r\n"), () => new TextEncoder().encode("x: y\r\n")],
  ];
  for (const [protocol, first, next] of starts) {
    test(`ends a connection whose head trickles, over ${protocol}`, () => {
      const connection = new MemoryConnection(() => new Response("x"), { protocol });
      connection.served.data(first.slice());
      for (let passed = 0; passed < 60; passed += 5) {
        connection.pass(5);
        assert.equal(connection.state, "open");
        connection.served.data(next());
      }
      connection.pass(5);
      assert.equal(connection.state, "destroyed");
      assert.match(connection.errors.join(), /took more than 60 s for the head of a request/);
    });
  }

  test("does not concern a request that was refused before its head was complete, over FastCGI", async () => {
    const slow = gate();
    const connection = new MemoryConnection(async () => {
      await slow.promise;
      return new Response("x");
    });
    // HAProxy sends nothing more of a request that is answered.
    connection.receive(traffic().begin({ id: 1, keep: true, role: 9 }).get("/", { id: 2, keep: true }));
    await connection.answered();
    connection.pass(120);
    assert.deepEqual([connection.state, connection.errors.length], ["open", 1]);
    slow.resolve();
    await connection.answered(2);
  });

  test("starts again with each head", async () => {
    const connection = new MemoryConnection(() => new Response("x"));
    for (let round = 1; round <= 30; round++) {
      const whole = traffic().get("/", { keep: true }).bytes();
      connection.served.data(whole.slice(0, 20));
      connection.pass(5);
      connection.served.data(whole.slice(20));
      await connection.answered(round);
    }
    assert.equal(connection.state, "open");
  });
});

describe("a response that breaks off", () => {
  for (const software of ["nginx/1.22.1", "lighttpd/1.4.69"]) {
    test(`is shown to ${software.startsWith("nginx") ? "nginx by a record with an invalid version" : "others by the end of the connection"}`, async () => {
      const go = gate();
      const connection = new MemoryConnection(() =>
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(piece.slice(0, 10)),
            pull: async () => {
              await go.promise;
              throw new Error("broken");
            },
          }, { highWaterMark: 0 }),
        )
      );
      connection.receive(traffic().begin().params({ REQUEST_URI: "/", SERVER_SOFTWARE: software }).stdin());
      await connection.until("it has begun", () => connection.writes.length > 0);
      go.resolve();
      await connection.until("it is over", () => connection.state !== "open");
      const isNginx = software.startsWith("nginx");
      assert.equal(connection.state, isNginx ? "closed" : "destroyed");
      assert.equal(connection.writes.at(-1)!.every((byte) => byte === 0xff), isNginx);
    });
  }
});

describe("HAProxy, which takes no more of an upload once a response is complete", () => {
  const begin = () =>
    traffic().begin({ keep: true }).params({ REQUEST_METHOD: "POST", REQUEST_URI: "/", SERVER_SOFTWARE: "HAProxy 2.6.12" });

  test("gets the end of a small answer behind the upload", async () => {
    const connection = new MemoryConnection(() => new Response("small"));
    connection.receive(begin().stdin("half"));
    await connection.until("the answer is there", () => connection.text.includes("small"));
    assert.equal(connection.ends, 0);
    connection.receive(traffic().stdin("rest").stdin());
    await connection.answered();
    connection.receive(traffic().get("/", { keep: true }));
    await connection.answered(2);
  });

  test("gets it even when more than maxDiscard comes", async () => {
    const connection = new MemoryConnection(() => new Response("small"), { limits: { maxDiscard: 100_000 } });
    connection.receive(begin().stdin("half"));
    await connection.until("the answer is there", () => connection.text.includes("small"));
    connection.receive(traffic().stdin(piece.subarray(0, 60_000)).stdin(piece.subarray(0, 60_000)));
    await connection.answered();
  });
});
