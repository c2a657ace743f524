/** FCGI_WEB_SERVER_ADDRS: FastCGI 1.0, section 3.2. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { environmentOptions } from "../../src/options/options.ts";
import { WebServers } from "../../src/server/web_servers.ts";
import { startSite } from "../support/peer.ts";

/** The variable, until the end of the block. */
function allowed(list: string): Disposable {
  const before = process.env.FCGI_WEB_SERVER_ADDRS;
  process.env.FCGI_WEB_SERVER_ADDRS = list;
  return {
    [Symbol.dispose]() {
      if (before === undefined) delete process.env.FCGI_WEB_SERVER_ADDRS;
      else process.env.FCGI_WEB_SERVER_ADDRS = before;
    },
  };
}

describe("FCGI_WEB_SERVER_ADDRS", () => {
  for (const list of ["127.0.0.1", "192.0.2.1,127.0.0.1", " ::1 , 127.0.0.1 "]) {
    test(`of "${list}" lets 127.0.0.1 connect`, async () => {
      using _variable = allowed(list);
      await using site = await startSite(() => new Response("hello"), { transport: "tcp" });
      assert.equal((await site.ask()).text, "hello");
      assert.deepEqual(site.errors, []);
    });
  }

  for (const protocol of ["fcgi", "auto"] as const) {
    test(`without the peer refuses it over ${protocol} and TCP, and says so once`, async () => {
      using _variable = allowed("192.0.2.1,::1");
      const asked: string[] = [];
      await using site = await startSite(({ url }) => (asked.push(url), new Response("hello")), { transport: "tcp", protocol });
      for (let i = 0; i < 3; i++) {
        // It may be gone before it knows that it was there.
        const peer = await site.connect().catch((error) => assert.equal(error.code, "ECONNRESET"));
        peer?.get("/");
        await peer?.gone();
        assert.equal(peer?.received ?? 0, 0);
      }
      assert.deepEqual(asked, []);
      assert.deepEqual(site.errors, [
        "a connection: Refused a connection from 127.0.0.1, which FCGI_WEB_SERVER_ADDRS does not list",
      ]);
    });
  }

  test("means nothing over a Unix socket and over other protocols", async () => {
    using _variable = allowed("192.0.2.1");
    for (const options of [{ transport: "unix" }, { transport: "tcp", protocol: "scgi" }] as const) {
      await using site = await startSite(() => new Response("hello"), options);
      assert.equal((await site.ask()).text, "hello");
    }
  });

  for (
    const [list, wrong] of [
      ["", ""],
      ["127.0.0.1,", ""],
      ["localhost", "localhost"],
      ["::1,10.0.0.0/8", "10.0.0.0/8"],
      [
        "127.0.0.1 10.0.0.1",
        "127.0.0.1 10.0.0.1",
      ],
      ["fe80::1%eth0", "fe80::1%eth0"],
      ["256.0.0.1", "256.0.0.1"],
    ]
  ) {
    test(`of "${list}" is an error at start`, async () => {
      const message = `FCGI_WEB_SERVER_ADDRS has "${wrong}", expected IP addresses joined by commas, such as 127.0.0.1,10.0.0.5`;
      using _variable = allowed(list);
      await assert.rejects(startSite(() => new Response()), { name: "TypeError", message });
      assert.throws(() => environmentOptions({ FCGI_WEB_SERVER_ADDRS: list }), { name: "UsageError", message });
    });
  }

  test("recognizes an IPv4 address within IPv6, and refuses a peer without an address", () => {
    const servers = new WebServers("127.0.0.1,2001:DB8::1");
    const refuses = (remoteAddress?: string) => {
      const addresses = remoteAddress === undefined
        ? undefined
        : { remoteAddress, remotePort: 1, localAddress: "127.0.0.1", localPort: 2 };
      return servers.refuses({ addresses } as Parameters<WebServers["refuses"]>[0], () => {});
    };
    assert.equal(refuses("::ffff:127.0.0.1"), false);
    assert.equal(refuses("2001:db8:0::1"), false);
    assert.equal(refuses("2001:db8::2"), true);
    assert.equal(refuses(), true);
  });
});
