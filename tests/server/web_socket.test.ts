/** WebSockets of fetch handlers, from a client that is under the test's control. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import type { Handler, UpgradeWebSocketOptions } from "../../src/server/handler.ts";
import { labels } from "../../src/protocol/protocol.ts";
import { Monitor } from "../../src/server/monitor.ts";
import { bytes, concat, hex, pattern } from "../support/bytes.ts";
import { gate, type Site, soon, startSite, transports, turns } from "../support/peer.ts";
import { until } from "../support/program.ts";
import { clientFrame, closePayload, WebSocketPeer } from "../support/websocket.ts";

/** Sends everything back, and keeps what happened. */
class Echo {
  readonly seen: string[] = [];
  socket!: WebSocket;
  readonly #options: UpgradeWebSocketOptions;

  constructor(options: UpgradeWebSocketOptions = {}) {
    this.#options = options;
  }

  readonly handler: Handler = (request, info) => {
    const { socket, response } = info.upgradeWebSocket(request, this.#options);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.seen.push(`made ${socket.readyState}`);
    socket.onopen = () => this.seen.push(`open ${socket.readyState}`);
    socket.onmessage = ({ data }) => {
      this.seen.push(typeof data === "string" ? `text ${data.slice(0, 20)}` : `bytes ${data.byteLength}`);
      socket.send(data);
    };
    socket.onerror = (event) => this.seen.push(`error ${(event as ErrorEvent).message}`);
    socket.onclose = ({ code, reason, wasClean }) => this.seen.push(`close ${code} ${reason} ${wasClean} ${socket.readyState}`);
    return response;
  };

  async saw(what: RegExp): Promise<string> {
    let line: string | undefined;
    await until(`the application sees ${what}, not ${this.seen.join(" | ")}`, () => {
      line = this.seen.find((one) => what.test(one));
      return line !== undefined;
    });
    return line!;
  }
}

async function open(
  options: UpgradeWebSocketOptions = {},
  transport: "unix" | "tcp" = "tcp",
): Promise<{ site: Site; echo: Echo; peer: WebSocketPeer } & AsyncDisposable> {
  const echo = new Echo(options);
  const site = await startSite(echo.handler, { protocol: "http", transport });
  const peer = new WebSocketPeer(site.address);
  peer.ask("/chat?x=1");
  await until("the socket is open", () => peer.head !== "");
  return {
    site,
    echo,
    peer,
    async [Symbol.asyncDispose]() {
      peer.socket.destroy();
      await site[Symbol.asyncDispose]();
    },
  };
}

for (const transport of transports) {
  test(`over ${transport}: messages go both ways, and the visitor closes`, async () => {
    await using opened = await open({}, transport);
    const { echo, peer } = opened;
    assert.match(
      peer.head,
      /^HTTP\/1\.1 101 Switching Protocols\r\n[^]*upgrade: websocket\r\n[^]*accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/,
    );
    peer.send({ opcode: 1, payload: "Grüße" });
    assert.deepEqual(await peer.frame(1), { first: 0x81, payload: Buffer.from("Grüße") });
    peer.send({ opcode: 2, payload: pattern(70000) });
    const { first, payload } = await peer.frame(2);
    assert.equal(first, 0x82);
    assert.equal(Buffer.compare(payload, pattern(70000)), 0);
    peer.send({ opcode: 8, payload: closePayload(3001, "enough") });
    // RFC 6455, 5.5.1: the answer has the same code.
    assert.deepEqual(await peer.closeFrame(), { code: 3001, reason: "" });
    await echo.saw(/^close 3001 enough true 3$/);
    await until("the server closes the connection", () => peer.ended);
    assert.deepEqual(echo.seen, ["made 0", "open 1", "text Grüße", "bytes 70000", "close 3001 enough true 3"]);
  });
}

describe("the socket", () => {
  test("is a WebSocket as the standard has it", async () => {
    await using opened = await open();
    const { socket } = opened.echo;
    assert.ok(socket instanceof WebSocket && socket instanceof EventTarget);
    assert.equal(socket.url, "ws://example.com/chat?x=1");
    assert.deepEqual([socket.readyState, socket.protocol, socket.extensions, socket.bufferedAmount], [1, "", "", 0]);
    assert.deepEqual([socket.CONNECTING, socket.OPEN, socket.CLOSING, socket.CLOSED], [0, 1, 2, 3]);
    socket.binaryType = "nothing" as "blob";
    assert.equal(socket.binaryType, "arraybuffer");
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, NaN]) {
      assert.throws(() => socket.close(code), { name: "InvalidAccessError" });
    }
    assert.throws(() => socket.close(1000, "x".repeat(124)), { name: "SyntaxError" });
    const handler = socket.onmessage;
    assert.equal(typeof handler, "function");
    socket.onmessage = null;
    assert.equal(socket.onmessage, null);
    const seen: string[] = [];
    const once = gate();
    const listener = (event: Event) => void seen.push((event as MessageEvent).data);
    socket.addEventListener("message", listener);
    socket.addEventListener("message", { handleEvent: (event: Event) => void seen.push(`object ${event.type}`) }, { once: true });
    socket.onmessage = () => once.resolve();
    opened.peer.send({ opcode: 1, payload: "a" });
    await soon("a message", once.promise);
    socket.removeEventListener("message", listener);
    opened.peer.send({ opcode: 1, payload: "b" });
    opened.peer.send({ opcode: 8 });
    await opened.echo.saw(/^close 1005 {2}true/);
    assert.deepEqual(seen.sort(), ["a", "object message"]);
  });

