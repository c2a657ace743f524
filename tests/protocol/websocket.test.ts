/** Frames and the opening handshake of WebSockets. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import {
  encodeClose,
  encodeFrame,
  encodeText,
  FrameTracker,
  MessageReader,
  Opcode,
  unmask,
  WebSocketError,
} from "../../src/protocol/websocket/frames.ts";
import { acceptKey, hasUpgrade, readHandshake, wantsWebSocket } from "../../src/protocol/websocket/handshake.ts";
import { bytes, concat, hex, pattern, toHex } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { clientFrame as frame, closePayload, type FrameOptions } from "../support/websocket.ts";

/** Events as lines such as `text hello`, the last one the code of an error. */
function read(pieces: readonly Uint8Array[], maxLength = 1 << 20): string[] {
  const reader = new MessageReader(maxLength);
  const lines: string[] = [];
  try {
    for (const piece of pieces) {
      // The reader changes what it gets.
      reader.receive(new Uint8Array(piece));
      for (let event = reader.nextEvent(); event !== undefined; event = reader.nextEvent()) {
        if (event.type === "text") lines.push(`text ${event.text}`);
        else if (event.type === "close") lines.push(`close ${event.code} ${event.reason}`);
        else lines.push(`${event.type} ${toHex(event.bytes)}`);
      }
    }
  } catch (error) {
    assert.ok(error instanceof WebSocketError, String(error));
    lines.push(`error ${error.code}`);
    reader.receive(frame({ opcode: 1, payload: "more" }));
    assert.equal(reader.nextEvent(), undefined);
  }
  return lines;
}

function inPieces(whole: Uint8Array, length: () => number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < whole.length;) pieces.push(whole.subarray(at, at += length()));
  return pieces;
}

const text = (payload: string | Uint8Array, more: Partial<FrameOptions> = {}) => frame({ opcode: 1, payload, ...more });
const more = (payload: string | Uint8Array, final = false) => frame({ opcode: 0, payload, final });
const close = (code: number, reason = "") => frame({ opcode: 8, payload: closePayload(code, reason) });
const euro = Buffer.from("€");
const codes = (list: readonly number[], expected: (code: number) => string) =>
  list.map((code): [string, Uint8Array, string[]] => [`the close code ${code}`, close(code), [expected(code)]]);

const conversations: [name: string, sent: Uint8Array, expected: string[]][] = [
  ["RFC 6455, 5.7: a masked text", hex("8185 37fa213d 7f9f4d5158"), ["text Hello"]],
  ["a masked text in two fragments", concat(text("Hel", { final: false }), more("lo", true)), ["text Hello"]],
  ["RFC 6455, 5.7: a masked pong", hex("8a85 37fa213d 7f9f4d5158"), ["pong 48656c6c6f"]],
  ["empty messages", concat(text(""), frame({ opcode: 2 }), frame({ opcode: 9 })), ["text ", "binary ", "ping "]],
  ["the key 0", text("plain", { mask: [0, 0, 0, 0] }), ["text plain"]],
  [
    "control frames between fragments",
    concat(
      text("a", { final: false }),
      frame({ opcode: 9, payload: "p" }),
      more(""),
      frame({ opcode: 10 }),
      more("b"),
      more("c", true),
      text("d"),
    ),
    ["ping 70", "pong ", "text abc", "text d"],
  ],
  ["a character across fragments", concat(text(euro.subarray(0, 1), { final: false }), more(euro.subarray(1), true)), ["text €"]],
  ["a byte order mark stays", text("\ufeffx"), ["text \ufeffx"]],
  ["half a character at the end", concat(text(euro.subarray(0, 2), { final: false }), more("", true)), ["error 1007"]],
  ["what is not UTF-8", text(hex("6180")), ["error 1007"]],
  ["a surrogate", text(hex("eda080")), ["error 1007"]],
  ["a character above U+10FFFF", text(hex("f4908080")), ["error 1007"]],
  ["binary data is not looked at", frame({ opcode: 2, payload: hex("80ff") }), ["binary 80ff"]],
  ["125 bytes in a ping", frame({ opcode: 9, payload: "x".repeat(125) }), [`ping ${"78".repeat(125)}`]],
  ["126 bytes in a ping", frame({ opcode: 9, payload: "x".repeat(126) }), ["error 1002"]],
  ["a fragmented ping", frame({ opcode: 9, final: false }), ["error 1002"]],
  ["no mask", text("x", { mask: null }), ["error 1002"]],
  ["no mask in a close", frame({ opcode: 8, mask: null }), ["error 1002"]],
  ...[1, 2, 4].map((reserved): [string, Uint8Array, string[]] => [
    `reserved bits ${reserved}`,
    text("x", { reserved }),
    ["error 1002"],
  ]),
  ...[3, 7, 11, 15].map((opcode): [string, Uint8Array, string[]] => [`the opcode ${opcode}`, frame({ opcode }), ["error 1002"]]),
  ["a fragment of nothing", more("x", true), ["error 1002"]],
  ["a message within another", concat(text("a", { final: false }), text("b")), ["error 1002"]],
  ["a length of 125 in two bytes", text("x".repeat(125), { lengthBytes: 2 }), ["error 1002"]],
  ["a length of 125 in eight bytes", text("x".repeat(125), { lengthBytes: 8 }), ["error 1002"]],
  ["a length of 65535 in eight bytes", text("x".repeat(65535), { lengthBytes: 8 }), ["error 1002"]],
  ["the highest bit of a length", hex("81ff 8000000000000001 00000000"), ["error 1002"]],
  ["the longest length", hex("81ff 7fffffffffffffff 00000000"), ["error 1009"]],
  ["the longest message", text("x".repeat(1 << 20)), [`text ${"x".repeat(1 << 20)}`]],
  ["a longer one", text("x".repeat((1 << 20) + 1)), ["error 1009"]],
  ["a longer one in fragments", concat(text("x".repeat(1 << 20), { final: false }), more("x", true)), ["error 1009"]],
  ["a close without a code", frame({ opcode: 8 }), ["close 1005 "]],
  ["a close with a reason", close(1000, "€"), ["close 1000 €"]],
  ["a close with half a code", frame({ opcode: 8, payload: "x" }), ["error 1002"]],
  ["a close with a reason that is not UTF-8", frame({ opcode: 8, payload: hex("03e8 ff") }), ["error 1007"]],
  ["what follows a close", concat(close(1000), text("x")), ["close 1000 "]],
  ["a close within fragments", concat(text("a", { final: false }), close(1001)), ["close 1001 "]],
  ...codes([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999], (code) => `close ${code} `),
  ...codes([0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535], () => "error 1002"),
];

