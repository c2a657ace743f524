/**
 * This server beside those that a runtime has, `node:http` everywhere, `Bun.serve` and `Deno.serve` at home: each gets the same
 * bytes. What we refuse, they may take: the corpus has the section by which it is refused. What we take, they see as we do, or
 * {@linkcode elsewhere} says why not.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, createConnection } from "node:net";
import { after, before, describe, test } from "node:test";
import { serve } from "../../src/server/serve.ts";
import { bytes, text } from "../support/bytes.ts";
import { finish, lastSamples, samples } from "../support/http_corpus.ts";
import type { SeenRequest } from "../support/http_readers.ts";
import { within } from "../support/program.ts";

/** A server that keeps what it sees of complete requests. */
interface Reader {
  port: number;
  seen: SeenRequest[];
  stop(): Promise<unknown>;
}

/** Targets that are not plain are written in several ways, and a `Request` has no body with GET and HEAD. */
function shown(method: string, target: string, body: string): SeenRequest {
  return `${method} ${/^\/\w+$/.test(target) ? target : "…"} ${/^(?:GET|HEAD)$/.test(method) ? "" : body}`;
}

/** Such as `/get` of a URL or of a target in absolute form. */
const originOf = (url: string) => url.replace(/^https?:\/\/[^/]*/i, "");

const bodiless: Record<string, number> = { "/204": 204, "/304": 304 };

/** A handler that keeps what it sees. */
function keeps(reader: { seen: SeenRequest[] }): (request: Request) => Promise<Response> {
  return async (request) => {
    const { seen } = reader;
    const target = originOf(request.url);
    // One that breaks off is not complete.
    const body = await request.bytes().catch(() => undefined);
    if (body === undefined) return new Response("", { status: 400 });
    seen.push(shown(request.method, target, text(body)));
    const status = bodiless[target];
    return status ? new Response(null, { status }) : new Response("ok");
  };
}

async function startOurs(): Promise<Reader> {
  const reader: Reader = { port: 0, seen: [], stop: () => server.shutdown() };
  const server = await serve({ port: 0, protocol: "http", onError() {} }, keeps(reader));
  if (server.address.transport === "tcp") reader.port = server.address.port;
  return reader;
}

async function startNode(): Promise<Reader> {
  const reader: Reader = { port: 0, seen: [], stop };
  const server = createServer((message, response) => {
    const { seen } = reader;
    const target = originOf(message.url!);
    const chunks: Uint8Array[] = [];
    message.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    message.on("error", () => {});
    message.on("end", () => {
      seen.push(shown(message.method!, target, chunks.map(text).join("")));
      response.statusCode = bodiless[target] ?? 200;
      response.end("ok");
    });
  });
  async function stop() {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  reader.port = (server.address() as AddressInfo).port;
  return reader;
}

const { Bun: bun, Deno: deno } = globalThis as unknown as {
  Bun?: { serve(options: object): { port: number; stop(force: boolean): Promise<void> } };
  Deno?: { serve(options: object): { addr: AddressInfo; shutdown(): Promise<void> } };
};

function startNative(): Reader {
  const reader: Reader = { port: 0, seen: [], stop: () => bun ? server.stop(true) : served.shutdown() };
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  const server = bun?.serve({ ...options, fetch: keeps(reader) })!;
  const served = deno?.serve({ ...options, handler: keeps(reader) })!;
  reader.port = bun ? server.port : served.addr.port;
  return reader;
}

/** What a reader sees in a message, until it ends the connection. */
async function ask(reader: Reader, name: string, message: string): Promise<SeenRequest[]> {
  const seen: SeenRequest[] = reader.seen = [];
  const socket = createConnection({ host: "127.0.0.1", port: reader.port });
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("data", () => {}).on("error", () => {});
  socket.write(bytes(message + finish));
  try {
    await within(`the end of ${name}`, closed, 30);
  } finally {
    socket.destroy();
  }
  return seen;
}

/** `node` is Node's `node:http`, and those of Bun and Deno have the names of their runtimes, as `Bun.serve` and `Deno.serve`. */
type Peer = "node:http on Node" | "node:http on Bun" | "node:http on Deno" | "Bun.serve" | "Deno.serve";

const llhttp: Peer[] = ["node:http on Node", "node:http on Deno"];
const ofBun: Peer[] = ["node:http on Bun", "Bun.serve"];

/** What we take and others do not, or not so, and why we do. None of it says where a request ends. */
const elsewhere: [sample: RegExp, peers: Peer[], why: string][] = [
  [/^an empty line /, ofBun, "RFC 9112, 2.2: one empty line before a request should be ignored"],
  [/^(?:a|two) trailers?\b/, ofBun, "RFC 9112, 7.1.2: trailers are a part of a chunked body, and may be dropped"],
  [/^asterisk form$/, ofBun, "RFC 9112, 3.2.4: OPTIONS may have it"],
  [/^a target that is not /, [...llhttp, "node:http on Bun", "Deno.serve"], "as over FastCGI: it gets percent-encoded"],
  [/^a method that nobody /, [...llhttp, ...ofBun], "RFC 9110, 16.1: there may be more methods"],
  [/^TRACE$/, [...llhttp, ...ofBun, "Deno.serve"], "fetch has no such Request: it gets 405, and the connection stays"],
  [/^Proxy-Connection$/, [...llhttp, ...ofBun], "RFC 9112, C.2.2: nobody should send it, and it says nothing here"],
  [/^Upgrade to /, [...llhttp, "Deno.serve"], "RFC 9110, 7.8: one that is not accepted is ignored"],
  [/^HTTP\/1\.0 that is kept/, ofBun, "RFC 9112, 9.3: it is kept when the client asks"],
  [/^a trailer that closes$/, llhttp, "RFC 9110, 6.5.1: what is about the connection cannot be a trailer"],
  [/^HTTP\/1\.0 with close and keep-alive$/, llhttp, "RFC 9112, 9.3: close counts for more"],
];

const runtime = bun ? "Bun" : deno ? "Deno" : "Node";

describe("beside the servers of the runtime", () => {
  let ours: Reader;
  const peers = new Map<string, Reader>();

  before(async () => {
    ours = await startOurs();
    peers.set(`node:http on ${runtime}`, await startNode());
    if (bun || deno) peers.set(`${runtime}.serve`, startNative());
  });

  after(() => Promise.all([ours, ...peers.values()].map((reader) => reader.stop())));

  for (const { name, message, refused } of [...samples, ...lastSamples]) {
    test(refused ? `${name} is refused` : `${name} is what others take it for`, async () => {
      const seen = await ask(ours, name, message);
      if (refused) return assert.deepEqual(seen, []);
      for (const [peer, reader] of peers) {
        if (elsewhere.some(([sample, peers]) => sample.test(name) && peers.some((other) => other === peer))) continue;
        assert.deepEqual(await ask(reader, name, message), seen, peer);
      }
    });
  }
});
