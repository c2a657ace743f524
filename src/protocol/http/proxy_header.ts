/**
 * The PROXY protocol, versions 1 and 2: the header in which a proxy that passes bytes on describes the connection that it
 * accepted. Section numbers are those of its specification, proxy-protocol.txt.
 *
 * @module
 */
import { isIP } from "../ip.ts";
import { Buffer } from "node:buffer";
import { ProtocolError } from "../protocol.ts";
import { quoted } from "./line.ts";

/** What was said of a connection. */
export interface ProxyHeader {
  /** Bytes of the header. */
  length: number;
  /** The visitor's end and the one that he connected to; `undefined` if they are those of the connection itself. */
  addresses?: { remoteAddress: string; remotePort: number; localAddress: string; localPort: number };
  /** Whether the visitor has spoken TLS with the proxy; `undefined` if that was not said. */
  isTls?: boolean;
}

/** Section 2.1: bytes of the longest line. */
const MAX_LINE = 107;
/** Section 2.2 allows 65535 bytes, which a few small extensions do not need. */
const MAX_BINARY = 4096;

const lineStart = Buffer.from("PROXY ");
const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const HEAD_LENGTH = 16;

/**
 * Reads the header at the start of a connection, `undefined` when more bytes are needed.
 *
 * @throws {ProtocolError} for anything else
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  const isBinary = bytes[0] === signature[0];
  const start = isBinary ? signature : lineStart;
  const known = Math.min(bytes.length, start.length);
  if (!bytes.subarray(0, known).equals(start.subarray(0, known))) {
    throw new ProtocolError("The connection does not begin with the PROXY protocol, which proxyprotocol=true expects");
  }
  if (known < start.length) return undefined;
  return isBinary ? readBinary(bytes) : readLine(bytes);
}

const port = "(0|[1-9]\\d{0,4})";
const line = new RegExp(`^PROXY TCP([46]) ([\\da-fA-F:.]+) ([\\da-fA-F:.]+) ${port} ${port}$`);

/** Section 2.1. */
function readLine(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, MAX_LINE).indexOf("\r\n");
  if (end < 0) {
    if (bytes.length < MAX_LINE) return undefined;
    throw invalid(`a line of more than ${MAX_LINE} bytes`);
  }
  const text = bytes.toString("latin1", 0, end);
  const length = end + 2;
  if (/^PROXY UNKNOWN(?: |$)/.test(text)) return { length };
  const [, family, remote, local, ...ports] = line.exec(text) ?? [];
  const [remotePort, localPort] = ports.map(Number);
  if (![remote, local].every((address) => isIP(address ?? "") === Number(family)) || remotePort > 65535 || localPort > 65535) {
    throw invalid(`the line ${quoted(text)}`);
  }
  return { length, addresses: { remoteAddress: canonical(remote), remotePort, localAddress: canonical(local), localPort } };
}

/** Section 2.2: the command, with the version 2. */
const LOCAL = 0x20;
const PROXY = 0x21;
/** Nothing is known of the addresses, and what follows is ignored. */
const UNSPECIFIED = 0x00;
/** The families, with the kind "stream": bytes of their addresses. */
const addressLengths: Readonly<Record<number, number>> = { 0x11: 12, 0x21: 36, 0x31: 216 };
const TCP4 = 0x11;
const TCP6 = 0x21;
/** Section 2.2.6: PP2_TYPE_SSL, and its bit PP2_CLIENT_SSL. */
const TYPE_SSL = 0x20;
const CLIENT_SSL = 0x01;

function readBinary(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < HEAD_LENGTH) return undefined;
  const command = bytes[12];
  const family = bytes[13];
  const length = HEAD_LENGTH + bytes.readUInt16BE(14);
  if (command !== LOCAL && command !== PROXY) throw invalid(`the version and command ${command}`);
  if (length > MAX_BINARY) throw invalid(`a header of ${length} bytes`);
  if (bytes.length < length) return undefined;
  if (command === LOCAL || family === UNSPECIFIED) return { length };
  const addressLength = addressLengths[family];
  if (addressLength === undefined) throw invalid(`the family and transport ${family}`);
  const rest = bytes.subarray(HEAD_LENGTH, length);
  if (rest.length < addressLength) throw invalid(`${rest.length} bytes of addresses`);
  const isTls = readTls(rest.subarray(addressLength));
  if (family !== TCP4 && family !== TCP6) return { length, isTls };
  const size = family === TCP4 ? 4 : 16;
  const addresses = {
    remoteAddress: addressOf(rest.subarray(0, size)),
    remotePort: rest.readUInt16BE(2 * size),
    localAddress: addressOf(rest.subarray(size, 2 * size)),
    localPort: rest.readUInt16BE(2 * size + 2),
  };
  return { length, addresses, isTls };
}

/** Sections 2.2.1 and 2.2.6: the extensions, each a type, a length and a value. */
function readTls(extensions: Buffer): boolean | undefined {
  let isTls: boolean | undefined;
  for (let at = 0; at < extensions.length;) {
    const end = at + 3 > extensions.length ? Infinity : at + 3 + extensions.readUInt16BE(at + 1);
    if (end > extensions.length) throw invalid("an extension that is longer than the header");
    if (extensions[at] === TYPE_SSL && end > at + 3) isTls = (extensions[at + 3] & CLIENT_SSL) !== 0;
    at = end;
  }
  return isTls;
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  return canonical(Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(":"));
}

/** RFC 5952, and IPv4 inside IPv6 as IPv4 (RFC 4291, 2.5.5.2). */
function canonical(address: string): string {
  if (!address.includes(":")) return address;
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(short) ?? [];
  if (high === undefined) return short;
  return [high, low].map((group) => parseInt(group, 16)).flatMap((group) => [group >> 8, group & 0xff]).join(".");
}

function invalid(what: string): ProtocolError {
  return new ProtocolError(`The header of the PROXY protocol is invalid: ${what}`);
}
