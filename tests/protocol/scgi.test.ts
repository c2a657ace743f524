import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import { ScgiClient } from "../../src/protocol/scgi.ts";
import { bytes, text, toHex } from "../support/bytes.ts";
import { converse, events as eventsOf, netstring, scgi } from "../support/single.ts";

const events = (message: Uint8Array) => eventsOf("scgi", message);
const error = (message: string) => [`ProtocolError: ${message}`];
const first = "CONTENT_LENGTH\x000\0SCGI\x001\0";

test("the example of the SCGI specification", () => {
  const request = "70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0," +
    "What is the answer to life?";
  const { events, sent, idle, closing } = converse("scgi", bytes(request), (codec, event) => {
    if (event.type !== "bodyEnd") return;
    return codec.encode(event.id, { status: 200, reason: "OK", headers: ["Content-Type", "text/plain"] }, bytes("42"), true);
  });
  assert.deepEqual(events, [
    "request 1 responder CONTENT_LENGTH=27 SCGI=1 REQUEST_METHOD=POST REQUEST_URI=/deepthought",
    'body 1 "What is the answer to life?"',
    "bodyEnd 1",
  ]);
  assert.equal(sent, "Content-Type: text/plain\r\nStatus: 200 OK\r\n\r\n42");
  assert.equal(idle, true);
  assert.equal(closing, true);
});

describe("the headers of an SCGI request", () => {
  const table: [name: string, message: Uint8Array, seen: string][] = [
    [
      "in another order, with SCGI behind all others",
      netstring("A\0b\0CONTENT_LENGTH\x000\0SCGI\x001\0"),
      "A=b CONTENT_LENGTH=0 SCGI=1",
    ],
    ["with an empty value", scgi({ A: "" }), 'CONTENT_LENGTH=0 SCGI=1 A=""'],
    ["with an empty name", scgi({ "": "b" }), 'CONTENT_LENGTH=0 SCGI=1 ""=b'],
    ["with a name twice", scgi([["A", "1"], ["A", "2"]]), "CONTENT_LENGTH=0 SCGI=1 A=1 A=2"],
    ["of any bytes but NUL", scgi({ A: "\xc3\xa9\xff\r\n,:" }), 'CONTENT_LENGTH=0 SCGI=1 A="Ã©ÿ\\r\\n,:"'],
    [
      "with the same CONTENT_LENGTH twice",
      netstring("CONTENT_LENGTH\x000\0SCGI\x001\0CONTENT_LENGTH\x000\0"),
      "CONTENT_LENGTH=0 SCGI=1 CONTENT_LENGTH=0",
    ],
    ["whose CONTENT_LENGTH begins with zeros", scgi({ CONTENT_LENGTH: "000" }), "SCGI=1 CONTENT_LENGTH=000"],
  ];
  for (const [name, message, seen] of table) {
    test(`${name} are taken`, () => assert.deepEqual(events(message), [`request 1 responder ${seen}`, "bodyEnd 1"]));
  }

  const noLength = "Not SCGI: a request begins with the length of its headers and a colon";
  const noPairs = "The SCGI headers are not pairs of names and values";
  const noContentLength = "The SCGI headers have no CONTENT_LENGTH";
  const junk: [name: string, message: Uint8Array, error: string][] = [
    ["HTTP instead of a length", bytes("GET / HTTP/1.1\r\n\r\n"), noLength],
    ["a record of FastCGI instead of a length", Uint8Array.of(1, 1, 0, 1, 0, 8, 0, 0), noLength],
    ["no length before the colon", bytes(":"), noLength],
    ["a negative length", bytes("-5:"), noLength],
    ["a blank before the colon", bytes("24 :"), noLength],
    ["a length of eleven digits", bytes("10000000024:"), noLength],
    ["a length that begins with zeros", bytes(`00${first.length}:${first},`), noLength],
    ["a length of zeros", bytes("00:,"), noLength],
    [
      "something else than a comma behind them",
      bytes(`${first.length}:${first};`),
      "The SCGI headers have no comma where their length says",
    ],
    [
      "a length that is too small",
      bytes(`${first.length - 1}:${first},`),
      "The SCGI headers have no comma where their length says",
    ],
    ["no NUL at the end", netstring(first.slice(0, -1)), noPairs],
    ["a name without a value", netstring(`${first}A\0`), noPairs],
    ["nothing in them", bytes("0:,"), "The SCGI headers have no SCGI=1"],
    ["no SCGI", netstring("CONTENT_LENGTH\x000\0"), "The SCGI headers have no SCGI=1"],
    ["another version of SCGI", scgi({ SCGI: "2" }), "The SCGI headers have no SCGI=1"],
    ["no CONTENT_LENGTH", netstring("SCGI\x001\0"), noContentLength],
    ["an empty CONTENT_LENGTH", scgi({ CONTENT_LENGTH: "" }), noContentLength],
  ];
  for (const [name, message, reason] of junk) {
    test(`cannot have ${name}`, () => assert.deepEqual(events(message), error(reason)));
  }
});

