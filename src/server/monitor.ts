/**
 * What a server knows about its requests: counts, durations, requests in flight.
 *
 * @module
 */
import { controls } from "./log_text.ts";
import { decodeText, type Params } from "../protocol/params.ts";
import type { ProtocolName } from "../protocol/protocol.ts";

/** What observers see of a request. */
export interface RequestFacts {
  readonly params: Params;
  readonly owner: { readonly protocol: ProtocolName };
  /** Milliseconds on the clock of `performance.now()`; 0 before the request has begun. */
  readonly begunAt: number;
  /** Status of the response, 0 when none was sent. */
  readonly status: number;
  /** Bytes of the response's body that were sent. */
  readonly sentLength: number;
  /** The server ended it before the application did: it was shutting down. */
  readonly cut?: boolean;
  /** The response is complete or given up. */
  readonly over?: boolean;
  /** The response goes on for as long as the visitor listens. */
  readonly lasting?: boolean;
}

/** Observes every request. */
export interface RequestObserver {
  begun(request: RequestFacts): void;
  ended(request: RequestFacts): void;
  /** The connection is a WebSocket's from now on, until the promise resolves. */
  upgraded?(request: RequestFacts, closed: Promise<void>): void;
  /** The application works on after the response until the promise settles; it never rejects. */
  working?(request: RequestFacts, work: Promise<unknown>): void;
}

/** Upper ends of the latency histogram's buckets, in seconds; one more holds the rest. */
export const latencyBuckets: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Counts since the start, which can be added to those of other workers. */
export interface RequestCounts {
  /** Requests that have ended. */
  requests: number;
  /** Requests in flight. */
  inFlight: number;
  /** WebSockets that are open. */
  sockets: number;
  /** Requests by protocol. */
  protocols: Partial<Record<ProtocolName, number>>;
  /** Responses by the first digit of their status: 2 to 5, and 0 for visitors who left before. */
  statuses: Record<string, number>;
  /** Requests by the buckets of {@linkcode latencyBuckets}, not cumulative. */
  latencies: number[];
  /** Seconds that all requests took together. */
  seconds: number;
  /** Requests that took longer than the threshold for slow ones. */
  slow: number;
  /** Requests that a shutdown ended before the application did. */
  cuts: number;
}

/** Counts that are all zero. */
export function noCounts(): RequestCounts {
  const latencies = new Array<number>(latencyBuckets.length + 1).fill(0);
  return { requests: 0, inFlight: 0, sockets: 0, protocols: {}, statuses: {}, latencies, seconds: 0, slow: 0, cuts: 0 };
}

/** Adds counts to others. */
export function addCounts(sum: RequestCounts, more: RequestCounts): void {
  sum.requests += more.requests;
  sum.inFlight += more.inFlight;
  sum.sockets += more.sockets;
  sum.seconds += more.seconds;
  sum.slow += more.slow;
  sum.cuts += more.cuts;
  for (const key of ["protocols", "statuses"] as const) {
    const into: Record<string, number> = sum[key];
    for (const [name, count] of Object.entries(more[key])) into[name] = (into[name] ?? 0) + count;
  }
  more.latencies.forEach((count, i) => sum.latencies[i] += count);
}

/** What is done with requests that have ended. */
export interface MonitorOptions {
  /** Gets each request when it is over. */
  onEnded?: (request: RequestFacts, seconds: number) => void;
  /** Seconds from which on a request is slow; default is never. */
  slowAfter?: number;
  /** Gets each slow request, once, when it has been slow for up to a second. */
  onSlow?: (request: RequestFacts, seconds: number) => void;
  /** Called after each change of what is in flight. */
  onChange?: (inFlight: number) => void;
}

/** A request in flight, for the status page. */
export interface UnderWay {
  method: string;
  url: string;
  /** When it began, in milliseconds since 1970. */
  since: number;
}

/** Requests in flight that are listed one by one. */
const MAX_TOLD = 20;
/** Characters of a URL that are shown. */
const MAX_URL = 300;

/** @param origin milliseconds since 1970 where `begunAt` is 0 */
export function underWay(request: RequestFacts, origin = Date.now() - performance.now()): UnderWay {
  const param = (name: string) => decodeText((request.params.get(name) ?? "").slice(0, MAX_URL));
  return { method: param("REQUEST_METHOD"), url: param("REQUEST_URI"), since: Math.round(origin + request.begunAt) };
}

