/**
 * The fuzzer: invariants that hold for any bytes.
 *
 *  1. A codec throws nothing but `ProtocolError`.
 *  2. An event costs at least a byte, so nothing keeps a codec busy for ever.
 *  3. What a codec holds for a request stays below its limits.
 *  4. Splitting the input differently changes nothing.
 *  5. Valid requests are reported as they were, and their answers arrive as they were, whatever comes out of turn between
 *     them and behind them.
 *
 * Each row of {@linkcode targets} is one codec; a new protocol is a new row.
 *
 * @module
 */
import { requestMount, requestUrl } from "../../src/gateway/url.ts";
import { requestHeaders, requestLine } from "../../src/gateway/request.ts";
import { AjpClient } from "../../src/protocol/ajp/client.ts";
import { AjpServer } from "../../src/protocol/ajp/server.ts";
import { CgiResponseParser } from "../../src/protocol/cgi_response.ts";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { defaultOptions, FastCgiServer } from "../../src/protocol/fastcgi/server.ts";
import { decodePairs } from "../../src/protocol/fastcgi/wire.ts";
import { HttpClient } from "../../src/protocol/http/client.ts";
import { HttpServer } from "../../src/protocol/http/server.ts";
import { Params } from "../../src/protocol/params.ts";
import type {
  ClientCodec,
  ClientEvent,
  CodecLimits,
  ResponseHead,
  ServerCodec,
  ServerEvent,
} from "../../src/protocol/protocol.ts";
import {
  body,
  chunk,
  cping,
  endResponse,
  type Forward,
  forward,
  getChunk,
  integer,
  packet,
  post,
  remotePort,
  reply,
  sendHeaders,
} from "./ajp.ts";
import { bytes, concat, fixture, fixtureNames, text, transcript } from "./bytes.ts";
import { samples } from "./http_corpus.ts";
import { Random } from "./random.ts";
import { single, type SingleProtocol, singleProtocols } from "./single.ts";
import { encodePairs, traffic } from "./traffic.ts";

/** One input, and how to run it. */
interface Case {
  bytes: Uint8Array;
  /** Feeds the pieces and returns what happened. Throws when an invariant is broken. */
  run(pieces: Uint8Array[]): string;
}

/** Something to fuzz. */
export interface Target {
  name: string;
  /** Share of the cases. */
  weight: number;
  makeCase(random: Random): Case;
}

/** Small enough for the cases to reach. */
const limits: CodecLimits = { maxParamsBytes: 600, maxParams: 20, maxConcurrent: 2 };

/** A request over AJP has ten params before it says anything. */
const ajpLimits: CodecLimits = { maxParamsBytes: 600, maxParams: 20, maxConcurrent: 1 };

const httpLimits = { ...limits, software: "s" };

/** Recorded traffic that is short enough to be fed often. */
const recordings = {
  server: fixtureNames("fcg").map(fixture).filter((recorded) => recorded.length < 700),
  scgi: fixtureNames("scgi").map(fixture).filter((recorded) => recorded.length < 1000),
  uwsgi: fixtureNames("uwsgi").map(fixture).filter((recorded) => recorded.length < 1000),
  ajp: [...fixtureNames("ajp"), ...fixtureNames("jk")].map(fixture).filter((recorded) => recorded.length < 700),
  http: samples.map(({ message }) => bytes(message)).filter((message) => message.length < 1000),
  client: [
    traffic().stdout("Content-type: text/html\r\n\r\n<ht").stderr("error\n").stdout("ml>").stdout().stderr().endRequest().bytes(),
    traffic().getValuesResult({ FCGI_MPXS_CONNS: "1" }).stdout("Status: 404 Not Found\r\n\r\n").endRequest().bytes(),
  ],
};

/** A server whose requests are answered by a policy. */
function server(
  recorded: readonly Uint8Array[],
  valid: (random: Random) => Uint8Array,
  bounded: Bounded,
  codecOf: (random: Random) => () => ServerCodec,
): Target["makeCase"] {
  return (random) => {
    const bytes = garbled(random, recorded, () => valid(random));
    const policy = random.int(1000);
    const codec = codecOf(random);
    return { bytes, run: (pieces) => serve(codec(), pieces, policy, bounded) };
  };
}

/** A reader of responses. */
function reader(
  run: Case["run"],
  valid: (random: Random) => string | Uint8Array,
  recorded: readonly Uint8Array[] = [],
): Target["makeCase"] {
  const message = (random: Random) => {
    const sent = valid(random);
    return typeof sent === "string" ? bytes(sent) : sent;
  };
  return (random) => ({ bytes: garbled(random, recorded, () => message(random)), run });
}

const fcgiOptions: typeof defaultOptions = { ...defaultOptions, ...limits, roles: ["responder", "filter"] };

