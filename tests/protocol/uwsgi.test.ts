import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import { defaultCodecLimits } from "../../src/protocol/protocol.ts";
import { UwsgiClient, UwsgiServer } from "../../src/protocol/uwsgi.ts";
import { bytes, hex, toHex, transcript } from "../support/bytes.ts";
import { converse, events as eventsOf, packet, uwsgi } from "../support/single.ts";

const events = (message: Uint8Array) => eventsOf("uwsgi", message);

/** REQUEST_METHOD=POST, CONTENT_LENGTH=2 and an empty QUERY_STRING, with the length of each before it. */
const variables = "0e00 524551554553545f4d4554484f44 0400 504f5354" +
  "0e00 434f4e54454e545f4c454e475448 0100 32" +
  "0c00 51554552595f535452494e47 0000";

test("a packet of variables, little-endian, and a body", () => {
  const { events, sent, idle, closing } = converse("uwsgi", hex(`00 3900 00 ${variables} 6869`), (codec, event) => {
    if (event.type !== "bodyEnd") return;
    return codec.encode(event.id, { status: 201, reason: "Created", headers: ["location", "/x", "x-a", "1"] }, bytes("42"), true);
  });
  assert.deepEqual(events, [
    'request 1 responder REQUEST_METHOD=POST CONTENT_LENGTH=2 QUERY_STRING=""',
    "body 1 hi",
    "bodyEnd 1",
  ]);
  // An HTTP response: Apache takes nothing else.
  assert.equal(sent, "HTTP/1.1 201 Created\r\nlocation: /x\r\nx-a: 1\r\n\r\n42");
  assert.equal(idle, true);
  assert.equal(closing, true);
});

describe("the variables of a uwsgi request", () => {
  const table: [name: string, message: Uint8Array, seen: string][] = [
    ["none", hex("00 0000 00"), ""],
    ["with a modifier2, which means nothing here", hex("00 0000 ff"), ""],
    ["with an empty value", uwsgi({ A: "" }), ' A=""'],
    ["with an empty name", uwsgi({ "": "b" }), ' ""=b'],
    ["with a name twice", uwsgi([["A", "1"], ["A", "2"]]), " A=1 A=2"],
    ["of any bytes", uwsgi({ A: "\xc3\xa9\xff\0\r\n" }), ' A="Ã©ÿ\\u0000\\r\\n"'],
    ["with an empty CONTENT_LENGTH, as of nginx", uwsgi({ CONTENT_LENGTH: "" }), ' CONTENT_LENGTH=""'],
    ["with a value of more than 255 bytes", uwsgi({ A: "x".repeat(258) }), ` A=${"x".repeat(258)}`],
  ];
  for (const [name, message, seen] of table) {
    test(`${name} are taken`, () => assert.deepEqual(events(message), [`request 1 responder${seen}`, "bodyEnd 1"]));
  }

  test("may fill the packet", () => {
    const value = "x".repeat(0xffff - 5);
    const [event] = transcript(new UwsgiServer(defaultCodecLimits), [uwsgi({ A: value })]);
    assert.match(event, /^request 1 responder A=<65530 bytes, /);
  });

  const longer = "A uwsgi variable is longer than its packet";
  const junk: [name: string, message: Uint8Array, error: string][] = [
    ["in a packet of another kind", packet(new Uint8Array(0), "", 5), "Not uwsgi: a request has the modifier 5, expected 0"],
    ["behind HTTP", bytes("GET / HTTP/1.1\r\n\r\n"), "Not uwsgi: a request has the modifier 71, expected 0"],
    ["in a record of FastCGI", Uint8Array.of(1, 1, 0, 1, 0, 8, 0, 0), "Not uwsgi: a request has the modifier 1, expected 0"],
    ["in a ping of uWSGI", hex("64 0000 00"), "Not uwsgi: a request has the modifier 100, expected 0"],
    ["with a name longer than the packet", packet(hex("0200 41")), longer],
    ["with a value longer than the packet", packet(hex("0100 41 0200 41")), longer],
    ["with half a length", packet(hex("0100 41 00")), longer],
    ["with a name without a value", packet(hex("0100 41")), "The uwsgi variables end with a name"],
  ];
  for (const [name, message, error] of junk) {
    test(`cannot be ${name}`, () => assert.deepEqual(events(message), [`ProtocolError: ${error}`]));
  }

  test("cannot be longer than their packet even where bytes of a body follow", () => {
    assert.deepEqual(events(packet(hex("0100 41 0200 41"), "body")), [`ProtocolError: ${longer}`]);
  });
});

test("a body without CONTENT_LENGTH is ignored, as behind uWSGI's router, which sends it in chunks", () => {
  assert.deepEqual(events(packet(hex("0100 41 0100 62"), "5\r\nhello\r\n0\r\n\r\n")), ["request 1 responder A=b", "bodyEnd 1"]);
});

describe("the client half of uwsgi", () => {
  test("writes a packet", () => {
    const params = new Params(["REQUEST_METHOD", "POST", "CONTENT_LENGTH", "2", "QUERY_STRING", ""]);
    assert.equal(toHex(new UwsgiClient().request(1, params)), toHex(hex(`00 3900 00 ${variables}`)));
  });

  test("writes bytes, not text", () => {
    assert.equal(toHex(new UwsgiClient().request(1, new Params(["A", "\xc3\xa9"]))), "00070000010041" + "0200c3a9");
  });

  test("writes no more than fits into a packet", () => {
    const fits = new UwsgiClient().request(1, new Params(["A", "x".repeat(0xffff - 5)]));
    assert.equal(toHex(fits.subarray(0, 4)), "00ffff00");
    assert.equal(fits.length, 4 + 0xffff);
    assert.throws(() => new UwsgiClient().request(1, new Params(["A", "x".repeat(0xffff - 4)])), RangeError);
  });
});
