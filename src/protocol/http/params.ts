/**
 * The CGI variables of an HTTP request (RFC 3875, section 4.1), as a web server makes them.
 *
 * @module
 */
import { decodePercent, fieldParam, Params } from "../params.ts";
import { ProtocolError } from "../protocol.ts";
import {
  addPrefix,
  isForwarded,
  joinedHeader,
  plainAddress,
  readForwarded,
  splitPort,
  type Trust,
  type Visit,
  visitedHost,
} from "./forwarded.ts";
import { quoted } from "./line.ts";

/** The two addresses of a TCP connection. */
export interface Addresses {
  remoteAddress: string;
  remotePort: number;
  localAddress: string;
  localPort: number;
}

/** The other end of a connection. It is the same for all requests, so it is looked up once. */
export interface Peer {
  /** `undefined` for a Unix socket. */
  address?: string;
  port?: string;
  localAddress?: string;
  localPort?: string;
  /** The proxies that are trusted, if the peer is one of them. */
  trust?: Trust;
  /** Whether it is known to speak TLS. */
  isTls?: boolean;
}

/** @param trust proxies that are trusted to report the visitor's address; without it none are */
export function peerOf(addresses: Addresses | undefined, trust?: Trust): Peer {
  const address = addresses && plainAddress(addresses.remoteAddress);
  return {
    address,
    port: addresses && String(addresses.remotePort),
    localAddress: addresses && plainAddress(addresses.localAddress),
    localPort: addresses && String(addresses.localPort),
    trust: trust?.has(address) ? trust : undefined,
  };
}

/** What is known of a request in terms of HTTP. */
export interface HttpRequest {
  method: string;
  /** The request target as it came. */
  target: string;
  /** Such as `1.1`. */
  version: string;
  /** Names and values in turn, byte strings as they came. */
  headers: readonly string[];
  /** `undefined` for a Unix socket. */
  addresses: Addresses | undefined;
}

/**
 * The params of a request whose head others have read.
 *
 * @param software for SERVER_SOFTWARE
 * @param trust as for {@linkcode peerOf}
 * @throws {ProtocolError} for an invalid name of a field
 */
export function httpParams(request: HttpRequest, software: string, trust?: Trust): Params {
  const { method, target, version, headers, addresses } = request;
  const fields: string[] = [];
  let host: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const param = fieldParam(headers[i]);
    if (param === undefined) throw new ProtocolError(`The field name ${quoted(headers[i])}`);
    if (param === "HTTP_HOST") host = headers[i + 1];
    else if (param) fields.push(param, headers[i + 1]);
  }
  return requestParams({ method, target, version: `HTTP/${version}`, host, fields, peer: peerOf(addresses, trust) }, software);
}

/** What the server has read of a request. */
export interface ReadRequest {
  method: string;
  target: string;
  /** Such as `HTTP/1.1`. */
  version: string;
  host?: string;
  /** Params of the other fields and their values in turn, see {@linkcode fieldParam}. */
  fields: readonly string[];
  peer: Peer;
}

/** RFC 9112, 3.2.2: scheme and authority of a target in absolute form. */
export const absoluteForm = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i;

/**
 * The params of a request.
 *
 * @param software for SERVER_SOFTWARE
 */
export function requestParams({ method, target, version, host: sent = "", fields, peer }: ReadRequest, software: string): Params {
  const pairs = ["GATEWAY_INTERFACE", "CGI/1.1", "SERVER_SOFTWARE", software, "SERVER_PROTOCOL", version];
  let origin = target;
  if (!target.startsWith("/")) {
    // RFC 9112, 3.2.2: in absolute form the target names the host, and Host is ignored.
    const absolute = absoluteForm.exec(target);
    if (absolute) {
      origin = target.slice(absolute[0].length);
      sent = absolute[1];
    }
  }
  const query = origin.indexOf("?");
  const path = (query < 0 ? origin : origin.slice(0, query)) || "/";
  const pathInfo = path.includes("%") ? decodePercent(path) : path;
  pairs.push("REQUEST_METHOD", method, "REQUEST_URI", target, "SCRIPT_NAME", "", "PATH_INFO", pathInfo);
  pairs.push("QUERY_STRING", query < 0 ? "" : origin.slice(query + 1));
  const visit: Visit = peer.trust && isForwarded(fields)
    ? readForwarded((name) => joinedHeader(fields, name), peer.trust, peer.address)
    : {};
  const scheme = visit.scheme ?? (peer.isTls ? "https" : "http");
  if (scheme === "https") pairs.push("HTTPS", "on");
  pairs.push("REQUEST_SCHEME", scheme);
  const host = visitedHost(visit, sent);
  const [name, port] = splitPort(host);
  const usualPort = scheme === "https" ? "443" : "80";
  pairs.push("SERVER_NAME", name || "localhost");
  pairs.push("SERVER_PORT", visit.hostPort ?? (port || (host ? usualPort : peer.localPort ?? usualPort)));
  if (peer.localAddress !== undefined) pairs.push("SERVER_ADDR", peer.localAddress);
  const address = visit.address ?? peer.address;
  if (address !== undefined) pairs.push("REMOTE_ADDR", address);
  const remotePort = visit.address === undefined ? peer.port : visit.port;
  if (remotePort !== undefined) pairs.push("REMOTE_PORT", remotePort);
  for (let i = 0; i < fields.length; i++) pairs.push(fields[i]);
  if (host) pairs.push("HTTP_HOST", host);
  const params = new Params(pairs);
  if (visit.prefix !== undefined) addPrefix(params, visit.prefix);
  return params;
}