  test("sends text, buffers, views and Blobs in their order, as they were", async () => {
    await using opened = await open();
    const { peer, echo: { socket } } = opened;
    const view = new Uint8Array([0, 1, 2, 3, 4]);
    socket.send(new Blob(["blob"]));
    socket.send(view.subarray(1, 3));
    socket.send(new DataView(view.buffer, 4));
    socket.send(view.buffer);
    view.fill(9);
    socket.send("text");
    socket.close(4000, "fin");
    socket.send("too late");
    assert.equal(socket.readyState, 2);
    assert.deepEqual(await peer.closeFrame(), { code: 4000, reason: "fin" });
    const got = peer.frames.slice(0, -1).map(({ first, payload }) => `${first & 15} ${payload.toString("latin1")}`);
    assert.deepEqual(got, ["2 blob", "2 \x01\x02", "2 \x04", "2 \x00\x01\x02\x03\x04", "1 text"]);
    // What a browser has sent before it saw the close is dropped, as the standard has it.
    peer.send({ opcode: 1, payload: "late" });
    peer.send({ opcode: 8, payload: closePayload(4000, "fin") });
    await opened.echo.saw(/^close 4000 fin true 3$/);
    assert.ok(!opened.echo.seen.includes("text late"));
  });

  for (const code of [1001, 1008, 1011, 1013]) {
    test(`is closed by the application with ${code}, which servers may send`, async () => {
      await using opened = await open();
      opened.echo.socket.close(code, "go");
      assert.deepEqual(await opened.peer.closeFrame(), { code, reason: "go" });
      opened.peer.send({ opcode: 8, payload: closePayload(code) });
      await opened.echo.saw(new RegExp(`^close ${code} {2}true 3$`));
    });
  }

  test("gives binary data as Blobs by default", async () => {
    const got = gate<unknown>();
    await using site = await startSite((request, info) => {
      const { socket, response } = info.upgradeWebSocket(request);
      assert.equal(socket.binaryType, "blob");
      socket.onmessage = ({ data }) => got.resolve(data);
      return response;
    }, { protocol: "http" });
    const peer = new WebSocketPeer(site.address);
    peer.ask("/", {}, clientFrame({ opcode: 2, payload: "early" }));
    const blob = await soon("a message", got.promise);
    assert.ok(blob instanceof Blob);
    assert.equal(await blob.text(), "early");
    peer.socket.destroy();
  });

  test("has the protocol that the handler chose, and the headers that it added", async () => {
    await using site = await startSite((request, info) => {
      const { socket, response } = info.upgradeWebSocket(request, { protocol: "b" });
      response.headers.append("set-cookie", "a=1");
      response.headers.append("set-cookie", "b=2");
      socket.onopen = () => socket.send(socket.protocol);
      return response;
    }, { protocol: "http" });
    const peer = new WebSocketPeer(site.address);
    peer.ask("/", { "sec-websocket-protocol": "a, b" });
    assert.equal((await peer.frame(1)).payload.toString(), "b");
    assert.match(peer.head, /\r\nsec-websocket-protocol: b\r\n/);
    assert.match(peer.head, /\r\nset-cookie: a=1\r\nset-cookie: b=2/);
    peer.socket.destroy();
  });