/** As text for a log line, such as `GET /slow for 3.2 s`; nothing in it ends the line. */
export function inWords(requests: readonly UnderWay[], now = Date.now()): string {
  return requests.map(({ method, url, since }) => {
    const safe = `${method} ${url}`.replace(controls, "?");
    return `${safe} for ${Math.max(0, (now - since) / 1000).toFixed(1)} s`;
  }).join(", ");
}

/** Counts requests and reports them. */
export class Monitor implements RequestObserver {
  readonly counts: RequestCounts = noCounts();
  readonly #options: MonitorOptions;
  readonly #watched: Set<RequestFacts> | undefined;
  /** Requests in the order in which they began; one with work after its response stays until that is done. */
  readonly #underWay = new Set<RequestFacts>();
  /** Promises that are waited for after the response. */
  readonly #works = new Map<RequestFacts, number>();
  /** Requests that have begun. */
  begunCount = 0;
  onBegun: ((request: RequestFacts) => void) | undefined;

  constructor(options: MonitorOptions = {}) {
    this.#options = options;
    if (options.slowAfter === undefined) return;
    this.#watched = new Set();
    setInterval(() => this.#findSlow(), 1000).unref?.();
  }

  begun(request: RequestFacts): void {
    this.counts.inFlight++;
    this.begunCount++;
    this.#underWay.add(request);
    this.#watched?.add(request);
    this.onBegun?.(request);
    this.#options.onChange?.(this.counts.inFlight);
  }

  ended(request: RequestFacts): void {
    const { counts } = this;
    const seconds = (performance.now() - request.begunAt) / 1000;
    const { protocol } = request.owner;
    const digit = String(Math.floor(request.status / 100));
    if (!this.#works.has(request)) this.#over(request);
    counts.requests++;
    if (request.cut) counts.cuts++;
    counts.seconds += seconds;
    counts.protocols[protocol] = (counts.protocols[protocol] ?? 0) + 1;
    counts.statuses[digit] = (counts.statuses[digit] ?? 0) + 1;
    const bucket = latencyBuckets.findIndex((end) => seconds <= end);
    counts.latencies[bucket < 0 ? latencyBuckets.length : bucket]++;
    if (this.#watched?.delete(request) && seconds >= this.#options.slowAfter!) this.#slow(request, seconds);
    this.#options.onEnded?.(request, seconds);
    this.#options.onChange?.(counts.inFlight);
  }

  upgraded(_request: RequestFacts, closed: Promise<void>): void {
    this.counts.sockets++;
    closed.then(() => this.counts.sockets--);
  }

  working(request: RequestFacts, work: Promise<unknown>): void {
    // It may begin when the response has ended.
    if (!this.#underWay.has(request)) {
      this.#underWay.add(request);
      this.counts.inFlight++;
      this.#options.onChange?.(this.counts.inFlight);
    }
    this.#works.set(request, (this.#works.get(request) ?? 0) + 1);
    const done = () => {
      const left = this.#works.get(request)! - 1;
      if (left > 0) return void this.#works.set(request, left);
      this.#works.delete(request);
      if (!request.over) return;
      this.#over(request);
      this.#options.onChange?.(this.counts.inFlight);
    };
    work.then(done, done);
  }

  /** Whether only event streams are in flight, which go on for as long as the visitor listens. */
  get resting(): boolean {
    return [...this.#underWay].every(({ lasting }) => lasting);
  }

  #over(request: RequestFacts): void {
    if (this.#underWay.delete(request)) this.counts.inFlight--;
  }

  /** The oldest requests in flight, at most so many. */
  underWay(most = MAX_TOLD): UnderWay[] {
    const now = Date.now() - performance.now();
    return [...this.#underWay].slice(0, most).map((request) => underWay(request, now));
  }

  #findSlow(): void {
    const now = performance.now();
    for (const request of this.#watched!) {
      const seconds = (now - request.begunAt) / 1000;
      // Requests are in the order in which they began.
      if (seconds < this.#options.slowAfter!) return;
      this.#watched!.delete(request);
      this.#slow(request, seconds);
    }
  }

  #slow(request: RequestFacts, seconds: number): void {
    this.counts.slow++;
    this.#options.onSlow?.(request, seconds);
  }
}
