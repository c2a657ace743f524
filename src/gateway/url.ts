/**
 * The URL of a request, from the params of any web server.
 *
 * A web server can answer a visitor by asking for another URL: in a subrequest (`auth_request`, SSI, `mirror`) or after
 * an internal redirect (`rewrite`, `error_page`). Most leave REQUEST_URI as the visitor typed it, and say where they went
 * in SCRIPT_NAME and PATH_INFO, or in nginx's DOCUMENT_URI. The URL is the one that they went to: otherwise an application
 * that checks at `/auth` whether a visitor may see `/private/a` would be asked for `/private/a`. It is as the visitor typed
 * it where that is the same, or where the web server went to the program as a file (`/mysite.fcgi`), to answer any URL.
 *
 * The visitor chooses REQUEST_URI, so both are compared as a whole: nothing is concluded from a common beginning or end
 * where a web server may have made a subrequest.
 *
 * @module
 */
import { decodePercent, decodeText, type Params } from "../protocol/params.ts";

/** Parts of a request's URL that are decided separately. */
export type UrlPart = "scheme" | "host" | "path" | "mount";

/**
 * Called with each decision, to explain a URL: what the part is, the params that it came from, and the
 * reason. Without it a request costs nothing more.
 */
export type Tell = (part: UrlPart, value: string, from: readonly string[], reason: string) => void;

/** What is known of the URL besides the params. Texts are byte strings. */
export interface UrlOptions {
  /** Where the application is mounted; a path that is not below it has lost it on the way. */
  readonly scriptName?: string;
  /** Takes the visitor's URL, or the web server's target, without comparing them. */
  readonly urlFrom?: UrlChoice;
  /** Paths that stand for the program where a web server leads all URLs to one file, such as `/index.php`. */
  readonly frontControllers?: readonly string[];
}

/** The URL that the visitor typed, or the one that the web server went to. */
export type UrlChoice = "visitor" | "target";

/**
 * The URL as it came, not yet normalized as `new URL` does, or `undefined` when the host is invalid, or web servers resolve
 * the dots of the path in different ways. A pure function of the params and the options. Where it gives a string, `new URL` takes it.
 */
export function requestUrl(params: Params, options: UrlOptions = {}, tell?: Tell): string | undefined {
  return (tell === undefined ? usualUrl(params, options) : undefined) ?? unusualUrl(params, options, tell);
}

/** The same for a request that {@linkcode usualUrl} leaves to a closer look. */
export function unusualUrl(params: Params, options: UrlOptions = {}, tell?: Tell): string | undefined {
  const scheme = requestScheme(params, tell);
  const sent = params.get("REQUEST_URI");
  // RFC 9112, 3.2.2: in absolute form the request target names the host, and Host is ignored. Apache and h2o pass it on.
  const given = sent && !sent.startsWith("/") ? absoluteForm.exec(sent)?.[1] : undefined;
  if (given !== undefined) tell?.("host", given, ["REQUEST_URI"], "the request target is a whole URL, whose host counts");
  const host = given ?? requestHost(params, scheme, tell);
  let path = chosenTarget(params, sent, options, tell);
  if (!path.startsWith("/")) path = path.replace(absoluteForm, "").replace(/^(?!\/)/, "/");
  const { scriptName, urlFrom } = options;
  if (urlFrom !== "visitor" && dotSegment.test(path)) {
    const resolved = withDotsResolved(path, params, options);
    // Caddy looks for a mount without the dots at the end: "/shop/.." is below "/shop/" for it.
    const mount = scriptName ?? (isCaddy(params) ? params.get("SCRIPT_NAME") : undefined);
    if (resolved === undefined || mount && leadsOut(path, resolved, mount)) return undefined;
    if (resolved !== path) {
      path = resolved;
      tell?.("path", path, sent ? ["REQUEST_URI"] : [], "as the visitor typed it, with its dot segments resolved");
    }
  }
  if (scriptName && pathBelow(pathOf(path), scriptName) === undefined) {
    path = encodePath(scriptName) + path;
    tell?.("path", path, [], "the mount that was given was lost on the way here");
  }
  if (!isHost(host)) return undefined;
  return `${scheme}://${host}${asTarget(path)}`;
}