  test("goes on when a listener fails, and the error is reported", async () => {
    await using site = await startSite((request, info) => {
      const { socket, response } = info.upgradeWebSocket(request);
      socket.onmessage = ({ data }) => {
        if (data === "throw") throw new Error("thrown for a test");
        socket.send(data);
      };
      socket.addEventListener("message", async ({ data }) => {
        if (data === "reject") await Promise.reject(new Error("rejected for a test"));
      });
      return response;
    }, { protocol: "http" });
    const peer = new WebSocketPeer(site.address);
    peer.ask("/x");
    for (const payload of ["throw", "reject", "then"]) peer.send({ opcode: 1, payload });
    await until("the last is back", () => peer.frames.at(-1)?.payload.toString() === "then");
    await until("both are reported", () => site.errors.length === 2);
    const during = "the WebSocket ws://example.com/x";
    assert.deepEqual(site.errors, [`${during}: thrown for a test`, `${during}: rejected for a test`]);
    peer.socket.destroy();
  });
});

describe("a visitor who breaks the protocol", () => {
  const rows: [name: string, sent: Uint8Array, code: number][] = [
    ["sends frames without a mask", clientFrame({ opcode: 1, payload: "x", mask: null }), 1002],
    ["uses reserved bits", clientFrame({ opcode: 1, payload: "x", reserved: 4 }), 1002],
    ["sends a length in the wrong form", clientFrame({ opcode: 1, payload: "x", lengthBytes: 8 }), 1002],
    [
      "sends text that is not UTF-8",
      concat(clientFrame({ opcode: 1, payload: hex("e282"), final: false }), clientFrame({ opcode: 0, payload: "x" })),
      1007,
    ],
    ["sends more than may come", clientFrame({ opcode: 2, payload: pattern(1001) }), 1009],
    ["closes with half a code", clientFrame({ opcode: 8, payload: "x" }), 1002],
    [
      "sends what is compressed, which was not agreed on",
      clientFrame({ opcode: 1, payload: hex("f248cdc9c907"), reserved: 4 }),
      1002,
    ],
    ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map((code): [string, Uint8Array, number] => [
      `closes with ${code}`,
      clientFrame({ opcode: 8, payload: closePayload(code) }),
      1002,
    ]),
  ];
  for (const [name, sent, code] of rows) {
    test(`${name}: ${code}, though more is under way`, async () => {
      await using opened = await open({ maxPayloadLength: 1000 });
      const { peer, echo } = opened;
      peer.socket.write(
        concat(clientFrame({ opcode: 1, payload: "good" }), sent, clientFrame({ opcode: 2, payload: pattern(900) })),
      );
      for (let i = 0; i < 20; i++) peer.send({ opcode: 2, payload: pattern(900) });
      assert.equal((await peer.closeFrame()).code, code);
      await until("the server ends its side", () => peer.ended);
      peer.socket.end();
      await echo.saw(/^close 1006 {2}false 3$/);
      assert.deepEqual(echo.seen.filter((line) => /^(?:text|bytes)/.test(line)), ["text good"]);
      await echo.saw(/^error /);
    });
  }
});

for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999, 1005]) {
  test(`a close with ${code === 1005 ? "no code" : code} is answered by the same`, async () => {
    await using opened = await open();
    const { peer, echo } = opened;
    const payload = code === 1005 ? new Uint8Array() : closePayload(code, "why");
    peer.socket.write(concat(clientFrame({ opcode: 8, payload }), clientFrame({ opcode: 1, payload: "behind it" })));
    assert.deepEqual(await peer.closeFrame(), { code, reason: "" });
    await echo.saw(new RegExp(`^close ${code} ${code === 1005 ? "" : "why"} true 3$`));
    assert.ok(!echo.seen.some((line) => line.startsWith("text")));
  });
}

test("a visitor who ends his side is answered first, and gets 1006 for a close", async () => {
  await using opened = await open();
  const { peer, echo } = opened;
  peer.socket.end(clientFrame({ opcode: 1, payload: "last words" }));
  assert.equal((await peer.frame(1)).payload.toString(), "last words");
  await until("the server ends its side, too", () => peer.ended);
  await echo.saw(/^close 1006 {2}false 3$/);
});

test("an open socket is counted, and is no request in flight", async () => {
  const monitor = new Monitor();
  const echo = new Echo();
  await using site = await startSite(echo.handler, { protocol: "http", observer: monitor });
  const peer = new WebSocketPeer(site.address);
  peer.ask();
  await until("it is open", () => peer.head !== "");
  const { counts } = monitor;
  assert.deepEqual([counts.sockets, counts.inFlight, counts.requests, counts.statuses[1]], [1, 0, 1, 1]);
  peer.socket.destroy();
  await until("it is counted no more", () => counts.sockets === 0);
});

