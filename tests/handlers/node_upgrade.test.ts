/** WebSockets of Node-style servers. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Buffer } from "node:buffer";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { encodeFrame, Opcode } from "../../src/protocol/websocket/frames.ts";
import { serverHandler } from "../../src/handlers/node_upgrade.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { serve, type Server } from "../../src/server/serve.ts";
import { pattern } from "../support/bytes.ts";
import { gate, soon, startSite, turns } from "../support/peer.ts";
import { until } from "../support/program.ts";

const acceptKey = (key: string) => createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** More than kernels hold for a connection. */
const MUCH = 64 * 1024 * 1024;

type Upgraded = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Accepts as `ws` does it: by text. */
function accept(request: IncomingMessage, socket: Duplex): void {
  const key = acceptKey(request.headers["sec-websocket-key"]!);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${key}\r\n\r\n`,
  );
}

const echo: Upgraded = (request, socket, head) => {
  accept(request, socket);
  if (head.length > 0) socket.write(head);
  socket.pipe(socket);
};

async function start(upgraded: Upgraded | undefined, options: Pick<ServeOptions, "protocol"> = {}): Promise<Server> {
  const server = createServer((request, response) => response.end(`request ${request.url} ${request.headers.upgrade}`));
  if (upgraded) server.on("upgrade", upgraded);
  return await serve({ protocol: "http", host: "127.0.0.1", port: 0, ...options }, serverHandler(server));
}

/** A client of text, with what has arrived. */
class Client {
  readonly socket: Socket;
  text = "";
  ended = false;

  constructor(server: Server) {
    this.socket = connect((server.address as { port: number }).port, "127.0.0.1");
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text) => this.text += text).on("end", () => this.ended = true).on("error", () => {});
  }

  ask(path = "/chat", more = "", headers = ""): void {
    this.socket.write(
      `GET ${path} HTTP/1.1\r\nhost: example.com\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n` +
        `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n${more}`,
    );
  }
}

for (const protocol of ["http", "auto"] as const) {
  test(`an upgrade over ${protocol} gives the listener the connection, with what came after the request`, async () => {
    const asked = gate<unknown[]>();
    const server = await start((request, socket, head) => {
      const { method, url, upgrade, headers } = request as IncomingMessage & { upgrade: boolean };
      asked.resolve([method, url, upgrade, headers.connection, headers.upgrade, headers.host, request.socket === socket]);
      echo(request, socket, head);
    }, { protocol });
    const client = new Client(server);
    client.ask("/chat?a=1", "early");
    const expected = ["GET", "/chat?a=1", true, "Upgrade", "websocket", "example.com", true];
    assert.deepEqual(await soon("upgrade", asked.promise), expected);
    await until("it is accepted", () => client.text.endsWith("early"));
    assert.match(client.text, /^HTTP\/1\.1 101 Switching Protocols\r\n[^]*accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n\r\nearly$/);
    client.socket.write("and back");
    await until("it is back", () => client.text.endsWith("earlyand back"));
    client.socket.end();
    await until("the other side has ended, too", () => client.ended);
    await soon("the shutdown", server.shutdown(5));
  });
}

test("its socket has the addresses of both ends, and the event timeout", async () => {
  const seen = gate<unknown[]>();
  await using server = await start((_request, stream) => {
    const socket = stream as Socket;
    const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket;
    socket.setTimeout(1, () => {
      seen.resolve([remoteAddress, remotePort, remoteFamily, localAddress, localPort, socket.timeout]);
      socket.destroy();
    });
  });
  const client = new Client(server);
  const clientPort = await until("it is connected", () => client.socket.localPort);
  client.ask();
  const found = await soon("timeout", seen.promise);
  assert.deepEqual(found, ["127.0.0.1", clientPort, "IPv4", "127.0.0.1", 80, 1]);
});

test("a header with a word of the upgrade in it leaves the others as they are", async () => {
  const asked = gate<unknown[]>();
  const server = await start((request, socket) => {
    const { connection, "x-first": first, "x-second": second } = request.headers;
    asked.resolve([connection, first, second]);
    socket.destroy();
  });
  new Client(server).ask("/chat", "", "x-first: connection\r\nx-second: 2\r\n");
  assert.deepEqual(await soon("upgrade", asked.promise), ["Upgrade", "connection", "2"]);
  await soon("the shutdown", server.shutdown(5));
});

test("much goes both ways, and a client that reads nothing makes write() wait", async () => {
  const sizes = { piece: 64 * 1024, pieces: 256 };
  let written = 0;
  const server = await start(async (request, socket) => {
    accept(request, socket);
    socket.resume();
    for (; written < sizes.pieces; written++) {
      if (!socket.write("x".repeat(sizes.piece))) await new Promise((resolve) => socket.once("drain", resolve));
    }
    socket.end();
  });
  const client = new Client(server);
  client.ask();
  client.socket.pause();
  for (let before = -1; written === 0 || written !== before; await turns(10)) before = written;
  assert.ok(written < sizes.pieces, `${written} pieces were written`);
  client.socket.resume();
  await until("all has arrived", () => client.ended);
  assert.equal(client.text.replace(/^[^]*?\r\n\r\n/, "").length, sizes.piece * sizes.pieces);
  client.socket.end();
  await soon("the shutdown", server.shutdown(5));
});

test("an application that reads nothing makes the client wait, and then all arrives", async () => {
  const given = gate<Duplex>();
  const server = await start((request, socket) => {
    accept(request, socket);
    given.resolve(socket);
  });
  const client = new Client(server);
  client.ask();
  const socket = await soon("upgrade", given.promise);
  const sent = "x".repeat(64 * 1024 * 1024);
  client.socket.write(sent);
  for (let before = -1; client.socket.writableLength !== before; await turns(20)) {
    before = client.socket.writableLength;
  }
  assert.ok(client.socket.writableLength > 0);
  let length = 0;
  socket.on("data", (bytes: Buffer) => length += bytes.length);
  await until("all has arrived", () => length === sent.length);
  client.socket.destroy();
  await soon("the shutdown", server.shutdown(5));
});

test("a visitor who leaves closes the socket", async () => {
  const [accepted, closed] = [gate(), gate()];
  const server = await start((request, socket) => {
    accept(request, socket);
    socket.on("close", () => closed.resolve());
    accepted.resolve();
  });
  const client = new Client(server);
  client.ask();
  await soon("upgrade", accepted.promise);
  client.socket.destroy();
  await soon("close", closed.promise);
  await soon("the shutdown", server.shutdown(5));
});

test("destroy() ends the connection of a client that reads nothing, and drops what waits for him", async () => {
  const destroyed = gate();
  await using server = await start((request, socket) => {
    accept(request, socket);
    socket.write(new Uint8Array(MUCH));
    socket.once("close", destroyed.resolve);
    setImmediate(() => socket.destroy());
  });
  const client = new Client(server);
  client.socket.pause();
  client.ask();
  await soon("the application to destroy it", destroyed.promise);
  let closed = false;
  client.socket.once("close", () => closed = true);
  client.socket.resume();
  await until("the connection ends", () => closed);
  assert.ok(client.text.length < MUCH, `${client.text.length} bytes came`);
});

test("a stop closes with 1001", async () => {
  const server = await start(echo);
  const client = new Client(server);
  client.ask();
  await until("it is accepted", () => client.text.endsWith("\r\n\r\n"));
  const stopped = server.shutdown(5);
  await until("the close frame is there", () => client.text.endsWith("\r\n\r\n\x88\x02\x03\xe9") && client.ended);
  client.socket.end();
  await soon("the shutdown", stopped);
});

test("a stop closes with 1001 behind what waits for a client that reads slowly", async () => {
  const frame = encodeFrame(Opcode.binary, pattern(1024 * 1024));
  const count = 32;
  const server = await start((request, socket) => {
    accept(request, socket);
    socket.resume();
    for (let i = 0; i < count; i++) socket.write(frame);
  });
  const client = new Client(server);
  client.ask();
  await until("it is accepted", () => client.text !== "");
  client.socket.pause();
  const stopped = server.shutdown(30);
  await turns(20);
  client.socket.resume();
  await until("all has come", () => client.ended);
  const [head] = /^[^]*?\r\n\r\n/.exec(client.text)!;
  assert.equal(client.text.length, head.length + count * frame.length + 4);
  assert.ok(client.text.endsWith("\x88\x02\x03\xe9"));
  client.socket.end();
  await soon("the shutdown", stopped);
});

test("a server without a listener for upgrades gets a request", async () => {
  const server = await start(undefined);
  const client = new Client(server);
  client.ask();
  await until("it is answered", () => client.text.endsWith("request /chat undefined"));
  client.socket.destroy();
  await soon("the shutdown", server.shutdown(5));
});

test("an upgrade whose header the web server has left out is a 426 that says so", async () => {
  const server = await start(echo);
  const client = new Client(server);
  client.socket.write(
    "GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  await until("it is answered", () => /does not pass on: .*websocket=true/.test(client.text));
  assert.match(client.text, /^HTTP\/1\.1 426 /);
  client.socket.destroy();
  await soon("the shutdown", server.shutdown(5));
});

test("an upgrade with a body is a 400, since the body would be taken for frames", async () => {
  for (const body of ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]) {
    const server = await start(echo);
    const client = new Client(server);
    client.socket.write(
      `GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n${body}`,
    );
    await until("it is answered", () => /it has a body/.test(client.text));
    assert.match(client.text, /^HTTP\/1\.1 400 /);
    client.socket.destroy();
    await soon("the shutdown", server.shutdown(5));
  }
});

for (const protocol of ["fcgi", "scgi", "ajp", "uwsgi"] as const) {
  test(`an upgrade over ${protocol} is a 426 that says why`, async () => {
    const server = createServer().on("upgrade", echo).on("request", () => {});
    await using site = await startSite(serverHandler(server), { protocol });
    const { head, text } = await site.ask("/chat", { HTTP_UPGRADE: "websocket", HTTP_CONNECTION: "Upgrade" });
    assert.equal(head.status, 426);
    assert.match(text, /cannot pass over .*, only over HTTP: .*protocol=http websocket=true/);
  });
}
