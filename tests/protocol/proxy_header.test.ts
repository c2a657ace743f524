/** The PROXY protocol. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { Trust } from "../../src/protocol/http/forwarded.ts";
import { type ProxyHeader, readProxyHeader } from "../../src/protocol/http/proxy_header.ts";
import { HttpServer } from "../../src/protocol/http/server.ts";
import { defaultCodecLimits, ProtocolError } from "../../src/protocol/protocol.ts";
import { bytes, concat, hex } from "../support/bytes.ts";

const signature = hex("0d0a0d0a000d0a515549540a");
const binary = (rest: string) => concat(signature, hex(rest));
const from = (remoteAddress: string, remotePort: number, localAddress: string, localPort: number) => ({
  remoteAddress,
  remotePort,
  localAddress,
  localPort,
});
const v4 = "c0000201 c6336402 d903 01bb";
const v6 = "20010db8000000000000000000000001 20010db8000000000000000000000002 0001 ffff";

const valid: [name: string, sent: Uint8Array, header: Omit<ProxyHeader, "length">][] = [
  ["TCP4", bytes("PROXY TCP4 192.0.2.1 198.51.100.2 55555 443\r\n"), {
    addresses: from("192.0.2.1", 55555, "198.51.100.2", 443),
  }],
  ["TCP6", bytes("PROXY TCP6 2001:DB8:0::1 ::1 1 65535\r\n"), { addresses: from("2001:db8::1", 1, "::1", 65535) }],
  ["IPv4 inside IPv6", bytes("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), { addresses: from("192.0.2.1", 1, "::1", 2) }],
  ["unknown", bytes("PROXY UNKNOWN\r\n"), {}],
  ["unknown, with more", bytes(`PROXY UNKNOWN ${"f".repeat(91)}\r\n`), {}],
  ["TCP4, binary", binary(`21 11 000c ${v4}`), { addresses: from("192.0.2.1", 55555, "198.51.100.2", 443) }],
  ["TCP6, binary", binary(`21 21 0024 ${v6}`), { addresses: from("2001:db8::1", 1, "2001:db8::2", 65535) }],
  ["a check by the proxy itself", binary("20 00 0000"), {}],
  ["a check with addresses", binary(`20 11 000c ${v4}`), {}],
  ["an unspecified family", binary("21 00 0002 aabb"), {}],
  ["a Unix socket", binary(`21 31 00d8 ${"00".repeat(216)}`), {}],
  ["TLS", binary(`21 11 0017 ${v4} 20 0005 01 00000000 05 0000`), {
    addresses: from("192.0.2.1", 55555, "198.51.100.2", 443),
    isTls: true,
  }],
  ["no TLS", binary(`21 11 0014 ${v4} 20 0005 00 00000000`), {
    addresses: from("192.0.2.1", 55555, "198.51.100.2", 443),
    isTls: false,
  }],
];

for (const [name, sent, header] of valid) {
  test(`${name}: read when it is complete, and no byte of what follows`, () => {
    const whole = concat(sent, bytes("GET / HTTP/1.1\r\n"));
    for (let length = 1; length < sent.length; length++) {
      assert.equal(readProxyHeader(Buffer.from(whole.subarray(0, length))), undefined);
    }
    for (const rest of [0, 16]) {
      const read = readProxyHeader(Buffer.from(whole.subarray(0, sent.length + rest)));
      assert.deepEqual({ isTls: undefined, addresses: undefined, ...read }, {
        isTls: undefined,
        addresses: undefined,
        ...header,
        length: sent.length,
      });
    }
  });
}

const wrong: [name: string, sent: Uint8Array][] = [
  ["a request", bytes("GET / HTTP/1.1\r\n")],
  ["another first word", bytes("PROXx")],
  ["lower case", bytes("proxy TCP4")],
  ["an empty line before it", bytes("\r\nPROXY ")],
  ["no version", bytes("PROXY 192.0.2.1 192.0.2.2 1 2\r\n")],
  ["another family", bytes("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n")],
  ["the addresses of the other family", bytes("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n")],
  ["an address out of range", bytes("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n")],
  ["an address with a zone", bytes("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n")],
  ["a port out of range", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n")],
  ["a port with a zero before it", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n")],
  ["a missing port", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n")],
  ["two blanks", bytes("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n")],
  ["more at the end", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n")],
  ["a line without a return", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n")],
  ["a line that is too long", bytes(`PROXY UNKNOWN ${"f".repeat(100)}\r\n`)],
  ["a line without an end", bytes(`PROXY UNKNOWN ${"f".repeat(93)}`)],
  ["another version", binary("11 11 000c")],
  ["another command", binary("22 11 000c")],
  ["datagrams", binary(`21 12 000c ${v4}`)],
  ["too few addresses", binary("21 11 000b c0000201 c6336402 d903 01")],
  ["a length above all", binary("21 11 ffff")],
  ["an extension that is too long", binary(`21 11 0010 ${v4} 20 0002 01`)],
  ["half an extension", binary(`21 11 000e ${v4} 20 00`)],
];
for (const [name, sent] of wrong) {
  test(`${name} is invalid`, () => assert.throws(() => readProxyHeader(Buffer.from(sent)), ProtocolError));
}

describe("a connection over HTTP with it", () => {
  const codec = (remoteAddress: string | undefined, trust: string[] = ["192.0.2.10"]) => {
    const addresses = remoteAddress === undefined ? undefined : from(remoteAddress, 9, "203.0.113.1", 80);
    return new HttpServer({ ...defaultCodecLimits, proxyProtocol: true, trust: new Trust(trust) }, () => addresses);
  };
  const get = "GET / HTTP/1.1\r\nhost: example.com\r\nx-forwarded-for: 203.0.113.77\r\n\r\n";
  const paramsOf = (http: HttpServer, ...pieces: Uint8Array[]) => {
    for (const piece of pieces) {
      http.receive(piece);
      const event = http.nextEvent();
      if (event?.type === "request") {
        const { params } = event;
        return ["REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT", "REQUEST_SCHEME"].map((name) => params.get(name));
      }
    }
    return undefined;
  };

  test("has the visitor that the proxy names, also for its further requests, whatever he says himself", () => {
    const http = codec("192.0.2.10");
    const line = "PROXY TCP4 198.51.100.7 203.0.113.1 5000 80\r\n";
    const expected = ["198.51.100.7", "5000", "203.0.113.1", "80", "http"];
    assert.deepEqual(paramsOf(http, bytes(line.slice(0, 20)), bytes(line.slice(20) + get)), expected);
    assert.equal(http.nextEvent()?.type, "bodyEnd");
    http.encode(1, { status: 200, reason: "OK", headers: [] }, undefined, true);
    assert.deepEqual(paramsOf(http, bytes(get)), expected);
  });

  test("knows by version 2 that the visitor speaks TLS", () => {
    const header = binary(`21 11 0014 ${v4} 20 0005 01 00000000`);
    assert.deepEqual(paramsOf(codec(undefined), concat(header, bytes(get))), [
      "192.0.2.1",
      "55555",
      "198.51.100.2",
      "443",
      "https",
    ]);
  });

  test("of the proxy itself has the proxy's address, and what it forwards", () => {
    const http = codec("192.0.2.10");
    assert.deepEqual(paramsOf(http, concat(bytes("PROXY UNKNOWN\r\n"), bytes(get)))?.[0], "203.0.113.77");
  });

  test("by way of another trusted proxy has the visitor whom that one forwards", () => {
    const http = codec("192.0.2.10", ["192.0.2.10", "198.51.100.7"]);
    assert.deepEqual(paramsOf(http, bytes(`PROXY TCP4 198.51.100.7 203.0.113.1 5000 80\r\n${get}`))?.[0], "203.0.113.77");
  });

  test("is over without an answer if the peer is not trusted, or does not speak it", () => {
    const rows = [
      [
        codec("192.0.2.11"),
        "PROXY TCP4 198.51.100.7 203.0.113.1 5000 80\r\n",
        /peer 192\.0\.2\.11 may not use the PROXY protocol/,
      ],
      [codec("192.0.2.10"), get, /does not begin with the PROXY protocol/],
      [codec("192.0.2.10"), "PROXY TCP4 x\r\n", /header of the PROXY protocol is invalid: the line "PROXY TCP4 x"/],
    ] as const;
    for (const [http, sent, message] of rows) {
      http.receive(bytes(sent));
      assert.throws(() => http.nextEvent(), message);
      http.receive(bytes(get));
      assert.equal(http.nextEvent(), undefined);
      assert.ok(http.closing);
    }
  });

  test("is idle before the first byte, and in a head from then on", () => {
    const http = codec("192.0.2.10");
    assert.deepEqual([http.idle, http.inHead], [true, false]);
    http.receive(bytes("PRO"));
    assert.equal(http.nextEvent(), undefined);
    assert.deepEqual([http.idle, http.inHead], [false, true]);
  });
});
