/**
 * Forward Request as CGI variables and back, so that an application sees no difference between AJP and the other protocols.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { decodePercent, fieldParam, Params } from "../params.ts";
import { ProtocolError } from "../protocol.ts";
import {
  Attribute,
  CODED_HEADER,
  methods,
  PacketReader,
  PacketType,
  PacketWriter,
  REQUEST_MAGIC,
  requestHeaders,
  STORED_METHOD,
  stringLength,
} from "./wire.ts";

/** Attributes with a CGI name of their own. */
const attributeParams: Record<number, string> = {
  [Attribute.context]: "CONTEXT_PATH",
  [Attribute.servletPath]: "SERVLET_PATH",
  [Attribute.remoteUser]: "REMOTE_USER",
  [Attribute.authType]: "AUTH_TYPE",
  [Attribute.queryString]: "QUERY_STRING",
  [Attribute.jvmRoute]: "JVM_ROUTE",
  [Attribute.sslCert]: "SSL_CLIENT_CERT",
  [Attribute.sslCipher]: "SSL_CIPHER",
  [Attribute.sslSession]: "SSL_SESSION_ID",
};

/** Attributes that become no param. */
const otherAttributes: Record<number, string> = {
  [Attribute.secret]: "secret",
  [Attribute.storedMethod]: "REQUEST_METHOD",
};

/** Request attributes in which web servers send what the protocol has no place for. */
const knownAttributes: Record<string, string> = {
  AJP_REMOTE_PORT: "REMOTE_PORT",
  AJP_LOCAL_ADDR: "SERVER_ADDR",
  AJP_SSL_PROTOCOL: "SSL_PROTOCOL",
};

/**
 * Variables that say what the request is. A request attribute cannot set them, whether or not they are set otherwise:
 * otherwise anybody who can send packets would choose the file or user that the application sees (CVE-2020-1938).
 */
const guarded = new Set([
  ...Object.values(attributeParams),
  ...Object.values(knownAttributes),
  "CONTENT_LENGTH",
  "CONTENT_TYPE",
  "DOCUMENT_ROOT",
  "GATEWAY_INTERFACE",
  "HTTPS",
  "PATH_INFO",
  "PATH_TRANSLATED",
  "REMOTE_ADDR",
  "REMOTE_HOST",
  "REQUEST_METHOD",
  "REQUEST_SCHEME",
  "REQUEST_URI",
  "SCRIPT_FILENAME",
  "SCRIPT_NAME",
  "SERVER_NAME",
  "SERVER_PORT",
  "SERVER_PROTOCOL",
  "SERVER_SOFTWARE",
  "SSL_CIPHER_USEKEYSIZE",
]);

function isGuarded(name: string): boolean {
  return guarded.has(name) || name.startsWith("HTTP_") || /^REDIRECT_/.test(name);
}

/** What a Forward Request says. */
export interface ForwardRequest {
  params: Params;
  /** What the web server gave as its secret, each time that it did: `undefined` for the null string. */
  secrets: (string | undefined)[];
  /** Values of content-length; a valid request has at most one. */
  lengths: string[];
  /** The visitor sent a Transfer-Encoding. */
  transferEncoding: boolean;
  /** Whether the sender is known to follow the protocol: mod_proxy_ajp and mod_jk can be recognized, lighttpd cannot. */
  conformant: boolean;
}

/** Gets each value with its name and a view of its bytes, also those that become no param. */
export type TellValue = (name: string, value: Buffer) => void;

/**
 * @param tell called for each value, to find where it lies
 * @throws {ProtocolError}
 */
export function readForwardRequest(payload: Uint8Array, tell?: TellValue): ForwardRequest {
  const packet = new PacketReader(payload);
  const told = (name: string, value: string | undefined) => {
    if (value !== undefined) tell?.(name, packet.bytesOf(value));
    return value;
  };
  packet.byte();
  const methodCode = packet.byte();
  let method = methods[methodCode - 1];
  const protocol = told("SERVER_PROTOCOL", packet.string());
  const path = told("REQUEST_URI", packet.string()) ?? "/";
  const remoteAddr = told("REMOTE_ADDR", packet.string());
  const remoteHost = told("REMOTE_HOST", packet.string());
  const serverName = told("SERVER_NAME", packet.string());
  const serverPort = packet.integer();
  const secure = packet.byte() !== 0;
  const headers: string[] = [];
  const lengths: string[] = [];
  let transferEncoding = false;
  for (let left = packet.integer(); left > 0; left--) {
    const name = packet.name(requestHeaders).toLowerCase();
    // lighttpd has null values for some.
    const value = packet.string();
    const param = fieldParam(name);
    if (tell) told(param || name, value);
    if (value === undefined || !param) continue;
    headers.push(param, value);
    if (param === "CONTENT_LENGTH") lengths.push(value);
    if (name === "transfer-encoding") transferEncoding = true;
  }
  const attributes: string[] = [];
  const secrets: (string | undefined)[] = [];
  let query: string | undefined;
  for (;;) {
    // Some senders leave out the end.
    const code = packet.left > 0 ? packet.byte() : Attribute.end;
    if (code === Attribute.end) break;
    if (code === Attribute.sslKeySize) {
      attributes.push("SSL_CIPHER_USEKEYSIZE", String(packet.integer()));
      continue;
    }
    const value = packet.string();
    if (tell && code !== Attribute.requestAttribute) told(attributeParams[code] ?? otherAttributes[code] ?? "", value);
    switch (code) {
      case Attribute.secret:
        secrets.push(value);
        break;
      case Attribute.storedMethod:
        if (methodCode === STORED_METHOD) method = value ?? "";
        break;
      case Attribute.requestAttribute:
        readRequestAttribute(value ?? "", told(value ?? "", packet.string()), attributes);
        break;
      default: {
        const name = attributeParams[code];
        if (name === undefined) throw new ProtocolError(`The AJP attribute ${code} is not known`);
        if (value !== undefined) attributes.push(name, value);
        if (code === Attribute.queryString) query = value;
      }
    }
  }
  if (!method) throw new ProtocolError(`The AJP method ${methodCode} is not known`);
  const conformant = attributes.some((name, i) => i % 2 === 0 && name === "REMOTE_PORT");
  // lighttpd has decoded it, and must not be read as if it had not: `/%252e/private` is not `/./private`.
  const isDecoded = !conformant && remoteHost === undefined;
  const target = path.replace(isDecoded ? /[%?]/g : /\?/g, (byte) => byte === "%" ? "%25" : "%3F");
  const line: [string, string | undefined][] = [
    ["GATEWAY_INTERFACE", "CGI/1.1"],
    ["SERVER_PROTOCOL", protocol],
    ["REQUEST_METHOD", method],
    ["REQUEST_SCHEME", secure ? "https" : "http"],
    ["HTTPS", secure ? "on" : undefined],
    ["REQUEST_URI", query === undefined ? target : `${target}?${query}`],
    ["SCRIPT_NAME", ""],
    ["PATH_INFO", isDecoded ? path : decodePercent(path)],
    ["REMOTE_ADDR", remoteAddr],
    ["REMOTE_HOST", remoteHost],
    ["SERVER_NAME", serverName],
    ["SERVER_PORT", String(serverPort)],
  ];
  const pairs = line.flatMap(([name, value]) => value === undefined ? [] : [name, value]);
  if (query === undefined) pairs.push("QUERY_STRING", "");
  const params = new Params([...pairs, ...attributes, ...headers]);
  return { params, secrets, lengths, transferEncoding, conformant };
}

