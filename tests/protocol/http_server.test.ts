/** The server half of HTTP/1.1: what is taken, what is refused, and how it is answered, as bytes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ChunkReader } from "../../src/protocol/http/chunks.ts";
import { Input } from "../../src/protocol/http/input.ts";
import { HttpServer, type HttpServerOptions } from "../../src/protocol/http/server.ts";
import { defaultCodecLimits, ProtocolError, type ResponseHead, type ServerEvent } from "../../src/protocol/protocol.ts";
import { bytes, concat, splits, text, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

const limits = { ...defaultCodecLimits, maxParamsBytes: 2000, maxParams: 40, date: () => "Sun, 06 Nov 1994 08:49:37 GMT" };
const head: ResponseHead = { status: 200, reason: "OK", headers: ["x", "y"] };

interface Seen {
  /** What was reported: method, target, body of a request; status and reason of a refusal. */
  events: string[];
  sent: string;
  state: string;
}

/** Feeds pieces. Each request is answered when all of it is there, with its body. */
function feed(pieces: readonly Uint8Array[], options: Partial<HttpServerOptions> = {}): Seen {
  const codec = new HttpServer({ ...limits, ...options });
  const events: string[] = [];
  let sent = "";
  let request = "";
  const act = (event: ServerEvent) => {
    switch (event.type) {
      case "request":
        request = `${event.params.get("REQUEST_METHOD")} ${event.params.get("REQUEST_URI")} `;
        return;
      case "body":
        request += text(event.bytes);
        return;
      case "bodyEnd":
        events.push(request);
        sent += text(codec.encode(event.id, head, bytes("ok"), true));
        return;
      case "refused":
        events.push(`${event.status} ${event.reason}`);
        sent += text(codec.encode(event.id, { ...head, status: event.status, reason: "No" }, bytes("no"), true));
        return;
      case "abort":
        events.push(`aborted ${request}`);
        assert.equal(codec.encode(event.id, undefined, undefined, true).length, 0);
        return;
      case "reply":
        sent += text(event.bytes);
        return;
      default:
        events.push(event.type);
    }
  };
  const error = transcript(codec, pieces, act).at(-1);
  if (error?.startsWith("ProtocolError")) events.push(error);
  return { events, sent, state: `${codec.idle ? "idle" : "busy"}${codec.closing ? " closing" : ""}` };
}

/** The same, and that it does not matter how the message is cut. */
function seen(message: string, options?: Partial<HttpServerOptions>): Seen {
  const whole = feed([bytes(message)], options);
  for (const { name, pieces } of splits(bytes(message), new Random(5))) assert.deepEqual(feed(pieces, options), whole, name);
  return whole;
}

const get = (fields = "", line = "GET /a HTTP/1.1") => `${line}\r\nHost: h\r\n${fields}\r\n`;
const post = (fields: string, body: string, version = "1.1") => `POST /p HTTP/${version}\r\nHost: h\r\n${fields}\r\n${body}`;
const chunked = (body: string, fields = "") => post(`Transfer-Encoding: chunked\r\n${fields}`, body);

