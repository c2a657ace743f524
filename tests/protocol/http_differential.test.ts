/**
 * The server half of HTTP beside `node:http`: of whatever bytes, we never see a request that it does not see, nor another
 * body. A proxy is like either of them, so where we stop earlier nothing can be smuggled past it.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, METHODS } from "node:http";
import process from "node:process";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { HttpServer } from "../../src/protocol/http/server.ts";
import { defaultCodecLimits } from "../../src/protocol/protocol.ts";
import { bytes, text } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

/** The others have `node:http` of their own, which take more. */
const skip = process.versions.bun || "Deno" in globalThis ? "for Node's own node:http" : false;

/** A connection that is not one of the system. */
class Stream extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, written: () => void): void {
    written();
  }
  setTimeout(): this {
    return this;
  }
}

/** The complete requests that `node:http` sees, each with its body. */
function nodeSees(message: Uint8Array): string[] {
  const messages: IncomingMessage[] = [];
  const bodies = new Map<IncomingMessage, string>();
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }, (message, response) => {
    messages.push(message);
    bodies.set(message, "");
    message.on("data", (chunk: Uint8Array) => bodies.set(message, bodies.get(message) + text(chunk)));
    message.on("error", () => {});
    message.read(0);
    response.on("error", () => {});
  });
  server.on("clientError", () => {});
  const stream = new Stream();
  stream.on("error", () => {});
  server.emit("connection", stream);
  stream.emit("data", Buffer.from(message));
  const seen = messages.filter((message) => message.complete)
    .map((message) => `${message.method} ${message.url} ${bodies.get(message)}`);
  stream.destroy();
  return seen;
}

/** The complete requests that we see, each with its body. */
function weSee(message: Uint8Array): string[] {
  const codec = new HttpServer(defaultCodecLimits);
  const seen: string[] = [];
  let request = "";
  codec.receive(message.slice());
  for (let event = codec.nextEvent(); event !== undefined; event = codec.nextEvent()) {
    if (event.type === "request") {
      request = `${event.params.get("REQUEST_METHOD")} ${event.params.get("REQUEST_URI")} `;
    } else if (event.type === "body") {
      request += text(event.bytes);
    } else if (event.type === "bodyEnd") {
      seen.push(request);
      codec.encode(event.id, { status: 200, reason: "OK", headers: [] }, undefined, true);
    }
  }
  return seen;
}

const next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
const post = (fields: string, body: string) => `POST /p HTTP/1.1\r\nHost: h\r\n${fields}\r\n${body}`;
const chunked = (body: string, fields = "Transfer-Encoding: chunked\r\n") => post(fields, body);
const inner = "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n";