describe("the end of a socket", () => {
  test("without a close is 1006", async () => {
    await using opened = await open();
    opened.peer.socket.end();
    await opened.echo.saw(/^close 1006 {2}false 3$/);
  });

  test("by a reset is 1006", async () => {
    await using opened = await open();
    opened.peer.socket.resetAndDestroy();
    await opened.echo.saw(/^close 1006 {2}false 3$/);
  });

  test("by a stop is 1001, and what still comes before the answer is for the application", async () => {
    await using opened = await open();
    const { site, peer, echo } = opened;
    const stopped = site.server.shutdown(30);
    assert.deepEqual(await peer.closeFrame(), { code: 1001, reason: "" });
    peer.send({ opcode: 1, payload: "under way" });
    peer.send({ opcode: 8, payload: closePayload(1001) });
    await soon("the server to end", stopped);
    assert.deepEqual(echo.seen.slice(2), ["text under way", "close 1001  true 3"]);
  });

  test("that is asked for when the server is already stopping comes at once", async () => {
    const echo = new Echo();
    await using site = await startSite(echo.handler, { protocol: "http" });
    const peer = new WebSocketPeer(site.address);
    await until("it is connected", () => peer.socket.readyState === "open");
    const stopped = site.server.shutdown(30);
    await soon("nobody else to be able to connect", site.server.stoppedListening);
    peer.ask();
    assert.deepEqual(await peer.closeFrame(), { code: 1001, reason: "" });
    peer.send({ opcode: 8, payload: closePayload(1001) });
    await soon("the server to end", stopped);
    peer.socket.destroy();
  });

  for (const patient of [false, true]) {
    test(`by a ${patient ? "reload" : "stop"} comes with its grace for a visitor who answers nothing`, async () => {
      await using opened = await open();
      const { site, peer, echo } = opened;
      const stopped = site.server.shutdown(0.1, false, patient);
      await peer.closeFrame();
      await soon("the server to end", stopped);
      await echo.saw(/^close 1006 {2}false 3$/);
    });
  }
});

test("compression that is offered is declined", async () => {
  const echo = new Echo();
  await using site = await startSite(echo.handler, { protocol: "http" });
  const peer = new WebSocketPeer(site.address);
  const offers = "permessage-deflate; client_max_window_bits, permessage-deflate, x-webkit-deflate-frame";
  peer.ask("/", { "sec-websocket-extensions": offers });
  peer.send({ opcode: 1, payload: "a".repeat(1000) });
  // RSV1 would say that it is compressed.
  assert.deepEqual(await peer.frame(1), { first: 0x81, payload: Buffer.from("a".repeat(1000)) });
  assert.doesNotMatch(peer.head, /extensions/i);
  assert.equal(echo.socket.extensions, "");
  peer.socket.destroy();
});

test("pings without end from a visitor who reads nothing are not kept, and the last one is answered", async () => {
  await using opened = await open();
  const { peer, echo } = opened;
  peer.socket.pause();
  const pings = concat(...Array.from({ length: 1000 }, (_, i) => clientFrame({ opcode: 9, payload: String(i).padEnd(125) })));
  for (let i = 0; i < 100; i++) peer.socket.write(pings);
  peer.send({ opcode: 9, payload: "last" });
  peer.send({ opcode: 1, payload: "and then" });
  await echo.saw(/^text and then$/);
  assert.ok(echo.socket.bufferedAmount < 1024 * 1024);
  peer.socket.resume();
  await until("the last is answered", () => peer.frames.some(({ payload }) => payload.toString() === "last"));
});

test("a ping is answered, and a pong is not", async () => {
  await using opened = await open();
  const { peer } = opened;
  peer.send({ opcode: 10, payload: "unasked" });
  peer.send({ opcode: 9, payload: "p1" });
  assert.deepEqual(await peer.frame(1), { first: 0x8a, payload: Buffer.from("p1") });
});

test("a silent visitor is asked by pings for as long as he answers, and then given up", async () => {
  await using opened = await open({ idleTimeout: 1 });
  const { peer, echo } = opened;
  for (let i = 1; i <= 2; i++) {
    assert.deepEqual(await peer.frame(i), { first: 0x89, payload: Buffer.alloc(0) });
    peer.send({ opcode: 10 });
  }
  await echo.saw(/^error The visitor did not answer a ping/);
  await echo.saw(/^close 1006/);
});

