/**
 * The CGI variables of an HTTP request (RFC 3875, section 4.1), as a web server makes them.
 *
 * @module
 */
import type { Addresses } from "../../runtime/socket.ts";
import { decodePercent, headerParam, joinRepeated, Params } from "../params.ts";
import { plainAddress, readForwarded, type Trust, type Visit } from "./forwarded.ts";

/** What an HTTP parser gives. */
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
 * The params of a request.
 *
 * @param software for SERVER_SOFTWARE
 * @param trust proxies that are believed what they say of the visitor; without it nobody is
 */
export function httpParams(
  { method, target, version, headers, addresses }: HttpRequest,
  software: string,
  trust?: Trust,
): Params {
  const pairs = ["GATEWAY_INTERFACE", "CGI/1.1", "SERVER_SOFTWARE", software, "SERVER_PROTOCOL", `HTTP/${version}`];
  // RFC 9112, 3.2.2: in absolute form the target names the host, and Host is ignored.
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target);
  const origin = absolute ? target.slice(absolute[0].length) : target;
  const query = origin.indexOf("?");
  const path = query < 0 ? origin : origin.slice(0, query);
  pairs.push("REQUEST_METHOD", method, "REQUEST_URI", target, "SCRIPT_NAME", "", "PATH_INFO", decodePercent(path || "/"));
  pairs.push("QUERY_STRING", query < 0 ? "" : origin.slice(query + 1));
  const peer = addresses && plainAddress(addresses.remoteAddress);
  const visit: Visit = trust?.has(peer) ? readForwarded((name) => joined(headers, name), trust) : {};
  const scheme = visit.scheme ?? "http";
  if (scheme === "https") pairs.push("HTTPS", "on");
  pairs.push("REQUEST_SCHEME", scheme);
  const host = visitedHost(visit, absolute?.[1] ?? joined(headers, "HTTP_HOST") ?? "");
  const [, name = "", port] = /^(.*?)(?::(\d*))?$/s.exec(host) ?? [];
  const usualPort = scheme === "https" ? "443" : "80";
  pairs.push("SERVER_NAME", name || "localhost");
  pairs.push("SERVER_PORT", visit.hostPort ?? (port || (host || !addresses ? usualPort : String(addresses.localPort))));
  if (addresses) pairs.push("SERVER_ADDR", plainAddress(addresses.localAddress));
  const address = visit.address ?? peer;
  if (address !== undefined) pairs.push("REMOTE_ADDR", address);
  const remotePort = visit.address === undefined && addresses ? String(addresses.remotePort) : visit.port;
  if (remotePort !== undefined) pairs.push("REMOTE_PORT", remotePort);
  for (let i = 0; i < headers.length; i += 2) {
    const param = headerParam(headers[i]);
    if (param !== undefined && param !== "HTTP_HOST") pairs.push(param, headers[i + 1]);
  }
  if (host) pairs.push("HTTP_HOST", host);
  return new Params(pairs);
}

/**
 * The host that the visitor typed. Many proxies give its port alone, and some give 80 or 443 for their own, whatever
 * the visitor's is.
 */
function visitedHost({ host, hostPort }: Visit, sent: string): string {
  const visited = host ?? sent;
  const odd = hostPort !== undefined && hostPort !== "80" && hostPort !== "443";
  return odd && visited && !/:\d*$/.test(visited) ? `${visited}:${hostPort}` : visited;
}

/** All values of a header in one, `undefined` without any. */
function joined(headers: readonly string[], param: string): string | undefined {
  let value: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    if (headerParam(headers[i]) !== param) continue;
    value = value === undefined ? headers[i + 1] : joinRepeated(param, value, headers[i + 1]);
  }
  return value;
}
