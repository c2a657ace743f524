import assert from "node:assert/strict";
import { test } from "node:test";
import { dissect } from "../../src/protocol/dissect.ts";
import { Params } from "../../src/protocol/params.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { bytes, fixture, fixtureNames, hex } from "../support/bytes.ts";

const nothingSecret = () => false;

/** Lines for bytes that come one by one are those for bytes that come at once. */
function lines(protocol: ListeningProtocol, side: "request" | "response", all: Uint8Array): string[] {
  return dissect(protocol, side, nothingSecret)(all);
}

test("recorded requests are dissected to their end, in pieces of any size", () => {
  const kinds = { fcg: "fcgi", ajp: "ajp", jk: "ajp", scgi: "scgi", uwsgi: "uwsgi" } as const;
  for (const [kind, protocol] of Object.entries(kinds)) {
    for (const name of fixtureNames(kind as keyof typeof kinds)) {
      const all = fixture(name);
      const whole = lines(protocol, "request", all);
      assert.ok(!whole.some((line) => /The bytes are/.test(line)), `${name}: ${whole.join("\n")}`);
      const begins = { fcgi: /^BEGIN_REQUEST|^GET_VALUES/, ajp: /^Forward Request|^CPing/, scgi: /^netstring/, uwsgi: /^header/ };
      assert.match(whole[0], begins[protocol], name);
      const dissector = dissect(protocol, "request", nothingSecret);
      const pieces = Array.from(all.subarray(0, 3000), (_, i) => dissector(all.slice(i, i + 1))).flat();
      const isBody = (line: string) => line.startsWith("body:");
      assert.deepEqual(
        pieces.filter((line) => !isBody(line)),
        lines(protocol, "request", all.slice(0, 3000)).filter((line) => !isBody(line)),
        name,
      );
    }
  }
});

test("a request of each client half, with what is secret hidden", () => {
  const params = Params.from([["REQUEST_METHOD", "POST"], ["REQUEST_URI", "/"], ["HTTP_COOKIE", "id=1234"], [
    "CONTENT_LENGTH",
    "2",
  ]]);
  for (const [name, { client }] of Object.entries(protocols)) {
    const protocol = name as ListeningProtocol;
    const sent = dissect(protocol, "request", (name) => /cookie/i.test(name))(client({ secret: "abc" }).request(1, params)).join(
      "\n",
    );
    assert.match(sent, /hidden/, protocol);
    assert.ok(!sent.includes("1234"), sent);
    if (protocol === "ajp") assert.match(sent, /with a secret/);
  }
});

test("the records of FastCGI", () => {
  const end = hex("01 03 0001 0008 00 00  0000 0007 02 000000");
  assert.deepEqual(lines("fcgi", "response", end), ["END_REQUEST: application status 7, OVERLOADED"]);
  assert.deepEqual(lines("fcgi", "request", hex("01 02 0003 0000 00 00")), ["ABORT_REQUEST, request 3: the visitor left"]);
  assert.deepEqual(lines("fcgi", "response", hex("01 07 0001 0003 05 00 61 0a 1b 0000000000")), [
    "STDERR: 3 bytes",
    "    a",
    "    \\x1b",
  ]);
  assert.deepEqual(lines("fcgi", "request", hex("01 63 0001 0001 00 00 00")), ["a record of the unknown type 99: 1 byte"]);
});

test("the packets of AJP", () => {
  assert.deepEqual(lines("ajp", "response", hex("4142 0003 06 1ffa 4142 0001 09 4142 0002 05 00")), [
    "Get Body Chunk: at most 8186 bytes",
    "CPong",
    "End Response: the connection is closed",
  ]);
});

test("bytes that are not the protocol's are reported once, with the first of them", () => {
  for (const protocol of ["fcgi", "ajp", "scgi"] as const) {
    const dissector = dissect(protocol, "request", nothingSecret);
    assert.match(dissector(bytes("GET / HTTP/1.1\r\n"))[0], /The bytes are 47 45 54 .* "GET \/ HTTP\/1\.1\.\."$/, protocol);
    assert.deepEqual(dissector(bytes("more")), ["4 bytes more"]);
  }
});

test("a second head of HTTP is one", () => {
  const dissector = dissect("http", "response", nothingSecret);
  assert.deepEqual(dissector(bytes("HTTP/1.1 200 OK\r\na: b\r\n\r\nbody")), ["HTTP/1.1 200 OK", "    a: b", "body: 4 bytes"]);
  assert.deepEqual(dissector(bytes("HTTP/1.1 404 No\r\n\r\n")), ["HTTP/1.1 404 No"]);
});
