/**
 * Why a request has its URL: the same functions as for the request, which report their decisions.
 *
 * @module
 */
import { decodeText, type Params } from "../protocol/params.ts";
import type { TrustedHeader } from "../protocol/http/forwarded.ts";
import type { ProtocolName } from "../protocol/protocol.ts";
import { type Mount, requestMount, requestUrl, type Tell, type UrlOptions } from "./url.ts";

/** A part of what the application sees, and what it comes from. */
export interface Explained {
  part: "scheme" | "host" | "port" | "mount" | "path" | "visitor";
  value: string;
  /** Names of params. */
  from: readonly string[];
  reason: string;
}

/** A param that was ignored. */
export interface Ignored {
  name: string;
  value: string;
  reason: string;
}

/** Where a request's URL and visitor come from. */
export interface Explanation {
  /** The URL, `undefined` when the host or the path is invalid and the visitor gets a 400. */
  url: string | undefined;
  mount: Mount;
  parts: Explained[];
  ignored: Ignored[];
}

/** What is known besides the params. */
export interface ExplainOptions {
  protocol?: ProtocolName;
  /** Whether the proxy that has connected is trusted: then what it says has become params. */
  trusted?: boolean;
  /** Which headers of it are used besides X-Forwarded-For and X-Forwarded-Proto; default is none. */
  uses?: (header: TrustedHeader) => boolean;
  /** The server's options. */
  urls?: UrlOptions;
}

/** Explains the URL of a request. */
export function explainUrl(
  params: Params,
  { protocol, trusted = false, uses = () => false, urls }: ExplainOptions = {},
): Explanation {
  const told = new Map<string, Explained>();
  const tell: Tell = (part, value, from, reason) => {
    told.set(part, { part, value: decodeText(value), from: from.filter((name) => params.get(name) !== undefined), reason });
  };
  const url = requestUrl(params, urls, tell);
  const mount = requestMount(params, urls, tell);
  const scheme = told.get("scheme")!;
  const host = told.get("host")!;
  const [, name, port] = /^(.*?)(?::(\d*))?$/s.exec(host.value)!;
  const parts: Explained[] = [
    scheme,
    { ...host, value: name },
    port
      ? { part: "port", value: port, from: host.from, reason: "it is there" }
      : { part: "port", value: scheme.value === "https" ? "443" : "80", from: [], reason: `the usual one of ${scheme.value}` },
    { ...told.get("mount")!, value: mount.scriptName || "the root of the host" },
    told.get("path")!,
    visitor(params, protocol, trusted, uses),
  ];
  const used = new Set(parts.flatMap(({ from }) => from));
  return { url, mount, parts, ignored: ignoredParams(params, used, { protocol, trusted, uses, urls }) };
}

function visitor(params: Params, protocol: ProtocolName | undefined, trusted: boolean, uses: Uses): Explained {
  const address = params.get("REMOTE_ADDR");
  const port = params.get("REMOTE_PORT");
  if (!address) return { part: "visitor", value: "unknown", from: [], reason: "there is no REMOTE_ADDR" };
  const names = ["HTTP_X_FORWARDED_FOR", ...uses("forwarded") ? ["HTTP_FORWARDED"] : []];
  const forwarded = trusted ? names.find((name) => params.get(name)) : undefined;
  const reason = forwarded
    ? `what the trusted proxy says in ${headerName(forwarded)}`
    : protocol === "http"
    ? "the address that connected"
    : "what the web server says";
  return {
    part: "visitor",
    value: port ? `${address} port ${port}` : address,
    from: port ? ["REMOTE_ADDR", "REMOTE_PORT"] : ["REMOTE_ADDR"],
    reason,
  };
}

function headerName(param: string): string {
  return param.slice("HTTP_".length).toLowerCase().replaceAll("_", "-").replace(/(?:^|-)./g, (start) => start.toUpperCase());
}

/** Why a param that seems to concern the URL or the visitor has no effect. */
const reasons: Record<string, string> = {
  REQUEST_SCHEME: "HTTPS says it already",
  HTTP_HOST: "the request target is a whole URL, whose host counts (RFC 9112, 3.2.2)",
  SERVER_NAME: "the name in the web server's configuration; the host that the visitor typed counts",
  SERVER_PORT: "the web server's own port; the host that the visitor typed has the port that counts",
  SCRIPT_NAME: "behind rewrites it is the program's file, and with some modules the whole path",
  PATH_INFO: "it is not the end of the path that the visitor typed",
  QUERY_STRING: "REQUEST_URI has it",
  DOCUMENT_URI: "decoded, or what a rewrite led to; REQUEST_URI is what the visitor typed",
  SCRIPT_URL: "decoded; REQUEST_URI is what the visitor typed",
  SCRIPT_URI: "it has the name in the web server's configuration",
  REDIRECT_URL: "decoded; REQUEST_URI is what the visitor typed",
  PATH_TRANSLATED: "a path of files",
  HTTP_PROXY: "a visitor can send it; the application never sees it (httpoxy)",
};
const forwardedName =
  /^HTTP_(?:X_FORWARDED_\w+|FORWARDED|X_REAL_IP|X_CLIENT_IP|CLIENT_IP|X_ORIGINAL_URL|X_REWRITE_URL|X_SCRIPT_NAME)$/;
/** Headers of proxies that are read where the proxy is trusted, and the words for those that have to be named. */
const readable: Readonly<Record<string, TrustedHeader | undefined>> = {
  HTTP_X_FORWARDED_FOR: undefined,
  HTTP_X_FORWARDED_PROTO: undefined,
  HTTP_X_FORWARDED_HOST: "host",
  HTTP_X_FORWARDED_PORT: "port",
  HTTP_X_FORWARDED_PREFIX: "prefix",
  HTTP_FORWARDED: "forwarded",
};
type Uses = NonNullable<ExplainOptions["uses"]>;

function ignoredParams(
  params: Params,
  used: ReadonlySet<string>,
  { protocol, trusted, uses, urls }: ExplainOptions & { uses: Uses },
): Ignored[] {
  const { pairs } = params;
  const ignored: Ignored[] = [];
  const add = (i: number, reason: string) => ignored.push({ name: pairs[i], value: decodeText(pairs[i + 1]), reason });
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i];
    if (used.has(name)) {
      const last = pairs.findLastIndex((other, at) => at % 2 === 0 && other === name);
      if (last !== i) add(i, "it comes twice, and the last counts");
    } else if (name === "QUERY_STRING" && urls?.urlFrom === "visitor") {
      add(i, "urlfrom=visitor says that REQUEST_URI counts");
    } else if (forwardedName.test(name)) {
      const word = readable[name];
      if (!trusted && protocol !== "http") add(i, "a visitor can send it; what the web server itself says counts");
      else if (!Object.hasOwn(readable, name)) add(i, "a visitor can send it");
      else if (!trusted) add(i, "its sender is not in trust");
      else if (word !== undefined && !uses(word)) add(i, `a visitor can send it; trustheaders=${word} uses it all the same`);
      else if (name === "HTTP_FORWARDED" && pairs.some((other) => other.startsWith("HTTP_X_FORWARDED_"))) {
        add(i, "there are X-Forwarded headers, and a proxy that writes those passes this on as the visitor sent it");
      }
    } else if (Object.hasOwn(reasons, name) && pairs[i + 1] !== "") {
      add(i, reasons[name]);
    } else if (name === "REQUEST_URI") {
      add(i, pairs[i + 1] === "" ? "it is empty" : "what the visitor typed, in info.visitorUrl; the web server went elsewhere");
    }
  }
  return ignored;
}
