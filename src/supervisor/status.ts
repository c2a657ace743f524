/**
 * The status page: what all workers do, as text, HTML, JSON or in the format of Prometheus.
 *
 * @module
 */
import type { Handler } from "../server/handler.ts";
import { addCounts, inWords, latencyBuckets, noCounts, type RequestCounts } from "../server/monitor.ts";
import type { PoolReport } from "./channel.ts";

/** What is answered in the application's place. */
export interface StatusOptions {
  /** Path of the status page. */
  status?: string;
  /** Path that answers `pong`, or 503 while the application cannot be loaded. */
  ping?: string;
  /** The request for the page is one of those that the workers count. */
  counted?: boolean;
  /** Makes the page for browsers, which get text without it. */
  html?(facts: StatusFacts): Response;
  /** Whether the application is loaded; default is that it is. */
  isLoaded?: () => boolean;
  /** Name of the application, for the page. */
  name: string;
  pool(): Promise<PoolReport>;
}

/** What the page says, for people. */
export interface StatusFacts {
  facts: [name: string, value: string | number][];
  workers: PoolReport["workers"];
  /** Requests under way, the oldest first, one a line. */
  underWay: string[];
}

/** Answers requests for the status page and for the ping, and passes others on. */
export function withStatus(options: StatusOptions, next: Handler): Handler {
  const { status, ping, isLoaded = () => true } = options;
  if (status === undefined && ping === undefined) return next;
  return (request, info) => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === ping) return isLoaded() ? plain("pong\n") : pingUnloaded(request, info);
    return pathname === status ? statusPage(options, searchParams, request.headers.get("accept") ?? "") : next(request, info);
  };

  /** Perhaps nobody else asks, and it is loaded again when somebody does. */
  async function pingUnloaded(...request: Parameters<Handler>): Promise<Response> {
    const answer = await next(...request);
    await answer.body?.cancel();
    return isLoaded() ? plain("pong\n") : plain("the application cannot be loaded\n", undefined, 503);
  }
}

function plain(text: string, type = "text/plain; charset=utf-8", status = 200): Response {
  return new Response(text, { status, headers: { "content-type": type, "cache-control": "no-store" } });
}

/** The status in the form that is asked for. */
export async function statusPage(
  { name, pool, counted, html }: StatusOptions,
  query: URLSearchParams,
  accept: string,
): Promise<Response> {
  const report = await pool();
  const total = totalOf(report);
  // The request for this page is not of interest.
  if (counted && total.inFlight > 0) total.inFlight--;
  if (query.has("json") || accept.startsWith("application/json")) {
    return plain(`${JSON.stringify({ name, ...report, total }, null, 2)}\n`, "application/json");
  }
  if (query.has("metrics") || /openmetrics|version=0\.0\.4/.test(accept)) {
    return plain(metrics(report, total), "text/plain; version=0.0.4; charset=utf-8");
  }
  if (html && accept.includes("text/html") && !query.has("text")) return html(statusFacts(name, report, total));
  return plain(statusText(name, report, total));
}

/** What all workers have counted, those that have ended included. */
export function totalOf({ past, workers }: PoolReport): RequestCounts {
  const total = noCounts();
  addCounts(total, past);
  for (const { counts } of workers) addCounts(total, counts);
  return total;
}

type Processes = Map<number, number>;

/** Memory by process, since threads share theirs. */
function processes({ workers }: PoolReport): Processes {
  return new Map(workers.map(({ pid, memory }) => [pid, memory]));
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((all, number) => all + number, 0);
export const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);

/** The status for people. */
export function statusText(name: string, report: PoolReport, total = totalOf(report), now = Date.now()): string {
  const { facts, workers, underWay } = statusFacts(name, report, total, now);
  const head = ["process", "thread", "state", "uptime s", "requests", "in flight", "memory MiB"];
  const rows = workers.map(({ pid, thread, state, uptime, memory, counts }) =>
    [pid, thread || "-", state, uptime, counts.requests, counts.inFlight, mib(memory)].map(String)
  );
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const line = (cells: string[]) => cells.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd();
  return `${facts.map(([fact, value]) => `${`${fact}:`.padEnd(14)}${value}`).join("\n")}\n\n${
    [head, ...rows].map(line).join("\n")
  }\n${underWay.length === 0 ? "" : `\nunder way:\n${underWay.map((request) => `  ${request}\n`).join("")}`}`;
}

