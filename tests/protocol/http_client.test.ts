/** The client half of HTTP: responses in all their lengths, and params as a request. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HttpClient } from "../../src/protocol/http/client.ts";
import { Params } from "../../src/protocol/params.ts";
import { ProtocolError } from "../../src/protocol/protocol.ts";
import { bytes, concat, splits, text, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

const get = { REQUEST_METHOD: "GET", REQUEST_URI: "/a?b", HTTP_HOST: "h" };

function waiting(values: Record<string, string> = get): HttpClient {
  const client = new HttpClient();
  client.request(1, Params.from(Object.entries(values)));
  return client;
}

/** What a client reports, which must be the same however the answer is cut. */
function events(message: string, values?: Record<string, string>): string[] {
  const whole = transcript(waiting(values), [bytes(message)]);
  for (const split of splits(bytes(message), new Random(11))) {
    assert.deepEqual(transcript(waiting(values), split.pieces), whole, split.name);
  }
  return whole;
}

function sent(values: Record<string, string>, body?: string, keep = false): string {
  const client = new HttpClient();
  const head = client.request(1, Params.from(Object.entries(values)), { keep });
  return text(concat(head, body === undefined ? bytes("") : client.body(1, bytes(body)), client.bodyEnd()));
}

describe("params become a request", () => {
  test("without a body", () => {
    const values = { ...get, HTTP_X_A: "é", HTTP_CONNECTION: "upgrade", REMOTE_ADDR: "192.0.2.1", HTTPS: "on" };
    assert.equal(
      sent(values, undefined, true),
      "GET /a?b HTTP/1.1\r\nhost: h\r\nx-a: \xc3\xa9\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n" +
        "connection: keep-alive\r\n\r\n",
    );
  });

  test("with a body whose length is known", () => {
    const values = { ...get, REQUEST_METHOD: "POST", CONTENT_LENGTH: "4", CONTENT_TYPE: "text/plain" };
    assert.equal(
      sent(values, "body"),
      "POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody",
    );
  });

  test("with a body in chunks", () => {
    assert.equal(
      sent({ ...get, REQUEST_METHOD: "POST" }, "body"),
      "POST /a?b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    );
  });
});

describe("params that would be another request", () => {
  test("a target with blanks and line ends is percent-encoded", () => {
    assert.match(sent({ ...get, REQUEST_URI: "/a b\r\nX: y" }), /^GET \/a%20b%0D%0AX:%20y HTTP\/1\.1\r\n/);
  });

  for (const [name, value] of [["HTTP_X", "a\r\nb: c"], ["HTTP_X", "a\0b"], ["HTTP_X Y", "z"], ["REQUEST_METHOD", "GET /x"]]) {
    test(`${name} with ${JSON.stringify(value)} is an error`, () => {
      assert.throws(() => sent({ ...get, [name]: value }), TypeError);
    });
  }
});

describe("a response", () => {
  const rows: [name: string, message: string, expected: string[], values?: Record<string, string>][] = [
    ["with its length", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", [
      "head 1 200 OK content-length 2",
      "body 1 hi",
      "end 1 0",
    ]],
    ["without a body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ["head 1 200 OK Content-Length 0", "end 1 0"]],
    [
      "in chunks, with extensions and a trailer",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
      ["head 1 200 OK transfer-encoding chunked", "body 1 hi0123456789", "end 1 0"],
    ],
    ["with the status 204", "HTTP/1.1 204 No Content\r\n\r\n", ['head 1 204 "No Content"', "end 1 0"]],
    [
      "to HEAD",
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
      ["head 1 200 OK content-length 5", "end 1 0"],
      { ...get, REQUEST_METHOD: "HEAD" },
    ],
    [
      "behind an interim one",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
      ["head 1 200 OK content-length 2", "body 1 hi", "end 1 0"],
    ],
    [
      "with a chunk of no length",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxx\r\n",
      ["head 1 200 OK transfer-encoding chunked", 'ProtocolError: A chunk has the length "xx"'],
    ],
    [
      "with a chunk that is longer than it says",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
      ["head 1 200 OK transfer-encoding chunked", "body 1 a", "ProtocolError: A chunk is longer than its length"],
    ],
    [
      "with a length beside a coding",
      "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
      ["ProtocolError: The response has a Content-Length beside a Transfer-Encoding"],
    ],
    [
      "with two lengths",
      "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
      ['ProtocolError: The response has the Content-Length "3, 4"'],
    ],
    [
      "with a length that is not a number",
      "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
      ['ProtocolError: The response has the Content-Length "-1"'],
    ],
    [
      "in a coding that is not known, which ends with the connection",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nall",
      ["head 1 200 OK transfer-encoding gzip", "body 1 all"],
    ],
    [
      "that changes the protocol",
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
      ["ProtocolError: The server changes to another protocol, which nobody asked it to"],
    ],
    [
      "with something behind it",
      "HTTP/1.1 204 No Content\r\n\r\nmore",
      ['head 1 204 "No Content"', "end 1 0", "ProtocolError: The server sent something behind the response"],
    ],
  ];
  for (const [name, message, expected, values] of rows) {
    test(name, () => assert.deepEqual(events(message, values), expected));
  }

  test("without a length ends with the connection, which is too early for any other", () => {
    const client = waiting();
    assert.deepEqual(transcript(client, [bytes("HTTP/1.0 200 OK\r\n\r\nall")]), ["head 1 200 OK", "body 1 all"]);
    client.receiveEnd();
    assert.equal(client.nextEvent()?.type, "end");
    for (const message of ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "HTTP/1.1 2", ""]) {
      const cut = waiting();
      transcript(cut, [bytes(message)]);
      assert.throws(() => cut.receiveEnd(), ProtocolError);
    }
  });
});