describe("requests that are taken", () => {
  const rows: [name: string, message: string, expected: string[], state?: string][] = [
    ["without a body", get(), ["GET /a "]],
    ["behind one empty line", `\r\n${get()}`, ["GET /a "]],
    ["one behind the other", get() + post("Content-Length: 4\r\n", "body") + chunked("3\r\nabc\r\n0\r\n\r\n") + get(), [
      "GET /a ",
      "POST /p body",
      "POST /p abc",
      "GET /a ",
    ]],
    ["each behind an empty line", `${post("Content-Length: 4\r\n", "body")}\r\n${get()}`, ["POST /p body", "GET /a "]],
    ["with nothing for a body", post("Content-Length: 0\r\n", ""), ["POST /p "]],
    ["with a length that begins with zeros", post("Content-Length: 0004\r\n", "body"), ["POST /p body"]],
    ["GET with a body", `GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc${get()}`, ["GET /a abc", "GET /a "]],
    ["POST without a length has no body", post("", "") + get(), ["POST /p ", "GET /a "]],
    [
      "in chunks with extensions and trailers",
      chunked('2;a=b;c\r\nhi\r\n3;q="x;\\"y"\r\n123\r\n0;z\r\nT: x\r\nU:\r\n\r\n') + get(),
      [
        "POST /p hi123",
        "GET /a ",
      ],
    ],
    ["in chunks with sizes in all digits", chunked(`0a\r\n0123456789\r\n00B\r\n0123456789x\r\n000\r\n\r\n`), [
      "POST /p 01234567890123456789x",
    ]],
    ["in chunks, CHUNKED", post("transfer-encoding: Chunked\r\n", "1\r\na\r\n0\r\n\r\n"), ["POST /p a"]],
    ["OPTIONS *", get("", "OPTIONS * HTTP/1.1"), ["OPTIONS * "]],
    ["absolute form", get("", "GET http://h2:81/x?y HTTP/1.1"), ["GET http://h2:81/x?y "]],
    ["absolute form without a path", get("", "OPTIONS http://h2 HTTP/1.1"), ["OPTIONS http://h2 "]],
    ["bytes that are not ASCII", get("X: \xe9\r\n", "GET /\xc3\xa9 HTTP/1.1"), ["GET /\xc3\xa9 "]],
    ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", ["GET / "]],
    ["a Host in IPv6", "GET / HTTP/1.1\r\nhost:\t[::1]:80 \t\r\n\r\n", ["GET / "]],
    ["HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", ["GET /a "], "idle closing"],
    ["HTTP/1.0 that is kept", "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n".repeat(2), ["GET /a ", "GET /a "]],
    ["the last", get("Connection: close\r\n"), ["GET /a "], "idle closing"],
    ["the last, as one of several options", get("Connection: x, Close\r\n"), ["GET /a "], "idle closing"],
    ["the last, in the second field", get("Connection: keep-alive\r\nConnection: close\r\n"), ["GET /a "], "idle closing"],
    ["nothing behind the last", get("Connection: close\r\n") + get(), ["GET /a "], "busy closing"],
    ["half a head", "GET /a HTTP/1.1\r\nHost: h\r\nX: ", [], "busy"],
    ["a head that lacks its last byte", get().slice(0, -1), [], "busy"],
    ["half a body", post("Content-Length: 9\r\n", "half"), [], "busy"],
    ["half a chunk", chunked("9\r\nhalf"), [], "busy"],
    ["a field with an underscore is not its like with a hyphen", get("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n"), [
      "GET /a ",
    ]],
  ];
  for (const [name, message, expected, state = "idle"] of rows) {
    test(name, () => {
      const { events, state: left } = seen(message);
      assert.deepEqual({ events, left }, { events: expected, left: state });
    });
  }
});

