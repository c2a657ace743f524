import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ServeInfo } from "../../src/server/handler.ts";
import { latencyBuckets, noCounts, type RequestCounts } from "../../src/server/monitor.ts";
import type { PoolReport } from "../../src/supervisor/channel.ts";
import { statusHtml } from "../../src/app/status_page.ts";
import { withStatus } from "../../src/supervisor/status.ts";

/** Counts of so many requests, each in the given bucket. */
function counts(requests: number, bucket: number, more: Partial<RequestCounts> = {}): RequestCounts {
  const all = noCounts();
  all.latencies[bucket] = requests;
  return { ...all, requests, statuses: { 2: requests }, protocols: { fcgi: requests }, seconds: requests / 8, ...more };
}

const MIB = 2 ** 20;
const SINCE = Date.UTC(2026, 0, 1);
const rest = { at: SINCE, begun: 9, underWay: [] };
const underWay = [{ method: "GET", url: "/slow\n", since: SINCE + 10 }, { method: "POST", url: "/older", since: SINCE }];
const report: PoolReport = {
  version: "1.2.3",
  pid: 5,
  lastError: { at: SINCE, text: "Worker 6 was killed by SIGSEGV\nmore" },
  uptime: 100,
  deaths: 1,
  reloads: 2,
  past: counts(10, 0, { statuses: { 2: 6, 0: 4 }, protocols: { scgi: 10 } }),
  workers: [
    { pid: 7, thread: 1, state: "idle", uptime: 50, memory: 30 * MIB, counts: counts(4, 2), ...rest },
    {
      pid: 7,
      thread: 2,
      state: "busy",
      uptime: 50,
      memory: 30 * MIB,
      counts: counts(4, 2, { inFlight: 3, slow: 1, cuts: 1 }),
      ...rest,
      underWay,
    },
    { pid: 8, thread: 0, state: "draining", uptime: 9, memory: 20 * MIB, counts: counts(2, 14), ...rest },
    { pid: 9, thread: 0, state: "starting", uptime: 0, memory: 0, counts: noCounts(), ...rest },
  ],
};

const handler = withStatus(
  { status: "/status", ping: "/ping", name: "app.ts", counted: true, html: statusHtml, pool: () => Promise.resolve(report) },
  () => new Response("the application"),
);

async function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return await handler(new Request(`http://localhost${path}`, { headers }), {} as ServeInfo);
}

const text = async (path: string, headers?: Record<string, string>) => await (await get(path, headers)).text();

describe("withStatus()", () => {
  test("answers its two paths, and passes on what else there is", async () => {
    assert.equal(await text("/ping"), "pong\n");
    assert.equal(await text("/ping?x"), "pong\n");
    for (const path of ["/", "/status/", "/ping/", "/x/status", "/%73tatus"]) assert.equal(await text(path), "the application");
    assert.equal((await get("/status")).headers.get("cache-control"), "no-store");
  });

  test("is not there without paths", () => {
    const next = () => new Response();
    assert.equal(withStatus({ name: "app.ts", pool: () => Promise.reject(new Error()) }, next), next);
  });

  test("sums up in text", async () => {
    const response = await get("/status");
    assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
    const page = await response.text();
    const facts = Object.fromEntries(
      page.split("\n\n")[0].split("\n").map((line) => /^([^:]+): +(.*)$/.exec(line)!.slice(1) as [string, string]),
    );
    assert.deepEqual(facts, {
      "application": "app.ts",
      "runfcgi": "1.2.3, process 5",
      "uptime": "100 s",
      "workers": "4: 1 idle, 1 busy, 1 starting, 1 draining",
      "requests": "20",
      // Without the request for the page.
      "in flight": "2",
      "by protocol": "scgi 10, fcgi 10",
      "by status": "gone 4, 2xx 16",
      "mean time": "125.00 ms",
      "half within": "1 ms",
      "99 % within": "more than 30 s",
      "slow": "1",
      "deaths": "1",
      "reloads": "2",
      "cut": "1",
      "last error": "2026-01-01T00:00:00.000Z Worker 6 was killed by SIGSEGV",
      "memory": "50.0 MiB",
    });
    const rows = page.split("\n\n")[1].trimEnd().split("\n").map((line) => line.split(/ {2,}/));
    assert.deepEqual(rows, [
      ["process", "thread", "state", "uptime s", "requests", "in flight", "memory MiB"],
      ["7", "1", "idle", "50", "4", "0", "30.0"],
      ["7", "2", "busy", "50", "4", "3", "30.0"],
      ["8", "-", "draining", "9", "2", "0", "20.0"],
      ["9", "-", "starting", "0", "0", "0", "0.0"],
    ]);
    const told = page.split("\n\n")[2].replace(/ for \d+\.\d s$/gm, " for a while");
    assert.equal(told, "under way:\n  POST /older for a while\n  GET /slow? for a while\n");
  });

  test("counts all requests where its own is not among them", async () => {
    const own = withStatus({ status: "/status", name: "app.ts", pool: () => Promise.resolve(report) }, () => new Response());
    const response = await own(new Request("http://localhost/status?json"), {} as ServeInfo);
    assert.equal((await response.json()).total.inFlight, 3);
  });

  test("is a page for browsers, with a row for each worker, that comes again", async () => {
    const accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    const response = await get("/status", { accept });
    assert.equal(response.headers.get("content-type"), "text/html; charset=utf-8");
    assert.equal(response.headers.get("refresh"), "5");
    const page = await response.text();
    assert.match(page, /<tr><th scope="row">process 7, thread 2<\/th><td>busy, 50 s, 4 requests, 3 in flight, 30\.0 MiB<\/td>/);
    assert.match(page, /POST \/older for/);
    assert.match(await text("/status?text", { accept }), /^application: +app\.ts\n/);
    assert.match(await text("/status?metrics", { accept }), /^# HELP /);
  });

  for (const [path, headers] of [["/status?json", {}], ["/status", { accept: "application/json" }]] as const) {
    test(`gives JSON for ${path} ${JSON.stringify(headers)}`, async () => {
      const response = await get(path, headers);
      assert.equal(response.headers.get("content-type"), "application/json");
      const { name, total, workers, deaths } = await response.json();
      assert.deepEqual({ name, deaths, workers }, { name: "app.ts", deaths: 1, workers: report.workers });
      assert.equal(total.requests, 20);
      assert.deepEqual(total.latencies.filter((count: number) => count > 0), [10, 8, 2]);
    });
  }

  test("leaves what the workers counted as it was", async () => {
    await text("/status?json");
    assert.equal(JSON.parse(await text("/status?json")).total.requests, 20);
  });
});

/** A sample of the text exposition format: name, labels, value. */
const sample =
  /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|NaN))$/;

