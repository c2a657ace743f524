/**
 * The URL that the visitor typed, from the params of any web server.
 *
 * @module
 */
import { decodePercent, decodeText, type Params } from "../protocol/params.ts";

/** Parts of what is found out about a request's URL. */
export type UrlPart = "scheme" | "host" | "path" | "mount";

/**
 * Told of each decision, for people who want to know why: what the part is, the params that it came from, and the
 * reason. Without it a request costs nothing more.
 */
export type Tell = (part: UrlPart, value: string, from: readonly string[], reason: string) => void;

/**
 * The URL as it came, not yet normalized as `new URL` does, or `undefined` when the host is none. A pure function of
 * the params. Where it gives a string, `new URL` takes it.
 *
 * @param scriptName byte string of a mount that is known; a path that is not below it has lost it on the way here
 */
export function requestUrl(params: Params, scriptName?: string, tell?: Tell): string | undefined {
  const scheme = requestScheme(params, tell);
  const sent = params.get("REQUEST_URI");
  const target = sent || rebuiltTarget(params);
  // RFC 9112, 3.2.2: in absolute form the request target names the host, and Host is ignored. Apache and h2o pass it on.
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(target);
  const host = absolute ? absolute[1] : requestHost(params, scheme, tell);
  if (absolute) tell?.("host", host, ["REQUEST_URI"], "the request target is a whole URL, whose host counts");
  let path = absolute ? absolute[2] : target;
  if (!path.startsWith("/")) path = `/${path}`;
  if (sent) tell?.("path", path, ["REQUEST_URI"], "as the visitor typed it");
  else if (tell) {
    const names = typedPath(params)
      ? ["SCRIPT_URL", "REDIRECT_URL", "QUERY_STRING"]
      : ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"];
    tell("path", path, names, "there is no REQUEST_URI: put together and encoded again");
  }
  if (!isHost(host)) return undefined;
  if (scriptName && pathBelow(decodePercent(path.replace(/\?.*$/s, "")), scriptName) === undefined) {
    path = encodePath(scriptName) + path;
    tell?.("path", path, [], "the mount that was given was lost on the way here");
  }
  // What a request target cannot hold is data that a lax web server let through: a bare "#", and bytes that the URL
  // parser would take for Latin-1.
  return `${scheme}://${host}${path.replace(/[#\x80-\xff]/g, percentEncode)}`;
}

/**
 * HTTPS is "on" from nearly all servers (in any case of letters), "1" or "true" from some, "off" from
 * Cherokee on plain HTTP; HAProxy sends HTTPS alone, others REQUEST_SCHEME too.
 */
function requestScheme(params: Params, tell?: Tell): "http" | "https" {
  const https = params.get("HTTPS");
  if (https) {
    const scheme = /^(on|1|true)$/i.test(https) ? "https" : "http";
    tell?.("scheme", scheme, ["HTTPS"], `it is "${https}"`);
    return scheme;
  }
  const named = params.get("REQUEST_SCHEME");
  const scheme = named?.toLowerCase() === "https" ? "https" : "http";
  if (named) tell?.("scheme", scheme, ["REQUEST_SCHEME"], "there is no HTTPS");
  else tell?.("scheme", scheme, [], "there is neither HTTPS nor REQUEST_SCHEME");
  return scheme;
}

function requestHost(params: Params, scheme: "http" | "https", tell?: Tell): string {
  const host = params.get("HTTP_HOST");
  const port = params.get("SERVER_PORT") ?? "";
  const portSuffix = /^\d+$/.test(port) && port !== (scheme === "https" ? "443" : "80") ? `:${port}` : "";
  if (host) {
    const lost = portSuffix !== "" && lostPort(params, host);
    if (lost) tell?.("host", host + portSuffix, ["HTTP_HOST", "SERVER_PORT"], "nginx's $host has lost the port");
    else tell?.("host", host, ["HTTP_HOST"], "the Host that the visitor's browser sent");
    return lost ? host + portSuffix : host;
  }
  // HTTP/1.0 without Host. HAProxy's SERVER_NAME may have the port already; an IPv6 address may lack its brackets.
  const name = params.get("SERVER_NAME") || "localhost";
  if (/^[^:]*:\d+$/.test(name)) {
    tell?.("host", name, ["SERVER_NAME"], "there is no HTTP_HOST, and it has the port already");
    return name;
  }
  const named = (name.includes(":") && !name.startsWith("[") ? `[${name}]` : name) + portSuffix;
  tell?.("host", named, ["SERVER_NAME", "SERVER_PORT"], "there is no HTTP_HOST");
  return named;
}