for (const [name, sent, expected] of conversations) {
  test(`${name}: whole, in bytes and in random pieces`, () => {
    assert.deepEqual(read([sent]), expected);
    if (sent.length < 1000) assert.deepEqual(read(inPieces(sent, () => 1)), expected);
    const random = new Random(sent.length);
    assert.deepEqual(read(inPieces(sent, () => 1 + random.int(Math.max(8, sent.length >> 4)))), expected);
  });
}

test("16 MiB in fragments of any length arrive", () => {
  const length = 16 << 20;
  const whole = pattern(length);
  const reader = new MessageReader(length);
  let got: Uint8Array | undefined;
  const random = new Random(16);
  for (let at = 0, opcode = 2; at < length; opcode = 0) {
    const end = Math.min(length, at + 1 + random.int(1 << 20));
    for (const piece of inPieces(frame({ opcode, payload: whole.subarray(at, end), final: end === length }), () => 65536)) {
      reader.receive(piece);
      const event = reader.nextEvent();
      if (event?.type === "binary") got = event.bytes;
    }
    at = end;
  }
  assert.ok(got && Buffer.compare(got, whole) === 0);
});

test("FrameTracker finds the ends of frames, however they come", () => {
  const frames = [
    ...[0, 1, 125, 126, 65535, 65536].map((length) => frame({ opcode: 2, payload: pattern(length) })),
    encodeText("a"),
    encodeFrame(Opcode.binary, pattern(70000)),
    encodeClose(1005),
  ];
  const tracker = new FrameTracker();
  for (const frame of frames) {
    assert.ok(tracker.between);
    for (let at = 0; at < frame.length; at++) {
      tracker.pass(frame.subarray(at, at + 1));
      assert.equal(tracker.between, at === frame.length - 1);
    }
  }
  tracker.pass(concat(...frames));
  assert.ok(tracker.between);
  tracker.pass(concat(...frames).subarray(0, -1));
  assert.ok(!tracker.between);
});

test("unmask() is the same for every alignment and phase", () => {
  const mask = hex("01 20 03 c4");
  for (const length of [0, 1, 63, 64, 65, 66, 67, 131]) {
    for (let start = 0; start < 4; start++) {
      for (let offset = 0; offset < 4; offset++) {
        const around = pattern(start + length);
        const view = around.subarray(start);
        const expected = view.map((byte, i) => byte ^ mask[(offset + i) & 3]);
        unmask(view, mask, offset);
        assert.deepEqual(view, expected, `${length} bytes at ${start}, phase ${offset}`);
      }
    }
  }
});

