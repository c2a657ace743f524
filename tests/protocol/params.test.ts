import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { asBuffer, byteString, decodeText, encodeText, joinRepeated, Params } from "../../src/protocol/params.ts";

describe("params", () => {
  test("give the last of several values", () => {
    assert.equal(new Params(["A", "1", "B", "2", "A", "3"]).get("A"), "3");
  });

  test("tell an empty value from none", () => {
    const params = new Params(["A", ""]);
    assert.equal(params.get("A"), "");
    assert.equal(params.get("B"), undefined);
    assert.equal(params.get("a"), undefined);
  });

  test("give all values of a name", () => {
    assert.deepEqual(new Params(["A", "1", "B", "2", "A", "3"]).getAll("A"), ["1", "3"]);
    assert.deepEqual(new Params(["A", "1"]).getAll("B"), []);
  });

  test("do not take a value for a name", () => {
    assert.equal(new Params(["A", "B", "C", "D"]).get("B"), undefined);
    assert.deepEqual(new Params(["A", "B", "B", "D"]).getAll("B"), ["D"]);
  });

  test("are made of text as its UTF-8 bytes", () => {
    assert.deepEqual(Params.from([["N\u00e4me", "\u20ac"], ["B", ""]]).pairs, ["N\xc3\xa4me", "\xe2\x82\xac", "B", ""]);
  });

  test("are made of any pairs, such as an environment", () => {
    assert.deepEqual(Params.from(Object.entries({ A: "1", B: "2" })).pairs, ["A", "1", "B", "2"]);
    assert.deepEqual(Params.from(new Map([["A", "1"]])).pairs, ["A", "1"]);
  });

  test("become a record of text, with repeated headers joined and the last of other repeated names", () => {
    const params = new Params([
      ...["HTTP_COOKIE", "a=1", "HTTP_X_DUP", "1", "HTTP_COOKIE", "b=2; c=3", "HTTP_X_DUP", "2"],
      ...["HTTP_HOST", "inner", "HTTP_HOST", "outer:8080", "REQUEST_URI", "/1", "REQUEST_URI", "/2", "NAME", "\xc3\xa9"],
    ]);
    assert.deepEqual({ ...params.toRecord() }, {
      HTTP_COOKIE: "a=1; b=2; c=3",
      HTTP_X_DUP: "1, 2",
      HTTP_HOST: "outer:8080",
      REQUEST_URI: "/2",
      NAME: "\u00e9",
    });
  });

  test("with the names of an object's own parts become a record like any other", () => {
    const record = new Params(["__proto__", "1", "constructor", "2", "toString", "3"]).toRecord();
    assert.deepEqual(Object.entries(record), [["__proto__", "1"], ["constructor", "2"], ["toString", "3"]]);
    assert.equal(Object.getPrototypeOf(record), null);
  });
});

test("repeated values are joined by the kind of their name", () => {
  assert.equal(joinRepeated("HTTP_COOKIE", "a", "b"), "a; b");
  assert.equal(joinRepeated("HTTP_ACCEPT", "a", "b"), "a, b");
  assert.equal(joinRepeated("HTTP_ACCEPT", "", "b"), ", b");
  assert.equal(joinRepeated("HTTP_HOST", "a", "b"), "b");
  assert.equal(joinRepeated("CONTENT_TYPE", "a", "b"), "b");
});

describe("byte strings", () => {
  const table: [name: string, bytes: string, text: string][] = [
    ["nothing", "", ""],
    ["ASCII", "plain", "plain"],
    ["control characters", "\0\r\n\x7f", "\0\r\n\x7f"],
    ["UTF-8 of two bytes", "\xc3\xa9", "\u00e9"],
    ["UTF-8 of four bytes", "\xf0\x9f\x98\x80", "\u{1f600}"],
    ["a byte order mark, which is text", "\xef\xbb\xbfx", "\ufeffx"],
  ];
  for (const [name, bytes, text] of table) {
    test(`${name}: text of them and back`, () => {
      assert.equal(decodeText(bytes), text);
      assert.equal(encodeText(text), bytes);
    });
  }

  const latin1: [name: string, bytes: string][] = [
    ["a Latin-1 letter", "caf\xe9"],
    ["a cut-off UTF-8 character", "\xc3"],
    ["an overlong UTF-8 character", "\xc0\xaf"],
    ["half of a surrogate pair", "\xed\xa0\x80"],
    ["UTF-8 beside a stray byte", "\xc3\xa9\xff"],
  ];
  for (const [name, bytes] of latin1) {
    test(`${name} is not UTF-8, so each byte is a character`, () => assert.equal(decodeText(bytes), bytes));
  }

  test("have one character for each byte", () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const string = byteString(all);
    assert.equal(string.length, 256);
    for (let i = 0; i < 256; i++) assert.equal(string.charCodeAt(i), i);
    assert.equal(byteString(all.subarray(65, 67)), "AB");
  });

  test("are read through a Buffer on the same memory", () => {
    const bytes = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
    const buffer = asBuffer(bytes);
    assert.deepEqual([...buffer], [2, 3]);
    buffer[0] = 9;
    assert.equal(bytes[0], 9);
    const own = Buffer.alloc(2);
    assert.equal(asBuffer(own), own);
  });
});