/**
 * Debian's fastcgi_params for nginx set HTTP_HOST to `$host`, which has lost the port of the Host header. Behind
 * another proxy the port of nginx is not the visitor's, and where a configuration gives HTTP_HOST again (as ours
 * does, with `$http_host`) there is nothing to mend.
 */
function lostPort(params: Params, host: string): boolean {
  // Its scgi_params and uwsgi_params have neither of the two, which all other senders of CGI variables have.
  const nginx = params.get("SERVER_SOFTWARE")?.startsWith("nginx/") ?? params.get("GATEWAY_INTERFACE") === undefined;
  if (/:\d*$/.test(host) || !nginx) return false;
  const proxied = ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_VIA"];
  return !proxied.some((name) => params.get(name)) && params.pairs.indexOf("HTTP_HOST") === params.pairs.lastIndexOf("HTTP_HOST");
}

/** Names and IPv4 addresses that need no closer look. */
const plainHost = /^(?!.*xn--)(?:(?:[a-z0-9_-]+\.)*[a-z][a-z0-9-]*|127\.0\.0\.1)(?::\d{1,4}|:[1-5]\d{4})?$/i;

/** Whether a host, perhaps with a port, can stand in a URL without changing the rest of it. */
function isHost(host: string): boolean {
  return plainHost.test(host) || (!/[/?#@\\\s]/.test(host) && URL.canParse(`http://${host}/`));
}

/** For a server that sends no REQUEST_URI: RFC 3875 has the path decoded, so it is encoded again. */
function rebuiltTarget(params: Params): string {
  const path = typedPath(params) ?? (params.get("SCRIPT_NAME") ?? "") + (params.get("PATH_INFO") ?? "");
  const query = params.get("QUERY_STRING");
  const encoded = encodePath(path);
  return query ? `${encoded}?${query}` : encoded;
}

/**
 * Apache's word for the decoded path before rewrites: mod_rewrite's SCRIPT_URL, or the REDIRECT_URL of the first internal
 * redirect, which has the most prefixes.
 */
function typedPath(params: Params): string | undefined {
  let typed: string | undefined;
  for (let name = "REDIRECT_URL", url; (url = params.get(name)); name = `REDIRECT_${name}`) typed = url;
  return params.get("SCRIPT_URL") || typed;
}

function encodePath(path: string): string {
  return path.replace(/[^\w\-.~!$&'()*+,;=:@/]/g, percentEncode);
}

function percentEncode(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`;
}

/** Where the application stands in the URL's path, both decoded. */
export interface Mount {
  /** The part of the path that leads to the application, without a slash at its end: `""` at the root of the host. */
  scriptName: string;
  /** The rest of the path. */
  pathInfo: string;
}

/** Whether a text can be where an application is mounted: `""`, or segments with a slash before each. */
export function isScriptName(text: string): boolean {
  return text === "" || /^(?:\/[^/?#\\]+)+$/.test(text) && !oddSegment.test(text);
}

/**
 * Splits the path of the URL that the visitor typed. A pure function of the params.
 *
 * SCRIPT_NAME cannot be believed: behind rewrites it is the file that the rewrite led to (`/mysite.fcgi`), and with
 * mod_proxy_fcgi, HAProxy or a plain nginx `location /` it is the whole path. PATH_INFO, where there is one, is
 * always the end of the path, so the mount is what stands before it.
 *
 * @param forced byte string of a mount that is known, for which nothing of this counts
 */
export function requestMount(params: Params, forced?: string, tell?: Tell): Mount {
  const scriptName = params.get("SCRIPT_NAME") ?? "";
  const pathInfo = params.get("PATH_INFO");
  const path = visitorPath(params);
  if (forced !== undefined) {
    const whole = path ?? scriptName + (pathInfo ?? "");
    tell?.("mount", forced, [], "scriptname says so");
    return mount(forced, pathBelow(whole, forced) ?? whole);
  }
  if (path === undefined) {
    tell?.("mount", scriptName, ["SCRIPT_NAME", "PATH_INFO"], "there is no REQUEST_URI to compare them with");
    return mount(scriptName, pathInfo ?? "");
  }
  if (!pathInfo) {
    // After a rewrite that hands on no path, the mount is the folder of the file that it led to.
    const rewritten = params.get("REDIRECT_URL") || (programFile.test(scriptName) && withoutDots(path) !== scriptName);
    const folder = rewritten ? scriptName.replace(/\/[^/]*$/, "") : "";
    if (folder && path.startsWith(`${folder}/`)) {
      tell?.("mount", folder, ["SCRIPT_NAME", "REDIRECT_URL"], "a rewrite led to the program's file in this folder");
      return mount(folder, path.slice(folder.length));
    }
    // Present but empty, it says that the visitor asked for the mount itself; absent, it says nothing.
    const atMount = pathInfo === "" && path === scriptName && !oddSegment.test(scriptName);
    if (atMount) {
      tell?.("mount", path, ["SCRIPT_NAME", "PATH_INFO"], "PATH_INFO is empty and SCRIPT_NAME is the whole path");
      return mount(path, "");
    }
    tell?.("mount", "", ["PATH_INFO"], "without a PATH_INFO nothing says where the path is divided");
    return mount("", path);
  }
  for (const whole of [path, withoutDots(path)]) {
    // Apache with AllowEncodedSlashes NoDecode, or proxy-fcgi-pathinfo, leaves PATH_INFO encoded.
    for (const end of [pathInfo, decodePercent(pathInfo)]) {
      if (!whole.endsWith(end)) continue;
      const before = mount(whole.slice(0, whole.length - end.length), end);
      if (oddSegment.test(before.scriptName)) continue;
      tell?.("mount", before.scriptName, ["PATH_INFO"], "what stands before PATH_INFO in the path");
      return before;
    }
  }
  if (scriptName && path.startsWith(`${scriptName}/`)) {
    tell?.("mount", scriptName, ["SCRIPT_NAME"], "the path begins with it, and does not end with PATH_INFO");
    return mount(scriptName, path.slice(scriptName.length));
  }
  tell?.("mount", "", [], "the path neither ends with PATH_INFO nor begins with SCRIPT_NAME");
  return mount("", path);
}

/** What web servers are told to start, and no application has below its own paths. */
const programFile = /\/[^/]*\.f?cgi$/;

/** The decoded path of the URL, `undefined` when the web server tells no more than SCRIPT_NAME and PATH_INFO. */
function visitorPath(params: Params): string | undefined {
  const target = params.get("REQUEST_URI");
  if (!target) return typedPath(params);
  return decodePercent(target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").replace(/\?.*$/s, "")) || "/";
}

/** What follows a mount in a decoded path, `undefined` for a path that is not below it. */
function pathBelow(path: string, scriptName: string): string | undefined {
  for (const whole of [path, withoutDots(path)]) {
    if (whole === scriptName || whole.startsWith(`${scriptName}/`)) return whole.slice(scriptName.length);
  }
  return undefined;
}

/**
 * An empty segment, or one of dots alone. No mount has one: links are made with it, and a visitor's "//elsewhere/.."
 * would lead there.
 */
const oddSegment = /\/\.{0,2}(?:\/|$)/;

function mount(scriptName: string, pathInfo: string): Mount {
  return { scriptName: decodeText(scriptName.replace(/\/+$/, "")), pathInfo: decodeText(pathInfo) };
}

/** The path as servers give it in PATH_INFO: slashes merged, dot segments resolved. */
function withoutDots(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  return `/${segments.join("/")}${path.endsWith("/") && segments.length > 0 ? "/" : ""}`;
}