const table: [name: string, weight: number, makeCase: Target["makeCase"]][] = [
  ["FastCgiServer", 3, server(recordings.server, serverTraffic, boundedParams, () => () => new FastCgiServer(fcgiOptions))],
  ["FastCgiClient", 2, reader(receive, clientTraffic, recordings.client)],
  ["FastCgiClient with FastCgiServer", 1, exchange],
  ...singleProtocols.map((name): typeof table[number] => [
    `the server half of ${name}`,
    1,
    server(recordings[name], (random) => singleTraffic(name, random), boundedHead, () => () => single[name].server(limits)),
  ]),
  ["the client half of SCGI and uwsgi", 1, reader((pieces) => receiveToEnd(single.scgi.client(), pieces), cgiResponse)],
  ["both halves of SCGI and uwsgi", 1, (random) => singleExchange(random.pick(singleProtocols), random)],
  [
    "AjpServer",
    2,
    server(recordings.ajp, ajpTraffic, boundedPacket, (random) => {
      const secret = random.once(4) ? "s" : undefined;
      return () => new AjpServer({ ...ajpLimits, secret });
    }),
  ],
  ["AjpClient", 1, reader(receiveAjp, ajpAnswers)],
  ["AjpClient with AjpServer", 1, ajpExchange],
  ["HttpServer", 3, server(recordings.http, httpTraffic, boundedHttp, () => () => new HttpServer(httpLimits))],
  ["HttpClient with HttpServer", 1, httpExchange],
  ["HttpClient", 1, reader((pieces) => receiveToEnd(new HttpClient(), pieces), httpResponse)],
  ["CgiResponseParser", 4, reader(parse, cgiResponse)],
  ["params to a Request", 2, (random) => ({
    bytes: encodePairs(randomParams(random)),
    run: (pieces) => look(new Params(decodePairs(concat(...pieces), 1000))),
  })],
];
/** All that is fuzzed. */
export const targets: readonly Target[] = table.map(([name, weight, makeCase]) => ({ name, weight, makeCase }));

/**
 * Runs cases of one target. The number of a case is its seed, so that the one that failed can be run alone.
 *
 * @throws {Error} that says how to run the case again
 */