describe("requests that are refused", () => {
  const both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
  const rows: [name: string, message: string, expected: RegExp][] = [
    // RFC 9112, 2.2.
    ["lines that end with LF", get().replaceAll("\r\n", "\n"), /^400 .*LF/],
    ["one line that ends with LF", get("X: y\n"), /^400 .*LF/],
    ["a LF in a value", get("X: y\nContent-Length: 4\r\n"), /^400 .*LF/],
    ["a CR in a value", get("X: y\rContent-Length: 4\r\n"), /^400 .*CR/],
    ["a CR in the request line", get("", "GET /a\rb HTTP/1.1"), /^400 .*CR/],
    ["two CRs", get("X: y\r\r\n"), /^400 .*CR/],
    ["a head that ends with LF", "GET / HTTP/1.1\r\nHost: h\r\n\n", /^400 .*LF/],
    ["two empty lines before a request", `\r\n\r\n${get()}`, /^400/],
    ["a blank line before a request", ` \r\n${get()}`, /^400/],
    ["NUL in a value", get("X: a\0b\r\n"), /^400 .*0x00/],
    ["DEL in a value", get("X: a\x7fb\r\n"), /^400 .*0x7f/],
    ["NUL in the target", get("", "GET /\0 HTTP/1.1"), /^400/],
    // RFC 9112, 3.
    ["two blanks behind the method", get("", "GET  /a HTTP/1.1"), /^400/],
    ["two blanks before the version", get("", "GET /a  HTTP/1.1"), /^400/],
    ["a blank behind the version", get("", "GET /a HTTP/1.1 "), /^400/],
    ["a blank before the method", get("", " GET /a HTTP/1.1"), /^400/],
    ["tabs between the parts", get("", "GET\t/a\tHTTP/1.1"), /^400/],
    ["a tab in the target", get("", "GET /a\tb HTTP/1.1"), /^400/],
    ["HTTP/0.9", "GET /\r\n\r\n", /^400/],
    ["small letters in the version", get("", "GET /a http/1.1"), /^400/],
    ["a version of two digits", get("", "GET /a HTTP/1.10"), /^400/],
    ["a version to come", get("", "GET /a HTTP/1.2"), /^505/],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /^505 HTTP\/2\.0/],
    ["a method in small letters", get("", "get /a HTTP/1.1"), /^400/],
    ["a method that is not a token", get("", "G(T /a HTTP/1.1"), /^400/],
    ["authority form", get("", "GET h:80 HTTP/1.1"), /^400/],
    ["CONNECT", get("", "CONNECT h:80 HTTP/1.1"), /^405/],
    ["a target without a slash", get("", "GET a HTTP/1.1"), /^400/],
    ["* for another method", get("", "GET * HTTP/1.1"), /^400/],
    ["another scheme", get("", "GET ftp://h/ HTTP/1.1"), /^400/],
    ["user information", get("", "GET http://u@h/ HTTP/1.1"), /^400/],
    ["absolute form without a host", get("", "GET http:///a HTTP/1.1"), /^400/],
    // RFC 9112, 3.2.
    ["no Host", "GET / HTTP/1.1\r\n\r\n", /^400 .*no Host/],
    ["no Host in absolute form", "GET http://h/ HTTP/1.1\r\n\r\n", /^400 .*no Host/],
    ["two Hosts", get("Host: h\r\n"), /^400 .*more than one Host/],
    ["a Host with a path", "GET / HTTP/1.1\r\nHost: h/p\r\n\r\n", /^400 .*the Host/],
    ["a Host with user information", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", /^400 .*the Host/],
    ["two hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", /^400 .*the Host/],
    ["a Host with a port of letters", "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", /^400 .*the Host/],
    // RFC 9112, 5.
    ["a blank before a colon", get("X : y\r\n"), /^400 .*field name/],
    ["a tab before a colon", get("Content-Length\t: 4\r\n"), /^400 .*field name/],
    ["a line without a colon", get("X\r\n"), /^400 .*the line "X"/],
    ["a line without a name", get(": y\r\n"), /^400 .*field name/],
    ["a field in two lines", get("X: a\r\n b\r\n"), /^400 .*more than one line/],
    ["a first field that goes on", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", /^400/],
    ["a blank line within a head", get(" \r\nX: y\r\n"), /^400 .*more than one line/],
    ["a name with a byte that is not ASCII", get("X\xa0: y\r\n"), /^400 .*field name/],
    // RFC 9112, 6.
    ["two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "body"), /^400 .*more than one/],
    ["the same length twice", post("Content-Length: 4\r\nContent-Length: 4\r\n", "body"), /^400 .*more than one/],
    ["a list of lengths", post("Content-Length: 4,4\r\n", "body"), /^400/],
    ["an empty length", post("Content-Length:\r\n", "body"), /^400/],
    ...["+4", "-4", "4 4", "0x4", "4.0", "4e0", "four", "4;", "99999999999999999999"].map((length): [string, string, RegExp] => [
      `the length ${length}`,
      post(`Content-Length: ${length}\r\n`, "body"),
      /^400 .*Content-Length/,
    ]),
    ["both framings", post(both, "0\r\n\r\n"), /^400 .*beside/],
    [
      "both framings, the other way round",
      post(both.split("\r\n").reverse().join("\r\n").slice(2) + "\r\n", "0\r\n\r\n"),
      /^400 .*beside/,
    ],
    ["chunks in HTTP/1.0", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "1.0"), /^400 .*HTTP\/1\.0/],
    ["a coding that is not known, before chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), /^501 .*gzip/],
    [
      "the same in two fields",
      post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      /^501 .*gzip, chunked/,
    ],
    ...[
      "chunked, gzip",
      "gzip",
      "identity",
      "chunked, chunked",
      "xchunked",
      "chunkedx",
      "\x0bchunked",
      "chunked\t",
      "\tchunked",
      '"chunked"',
      "chunked;q=1",
      "chunked,",
      ", chunked",
      "",
    ].map((coding): [string, string, RegExp] => [
      `the coding ${JSON.stringify(coding)}`,
      post(`Transfer-Encoding: ${coding}\r\n`, "0\r\n\r\n"),
      /^400/,
    ]),
    ["another expectation", post("Content-Length: 4\r\nExpect: 100-continue, x\r\n", "body"), /^417/],
    // Limits.
    ["a request line that is too long", get("", `GET /${"a".repeat(2000)} HTTP/1.1`), /^414/],
    ["a field that is too long", get(`X: ${"a".repeat(2000)}\r\n`), /^431 more than 2000 bytes/],
    ["a head that never ends", `GET / HTTP/1.1\r\n${"X: y\r\n".repeat(400)}`, /^431/],
    ["params that are too long", get("", `GET /${"a".repeat(950)} HTTP/1.1`), /^431 more than 2000 bytes/],
    ["too many fields", get("X: y\r\n".repeat(40)), /^431 more than 40 params/],
  ];
  for (const [name, message, expected] of rows) {
    test(name, () => {
      const { events, sent, state } = seen(message + get());
      assert.equal(events.length, 1, events.join("\n"));
      assert.match(events[0], expected);
      assert.match(sent, /^HTTP\/1\.1 \d+ No\r\n[^]*\r\nconnection: close\r\n/);
      assert.equal(state, "busy closing");
    });
  }

  test("what is complete is answered before what is not HTTP", () => {
    const { events, state } = seen(`${get()}${post("Content-Length: 4\r\n", "body")}nonsense\r\n\r\n${get()}`);
    assert.deepEqual(events, ["GET /a ", "POST /p body", '400 Not HTTP: the request line "nonsense"']);
    assert.equal(state, "busy closing");
  });

  test("a request too many at once", () => {
    assert.deepEqual(seen(get(), { maxConcurrent: 0 }).events, ["503 too many requests at once"]);
  });

  test("TLS, which could not read an answer", () => {
    assert.deepEqual(seen("\x16\x03\x01\x02\x00").events, [
      "ProtocolError: Not HTTP: it looks like TLS, and this endpoint takes http:// only",
    ]);
  });
});

describe("chunks that are refused", () => {
  const rows: [name: string, body: string][] = [
    ...[
      "zz",
      "",
      "+1",
      "-1",
      " 1",
      "1 ",
      "1\t",
      "0x1",
      "1 ;a",
      "1; a",
      "1;a =b",
      "1;",
      '1;a="b',
      '1;a="\\',
      "1_0",
      "1,1",
      "123456789",
      "ffffffffffffffff1",
    ]
      .map((size): [string, string] => [`the size ${JSON.stringify(size)}`, `${size}\r\na\r\n0\r\n\r\n`]),
    ["a size line that ends with LF", "1\na\r\n0\r\n\r\n"],
    ["a LF within an extension", "1;a\nb\r\na\r\n0\r\n\r\n"],
    ["a CR within an extension", "1;a\rb\r\na\r\n0\r\n\r\n"],
    ["data that is longer than its size", "1\r\nab\r\n0\r\n\r\n"],
    ["data that ends with LF", "1\r\na\n0\r\n\r\n"],
    ["data that ends with CR", "1\r\na\r0\r\n\r\n"],
    ["other bytes behind data", "1\r\naXX0\r\n\r\n"],
    ["an extension that is too long", `1;${"a".repeat(5000)}\r\na\r\n0\r\n\r\n`],
    ["far more extensions than data", `1;${"a".repeat(1000)}\r\na\r\n`.repeat(20)],
    ["a trailer that ends with LF", "0\r\nT: x\n\r\n"],
    ["a last line that ends with LF", "0\r\n\n"],
    ["a trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n"],
    ["a trailer with a blank before its colon", "0\r\nT : x\r\n\r\n"],
    ["a length in the trailers", "0\r\nContent-Length: 3\r\n\r\n"],
    ["a trailer in two lines", "0\r\nT: x\r\n y\r\n\r\n"],
    ["trailers that are too long", `0\r\n${`T: ${"x".repeat(1000)}\r\n`.repeat(20)}\r\n`],
    ["too many trailers", `0\r\n${"T: x\r\n".repeat(200)}\r\n`],
  ];
  for (const [name, body] of rows) {
    test(name, () => {
      const message = bytes(chunked(body) + get());
      const { events, sent } = feed([message]);
      for (const pieces of [Array.from(message, (_, i) => message.slice(i, i + 1)), new Random(3).pieces(message)]) {
        assert.deepEqual(feed(pieces), { events, sent, state: "busy closing" });
      }
      assert.equal(events.length, 2, events.join("\n"));
      assert.match(events[0], /^aborted POST \/p /);
      assert.match(events[1], /^400 Not HTTP: /);
      assert.equal(sent.split("HTTP/1.1 ").length, 2);
    });
  }

  test("behind the head of a response end the connection", () => {
    const codec = new HttpServer(limits);
    codec.receive(bytes(chunked("1\r\na\r\n")));
    transcript(codec, []);
    while (codec.nextEvent() !== undefined);
    codec.encode(1, head, bytes("begin"), false);
    assert.match(transcript(codec, [bytes("zz\r\n")]).join(), /^ProtocolError: Not HTTP: /);
  });

  test("behind a whole response are not answered once more", () => {
    const codec = new HttpServer(limits);
    codec.receive(bytes(chunked("1\r\na\r\n")));
    while (codec.nextEvent() !== undefined);
    codec.encode(1, head, bytes("early"), true);
    assert.equal(codec.closing, false);
    assert.match(transcript(codec, [bytes("zz\r\n"), bytes(get())]).join(), /^ignored the rest of an answered request: [^,]*$/);
    assert.deepEqual([codec.closing, codec.idle], [true, false]);
  });
});

describe("chunks", () => {
  test("of a byte make one piece, and hold no more than what arrived", () => {
    const reader = new ChunkReader();
    const input = new Input();
    const received = bytes("1\r\na\r\n".repeat(10_000));
    input.add(received);
    const piece = reader.read(input)!;
    assert.equal(text(piece), "a".repeat(10_000));
    assert.ok(piece.buffer.byteLength <= received.length, `${piece.buffer.byteLength}`);
    assert.equal(reader.read(input), undefined);
  });

  test("of a byte go on for ever", () => {
    const reader = new ChunkReader();
    const input = new Input();
    let length = 0;
    for (let i = 0; i < 100; i++) {
      input.add(bytes("1;x=y\r\na\r\n".repeat(1000)));
      length += reader.read(input)!.length;
    }
    assert.equal(length, 100_000);
  });

  test("that are large are given as they came", () => {
    const reader = new ChunkReader();
    const input = new Input();
    const received = bytes(`2710\r\n${"a".repeat(10_000)}\r\n2710\r\n${"b".repeat(10_000)}\r\n`);
    input.add(received);
    for (const letter of ["a", "b"]) {
      const piece = reader.read(input)!;
      assert.equal(text(piece), letter.repeat(10_000));
      assert.equal(piece.buffer, received.buffer);
    }
  });

  test("give what was valid before they fail", () => {
    const reader = new ChunkReader();
    const input = new Input();
    input.add(bytes("1\r\na\r\n1\r\nb\r\nzz\r\n"));
    assert.equal(text(reader.read(input)!), "ab");
    assert.throws(() => reader.read(input), ProtocolError);
  });
});

describe("memory", () => {
  test("an idle connection keeps no buffer, and half a head none that is much larger", () => {
    const input = new Input();
    input.add(bytes("used"));
    input.skip(4);
    assert.equal(input.bytes.buffer.byteLength, 0);
    const read = new Uint8Array(64 * 1024);
    input.add(read.subarray(0, 100));
    input.wait();
    assert.equal(input.bytes.buffer.byteLength, 100);
  });

  test("what was given out stays as it is when more arrives", () => {
    const input = new Input();
    input.add(bytes("12345"));
    const taken = input.take(3);
    for (let i = 0; i < 100; i++) input.add(bytes("x".repeat(i)));
    assert.equal(text(taken), "123");
    assert.equal(text(input.take(5)), "45xxx");
  });
});

/** Everything that is sent for one request, answered with these parts. */
function answer(
  message: string,
  parts: [ResponseHead | undefined, string, boolean][],
  last = false,
): [sent: string, state: string] {
  const codec = new HttpServer(limits);
  codec.receive(bytes(message));
  while (codec.nextEvent() !== undefined);
  if (last) codec.last();
  const sent = parts.map(([head, body, end]) => codec.encode(1, head, body ? bytes(body) : undefined, end).slice());
  return [text(concat(...sent)), `${codec.idle ? "idle" : "busy"}${codec.closing ? " closing" : ""}`];
}

describe("a response", () => {
  const date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
  const start = `HTTP/1.1 200 OK\r\nx: y\r\n`;
  const sized = (length: string): ResponseHead => ({ ...head, headers: ["x", "y", "Content-Length", length] });
  const old = "GET /a HTTP/1.0\r\n\r\n";
  type Row = [name: string, message: string, parts: [ResponseHead | undefined, string, boolean][], sent: string, state?: string];
  const rows: Row[] = [
    ["in one part", get(), [[head, "hi", true]], `${start}${date}content-length: 2\r\n\r\nhi`],
    ["with nothing", get(), [[head, "", true]], `${start}${date}content-length: 0\r\n\r\n`],
    [
      "in chunks",
      get(),
      [[head, "", false], [undefined, "hello", false], [undefined, "", true]],
      `${start}${date}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      "in chunks, the last with its end",
      get(),
      [[head, "a", false], [undefined, "x".repeat(17), true]],
      `${start}${date}transfer-encoding: chunked\r\n\r\n1\r\na\r\n11\r\n${"x".repeat(17)}\r\n0\r\n\r\n`,
    ],
    [
      "with its length",
      get(),
      [[sized("4"), "bo", false], [undefined, "dy", true]],
      `${start}Content-Length: 4\r\n${date}\r\nbody`,
    ],
    [
      "that is longer than it says",
      get(),
      [[sized("3"), "bo", false], [undefined, "dy", true]],
      `${start}Content-Length: 3\r\n${date}\r\nbod`,
    ],
    [
      "with a length that is not a number",
      get(),
      [[sized("x"), "bo", false], [undefined, "", true]],
      `${start}${date}transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n0\r\n\r\n`,
    ],
    ["to HEAD", get("", "HEAD /a HTTP/1.1"), [[sized("4"), "", true]], `${start}Content-Length: 4\r\n${date}\r\n`],
    [
      "to HEAD, with a body all the same",
      get("", "HEAD /a HTTP/1.1"),
      [[head, "no", false], [undefined, "no", true]],
      `${start}${date}\r\n`,
    ],
    ["with 204", get(), [[{ ...head, status: 204 }, "", true]], `HTTP/1.1 204 OK\r\nx: y\r\n${date}\r\n`],
    ["with 304", get(), [[{ ...head, status: 304 }, "no", true]], `HTTP/1.1 304 OK\r\nx: y\r\n${date}\r\n`],
    [
      "with its own date",
      get(),
      [[{ ...head, headers: ["Date", "then"] }, "hi", true]],
      "HTTP/1.1 200 OK\r\nDate: then\r\ncontent-length: 2\r\n\r\nhi",
    ],
    [
      "with 426",
      get(),
      [[{ ...head, status: 426 }, "hi", true]],
      `HTTP/1.1 426 OK\r\nx: y\r\n${date}content-length: 2\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\nhi`,
    ],
    [
      "with 426 on a connection that is to end",
      get("Connection: close\r\n"),
      [[{ ...head, status: 426 }, "hi", true]],
      `HTTP/1.1 426 OK\r\nx: y\r\n${date}content-length: 2\r\nupgrade: websocket\r\nconnection: close, Upgrade\r\n\r\nhi`,
      "idle closing",
    ],
    [
      "on a connection that is asked to stay",
      get("Connection: keep-alive\r\n"),
      [[head, "hi", true]],
      `${start}${date}content-length: 2\r\nconnection: keep-alive\r\n\r\nhi`,
    ],
    [
      "on a connection that is to end",
      get("Connection: close\r\n"),
      [[head, "hi", true]],
      `${start}${date}content-length: 2\r\nconnection: close\r\n\r\nhi`,
      "idle closing",
    ],
    [
      "over HTTP/1.0",
      old,
      [[head, "hi", true]],
      `${start}${date}content-length: 2\r\nconnection: close\r\n\r\nhi`,
      "idle closing",
    ],
    [
      "in parts over HTTP/1.0",
      old,
      [[head, "hi", false], [undefined, "!", true]],
      `${start}${date}connection: close\r\n\r\nhi!`,
      "idle closing",
    ],
    [
      "in parts over HTTP/1.0 that asked to stay",
      "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      [[head, "hi", false], [undefined, "!", true]],
      `${start}${date}connection: close\r\n\r\nhi!`,
      "idle closing",
    ],
  ];
  for (const [name, message, parts, sent, state = "idle"] of rows) {
    test(name, () => assert.deepEqual(answer(message, parts), [sent, state]));
  }

  test("says that it is the last when the server is to end", () => {
    const [sent, state] = answer(get(), [[head, "hi", true]], true);
    assert.match(sent, /\r\nconnection: close\r\n/);
    assert.equal(state, "idle closing");
  });

  test("that is shorter than it says is an error", () => {
    assert.throws(
      () => answer(get(), [[sized("4"), "bo", false], [undefined, "", true]]),
      /2 bytes shorter than its content-length/,
    );
  });

  for (const value of ["a\r\nb: c", "a\nb", "\0", "\x7f", "\u010a"]) {
    test(`with the value ${JSON.stringify(value)} is an error, and another can be sent in its place`, () => {
      const codec = new HttpServer(limits);
      codec.receive(bytes(get()));
      while (codec.nextEvent() !== undefined);
      assert.throws(() => codec.encode(1, { ...head, headers: ["x", value] }, bytes("hi"), true), TypeError);
      assert.match(text(codec.encode(1, head, bytes("hi"), true)), /^HTTP\/1\.1 200 OK\r\n/);
    });
  }
});

describe("Expect: 100-continue", () => {
  const goOn = "HTTP/1.1 100 Continue\r\n\r\n";
  test("is granted before the request is reported", () => {
    const { events, sent } = seen(post("Content-Length: 4\r\nExpect: 100-Continue\r\n", "body"));
    assert.deepEqual(events, ["POST /p body"]);
    assert.ok(sent.startsWith(`${goOn}HTTP/1.1 200 OK\r\n`), sent);
  });

  for (
    const [name, message] of [
      ["HTTP/1.0", post("Content-Length: 4\r\nExpect: 100-continue\r\n", "body", "1.0")],
      ["a request without a body", get("Expect: 100-continue\r\n")],
      ["a request that is refused", post("Content-Length: x\r\nExpect: 100-continue\r\n", "")],
    ]
  ) {
    test(`is not granted to ${name}`, () => assert.equal(seen(message).sent.includes("100 Continue"), false));
  }
});

test("the next request waits for the response, and the peer with it", () => {
  const codec = new HttpServer(limits);
  codec.receive(bytes(get() + get("", "GET /b HTTP/1.1") + get("", "GET /c HTTP/1.1")));
  for (const target of ["/a", "/b", "/c"]) {
    const event = codec.nextEvent();
    assert.equal(event?.type === "request" && event.params.get("REQUEST_URI"), target);
    assert.equal(codec.nextEvent()?.type, "bodyEnd");
    assert.equal(codec.nextEvent(), undefined);
    assert.deepEqual([codec.full, codec.idle], [target !== "/c", false]);
    codec.encode(1, head, undefined, true);
    assert.equal(codec.full, false);
  }
  assert.equal(codec.idle, true);
});

test("a connection that is to end answers the request that has come, and no other", () => {
  const codec = new HttpServer(limits);
  codec.last();
  codec.receive(bytes(get() + get()));
  while (codec.nextEvent() !== undefined);
  assert.equal(codec.full, true);
  assert.match(text(codec.encode(1, head, undefined, true)), /connection: close/);
  assert.equal(codec.nextEvent(), undefined);
  assert.deepEqual([codec.full, codec.closing, codec.idle], [false, true, false]);
});

test("a response before the body has come leaves the connection as it was", () => {
  for (const message of [post("Content-Length: 6\r\n", "abcdef"), chunked("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")]) {
    const codec = new HttpServer(limits);
    codec.receive(bytes(message.slice(0, -3)));
    while (codec.nextEvent() !== undefined);
    assert.doesNotMatch(text(codec.encode(1, head, undefined, true)), /close/);
    const rest = bytes(message.slice(-3) + get());
    for (let i = 0; i < rest.length - 1; i++) assert.deepEqual(transcript(codec, [rest.slice(i, i + 1)]), []);
    assert.equal(transcript(codec, [rest.slice(-1)]).length, 2);
  }
});

test("ever new names do not displace the usual ones, and are not kept", () => {
  const codec = new HttpServer(limits);
  for (let i = 0; i < 2000; i++) {
    codec.receive(bytes(get(`X-${i}: y\r\nUser-Agent: z\r\n`)));
    const event = codec.nextEvent();
    assert.ok(event?.type === "request");
    assert.deepEqual([event.params.get(`HTTP_X_${i}`), event.params.get("HTTP_USER_AGENT")], ["y", "z"]);
    while (codec.nextEvent() !== undefined);
    codec.encode(1, head, undefined, true);
  }
});