/**
 * What a request target cannot hold is data that a lax web server let through: a bare "#", and bytes that the URL parser
 * would take for Latin-1. It would also drop tabs, line ends and a blank at the end, and take a backslash in the path for
 * a slash: `/private\a` is not below `/private/` for a web server that protects it, and must not become so.
 */
// deno-lint-ignore no-control-regex
const notInTarget = /[\x00-\x20#\x80-\xff]/g;

function asTarget(path: string): string {
  if (path.includes("\\")) path = path.replace(/^[^?]+/, (part) => part.replaceAll("\\", percentEncode));
  return path.replace(notInTarget, percentEncode);
}

/** The last host that needs no closer look: the same few come again and again. */
let lastUsualHost: string | undefined;

/**
 * The URL of nearly every request, where nothing has to be decoded, compared, added or normalized: in one pass over the
 * params, and the same as {@linkcode requestUrl} gives and `new URL` leaves. `undefined` if that is not enough.
 */
export function usualUrl({ pairs }: Params, { scriptName: mount, urlFrom }: UrlOptions = {}): string | undefined {
  if (mount !== undefined || urlFrom !== undefined) return undefined;
  let https = "";
  let scheme = "";
  let host = "";
  let port = "";
  let sent = "";
  let scriptName = "";
  let pathInfo = "";
  let query = "";
  let document = "";
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i];
    switch (name.length) {
      case 5:
        if (name === "HTTPS") https = pairs[i + 1];
        break;
      case 9:
        if (name === "HTTP_HOST") host = pairs[i + 1];
        else if (name === "PATH_INFO") pathInfo = pairs[i + 1];
        break;
      case 11:
        if (name === "REQUEST_URI") sent = pairs[i + 1];
        else if (name === "SCRIPT_NAME") scriptName = pairs[i + 1];
        else if (name === "SERVER_PORT") port = pairs[i + 1];
        break;
      case 12:
        if (name === "QUERY_STRING") query = pairs[i + 1];
        else if (name === "DOCUMENT_URI") document = pairs[i + 1];
        break;
      case 14:
        if (name === "REQUEST_SCHEME") scheme = pairs[i + 1];
        break;
    }
  }
  const secure = https === "on" || https === "" && scheme === "https";
  if (!secure && (https !== "" || scheme !== "" && scheme !== "http")) return undefined;
  // A different one may have been lost on the way.
  if (port !== "" && port !== (secure ? "443" : "80") && !host.endsWith(`:${port}`)) return undefined;
  const path = pathInfo === "" ? scriptName : scriptName + pathInfo;
  if (document !== "" && document !== path) return undefined;
  if (!sent.startsWith("/") || !isTarget(sent, path, query) || notUsual.test(sent)) return undefined;
  if (host !== lastUsualHost) {
    if (!usualHost.test(host)) return undefined;
    lastUsualHost = host;
  }
  return secure ? `https://${host}${sent}` : `http://${host}${sent}`;
}