function readRequestAttribute(name: string, value: string | undefined, attributes: string[]): void {
  if (value === undefined) return;
  const known = Object.hasOwn(knownAttributes, name) ? knownAttributes[name] : undefined;
  if (known !== undefined) attributes.push(known, value);
  else if (!isGuarded(name)) attributes.push(name, value);
}

/** The reverse: Forward Request as a web server sends it. @throws {RangeError} when it does not fit into a packet */
export function writeForwardRequest(params: Params, secret: string | undefined, packetSize: number): Buffer {
  const given = new Map<string, string>();
  for (let i = 0; i < params.pairs.length; i += 2) given.set(params.pairs[i], params.pairs[i + 1]);
  const take = (name: string) => {
    const value = given.get(name);
    given.delete(name);
    return value;
  };
  const method = take("REQUEST_METHOD") || "GET";
  const code = methods.indexOf(method) + 1 || STORED_METHOD;
  const target = take("REQUEST_URI") ?? "/";
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const queryString = query < 0 ? undefined : target.slice(query + 1);
  take("QUERY_STRING");
  // It shows the server that bodies follow the protocol.
  given.set("REMOTE_PORT", given.get("REMOTE_PORT") ?? "");
  const addresses = [take("REMOTE_ADDR"), take("REMOTE_HOST"), take("SERVER_NAME")];
  const prefix = [take("SERVER_PROTOCOL") ?? "HTTP/1.1", path, ...addresses];
  const port = Number(take("SERVER_PORT")) || 0;
  const secure = /^(on|1|true)$/i.test(take("HTTPS") ?? "");

  const headers: [name: string, value: string][] = [];
  const attributes: [code: number, ...text: string[]][] = [];
  if (code === STORED_METHOD) attributes.push([Attribute.storedMethod, method]);
  if (queryString !== undefined) attributes.push([Attribute.queryString, queryString]);
  if (secret !== undefined) attributes.push([Attribute.secret, secret]);
  for (const [name, value] of given) {
    if (name === "CONTENT_TYPE" || name === "CONTENT_LENGTH") {
      if (value) headers.push([name.toLowerCase().replace("_", "-"), value]);
    } else if (name.startsWith("HTTP_")) {
      headers.push([name.slice(5).toLowerCase().replaceAll("_", "-"), value]);
    } else {
      const own = Object.entries(attributeParams).find(([, param]) => param === name);
      const known = Object.entries(knownAttributes).find(([, param]) => param === name);
      if (own) attributes.push([Number(own[0]), value]);
      else if (known) attributes.push([Attribute.requestAttribute, known[0], value]);
      else if (!isGuarded(name)) attributes.push([Attribute.requestAttribute, name, value]);
    }
  }

  const optional = (text: string | undefined) => text === undefined ? 2 : stringLength(text);
  let length = 2 + 2 + 1 + 2 + 1;
  for (const text of prefix) length += optional(text);
  for (const [name, value] of headers) length += (requestHeaders.includes(name) ? 2 : stringLength(name)) + stringLength(value);
  for (const [, ...text] of attributes) length += 1 + text.reduce((sum, part) => sum + stringLength(part), 0);
  if (length + 4 > packetSize) {
    throw new RangeError(`The AJP request has ${length + 4} bytes, at most ${packetSize} fit into a packet`);
  }

  const packet = new PacketWriter(REQUEST_MAGIC, length).byte(PacketType.forwardRequest).byte(code);
  for (const text of prefix) text === undefined ? packet.nullString() : packet.string(text);
  packet.integer(port).byte(secure ? 1 : 0).integer(headers.length);
  for (const [name, value] of headers) {
    const coded = requestHeaders.indexOf(name);
    if (coded >= 0) packet.integer(CODED_HEADER + coded + 1);
    else packet.string(name);
    packet.string(value);
  }
  for (const [attribute, ...text] of attributes) {
    packet.byte(attribute);
    for (const part of text) packet.string(part);
  }
  return packet.byte(Attribute.end).packet;
}