function statusFacts(name: string, report: PoolReport, total: RequestCounts, now = Date.now()): StatusFacts {
  const { version, pid, uptime, deaths, reloads, lastError, workers } = report;
  const inState = (wanted: string) => workers.filter(({ state }) => state === wanted).length;
  const counts = (record: Record<string, number | undefined>) =>
    Object.entries(record).map(([key, count]) => `${key} ${count}`).join(", ") || "none";
  const statuses = Object.fromEntries(
    Object.entries(total.statuses).map(([digit, count]) => [digit === "0" ? "gone" : `${digit}xx`, count]),
  );
  const facts: [string, string | number][] = [
    ["application", name],
    ["runfcgi", `${version}, process ${pid}`],
    ["uptime", `${uptime} s`],
    [
      "workers",
      `${workers.length}: ${inState("idle")} idle, ${inState("busy")} busy, ${inState("starting")} starting, ${
        inState("draining")
      } draining`,
    ],
    ["requests", total.requests],
    ["in flight", total.inFlight],
    ...total.sockets > 0 ? [["sockets", total.sockets] as [string, number]] : [],
    ["by protocol", counts(total.protocols)],
    ["by status", counts(statuses)],
    ["mean time", total.requests > 0 ? `${(total.seconds / total.requests * 1000).toFixed(2)} ms` : "-"],
    ["half within", quantile(total, 0.5)],
    ["99 % within", quantile(total, 0.99)],
    ["slow", total.slow],
    ["deaths", deaths],
    ["reloads", reloads],
    ["cut", total.cuts],
    ["last error", lastError ? `${new Date(lastError.at).toISOString()} ${lastError.text.split("\n")[0]}` : "none"],
    ["memory", `${mib(sum(processes(report).values()))} MiB`],
  ];
  const requests = workers.flatMap((worker) => worker.underWay).sort((a, b) => a.since - b.since);
  return { facts, workers, underWay: requests.map((request) => inWords([request], now)) };
}

/** The end of the bucket below which a share of the requests is. */
function quantile({ latencies, requests }: RequestCounts, share: number): string {
  if (requests === 0) return "-";
  let seen = 0;
  const bucket = latencies.findIndex((count) => (seen += count) >= requests * share);
  const end = latencyBuckets[bucket];
  return end === undefined ? `more than ${latencyBuckets.at(-1)} s` : end < 1 ? `${end * 1000} ms` : `${end} s`;
}

function metrics(report: PoolReport, total: RequestCounts): string {
  const lines: string[] = [];
  const metric = (name: string, type: string, help: string, samples: [labels: string, value: number][]) => {
    lines.push(`# HELP runfcgi_${name} ${help}`, `# TYPE runfcgi_${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`runfcgi_${name}${labels} ${value}`);
  };
  const labelled = (label: string, record: Record<string, number | undefined>): [string, number][] =>
    Object.entries(record).map(([key, count]) => [`{${label}="${key}"}`, count ?? 0]);
  const states = { idle: 0, busy: 0, starting: 0, draining: 0 };
  for (const { state } of report.workers) states[state]++;
  metric("uptime_seconds", "gauge", "Time since the server was started.", [["", report.uptime]]);
  metric("workers", "gauge", "Workers by state.", labelled("state", states));
  metric("worker_deaths_total", "counter", "Workers that ended unasked.", [["", report.deaths]]);
  metric("cut_requests_total", "counter", "Requests that a shutdown ended before the application did.", [["", total.cuts]]);
  metric("reloads_total", "counter", "Times that new code was taken over.", [["", report.reloads]]);
  metric(
    "memory_bytes",
    "gauge",
    "Resident memory by process.",
    [...processes(report)].map(([pid, memory]) => [`{pid="${pid}"}`, memory]),
  );
  metric("requests_in_flight", "gauge", "Requests under way.", [["", total.inFlight]]);
  metric("websockets_open", "gauge", "WebSockets that are open.", [["", total.sockets]]);
  metric("requests_total", "counter", "Requests by protocol.", labelled("protocol", total.protocols));
  metric(
    "responses_total",
    "counter",
    "Responses by the first digit of their status; 0 for visitors who left.",
    labelled("status", total.statuses),
  );
  metric("slow_requests_total", "counter", "Requests above the threshold of the slow log.", [["", total.slow]]);
  let seen = 0;
  const buckets = total.latencies.map((
    count,
    i,
  ): [string, number] => [`_bucket{le="${latencyBuckets[i] ?? "+Inf"}"}`, seen += count]);
  metric("request_seconds", "histogram", "Duration of requests.", [...buckets, ["_sum", total.seconds], [
    "_count",
    total.requests,
  ]]);
  return `${lines.join("\n")}\n`;
}
