import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  decodePairs,
  encodePairs,
  encodeRecord,
  encodeStream,
  RecordReader,
  TooManyPairs,
  writeStream,
} from "../../src/protocol/fastcgi/wire.ts";
import { ProtocolError } from "../../src/protocol/protocol.ts";
import { Buffer } from "node:buffer";
import { bytes, concat, hex, pattern, splits, text, toHex } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { records } from "../support/traffic.ts";

describe("name-value pairs are read and written as section 3.4 says", () => {
  const lengths: [name: string, lengths: string, nameLength: number, valueLength: number][] = [
    ["no name and no value", "00 00", 0, 0],
    ["a name without a value", "01 00", 1, 0],
    ["a value without a name", "00 01", 0, 1],
    ["the largest one-byte lengths", "7f 7f", 127, 127],
    ["the smallest four-byte lengths", "80000080 80000080", 128, 128],
    ["a short name and a long value", "0b 80000100", 11, 256],
    ["a long name and a short value", "80000100 0b", 256, 11],
    ["lengths with all bits of a record's length", "8000ffff 8000ffff", 65535, 65535],
    ["lengths of more than 16 bits", "80012345 80010000", 0x12345, 0x10000],
  ];
  for (const [name, prefix, nameLength, valueLength] of lengths) {
    test(name, () => {
      const pair = ["N".repeat(nameLength), "v".repeat(valueLength)];
      const wire = concat(hex(prefix), bytes(pair.join("")));
      assert.equal(toHex(encodePairs(pair)), toHex(wire));
      assert.deepEqual(decodePairs(wire, 1), pair);
    });
  }

  const lists: [name: string, digits: string, pairs: string[]][] = [
    ["no pair at all", "", []],
    ["two pairs", "0101 41 62 0102 43 6465", ["A", "b", "C", "de"]],
    ["a name twice, in order", "0101 41 31 0101 41 32", ["A", "1", "A", "2"]],
    ["all kinds of bytes, one character each", "0104 41 00 0d ff c3", ["A", "\x00\r\xff\xc3"]],
    ["an empty pair between others", "0100 41 0000 0001 62", ["A", "", "", "", "", "b"]],
  ];
  for (const [name, digits, pairs] of lists) {
    test(name, () => {
      assert.equal(toHex(encodePairs(pairs)), toHex(hex(digits)));
      assert.deepEqual(decodePairs(hex(digits), 100), pairs);
    });
  }

  test("a short length may be written with four bytes", () => {
    assert.deepEqual(decodePairs(hex("80000001 80000002 41 6263"), 1), ["A", "bc"]);
  });

  const cutOff: [name: string, digits: string][] = [
    ["the name's length", "80"],
    ["the name's length after three bytes", "800000"],
    ["the value's length, which is not there", "01"],
    ["the value's length after one byte", "0180"],
    ["the value's length after three bytes", "01800000"],
    ["the name", "0201 41"],
    ["the value", "0103 41 4243"],
    ["the second pair", "0101 41 42 05"],
    ["a name of two gigabytes", "ffffffff ffffffff 41"],
  ];
  for (const [name, digits] of cutOff) {
    test(`a stream that ends within ${name} is refused`, () => {
      assert.throws(() => decodePairs(hex(digits), 100), ProtocolError);
    });
  }

  test("one pair more than allowed is refused, as many as allowed are not", () => {
    const three = hex("0000 0000 0000");
    assert.equal(decodePairs(three, 3).length, 6);
    assert.throws(
      () => decodePairs(three, 2),
      (error) => error instanceof TooManyPairs && error.message === "more than 2 params",
    );
  });

  test("a view into a larger buffer is decoded alone", () => {
    assert.deepEqual(decodePairs(hex("ffff 0101 41 42 ffff").subarray(2, 6), 9), ["A", "B"]);
  });
});

interface Read {
  type: number;
  id: number;
  length: number;
  content: string;
  complete: boolean;
}

/** Reads records, fragments joined. */
function read(pieces: readonly Uint8Array[]): { read: Read[]; atBoundary: boolean } {
  const reader = new RecordReader();
  const read: Read[] = [];
  let fresh = true;
  for (const piece of pieces) {
    reader.receive(piece);
    while (reader.next()) {
      if (fresh) read.push({ type: reader.type, id: reader.id, length: reader.length, content: "", complete: false });
      const record = read[read.length - 1];
      record.content += text(reader.bytes);
      record.complete = fresh = reader.last;
    }
  }
  return { read, atBoundary: reader.atBoundary };
}

