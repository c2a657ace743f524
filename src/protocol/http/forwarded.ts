/**
 * The visitor and the URL that was requested, as reported by proxies: X-Forwarded-For and similar headers, and Forwarded
 * (RFC 7239). A visitor who connects directly can write anything there, so only trusted proxies count.
 *
 * @module
 */
import type { BlockList } from "node:net";
import { isIP, newBlockList } from "../ip.ts";
import { isBelow, joinRepeated, type Params } from "../params.ts";
import { cloudflareNetworks } from "./cloudflare.ts";

/** Names for networks: RFC 1122, 3.2.1.3; RFC 1918; RFC 4193; RFC 3927; RFC 4291. */
const networks: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1/128"],
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"],
  cloudflare: cloudflareNetworks,
};

/**
 * Headers of a trusted proxy besides X-Forwarded-For and X-Forwarded-Proto: X-Forwarded-Host, -Port and -Prefix, and
 * Forwarded. Many proxies pass them on as the visitor sent them.
 */
export type TrustedHeader = "host" | "port" | "prefix" | "forwarded";

export const trustedHeaders: readonly TrustedHeader[] = ["host", "port", "prefix", "forwarded"];

/** The trusted proxies. */
export class Trust {
  #list: BlockList | undefined;
  #all = false;
  readonly #cloudflare: Trust | undefined;
  readonly #headers: readonly TrustedHeader[];
  /** Whether any address is trusted. */
  readonly any: boolean;

  /**
   * @param words addresses, networks such as `10.0.0.0/8`, `loopback`, `private`, `cloudflare` and `all`
   * @param headers headers that are used besides X-Forwarded-For and X-Forwarded-Proto
   * @throws {TypeError} that names the first that is invalid
   */
  constructor(words: readonly string[] = [], headers: readonly TrustedHeader[] = []) {
    for (const word of words) {
      if (word === "all") this.#all = true;
      else for (const network of Object.hasOwn(networks, word) ? networks[word] : [word]) this.#add(network);
    }
    const unknown = headers.find((header) => !trustedHeaders.includes(header));
    if (unknown !== undefined) throw new TypeError(`"${unknown}" is not one of ${trustedHeaders.join(", ")}`);
    this.#headers = headers;
    this.any = words.length > 0;
    if (words.includes("cloudflare")) this.#cloudflare = new Trust(cloudflareNetworks);
  }

  #add(network: string): void {
    const [, address, bits] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(network) ?? [];
    const family = isIP(address ?? "");
    const longest = family === 4 ? 32 : 128;
    if (family === 0 || Number(bits ?? 0) > longest) throw new TypeError(`"${network}" is neither an address nor a network`);
    this.#list ??= newBlockList();
    this.#list.addSubnet(address, Number(bits ?? longest), family === 4 ? "ipv4" : "ipv6");
  }

  /** Whether a peer is trusted. Without an address it came over a Unix socket, whose permissions protect it. */
  has(address: string | undefined): boolean {
    if (this.#all || address === undefined) return true;
    const family = isIP(address);
    return family !== 0 && this.#list?.check(address, family === 6 ? "ipv6" : "ipv4") === true;
  }

  /** Whether a peer is one of Cloudflare's, which have the visitor in CF-Connecting-IP. */
  isCloudflare(address: string | undefined): boolean {
    return address !== undefined && this.#cloudflare?.has(address) === true;
  }

  /** Whether a header is used. */
  uses(header: TrustedHeader): boolean {
    return this.#headers.includes(header);
  }
}

/** An address in its plain form: IPv4 not inside IPv6 (RFC 4291, 2.5.5.2), and without a zone. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
}

/** What trusted proxies say; `undefined` where they do not. */
export interface Visit {
  address?: string;
  /** The visitor's port, which few proxies give. */
  port?: string;
  scheme?: "http" | "https";
  /** Host of the URL, perhaps with a port. */
  host?: string;
  /** Port of the URL. */
  hostPort?: string;
  /** Path that a proxy has cut off, without a slash at the end. */
  prefix?: string;
}

/** Gives a request header, repeated ones joined by commas. */
export type HeaderLookup = (name: string) => string | undefined;

/**
 * What trusted proxies report about the visitor.
 *
 * @param peer the address of that peer, `undefined` for a Unix socket
 */
