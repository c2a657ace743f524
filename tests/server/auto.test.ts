/** One endpoint that takes whatever protocol arrives. */
import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import { defaultOptions } from "../../src/protocol/fastcgi/server.ts";
import { request } from "../../src/server/client.ts";
import { AutoServer } from "../../src/protocol/auto.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { serve } from "../../src/server/serve.ts";
import { concat, splits, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { ask, gate, soon, startSite, transports } from "../support/peer.ts";

const all = Object.keys(protocols) as ListeningProtocol[];

/** Sends bytes over a connection of its own and resolves with what came back when the server has closed it. */
function send(path: string, bytes: string): Promise<string> {
  const socket = createConnection({ path });
  let received = "";
  socket.setEncoding("latin1").on("data", (text: string) => received += text);
  socket.on("error", () => {});
  socket.write(bytes, "latin1");
  return soon("the server to close", new Promise((resolve) => socket.on("close", () => resolve(received))));
}

for (const transport of transports) {
  describe(`protocol auto over ${transport}`, () => {
    test("each connection is answered in the protocol that it speaks, side by side", async () => {
      await using site = await startSite(async (request, info) => {
        return new Response(`${info.protocol} ${request.method} ${request.url} ${await request.text()}`);
      }, { protocol: "auto", transport });
      const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: "4" };
      const answers = await Promise.all(all.map(async (protocol) => {
        const body = (async function* () {
          yield new TextEncoder().encode("body");
        })();
        return (await ask(site.address, "/p?q", params, body, protocol)).text;
      }));
      assert.deepEqual(answers, all.map((protocol) => `${protocol} POST http://localhost/p?q body`));
      assert.deepEqual(site.errors, []);
    });
  });
}

describe("protocol auto", () => {
  for (const protocol of all) {
    test(`knows ${protocol} by its first byte, however what follows is cut`, () => {
      const params = Params.from([["REQUEST_METHOD", "GET"], ["REQUEST_URI", "/"], ["HTTP_HOST", "h"]]);
      const client = protocols[protocol].client({});
      const message = concat(client.request(1, params), client.bodyEnd(1));
      const options = { ...defaultOptions };
      const expected = transcript(protocols[protocol].server(options), [message]);
      for (const { name, pieces } of splits(message, new Random(1))) {
        const server = new AutoServer(options);
        assert.deepEqual(transcript(server, pieces), expected, name);
        assert.equal(server.protocol, protocol);
      }
    });
  }

  test("recognizes HTTP by the empty line that may come before a request", () => {
    const server = new AutoServer({ ...defaultOptions });
    server.receive(new TextEncoder().encode("\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert.equal(server.nextEvent()?.type, "request");
    assert.equal(server.protocol, "http");
  });

  const strangers: [name: string, bytes: string, reason: RegExp][] = [
    ["TLS", "\x16\x03\x01\x02\x00", /Not HTTP: it looks like TLS/],
    ["text", "hello\r\n", /No FastCGI, SCGI, AJP, uwsgi or HTTP begins with the byte 0x68/],
    ["AJP's first byte with another behind it", "\x12\x99\x00\x01\x02", /Not AJP/],
    ["a number without a colon", "12345678901234567890", /Not SCGI/],
  ];
  for (const [name, bytes, reason] of strangers) {
    test(`refuses ${name}, says so in the log and goes on`, async () => {
      await using site = await startSite(() => new Response("ok"), { protocol: "auto" });
      assert.ok(site.address.transport === "unix");
      assert.equal(await send(site.address.path, bytes), "");
      assert.equal(site.errors.length, 1);
      assert.match(site.errors[0], reason);
      assert.equal((await site.ask()).text, "ok");
    });
  }

  test("answers what begins like HTTP but is invalid with a 400", async () => {
    await using site = await startSite(() => new Response("ok"), { protocol: "auto" });
    assert.ok(site.address.transport === "unix");
    assert.match(await send(site.address.path, "GET it\r\n\r\n"), /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.equal(site.errors.length, 1);
    assert.match(site.errors[0], /^a connection: Refused with 400: Not HTTP: /);
  });

  test("ends an HTTP connection with connection: close when the server shuts down", async () => {
    const [begun, slow] = [gate(), gate()];
    await using site = await startSite(async () => {
      begun.resolve();
      await slow.promise;
      return new Response("ok");
    }, { protocol: "auto" });
    const peer = await site.connect({ protocol: "http" });
    peer.get("/", { keep: true });
    await begun.promise;
    const unused = await site.connect();
    const shutdown = site.server.shutdown(10);
    await unused.gone();
    slow.resolve();
    const { text, head } = await peer.answer();
    assert.equal(text, "ok");
    assert.ok(head!.headers.includes("close"), head!.headers.join());
    await peer.gone();
    await soon("the shutdown", shutdown);
  });

  test("HTTP needs no AJP secret, and takes the visitor from trusted proxies", async () => {
    for (const [trust, expected] of [[[], "127.0.0.1"], [["loopback"], "192.0.2.1"]] as const) {
      await using site = await startSite(
        (_request, { remoteAddr }) => new Response(remoteAddr.hostname),
        { protocol: "auto", transport: "tcp", secret: "word", trust },
      );
      assert.equal((await ask(site.address, "/", { REMOTE_ADDR: "192.0.2.1" }, undefined, "http")).text, expected);
    }
  });

  test("closes a connection that says nothing when the server shuts down", async () => {
    const site = await startSite(() => new Response("ok"), { protocol: "auto" });
    assert.ok(site.address.transport === "unix");
    const closed = send(site.address.path, "");
    await site.ask();
    await site.server.shutdown(1);
    assert.equal(await closed, "");
    await site[Symbol.asyncDispose]();
  });

  test("keeps AJP behind its secret", async () => {
    let calls = 0;
    await using site = await startSite(() => {
      calls++;
      return new Response("ok");
    }, { protocol: "auto", secret: "word" });
    const params = Params.from([["REQUEST_METHOD", "GET"], ["REQUEST_URI", "/"], ["HTTP_HOST", "h"]]);
    const status = async (secret?: string) => {
      const { head, body } = await request({ address: site.address, protocol: "ajp", params, secret });
      await body.cancel();
      return head.status;
    };
    assert.deepEqual([await status(), await status("other"), calls], [403, 403, 0]);
    assert.deepEqual([await status("word"), calls], [200, 1]);
  });

  test("does not listen where other machines reach it without a secret", async () => {
    const handler = () => new Response("ok");
    await assert.rejects(serve({ protocol: "auto", host: "0.0.0.0", port: 0 }, handler), /without a secret/);
    const server = await serve({ protocol: "auto", host: "0.0.0.0", port: 0, secret: "none" }, handler);
    await server.shutdown();
  });
});