describe("frames of the server", () => {
  const rows: [name: string, frame: Uint8Array, head: string, length: number][] = [
    ["no bytes", encodeFrame(Opcode.binary, bytes("")), "8200", 2],
    ["125 bytes", encodeFrame(Opcode.ping, pattern(125)), "897d", 127],
    ["126 bytes", encodeFrame(Opcode.binary, pattern(126)), "827e007e", 130],
    ["65535 bytes", encodeFrame(Opcode.binary, pattern(65535)), "827effff", 65539],
    ["65536 bytes", encodeFrame(Opcode.binary, pattern(65536)), "827f0000000000010000", 65546],
    ["text", encodeText("€"), "8103e282ac", 5],
    ["a lone surrogate", encodeText("\ud800"), "8103efbfbd", 5],
    ["a close", encodeClose(1001), "880203e9", 4],
    ["a close with a reason", encodeClose(4000, "é"), "88040fa0c3a9", 6],
    ["a close without a code", encodeClose(1005), "8800", 2],
  ];
  for (const [name, encoded, head, length] of rows) {
    test(name, () => {
      assert.equal(toHex(encoded.subarray(0, head.length / 2)), head);
      assert.equal(encoded.length, length);
    });
  }
});

describe("the opening handshake", () => {
  const asked: Record<string, string> = {
    REQUEST_METHOD: "GET",
    HTTP_UPGRADE: "websocket",
    HTTP_CONNECTION: "Upgrade",
    HTTP_SEC_WEBSOCKET_VERSION: "13",
    HTTP_SEC_WEBSOCKET_KEY: "dGhlIHNhbXBsZSBub25jZQ==",
  };
  const paramsOf = (more: Record<string, string>) => Params.from(Object.entries({ ...asked, ...more }));

  test("RFC 6455, 1.3: the accepted key", () => {
    assert.equal(acceptKey("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  });

  test("names are looked for in lists, in any case", () => {
    const params = paramsOf({ HTTP_UPGRADE: "h2c, WebSocket", HTTP_CONNECTION: "keep-alive,upgrade" });
    assert.ok(wantsWebSocket(params));
    assert.deepEqual(readHandshake(params), { key: asked.HTTP_SEC_WEBSOCKET_KEY, protocols: [] });
  });

  test("another method or protocol is no WebSocket", () => {
    assert.equal(wantsWebSocket(paramsOf({ REQUEST_METHOD: "POST" })), false);
    assert.equal(wantsWebSocket(paramsOf({ HTTP_UPGRADE: "websocket2" })), false);
  });

  test("a key alone is left of a WebSocket where the web server passes none on", () => {
    const left = Params.from([["REQUEST_METHOD", "GET"], ["HTTP_SEC_WEBSOCKET_KEY", asked.HTTP_SEC_WEBSOCKET_KEY]]);
    assert.deepEqual([wantsWebSocket(left), hasUpgrade(left)], [true, false]);
    assert.equal(wantsWebSocket(Params.from([["REQUEST_METHOD", "GET"]])), false);
  });

  test("protocols come in the client's order, also from repeated headers", () => {
    const params = Params.from([
      ...Object.entries(asked),
      ["HTTP_SEC_WEBSOCKET_PROTOCOL", "b, a"],
      ["HTTP_SEC_WEBSOCKET_PROTOCOL", "c"],
    ]);
    assert.deepEqual(readHandshake(params), { key: asked.HTTP_SEC_WEBSOCKET_KEY, protocols: ["b", "a", "c"] });
  });

  const refused: [name: string, more: Record<string, string>, status: number, headers?: Record<string, string>][] = [
    ["another version", { HTTP_SEC_WEBSOCKET_VERSION: "8" }, 426, { "sec-websocket-version": "13" }],
    ["no Connection", { HTTP_CONNECTION: "keep-alive" }, 400],
    ["a short key", { HTTP_SEC_WEBSOCKET_KEY: "dGhlIHNhbXBsZSBub25jZQ=" }, 400],
    ["no key", { HTTP_SEC_WEBSOCKET_KEY: "" }, 400],
    ["a body", { CONTENT_LENGTH: "5" }, 400],
    ["an invalid protocol", { HTTP_SEC_WEBSOCKET_PROTOCOL: "a b" }, 400],
  ];
  test("a key or a version that comes twice is refused", () => {
    const twice = (name: string) => readHandshake(Params.from([...Object.entries(asked), [name, asked[name]]])).status;
    assert.deepEqual([twice("HTTP_SEC_WEBSOCKET_KEY"), twice("HTTP_SEC_WEBSOCKET_VERSION")], [400, 426]);
  });

  for (const [name, more, status, headers = {}] of refused) {
    test(`${name} is refused`, () => {
      const result = readHandshake(paramsOf(more));
      assert.ok(result.status !== undefined);
      assert.equal(result.status, status);
      assert.deepEqual(result.headers, headers);
    });
  }
});