test("16 MiB go both ways", async () => {
  await using opened = await open();
  const { peer } = opened;
  const sent = Buffer.alloc(16 * 1024 * 1024, pattern(65521));
  const half = sent.length / 2;
  peer.send({ opcode: 2, payload: sent.subarray(0, half), final: false });
  peer.send({ opcode: 9, payload: "between" });
  peer.send({ opcode: 0, payload: sent.subarray(half) });
  await until("it is back", () => peer.frames.length === 2);
  assert.equal(peer.frames[0].payload.toString(), "between");
  assert.equal(Buffer.compare(peer.frames[1].payload, sent), 0);
});

test("a visitor who reads nothing has to wait before more of him is read, and loses nothing", async () => {
  await using opened = await open();
  const { peer, echo } = opened;
  const [count, sent] = [100, pattern(128 * 1024)];
  let drains = 0;
  echo.socket.addEventListener("drain", () => drains++);
  peer.socket.pause();
  for (let i = 0; i < count; i++) peer.send({ opcode: 2, payload: sent });
  const messages = () => echo.seen.filter((line) => line.startsWith("bytes")).length;
  for (let before = -1; messages() === 0 || messages() !== before; await turns(20)) before = messages();
  assert.ok(messages() < count, `${messages()} messages were read`);
  assert.ok(echo.socket.bufferedAmount > 0);
  peer.socket.resume();
  await until("all are back", () => peer.frames.length === count);
  await until("nothing waits any more", () => echo.socket.bufferedAmount === 0);
  assert.ok(drains > 0);
});

test("a visitor for whom too much waits is given up", async () => {
  await using opened = await open();
  const { peer, echo } = opened;
  peer.socket.pause();
  const piece = new Uint8Array(4 * 1024 * 1024);
  for (let i = 0; i < 40; i++) echo.socket.send(piece);
  await echo.saw(/^error The visitor takes nothing/);
  await echo.saw(/^close 1006/);
});

test("the visitor for whom most is held is given up when too much is held for all", async () => {
  await using first = await open();
  await using second = await open();
  await using third = await open({ maxPayloadLength: 64 * 1024 * 1024 });
  const piece = new Uint8Array(4 * 1024 * 1024);
  for (const [{ peer, echo }, count] of [[first, 15], [second, 14]] as const) {
    peer.socket.pause();
    for (let i = 0; i < count; i++) echo.socket.send(piece);
  }
  // A message that does not end counts as well.
  for (let i = 0; i < 6; i++) third.peer.send({ opcode: i === 0 ? 2 : 0, payload: piece, final: false });
  await first.echo.saw(/^error All sockets of this process hold more than \d+ bytes, and this one most of them: \d+$/);
  await first.echo.saw(/^close 1006/);
  third.peer.send({ opcode: 0, payload: new Uint8Array(1) });
  await third.echo.saw(new RegExp(`^bytes ${6 * piece.length + 1}$`));
  assert.deepEqual([second, third].map(({ echo }) => echo.socket.readyState), [1, 1]);
});

test("a visitor who needs long for what came before a close gets all of it", async () => {
  await using opened = await open();
  const { peer, echo } = opened;
  const { setTimeout } = globalThis;
  // Seconds become hundredths.
  globalThis.setTimeout = ((run: () => void, ms = 0) => setTimeout(run, ms < 5000 ? ms : ms / 100)) as typeof setTimeout;
  try {
    peer.socket.pause();
    echo.socket.send(new Uint8Array(32 * 1024 * 1024));
    echo.socket.close(4000, "fin");
    // A close is answered within 10 s.
    await new Promise<void>((resolve) => globalThis.setTimeout(resolve, 20_000));
    peer.socket.resume();
    assert.deepEqual(await peer.closeFrame(), { code: 4000, reason: "fin" });
    assert.equal(peer.frames[0].payload.length, 32 * 1024 * 1024);
    // From then on they count.
    await echo.saw(/^close 1006/);
  } finally {
    globalThis.setTimeout = setTimeout;
  }
});

