import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import { addCounts, latencyBuckets, Monitor, noCounts, type RequestFacts } from "../../src/server/monitor.ts";
import { gate, soon, startSite } from "../support/peer.ts";
import { until } from "../support/program.ts";

/** A request that began so many seconds ago. */
function request(seconds = 0, more: Partial<RequestFacts> = {}): RequestFacts {
  return {
    params: new Params(),
    owner: { protocol: "fcgi" },
    begunAt: performance.now() - seconds * 1000,
    status: 200,
    sentLength: 0,
    ...more,
  };
}

/** Lets requests begin and end. */
function served(monitor: Monitor, ...requests: RequestFacts[]): void {
  for (const one of requests) monitor.begun(one);
  for (const one of requests) monitor.ended(one);
}

describe("Monitor", () => {
  test("counts what has ended and what is in flight", () => {
    const seen: number[] = [];
    const monitor = new Monitor({ onChange: (inFlight) => seen.push(inFlight) });
    const [a, b] = [request(), request(0, { status: 503, owner: { protocol: "ajp" } })];
    monitor.begun(a);
    monitor.begun(b);
    monitor.ended(a);
    assert.deepEqual([monitor.counts.requests, monitor.counts.inFlight], [1, 1]);
    monitor.ended(b);
    assert.deepEqual(seen, [1, 2, 1, 0]);
    assert.deepEqual(monitor.counts.protocols, { fcgi: 1, ajp: 1 });
    assert.deepEqual(monitor.counts.statuses, { 2: 1, 5: 1 });
  });

  test("puts durations into buckets, and those above the last into one more", () => {
    const monitor = new Monitor();
    served(monitor, request(0.3), request(0.7), request(29), request(31), request(4000));
    const { latencies, seconds } = monitor.counts;
    assert.equal(latencies.length, latencyBuckets.length + 1);
    const filled = latencies.flatMap((count, i) => count > 0 ? [[latencyBuckets[i] ?? "rest", count]] : []);
    assert.deepEqual(filled, [[0.5, 1], [1, 1], [30, 1], ["rest", 2]]);
    assert.ok(seconds >= 4061 && seconds < 4062, `${seconds}`);
  });

  test("reports each request that ends, and how long it took", () => {
    const told: [RequestFacts, number][] = [];
    const monitor = new Monitor({ onEnded: (one, seconds) => told.push([one, seconds]) });
    const one = request(2);
    served(monitor, one);
    assert.equal(told.length, 1);
    assert.equal(told[0][0], one);
    assert.ok(told[0][1] >= 2 && told[0][1] < 3);
  });

  test("reports a slow request once, while it is still in flight", async () => {
    const slow: RequestFacts[] = [];
    const monitor = new Monitor({ slowAfter: 4, onSlow: (one) => slow.push(one) });
    const one = request(5);
    const quick = request();
    monitor.begun(one);
    monitor.begun(quick);
    // Its clock lets a process end.
    await until("it is told", () => slow.length > 0);
    monitor.ended(quick);
    monitor.ended(one);
    assert.deepEqual(slow, [one]);
    assert.equal(monitor.counts.slow, 1);
    served(monitor, request(6), request(0.5));
    assert.equal(monitor.counts.slow, 2);
  });
});

test("counts add up", () => {
  const [a, b] = [new Monitor(), new Monitor()];
  served(a, request(0.3), request(0.3, { status: 0 }));
  served(b, request(7, { status: 404, owner: { protocol: "http" } }));
  b.begun(request());
  const sum = noCounts();
  addCounts(sum, a.counts);
  addCounts(sum, b.counts);
  assert.deepEqual([sum.requests, sum.inFlight], [3, 1]);
  assert.deepEqual(sum.statuses, { 0: 1, 2: 1, 4: 1 });
  assert.deepEqual(sum.protocols, { fcgi: 2, http: 1 });
  assert.deepEqual(sum.latencies.filter((count) => count > 0), [2, 1]);
  assert.equal(sum.seconds, a.counts.seconds + b.counts.seconds);
  assert.equal(a.counts.requests, 2);
});

describe("serve() with an observer", () => {
  test("reports every request when it begins and ends, and its result", async () => {
    const events: string[] = [];
    const released = gate();
    await using site = await startSite(async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/throw") throw new Error("thrown");
      if (pathname === "/wait") await released.promise;
      return new Response("12345", { status: 201 });
    }, {
      observer: {
        begun: ({ params, status }) => events.push(`begun ${params.get("REQUEST_URI")} ${status}`),
        ended: ({ params, status, sentLength }) => events.push(`ended ${params.get("REQUEST_URI")} ${status} ${sentLength}`),
      },
    });
    await site.ask("/ok");
    await site.ask("/throw");
    const peer = await site.connect();
    peer.get("/wait");
    await peer.sent();
    await soon("it begins", until("it begins", () => events.length === 5));
    peer.destroy();
    await until("it ends", () => events.length === 6);
    released.resolve();
    assert.equal(events[3].replace(/\d+$/, ""), "ended /throw 500 ");
    assert.deepEqual([events[0], events[1], events[2], events[4], events[5]], [
      "begun /ok 0",
      "ended /ok 201 5",
      "begun /throw 0",
      "begun /wait 0",
      "ended /wait 0 0",
    ]);
  });
});

describe("serve() with a timeout", () => {
  test("answers 504 in the handler's place, and aborts the request's signal", async () => {
    let reason: Error | undefined;
    await using site = await startSite((request) => {
      if (request.url.endsWith("/quick")) return new Response("quick");
      request.signal.addEventListener("abort", () => reason = request.signal.reason);
      return new Promise(() => {});
    }, { timeout: 0.1 });
    const { head, text } = await site.ask("/never");
    assert.equal(head.status, 504);
    assert.match(text, /took too long/);
    assert.equal(reason?.message, "The application took longer than 0.1 s");
    assert.deepEqual(site.errors, ["GET /never: The application took longer than 0.1 s"]);
    assert.equal((await site.ask("/quick")).text, "quick");
  });

  test("cuts a response that has begun, and a late one goes nowhere", async () => {
    let cancelled: unknown;
    const late = gate<Response>();
    await using site = await startSite((request) =>
      request.url.endsWith("/late") ? late.promise : new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("begun")),
          cancel: (why) => void (cancelled = why),
        }),
      ), { timeout: 0.1 });
    await assert.rejects(site.ask("/stream"));
    await until("the stream is cancelled", () => cancelled !== undefined);
    assert.match(String(cancelled), /longer than 0\.1 s/);
    assert.equal((await site.ask("/late")).head.status, 504);
    const unwanted = new Response(new ReadableStream({ cancel: (why) => void (cancelled = why) }));
    cancelled = undefined;
    late.resolve(unwanted);
    await until("nobody reads it", () => cancelled !== undefined);
  });

  test("leaves requests in time alone, also on the same connection", async () => {
    await using site = await startSite(
      (request) => request.url.endsWith("/never") ? new Promise(() => {}) : new Response("in time"),
      { timeout: 0.2 },
    );
    const peer = await site.connect();
    peer.get("/never", { id: 1, keep: true });
    peer.get("/now", { id: 2, keep: true });
    assert.equal((await peer.answer(2)).text, "in time");
    assert.equal((await peer.answer(1)).head?.status, 504);
    peer.get("/now", { id: 3, keep: true });
    assert.equal((await peer.answer(3)).text, "in time");
  });
});
