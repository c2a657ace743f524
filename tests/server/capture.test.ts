import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { Log } from "../../src/app/log.ts";
import { servingOf } from "../../src/app/serving.ts";
import { defaultOptions } from "../../src/protocol/fastcgi/server.ts";
import { Capture } from "../../src/server/capture.ts";
import { ConnectionKeeper, request } from "../../src/server/client.ts";
import { replay } from "../../src/server/replay.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { serveWorker as serve } from "../../src/server/serve.ts";
import { bytes } from "../support/bytes.ts";
import { ask, folder, paramsOf, Peer } from "../support/peer.ts";

/** Answers with the status that the path asks for, and spoils what it was given. */
async function answer(request: Request): Promise<Response> {
  const body = await request.bytes();
  body.fill(0);
  return new Response(null, { status: Number(new URL(request.url).pathname.slice(1)) });
}

/** A server that keeps up to so many requests. */
async function capturing(protocol: ListeningProtocol | "auto", count: number) {
  const place = folder();
  const log: string[] = [];
  const capture = {
    count,
    folder: place.path,
    log: (text: string) => void log.push(text),
  };
  const server = await serve({ socket: place.join("s"), protocol, capture, onError() {} }, answer);
  return {
    place,
    log,
    address: server.address,
    files: () => readdirSync(place.path).filter((name) => name.endsWith(".bin")).sort(),
    async [Symbol.asyncDispose]() {
      await server.shutdown(0);
      place[Symbol.dispose]();
    },
  };
}

describe("capture", () => {
  for (const protocol of Object.keys(protocols) as ListeningProtocol[]) {
    test(`keeps a request over ${protocol} that fails, as it came`, async () => {
      await using site = await capturing(protocol, 2);
      const send = (status: number) => {
        const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: "4", HTTP_COOKIE: "s3cret" };
        return ask(site.address, `/${status}`, params, Readable.from([Buffer.from("x=12")]), protocol);
      };
      for (const status of [200, 404, 503]) await send(status);
      assert.deepEqual(site.files(), ["capture-1.bin"]);
      const kept = readFileSync(site.place.join("capture-1.bin"));
      assert.equal(statSync(site.place.join("capture-1.bin")).mode & 0o777, 0o600);
      assert.match(site.log[0], /^Kept the request that failed \(status 503\): runfcgi replay .*capture-1\.bin$/);
      assert.ok(!kept.includes("s3cret"));
      let body = "";
      const { answered, cut } = await replay(kept, {
        protocol,
        handler: async (request) => (body = await request.text(), new Response()),
        onError() {},
      });
      assert.deepEqual([answered, cut, body], [1, false, "x=12"]);
      for (const status of [500, 500, 500]) await send(status);
      assert.deepEqual(site.files(), ["capture-1.bin", "capture-2.bin"]);
    });
  }

  test("keeps what was received, whatever the application does to its memory", () => {
    using place = folder();
    const capture = new Capture({ count: 1, folder: place.path, log() {} });
    const codec = capture.wrap(protocols.scgi.server(defaultOptions));
    // A Buffer with memory of its own, as sockets give it: its slice() copies nothing.
    const read = Buffer.alloc(32);
    read.write("24:CONTENT_LENGTH\x004\0SCGI\x001\0,x=12");
    codec.receive(read);
    for (let event = codec.nextEvent(); event; event = codec.nextEvent()) if (event.type === "body") event.bytes.fill(0);
    codec.encode(1, { status: 500, reason: "", headers: [] }, undefined, true);
    assert.match(readFileSync(place.join("capture-1.bin"), "latin1"), /x=12$/);
  });

  test("keeps the request that fails, and not those before it on its connection", async () => {
    await using site = await capturing("http", 1);
    const keeper = new ConnectionKeeper();
    for (const status of [200, 201, 500]) {
      const { head, body } = await request({ address: site.address, protocol: "http", params: paramsOf(`/${status}`), keeper });
      await new Response(body).text();
      assert.equal(head.status, status);
    }
    keeper.close();
    assert.match(
      readFileSync(site.place.join("capture-1.bin"), "latin1"),
      /^GET \/500 HTTP\/1\.1\r\nhost: localhost\r\n[^]*\r\n\r\n$/,
    );
  });

  test("keeps bytes that are not the protocol's", async () => {
    await using site = await capturing("auto", 1);
    const peer = await Peer.connect(site.address, { protocol: "fcgi" });
    peer.send(bytes("\x07 Cookie: s3cret"));
    await peer.until("the connection is closed", () => peer.ended);
    peer.destroy();
    assert.equal(readFileSync(site.place.join("capture-1.bin"), "latin1"), "\x07 ******* ******");
    assert.match(site.log[0], /\(No FastCGI, .* begins with the byte 0x07\)/);
  });

  test("leaves existing files alone, and says when it cannot write", async () => {
    await using site = await capturing("fcgi", 1);
    writeFileSync(site.place.join("capture-1.bin"), "old");
    await ask(site.address, "/500");
    assert.equal(readFileSync(site.place.join("capture-1.bin"), "utf8"), "old");
    assert.deepEqual(site.log, []);
    const place = folder();
    const log: string[] = [];
    const capture = { count: 5, folder: place.join("none"), log: (text: string) => void log.push(text) };
    const server = await serve({ socket: place.join("s"), capture, onError() {} }, answer);
    await ask(server.address, "/500");
    await ask(server.address, "/500");
    await server.shutdown(0);
    place[Symbol.dispose]();
    assert.equal(log.length, 1);
    assert.match(log[0], /^Cannot keep requests that fail in ".*none": /);
  });

  test("has names that Apache never serves where visitors could ask for it", () => {
    const log = new Log(undefined, { stderr: false });
    const where = (options: Parameters<typeof servingOf>[0]) => {
      const { folder, prefix, count } = servingOf({ capture: 3, ...options }, log).serve.capture!;
      return [folder, prefix, count];
    };
    assert.deepEqual(where({}), [process.cwd(), ".htcapture", 3]);
    assert.deepEqual(where({ capturedir: "/a" }), ["/a", undefined, 3]);
    assert.deepEqual(where({ capturedir: "/a", capture: 1 }), ["/a", undefined, 1]);
    assert.deepEqual(where({ errlog: "/b/log" }), ["/b", undefined, 3]);
    assert.equal(servingOf({}, log).serve.capture, undefined);
  });

  test("holds no more of a request than 1 MiB", async () => {
    await using site = await capturing("scgi", 1);
    const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: String(3 << 20) };
    await ask(site.address, "/500", params, Readable.from([Buffer.alloc(3 << 20)]), "scgi");
    assert.equal(statSync(site.place.join("capture-1.bin")).size, 1 << 20);
  });
});