/** What is escaped or has to be, and what may be a dot segment. */
// deno-lint-ignore no-control-regex
const notUsual = /[\x00-\x20"#%'<>\\^`{|}\x7f-\xff]|\/\./;
/** In small letters, and without a port that one of the schemes has by default. */
const usualHost = /^(?!.*xn--)(?:(?:[a-z0-9_-]+\.)*[a-z][a-z0-9-]*|127\.0\.0\.1)(?::(?!80$|443$)[1-9]\d{1,3}|:[1-5]\d{4})?$/;

const absoluteForm = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i;

/** Path and query of the URL, encoded, perhaps in absolute form: the visitor's, or where the web server went instead. */
function chosenTarget(params: Params, sent: string | undefined, options: UrlOptions, tell?: Tell): string {
  if (!sent) {
    const target = rebuiltTarget(params);
    if (tell) {
      const names = typedPath(params)
        ? ["SCRIPT_URL", "REDIRECT_URL", "QUERY_STRING"]
        : ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"];
      tell("path", target, names, "there is no REQUEST_URI: put together and encoded again");
    }
    return target;
  }
  const { scriptName, pathInfo, query, went } = wentTo(params);
  const { urlFrom } = options;
  if (urlFrom === undefined && isTarget(sent, went, query)) {
    // The usual case: nothing has to be decoded.
    tell?.("path", sent, ["REQUEST_URI"], asTyped);
    return sent;
  }
  let reason: string | undefined;
  if (urlFrom === "visitor") reason = "urlfrom=visitor says so";
  else if (went === "") reason = asTyped;
  else if (urlFrom === undefined) reason = visitorsReason(params, sent, scriptName, pathInfo, went, options);
  if (reason !== undefined) {
    const lost = reason === asTyped && hasLostQuery(params, went);
    const target = urlFrom === "visitor" ? sent : lost ? sent.replace(/\?.+$/s, "") : withQuery(sent, query);
    if (target === sent) tell?.("path", target, ["REQUEST_URI"], reason);
    else if (lost) tell?.("path", target, ["REQUEST_URI", "QUERY_STRING"], `${reason}, without the query that nginx has dropped`);
    else tell?.("path", target, ["REQUEST_URI", "QUERY_STRING"], `${reason}, with the query that a rewrite has set`);
    return target;
  }
  const program = programIn(went, scriptName, params, options);
  // A .htaccess then led to the program. Apache has its path twice, in SCRIPT_NAME and in PATH_INFO.
  const included = isIncluded(params) ? params.get("REDIRECT_URL") : undefined;
  const path = included && included !== withoutDots(pathOf(sent))
    ? included
    // Inside the application, its own file is not a part of the path.
    : program === undefined || program === went
    ? went
    : folderOf(program) + went.slice(program.length);
  const target = encodePath(path) + (query && `?${query}`);
  const names = path === included
    ? ["REDIRECT_URL"]
    : went === params.get("DOCUMENT_URI")
    ? ["DOCUMENT_URI"]
    : ["SCRIPT_NAME", "PATH_INFO"];
  tell?.(
    "path",
    target,
    [...names, "QUERY_STRING"],
    urlFrom === "target" ? "urlfrom=target says so" : "where the web server went, in a subrequest or after an internal redirect",
  );
  return target;
}

/** Whether a target is this path and this query byte for byte, without putting them together. */
function isTarget(target: string, path: string, query: string): boolean {
  if (query === "") return target === path;
  return target.length === path.length + 1 + query.length && target.startsWith(path) && target.endsWith(query) &&
    target[path.length] === "?";
}

/** In a path, a segment of dots between slashes, encoded or not. */
const dotSegment = /^[^?]*(?:\/|%2f)(?:\.|%2e){1,2}(?=%2f|[/?]|$)/i;

/** Whether a request target has a path that URL parsers take for another one, by its dot segments or its backslashes. */
export function isReadDifferently(target: string): boolean {
  return dotSegment.test(target) || target.includes("\\") && /^[^?]*\\/.test(target);
}

/** The path as the URL parser reads it, which resolves dot segments first. */
const parsedPath = (path: string) => new URL(`http://h/${asTarget(path.replace(absoluteForm, "")).replace(/^\//, "")}`).pathname;

const merged = (path: string) => path.replace(/\/+/g, "/");

/**
 * A path with its query, such that the URL parser resolves dot segments as the web server has done: `/x%2fy/../private/a` is
 * `/private/a` for the parser, and `/x/private/a` for nginx, which decodes `%2f` before that, so it asks nobody for a
 * password there. `undefined` where they may differ and the web server does not tell: over HTTP, mostly.
 */
function withDotsResolved(path: string, params: Params, options: UrlOptions): string | undefined {
  const query = /(?:\?.*)?$/s.exec(path)![0];
  const parsed = parsedPath(path);
  const { scriptName, went } = wentTo(params);
  const told = programIn(went, scriptName, params, options) === undefined ? went : typedPath(params);
  // Caddy tells another path than that by which it protects a page.
  if (told && merged(told) === withoutDots(told) && !isCaddy(params)) {
    // Encoded, decoded, and as Apache with AllowEncodedSlashes NoDecode does it.
    const readings = [parsed, decodePercent(parsed), decodeButSlashes(parsed)];
    return readings.some((reading) => merged(reading) === merged(told)) ? path : encodePath(told) + query;
  }
  const decoded = withoutDots(pathOf(path));
  // nginx has been led to a front controller.
  if (isCaddy(params) || params.get("DOCUMENT_URI") !== undefined) return encodePath(decoded) + query;
  // Apache takes an encoded slash for any other character.
  const kept = withoutDots(pathOf(path.replace(/%2f/gi, "\u0100"))).replaceAll("\u0100", "/");
  return [kept, decodePercent(parsed)].every((reading) => merged(reading) === decoded) ? path : undefined;
}

/** Whether it is below a mount before its dot segments are resolved, as some web servers look at it, and not any more after that. */
function leadsOut(path: string, resolved: string, scriptName: string): boolean {
  return pathOf(path).startsWith(`${scriptName}/`) && pathBelow(decodePercent(parsedPath(resolved)), scriptName) === undefined;
}

const asTyped = "as the visitor typed it";

/** The web server's target. */
interface Went {
  scriptName: string;
  pathInfo: string;
  query: string;
  /** The whole path, decoded; `""` if unknown. */
  went: string;
}

/** In one pass over the params, since every request needs it. */
function wentTo(params: Params): Went {
  let scriptName = "";
  let pathInfo = "";
  let query = "";
  let document = "";
  const { pairs } = params;
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i];
    if (name.length === 11) {
      if (name === "SCRIPT_NAME") scriptName = pairs[i + 1];
    } else if (name.length === 9) {
      if (name === "PATH_INFO") pathInfo = pairs[i + 1];
    } else if (name.length === 12) {
      if (name === "QUERY_STRING") query = pairs[i + 1];
      else if (name === "DOCUMENT_URI") document = pairs[i + 1];
    }
  }
  // mod_proxy_uwsgi has the slash of a mount twice, and LiteSpeed that of a context.
  const joined = pathInfo === "/" && scriptName.endsWith("/") ? scriptName : scriptName + pathInfo;
  // nginx's $document_uri is exact. Caddy's is what stands before PATH_INFO, and mod_include's that of the page around it.
  const exact = document !== "" && document !== joined && !(document === scriptName && pathInfo !== scriptName) &&
    !isIncluded(params);
  if (!exact && pathInfo !== "") {
    const typed = typedWent(params, scriptName, pathInfo);
    if (typed) return { ...typed, query };
  }
  return { scriptName, pathInfo, query, went: exact ? document : joined };
}