describe("records are read as section 3.3 says, however they are cut", () => {
  const table: [name: string, digits: string, expected: Omit<Read, "complete">[]][] = [
    ["nothing", "", []],
    ["an empty record", "01 05 0001 0000 00 00", [{ type: 5, id: 1, length: 0, content: "" }]],
    ["content without padding", "01 05 0001 0002 00 00 6869", [{ type: 5, id: 1, length: 2, content: "hi" }]],
    ["content with padding, which is passed over", "01 05 0001 0002 03 00 6869 ffffff", [{
      type: 5,
      id: 1,
      length: 2,
      content: "hi",
    }]],
    ["padding without content", "01 04 0001 0000 02 00 0104", [{ type: 4, id: 1, length: 0, content: "" }]],
    ["both bytes of the request id", "01 05 abcd 0000 00 00", [{ type: 5, id: 0xabcd, length: 0, content: "" }]],
    ["the reserved byte, which means nothing", "01 05 0001 0000 00 ff", [{ type: 5, id: 1, length: 0, content: "" }]],
    ["content that looks like a record", "01 05 0001 0008 00 00 0105000100000000", [
      { type: 5, id: 1, length: 8, content: "\x01\x05\x00\x01\x00\x00\x00\x00" },
    ]],
    ["two records", "01 05 0001 0001 01 00 61 00 01 08 0002 0001 00 00 62", [
      { type: 5, id: 1, length: 1, content: "a" },
      { type: 8, id: 2, length: 1, content: "b" },
    ]],
    ["the most padding", `01 05 0001 0001 ff 00 61 ${"01".repeat(255)}`, [{ type: 5, id: 1, length: 1, content: "a" }]],
  ];
  for (const [name, digits, expected] of table) {
    test(name, () => {
      const message = hex(digits);
      const whole = { read: expected.map((record) => ({ ...record, complete: true })), atBoundary: true };
      assert.deepEqual(read([message]), whole);
      for (const split of splits(message, new Random(1))) assert.deepEqual(read(split.pieces), whole, split.name);
    });
  }

  test("the longest content", () => {
    const content = pattern(65535);
    const message = concat(hex("01 05 0001 ffff 01 00"), content, hex("00"));
    const whole = { read: [{ type: 5, id: 1, length: 65535, content: text(content), complete: true }], atBoundary: true };
    assert.deepEqual(read([message]), whole);
    for (const split of splits(message, new Random(2))) assert.deepEqual(read(split.pieces), whole, split.name);
  });

  test("the reader is between records only when header, content and padding are complete", () => {
    const message = hex("01 05 0001 0002 02 00 6869 0000");
    for (let length = 0; length <= message.length; length++) {
      const reader = new RecordReader();
      reader.receive(message.slice(0, length));
      while (reader.next());
      assert.equal(reader.atBoundary, length === 0 || length === message.length, `${length} bytes`);
    }
  });

  test("pieces that are not read at once are kept in order", () => {
    const reader = new RecordReader();
    for (const byte of hex("01 05 0001 0003 00 00 616263")) reader.receive(Uint8Array.of(byte));
    assert.equal(reader.next(), true);
    assert.equal(text(reader.bytes), "abc");
    assert.equal(reader.next(), false);
  });

  for (const digits of ["00", "02", "474554202f20", "02 05 0001 0000 00 00", "00 05 0001 0000 00 00 00 00"]) {
    test(`what starts with ${digits.slice(0, 2)} is not FastCGI, and its first byte is enough to know (${digits})`, () => {
      for (const pieces of [[hex(digits)], [...hex(digits)].map((byte) => Uint8Array.of(byte))]) {
        assert.throws(() => read(pieces), ProtocolError);
      }
    });
  }
});

describe("records are written as section 3.3 says", () => {
  const table: [name: string, digits: string, type: number, id: number, content: string][] = [
    ["empty", "01 06 0001 0000 00 00", 6, 1, ""],
    ["with content", "01 06 0001 0002 00 00 6869", 6, 1, "hi"],
    ["with both bytes of the request id", "01 03 fffe 0001 00 00 61", 3, 0xfffe, "a"],
  ];
  for (const [name, digits, type, id, content] of table) {
    test(name, () => {
      assert.equal(toHex(encodeRecord(type, id, bytes(content))), toHex(hex(digits)));
      assert.deepEqual(read([hex(digits)]).read, [{ type, id, length: content.length, content, complete: true }]);
    });
  }

  for (
    const [length, lengths] of [[0, []], [1, [1]], [65535, [65535]], [65536, [65535, 1]], [200000, [
      65535,
      65535,
      65535,
      3395,
    ]]] as const
  ) {
    test(`a stream of ${length} bytes takes ${lengths.length} records`, () => {
      const content = pattern(length);
      const seen = records(encodeStream(6, 1, content));
      assert.deepEqual(seen.map((record) => record.content.length), lengths);
      assert.equal(text(concat(...seen.map((record) => record.content))), text(content));
    });
  }

  for (const [head, body] of [[3, 0], [3, 65532], [3, 65533], [65535, 0], [65535, 1], [65535, 65536], [1, 131070]] as const) {
    test(`a head of ${head} bytes is never cut, with ${body} bytes behind it`, () => {
      const headText = "h".repeat(head);
      const content = pattern(body);
      const buffer = Buffer.alloc(head + body + 8 * Math.ceil((head + body) / 65535));
      assert.equal(writeStream(buffer, 0, 6, 1, headText, content), buffer.length);
      const seen = records(buffer);
      assert.equal(text(seen[0].content).slice(0, head), headText);
      assert.equal(text(concat(...seen.map((record) => record.content))), headText + text(content));
    });
  }
});