export function fuzz(target: Target, cases: number, seed: number): void {
  for (let i = 0; i < cases; i++) {
    const caseSeed = (seed + i) >>> 0;
    try {
      runCase(target, new Random(caseSeed));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${target.name} with seed ${caseSeed}: ${reason}\nRun it again: deno task fuzz 1 ${caseSeed}`, { cause });
    }
  }
}

function runCase(target: Target, random: Random): void {
  const { bytes, run } = target.makeCase(random);
  const whole = run([bytes]);
  const pieces = random.pieces(bytes);
  const split = run(pieces);
  if (split === whole) return;
  const lengths = pieces.map((piece) => piece.length).join(" ");
  throw new Error(`Splitting ${bytes.length} bytes into ${lengths} changed\n${whole}\nto\n${split}`);
}

// What is fed.

/** Valid messages, valid messages with changes, recorded ones with changes, and noise. */
function garbled(random: Random, recorded: readonly Uint8Array[], valid: () => Uint8Array): Uint8Array {
  const kind = random.int(10);
  if (kind === 0) return random.bytes(random.length(300));
  if (kind === 1 && recorded.length > 0) return random.mutate(random.pick(recorded));
  return kind < 6 ? random.mutate(valid()) : valid();
}

const names = ["REQUEST_METHOD", "REQUEST_URI", "HTTP_HOST", "HTTP_COOKIE", "CONTENT_LENGTH", "X", ""];

function randomPairs(random: Random): [string, string][] {
  return Array.from(
    { length: random.length(30) },
    () => [random.pick(names), text(random.bytes(random.length(random.once(20) ? 700 : 40)))],
  );
}

function randomId(random: Random): number {
  return random.once(20) ? random.pick([0, 255, 256, 0xffff]) : 1 + random.int(4);
}

/** What a web server might send, mostly in an order that makes sense. */
function serverTraffic(random: Random): Uint8Array {
  const sent = traffic();
  for (let steps = 1 + random.int(8); steps > 0; steps--) {
    const options = { id: randomId(random), padding: random.once(3) ? random.int(20) : 0 };
    const content = () => random.bytes(random.length(100));
    const steps = [
      () => sent.stdin(content(), options),
      () => sent.stdin("", options),
      () => sent.data(content(), options),
      () => sent.abort(options),
      () => sent.getValues(...random.pick([[], ["FCGI_MAX_REQS"], ["FCGI_MPXS_CONNS", "OTHER", "FCGI_MAX_CONNS"]])),
      () => sent.record(random.int(14), content(), options),
      () => sent.begin({ ...options, role: random.int(5), keep: random.once(2) }),
      () => sent.openParams(randomPairs(random), options),
    ];
    const request = () => {
      sent.begin({ ...options, role: random.pick([1, 1, 1, 3]), keep: !random.once(4) });
      const pairs = randomPairs(random);
      sent.params(pairs, { ...options, splitAt: random.once(2) ? [Math.min(3, encodePairs(pairs).length)] : [] });
      if (!random.once(3)) sent.stdin(content(), options);
      if (!random.once(5)) sent.stdin("", options);
    };
    (steps[random.int(12)] ?? request)();
  }
  return sent.bytes();
}

/** A request with a body that may be longer or shorter than it says. */
function singleTraffic(protocol: SingleProtocol, random: Random): Uint8Array {
  const body = text(random.bytes(random.length(100)));
  const length = String(random.once(4) ? random.length(100) : body.length);
  return single[protocol].message([["CONTENT_LENGTH", length], ...singlePairs(random)], body);
}

/** Few enough to be below the limits mostly, and without what ends a name over SCGI. */
function singlePairs(random: Random): [string, string][] {
  return randomPairs(random).slice(0, random.int(25))
    .filter(([name]) => name !== "CONTENT_LENGTH")
    .map(([name, value]) => [name, value.replaceAll("\0", "0")]);
}

/** What a web server might send over AJP, mostly in an order that makes sense. */
function ajpTraffic(random: Random): Uint8Array {
  const sent: Uint8Array[] = [];
  const content = () => random.bytes(random.length(60));
  for (let steps = 1 + random.int(5); steps > 0; steps--) {
    const inChunks = () => {
      const parts = [forward(randomForward(random, [["Transfer-Encoding", "chunked"]]))];
      while (!random.once(3)) parts.push(body(random.bytes(1 + random.int(20))));
      return [...parts, body()];
    };
    const withLength = () => {
      const parts = Array.from({ length: 1 + random.int(3) }, () => random.bytes(1 + random.int(20)));
      const length = concat(...parts).length + (random.once(4) ? random.int(5) : 0);
      return [post(length, randomForward(random, [])), ...parts.map((part) => random.once(4) ? packet(part) : body(part))];
    };
    const steps = [
      () => [cping],
      () => [packet(concat(Uint8Array.of(random.int(13)), content()))],
      () => [body(content())],
      () => [packet(content())],
      inChunks,
      withLength,
      withLength,
    ];
    const request = () => [forward(randomForward(random, []))];
    sent.push(...(steps[random.int(10)] ?? request)());
  }
  return concat(...sent);
}

function randomForward(random: Random, headers: Forward["headers"] = []): Forward {
  const word = () => random.once(15) ? null : text(random.bytes(random.length(random.once(30) ? 400 : 12)));
  const attribute = (): NonNullable<Forward["attributes"]>[number] => {
    const code = random.once(20) ? random.int(256) : 1 + random.int(13);
    if (code === 11) return [code, random.int(0x10000)];
    return code === 10 ? [code, random.pick([word(), "REMOTE_ADDR", "MYVAR"]), word()] : [code, code === 12 ? "s" : word()];
  };
  return {
    method: random.once(10) ? random.int(256) : 1 + random.int(27),
    uri: random.pick([word(), "/", "/a%20b"]),
    serverName: word(),
    port: random.int(0x10000),
    ssl: random.int(2),
    headers: [
      ...headers,
      ...Array.from({ length: random.int(6) }, () =>
        [
          random.pick([0xa001 + random.int(random.once(10) ? 20 : 6), random.pick(["x", "Content_Length", "Proxy"])]),
          word(),
        ] as const),
    ],
    attributes: [...random.once(4) ? [] : [remotePort], ...Array.from({ length: random.int(4) }, attribute)],
    terminated: !random.once(5),
  };
}

const httpFields = [
  "Content-Length: 3",
  "Content-Length: 0",
  "content-length: 11",
  "Transfer-Encoding: chunked",
  "Connection: close",
  "Connection: keep-alive",
  "Expect: 100-continue",
  "X: y",
  "X_Y: z",
  "Host: h",
];

/** What a proxy might send over HTTP, mostly in an order that makes sense. */
function httpTraffic(random: Random): Uint8Array {
  let sent = "";
  for (let requests = 1 + random.int(4); requests > 0; requests--) {
    const content = text(random.bytes(random.length(60)));
    const size = content.length.toString(16);
    const chunks = content === "" ? "" : `${size}${random.pick(["", "", ";a", ";a=b"])}\r\n${content}\r\n`;
    const [field, body] = random.pick([
      ["", ""],
      [`Content-Length: ${content.length}\r\n`, content],
      ["Transfer-Encoding: chunked\r\n", `${chunks.repeat(random.int(4))}0\r\n${random.pick(["", "T: x\r\n"])}\r\n`],
    ]);
    const target = random.pick(["/", "/a?b", "*", "http://h:1/x", "/\xe9", text(random.bytes(3))]);
    const line = `${random.pick(["GET", "POST", "OPTIONS"])} ${target} HTTP/1.${random.once(6) ? 0 : 1}`;
    const others = Array.from({ length: random.int(3) }, () => `${random.pick(httpFields)}\r\n`).join("");
    sent += `${random.pick(["", "", "", "\r\n"])}${line}\r\nHost: h\r\n${field}${random.once(2) ? others : ""}\r\n${body}`;
  }
  return bytes(sent);
}

/** What an application might send over AJP. */
function ajpAnswers(random: Random): Uint8Array {
  const sent: Uint8Array[] = [];
  for (let steps = 1 + random.int(8); steps > 0; steps--) {
    const code = () => random.once(2) ? 0xa001 + random.int(random.once(5) ? 20 : 11) : "x";
    const header = () => [code(), random.once(5) ? text(random.bytes(5)) : "y"] as const;
    const head = () => {
      const headers = Array.from({ length: random.int(4) }, header);
      return sendHeaders(random.once(5) ? random.int(1200) : 200, random.pick(["OK", null, ""]), headers);
    };
    const steps = [
      () => reply(concat(Uint8Array.of(random.int(11)), random.bytes(random.length(30)))),
      () => reply(Uint8Array.of(9)),
      () => getChunk(random.int(0x10000)),
      () => endResponse(random.int(2)),
      () => reply(concat(Uint8Array.of(3), integer(random.int(20)), random.bytes(random.int(30)))),
      head,
      head,
    ];
    sent.push((steps[random.int(9)] ?? (() => chunk(random.bytes(random.length(60)))))());
  }
  return concat(...sent);
}

/** What an application might send. */
function clientTraffic(random: Random): Uint8Array {
  const sent = traffic();
  for (let steps = 1 + random.int(8); steps > 0; steps--) {
    const options = { id: randomId(random), padding: random.once(3) ? random.int(20) : 0 };
    const steps = [
      () => sent.stderr(random.bytes(random.length(50)), options),
      () => sent.endRequest({ ...options, status: random.int(3), protocolStatus: random.int(5) }),
      () => sent.getValuesResult(randomPairs(random)),
      () => sent.record(random.int(14), random.bytes(random.length(30)), options),
    ];
    (steps[random.int(8)] ?? (() => sent.stdout(cgiResponse(random), options)))();
  }
  return sent.bytes();
}

const headLines = [
  "Status: 404 Not Found",
  "Status: 200",
  "Location: /x",
  "X: y",
  "X:",
  ":",
  "HTTP/1.1 200 OK",
  "Status: abc",
  "oops",
  "X: \xe9 ",
];

function cgiResponse(random: Random): string {
  let response = "";
  for (let lines = random.int(5); lines > 0; lines--) {
    const line = random.once(6) ? text(random.bytes(random.length(20))) : random.pick(headLines);
    response += line + random.pick(["\r\n", "\r\n", "\n", "\r"]);
  }
  return response + random.pick(["\r\n\r\n", "\n\n", "\n", "\r\n", "\r", ""]) + text(random.bytes(random.length(100)));
}

/** A response with a length, in chunks or neither, perhaps behind an interim one. */
function httpResponse(random: Random): string {
  const content = text(random.bytes(random.length(100)));
  const interim = random.once(4) ? "HTTP/1.1 100 Continue\r\n\r\n" : "";
  const chunks = `${content.length.toString(16)}${random.pick(["", ";a=b"])}\r\n${content}\r\n0\r\n${
    random.pick(["", "T: x\r\n"])
  }\r\n`;
  const [header, body] = random.pick([
    [`content-length: ${content.length}\r\n`, content],
    ["Transfer-Encoding: chunked\r\n", content === "" ? "0\r\n\r\n" : chunks],
    ["", content],
  ]);
  return `${interim}HTTP/1.1 ${random.pick([200, 204, 304, 500])} OK\r\nx: y\r\n${header}\r\n${body}`;
}

const hosts = "h example.com:8080 [::1]:80 127.0.0.1 a@b a:99999 xn--a EXAMPLE.com a_b 1.2 h:0 \xe9 a.b.".split(" ");
const paths = "/ /a%20b/c //x/../y * http://h/x http://a@b/ ?q /%00 /a//b?c#d /\xc3\xa9 /%zz /\\x".split(" ").concat("");
const variables = [
  "HTTP_HOST",
  "REQUEST_URI",
  "SCRIPT_NAME",
  "PATH_INFO",
  "HTTPS",
  "SERVER_NAME",
  "SERVER_PORT",
  "SERVER_SOFTWARE",
  "REQUEST_METHOD",
];

function randomParams(random: Random): [string, string][] {
  return Array.from({ length: random.int(10) }, () => {
    const name = random.once(5) ? `HTTP_${text(random.bytes(random.int(4)))}` : random.pick(variables);
    const values = name === "REQUEST_METHOD"
      ? ["GET", "get", "FOO"]
      : name.startsWith("S")
      ? [...hosts, ...paths, "80", "nginx/1"]
      : /HOST/.test(name)
      ? hosts
      : paths;
    const value = random.once(4) ? text(random.mutate(bytes(random.pick(values)))) : random.pick(values);
    return [name, random.once(10) ? text(random.bytes(random.int(12))) : value];
  });
}

// What must hold.

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** Looks at what a codec holds after all pieces. */
type Bounded = (pieces: Uint8Array[], lines: string[]) => void;

/** A server codec whose requests are answered early, late or never, as the policy has it. */
function serve(codec: ServerCodec, pieces: Uint8Array[], policy: number, bounded: Bounded): string {
  const head: ResponseHead = { status: 200, reason: "OK", headers: ["x", "y"] };
  const open = new Set<number>();
  const refused = new Set<number>();
  let sent = "";
  const answer = (id: number, withHead: boolean) => {
    open.delete(id);
    refused.delete(id);
    sent += text(codec.encode(id, withHead ? head : undefined, withHead ? bytes("hi") : undefined, true));
  };
  const act = (event: ServerEvent) => {
    if (event.type === "reply" || event.type === "ignored") return;
    const { id, type } = event;
    if (type === "request") {
      open.add(id);
      must(open.size <= limits.maxConcurrent, `${open.size} requests are in flight`);
      const { pairs } = event.params;
      must(pairs.length <= 2 * limits.maxParams, `A request has ${pairs.length / 2} params`);
      must(pairs.join("").length <= limits.maxParamsBytes, "A request has too many bytes of params");
    }
    if (type === "refused") refused.add(id);
    const known = type === "request" || type === "refused" || open.has(id) || (type === "abort" && refused.has(id));
    must(known, `An event of request ${id}, which is not in flight`);
    const now = type === "refused" ? policy % 2 === 0 : type === ["request", "bodyEnd", "never"][(policy + id) % 3];
    if (now || type === "abort") answer(id, type !== "abort");
  };
  const lines = transcript(codec, pieces, act);
  const broken = lines.at(-1)?.startsWith("ProtocolError");
  if (!broken) bounded(pieces, lines);
  return `${lines.join("\n")}\n${sent}\n${broken || `${codec.idle} ${codec.closing}`}`;
}

/** Reads the records once more: too many params without an end have been refused. */
function boundedParams(pieces: Uint8Array[], lines: string[]): void {
  const message = pieces.length === 1 ? pieces[0] : concat(...pieces);
  const lengths = new Map<number, number>();
  const begun = new Set<number>();
  for (let at = 0; at + 8 <= message.length;) {
    const id = message[at + 2] * 256 + message[at + 3];
    const length = message[at + 4] * 256 + message[at + 5];
    // Of one that begins again nothing is held while the first is in flight, which cannot be seen from here.
    if (message[at + 1] === 1 && id !== 0) begun.has(id) ? lengths.delete(id) : begun.add(id) && lengths.set(id, 0);
    if (message[at + 1] === 2 || (message[at + 1] === 4 && length === 0)) lengths.delete(id);
    const earlier = lengths.get(id);
    const arrived = Math.min(length, message.length - at - 8);
    if (message[at + 1] === 4 && earlier !== undefined) lengths.set(id, earlier + arrived);
    at += 8 + length + message[at + 6];
  }
  for (const [id, length] of lengths) {
    const refused = lines.some((line) => line.startsWith(`refused ${id} `));
    must(length <= limits.maxParamsBytes || refused, `Request ${id} has sent ${length} bytes of params and was not refused`);
  }
}

/** A peer that has sent more than the longest head has had an answer. */
function boundedHead(pieces: Uint8Array[], lines: string[]): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  must(lines.length > 0 || length <= limits.maxParamsBytes + 12, `${length} bytes are held`);
}

/** More than a packet is never held. */
function boundedPacket(pieces: Uint8Array[], lines: string[]): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  must(lines.length > 0 || length < 4 + 0x10000, `${length} bytes are held`);
}

/** Half a head is never longer than a head may be. */
function boundedHttp(pieces: Uint8Array[], lines: string[]): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  must(lines.length > 0 || length < limits.maxParamsBytes + 2, `${length} bytes are held`);
}

/** A client that waits for an answer, and for another one behind it. */
function receiveAjp(pieces: Uint8Array[]): string {
  const client = new AjpClient();
  client.request(1, new Params());
  const stages = new Map([[1, "head"]]);
  return transcript(client, pieces, (event) => {
    order(event, stages);
    if (event.type === "head") must(!/[\r\n\0]/.test(event.head.headers.join("")), "A header has a line end");
    if (event.type !== "end" || event.id > 1) return;
    client.request(2, new Params());
    stages.set(2, "head");
  }).join("\n");
}

/** A client that waits for three answers. */
function receive(pieces: Uint8Array[]): string {
  const client = new FastCgiClient();
  const stages = new Map<number, string>();
  for (const id of [1, 2, 3]) {
    client.request(id, new Params());
    stages.set(id, "head");
  }
  return transcript(client, pieces, (event) => order(event, stages)).join("\n");
}

/** A client whose answer ends with the connection: feeds the answer to one request, and the end of the connection. */
function receiveToEnd(client: ClientCodec, pieces: Uint8Array[]): string {
  client.request(1, new Params());
  const receiver = {
    receive: (bytes: Uint8Array) => bytes.length > 0 ? client.receive(bytes) : client.receiveEnd(),
    nextEvent: () => client.nextEvent(),
  };
  const stages = new Map([[1, "head"]]);
  return transcript(receiver, [...pieces, new Uint8Array(0)], (event) => order(event, stages)).join("\n");
}

/** A response has a head, then a body, then an end, and nothing behind it. */
function order(event: ClientEvent, stages: Map<number, string>): void {
  if (!("id" in event)) return;
  const stage = stages.get(event.id);
  must(stage !== undefined, `An event of request ${event.id}, which is not in flight`);
  if (event.type === "head") {
    must(stage === "head", "A head behind the head");
    stages.set(event.id, "body");
  } else if (event.type === "body") {
    must(stage === "body", "A body before its head");
  } else if (event.type === "end") {
    stages.delete(event.id);
  }
}

function parse(pieces: Uint8Array[]): string {
  const parser = new CgiResponseParser(1);
  const stages = new Map([[1, "head"]]);
  let events: Iterator<ClientEvent> = [].values();
  const receiver = {
    receive: (bytes: Uint8Array) => void (events = parser.receive(bytes)),
    nextEvent: () => events.next().value as ClientEvent | undefined,
  };
  return transcript(receiver, pieces, (event) => order(event, stages)).join("\n");
}

/**
 * A record that means nothing where it stands.
 *
 * @param stage how much of the request was sent: nothing, begin and params, a body, its end
 */
function outOfTurn(random: Random, id: number, stage: number): Uint8Array {
  const [stdin, params, data] = [5, 4, 8];
  const never = [3, 6, 7, data];
  const types = stage === 3
    ? [stdin, params, 9, 12, ...never]
    : stage > 0
    ? [params, 9, 12, ...never]
    : [stdin, params, 2, ...never];
  const where = stage === 0 && random.once(2) ? 7000 : random.once(5) ? 0 : id;
  const options = { id: where, padding: random.once(3) ? random.int(20) : 0 };
  return traffic().record(random.pick(where === 0 ? never : types), random.bytes(random.length(40)), options).bytes();
}

/** Valid requests through both halves: what goes in comes out. */
function exchange(random: Random): Case {
  const client = () => {
    const codec = new FastCgiClient();
    for (const { id, pairs } of requests) codec.request(id, new Params(pairs));
    return codec;
  };
  const requests = Array.from({ length: 1 + random.int(limits.maxConcurrent) }, (_, i) => ({
    id: 1 + i * 300,
    pairs: randomPairs(random).slice(0, limits.maxParams).flat().map((part) => part.slice(0, 10)),
    body: random.bytes(random.length(300)),
    answer: random.bytes(random.length(300)),
  }));
  const encoder = new FastCgiClient();
  const steps = requests.map(({ id, pairs, body }) => [
    encoder.request(id, new Params(pairs), { keep: true }),
    encoder.body(id, body),
    encoder.bodyEnd(id),
  ]);
  const sent: Uint8Array[] = [];
  for (let left = 3 * requests.length; left > 0;) {
    const step = random.pick(steps).shift();
    if (step === undefined) continue;
    sent.push(step);
    left--;
    if (random.once(3)) {
      const at = random.int(requests.length);
      sent.push(outOfTurn(random, requests[at].id, 3 - steps[at].length));
    }
  }
  const run = (pieces: Uint8Array[]) => {
    const server = new FastCgiServer({ ...defaultOptions, ...limits });
    const bodies = new Map<number, string>();
    const answers: Uint8Array[] = [];
    const lines = transcript(server, pieces, (event) => {
      if (!("id" in event)) throw new Error("An answer that was not asked for");
      const request = requests.find(({ id }) => id === event.id);
      must(request !== undefined, `An event of request ${event.id}, which was not sent`);
      if (event.type === "request") {
        must(event.params.pairs.join("\0") === request!.pairs.join("\0"), "Params arrived changed");
      } else if (event.type === "body") {
        bodies.set(event.id, (bodies.get(event.id) ?? "") + text(event.bytes));
      } else if (event.type === "bodyEnd") {
        must((bodies.get(event.id) ?? "") === text(request!.body), "A body arrived changed");
        answers.push(server.encode(event.id, { status: 201, reason: "Made", headers: ["x", "y"] }, request!.answer, true));
      } else {
        throw new Error(`A valid request was answered with ${event.type}`);
      }
    });
    must(server.idle && !server.closing && answers.length === requests.length, "A connection is not ready for the next request");
    const returned = new Map<number, string>();
    const seen = transcript(client(), answers, (event) => {
      if (event.type === "body") returned.set(event.id, (returned.get(event.id) ?? "") + text(event.bytes));
    });
    for (const { id, answer } of requests) {
      must(seen.includes(`head ${id} 201 Made x y`) && seen.includes(`end ${id} 0`), `No complete answer to request ${id}`);
      must((returned.get(id) ?? "") === text(answer), "An answer arrived changed");
    }
    return lines.join("\n");
  };
  return { bytes: concat(...sent), run };
}

/** A request as it was sent, and what it is answered with. */
interface Sent {
  body: Uint8Array;
  answer: Uint8Array;
  /** Whether its params are those that arrived. */
  isOf(params: Params): boolean;
}

const made: ResponseHead = { status: 201, reason: "Made", headers: ["x", "y"] };
const wholly = (codec: ServerCodec, { answer }: Sent) => concat(codec.encode(1, made, answer, true));

/** Has a server read requests that come one after the other, all as they were sent, and returns its answers. */
function answersTo<Request extends Sent>(
  requests: readonly Request[],
  server: ServerCodec,
  pieces: Uint8Array[],
  encode: (codec: ServerCodec, request: Request) => Uint8Array = wholly,
): { answers: Uint8Array[]; lines: string } {
  const answers: Uint8Array[] = [];
  let arrived = "";
  const lines = transcript(server, pieces, (event) => {
    const request = requests[answers.length];
    if (event.type === "request") {
      arrived = "";
      must(request.isOf(event.params), "Params arrived changed");
    } else if (event.type === "body") {
      arrived += text(event.bytes);
    } else if (event.type === "bodyEnd") {
      must(arrived === text(request.body), "A body arrived changed");
      answers.push(encode(server, request));
    } else if (event.type !== "reply" || !(server instanceof AjpServer)) {
      throw new Error(`A valid request was answered with ${event.type}`);
    }
  });
  must(answers.length === requests.length, "A request is not over");
  return { answers, lines: lines.join("\n") };
}

/** Has a client read an answer, which arrives as it was made. */
function comesBack(client: ClientCodec, pieces: Uint8Array[], answer: Uint8Array, params = new Params()): void {
  client.request(1, params);
  let returned = "";
  const note = (event: ClientEvent) => void (event.type === "body" && (returned += text(event.bytes)));
  const seen = transcript(client, pieces, note);
  client.receiveEnd();
  seen.push(...transcript({ receive: () => {}, nextEvent: () => client.nextEvent() }, [new Uint8Array(0)], note));
  const [head] = seen;
  // HTTP says how the body ends.
  const isMade = client instanceof HttpClient ? head.startsWith("head 1 201 Made x y ") : head === "head 1 201 Made x y";
  must(isMade && seen.at(-1) === "end 1 0", "No complete answer");
  must(returned === text(answer), "An answer arrived changed");
}

const endsWith = (params: Params, pairs: readonly string[]) =>
  params.pairs.slice(-pairs.length || Infinity).join("\0") === pairs.join("\0");

/** A valid request through both halves, and its answer: what goes in comes out. */
function singleExchange(protocol: SingleProtocol, random: Random): Case {
  const { server, client } = single[protocol];
  const body = random.bytes(random.length(300));
  const answer = random.bytes(random.length(300));
  const pairs = singlePairs(random).slice(0, limits.maxParams - 2).flat().map((part) => part.slice(0, 10));
  const params = new Params(["CONTENT_LENGTH", String(body.length), ...pairs]);
  const encoder = client();
  const behind = random.once(2) ? random.bytes(random.length(100)) : new Uint8Array(0);
  const bytes = concat(encoder.request(1, params), encoder.body(1, body), encoder.bodyEnd(1), behind);
  const run = (pieces: Uint8Array[]) => {
    const codec = server(limits);
    const { answers, lines } = answersTo([{ body, answer, isOf: (params) => endsWith(params, pairs) }], codec, pieces);
    must(codec.idle && codec.closing, "The request is not over");
    comesBack(client(), answers, answer, params);
    return lines;
  };
  return { bytes, run };
}

/** Valid requests through both halves of AJP, one after the other, and their answers: what goes in comes out. */
function ajpExchange(random: Random): Case {
  const requests = Array.from({ length: 1 + random.int(3) }, () => {
    const known = random.once(2);
    const body = random.bytes(random.length(300));
    const length = known ? ["CONTENT_LENGTH", String(body.length)] : ["HTTP_TRANSFER_ENCODING", "chunked"];
    const headers = Array.from({ length: random.int(5) }, (_, i) => [`HTTP_X${i}`, text(random.bytes(random.length(30)))]);
    const pairs = [...length, ...headers.flat()];
    const answer = random.bytes(random.length(300));
    return { pairs, known, body, answer, isOf: (params: Params) => endsWith(params, pairs) };
  });
  const encoder = new AjpClient();
  const sent = requests.flatMap(({ pairs, known, body }) => {
    const parts: Uint8Array[] = [encoder.request(1, new Params(pairs))];
    for (let at = 0; at < body.length;) {
      // As if it had been asked for.
      if (encoder.room === 0) transcript(encoder, [getChunk()]);
      const piece = body.subarray(at, at + 1 + random.int(200));
      parts.push(encoder.body(1, piece));
      at += piece.length;
    }
    if (!known) transcript(encoder, [getChunk()]);
    return known ? parts : [...parts, encoder.bodyEnd()];
  });
  const run = (pieces: Uint8Array[]) => {
    const server = new AjpServer({ ...ajpLimits, maxParamsBytes: 5000 });
    const { answers, lines } = answersTo(requests, server, pieces);
    must(server.idle && !server.closing, "A connection is not ready for the next request");
    const client = new AjpClient();
    for (const [i, { answer }] of requests.entries()) comesBack(client, [answers[i]], answer);
    return lines;
  };
  return { bytes: concat(...sent), run };
}

/** Valid requests through both halves of HTTP, one after the other, and their answers: what goes in comes out. */
function httpExchange(random: Random): Case {
  const requests = Array.from({ length: 1 + random.int(3) }, () => {
    const known = random.once(2);
    const body = random.bytes(random.length(300));
    const value = text(random.bytes(random.length(30))).replace(/[^!-~\x80-\xff]/g, "_");
    const isOf = (params: Params) => params.get("HTTP_X") === (value || undefined);
    return { known, body, value, answer: random.bytes(random.length(300)), whole: random.once(2), isOf };
  });
  const sent = requests.flatMap(({ known, body, value }) => {
    const encoder = new HttpClient();
    const params = new Params(["REQUEST_METHOD", "POST", "REQUEST_URI", "/a?b", "HTTP_HOST", "h", "HTTP_X", value]);
    if (known) params.pairs.push("CONTENT_LENGTH", String(body.length));
    const parts = [encoder.request(1, params, { keep: true })];
    for (let at = 0; at < body.length;) {
      const piece = body.subarray(at, at + 1 + random.int(200));
      parts.push(encoder.body(1, piece));
      at += piece.length;
    }
    return [...parts, encoder.bodyEnd()];
  });
  const inPieces = (codec: ServerCodec, { answer }: Sent) =>
    concat(
      codec.encode(1, made, answer.subarray(0, 100), false),
      codec.encode(1, undefined, answer.subarray(100), false),
      codec.encode(1, undefined, undefined, true),
    );
  const run = (pieces: Uint8Array[]) => {
    const server = new HttpServer({ ...httpLimits, maxParamsBytes: 5000 });
    const encode = (codec: ServerCodec, request: typeof requests[number]) => (request.whole ? wholly : inPieces)(codec, request);
    const { answers, lines } = answersTo(requests, server, pieces, encode);
    must(server.idle && !server.closing, "A connection is not ready for the next request");
    for (const [i, { answer }] of requests.entries()) {
      comesBack(new HttpClient(), random.once(2) ? [answers[i]] : random.pieces(answers[i]), answer);
    }
    return lines;
  };
  return { bytes: concat(...sent), run };
}

/** Any params give a Request or a reason for none. */
function look(params: Params): string {
  const line = requestLine(params);
  const url = requestUrl(params);
  const { scriptName, pathInfo } = requestMount(params);
  let seen = `${line.status ?? line.method} ${scriptName} ${pathInfo}\n`;
  for (const [name, value] of requestHeaders(params)) {
    must(!/[\r\n\0]/.test(name + value), `The header ${name} has a line end`);
    seen += `${name}: ${value}\n`;
  }
  if (url === undefined) return seen;
  const { username, password, hash, href, protocol } = new URL(url);
  must(username + password + hash === "", `The URL ${href} has more than host, path and query`);
  must(protocol === "http:" || protocol === "https:", `The URL ${href} has another scheme`);
  must(new URL(url).host === new URL(`${protocol}//${url.split("/")[2]}`).host, `The URL ${href} has another host`);
  return seen + href;
}
