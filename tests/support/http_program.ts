/** A program that speaks HTTP, for tests that run one: on the socket or the port that is its first argument, or on PORT. */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";
import type { Duplex } from "node:stream";
import { encodeClose, encodeFrame, encodeText, MessageReader, Opcode } from "../../src/protocol/websocket/frames.ts";
import { acceptKey } from "../../src/protocol/websocket/handshake.ts";

/** Requests that do not end by themselves, and those of them whose visitor has left. */
let asked = 0;
let left = 0;
/** What `hash` waits for, and pieces that `download` has written. */
let hashing = 0;
let take: (() => void) | undefined;
let written = 0;
let requests = 0;
const seen = new WeakSet<object>();

const answers: Record<string, (request: IncomingMessage, response: ServerResponse) => unknown> = {
  async echo(request, response) {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString(), pid: process.pid }));
  },
  environment: (_request, response) => response.end(JSON.stringify({ ...process.env, CWD: process.cwd() })),
  cookies: (_request, response) => response.writeHead(201, "Baked", { "set-cookie": ["a=1", "b=2"] }).end("baked"),
  empty: (_request, response) => response.writeHead(204).end(),
  cached: (_request, response) => response.writeHead(304, { etag: '"1"' }).end(),
  sized: (_request, response) => response.writeHead(200, { "content-length": 5 }).end("12345"),
  hash(request, response) {
    hashing++;
    const hash = createHash("sha256");
    // It takes nothing until it may.
    take = () => request.on("data", (bytes) => hash.update(bytes));
    request.on("end", () => response.end(hash.digest("hex")));
  },
  hashing: (_request, response) => response.end(String(hashing)),
  take(_request, response) {
    take?.();
    response.end();
  },
  async download(request, response) {
    const piece = Buffer.alloc(64 * 1024, "x");
    const pieces = Number(request.headers["x-pieces"]);
    for (written = 0; written < pieces && !response.destroyed; written++) {
      if (!response.write(piece)) await new Promise<void>((resolve) => response.once("drain", resolve).once("close", resolve));
    }
    response.end();
  },
  written: (_request, response) => response.end(String(written)),
  pipe: (request, response) => request.pipe(response),
  /** Its response starts before the upload has ended, and ends long after. */
  lingering: (request, response) =>
    request.on("data", (bytes) => response.write(bytes)).on("end", () => setTimeout(() => response.end("last"), 300)),
  early: (_request, response) => response.writeHead(413).end("too much"),
  endless(_request, response) {
    asked++;
    response.on("close", () => left++);
    response.write("first");
  },
  left: (_request, response) => response.end(String(left)),
  asked: (_request, response) => response.end(String(asked)),
  silent(_request, response) {
    asked++;
    response.on("close", () => left++);
  },
  broken(_request, response) {
    response.write("first");
    setTimeout(() => response.destroy(), 20);
  },
  hints(_request, response) {
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    response.end("hinted");
  },
  hangup: (request) => request.socket.destroy(),
  /** Answers the first request of a connection alone. */
  once(request, response) {
    requests++;
    if (seen.has(request.socket)) return request.socket.destroy();
    seen.add(request.socket);
    response.end(String(requests));
  },
  child(_request, response) {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    response.end(String(child.pid));
  },
  /** One that leaves the group, as daemons do. */
  stray(_request, response) {
    const child = spawn("sleep", ["1000"], { stdio: "ignore", detached: true });
    response.end(String(child.pid));
  },
  exit(_request, response) {
    console.error("its last words");
    response.destroy();
    process.exit(3);
  },
};

/** Accepts a WebSocket, of which it sends everything back, or refuses it by the path. */
function upgrade(request: IncomingMessage, socket: Duplex, first: Buffer): void {
  if (request.url === "/refused") {
    socket.end("HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\nnot here");
    return;
  }
  const key = acceptKey(request.headers["sec-websocket-key"]!);
  const { url, headers } = request;
  const protocol = /\becho\b/.test(headers["sec-websocket-protocol"] ?? "") ? "Sec-WebSocket-Protocol: echo\r\n" : "";
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `${protocol}Sec-WebSocket-Accept: ${key}\r\n\r\n`,
  );
  socket.write(encodeText(JSON.stringify({ url, headers })));
  const reader = new MessageReader(32 * 1024 * 1024);
  const take = (bytes: Uint8Array) => {
    reader.receive(bytes);
    for (let event = reader.nextEvent(); event !== undefined; event = reader.nextEvent()) {
      if (event.type === "close") socket.end(encodeClose(event.code));
      else if (event.type === "ping") socket.write(encodeFrame(Opcode.pong, event.bytes));
      else if (event.type === "pong") continue;
      else if (!socket.write(event.type === "text" ? encodeText(event.text) : encodeFrame(Opcode.binary, event.bytes))) {
        socket.pause();
      }
    }
  };
  socket.on("drain", () => socket.resume()).on("error", () => {});
  socket.on("data", take);
  if (first.length > 0) take(first);
}

if (process.argv[3] === "stubborn") process.on("SIGTERM", () => console.log("no"));
const server = createServer((request, response) => {
  const name = request.url!.split("?")[0].split("/").at(-1)!;
  if (Object.hasOwn(answers, name)) answers[name](request, response);
  else response.writeHead(404).end(name);
});
server.on("upgrade", upgrade);
server.listen(process.argv[2] || process.env.PORT, () => console.log("listening"));
