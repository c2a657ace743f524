/** HTTP over real sockets, as proxies and others speak it. */
import assert from "node:assert/strict";
import { createConnection, type Socket } from "node:net";
import { describe, test } from "node:test";
import type { Address } from "../../src/runtime/socket.ts";
import type { Handler } from "../../src/server/handler.ts";
import { bytes, concat, text } from "../support/bytes.ts";
import { Changing, gate, type Site, type SiteOptions, soon, startSite, transports, turns } from "../support/peer.ts";
import { Random } from "../support/random.ts";

/** A connection for bytes as they are. */
class Raw extends Changing implements Disposable {
  readonly #socket: Socket;
  /** What has arrived, as a byte string. */
  text = "";
  ended = false;
  closed = false;
  error: Error | undefined;

  constructor(address: Address) {
    super();
    this.#socket = address.transport === "unix"
      ? createConnection({ path: address.path, allowHalfOpen: true })
      : createConnection({ host: address.hostname, port: address.port, allowHalfOpen: true });
    this.#socket.on("data", (bytes: Uint8Array) => {
      this.text += text(bytes);
      this.changed();
    });
    this.#socket.on("error", (error) => this.error = error);
    this.#socket.on("end", () => {
      this.ended = true;
      this.changed();
    });
    this.#socket.on("close", () => {
      this.closed = true;
      this.changed();
    });
  }

  send(text: string): void {
    this.#socket.write(bytes(text));
  }

  halfClose(): void {
    this.#socket.end();
  }

  /** Waits for what is to come and gives all that has. */
  async saw(pattern: RegExp): Promise<string> {
    await this.until(`${pattern} arrives, and not ${JSON.stringify(this.text)}`, () => pattern.test(this.text));
    return this.text;
  }

  /** Waits for the end of the connection and gives all that came before. */
  async all(): Promise<string> {
    await this.until(`the connection ends behind ${JSON.stringify(this.text)}`, () => this.ended || this.closed);
    this.#socket.end();
    return this.text;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const echo: Handler = async (request) => new Response(`${new URL(request.url).pathname} ${await request.text()}`);

for (const transport of transports) {
  const start = (handler: Handler, options: Parameters<typeof startSite>[1] = {}): Promise<Site> =>
    startSite(handler, { protocol: "http", transport, ...options });

  describe(`HTTP over ${transport}`, () => {
    test("a GET gets status, headers and body, and the handler gets the protocol", async () => {
      await using site = await start((request, info) =>
        new Response(`${info.protocol} ${request.method} ${request.url}`, {
          status: 201,
          headers: [["x-b", "é"], ["set-cookie", "a=1"], ["set-cookie", "b=2"], ["connection", "x-hop"], ["keep-alive", "9"]],
        })
      );
      const peer = await site.connect();
      peer.get("/p?q=1", { keep: true });
      const response = await peer.answer();
      assert.deepEqual({ status: response.head?.status, reason: response.head?.reason }, { status: 201, reason: "Created" });
      assert.equal(response.text, "http GET http://localhost/p?q=1");
      assert.deepEqual(response.header("x-b"), ["é"]);
      assert.deepEqual(response.header("set-cookie"), ["a=1", "b=2"]);
      assert.deepEqual([response.header("connection"), response.header("keep-alive")], [["keep-alive"], []]);
      assert.deepEqual(response.header("content-length"), [String(response.length)]);
      assert.equal(response.header("date").length, 1);
    });

    test("the application gets the address that the request comes from", async () => {
      await using site = await start((_request, { remoteAddr, params }) =>
        Response.json({ ...remoteAddr, SERVER_SOFTWARE: params.SERVER_SOFTWARE, SERVER_PORT: params.SERVER_PORT })
      );
      const { hostname, port, SERVER_SOFTWARE, SERVER_PORT } = JSON.parse((await site.ask()).text);
      assert.match(SERVER_SOFTWARE, /^runfcgi\/\d/);
      assert.equal(SERVER_PORT, "80");
      if (transport === "unix") assert.deepEqual([hostname, port], ["", 0]);
      else assert.ok(hostname === "127.0.0.1" && port > 0, `${hostname} ${port}`);
    });

    test("the visitor is the one that the proxy names, if it is trusted", async () => {
      const handler: Handler = (request, { remoteAddr }) => new Response(`${request.url} ${remoteAddr.hostname}`);
      const visitor = { REMOTE_ADDR: "192.0.2.1", HTTPS: "on" };
      for (
        const [trust, expected] of [[[], "http://localhost/ 127.0.0.1"], [["loopback"], "https://localhost/ 192.0.2.1"]] as const
      ) {
        await using site = await start(handler, { trust });
        assert.equal((await site.ask("/", visitor)).text, transport === "unix" ? "https://localhost/ 192.0.2.1" : expected);
      }
    });

    test("requests that are sent at once are answered one by one, in order", async () => {
      const gates = Array.from({ length: 3 }, () => gate());
      const begun: string[] = [];
      await using site = await start(async (request) => {
        const { pathname } = new URL(request.url);
        begun.push(pathname);
        await gates[Number(pathname[1])].promise;
        return new Response(`<${pathname} ${await request.text()}>`);
      });
      using raw = new Raw(site.address);
      raw.send(
        "GET /0 HTTP/1.1\r\nHost: h\r\n\r\nPOST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody" +
          "GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
      );
      gates[2].resolve();
      gates[1].resolve();
      await raw.until("the first is begun", () => begun.length > 0 || (turns(1).then(() => raw.changed()), false));
      await turns();
      assert.deepEqual(begun, ["/0"]);
      gates[0].resolve();
      assert.deepEqual((await raw.all()).match(/<.*?>/g), ["</0 >", "</1 body>", "</2 >"]);
    });

    test("many requests that are sent at once are all answered", async () => {
      await using site = await start(async (request) => {
        await turns(1);
        return new Response(`<${new URL(request.url).pathname}>`);
      });
      using raw = new Raw(site.address);
      for (let i = 0; i < 100; i++) raw.send(`GET /${i} HTTP/1.1\r\nHost: h\r\n${i === 99 ? "Connection: close\r\n" : ""}\r\n`);
      assert.deepEqual((await raw.all()).match(/<.*?>/g), Array.from({ length: 100 }, (_, i) => `</${i}>`));
    });

    test("thousands of requests that are sent at once and answered at once need no stack of their number", async () => {
      await using site = await start((request) => new Response(`<${new URL(request.url).pathname}>`));
      using raw = new Raw(site.address);
      const request = (i: number) => `GET /${i} HTTP/1.1\r\nHost: h\r\n${i === 4999 ? "Connection: close\r\n" : ""}\r\n`;
      raw.send(Array.from({ length: 5000 }, (_, i) => request(i)).join(""));
      assert.deepEqual((await raw.all()).match(/<.*?>/g), Array.from({ length: 5000 }, (_, i) => `</${i}>`));
      assert.deepEqual(site.errors, []);
    });

    test("HTTP/1.0 gets a response that ends with the connection, with Host or without", async () => {
      await using site = await start((request) => new Response(new Blob([request.url]).stream()));
      for (const [head, url] of [["", "http://localhost"], ["Host: h:81\r\n", "http://h:81"]]) {
        using raw = new Raw(site.address);
        raw.send(`GET /old HTTP/1.0\r\n${head}\r\n`);
        const answer = await raw.all();
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
        assert.doesNotMatch(answer, /transfer-encoding/i);
        const port = head || transport === "unix" ? "" : `:${site.address.transport === "tcp" && site.address.port}`;
        assert.equal(answer.slice(answer.indexOf("\r\n\r\n") + 4), `${url}${port}/old`);
      }
    });

    test("Expect: 100-continue is answered with 100", async () => {
      await using site = await start(echo);
      using raw = new Raw(site.address);
      raw.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
      assert.equal(await raw.saw(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
      raw.send("body");
      assert.match(await raw.all(), /\r\n\r\n\/e body$/);
    });

    test("an unknown method and bytes that are not ASCII reach the application, as over FastCGI", async () => {
      await using site = await start((request, { params }) => {
        return new Response(`${request.method} ${request.url} ${params.REQUEST_URI} ${params.PATH_INFO}`);
      });
      for (
        const [target, url, path] of [
          ["/\xc3\xa9?\xc3\xbc", "/%C3%A9?%C3%BC", "/\xc3\xa9"],
          ["/\xe9?\xfc", "/%E9?%FC", "/\xc3\xa9"],
        ]
      ) {
        using raw = new Raw(site.address);
        raw.send(`BREW ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
        const answer = await raw.all();
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
        const [method, seen, uri, pathInfo] = answer.slice(answer.indexOf("\r\n\r\n") + 4).split(" ");
        const utf8 = text(new TextEncoder().encode(target.includes("\xc3") ? "/é?ü" : "/\xe9?\xfc"));
        assert.deepEqual([method, seen, uri, pathInfo], ["BREW", `http://h${url}`, utf8, path]);
      }
      assert.deepEqual(site.errors, []);
    });

    test("an Upgrade is a request like any other", async () => {
      await using site = await start(echo);
      using raw = new Raw(site.address);
      for (const path of ["/first", "/second"]) {
        raw.send(`GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
        assert.match(await raw.saw(new RegExp(`${path} $`)), /^HTTP\/1\.1 200 OK/);
      }
    });

    test("bytes behind the last request are ignored", async () => {
      await using site = await start(echo);
      using raw = new Raw(site.address);
      raw.send("POST /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody\r\nGET / HTTP/1.1\r\n\r\n");
      assert.match(await raw.all(), /^HTTP\/1\.1 200 OK[^]*\/last body$/);
      assert.deepEqual(site.errors, []);
    });

    /** What is refused, how, and what the log says. */
    const refused: [name: string, request: string, status: number, reason: RegExp][] = [
      ["bytes that are not HTTP", "hello\r\n\r\n", 400, /Not HTTP: /],
      ["a method in small letters", "head / HTTP/1.1\r\nHost: h\r\n\r\n", 400, /Not HTTP: the method "head"/],
      ["a Content-Length beside a Transfer-Encoding", chunks("Content-Length: 3\r\n"), 400, /Not HTTP: .*Content-Length/],
      [
        "and before it",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        /Not/,
      ],
      ["two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nbody", 400, /Not HTTP: /],
      ["a length in a list", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nbody", 400, /Not HTTP: /],
      ["a length with a sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nbody", 400, /Not HTTP: /],
      [
        "a coding that is not chunked",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
        /Not HTTP: /,
      ],
      ["a coding beside chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, /gzip/],
      ["chunked twice", chunks("Transfer-Encoding: chunked\r\n"), 400, /Not HTTP: /],
      [
        "two codings in two headers",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
        /the Transfer-Encoding "gzip, chunked"/,
      ],
      ["chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, /in HTTP\/1\.0/],
      ["a chunk without a length", chunks("", "zz\r\n"), 400, /Not HTTP: /],
      ["a blank before a colon", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\n", 400, /Not HTTP: /],
      ["a header in two lines", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, /Not HTTP: /],
      ["lines without CR", "GET / HTTP/1.1\nHost: h\n\n", 400, /Not HTTP: /],
      ["a header with NUL", "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400, /Not HTTP: /],
      ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, /no Host/],
      ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, /more than one Host/],
      ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, /HTTP\/2/],
      ["HTTP/2 in a line of HTTP/1", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, /HTTP\/2\.0/],
      ["CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405, /the method CONNECT is not allowed/],
      ["another expectation", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: coffee\r\n\r\n", 417, /expectation/],
      ["headers that are too long", `GET / HTTP/1.1\r\nHost: h\r\nX: ${"x".repeat(6000)}\r\n\r\n`, 431, /more than 5000 bytes/],
      [
        "a target that is too long",
        `GET /${"x".repeat(6000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
        414,
        /a request line of more than 5000 bytes/,
      ],
      ["too many headers", `GET / HTTP/1.1\r\nHost: h\r\n${"X: x\r\n".repeat(50)}\r\n`, 431, /more than 50 params/],
    ];
    test("what cannot be taken is refused, with a line in the log, and nothing else is touched", async () => {
      let calls = 0;
      const slow = gate();
      await using site = await start(async (request) => {
        const { pathname } = new URL(request.url);
        if (pathname !== "/slow") return new Response(String(++calls));
        await slow.promise;
        return new Response("ok");
      }, { limits: { maxParamsBytes: 5000, maxParams: 50 } });
      const other = await site.connect();
      other.get("/slow", { keep: true });
      for (const [name, request, status, reason] of refused) {
        using raw = new Raw(site.address);
        raw.send(`${request}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n`);
        const answer = await raw.all();
        assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\n`), name);
        assert.match(answer, /\r\nconnection: close\r\n/i, name);
        assert.equal(answer.split("HTTP/1.1 ").length, 2, `${name}: ${answer}`);
        const [error = "", ...more] = site.errors.splice(0);
        assert.match(error, new RegExp(`^a connection: Refused with ${status}: `), name);
        assert.match(error, reason, name);
        assert.deepEqual(more, [], name);
      }
      slow.resolve();
      assert.equal((await other.answer()).text, "ok");
      assert.equal(calls, 0);
    });

    test("an invalid body aborts its request, and the visitor gets a 400", async () => {
      const [begun, aborted] = [gate(), gate()];
      await using site = await start((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        begun.resolve();
        return new Promise(() => {});
      });
      using raw = new Raw(site.address);
      raw.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
      await soon("the request", begun.promise);
      raw.send("no length\r\n");
      assert.match(await raw.all(), /^HTTP\/1\.1 400 /);
      await soon("the signal", aborted.promise);
      assert.match(site.errors.join(), /^a connection: Refused with 400: Not HTTP: [^:]*$/);
    });

    test("TLS is recognized, and gets no answer that it could not read", async () => {
      await using site = await start(() => new Response("ok"));
      using raw = new Raw(site.address);
      raw.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
      assert.equal(await raw.all(), "");
      assert.deepEqual(site.errors, [
        "a connection: Closed a connection: Not HTTP: it looks like TLS, and this endpoint takes http:// only",
      ]);
    });

    test("invalid bytes behind the head of a response end the connection", async () => {
      await using site = await start((request) => new Response(request.body), { duplex: true });
      using raw = new Raw(site.address);
      raw.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
      await raw.saw(/begin/);
      raw.send("no length\r\n");
      await raw.all();
      assert.doesNotMatch(raw.text, /\r\n0\r\n/);
      assert.match(site.errors[0], /^a connection: Closed a connection: Not HTTP: /);
    });

    test("an application that throws is a 500 and a line in the log, and the connection stays", async () => {
      await using site = await start((request) => {
        if (request.url.endsWith("/fails")) throw new Error("boom");
        return new Response("ok", { headers: request.url.endsWith("/bad") ? { "x-bad": "\x01" } : {} });
      });
      const peer = await site.connect();
      for (const path of ["/fails", "/bad", "/works"]) {
        peer.get(path, { keep: true });
        assert.equal((await peer.answer()).head?.status, path === "/works" ? 200 : 500);
      }
      assert.equal(site.errors.length, 2);
      assert.equal(site.errors[0], "GET /fails: boom");
      assert.match(site.errors[1], /^GET \/bad: /);
    });

    test("random and garbled bytes end their own connections at most", async () => {
      await using site = await start(echo, { limits: { maxParamsBytes: 2000 } });
      const valid = [
        "GET /1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyGET /3 HTTP/1.1\r\nHost: h\r\nForwarded: for=_a;host=b\r\n\r\n",
        "POST /4 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nT: x\r\n\r\n",
      ].map(bytes);
      const other = await site.connect();
      for (let round = 0; round < 10; round++) {
        const raws = Array.from({ length: 20 }, (_, i) => {
          const random = new Random(round * 20 + i);
          const raw = new Raw(site.address);
          const content = random.once(8) ? random.bytes(100) : random.mutate(concat(random.pick(valid), random.pick(valid)));
          for (const part of random.pieces(content)) raw.send(text(part));
          raw.halfClose();
          return raw;
        });
        for (const raw of raws) await raw.until("the connection ends", () => raw.ended || raw.closed);
        for (const raw of raws) raw[Symbol.dispose]();
        other.get(`/${round}`, { keep: true });
        assert.equal((await other.answer()).text, `/${round} `);
      }
      for (const error of site.errors) {
        assert.match(error, /^(?:a connection: (?:Refused with|Closed a connection)|.*: Refused with 4)/);
      }
    });
  });
}

function chunks(header: string, body = "3\r\nabc\r\n0\r\n\r\n"): string {
  return `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n${header}\r\n${body}`;
}

describe("the PROXY protocol", () => {
  const ask = async (options: SiteOptions, first: string) => {
    await using site = await startSite((_request, info) => Response.json(info.remoteAddr), {
      transport: "tcp",
      proxyProtocol: true,
      protocol: "http",
      ...options,
    });
    using raw = new Raw(site.address);
    raw.send(`${first}GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    await raw.until("the connection ends", () => raw.ended || raw.closed);
    return { text: raw.text, errors: site.errors };
  };
  const line = "PROXY TCP4 198.51.100.7 203.0.113.1 5000 80\r\n";

  for (const protocol of ["http", "auto"] as const) {
    test(`says over ${protocol} where the visitor comes from`, async () => {
      const { text } = await ask({ protocol, trust: ["127.0.0.1"] }, line);
      assert.match(text, /\{"transport":"tcp","hostname":"198\.51\.100\.7","port":5000\}$/);
    });
  }

  test("is refused from a peer that is not trusted, which the log names", async () => {
    const { text, errors } = await ask({ trust: ["192.0.2.1"] }, line);
    assert.equal(text, "");
    assert.match(errors.join(), /Closed a connection: The peer 127\.0\.0\.1 may not use the PROXY protocol/);
  });

  test("is needed where it is expected", async () => {
    const { text, errors } = await ask({ trust: ["127.0.0.1"] }, "");
    assert.equal(text, "");
    assert.match(errors.join(), /does not begin with the PROXY protocol/);
  });

  test("belongs to HTTP", async () => {
    await assert.rejects(startSite(() => new Response(), { protocol: "scgi", proxyProtocol: true }), TypeError);
  });
});
