/** What arrives behind a complete request, or belongs to none: answers arrive although it does. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { body as ajpBody, forward, packet, post } from "../support/ajp.ts";
import { bytes, concat, hex, pattern } from "../support/bytes.ts";
import { gate, paramsOf, type Peer, soon, startSite, transports, turns } from "../support/peer.ts";
import { single } from "../support/single.ts";
import { traffic } from "../support/traffic.ts";

const zeros = new Uint8Array(8);

/** A site whose answers wait until they may leave, which records what it was asked. */
async function waitingSite(protocol: "fcgi" | "scgi" | "uwsgi" | "ajp", transport: "unix" | "tcp" = "unix") {
  const [begun, leave] = [gate(), gate()];
  const asked: string[] = [];
  const aborted: string[] = [];
  const site = await startSite(async (request) => {
    const path = new URL(request.url).pathname;
    asked.push(path);
    begun.resolve();
    request.signal.addEventListener("abort", () => aborted.push(path));
    const text = await request.text();
    await leave.promise;
    return new Response(`${path} ${text}`);
  }, { protocol, transport });
  return { site, begun, leave, asked, aborted, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() };
}

/** A request of a POST with the body `hello`, as the peer's protocol has it. */
function whole(peer: Peer, path: string, { id = 1, keep = true } = {}): Uint8Array {
  const params = paramsOf(path, { REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" });
  return concat(peer.codec.request(id, params, { keep }), peer.codec.body(id, bytes("hello")), peer.codec.bodyEnd(id));
}

for (const transport of transports) {
  describe(`over FastCGI and ${transport}, a complete request is answered`, () => {
    const strays: [name: string, junk: Uint8Array][] = [
      ["a second end of STDIN", traffic().stdin().bytes()],
      ["DATA", traffic().data("x").data().bytes()],
      [
        "records of other types and requests",
        traffic().record(99, "x").stdout("x").stdin("x", { id: 3 }).data("x", { id: 0 }).bytes(),
      ],
    ];
    for (const [name, junk] of strays) {
      for (const later of [false, true]) {
        test(`although ${name} ${later ? "comes later" : "comes with it"}, and the next on its connection`, async () => {
          await using setting = await waitingSite("fcgi", transport);
          const { site, leave, begun } = setting;
          const peer = await site.connect();
          if (later) peer.send(whole(peer, "/1"));
          else peer.send(concat(whole(peer, "/1"), junk));
          if (later) {
            await soon("the application to be asked", begun.promise);
            peer.send(junk);
          }
          peer.send(whole(peer, "/2", { id: 2 }));
          leave.resolve();
          assert.equal((await peer.answer(1)).text, "/1 hello");
          assert.equal((await peer.answer(2)).text, "/2 hello");
          peer.send(concat(junk, whole(peer, "/3", { id: 4 })));
          assert.equal((await peer.answer(4)).text, "/3 hello");
          assert.deepEqual(site.errors, []);
        });
      }
    }

    for (const keep of [false, true]) {
      test(`although zeros follow, and its connection closes then; KEEP_CONN is ${keep ? "on" : "off"}`, async () => {
        await using setting = await waitingSite("fcgi", transport);
        const { site, leave, asked, aborted } = setting;
        const peer = await site.connect();
        const open = concat(peer.codec.request(2, paramsOf("/open"), { keep }), peer.codec.body(2, bytes("he")));
        peer.send(concat(open, whole(peer, "/1", { keep }), zeros, whole(peer, "/never", { id: 3 })));
        leave.resolve();
        assert.equal((await peer.answer(1)).text, "/1 hello");
        await peer.gone();
        assert.equal(peer.error, undefined);
        assert.equal(peer.response(2).end, undefined);
        assert.equal(peer.response(3).head, undefined);
        assert.deepEqual(asked.filter((path) => path !== "/open"), ["/1"]);
        // It may have been started before it was known that it will never be complete.
        assert.deepEqual(aborted, asked.filter((path) => path === "/open"));
        assert.deepEqual(site.errors.filter((line) => line.includes("Not FastCGI")).length, 1);
      });
    }

    test("and arrives whole although zeros come behind the answer", async () => {
      const body = pattern(200_000);
      await using site = await startSite(() => new Response(body.slice()), { transport });
      const peer = await site.connect();
      peer.pause();
      peer.get("/", { keep: true });
      peer.send(zeros);
      await peer.sent();
      peer.resume();
      assert.equal((await peer.answer()).length, body.length);
      await peer.gone();
      assert.equal(peer.error, undefined);
    });

    test("also where another on the connection is invalid and gets a 400", async () => {
      await using setting = await waitingSite("fcgi", transport);
      const { site, leave } = setting;
      const peer = await site.connect();
      const spoilt = traffic().begin({ id: 2, keep: true }).openParams({ A: "b" }, { id: 2 }).stdin("x", { id: 2 }).bytes();
      peer.codec.request(2, paramsOf("/"));
      peer.send(concat(spoilt, whole(peer, "/1")));
      assert.equal((await peer.answer(2)).head?.status, 400);
      leave.resolve();
      assert.equal((await peer.answer(1)).text, "/1 hello");
    });
  });

  test(`a peer that floods a FastCGI connection over ${transport} with records of no request is cut off`, async () => {
    await using site = await startSite(() => new Response("hello"), { transport });
    const peer = await site.connect();
    for (let i = 0; i < 40 && !peer.closed; i++) {
      peer.send(traffic().stdin(pattern(60_000)).bytes());
      await peer.sent();
    }
    await peer.gone();
    assert.deepEqual(site.errors, [
      "a connection: Closed a connection: The web server sent 1048576 bytes that belong to no request",
    ]);
  });

  for (const protocol of ["scgi", "uwsgi"] as const) {
    test(`over ${protocol} and ${transport}, bytes behind a request are dropped`, async () => {
      await using setting = await waitingSite(protocol, transport);
      const { site, leave, asked } = setting;
      const peer = await site.connect();
      peer.send(concat(whole(peer, "/1"), zeros, whole(peer, "/2")));
      peer.send(bytes("more"));
      leave.resolve();
      assert.equal((await peer.answer()).text, "/1 hello");
      await peer.gone();
      assert.deepEqual({ error: peer.error, asked, errors: site.errors }, { error: undefined, asked: ["/1"], errors: [] });
    });

    test(`over ${protocol} and ${transport}, a CONTENT_LENGTH that cannot be counted is a 400`, async () => {
      await using site = await startSite(() => new Response("hello"), { protocol, transport });
      const peer = await site.connect();
      peer.send(peer.codec.request(1, paramsOf("/", { CONTENT_LENGTH: "99999999999999999999" })));
      assert.equal((await peer.answer()).head?.status, 400);
    });

    for (const [first, second] of [["4", "99"], ["99", "4"], ["x", "4"]]) {
      test(`over ${protocol} and ${transport}, the lengths ${first} and "${second}" are a 400, and nothing of the body is looked at`, async () => {
        await using setting = await waitingSite(protocol, transport);
        const { site, asked } = setting;
        const peer = await site.connect();
        const lengths = [first, second].map((length) => ["CONTENT_LENGTH", length] as const);
        peer.send(concat(single[protocol].message([...lengths, ["REQUEST_URI", "/"]], "body"), whole(peer, "/smuggled")));
        assert.equal((await peer.answer()).head?.status, 400);
        await peer.gone();
        assert.deepEqual(asked, []);
        assert.match(site.errors.join(), /Refused with 400: CONTENT_LENGTH is ".*" and ".*"$/);
      });
    }
  }

  describe(`over AJP and ${transport}`, () => {
    for (
      const [name, junk] of [
        ["another request", forward({ uri: "/never" })],
        ["a body packet that was not asked for", ajpBody("x")],
        ["what is no packet", zeros],
        ["a packet of another type", packet("\xff")],
      ] as const
    ) {
      test(`a complete request is answered although ${name} follows, and nothing behind that is parsed`, async () => {
        await using setting = await waitingSite("ajp", transport);
        const { site, leave, asked } = setting;
        const peer = await site.connect();
        peer.send(concat(whole(peer, "/1"), junk, forward({ uri: "/never" })));
        leave.resolve();
        assert.equal((await peer.answer()).text, "/1 hello");
        await peer.gone();
        assert.deepEqual({ error: peer.error, asked, errors: site.errors.length }, {
          error: undefined,
          asked: ["/1"],
          errors: 1,
        });
      });
    }

    test("a body packet with bytes behind the body is answered, and the next request", async () => {
      await using setting = await waitingSite("ajp", transport);
      const { site, leave } = setting;
      const peer = await site.connect();
      leave.resolve();
      for (let i = 0; i < 2; i++) {
        peer.codec.request(1, paramsOf("/"));
        peer.send(concat(post(9, { attributes: [] }), hex("1234 000f 0009 746573743d64617461 000000ff")));
        const { finished } = peer;
        await peer.until("it is answered", () => finished.length > i);
      }
      assert.equal(peer.response().text, "/ test=data/ test=data");
    });

    test("a request with two lengths is a 400, and its connection closes", async () => {
      await using setting = await waitingSite("ajp", transport);
      const { site, asked } = setting;
      const peer = await site.connect();
      peer.codec.request(1, paramsOf("/"));
      peer.send(concat(post(9, { headers: [["content-length", "99"]] }), ajpBody("test=data"), forward({ uri: "/smuggled" })));
      assert.equal((await peer.answer()).head?.status, 400);
      await peer.gone();
      assert.deepEqual(asked, []);
    });
  });
}

// A Unix socket loses nothing of what was sent.
for (const protocol of ["fcgi", "scgi", "uwsgi", "http"] as const) {
  test(`over ${protocol} and TCP, a response arrives whole although bytes come when it has left`, async () => {
    const body = pattern(300_000);
    const left = gate();
    await using site = await startSite((_, { completed }) => {
      completed.then(left.resolve);
      return new Response(body.slice());
    }, { protocol, transport: "tcp" });
    const peer = await site.connect();
    peer.pause();
    peer.get("/", { keep: false, params: { HTTP_CONNECTION: "close" } });
    await soon("the response to leave", left.promise);
    await turns();
    peer.send(zeros);
    await turns();
    peer.resume();
    await peer.gone();
    const { length, end } = peer.response();
    assert.deepEqual({ length, ended: end !== undefined }, { length: body.length, ended: true });
  });
}