describe("the page for Prometheus", () => {
  for (
    const [path, headers] of [
      ["/status?metrics", {}],
      ["/status", { accept: "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1" }],
    ] as const
  ) {
    test(`is valid for ${path} ${JSON.stringify(headers)}`, async () => {
      const response = await get(path, headers);
      assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
      const page = await response.text();
      assert.ok(page.endsWith("\n") && !page.endsWith("\n\n"));
      const seen = new Set<string>();
      const samples = new Set<string>();
      let family = { name: "", type: "" };
      for (const line of page.trimEnd().split("\n")) {
        const help = /^# HELP (\w+) \S/.exec(line);
        const type = /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(line);
        if (help) {
          assert.ok(!seen.has(help[1]), `${help[1]} is there twice`);
          seen.add(help[1]);
          family = { name: help[1], type: "" };
        } else if (type) {
          assert.equal(type[1], family.name);
          family.type = type[2];
          assert.equal(type[2] === "counter", type[1].endsWith("_total"), line);
        } else {
          const [, name, labels = ""] = sample.exec(line) ?? assert.fail(`no sample: ${line}`);
          const base = family.type === "histogram" ? name.replace(/_(?:bucket|sum|count)$/, "") : name;
          assert.equal(base, family.name, line);
          assert.notEqual(family.type, "");
          assert.ok(!samples.has(`${name}{${labels}}`), `${line} is there twice`);
          samples.add(`${name}{${labels}}`);
        }
      }
    });
  }

  test("has the numbers of the other pages", async () => {
    const page = await text("/status?metrics");
    const value = (name: string) => Number(page.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ").at(-1));
    assert.equal(value("runfcgi_uptime_seconds"), 100);
    assert.equal(value('runfcgi_workers{state="draining"}'), 1);
    assert.equal(value('runfcgi_memory_bytes{pid="7"}'), 30 * MIB);
    assert.equal(value("runfcgi_requests_in_flight"), 2);
    assert.equal(value('runfcgi_requests_total{protocol="scgi"}'), 10);
    assert.equal(value('runfcgi_responses_total{status="0"}'), 4);
    assert.equal(value("runfcgi_worker_deaths_total"), 1);
    const buckets = [...page.matchAll(/^runfcgi_request_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm)];
    assert.deepEqual(buckets.map(([, le]) => le), [...latencyBuckets.map(String), "+Inf"]);
    assert.deepEqual(buckets.map(([, , count]) => Number(count)), [10, 10, ...new Array(12).fill(18), 20]);
    assert.equal(value("runfcgi_request_seconds_count"), 20);
    assert.equal(value("runfcgi_request_seconds_sum"), 2.5);
  });
});
