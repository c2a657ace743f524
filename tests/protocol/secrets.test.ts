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
import { traffic } from "../support/traffic.ts";

function blanked(sent: Uint8Array, protocol?: ListeningProtocol): Uint8Array {
  const copy = sent.slice();
  blankSecrets(copy, protocol);
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
  HTTP_X_API_KEY: "s3cret",
  HTTP_X_NOBODY_KNOWS: "s3cret",
  REMOTE_USER: "s3cret",
  REQUEST_URI: "/a;jsessionid=s3cret/b?x=1&sid=s3cret&y=2&s3cret",
  QUERY_STRING: "x=1&sid=s3cret&y=2&s3cret",
  HTTP_REFERER: "http://me:s3cret@h/a?PHPSESSID=s3cret#s3cret",
};
const form = "user=me&api-key=s3cret&page=1";

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
      assert.deepEqual(hidden.bodies, ["user=**&api-key=******&page=1"]);
      const get = (name: string) => hidden.params[0].get(name);
      assert.equal(get("REQUEST_URI"), "/a;*****************/b?x=1&sid=******&y=2&******");
      assert.equal(get("HTTP_REFERER"), "http://*********@h/a?PHPSESSID=*************");
      for (const name of ["REQUEST_METHOD", "CONTENT_LENGTH", "HTTP_HOST"]) {
        assert.equal(get(name), plain.params[0].get(name), name);
      }
      for (const name of ["HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_X_NOBODY_KNOWS"]) {
        assert.match(get(name)!, /^\*+$/, name);
      }
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
        const before = plain.params[i].pairs;
        assert.deepEqual(params.pairs.map(({ length }) => length), before.map(({ length }) => length), name);
        for (const kept of ["REQUEST_METHOD", "SERVER_PROTOCOL", "CONTENT_LENGTH", "HTTP_HOST", "HTTP_USER_AGENT"]) {
          assert.equal(params.get(kept), plain.params[i].get(kept), `${name}: ${kept}`);
        }
        assert.match(params.get("HTTP_COOKIE") ?? "", /^\**$/, name);
      });
      const lengths = (bodies: string[]) => bodies.filter((body) => body !== "broken off").map(({ length }) => length);
      assert.deepEqual(lengths(hidden.bodies), lengths(plain.bodies), name);
    }
  });

  test("where a value lies in several records", () => {
    const pairs = encodePairs(["HTTP_COOKIE", "s3cret", "A", "b"]);
    const records = [...pairs].map((byte) => encodeRecord(RecordType.params, 1, Uint8Array.of(byte)));
    const after = blanked(concat(...records, encodeRecord(RecordType.params, 1, bytes(""))), "fcgi");
    const content = text(after).match(/[^]{8}([^])/g)!.map((record) => record[8]).join("").slice(0, pairs.length);
    assert.equal(content, text(pairs).replace("s3cret", "******").replace("Ab", "A*"));
  });

  test("in bodies of JSON, of forms in parts, in chunks, and in bodies of which nothing is known", () => {
    const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const body = (sent: string) => {
      const size = `${sent.length.toString(16)}\r\n`;
      const after = text(blanked(bytes(`${head}${size}${sent}\r\n0\r\n\r\n`), "http"));
      assert.ok(after.startsWith(`${head}${size}`) && after.endsWith("\r\n0\r\n\r\n"), after);
      return after.slice(head.length + size.length, -7);
    };
    const json = '{"page":12,"api-key" : "s\\"3cret","pin":-1234.5e6,"list":["s3cret",99,true,null],"limit":{"a":"s3cret"}}';
    assert.equal(
      body(json),
      '{"page":12,"api-key" : "********","pin":-1111.1e1,"list":["******",11,true,null],"limit":{"a":"******"}}',
    );
    JSON.parse(body(json));
    const part = (name: string, value: string) => `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    assert.equal(
      body(`${part("password", "s3\r\ncret")}${part("page", "7")}--x--\r\n`),
      `${part("password", "********")}${part("page", "7")}--x--\r\n`,
    );
    const file =
      '--x\r\nContent-Disposition: form-data; name="f"; filename="s3cret"\r\nContent-Type: text/plain\r\n\r\ns3cret\r\n--x--';
    assert.equal(
      body(file),
      '--x\r\nContent-Disposition: form-data; name="f"; filename=********\r\nContent-Type: text/plain\r\n\r\n******\r\n--x--',
    );
    assert.equal(body("<key>s3cret</key>"), "*".repeat(17));
    assert.equal(body("s3cret"), "******");
    assert.equal(body("[s3cret"), "[*1****");
    const split =
      `${head}b;s3cret\r\npassword=s3\r\n4\r\ncret\r\n0\r\nA: s3cret\r\n\r\nGET /?token=s3cret HTTP/1.1\r\nCookie: s3cret\r\n  s3cret\r\n\r\n`;
    const after = text(blanked(bytes(split), "http"));
    assert.ok(after.includes("b;******\r\npassword=**\r\n4\r\n****\r\n0"), after);
    assert.ok(after.includes("GET /?token=****** HTTP/1.1\r\nCookie: ******"), after);
    assert.ok(!after.includes("s3") && !after.includes("cret"), after);
  });

  test("in padding, in records that no web server sends, and in invalid names", () => {
    const records = traffic().begin().params({ "s3cret!": "x" }).stdin("", { padding: 0 });
    records.record(7, "s3cret").record(99, "s3cret");
    const sent = concat(records.bytes(), bytes("\x01\x05\x00\x01\x00\x00\x06\x00s3cret"), traffic().abort().bytes());
    assert.ok(!text(blanked(sent, "fcgi")).includes("s3cret"));
  });

  test("in bytes of no known protocol, and in requests that are cut", () => {
    for (const protocol of [undefined, ...Object.keys(protocols)] as (ListeningProtocol | undefined)[]) {
      const after = text(blanked(bytes("\x07abc HTTP_COOKIEs3cret\x00\x01 token: s3cret\r\nmore"), protocol));
      assert.ok(!after.includes("s3cret") && after.endsWith("\r\n****"), after);
      if (protocol === undefined) continue;
      const client = protocols[protocol].client({});
      const whole = client.request(1, paramsOf("/", { ...secrets, HTTP_Z: "z".repeat(100) }));
      for (let length = 0; length < whole.length; length++) {
        assert.ok(!text(blanked(whole.slice(0, length), protocol)).includes("s3cret"), `${protocol}, ${length} bytes`);
      }
    }
  });

  test("in a time that grows with the length", () => {
    const MIB = 1024 * 1024;
    const post = (body: string) => bytes(`POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const bodies = ['{"', "[[", '{"a":', "{a", "a=&", "a=;", "--x\r\n", '--x\r\n\r\n--"', "name=", '{\\"', "{ ", "{1"];
    for (const beginning of bodies) blanked(post(beginning + beginning.slice(1).repeat(MIB / (beginning.length - 1))), "http");
    const framed = { fcgi: text(traffic().stdin("x").bytes()), http: "1\r\nx\r\n", ajp: "\x12\x34\x00\x03\x00\x01x" };
    blanked(bytes(text(traffic().begin().params({}).bytes()) + framed.fcgi.repeat(MIB / 9)), "fcgi");
    blanked(bytes(`POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${framed.http.repeat(MIB / 6)}`), "http");
    blanked(bytes(framed.ajp.repeat(MIB / 7)), "ajp");
    blanked(bytes(text(traffic().begin().bytes()) + text(traffic().record(4, "x").bytes()).repeat(MIB / 9)), "fcgi");
    for (const protocol of [undefined, "http", "fcgi", "scgi"] as const) blanked(bytes(" password=".repeat(MIB / 10)), protocol);
  });
});