export function readForwarded(header: HeaderLookup, trust: Trust, peer: string | undefined): Visit {
  const given = (name: string, used: boolean) => used ? header(`HTTP_X_FORWARDED_${name}`) : undefined;
  const addresses = given("FOR", true);
  const protos = given("PROTO", true);
  const hosts = given("HOST", trust.uses("host"));
  const ports = given("PORT", trust.uses("port"));
  const prefix = readPrefix(list(given("PREFIX", trust.uses("prefix")))[0] ?? "");
  const connecting = trust.isCloudflare(peer) ? readNode(header("HTTP_CF_CONNECTING_IP")?.trim() ?? "") : undefined;
  if ([addresses, protos, hosts, ports].every((value) => value === undefined)) {
    const forwarded = trust.uses("forwarded") ? header("HTTP_FORWARDED") ?? "" : "";
    const visit = fromElements(parseForwarded(forwarded), trust);
    return { ...visit, ...connecting && { address: connecting.address, port: undefined }, ...prefix !== undefined && { prefix } };
  }
  const { hops, ...visit } = walk(list(addresses), trust);
  const said = (values: string | undefined) => {
    const all = list(values);
    return all[all.length - hops] ?? all[0] ?? "";
  };
  return {
    ...connecting === undefined ? visit : { address: connecting.address },
    scheme: readScheme(said(protos)),
    host: readHost(said(hosts)),
    hostPort: readPort(said(ports)),
    prefix,
  };
}

/** Whether a proxy says something of the visitor. */
export function isForwarded(pairs: readonly string[]): boolean {
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i];
    if (name.startsWith("HTTP_X_FORWARDED_") || name === "HTTP_FORWARDED" || name === "HTTP_CF_CONNECTING_IP") return true;
  }
  return false;
}

/** All values of a header in one, `undefined` without any. */
export function joinedHeader(pairs: readonly string[], param: string): string | undefined {
  let value: string | undefined;
  for (let i = 0; i < pairs.length; i += 2) {
    if (pairs[i] !== param) continue;
    value = value === undefined ? pairs[i + 1] : joinRepeated(param, value, pairs[i + 1]);
  }
  return value;
}

/**
 * Takes over what a trusted proxy before the web server says: of a param that comes twice, the last counts. The web server
 * reports its peer as REMOTE_ADDR.
 */
export function applyForwarded(params: Params, trust: Trust): void {
  const { pairs } = params;
  const peer = plainAddress(params.get("REMOTE_ADDR") ?? "");
  if (!trust.has(peer) || !isForwarded(pairs)) return;
  const { address, port, scheme, host, hostPort, prefix } = readForwarded((name) => joinedHeader(pairs, name), trust, peer);
  if (address !== undefined) pairs.push("REMOTE_ADDR", address, "REMOTE_PORT", port ?? "");
  const visited = visitedHost({ host, hostPort }, params.get("HTTP_HOST") ?? "");
  if (scheme !== undefined) pairs.push("HTTPS", scheme === "https" ? "on" : "off", "REQUEST_SCHEME", scheme);
  if (host !== undefined || hostPort !== undefined) pairs.push("HTTP_HOST", visited, "SERVER_NAME", splitPort(visited)[0]);
  if (scheme !== undefined || host !== undefined || hostPort !== undefined) {
    const isSecure = scheme === "https" || scheme === undefined && /^(?:on|1|true)$/i.test(params.get("HTTPS") ?? "");
    pairs.push("SERVER_PORT", hostPort ?? (splitPort(visited)[1] || (isSecure ? "443" : "80")));
  }
  if (prefix !== undefined) addPrefix(params, prefix);
}

/** Gives a path back what a proxy has cut off. */
export function addPrefix(params: Params, prefix: string): void {
  const { pairs } = params;
  const whole = (path: string) => isBelow(path, prefix) ? path : prefix + path;
  const target = params.get("REQUEST_URI");
  if (target?.startsWith("/")) pairs.push("REQUEST_URI", whole(target));
  const document = params.get("DOCUMENT_URI");
  if (document !== undefined) pairs.push("DOCUMENT_URI", whole(document));
  const scriptName = params.get("SCRIPT_NAME") ?? "";
  const pathInfo = params.get("PATH_INFO") ?? "";
  pairs.push("SCRIPT_NAME", whole(scriptName));
  // The proxy has named the path and left it where it was.
  if (scriptName === "" && isBelow(pathInfo, prefix)) pairs.push("PATH_INFO", pathInfo.slice(prefix.length));
}

