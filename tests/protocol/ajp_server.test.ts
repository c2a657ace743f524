import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { AjpServer } from "../../src/protocol/ajp/server.ts";
import { defaultCodecLimits, type ResponseHead } from "../../src/protocol/protocol.ts";
import {
  type Act,
  answer,
  answered,
  body,
  converse,
  cping,
  early,
  events,
  type Forward,
  forward,
  forwardPayload,
  html,
  packet,
  packetLines,
  params,
  post,
} from "../support/ajp.ts";
import { bytes, concat, fixture, fixtureNames, hex, pattern, shown, text, toHex, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

const closed = ["head 200 OK Content-Type=text/html", "chunk hi", "end, close"];
const POST = (length: number) => params(`CONTENT_LENGTH=${length}`, "/", "POST");
const chunked = forward({ method: 4, headers: [["Transfer-Encoding", "chunked"]] });
const CHUNKED = params("HTTP_TRANSFER_ENCODING=chunked", "/", "POST");

describe("a request", () => {
  test("without a body is complete at once, and its connection stays", () => {
    assert.deepEqual(converse(forward(), answer), {
      events: [params(), "bodyEnd 1"],
      sent: answered,
      idle: true,
      closing: false,
    });
  });

  test("follows another on a connection", () => {
    const message = concat(forward({ uri: "/1" }), forward({ uri: "/2" }), forward({ uri: "/3" }));
    const { events, sent } = converse(message, answer);
    assert.deepEqual(events, ["/1", "/2", "/3"].flatMap((uri) => [params("", uri), "bodyEnd 1"]));
    assert.deepEqual(sent, [...answered, ...answered, ...answered]);
  });

  test("comes with its body's first packet, and asks for the others", () => {
    const message = concat(post(12), body("first "), body("sec"), body("ond"));
    const { events, sent, idle } = converse(message, answer);
    assert.deepEqual(events, [POST(12), 'body 1 "first "', "body 1 second", "bodyEnd 1"]);
    assert.deepEqual(sent, ["get 8186", "get 8186", ...answered]);
    assert.equal(idle, true);
  });

  test("whose body is in the first packet asks for nothing", () => {
    assert.deepEqual(converse(concat(post(5), body("hello")), answer).sent, answered);
  });

  test("with a length of 0, or an empty one, has no body", () => {
    for (const length of ["0", "00", ""]) {
      const seen = events(forward({ headers: [[0xa008, length]] }));
      assert.deepEqual(seen, [params(`CONTENT_LENGTH=${length || '""'}`), "bodyEnd 1"]);
    }
  });

  test("without a length has to be asked for its body, until that is empty", () => {
    const { events, sent, idle } = converse(concat(chunked, body("one"), body("two"), body()), answer);
    assert.deepEqual(events, [CHUNKED, "body 1 one", "body 1 two", "bodyEnd 1"]);
    assert.deepEqual(sent, ["get 8186", "get 8186", "get 8186", ...answered]);
    assert.equal(idle, true);
  });

  test("without a length and without a body asks once", () => {
    const { events, sent } = converse(concat(chunked, body()), answer);
    assert.deepEqual(events, [CHUNKED, "bodyEnd 1"]);
    assert.deepEqual(sent, ["get 8186", ...answered]);
  });

  test("whose body ends with a packet of no bytes at all is as complete", () => {
    assert.deepEqual(events(concat(chunked, body("one"), packet(""))), [CHUNKED, "body 1 one", "bodyEnd 1"]);
  });

  test("with a length and a Transfer-Encoding goes by the length", () => {
    const message = concat(post(2, { headers: [["Transfer-Encoding", "chunked"]] }), body("hi"));
    assert.deepEqual(converse(message, answer).sent, answered);
  });

  test("asks for as much as packets of 65536 bytes hold", () => {
    const { sent } = converse(concat(chunked, body()), answer, { packetSize: 65536 });
    assert.deepEqual(sent, ["get 65530", ...answered]);
  });

  test("takes body packets that are larger than it asked for", () => {
    const content = pattern(65530);
    const codec = new AjpServer();
    const seen: Uint8Array[] = [];
    for (const piece of new Random(3).pieces(concat(post(2 * content.length), body(content), body(content)))) {
      codec.receive(piece);
      for (let event = codec.nextEvent(); event; event = codec.nextEvent()) if (event.type === "body") seen.push(event.bytes);
    }
    assert.equal(text(concat(...seen)), text(concat(content, content)));
  });

  test("has a body of any bytes, those of packets included", () => {
    const content = concat(packet("\x0a"), forward());
    const seen = events(concat(post(content.length), body(content)));
    assert.equal(seen.length, 3);
    assert.equal(seen[2], "bodyEnd 1");
  });

  test("has no header with an underscore, which anybody may send in the place of one that the web server sets", () => {
    const headers: Forward["headers"] = [["Content_Length", "5"], ["Transfer_Encoding", "chunked"], ["X_Remote-User", "admin"]];
    const { events, sent } = converse(concat(forward({ headers }), forward({ uri: "/2" })), answer);
    assert.deepEqual(events, [params(), "bodyEnd 1", params("", "/2"), "bodyEnd 1"]);
    assert.deepEqual(sent, [...answered, ...answered]);
  });

  test("takes as much of a body packet as its length says, and nothing behind that", () => {
    // As Tomcat's own test client sends it, which cannot be recognized.
    const body = hex("1234 000f 0009 746573743d64617461 000000ff");
    for (const attributes of [[], undefined] as Forward["attributes"][]) {
      const { events, sent, idle } = converse(concat(post(9, { attributes }), body, forward({ uri: "/2" })), answer);
      assert.deepEqual(events.slice(1), ["body 1 test=data", "bodyEnd 1", params("", "/2"), "bodyEnd 1"]);
      assert.deepEqual({ sent, idle }, { sent: [...answered, ...answered], idle: true });
    }
    const parts = concat(post(5), packet("\0\x02ab????"), packet("\0\x03cde!"));
    assert.deepEqual(events(parts), [POST(5), "body 1 abcde", "bodyEnd 1"]);
  });

  test("whose length is unclear is refused, and everything behind it is ignored", () => {
    const behind = concat(body("12345"), forward({ uri: "/smuggled" }), cping);
    const refused = (reason: string) => ({
      events: [`refused 1 400 ${reason}`],
      sent: closed,
      idle: false,
      closing: true,
    });
    for (const [one, two] of [["9", "99"], ["99", "9"], ["9", "9"], ["0", "0"], ["", "5"], ["5", ""]]) {
      const message = forward({ method: 4, headers: [[0xa008, one], ["x", "y"], ["CONTENT-length", two]] });
      const reason = `more than one content-length: "${one}", "${two}"`;
      assert.deepEqual(converse(concat(message, behind), answer), refused(reason));
      assert.deepEqual(events(concat(message, behind)), refused(reason).events);
    }
    for (const length of ["-1", "+5", "1e3", "0x10", "1.5", "5, 5", " 5", "5 ", "99999999999999999999", "five"]) {
      const message = concat(forward({ headers: [[0xa008, length]] }), behind);
      assert.deepEqual(converse(message, answer), refused(`an invalid content-length: "${length}"`));
    }
  });

  test("arrives in time that grows with its length, byte by byte", () => {
    // A copy of all that has arrived for each byte would be 4 GiB.
    const codec = new AjpServer();
    const message = concat(post(65530), body(pattern(65530)));
    let length = 0;
    for (let at = 0; at < message.length; at++) {
      codec.receive(message.subarray(at, at + 1));
      for (let event = codec.nextEvent(); event; event = codec.nextEvent()) {
        if (event.type === "body") length += event.bytes.length;
      }
    }
    assert.equal(length, 65530);
  });
});

describe("CPing", () => {
  test("is answered before a request, between requests and in flight", () => {
    const message = concat(cping, forward(), cping, cping, post(3), body("abc"), cping);
    const { sent, idle } = converse(message, answer);
    assert.deepEqual(sent, ["cpong", ...answered, "cpong", "cpong", ...answered, "cpong"]);
    assert.equal(idle, true);
    assert.deepEqual(converse(concat(forward(), cping)).sent, ["cpong"]);
  });

  test("is answered with the bytes of the reference", () => {
    const codec = new AjpServer();
    codec.receive(hex("1234 0001 0a"));
    const event = codec.nextEvent();
    assert.equal(event?.type === "reply" && toHex(event.bytes), "4142000109");
  });
});

test("Shutdown and Ping are ignored, with a line in the log", () => {
  const { events, sent } = converse(concat(packet("\x07"), packet("\x08"), forward()), answer);
  assert.deepEqual(events, [
    "ignored a Shutdown packet: a web server does not decide that",
    "ignored a Ping packet",
    params(),
    "bodyEnd 1",
  ]);
  assert.deepEqual(sent, answered);
});

describe("an answer before the body", () => {
  const next = forward({ uri: "/next" });

  test("leaves the connection idle only when the packet that comes unasked is there", () => {
    const part = converse(post(5), early);
    assert.deepEqual(part, {
      events: [POST(5)],
      sent: ["head 200 OK Content-Type=text/html", "chunk no", "end"],
      idle: false,
      closing: false,
    });
    const whole = converse(concat(post(5), body("hello")), early);
    assert.deepEqual(whole, { ...part, idle: true });
  });

  test("ignores the packet that comes unasked, and the connection is used again", () => {
    const { events, sent } = converse(concat(post(20), body("half"), cping, next), early);
    assert.deepEqual(events, [POST(20), params("", "/next")]);
    const no = ["head 200 OK Content-Type=text/html", "chunk no", "end"];
    assert.deepEqual(sent, [...no, "cpong", ...no]);
  });

  test("ignores the packet that was asked for", () => {
    const onBody: Act = (codec, event) => {
      if (event.type === "body" || (event.type === "bodyEnd")) return codec.encode(event.id, html, undefined, true);
    };
    const { events, sent } = converse(concat(post(20), body("one"), body("two"), next), onBody);
    assert.deepEqual(events, [POST(20), "body 1 one", params("", "/next"), "bodyEnd 1"]);
    const done = ["head 200 OK Content-Type=text/html", "end"];
    assert.deepEqual(sent, ["get 8186", ...done, ...done]);
  });

  test("to a body without a length ignores the packet that was asked for, and its end", () => {
    for (const rest of [body("one"), body()]) {
      const { events, sent } = converse(concat(chunked, rest, next), early);
      assert.deepEqual(events, [CHUNKED, params("", "/next")]);
      assert.equal(sent[0], "get 8186");
    }
  });
});

describe("a visitor who leaves in the middle of the body", () => {
  test("is an empty packet from mod_jk instead of the one that comes unasked, or was asked for", () => {
    assert.deepEqual(converse(concat(post(5), body()), answer).events, [POST(5), "abort 1"]);
    const { events, sent, idle } = converse(concat(post(20), body("half"), body()), answer);
    assert.deepEqual(events, [POST(20), "body 1 half", "abort 1"]);
    assert.deepEqual(sent, ["get 8186", "end"]);
    assert.equal(idle, true);
  });

  test("is an ordinary empty packet when the body has no length", () => {
    assert.deepEqual(events(concat(chunked, body("half"), body())), [CHUNKED, "body 1 half", "bodyEnd 1"]);
  });

  test("is reported once", () => {
    assert.deepEqual(events(concat(post(20), body(), body(), packet(""))), [POST(20), "abort 1"]);
  });
});

describe("lighttpd", () => {
  const lighttpd = (length: number) => post(length, { attributes: [] });
  const request = (length: number) => POST(length).replace(" REMOTE_PORT=4711", "");

  test("says with an empty packet that there is no body", () => {
    const message = concat(forward({ attributes: [], headers: [[0xa008, "0"]] }), packet(""));
    assert.deepEqual(converse(message, answer), {
      events: [params("CONTENT_LENGTH=0").replace(" REMOTE_PORT=4711", ""), "bodyEnd 1"],
      sent: answered,
      idle: true,
      closing: false,
    });
  });

  test("sends bodies without their length", () => {
    const { events, sent } = converse(concat(lighttpd(20), packet("01234567890123456789")), answer);
    assert.deepEqual(events, [request(20), "body 1 01234567890123456789", "bodyEnd 1"]);
    assert.deepEqual(sent, answered);
  });

  test("sends bodies in several packets", () => {
    const { events, sent } = converse(concat(lighttpd(9), packet("abc"), packet("defgh"), packet("i")), answer);
    assert.deepEqual(events, [request(9), "body 1 abc", "body 1 defghi", "bodyEnd 1"]);
    assert.deepEqual(sent, ["get 8186", "get 8186", ...answered]);
  });

  test("may send bytes that look like a length", () => {
    assert.deepEqual(events(concat(lighttpd(4), packet("\0\x02ab"))), [request(4), 'body 1 "\\u0000\\u0002ab"', "bodyEnd 1"]);
    const later = events(concat(lighttpd(8), packet("abc"), packet("\0\x01x"), packet("\0\0")));
    assert.deepEqual(later.slice(1), ["body 1 abc", 'body 1 "\\u0000\\u0001x\\u0000\\u0000"', "bodyEnd 1"]);
  });

  test("sends a body of one byte", () => {
    assert.deepEqual(events(concat(lighttpd(1), packet("x"))), [request(1), "body 1 x", "bodyEnd 1"]);
  });

  test("is not taken for an unknown sender that follows the protocol", () => {
    assert.deepEqual(events(concat(lighttpd(7), body("one"), body("four"))), [
      request(7),
      "body 1 onefour",
      "bodyEnd 1",
    ]);
  });
});

describe("a secret", () => {
  const secret = "s3cret";
  const given = (value: string | null) => forward({ attributes: [[12, value], [10, "AJP_REMOTE_PORT", "4711"]] });

  test("that is right lets the request pass", () => {
    const { events, sent, closing } = converse(given(secret), answer, { secret });
    assert.deepEqual(events, [params(), "bodyEnd 1"]);
    assert.deepEqual({ sent, closing }, { sent: answered, closing: false });
  });

  for (
    const [name, value] of [["wrong", "S3cret"], ["longer", "s3crets"], ["shorter", "s3cre"], ["doubled", "s3crets3cret"], [
      "empty",
      "",
    ]] as const
  ) {
    test(`that is ${name} is refused, and the connection closed`, () => {
      const refused = { events: ["refused 1 403 the web server gave another secret"], sent: closed, idle: true, closing: true };
      assert.deepEqual(converse(given(value), answer, { secret }), refused);
    });
  }

  test("that is given twice is refused, whichever is right, and with a null one", () => {
    for (const [one, two] of [["wrong", secret], [secret, "wrong"], [secret, secret], [null, secret], [secret, null]]) {
      const message = forward({ attributes: [[12, one], [12, two]] });
      const { events, closing } = converse(message, answer, { secret });
      assert.deepEqual(events, ["refused 1 403 the web server gave more than one secret"]);
      assert.equal(closing, true);
    }
  });

  test("that is missing is refused, and the connection closed", () => {
    for (const message of [forward(), given(null)]) {
      const { events, closing } = converse(message, answer, { secret });
      assert.deepEqual(events, ["refused 1 403 the web server gave no secret"]);
      assert.equal(closing, true);
    }
  });

  test("is ignored if the server has none", () => {
    assert.deepEqual(events(given("any")), [params(), "bodyEnd 1"]);
  });

  test("is not a request attribute", () => {
    const message = forward({ attributes: [[10, "secret", secret], [10, "AJP_SECRET", secret]] });
    assert.deepEqual(events(message, { secret }), ["refused 1 403 the web server gave no secret"]);
  });

  test("that is wrong leaves the body unread, and is closing only when it was answered", () => {
    const message = concat(post(20), body("half"), body("more"));
    assert.equal(converse(message, undefined, { secret }).closing, false);
    const { events, sent, idle, closing } = converse(concat(post(20), body("half")), answer, { secret });
    assert.deepEqual(events, ["refused 1 403 the web server gave no secret"]);
    assert.deepEqual({ sent, idle, closing }, { sent: closed, idle: true, closing: true });
  });

  test("is asked for with each request", () => {
    const { events } = converse(concat(given(secret), forward()), answer, { secret });
    assert.deepEqual(events, [params(), "bodyEnd 1", "refused 1 403 the web server gave no secret"]);
  });
});

describe("limits", () => {
  test("of the number of params", () => {
    const names = (count: number) => forward({ headers: Array.from({ length: count }, (_, i) => [`n${i}`, ""] as const) });
    const always = 10;
    assert.equal(converse(names(1), answer, { maxParams: always + 1 }).events.length, 2);
    const { events, sent, closing } = converse(names(2), answer, { maxParams: always + 1 });
    assert.deepEqual(events, ["refused 1 431 more than 11 params"]);
    assert.deepEqual({ sent, closing }, { sent: answered, closing: false });
  });

  test("of the bytes of params", () => {
    const named = (length: number) => forward({ headers: [["x", "x".repeat(length)]] });
    const length = events(named(1), { maxParamsBytes: 1000 })[0].length;
    assert.ok(length < 400);
    assert.equal(converse(named(500), answer, { maxParamsBytes: 1000 }).events.length, 2);
    assert.deepEqual(converse(named(1000), answer, { maxParamsBytes: 1000 }), {
      events: ["refused 1 431 more than 1000 bytes of params"],
      sent: answered,
      idle: true,
      closing: false,
    });
  });

  test("of requests at once: a connection that is one too many is refused and closed", () => {
    const { events, sent, closing } = converse(forward(), answer, { maxConcurrent: 0 });
    assert.deepEqual(events, ["refused 1 503 too many requests at once"]);
    assert.deepEqual({ sent, closing }, { sent: closed, closing: true });
  });

  test("ignore the body of a refused request", () => {
    const message = concat(post(5, { headers: [["x", "y".repeat(200)]] }), body("hello"), forward());
    const { events, idle } = converse(message, answer, { maxParamsBytes: 300 });
    assert.deepEqual(events, ["refused 1 431 more than 300 bytes of params", params(), "bodyEnd 1"]);
    assert.equal(idle, true);
  });
});

describe("bytes that are not AJP", () => {
  const broken: [name: string, message: Uint8Array, reason: string][] = [
    ["HTTP", bytes("GET / HTTP/1.1\r\n\r\n"), "Not AJP: a packet begins with 0x4745"],
    ["an application's packet", packet("\x09", 0x4142), "Not AJP: a packet begins with 0x4142"],
    ["zeros", new Uint8Array(4), "Not AJP: a packet begins with 0x0000"],
    ["a packet of type 3", packet("\x03"), "A web server does not send AJP packets of type 3"],
    ["a packet of type 255", packet("\xff"), "A web server does not send AJP packets of type 255"],
    ["a body that was not asked for", concat(forward(), body("x")), "A web server does not send AJP packets of type 0"],
    ["a second request at once", concat(forward(), forward()), "A Forward Request while another request is in flight"],
    ["a body that is longer than its length", concat(post(2), body("abc")), "An AJP body is longer than its content-length"],
    ["a body packet that is too short", concat(post(9), packet("\0\x05abc")), "An AJP body packet is shorter than what it holds"],
    ["a body packet of one byte", concat(post(9), packet("x")), "An AJP body packet is shorter than what it holds"],
    ["a request of nothing but its type", packet("\x02"), "An AJP packet ends before what it holds"],
    ["a request that ends early", packet(forwardPayload().subarray(0, 20)), "An AJP packet ends before what it holds"],
    ["an unknown method", forward({ method: 28 }), "The AJP method 28 is not known"],
    ["an unknown header code", forward({ headers: [[0xa00f, "x"]] }), "The AJP header code 0xa00f is not known"],
    ["an unknown attribute", forward({ attributes: [[14, "x"]] }), "The AJP attribute 14 is not known"],
  ];
  for (const [name, message, reason] of broken) {
    test(`such as ${name}`, () => assert.equal(events(message).at(-1), `ProtocolError: ${reason}`));

    test(`such as ${name} behind a request does not cost its answer`, () => {
      const codec = new AjpServer();
      const seen = transcript(codec, [concat(post(3), body("abc"), message)]);
      assert.deepEqual(seen.slice(0, 3), [POST(3), "body 1 abc", "bodyEnd 1"]);
      assert.match(seen[3], /^ProtocolError: /);
      codec.last();
      assert.deepEqual(packetLines(codec.encode(1, html, bytes("hi"), true)), closed);
    });
  }

  test("is known by its first four bytes", () => {
    assert.deepEqual(transcript(new AjpServer(), [hex("1234ffff")]), []);
    assert.deepEqual(transcript(new AjpServer(), [hex("1235")]), []);
    assert.match(transcript(new AjpServer(), [hex("12350000")])[0], /^ProtocolError/);
  });

  test("leaves a connection that has half a packet not idle", () => {
    const codec = new AjpServer();
    assert.equal(codec.idle, true);
    transcript(codec, [cping.subarray(0, 3)]);
    assert.equal(codec.idle, false);
    transcript(codec, [cping.subarray(3)]);
    assert.equal(codec.idle, true);
  });
});

/** "Send Headers". */
const responseHeaders = {
  "content-type": 0xa001,
  "content-language": 0xa002,
  "content-length": 0xa003,
  date: 0xa004,
  "last-modified": 0xa005,
  location: 0xa006,
  "set-cookie": 0xa007,
  "set-cookie2": 0xa008,
  "servlet-engine": 0xa009,
  status: 0xa00a,
  "www-authenticate": 0xa00b,
};

describe("a response", () => {
  /** A codec with a request in flight. */
  function asked(options = {}): AjpServer {
    const codec = new AjpServer({ ...defaultCodecLimits, ...options });
    transcript(codec, [forward()]);
    return codec;
  }
  const head = (headers: string[]): ResponseHead => ({ status: 200, reason: "OK", headers });

  for (const [name, code] of Object.entries(responseHeaders)) {
    test(`writes ${name} as 0x${code.toString(16)}`, () => {
      const sent = toHex(asked().encode(1, head([name, "x"]), undefined, true));
      assert.equal(
        sent,
        `4142 0010 04 00c8 0002 4f4b 00 0001 ${code.toString(16)} 0001 78 00 4142 0002 05 01`.replaceAll(" ", ""),
      );
    });
  }

  test("is byte for byte what the reference says", () => {
    const sent = asked().encode(1, { status: 404, reason: "No", headers: ["x", "y", "set-cookie", "a"] }, bytes("hi"), true);
    assert.equal(
      toHex(sent),
      toHex(hex(`
        4142 0018  04 0194 0002 4e6f 00 0002  0001 78 00 0001 79 00  a007 0001 61 00
        4142 0006  03 0002 6869 00
        4142 0002  05 01`)),
    );
  });

  test("has all cookies, and the bytes of its values", () => {
    const headers = ["set-cookie", "a=1", "set-cookie", "b=2", "x-name", "caf\xe9"];
    assert.deepEqual(packetLines(asked().encode(1, { status: 200, reason: "Fin\xe9", headers }, undefined, true)), [
      'head 200 "Finé" Set-Cookie=a=1 Set-Cookie=b=2 "x-name"="café"',
      "end",
    ]);
  });

  test("that comes in pieces has each followed by a flush", () => {
    const codec = asked();
    const parts = [
      codec.encode(1, html, undefined, false),
      codec.encode(1, undefined, bytes("one"), false),
      codec.encode(1, undefined, bytes("x".repeat(8185)), false),
      codec.encode(1, undefined, bytes("two"), true),
    ];
    assert.deepEqual(parts.map(packetLines), [
      ["head 200 OK Content-Type=text/html", "flush"],
      ["chunk one", "flush"],
      [`chunk ${shown("x".repeat(8184))}`, "chunk x", "flush"],
      ["chunk two", "end"],
    ]);
  });

  for (const [packetSize, most] of [[8192, 8184], [65536, 65527]]) {
    test(`that is long is cut into packets of ${packetSize} bytes`, () => {
      const content = text(pattern(2 * most + 1));
      for (
        const [length, lengths] of [[most, [most]], [most + 1, [most, 1]], [2 * most, [most, most]], [2 * most + 1, [
          most,
          most,
          1,
        ]]] as const
      ) {
        const sent = asked({ packetSize }).encode(1, undefined, bytes(content.slice(0, length)), true);
        let at = 0;
        let seen = "";
        for (const expected of lengths) {
          const frame = sent.subarray(at, at + expected + 8);
          assert.equal(
            toHex(frame.subarray(0, 7)),
            `4142${(expected + 4).toString(16).padStart(4, "0")}03${expected.toString(16).padStart(4, "0")}`,
          );
          assert.equal(frame.at(-1), 0);
          assert.ok(frame.length <= packetSize);
          seen += text(frame.subarray(7, -1));
          at += frame.length;
        }
        assert.equal(seen, content.slice(0, length));
        assert.deepEqual(packetLines(sent.subarray(at)), ["end"]);
      }
    });

    test(`whose head just fits into ${packetSize} bytes is sent, and a longer one is an error`, () => {
      const value = (length: number) => head(["x", "y".repeat(length)]);
      const base = asked().encode(1, value(0), undefined, true).length - 6;
      assert.equal(asked({ packetSize }).encode(1, value(packetSize - base), undefined, true).length, packetSize + 6);
      const codec = asked({ packetSize });
      assert.throws(
        () => codec.encode(1, value(packetSize - base + 1), bytes("body"), true),
        new RangeError(
          `The response head has ${packetSize - 3} bytes, at most ${packetSize - 4} fit into a packet: ` +
            "raise packetsize here and in the web server",
        ),
      );
      // The request is still to be answered.
      assert.deepEqual(packetLines(codec.encode(1, html, undefined, true)), ["head 200 OK Content-Type=text/html", "end"]);
    });
  }

  test("of a request that has ended is not encoded", () => {
    const codec = asked();
    assert.notEqual(codec.encode(1, html, undefined, true).length, 0);
    assert.equal(codec.encode(1, html, bytes("again"), true).length, 0);
    assert.equal(new AjpServer().encode(1, html, undefined, true).length, 0);
  });

  test("goes into the memory that is given", () => {
    const memory: number[] = [];
    const codec = asked({
      allocate(length: number) {
        memory.push(length);
        return Buffer.alloc(length);
      },
    });
    const sent = codec.encode(1, html, bytes("hi"), true);
    assert.deepEqual(memory, [sent.length]);
  });

  test("has no error log beside it and nothing to probe with", () => {
    const codec = asked();
    assert.equal(codec.stderr(), undefined);
    assert.equal(codec.probe(), undefined);
  });
});

test("the buffer of a packet is not kept alive", () => {
  // Each byte lies in a large piece. Who kept a view would keep it all, and see it changed.
  const codec = new AjpServer();
  const seen: string[] = [];
  for (const byte of forward()) {
    const piece = new Uint8Array(200).fill(0xff);
    piece[0] = byte;
    seen.push(...transcript(codec, [piece.subarray(0, 1)]));
    piece.fill(0xff);
  }
  assert.deepEqual(seen, [params(), "bodyEnd 1"]);
});

describe("recorded AJP traffic gives the same events however it is cut", () => {
  /** What differs from one request without a body that is complete. */
  const expected: Record<string, (string | RegExp)[]> = {
    "apache-proxy_ajp-seq3": ["bodyEnd 1", /^request/, "bodyEnd 1", /^request/, "bodyEnd 1"],
    "apache-mod_jk-seq3": ["bodyEnd 1", /^request/, "bodyEnd 1", /^request/, "bodyEnd 1"],
    "apache-proxy_ajp-ping-secret": ["bodyEnd 1", /^request/, "body 1 abc", "bodyEnd 1"],
    "apache-proxy_ajp-early": ["body 1 01234567890123456789", "bodyEnd 1", /^request/, "bodyEnd 1"],
    "apache-mod_jk-early": ["body 1 01234567890123456789", "bodyEnd 1", /^request/, "bodyEnd 1"],
    "apache-proxy_ajp-postabort": [/^body 1 \S{10}$/],
    "apache-mod_jk-postabort": ["abort 1"],
  };
  const body = (name: string): (string | RegExp)[] => {
    if (/post20|expect/.test(name)) return [/^body 1 \S{20}$/, "bodyEnd 1"];
    if (/post40k/.test(name)) return [/^40000$/, "bodyEnd 1"];
    if (/chunk/.test(name)) return [/^20$/, "bodyEnd 1"];
    return ["bodyEnd 1"];
  };
  for (const name of [...fixtureNames("ajp"), ...fixtureNames("jk")]) {
    test(name, () => {
      const lines = converse(fixture(name), answer, { packetSize: /-lb-/.test(name) ? 65536 : 8192 });
      assert.match(lines.events[0], /^request 1 responder /);
      let events = lines.events.slice(1);
      if (/chunk|40k/.test(name)) {
        // As the recording application asked for it.
        const lengths = events.filter((line) => line.startsWith("body 1 ")).map((line) =>
          Number(/<(\d+) bytes/.exec(line)?.[1] ?? line.length - "body 1 ".length)
        );
        events = [String(lengths.reduce((sum, length) => sum + length, 0)), events.at(-1)!];
      }
      const wanted = expected[name] ?? body(name);
      assert.equal(events.length, wanted.length, events.join("\n"));
      for (const [i, line] of wanted.entries()) {
        if (typeof line === "string") assert.equal(events[i], line);
        else assert.match(events[i], line);
      }
      assert.equal(lines.closing, false);
      assert.equal(lines.idle, !/proxy_ajp-postabort/.test(name));
    });
  }
});
