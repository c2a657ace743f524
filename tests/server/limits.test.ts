import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { MemoryConnection } from "../support/memory.ts";
import { gate, startSite, transports } from "../support/peer.ts";
import { traffic } from "../support/traffic.ts";

const overloaded = "it is overloaded (OVERLOADED)";

for (const transport of transports) {
  describe(`limits over ${transport}`, () => {
    test("more params than maxParamsBytes are refused with 431, and the connection can be kept", async () => {
      await using site = await startSite(() => new Response("ok"), { transport, limits: { maxParamsBytes: 100_000 } });
      const peer = await site.connect();
      peer.get("/", { keep: true, params: { HTTP_X: "x".repeat(90_000) } });
      assert.equal((await peer.answer()).text, "ok");
      peer.get("/", { keep: true, params: { HTTP_X: "x".repeat(1_000_000) } });
      assert.equal((await peer.answer()).head?.status, 431);
      peer.get("/", { keep: true });
      assert.equal((await peer.answer()).text, "ok");
      assert.deepEqual(site.errors, ["a connection: Refused with 431: more than 100000 bytes of params"]);
    });

    test("more params than maxParams are refused with 431", async () => {
      await using site = await startSite(() => new Response("ok"), { transport, limits: { maxParams: 50 } });
      const params = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`HTTP_X${i}`, "x"]));
      assert.equal((await site.ask("/", params)).head.status, 431);
      assert.equal((await site.ask()).text, "ok");
    });

    test("more requests at once than maxConcurrent are refused with 503 and OVERLOADED", async () => {
      const slow = gate();
      await using site = await startSite(async () => {
        await slow.promise;
        return new Response("slow");
      }, { transport, limits: { maxConcurrent: 2 } });
      const peer = await site.connect();
      for (const id of [1, 2, 3]) peer.get("/", { id, keep: true });
      const refused = await peer.answer(3);
      assert.equal(refused.head?.status, 503);
      assert.equal(refused.end?.refusal, overloaded);
      slow.resolve();
      for (const id of [1, 2]) assert.equal((await peer.answer(id)).text, "slow");
      peer.get("/", { id: 3, keep: true });
      assert.equal((await peer.answer(3)).text, "slow");
    });

    test("connections above maxConnections are refused with 503 and OVERLOADED", async () => {
      await using site = await startSite(() => new Response("ok"), { transport, limits: { maxConnections: 2 } });
      const peers = [await site.connect(), await site.connect()];
      for (const peer of peers) {
        peer.get("/", { keep: true });
        await peer.answer();
      }
      const third = await site.connect();
      third.get();
      const refused = await third.answer();
      assert.equal(refused.head?.status, 503);
      assert.equal(refused.end?.refusal, overloaded);
      await third.gone();
      // When one has left there is room again.
      peers[0].destroy();
      await third.until("there is room", () => third.closed || third.ended);
      let status = 503;
      for (let tries = 0; status === 503 && tries < 200; tries++) status = (await site.ask()).head.status;
      assert.equal(status, 200);
      peers[1].get("/", { keep: true });
      assert.equal((await peers[1].answer()).text, "ok");
    });
  });
}

test("a connection that was refused above maxConnections is closed, even if it was to be kept", async () => {
  await using site = await startSite(() => new Response("ok"), { limits: { maxConnections: 1 } });
  const first = await site.connect();
  first.get("/", { keep: true });
  assert.equal((await first.answer()).text, "ok");
  const second = await site.connect();
  second.get("/", { keep: true });
  assert.equal((await second.answer()).head?.status, 503);
  // Or it would be refused for ever, though there may be room again.
  await second.until("it is closed", () => second.closed || second.ended);
});

test("management records whose replies are not read close the connection", () => {
  const connection = new MemoryConnection(() => new Promise<Response>(() => {}), {});
  connection.receive(traffic().get("/", { keep: true }));
  connection.full = true;
  const questions = new FastCgiClient().getValues(["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"]);
  for (let i = 0; i < 2000 && connection.state === "open"; i++) connection.served.data(questions);
  assert.equal(connection.state, "destroyed");
  assert.match(connection.errors.join(), /does not read the replies/);
});

describe("requests that cannot be given to an application", () => {
  const refused: [what: string, params: Record<string, string>, status: number, error: RegExp][] = [
    ["an invalid host", { HTTP_HOST: "a b" }, 400, /Refused with 400: invalid host "a b"/],
    ["a host that would change the URL", { HTTP_HOST: "a/b?c" }, 400, /Refused with 400/],
    ["a method with blanks", { REQUEST_METHOD: "GET IT" }, 400, /Refused with 400: invalid method "GET IT"/],
    ["TRACE", { REQUEST_METHOD: "TRACE" }, 405, /Refused with 405: the method TRACE is not allowed/],
    ["CONNECT", { REQUEST_METHOD: "CONNECT" }, 405, /Refused with 405/],
  ];
  for (const [what, params, status, error] of refused) {
    test(`${what} is refused with ${status} and a line in the log`, async () => {
      let calls = 0;
      await using site = await startSite(() => {
        calls++;
        return new Response("ok");
      });
      const answer = await site.ask("/", params);
      assert.equal(answer.head.status, status);
      const allow = answer.head.headers.indexOf("allow");
      assert.equal(allow >= 0, status === 405);
      if (allow >= 0) assert.match(answer.head.headers[allow + 1], /^GET, HEAD, POST/);
      assert.equal(site.errors.length, 1);
      assert.match(site.errors[0], error);
      assert.equal(calls, 0);
      assert.equal((await site.ask()).text, "ok");
    });
  }

  test("a role that the application does not play is refused with UNKNOWN_ROLE", async () => {
    await using site = await startSite(() => new Response("ok"));
    const peer = await site.connect();
    peer.get("/", { keep: true, role: "authorizer" });
    const refused = await peer.answer();
    assert.equal(refused.head?.status, 501);
    assert.equal(refused.end?.refusal, "it does not play this role (UNKNOWN_ROLE)");
    peer.get("/", { keep: true });
    assert.equal((await peer.answer()).text, "ok");
  });

  test("a role that it plays is not refused", async () => {
    await using site = await startSite((_request, info) => new Response(info.role), { roles: ["authorizer"] });
    const peer = await site.connect();
    peer.get("/", { keep: true, role: "authorizer" });
    assert.equal((await peer.answer()).head?.status, 200);
    peer.get("/", { keep: true });
    assert.equal((await peer.answer()).head?.status, 501);
  });

  test("a refused request that has arrived completely closes its connection for good, when it is not to be kept", async () => {
    const connection = new MemoryConnection(() => new Response("ok"), { limits: { maxConcurrent: 0 } });
    connection.receive(traffic().get("/"));
    await connection.answered();
    assert.equal(connection.state, "closed");
  });

  test("a refused request with a body leaves the connection usable", async () => {
    const connection = new MemoryConnection(() => new Response("ok"), { limits: { maxParams: 3 } });
    connection.receive(
      traffic().begin({ keep: true }).params({ A: "1", B: "2", C: "3", D: "4" }).stdin("body").stdin()
        .get("/", { id: 2, keep: true }),
    );
    await connection.answered(2);
    const heads = connection.lines.flatMap((line) => /^stdout (\d) [^]*Status: (\d+)/.exec(line)?.slice(1, 3).join(" ") ?? []);
    assert.deepEqual(heads.sort(), ["1 431", "2 200"]);
  });
});