/** Ways by which one reader was made to see another request than the next: the framing, then line ends, then chunks. */
const corpus: string[] = [
  next,
  post("Content-Length: 4\r\n", "body"),
  chunked("4\r\nbody\r\n0\r\n\r\n"),
  chunked("4;a=b\r\nbody\r\n0\r\nT: x\r\n\r\n"),
  // A length beside a coding, either first.
  post(`Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${inner}`),
  post(`Transfer-Encoding: chunked\r\nContent-Length: ${5 + inner.length}\r\n`, `0\r\n\r\n${inner}`),
  // Two lengths, lists, signs, blanks, other digits.
  ...[
    "3\r\nContent-Length: 4",
    "4\r\nContent-Length: 4",
    "4, 4",
    "+4",
    "-4",
    " 4",
    "4 ",
    "0x4",
    "4 4",
    "",
    "04",
    "4\t",
    "4\x0b",
    "\xb2",
  ]
    .map((length) => post(`Content-Length: ${length}\r\n`, "body")),
  // Codings that only look like chunked, or that one reader does not see.
  ...[
    "xchunked",
    "chunked, identity",
    "identity, chunked",
    "chunked, chunked",
    "gzip, chunked",
    "\tchunked",
    "chunked\t",
    "\x0bchunked",
    " ,chunked",
    "chunked,",
    '"chunked"',
    "chunked;x",
    "CHUNKED",
    "chunked\r\nTransfer-Encoding: identity",
    "identity\r\nTransfer-Encoding: chunked",
    "\r\n chunked",
  ].map((coding) => chunked("4\r\nbody\r\n0\r\n\r\n", `Transfer-Encoding: ${coding}\r\n`)),
  ...["Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "Transfer-Encoding\t: chunked", "Transfer-Encoding:chunked"]
    .map((field) => chunked("0\r\n\r\n", `${field}\r\n`) + inner),
  ...["Content-Length : 33", "Content-Length\0: 33", "Content_Length: 33", "\x00Content-Length: 33", "X: y\nContent-Length: 33"]
    .map((field) => post(`${field}\r\n`, inner)),
  ...["X: y\rContent-Length: 33", "X: y\r\n\rContent-Length: 33", "X: y\r\n Content-Length: 33", "X: y\r\r\nContent-Length: 33"]
    .map((field) => post(`${field}\r\n`, inner)),
  // Ends of heads and lines.
  "GET /a HTTP/1.1\nHost: h\n\n",
  "GET /a HTTP/1.1\r\nHost: h\r\n\n",
  "GET /a HTTP/1.1\r\nHost: h\n\r\n",
  "GET /a HTTP/1.1\r\nHost: h\r\n\r",
  "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
  "\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
  "\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
  " GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
  // Request lines.
  ...[
    "GET /a",
    "GET /a HTTP/1.1 ",
    "GET  /a HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET\t/a HTTP/1.1",
    "GET /a HTTP/1.1\r\n",
    "GET /a HTTP/1,1",
  ]
    .map((line) => `${line}\r\nHost: h\r\n\r\n`),
  ...["GET /a HTTP/0.9", "GET /a HTTP/1.0", "GET /a HTTP/1.2", "GET /a HTTP/2.0", "GET http://h/a HTTP/1.1", "OPTIONS * HTTP/1.1"]
    .map((line) => `${line}\r\nHost: h\r\nConnection: keep-alive\r\n\r\n`),
  // Chunks: sizes, extensions, line ends, trailers.
  ...[
    " 4",
    "4 ",
    "+4",
    "-4",
    "0x4",
    "4;",
    "4 ;a",
    "4;a\n",
    "4;a\rb",
    '4;a="\r\nx"',
    "00000004",
    "0000000000000000004",
    "fffffffffffffffc",
    "100000004",
    "4\0",
    "4,",
    "4_",
    "",
    "g",
  ].map((size) => chunked(`${size}\r\nbody\r\n0\r\n\r\n`)),
  chunked("4\nbody\r\n0\r\n\r\n"),
  chunked("4\r\nbody\n0\r\n\r\n"),
  chunked("4\r\nbodyXX0\r\n\r\n"),
  chunked("4\r\nbody0\r\n\r\n"),
  chunked("4\r\nbody\r\r\n0\r\n\r\n"),
  chunked(`4\r\nbody\r\n0\r\n${inner}`),
  chunked("4\r\nbody\r\n0\r\nContent-Length: 5\r\n\r\n"),
  chunked("4\r\nbody\r\n0\r\nT : x\r\n\r\n"),
  chunked("4\r\nbody\r\n0\r\nT: x\n\r\n"),
  chunked("4\r\nbody\r\n0\r\n\n"),
  chunked("4\r\nbody\r\n0;a\r\n\r\n"),
  // Bodies where none are expected, and old clients.
  `GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
  `HEAD /a HTTP/1.1\r\nHost: h\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
  "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
  `POST /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n${inner}`,
  `GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n${inner}`,
  `POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody`,
];

/** It knows some methods alone, and takes no byte that is not ASCII in a target: neither says where a request ends. */
function isForBoth(request: string): boolean {
  const [method, target] = request.split(" ");
  return METHODS.includes(method) && !/[\x80-\xff]/.test(target);
}

function compare(message: Uint8Array): number {
  const all = weSee(message);
  const odd = all.findIndex((request) => !isForBoth(request));
  const ours = odd < 0 ? all : all.slice(0, odd);
  const theirs = nodeSees(message);
  assert.deepEqual(ours, theirs.slice(0, ours.length), JSON.stringify(text(message)));
  return ours.length;
}

describe("beside node:http", { skip }, () => {
  test("we see no other requests in messages that were made to be misread", () => {
    let seen = 0;
    for (const message of corpus) seen += compare(bytes(message + next));
    assert.ok(seen > 30, `${seen} requests were seen`);
  });

  test("nor in random mutations of them", () => {
    let seen = 0;
    for (let seed = 0; seed < 10_000; seed++) {
      const random = new Random(seed);
      const message = random.mutate(bytes(random.pick(corpus) + random.pick(corpus) + next));
      seen += compare(message);
    }
    assert.ok(seen > 1000, `${seen} requests were seen`);
  });
});
