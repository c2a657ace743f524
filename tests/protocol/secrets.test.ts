import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodePairs, encodeRecord, RecordType } from "../../src/protocol/fastcgi/wire.ts";
import type { Params } from "../../src/protocol/params.ts";
import { blankSecrets } from "../../src/protocol/secrets.ts";
import { detectProtocol } from "../../src/protocol/auto.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { replay } from "../../src/server/replay.ts";
import { bytes, concat, fixture, fixtureNames, text } from "../support/bytes.ts";
import { paramsOf } from "../support/peer.ts";

const isSecret = (name: string) => /cookie|authorization|pass|token|session/i.test(name);

function blanked(sent: Uint8Array, protocol?: ListeningProtocol): Uint8Array {
  const copy = sent.slice();
  blankSecrets(copy, protocol, isSecret);
  assert.equal(copy.length, sent.length);
  return copy;
}

/** What an application gets of these bytes. */
async function seen(sent: Uint8Array) {
  const params: Params[] = [];
  const bodies: string[] = [];
  const errors: string[] = [];
  await replay(sent, {
    async handler(request) {
      bodies.push(await request.text().catch(() => "broken off"));
      return new Response();
    },
    onError: (error) => void errors.push(error.message),
    onRequest: (request) => params.push(request.params),
  });
  return { params, bodies, errors };
}

const secrets = {
  HTTP_COOKIE: "id=s3cret",
  HTTP_AUTHORIZATION: "Basic s3cret",
  HTTP_X_API_TOKEN: "s3cret",
  REQUEST_URI: "/a?x=1&token=s3cret&y=2",
  QUERY_STRING: "x=1&token=s3cret&y=2",
  HTTP_REFERER: "http://h/?Password=s3cret#p",
};
const form = "user=me&password=s3cret&more=1";

describe("secrets are blanked", () => {
  for (const protocol of Object.keys(protocols) as ListeningProtocol[]) {
    test(`over ${protocol}, and the rest is what it was`, async () => {
      const client = protocols[protocol].client({ secret: "s3cret" });
      const params = paramsOf("/", { ...secrets, REQUEST_METHOD: "POST", CONTENT_LENGTH: String(form.length) });
      const sent = concat(client.request(1, params), client.body(1, bytes(form)), client.bodyEnd(1));
      assert.ok(text(sent).includes("s3cret"));
      const after = blanked(sent, protocol);
      assert.ok(!text(after).includes("s3cret"), text(after));
      const [plain, hidden] = [await seen(sent), await seen(after)];
      assert.deepEqual(hidden.errors, []);
      assert.deepEqual(hidden.bodies, ["user=me&password=******&more=1"]);
      assert.equal(hidden.params[0].get("REQUEST_URI"), "/a?x=1&token=******&y=2");
      assert.equal(hidden.params[0].get("HTTP_COOKIE"), "*".repeat(9));
      assert.deepEqual(hidden.params[0].pairs.map((part) => part.length), plain.params[0].pairs.map((part) => part.length));
    });
  }

  test("in recorded traffic, which is served as before", async () => {
    for (const name of (["fcg", "scgi", "uwsgi", "ajp", "jk"] as const).flatMap(fixtureNames)) {
      const sent = fixture(name);
      const after = blanked(sent, detectProtocol(sent[0]));
      const [plain, hidden] = [await seen(sent), await seen(after)];
      assert.deepEqual([hidden.errors, hidden.params.length], [plain.errors, plain.params.length], name);
      hidden.params.forEach((params, i) => {
        for (let at = 0; at < params.pairs.length; at += 2) {
          const [param, value] = params.pairs.slice(at, at + 2);
          if (isSecret(param)) assert.match(value, /^\**$/, `${name}: ${param}`);
          else if (!/[?&]/.test(value)) assert.equal(value, plain.params[i].pairs[at + 1], `${name}: ${param}`);
        }
      });
    }
  });

  test("where a value lies in several records", () => {
    const pairs = encodePairs(["HTTP_COOKIE", "s3cret", "A", "b"]);
    const records = [...pairs].map((byte) => encodeRecord(RecordType.params, 1, Uint8Array.of(byte)));
    const after = blanked(concat(...records, encodeRecord(RecordType.params, 1, bytes(""))), "fcgi");
    const content = text(after).match(/[^]{8}([^])/g)!.map((record) => record[8]).join("").slice(0, pairs.length);
    assert.equal(content, text(pairs).replace("s3cret", "******"));
  });

  test("in bodies of JSON, of forms in parts, and in chunks", () => {
    const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const http = (body: string) => text(blanked(bytes(`${head}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`), "http"));
    assert.ok(http('{"a":1,"password" : "s\\"3cret","b":"c"}').includes('{"a":1,"password" : "********","b":"c"}'));
    const part = '--x\r\nContent-Disposition: form-data; name="password"\r\n\r\ns3\r\ncret\r\n--x--\r\n';
    assert.ok(http(part).includes("\r\n\r\n********\r\n--x--"), http(part));
    const split =
      `${head}b\r\npassword=s3\r\n4\r\ncret\r\n0\r\n\r\nGET /?token=s3cret HTTP/1.1\r\nCookie: s3cret\r\n  s3cret\r\n\r\n`;
    const after = text(blanked(bytes(split), "http"));
    assert.ok(after.includes("b\r\npassword=**\r\n4\r\n****\r\n0"), after);
    assert.ok(!after.includes("s3") && !after.includes("cret"), after);
  });

  test("in bytes that are no protocol's, and in requests that are cut", () => {
    for (const protocol of [undefined, ...Object.keys(protocols)] as (ListeningProtocol | undefined)[]) {
      const after = text(blanked(bytes("\x07abc HTTP_COOKIEs3cret\x00\x01 token: s3cret\r\nmore"), protocol));
      assert.ok(!after.includes("s3cret") && after.endsWith("\r\nmore") && after.startsWith("\x07abc "), after);
      if (protocol === undefined) continue;
      const client = protocols[protocol].client({});
      const whole = client.request(1, paramsOf("/", { ...secrets, HTTP_Z: "z".repeat(100) }));
      for (let length = 0; length < whole.length; length++) {
        assert.ok(!text(blanked(whole.slice(0, length), protocol)).includes("s3cret"), `${protocol}, ${length} bytes`);
      }
    }
  });

  test("in a time that grows with the length", () => {
    const long = "a".repeat(1_000_000);
    for (const protocol of [undefined, "http", "fcgi"] as const) blanked(bytes(`${long} password=${long}`), protocol);
    blanked(
      bytes(`POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n${'"'.repeat(1_000_000)}${"name=".repeat(100_000)}`),
      "http",
    );
  });
});
