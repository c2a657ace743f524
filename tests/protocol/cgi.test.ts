import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CgiServer } from "../../src/protocol/cgi.ts";
import { cgiHead, CgiResponseParser } from "../../src/protocol/cgi_response.ts";
import { type ClientEvent, defaultCodecLimits } from "../../src/protocol/protocol.ts";
import { bytes, splits, text, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

/** A parser with the shape of a codec. */
function receiver(): { receive(bytes: Uint8Array): void; nextEvent(): ClientEvent | undefined } {
  const parser = new CgiResponseParser(1);
  let events: Iterator<ClientEvent> = [].values();
  return {
    receive: (bytes) => events = parser.receive(bytes),
    nextEvent: () => events.next().value,
  };
}

/** What a parser reports of a response, which must be the same however the response is cut. */
function parse(response: string): string[] {
  const whole = transcript(receiver(), [bytes(response)]);
  for (const split of splits(bytes(response), new Random(5))) {
    assert.deepEqual(transcript(receiver(), split.pieces), whole, split.name);
  }
  return whole;
}

describe("the head of a CGI response", () => {
  const table: [name: string, response: string, head: string][] = [
    ["lines that end with CRLF", "Status: 404 Not Found\r\nX: y\r\n\r\n", '404 "Not Found" X y'],
    ["lines that end with LF", "Status: 404 Not Found\nX: y\n\n", '404 "Not Found" X y'],
    ["lines that end with either", "X: y\r\nStatus: 404 Not Found\n\r\n", '404 "Not Found" X y'],
    ["CRLF lines and an LF at the end", "X: y\r\n\n", '200 "" X y'],
    ["no line at all", "\r\n", '200 ""'],
    ["no Status", "Content-Type: text/plain\n\n", '200 "" Content-Type text/plain'],
    ["Location without Status", "Location: http://a/b\n\n", '302 "" Location http://a/b'],
    ["Location in capitals without Status", "LOCATION: /b\n\n", '302 "" LOCATION /b'],
    ["Status and Location", "Status: 201 Created\nLocation: /b\n\n", "201 Created Location /b"],
    ["Location and Status", "Location: /b\nStatus: 301 Moved\n\n", "301 Moved Location /b"],
    ["a status without a reason", "Status: 204\n\n", '204 ""'],
    ["a status with an empty reason", "Status: 204 \n\n", '204 ""'],
    ["status in small letters", "status: 404 x\n\n", "404 x"],
    ["an HTTP status line", "HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n", '404 "Not Found" X y'],
    ["an HTTP/1.0 status line without a reason", "HTTP/1.0 500\n\n", '500 ""'],
    ["the same name twice", "Set-Cookie: a=1\nSet-Cookie: b=2\n\n", '200 "" Set-Cookie a=1 Set-Cookie b=2'],
    ["a value with colons", "X: a:b: c\n\n", '200 "" X "a:b: c"'],
    ["an empty value", "X:\nY: \n\n", '200 "" X "" Y ""'],
    ["blanks around a value", "X: \t y \t\r\n\n", '200 "" X y'],
    ["a value whose UTF-8 ends with a byte that is a blank in Latin-1", "X: voil\xc3\xa0\n\n", '200 "" X "voilÃ\u00a0"'],
  ];
  for (const [name, response, head] of table) {
    test(`with ${name}`, () => {
      assert.deepEqual(parse(response), [`head 1 ${head}`]);
      assert.deepEqual(parse(`${response}body\n\n`), [`head 1 ${head}`, 'body 1 "body\\n\\n"']);
    });
  }

  const junk: [name: string, response: string, error: string][] = [
    ["text without a header", "hello\n\n", 'The response head has the line "hello"'],
    ["a line without a colon behind others", "X: y\noops\n\n", 'The response head has the line "oops"'],
    ["a header without a name", ": y\n\n", 'The response head has the line ": y"'],
    ["a status that is not a number", "Status: abc\n\n", 'The response has the status "abc"'],
    ["a status of two digits", "Status: 99\n\n", 'The response has the status "99"'],
    ["a status of four digits", "Status: 2000\n\n", 'The response has the status "2000"'],
    ["an empty status", "Status:\n\n", 'The response has the status ""'],
    ["a status line behind a header", "X: y\nHTTP/1.1 200 OK\n\n", 'The response head has the line "HTTP/1.1 200 OK"'],
    ["a status line of HTTP/2", "HTTP/2 200\n\n", 'The response head has the line "HTTP/2 200"'],
    [
      "a long line, of which the error shows the beginning",
      `${"x".repeat(200)}\n\n`,
      `The response head has the line "${"x".repeat(80)}"`,
    ],
  ];
  for (const [name, response, error] of junk) {
    test(`cannot have ${name}`, () => assert.deepEqual(parse(response), [`ProtocolError: ${error}`]));
  }

  test("without an end is not reported", () => {
    const parser = new CgiResponseParser(1);
    assert.deepEqual([...parser.receive(bytes("Status: 200 OK\r\nX: y\r\n"))], []);
    assert.equal(parser.inHead, true);
    assert.equal([...parser.receive(bytes("\r\n"))].length, 1);
    assert.equal(parser.inHead, false);
  });

  for (const length of [65536, 65537]) {
    const longest = `X: ${"y".repeat(length - 5)}\n\n`;
    const inTwo = [bytes(longest.slice(0, 40000)), bytes(longest.slice(40000))];
    test(`of ${length} bytes is ${length > 65536 ? "too long" : "taken"}, whether it comes at once or not`, () => {
      for (const pieces of [[bytes(longest)], inTwo, [...inTwo, bytes("body")]]) {
        assert.equal(transcript(receiver(), pieces)[0].startsWith(length > 65536 ? "ProtocolError" : "head"), true);
      }
    });
  }
});

describe("the head that is written", () => {
  test("has Status last, since HAProxy lets a Location behind it win", () => {
    const head = { status: 301, reason: "Moved", headers: ["location", "/x", "x-a", "1", "x-a", "2"] };
    assert.equal(cgiHead(head), "location: /x\r\nx-a: 1\r\nx-a: 2\r\nStatus: 301 Moved\r\n\r\n");
  });

  test("without headers has a Status all the same", () => {
    assert.equal(cgiHead({ status: 200, reason: "OK", headers: [] }), "Status: 200 OK\r\n\r\n");
  });

  test("is read as it was written", () => {
    const written = cgiHead({ status: 418, reason: "I'm a teapot", headers: ["x-empty", "", "x-latin", "caf\xe9"] });
    assert.deepEqual(parse(written), ['head 1 418 "I\'m a teapot" x-empty "" x-latin "café"']);
  });
});

describe("CGI as a protocol", () => {
  const environment = (values: Record<string, string>) => new CgiServer(Object.entries(values), defaultCodecLimits);

  test("a request without a body is complete at once", () => {
    const codec = environment({ REQUEST_METHOD: "GET", NAME: "\u00e9" });
    assert.deepEqual([codec.nextEvent()?.type, codec.nextEvent()?.type, codec.nextEvent()], ["request", "bodyEnd", undefined]);
    assert.equal(codec.idle, true);
  });

  test("params are the UTF-8 bytes of the environment", () => {
    const event = environment({ NAME: "\u00e9" }).nextEvent();
    assert.ok(event?.type === "request");
    assert.deepEqual(event.params.pairs, ["NAME", "\xc3\xa9"]);
    assert.equal(event.role, "responder");
  });

  test("the body ends with CONTENT_LENGTH, not with the input, however it is cut", () => {
    const message = bytes("hello and more");
    for (const { name, pieces } of splits(message, new Random(1))) {
      const codec = environment({ CONTENT_LENGTH: "5" });
      assert.equal(codec.nextEvent()?.type, "request");
      assert.equal(codec.idle, false);
      assert.deepEqual(transcript(codec, pieces), ["body 1 hello", "bodyEnd 1"], name);
      assert.equal(codec.idle, true);
    }
  });

  test("a body that is cut off has no end", () => {
    const codec = environment({ CONTENT_LENGTH: "5" });
    codec.nextEvent();
    assert.deepEqual(transcript(codec, [bytes("hell")]), ["body 1 hell"]);
    codec.receiveEnd();
    assert.equal(codec.nextEvent(), undefined);
    assert.equal(codec.idle, false);
  });

  test("a body without a length that came in chunks ends with the input", () => {
    const codec = environment({ HTTP_TRANSFER_ENCODING: "chunked", CONTENT_LENGTH: "" });
    codec.nextEvent();
    assert.deepEqual(transcript(codec, [bytes("one"), bytes("two")]), ["body 1 onetwo"]);
    assert.equal(codec.idle, false);
    codec.receiveEnd();
    assert.deepEqual(codec.nextEvent(), { type: "bodyEnd", id: 1 });
    assert.equal(codec.idle, true);
  });

  test("a length counts more than how the body came", () => {
    const codec = environment({ HTTP_TRANSFER_ENCODING: "chunked", CONTENT_LENGTH: "5" });
    codec.nextEvent();
    assert.deepEqual(transcript(codec, [bytes("hello")]), ["body 1 hello", "bodyEnd 1"]);
  });

  for (const length of ["-1", "abc", "NaN", "Infinity", "1e400", "9007199254740993", "5.5"]) {
    test(`a CONTENT_LENGTH of "${length}" is refused`, () => {
      const codec = environment({ CONTENT_LENGTH: length });
      assert.deepEqual(codec.nextEvent(), { type: "refused", id: 1, status: 400, reason: `CONTENT_LENGTH is "${length}"` });
      codec.receive(bytes("x"));
      assert.equal(codec.nextEvent(), undefined);
    });
  }

  for (const length of ["", "0", "000"]) {
    test(`a CONTENT_LENGTH of "${length}" means no body`, () => {
      const codec = environment({ CONTENT_LENGTH: length });
      codec.nextEvent();
      assert.equal(codec.nextEvent()?.type, "bodyEnd");
      codec.receive(bytes("x"));
      assert.equal(codec.nextEvent(), undefined);
    });
  }

  test("more params than allowed are refused", () => {
    const codec = new CgiServer([["A", ""], ["B", ""], ["C", ""]], { ...defaultCodecLimits, maxParams: 2 });
    assert.deepEqual(codec.nextEvent(), { type: "refused", id: 1, status: 431, reason: "more than 2 params" });
  });

  test("the response is head, body and the end of the output", () => {
    const codec = environment({});
    const head = { status: 200, reason: "OK", headers: ["x", "\xe9"] };
    assert.equal(text(codec.encode(0, head, bytes("one"), false)), "x: \xe9\r\nStatus: 200 OK\r\n\r\none");
    assert.equal(text(codec.encode(0, undefined, bytes("two"), false)), "two");
    assert.equal(codec.closing, false);
    assert.equal(codec.encode(0, undefined, undefined, true).length, 0);
    assert.equal(codec.closing, true);
  });

  test("there is no error log to write to and nothing to probe with", () => {
    const codec = environment({});
    assert.equal(codec.stderr(), undefined);
    assert.equal(codec.probe(), undefined);
  });
});