/** Name and port of a host, the port without its colon. */
export function splitPort(host: string): [name: string, port: string] {
  let at = host.length - 1;
  while (at >= 0 && host.charCodeAt(at) >= 0x30 && host.charCodeAt(at) <= 0x39) at--;
  return host[at] === ":" ? [host.slice(0, at), host.slice(at + 1)] : [host, ""];
}

/**
 * The host that the visitor requested. Many proxies give its port alone, and some give 80 or 443 for their own, whatever
 * the visitor's is.
 */
export function visitedHost({ host, hostPort }: Visit, sent: string): string {
  const visited = host ?? sent;
  const odd = hostPort !== undefined && hostPort !== "80" && hostPort !== "443";
  return odd && visited && !/:\d*$/.test(visited) ? `${visited}:${hostPort}` : visited;
}

function list(values: string | undefined): string[] {
  return values?.split(",").map((value) => value.trim()) ?? [];
}

function fromElements(elements: readonly Record<string, string>[], trust: Trust): Visit {
  const { hops, ...visit } = walk(elements.map((element) => element.for ?? ""), trust);
  const { proto = "", host = "" } = elements[elements.length - hops] ?? {};
  return { ...visit, scheme: readScheme(proto), host: readHost(host) };
}

/**
 * Goes from the nearest proxy towards the visitor, who is the first that is not trusted. Anything that is not an address
 * hides one: then the last known address stands for the visitor.
 */
function walk(nodes: readonly string[], trust: Trust): { address?: string; port?: string; hops: number } {
  let found: { address?: string; port?: string } = {};
  for (let hops = 1; hops <= nodes.length; hops++) {
    const node = readNode(nodes[nodes.length - hops]);
    found = node ?? found;
    if (node === undefined || !trust.has(node.address) || hops === nodes.length) return { ...found, hops };
  }
  return { hops: 1 };
}

/** RFC 7239, 6: an address, perhaps with a port; `undefined` for `unknown`, an obfuscated or an invalid one. */
function readNode(text: string): { address: string; port?: string } | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]%]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = plainAddress(bracketed ?? plain ?? (text.includes("%") ? "" : text));
  return isIP(address) ? { address, port: readPort(port ?? "") } : undefined;
}

function readScheme(text: string): "http" | "https" | undefined {
  return /^https?$/i.test(text) ? text.toLowerCase() as "http" | "https" : undefined;
}

function readHost(text: string): string | undefined {
  return /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.test(text) && URL.canParse(`http://${text}/`) ? text : undefined;
}

/** A path whose segments are plain, `undefined` for none. */
function readPrefix(text: string): string | undefined {
  const path = text.replace(/\/+$/, "");
  return /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+$/.test(path) ? path : undefined;
}

function readPort(text: string): string | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65536 ? String(Number(text)) : undefined;
}

/** RFC 7239, 4: pairs of a token and a value, joined by semicolons to an element for each proxy. */
const pair = /[ \t]*([!#$%&'*+\-.^_`|~0-9a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^";,\s]*))[ \t]*(?:([;,])|$)/iy;

/** The elements; one that cannot be read has no pairs. Empty when it is unclear where an element ends. */
export function parseForwarded(text: string): Record<string, string>[] {
  const elements: Record<string, string>[] = [];
  for (const part of splitElements(text) ?? []) {
    const element: Record<string, string> = Object.create(null);
    elements.push(element);
    pair.lastIndex = 0;
    while (pair.lastIndex < part.length) {
      const match = pair.exec(part);
      if (match === null) {
        for (const name of Object.keys(element)) delete element[name];
        break;
      }
      element[match[1].toLowerCase()] = match[2]?.replace(/\\(.)/g, "$1") ?? match[3];
    }
  }
  return elements;
}

/** Splits at the commas that are not in quotes, `undefined` when a quote does not end. */
function splitElements(text: string): string[] | undefined {
  if (text.trim() === "") return undefined;
  const elements: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted && char === "\\") i++;
    else if (char === '"') quoted = !quoted;
    else if (char === "," && !quoted) {
      elements.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return quoted ? undefined : [...elements, text.slice(start)];
}