describe("a request that asks for no WebSocket", () => {
  const asks = async (headers: Record<string, string | undefined>, options?: UpgradeWebSocketOptions) => {
    const thrown: Error[] = [];
    await using site = await startSite((request, info) => {
      try {
        return info.upgradeWebSocket(request, options).response;
      } catch (error) {
        thrown.push(error as Error);
        return new Response("no", { status: 400 });
      }
    }, { protocol: "http" });
    const peer = new WebSocketPeer(site.address);
    peer.ask("/", headers);
    await until("it is answered", () => peer.head !== "");
    await until("the page is there", () => peer.body.length > 0);
    peer.socket.destroy();
    return { head: peer.head, body: peer.body, thrown };
  };

  test("is a TypeError that says what is missing", async () => {
    const { thrown: [error] } = await asks({ upgrade: undefined, "sec-websocket-key": undefined });
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /asks for no WebSocket.*Upgrade: websocket/s);
  });

  for (const version of ["8", "12", undefined]) {
    test(`in the version ${version} gets a 426 with the one that is spoken`, async () => {
      const { head, body } = await asks({ "sec-websocket-version": version });
      assert.match(head, /^HTTP\/1\.1 426 [^]*\r\nsec-websocket-version: 13[^]*\r\nupgrade: websocket\r\nconnection: Upgrade$/);
      assert.match(body, new RegExp(`version ${version ?? "none"}, not 13`));
    });
  }

  test("any more, since the web server has left out Upgrade, gets a 426 that says what to configure", async () => {
    const { head, body } = await asks({ upgrade: undefined, connection: "close" });
    assert.match(head, /^HTTP\/1\.1 426 /);
    assert.match(
      body,
      /the header Upgrade, which the web server does not pass on: runfcgi config SERVER protocol=http websocket=true/,
    );
  });

  const key = "dGhlIHNhbXBsZSBub25jZQ==";
  const invalid: [string, Record<string, string | undefined>][] = [
    ["without a key", { "sec-websocket-key": undefined }],
    ["with a short key", { "sec-websocket-key": "dGhl" }],
    ["with two keys", { "Sec-WebSocket-Key": key }],
    ["with a body that is missing", { "content-length": "5" }],
    ["with a body in chunks", { "transfer-encoding": "chunked" }],
    ["without Connection", { connection: undefined }],
  ];
  for (const [name, headers] of invalid) {
    test(`${name} gets a 400`, async () => assert.match((await asks(headers)).head, /^HTTP\/1\.1 400 /));
  }

  test("or not for the protocol of the handler, is a TypeError", async () => {
    const { thrown: [error] } = await asks({ "sec-websocket-protocol": "a" }, { protocol: "b" });
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /"b" is not one that the request asks for: a/);
  });

  test("options out of range are TypeErrors", async () => {
    for (const options of [{ idleTimeout: -1 }, { maxPayloadLength: 0 }]) {
      assert.ok((await asks({}, options)).thrown[0] instanceof TypeError);
    }
  });
});

for (const protocol of ["fcgi", "scgi", "ajp", "uwsgi"] as const) {
  test(`over ${protocol} the visitor gets a 426 that says why, and so do the log and the socket`, async () => {
    const seen: string[] = [];
    await using site = await startSite((request, info) => {
      const { socket, response } = info.upgradeWebSocket(request);
      socket.onerror = () => seen.push("error");
      socket.onclose = ({ code }) => seen.push(`close ${code}`);
      return response;
    }, { protocol });
    const { head, text, stderr } = await site.ask("/", { HTTP_UPGRADE: "websocket", HTTP_CONNECTION: "Upgrade" });
    assert.equal(head.status, 426);
    const why = new RegExp(`cannot pass over ${labels[protocol]}, only over HTTP: .*protocol=http websocket=true`);
    assert.match(text, why);
    if (protocol === "fcgi") assert.match(stderr, why);
    await until("the socket has ended", () => seen.length === 2);
    assert.deepEqual(seen, ["error", "close 1006"]);
  });
}

test("a socket whose response is not returned is closed", async () => {
  const closed = gate<number>();
  await using site = await startSite((request, info) => {
    const { socket } = info.upgradeWebSocket(request);
    assert.throws(() => socket.send("x"), { name: "InvalidStateError" });
    socket.onclose = ({ code }) => closed.resolve(code);
    return new Response("another");
  }, { protocol: "http" });
  const peer = new WebSocketPeer(site.address);
  peer.ask();
  assert.equal(await soon("the close", closed.promise), 1006);
  await until("it is answered", () => /another/.test(peer.body));
  peer.socket.destroy();
});

test("a frame that came with the request is a message", async () => {
  const echo = new Echo();
  await using site = await startSite(echo.handler, { protocol: "auto" });
  const peer = new WebSocketPeer(site.address);
  peer.ask("/", {}, concat(clientFrame({ opcode: 1, payload: "with it" }), bytes("\x81")));
  assert.equal((await peer.frame(1)).payload.toString(), "with it");
  peer.socket.destroy();
  await echo.saw(/^close 1006/);
});