/**
 * mod_proxy_uwsgi with nocanon gives as PATH_INFO what the visitor typed, decoded, with dots, slashes and the query, and cuts as
 * many bytes off the end of the path for SCRIPT_NAME, if it has as many. Put together they are no path, or one that the visitor
 * has chosen by the query: `/a?/../../private`.
 *
 * @returns what other web servers give, `undefined` for them
 */
function typedWent(params: Params, scriptName: string, pathInfo: string): Omit<Went, "query"> | undefined {
  const sent = params.get("REQUEST_URI") ?? "";
  const queryAt = sent.indexOf("?");
  const query = queryAt < 0 ? "" : decodePercent(sent.slice(queryAt));
  if (pathInfo.length <= query.length || !decodePercent(sent).endsWith(pathInfo)) return undefined;
  const went = withoutDots(pathOf(sent));
  const kept = went.length - pathInfo.length;
  if (scriptName !== (kept < 0 ? went : went.slice(0, kept)) || !startsPrograms(params)) return undefined;
  const end = withoutDots(pathInfo.slice(0, pathInfo.length - query.length));
  return went.endsWith(end) ? { scriptName: went.slice(0, went.length - end.length), pathInfo: end, went } : undefined;
}

/** Why the URL is the visitor's although the paths are not equal byte for byte; `undefined` if it is not. */
function visitorsReason(
  params: Params,
  sent: string,
  scriptName: string,
  pathInfo: string,
  went: string,
  options: UrlOptions,
): string | undefined {
  const mount = options.scriptName;
  // A server that cuts the mount off has cut it off here, too.
  const whole = (path: string) => withoutDots(mount && pathBelow(path, mount) === undefined ? mount + path : path);
  const path = whole(pathOf(sent));
  if (path === whole(went.replace(absoluteForm, ""))) return asTyped;
  // A configuration of nginx that gives both as $fastcgi_script_name, and no DOCUMENT_URI.
  if (scriptName === pathInfo && path === whole(scriptName)) return asTyped;
  // Caddy's strip_prefix resolves dots before it decodes, but what protects a page has done so after that.
  const bare = (path: string) => whole(path).replace(/\/$/, "");
  if (isCaddy(params) && dotSegment.test(sent) && bare(decodePercent(parsedPath(sent))) === bare(went)) return asTyped;
  const starts = startsPrograms(params);
  if (starts) {
    // For mod_proxy_fcgi and mod_proxy_uwsgi, the path of the mount itself is a slash.
    if (pathInfo === "/" && path === whole(scriptName)) return asTyped;
    // Apache with AllowEncodedSlashes NoDecode, or proxy-fcgi-pathinfo, which also leaves some of PATH_INFO in SCRIPT_NAME.
    const end = decodePercent(pathInfo);
    if (path === whole(decodePercent(went)) || end !== pathInfo && isCovered(path, scriptName, end)) return asTyped;
    // With MergeSlashes Off, some of it also is where there are two of them.
    if (pathInfo.includes("//") && isCovered(pathOf(sent), scriptName, pathInfo)) return asTyped;
  }
  // A page that is included, or shown because another one is forbidden, is not the one that the visitor asked for.
  if (isIncluded(params) || isDenied(params)) return undefined;
  const program = programIn(went, scriptName, params, options);
  if (program !== undefined) {
    const rest = went.slice(program.length);
    // Apache takes what a .htaccess made of a path for an encoded one: ^(.*)$ mysite.fcgi/$1 decodes it twice, up to a "#".
    const again = starts ? whole(decodePercent(path).replace(/#.*/s, "")) : path;
    const same = [path, again].some((path) => {
      return path === whole(rest) || path === whole(folderOf(program) + rest) ||
        // A rewrite of a part of the site, such as ^/part/(.*)$ /mysite.fcgi/$1.
        starts && path.endsWith(rest);
    });
    return same || rest === "" ? `${asTyped}: the web server went to the program itself, ${decodeText(program)}` : undefined;
  }
  return starts && path === whole(pathInfo) ? `${asTyped}: PATH_INFO is the whole of it` : undefined;
}

/** Whether nginx says that it went to the visitor's path without a query: an SSI page that includes itself would never end. */
function hasLostQuery(params: Params, went: string): boolean {
  if (params.get("QUERY_STRING") !== "" || isIncluded(params) || startsPrograms(params)) return false;
  // Its uwsgi_params give the path as PATH_INFO, and have no other.
  const uwsgi = params.get("SCRIPT_NAME") === undefined ? params.get("PATH_INFO") : undefined;
  return (params.get("DOCUMENT_URI") ?? uwsgi) === went;
}

/** The visitor's target, with the query of the web server where a rewrite has set another. */
function withQuery(sent: string, query: string): string {
  // An empty one says little: it is lost on the way to an error page.
  if (query === "" || sent.endsWith(`?${query}`)) return sent;
  const [, path, typed = ""] = /^([^?]*)(?:\?(.*))?$/s.exec(sent)!;
  // lighttpd normalizes it.
  return decodePercent(typed) === decodePercent(query) ? sent : `${path}?${query}`;
}

/** Whether a path begins with one text and ends with another, which may overlap, and there is nothing between them. */
function isCovered(path: string, begin: string, end: string): boolean {
  return path.startsWith(begin) && path.endsWith(end) && path.length <= begin.length + end.length;
}

/**
 * The beginning of the path that stands for the program, to which all URLs of a site are led. Any file of the kind will do
 * for a web server that starts programs; for others such a name means nothing, and could be that of a subrequest.
 */
function programIn(
  went: string,
  scriptName: string,
  params: Params,
  { frontControllers = [] }: UrlOptions,
): string | undefined {
  return frontControllers.find((path) => went === path || went.startsWith(`${path}/`)) ??
    (programFile.test(scriptName) && startsPrograms(params) ? scriptName : undefined);
}

/** Programs that web servers start; no application has such a name below its own paths. */
const programFile = /\/[^/]*\.f?cgi$/;

/**
 * Whether it is one of the web servers that start programs. They make no subrequest to find out whether a visitor may see
 * a page, and mod_include's are known by {@linkcode isIncluded}. Names of theirs, where they hide what they are: those of
 * Apache's internal redirects and mod_rewrite, and of lighttpd.
 */
function startsPrograms(params: Params): boolean {
  // A configuration of nginx may call it Apache, which has this in pages alone.
  if (params.get("DOCUMENT_URI") !== undefined && !isIncluded(params)) return false;
  return /^(?:Apache|lighttpd|LiteSpeed)\b/i.test(params.get("SERVER_SOFTWARE") ?? "") ||
    ["REDIRECT_URL", "SCRIPT_URL", "REDIRECT_URI"].some((name) => params.get(name));
}

function isCaddy(params: Params): boolean {
  return params.get("SERVER_SOFTWARE")?.startsWith("Caddy/") ?? false;
}

/** Whether it is a subrequest of Apache, as Apache says itself, or as mod_include's variables show. */
function isIncluded(params: Params): boolean {
  return params.get("SERVER_PROTOCOL") === "INCLUDED" || params.get("DOCUMENT_NAME") !== undefined;
}

/** Whether Apache or lighttpd shows an error page, for another error than a file that is missing. */
function isDenied(params: Params): boolean {
  for (let name = "REDIRECT_STATUS", status; (status = params.get(name)); name = `REDIRECT_${name}`) {
    if (/^[45]/.test(status) && status !== "404") return true;
  }
  return false;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
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
 * does, with `$http_host`) there is nothing to fix.
 */
function lostPort(params: Params, host: string): boolean {
  // Its scgi_params and uwsgi_params have neither of the two, which all other senders of CGI variables have.
  const nginx = params.get("SERVER_SOFTWARE")?.startsWith("nginx/") ?? params.get("GATEWAY_INTERFACE") === undefined;
  if (/:\d*$/.test(host) || !nginx) return false;
  const proxied = ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_VIA"];
  return !proxied.some((name) => params.get(name)) && params.getAll("HTTP_HOST").length < 2;
}

/** Names and IPv4 addresses that need no further check. */
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
 * Apache's variable for the decoded path before rewrites: mod_rewrite's SCRIPT_URL, or the REDIRECT_URL of the first internal
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
 * Splits the path of the URL. A pure function of the params and the options.
 *
 * SCRIPT_NAME cannot be trusted: behind rewrites it is the file that the rewrite led to (`/mysite.fcgi`), and with
 * mod_proxy_fcgi, HAProxy or a plain nginx `location /` it is the whole path. PATH_INFO, where there is one, is
 * always the end of the path, so the mount is what stands before it.
 */
export function requestMount(params: Params, options: UrlOptions = {}, tell?: Tell): Mount {
  const scriptName = params.get("SCRIPT_NAME") ?? "";
  const pathInfo = params.get("PATH_INFO");
  const sent = params.get("REQUEST_URI");
  const decode = sent && mayKeepSlashes(params, sent, scriptName + (pathInfo ?? "")) ? decodeButSlashes : decodePercent;
  const path = sent ? resolvedPath(chosenTarget(params, sent, options), params, options, decode) : typedPath(params);
  const forced = options.scriptName;
  if (forced !== undefined) {
    const whole = path ?? scriptName + (pathInfo ?? "");
    tell?.("mount", forced, [], "scriptname says so");
    return mount(forced, pathBelow(whole, forced) ?? whole);
  }
  if (path === undefined) {
    tell?.("mount", scriptName, ["SCRIPT_NAME", "PATH_INFO"], "there is no REQUEST_URI to compare them with");
    return mount(scriptName, pathInfo ?? "");
  }
  // Caddy's strip_prefix gives another PATH_INFO than that of the path by which it protects a page.
  const rest = isCaddy(params) && scriptName && sent && dotSegment.test(sent) ? pathBelow(path, scriptName) : undefined;
  if (rest !== undefined) {
    tell?.("mount", scriptName, ["SCRIPT_NAME"], "Caddy says so, and the visitor typed dots");
    return mount(scriptName, rest);
  }
  // Present but empty, it says that the visitor asked for the mount itself, as Apache's slash does; absent, it says nothing.
  const atMount = (pathInfo === "" || pathInfo === "/") && path === scriptName && !oddSegment.test(scriptName);
  if (atMount) {
    const what = pathInfo === "" ? "empty" : "a slash";
    tell?.("mount", path, ["SCRIPT_NAME", "PATH_INFO"], `PATH_INFO is ${what} and SCRIPT_NAME is the whole path`);
    return mount(path, "");
  }
  // After a rewrite that hands on no path, or spoils it, the mount is the folder of the file that it led to.
  const folderOfProgram = (): Mount | undefined => {
    const rewritten = withoutDots(path) !== scriptName && programIn(scriptName, scriptName, params, options) === scriptName;
    const folder = rewritten ? folderOf(scriptName) : "";
    const below = folder && pathBelow(path, folder);
    if (!below) return undefined;
    tell?.("mount", folder, ["SCRIPT_NAME", "REDIRECT_URL"], "a rewrite led to the program's file in this folder");
    return mount(folder, below);
  };
  if (!pathInfo) {
    const found = folderOfProgram();
    if (found) return found;
    tell?.("mount", "", ["PATH_INFO"], "without a PATH_INFO nothing says where the path is divided");
    return mount("", path);
  }
  // nginx over uwsgi and HAProxy divide the decoded path: a visitor's "/shop%2f" must not move the mount, nor be below it.
  if (
    decode === decodeButSlashes && scriptName && sent && pathOf(sent) === scriptName + pathInfo && !oddSegment.test(scriptName)
  ) {
    tell?.("mount", scriptName, ["SCRIPT_NAME", "PATH_INFO"], "together they are the path, with its encoded slashes decoded");
    return mount(scriptName, path.startsWith(`${scriptName}/`) ? path.slice(scriptName.length) : path);
  }
  // Apache's proxy-fcgi-pathinfo leaves PATH_INFO encoded.
  const ends = startsPrograms(params) ? [decode(pathInfo), wentTo(params).pathInfo] : [];
  for (const end of [pathInfo, ...ends]) {
    for (const whole of [path, withoutDots(path)]) {
      if (!end || !whole.endsWith(end)) continue;
      const before = mount(whole.slice(0, whole.length - end.length), end);
      // A percent sign is one that the visitor has encoded twice.
      if (oddSegment.test(before.scriptName) || before.scriptName.includes("%")) continue;
      tell?.("mount", before.scriptName, ["PATH_INFO"], "what stands before PATH_INFO in the path");
      return before;
    }
  }
  const found = folderOfProgram();
  if (found) return found;
  if (scriptName && path.startsWith(`${scriptName}/`)) {
    tell?.("mount", scriptName, ["SCRIPT_NAME"], "the path begins with it, and does not end with PATH_INFO");
    return mount(scriptName, path.slice(scriptName.length));
  }
  tell?.("mount", "", [], "the path neither ends with PATH_INFO nor begins with SCRIPT_NAME");
  return mount("", path);
}

/** The decoded path that the URL has of a target, where the web server has looked who may see it. */
function resolvedPath(target: string, params: Params, options: UrlOptions, decode: typeof decodePercent): string {
  if (!dotSegment.test(target)) return pathOf(target, decode);
  const path = options.urlFrom === "visitor" ? target : withDotsResolved(target, params, options);
  return path === undefined ? withoutDots(pathOf(target, decode)) : decode(parsedPath(path));
}

/** The decoded path of an encoded request target. */
function pathOf(target: string, decode = decodePercent): string {
  return decode(target.replace(absoluteForm, "").replace(/\?.*$/s, "")) || "/";
}

/**
 * Whether the web server may have looked who may see a path without taking its encoded slashes for slashes, so that it has
 * asked nobody for a password for `/private%2fa`: Apache with AllowEncodedSlashes NoDecode, which keeps them, and whoever
 * tells no more than what was typed, decoded: HAProxy, and we for HTTP and AJP.
 */
function mayKeepSlashes(params: Params, sent: string, told: string): boolean {
  if (!/%2f/i.test(sent)) return false;
  if (!startsPrograms(params)) {
    return params.get("DOCUMENT_URI") === undefined && !isCaddy(params) && (told === "" || pathOf(sent) === told);
  }
  // Of an encoded percent sign a decoded path may have one, too.
  const kept = slashesIn(withoutDots(pathOf(sent, decodeButSlashes)));
  // A .htaccess has led to the program: the path is told by the first of Apache's internal redirects alone.
  return kept > 0 && [told, decodeButSlashes(told), typedPath(params) ?? ""].some((path) => slashesIn(path) === kept);
}

function slashesIn(path: string): number {
  return path.match(/%2f/gi)?.length ?? 0;
}

/** A slash that is encoded stays so, as the visitor typed it. */
function decodeButSlashes(path: string): string {
  return decodePercent(path.replace(/%(2f)/gi, "%25$1"));
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
  if (!/\/(?:\/|\.{1,2}(?:\/|$))/.test(path) && path.startsWith("/")) return path;
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  return `/${segments.join("/")}${/\/\.{0,2}$/.test(path) && segments.length > 0 ? "/" : ""}`;
}