describe("what nginx says of a body that it does not buffer", () => {
  test("is overridden by a larger one of the visitor", () => {
    const message = scgi({ CONTENT_LENGTH: "3", HTTP_CONTENT_LENGTH: "10" }, "0123456789");
    assert.deepEqual(events(message), [
      "request 1 responder SCGI=1 CONTENT_LENGTH=10 HTTP_CONTENT_LENGTH=10",
      "body 1 0123456789",
      "bodyEnd 1",
    ]);
  });

  test("is found among values that look like its name", () => {
    const message = scgi({ A: "CONTENT_LENGTH", CONTENT_LENGTH: "3", HTTP_CONTENT_LENGTH: "4", B: "CONTENT_LENGTH" }, "0123");
    assert.deepEqual(events(message).slice(1), ["body 1 0123", "bodyEnd 1"]);
  });

  const others: [name: string, values: Record<string, string>][] = [
    ["counts where the visitor sent the body in chunks", { HTTP_TRANSFER_ENCODING: "chunked", HTTP_CONTENT_LENGTH: "9" }],
    ["counts where the visitor said no number", { HTTP_CONTENT_LENGTH: "9, 9" }],
    ["counts where the visitor said more than can be counted", { HTTP_CONTENT_LENGTH: "99999999999999999999" }],
    ["counts where the visitor said nothing", { HTTP_CONTENT_LENGTH: "" }],
    // nginx says what has arrived, which cannot be more. Another server passes on a "Content_Length" of the visitor.
    ["counts where the visitor said less", { HTTP_CONTENT_LENGTH: "1" }],
  ];
  for (const [name, values] of others) {
    test(
      name,
      () => assert.deepEqual(events(scgi({ CONTENT_LENGTH: "3", ...values }, "012")).slice(1), ["body 1 012", "bodyEnd 1"]),
    );
  }
});

describe("the client half of SCGI", () => {
  const request = (pairs: string[]) => text(new ScgiClient().request(1, new Params(pairs)));

  test("writes the example of the specification", () => {
    assert.equal(
      request(["REQUEST_METHOD", "POST", "REQUEST_URI", "/deepthought", "CONTENT_LENGTH", "27"]),
      "70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,",
    );
  });

  test("adds what every request has", () => {
    assert.equal(request([]), "24:CONTENT_LENGTH\x000\0SCGI\x001\0,");
    assert.equal(request(["CONTENT_LENGTH", "", "SCGI", "1"]), "24:CONTENT_LENGTH\x000\0SCGI\x001\0,");
  });

  test("writes bytes, not text", () => {
    assert.equal(
      toHex(new ScgiClient().request(1, new Params(["A", "\xc3\xa9"]))),
      toHex(bytes("29:CONTENT_LENGTH\x000\0SCGI\x001\0A\0\xc3\xa9\0,")),
    );
  });

  test("cannot write a NUL, which ends a name or value", () => {
    for (const pairs of [["A", "b\0c"], ["A\0", "b"], ["CONTENT_LENGTH", "0\0"]]) assert.throws(() => request(pairs), RangeError);
  });
});
