/**
 * The visitor and the URL that was typed, as reported by proxies: X-Forwarded-For and similar headers, and Forwarded
 * (RFC 7239). A visitor who connects directly can write anything there, so only trusted proxies count.
 *
 * @module
 */
import { BlockList, isIP } from "node:net";

/** Names of networks: RFC 1122, 3.2.1.3; RFC 1918; RFC 4193; RFC 3927; RFC 4291. */
const networks: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1/128"],
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"],
};

/** The trusted proxies. */
export class Trust {
  readonly #list = new BlockList();
  #all = false;

  /**
   * @param trusted addresses, networks such as `10.0.0.0/8`, `loopback`, `private` and `all`
   * @throws {TypeError} that names the first invalid one
   */
  constructor(trusted: readonly string[] = []) {
    for (const word of trusted) {
      if (word === "all") this.#all = true;
      else for (const network of Object.hasOwn(networks, word) ? networks[word] : [word]) this.#add(network);
    }
  }

  #add(network: string): void {
    const [, address, bits] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(network) ?? [];
    const family = isIP(address ?? "");
    const longest = family === 4 ? 32 : 128;
    if (family === 0 || Number(bits ?? 0) > longest) throw new TypeError(`"${network}" is neither an address nor a network`);
    this.#list.addSubnet(address, Number(bits ?? longest), family === 4 ? "ipv4" : "ipv6");
  }

  /** Whether a peer is trusted. Without an address it came over a Unix socket, which its permissions protect. */
  has(address: string | undefined): boolean {
    return this.#all || address === undefined || this.#list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
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
}

/** Gives a request header, repeated ones joined by commas. */
export type HeaderLookup = (name: string) => string | undefined;

/** What trusted proxies report about the visitor. */
export function readForwarded(header: HeaderLookup, trust: Trust): Visit {
  const [addresses, protos, hosts, ports] = ["FOR", "PROTO", "HOST", "PORT"].map((name) => header(`HTTP_X_FORWARDED_${name}`));
  if ([addresses, protos, hosts, ports].every((value) => value === undefined)) {
    return fromElements(parseForwarded(header("HTTP_FORWARDED") ?? ""), trust);
  }
  const { hops, ...visit } = walk(list(addresses), trust);
  const said = (values: string | undefined) => {
    const all = list(values);
    return all[all.length - hops] ?? all[0] ?? "";
  };
  return { ...visit, scheme: readScheme(said(protos)), host: readHost(said(hosts)), hostPort: readPort(said(ports)) };
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
