/** A program that speaks HTTP, for tests that run one: on the socket or the port that is its first argument, or on PORT. */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";

/** Requests that do not end by themselves, and those of them whose visitor has left. */
let asked = 0;
let left = 0;
/** What `hash` waits for, and pieces that `download` has written. */
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
    const hash = createHash("sha256");
    // It takes nothing until it may.
    take = () => request.on("data", (bytes) => hash.update(bytes));
    request.on("end", () => response.end(hash.digest("hex")));
  },
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
  exit(_request, response) {
    console.error("its last words");
    response.destroy();
    process.exit(3);
  },
};

if (process.argv[3] === "stubborn") process.on("SIGTERM", () => console.log("no"));
const server = createServer((request, response) => {
  const name = request.url!.split("?")[0].split("/").at(-1)!;
  if (Object.hasOwn(answers, name)) answers[name](request, response);
  else response.writeHead(404).end(name);
});
server.listen(process.argv[2] || process.env.PORT, () => console.log("listening"));
