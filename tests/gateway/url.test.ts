import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { requestLine } from "../../src/gateway/request.ts";
import { isScriptName, requestMount, requestUrl, type UrlOptions, usualUrl } from "../../src/gateway/url.ts";
import { AjpServer } from "../../src/protocol/ajp/server.ts";
import { FastCgiServer } from "../../src/protocol/fastcgi/server.ts";
import { decodePercent, Params } from "../../src/protocol/params.ts";
import { defaultCodecLimits, type ServerCodec } from "../../src/protocol/protocol.ts";
import { ScgiServer } from "../../src/protocol/scgi.ts";
import { UwsgiServer } from "../../src/protocol/uwsgi.ts";
import { fixture, fixtureNames } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

/** What is to be seen of a URL. */
interface Seen {
  url: string | undefined;
  scriptName: string;
  pathInfo: string;
}

/** A program that is called `mysite.fcgi` where a web server leads to a file. */
const mysite: UrlOptions = { frontControllers: ["/mysite.fcgi", "/sub/mysite.fcgi"] };

function seen(params: Params, options: UrlOptions = mysite): Seen {
  const url = requestUrl(params, options);
  assert.equal(url, requestUrl(params, options, () => {}), "the short way gives the same URL");
  const usual = usualUrl(params, options);
  if (usual !== undefined) assert.equal(new URL(usual).href, usual, "nothing is left to normalize");
  return { url: url === undefined ? undefined : new URL(url).href, ...requestMount(params, options) };
}

const codecs = {
  fcg: () => new FastCgiServer(),
  scgi: () => new ScgiServer(defaultCodecLimits),
  uwsgi: () => new UwsgiServer(defaultCodecLimits),
  ajp: () => new AjpServer(),
  jk: () => new AjpServer(),
};
type RecordedProtocol = keyof typeof codecs;

/** Params of the first request in recorded traffic. */
function recorded(name: string, protocol: RecordedProtocol): Params | undefined {
  const codec: ServerCodec = codecs[protocol]();
  codec.receive(fixture(name));
  for (let event = codec.nextEvent(); event; event = codec.nextEvent()) {
    if (event.type === "request") return event.params;
  }
}

type Table = Record<string, [url: string, scriptName: string, pathInfo: string]>;

describe("the URL, from recorded traffic", () => {
  const fcg: Table = {
    // Apache, mod_fcgid: rewritten to mysite.fcgi in .htaccess or the virtual host.
    "apache-mod_fcgid-headers": ["http://localhost:21221/h", "", "/h"],
    "apache-mod_fcgid-htaccess-get": ["http://localhost:21221/app/a%20b/c/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "apache-mod_fcgid-post-chunked": ["http://localhost:21221/post?x=1", "", "/post"],
    "apache-mod_fcgid-vhost-get": ["http://localhost:21220/app/a%20b/c/d?x=1&y=%20z", "", "/app/a b/c/d"],
    // Apache, mod_proxy_fcgi: ProxyPass has no PATH_INFO, a handler in a Location has.
    "apache-proxy_fcgi-bigparams64k": ["http://localhost:21200/app/h", "", "/app/h"],
    "apache-proxy_fcgi-chunkslow": ["http://localhost:21200/app/slow?t=bodytimes", "", "/app/slow"],
    "apache-proxy_fcgi-foo": ["http://localhost:21200/app/m", "", "/app/m"],
    "apache-proxy_fcgi-generic": ["http://localhost:21202/generic/a%20b/d?x=1", "/generic", "/a b/d"],
    "apache-proxy_fcgi-get": ["http://localhost:21200/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "apache-proxy_fcgi-headers": ["http://localhost:21200/app/h", "", "/app/h"],
    "apache-proxy_fcgi-https": ["https://localhost:21209/f/x", "", "/f/x"],
    "apache-proxy_fcgi-https-std": ["https://localhost:21209/fstd/x", "", "/fstd/x"],
    "apache-proxy_fcgi-post20": ["http://localhost:21200/app/post?x=1", "", "/app/post"],
    "apache-proxy_fcgi-proxypass-mount": ["http://localhost:21202/app/a%20b%2Fc/d?x=1", "", "/app/a b%2Fc/d"],
    "apache-proxy_fcgi-reuse-get": ["http://localhost:21201/app/a%20b/c/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "apache-proxy_fcgi-reuse-seq3": ["http://localhost:21201/app/ka0", "", "/app/ka0"],
    "apache-proxy_fcgi-rewrite-p": ["http://localhost:21202/rw/a%20b/d?x=1", "", "/rw/a b/d"],
    "apache-proxy_fcgi-sethandler": ["http://localhost:21202/sethandler/a%20b%2Fc/d?x=1", "/sethandler", "/a b%2Fc/d"],
    // Caddy: SCRIPT_NAME is empty unless the path is split.
    "caddy-fcgi-bigparams64k": ["http://localhost:21400/app/h", "", "/app/h"],
    "caddy-fcgi-chunked": ["http://localhost:21400/app/chunk", "", "/app/chunk"],
    "caddy-fcgi-get": ["http://localhost:21400/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "caddy-fcgi-headers": ["http://localhost:21400/app/h", "", "/app/h"],
    "caddy-fcgi-https-h2": ["https://localhost:21403/x", "", "/x"],
    "caddy-fcgi-php": ["http://localhost:21401/foo.php/a%20b%2Fc/d?x=1", "/foo.php", "/a b/c/d"],
    "caddy-fcgi-post20": ["http://localhost:21400/app/post?x=1", "", "/app/post"],
    // Sent by hand, without a host and with a PATH_INFO that is not in REQUEST_URI.
    "cgi-fcgi-post20": ["http://localhost/cgi/a?x=1", "/cgi", "/a"],
    // h2o: like Caddy.
    "h2o-fcgi-bigparams64k": ["http://localhost:21600/app/h", "", "/app/h"],
    "h2o-fcgi-get": ["http://localhost:21600/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "h2o-fcgi-headers": ["http://localhost:21600/app/h", "", "/app/h"],
    "h2o-fcgi-post20": ["http://localhost:21600/app/post?x=1", "", "/app/post"],
    // HAProxy: a mount only with path-info.
    "haproxy-fcgi-get": ["http://localhost:21500/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "haproxy-fcgi-headers": ["http://localhost:21500/app/h", "", "/app/h"],
    "haproxy-fcgi-https": ["https://localhost:21503/x", "", "/x"],
    "haproxy-fcgi-mpx-abort": ["http://localhost:21511/app/x", "/app", "/x"],
    "haproxy-fcgi-mpx-get": ["http://localhost:21511/app/a%20b%2Fc/d?x=1&y=%20z", "/app", "/a b%2Fc/d"],
    "haproxy-fcgi-mpx-par8": ["http://localhost:21511/app/first", "/app", "/first"],
    "haproxy-fcgi-post20": ["http://localhost:21500/app/post?x=1", "", "/app/post"],
    "haproxy-fcgi-seq3": ["http://localhost:21500/app/ka0", "", "/app/ka0"],
    // lighttpd: mounted at /app, at / with and without fix-root-scriptname, and rewritten.
    "lighttpd-fcgi-fixroot": ["http://localhost:21330/zzz/a%20b%2Fc/d?x=1", "", "/zzz/a b/c/d"],
    "lighttpd-fcgi-get": ["http://localhost:21300/app/a%20b%2Fc/d?x=1&y=%20z", "/app", "/a b/c/d"],
    "lighttpd-fcgi-headers": ["http://localhost:21300/app/h", "/app", "/h"],
    "lighttpd-fcgi-post20": ["http://localhost:21300/app/post?x=1", "/app", "/post"],
    "lighttpd-fcgi-rewrite": ["http://localhost:21306/rw/a%20b%2Fc/d?x=1", "", "/rw/a b/c/d"],
    "lighttpd-fcgi-rootmount": ["http://localhost:21300/zzz/a%20b%2Fc/d?x=1", "/zzz", "/a b/c/d"],
    // nginx of Debian: HTTP_HOST without its port; a mount only with fastcgi_split_path_info.
    "nginx-fcgi-chunkslow": ["http://localhost:21100/app/slow?t=bodytimes", "/app", "/slow"],
    "nginx-fcgi-foo": ["http://localhost:21100/app/m", "/app", "/m"],
    "nginx-fcgi-get": ["http://localhost:21100/app/a%20b%2Fc/d?x=1&y=%20z", "/app", "/a b/c/d"],
    "nginx-fcgi-headers": ["http://localhost:21100/app/h", "/app", "/h"],
    "nginx-fcgi-https-h2": ["https://localhost:21190/app/x", "/app", "/x"],
    "nginx-fcgi-keepconn-get": ["http://localhost:21101/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "nginx-fcgi-keepconn-seq3": ["http://localhost:21101/app/ka0", "", "/app/ka0"],
    "nginx-fcgi-post20": ["http://localhost:21100/app/post?x=1", "/app", "/post"],
    "nginx-fcgi-post40k": ["http://localhost:21100/app/post", "/app", "/post"],
    "nginx-fcgi-unbuf-chunkslow": ["http://localhost:21102/app/slow?t=bodytimes", "", "/app/slow"],
    "nginx-fcgi-unbuf-get": ["http://localhost:21102/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
  };

  const scgi: Table = {
    // Apache: as mod_proxy_fcgi.
    "apache-proxy_scgi-get": ["http://localhost:21203/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "apache-proxy_scgi-headers": ["http://localhost:21203/app/h", "", "/app/h"],
    "apache-proxy_scgi-post20": ["http://localhost:21203/app/post?x=1", "", "/app/post"],
    // lighttpd: mounted at /app.
    "lighttpd-scgi-chunkslow": ["http://localhost:21302/app/slow?t=bodytimes", "/app", "/slow"],
    "lighttpd-scgi-get": ["http://localhost:21302/app/a%20b%2Fc/d?x=1&y=%20z", "/app", "/a b/c/d"],
    "lighttpd-scgi-headers": ["http://localhost:21302/app/h", "/app", "/h"],
    "lighttpd-scgi-post20": ["http://localhost:21302/app/post?x=1", "/app", "/post"],
    // nginx of Debian: HTTP_HOST without its port and no SERVER_SOFTWARE to know that by. PATH_INFO was the whole path.
    "nginx-scgi-bigparams": ["http://localhost:21103/app/h", "", "/app/h"],
    "nginx-scgi-chunkslow": ["http://localhost:21103/app/slow?t=bodytimes", "", "/app/slow"],
    "nginx-scgi-foo": ["http://localhost:21103/app/m", "", "/app/m"],
    "nginx-scgi-get": ["http://localhost:21103/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "nginx-scgi-headers": ["http://localhost:21103/app/h", "", "/app/h"],
    "nginx-scgi-post20": ["http://localhost:21103/app/post?x=1", "", "/app/post"],
    "nginx-scgi-unbuf-chunkslow": ["http://localhost:21104/app/slow?t=bodytimes", "", "/app/slow"],
    "nginx-scgi-unbuf-expect": ["http://localhost:21104/app/expect?t=expect", "", "/app/expect"],
    "nginx-scgi-unbuf-get": ["http://localhost:21104/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "nginx-scgi-unbuf-post20": ["http://localhost:21104/app/post?x=1", "", "/app/post"],
    "nginx-scgi-unbuf-post40k": ["http://localhost:21104/app/post", "", "/app/post"],
  };

  const uwsgi: Table = {
    // Apache: PATH_INFO is the path below ProxyPass.
    "apache-proxy_uwsgi-get": ["http://localhost:21204/app/a%20b/c/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "apache-proxy_uwsgi-headers": ["http://localhost:21204/app/h", "", "/app/h"],
    "apache-proxy_uwsgi-post20": ["http://localhost:21204/app/post?x=1", "", "/app/post"],
    // lighttpd: mounted at /app.
    "lighttpd-uwsgi-chunkslow": ["http://localhost:21303/app/slow?t=bodytimes", "/app", "/slow"],
    "lighttpd-uwsgi-get": ["http://localhost:21303/app/a%20b%2Fc/d?x=1&y=%20z", "/app", "/a b/c/d"],
    "lighttpd-uwsgi-headers": ["http://localhost:21303/app/h", "/app", "/h"],
    "lighttpd-uwsgi-post20": ["http://localhost:21303/app/post?x=1", "/app", "/post"],
    // nginx of Debian: as over SCGI.
    "nginx-uwsgi-bigparams": ["http://localhost:21105/app/h", "", "/app/h"],
    "nginx-uwsgi-chunkslow": ["http://localhost:21105/app/slow?t=bodytimes", "", "/app/slow"],
    "nginx-uwsgi-foo": ["http://localhost:21105/app/m", "", "/app/m"],
    "nginx-uwsgi-get": ["http://localhost:21105/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "nginx-uwsgi-headers": ["http://localhost:21105/app/h", "", "/app/h"],
    "nginx-uwsgi-post20": ["http://localhost:21105/app/post?x=1", "", "/app/post"],
    // uWSGI's router: all of the path is PATH_INFO.
    "uwsgihttp-uwsgi-chunked": ["http://localhost:21700/app/chunk", "", "/app/chunk"],
    "uwsgihttp-uwsgi-get": ["http://localhost:21700/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "uwsgihttp-uwsgi-headers": ["http://localhost:21700/app/h", "", "/app/h"],
    "uwsgihttp-uwsgi-post20": ["http://localhost:21700/app/post?x=1", "", "/app/post"],
    "uwsgihttp-uwsgi-post40k": ["http://localhost:21700/app/post", "", "/app/post"],
  };

  const ajp: Table = {
    // Apache, mod_proxy_ajp: the path without SCRIPT_NAME.
    "apache-proxy_ajp-auth": ["http://localhost:21210/auth/x", "", "/auth/x"],
    "apache-proxy_ajp-chunked": ["http://localhost:21205/app/chunk", "", "/app/chunk"],
    "apache-proxy_ajp-chunkslow": ["http://localhost:21205/app/slow?t=bodytimes", "", "/app/slow"],
    "apache-proxy_ajp-early": ["http://localhost:21205/app/e?t=early", "", "/app/e"],
    "apache-proxy_ajp-expect": ["http://localhost:21205/app/expect?t=expect", "", "/app/expect"],
    "apache-proxy_ajp-foo": ["http://localhost:21205/app/m", "", "/app/m"],
    "apache-proxy_ajp-get": ["http://localhost:21205/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "apache-proxy_ajp-headers": ["http://localhost:21205/app/h", "", "/app/h"],
    "apache-proxy_ajp-https-cert": ["https://localhost:21209/x", "", "/x"],
    "apache-proxy_ajp-ping-secret": ["http://localhost:21206/ping/x", "", "/ping/x"],
    "apache-proxy_ajp-post20": ["http://localhost:21205/app/post?x=1", "", "/app/post"],
    "apache-proxy_ajp-post40k": ["http://localhost:21205/app/post", "", "/app/post"],
    "apache-proxy_ajp-postabort": ["http://localhost:21205/app/slow?t=bodytimes", "", "/app/slow"],
    "apache-proxy_ajp-seq3": ["http://localhost:21205/app/ka0", "", "/app/ka0"],
    // lighttpd decodes the path, and cuts it off behind the mount.
    "lighttpd-ajp13-chunked": ["http://localhost:21304/app", "", "/app"],
    "lighttpd-ajp13-chunkslow": ["http://localhost:21304/app?t=bodytimes", "", "/app"],
    "lighttpd-ajp13-expect": ["http://localhost:21304/app?t=expect", "", "/app"],
    "lighttpd-ajp13-get": ["http://localhost:21304/app?x=1&y=%20z", "", "/app"],
    "lighttpd-ajp13-headers": ["http://localhost:21304/app", "", "/app"],
    "lighttpd-ajp13-https": ["https://localhost:21305/a", "", "/a"],
    "lighttpd-ajp13-post20": ["http://localhost:21304/app?x=1", "", "/app"],
    "lighttpd-ajp13-post40k": ["http://localhost:21304/app", "", "/app"],
  };

  const jk: Table = {
    // mod_jk encodes an encoded slash once more, without ForwardURICompatUnparsed.
    "apache-mod_jk-chunked": ["http://localhost:21207/app/chunk", "", "/app/chunk"],
    "apache-mod_jk-chunkslow": ["http://localhost:21207/app/slow?t=bodytimes", "", "/app/slow"],
    "apache-mod_jk-early": ["http://localhost:21207/app/e?t=early", "", "/app/e"],
    "apache-mod_jk-expect": ["http://localhost:21207/app/expect?t=expect", "", "/app/expect"],
    "apache-mod_jk-foo": ["http://localhost:21207/app/m", "", "/app/m"],
    "apache-mod_jk-get": ["http://localhost:21207/app/a%20b%252Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "apache-mod_jk-headers": ["http://localhost:21207/app/h", "", "/app/h"],
    "apache-mod_jk-https": ["https://localhost:21209/j/x", "", "/j/x"],
    "apache-mod_jk-https-cert": ["https://localhost:21209/jc/x", "", "/jc/x"],
    "apache-mod_jk-lb-bigparams": ["http://localhost:21208/app/h", "", "/app/h"],
    "apache-mod_jk-lb-chunked": ["http://localhost:21208/app/chunk", "", "/app/chunk"],
    "apache-mod_jk-lb-chunkslow": ["http://localhost:21208/app/slow?t=bodytimes", "", "/app/slow"],
    "apache-mod_jk-lb-expect": ["http://localhost:21208/app/expect?t=expect", "", "/app/expect"],
    "apache-mod_jk-lb-foo": ["http://localhost:21208/app/m", "", "/app/m"],
    "apache-mod_jk-lb-get": ["http://localhost:21208/app/a%20b%252Fc/d?x=1&y=%20z", "", "/app/a b%2Fc/d"],
    "apache-mod_jk-lb-headers": ["http://localhost:21208/app/h", "", "/app/h"],
    "apache-mod_jk-lb-post20": ["http://localhost:21208/app/post?x=1", "", "/app/post"],
    "apache-mod_jk-lb-post40k": ["http://localhost:21208/app/post", "", "/app/post"],
    "apache-mod_jk-post20": ["http://localhost:21207/app/post?x=1", "", "/app/post"],
    "apache-mod_jk-postabort": ["http://localhost:21207/app/slow?t=bodytimes", "", "/app/slow"],
    "apache-mod_jk-seq3": ["http://localhost:21207/app/ka0", "", "/app/ka0"],
  };

  for (const [protocol, table] of Object.entries({ fcg, scgi, uwsgi, ajp, jk }) as [RecordedProtocol, Table][]) {
    for (const [name, [url, scriptName, pathInfo]] of Object.entries(table)) {
      test(name, () => {
        const params = recorded(name, protocol);
        assert.ok(params);
        assert.deepEqual(seen(params), { url, scriptName, pathInfo });
      });
    }

    test(`no recording of ${protocol} with a request is left out`, () => {
      const names = fixtureNames(protocol).filter((name) => recorded(name, protocol));
      assert.deepEqual(names, Object.keys(table).sort());
    });
  }
});

/** CGI variables, the usual ones by short names. */
type Given = Readonly<Record<string, string>>;
const shortNames: Given = {
  uri: "REQUEST_URI",
  script: "SCRIPT_NAME",
  path: "PATH_INFO",
  doc: "DOCUMENT_URI",
  query: "QUERY_STRING",
  host: "HTTP_HOST",
  name: "SERVER_NAME",
  port: "SERVER_PORT",
  status: "REDIRECT_STATUS",
};
const pairsOf = (given: Given): [string, string][] =>
  Object.entries(given).map(([name, value]) => [shortNames[name] ?? name, value]);
/** Params with these bytes. */
const paramsOf = (given: Given): Params => new Params(pairsOf(given).flat());
/** Params with this text. */
const textParams = (given: Given): Params => Params.from(pairsOf(given));

const apache = { SERVER_SOFTWARE: "Apache/2.4.71 (Debian)" };
const nginx = { SERVER_SOFTWARE: "nginx/1.22.1" };
const caddy = { SERVER_SOFTWARE: "Caddy/v2.6.2" };
const lighttpd = { SERVER_SOFTWARE: "lighttpd/1.4.69" };
/** By its source: the path of a FastCGI context, which ends with a slash, and PATH_INFO, which begins with the same one. */
const liteSpeed = { SERVER_SOFTWARE: "LiteSpeed", LSWS_EDITION: "Openlitespeed 1.8.3" };

describe("a URL that the visitor typed stays as it is", () => {
  const table: [name: string, params: Given, scriptName: string, pathInfo: string, options?: UrlOptions][] = [
    [
      "LiteSpeed, a context for all of the host",
      { uri: "/a%20b/c?x=1", script: "/", path: "/a b/c", query: "x=1", ...liteSpeed },
      "",
      "/a b/c",
    ],
    ["LiteSpeed, its first page", { uri: "/", script: "/", path: "/", ...liteSpeed }, "", "/"],
    [
      "LiteSpeed, a context below a path",
      { uri: "/app/a%20b/", script: "/app/", path: "/a b/", query: "", ...liteSpeed },
      "/app",
      "/a b/",
    ],
    ["LiteSpeed, the path of a context itself", { uri: "/app/", script: "/app/", path: "/", ...liteSpeed }, "/app", "/"],
    [
      "LiteSpeed, led to a file by a .htaccess",
      { uri: "/a%20b?x=1", script: "/mysite.fcgi", query: "x=1", REDIRECT_URL: "/a b", ...liteSpeed },
      "",
      "/a b",
    ],
    ["nginx with a file", { uri: "/a%20b?x", script: "/a b", doc: "/a b", ...nginx }, "", "/a b"],
    [
      "nginx with try_files $uri /index.php",
      { uri: "/a%20b?x", script: "/index.php", doc: "/index.php", query: "x", ...nginx },
      "",
      "/a b",
      { frontControllers: ["/index.php"] },
    ],
    [
      "nginx with a rewrite to /index.php$uri",
      { uri: "/a%2Fb", script: "/index.php/a/b", doc: "/index.php/a/b", ...nginx },
      "",
      "/a/b",
      { frontControllers: ["/index.php"] },
    ],
    ["nginx with merge_slashes off", { uri: "//a//b", script: "//a//b", doc: "//a//b" }, "", "//a//b"],
    ["nginx over SCGI", { uri: "/a%2Fb//c", doc: "/a/b/c" }, "", "/a/b//c"],
    ["nginx over uwsgi", { uri: "/a%2Fb//c", path: "/a/b/c" }, "", "/a/b/c"],
    ["nginx with an encoded percent sign", { uri: "/%252F", doc: "/%2F", script: "/%2F" }, "", "/%2F"],
    ["nginx with Django's PATH_INFO", { uri: "/a%20b", script: "/a b", path: "/a b", doc: "/a b", ...nginx }, "", "/a b"],
    ["nginx with Django's PATH_INFO alone", { uri: "/a%20b", script: "/a b", path: "/a b" }, "", "/a b"],
    [
      "nginx whose variables lack the mount",
      { uri: "/app/a%20b", script: "", path: "/a b", doc: "/app/a b", ...nginx },
      "/app",
      "/a b",
    ],
    ["a dot segment at the end", { uri: "/a/b/..", path: "/a/", doc: "/a/" }, "", "/a/"],
    [
      "Caddy's php_fastcgi",
      { uri: "/a%20b?x", script: "/index.php", doc: "/index.php", path: "", query: "x", ...caddy },
      "",
      "/a b",
      { frontControllers: ["/index.php"] },
    ],
    [
      "Caddy with a path that is split",
      { uri: "/a.php/b%20c", script: "/a.php", doc: "/a.php", path: "/b c", ...caddy },
      "/a.php",
      "/b c",
    ],
    ["Caddy with a mount that is known", { uri: "/m/a%20b", path: "/a b", ...caddy }, "/m", "/a b", { scriptName: "/m" }],
    ["uWSGI's router, for a whole URL", { uri: "http://h/a%20b", script: "", path: "http://h/a b" }, "", "/a b"],
    [
      "Apache with AllowEncodedSlashes NoDecode",
      { uri: "/app/a%20b%2Fc", script: "/app/a b%2Fc", ...apache },
      "",
      "/app/a b%2Fc",
    ],
    ["Apache with FallbackResource", { uri: "/x/a", script: "/x/dispatch.fcgi", ...apache }, "/x", "/a"],
    ["Apache with DirectoryIndex", { uri: "/x/", script: "/x/dispatch.fcgi", ...apache }, "/x", "/"],
    ["Apache with ErrorDocument 404", { uri: "/a?x=1", script: "/dispatch.fcgi", query: "", status: "404", ...apache }, "", "/a"],
    [
      "a rewrite in a .htaccess, of Apache that hides what it is",
      { uri: "/x/a%20b", REDIRECT_URL: "/x/a b", script: "/x/dispatch.fcgi", path: "/a b" },
      "/x",
      "/a b",
    ],
    [
      "a rewrite of a part of the site, with Apache",
      { uri: "/part/a", script: "/dispatch.fcgi", path: "/a", ...apache },
      "/part",
      "/a",
    ],
    ["a rewrite to a script, with Apache", { uri: "/a", script: "/cgi-bin/app", path: "/a", ...apache }, "", "/a"],
    [
      "lighttpd's error-handler-404",
      { uri: "/a%20b", REDIRECT_URI: "/dispatch.fcgi", script: "/dispatch.fcgi", status: "404", ...lighttpd },
      "",
      "/a b",
    ],
  ];
  for (const [name, params, scriptName, pathInfo, options] of table) {
    test(name, () => {
      const url = new URL(params.uri.replace(/^(?!http)/, "http://h")).href;
      const all = textParams({ host: "h", ...params });
      assert.deepEqual(seen(all, options), { url, scriptName, pathInfo });
    });
  }
});

describe("a subrequest or an internal redirect has the URL that the web server went to", () => {
  const table: [name: string, params: Given, path: string, mount?: string][] = [
    ["nginx over FastCGI", { script: "/auth", doc: "/auth", query: "", ...nginx }, "/auth"],
    ["nginx over SCGI", { doc: "/auth", query: "" }, "/auth"],
    ["nginx over uwsgi", { path: "/auth", query: "" }, "/auth"],
    ["nginx with a query", { script: "/d", doc: "/d", query: "id=7", ...nginx }, "/d?id=7"],
    ["nginx with Django's PATH_INFO", { script: "/auth", path: "/auth", doc: "/auth", ...nginx }, "/auth"],
    ["nginx with a mount", { script: "/shop", path: "/auth", doc: "/shop/auth", ...nginx }, "/shop/auth", "/shop"],
    ["a file that is not the program", { script: "/auth.fcgi", doc: "/auth.fcgi", ...nginx }, "/auth.fcgi"],
    ["a file of nginx that is called Apache", { script: "/auth.fcgi", doc: "/auth.fcgi", ...apache }, "/auth.fcgi"],
    ["a file of unknown servers", { script: "/auth.fcgi" }, "/auth.fcgi"],
    ["the program with another path", { script: "/mysite.fcgi", path: "/auth", ...nginx }, "/auth"],
    ["the program with another path, not split", { script: "/mysite.fcgi/auth", doc: "/mysite.fcgi/auth" }, "/auth"],
    ["what has to be encoded", { path: "/a b?#%\u00e9", query: "x=%20", ...caddy }, "/a%20b%3F%23%25%C3%A9?x=%20"],
    ["Caddy with a path that is split", { script: "/c.php", doc: "/c.php", path: "/x", ...caddy }, "/c.php/x", "/c.php"],
    ["Apache's rewrite", { script: "/d", query: "id=7", SCRIPT_URL: "/private/auth", ...apache }, "/d?id=7"],
    ["Apache's ErrorDocument", { script: "/error", status: "404", ...apache }, "/error"],
    [
      "Apache's ErrorDocument 403, which is the program",
      { script: "/mysite.fcgi", path: "/auth", status: "200", REDIRECT_REDIRECT_STATUS: "403", ...apache },
      "/auth",
    ],
    ["Apache's ErrorDocument 401, which is the program", { script: "/mysite.fcgi", status: "401", ...apache }, "/mysite.fcgi"],
    ["mod_include", { script: "/mysite.fcgi", path: "/auth", doc: "/private/auth", DOCUMENT_NAME: "auth", ...apache }, "/auth"],
    [
      "mod_include, of what a .htaccess leads to the program",
      { script: "/x.fcgi/d", path: "/d", REDIRECT_URL: "/d", SERVER_PROTOCOL: "INCLUDED", query: "id=5", ...apache },
      "/d?id=5",
    ],
    ["mod_include of another page", { script: "/d", doc: "/private/auth", DOCUMENT_NAME: "auth", ...apache }, "/d"],
  ];
  for (const [name, params, path, mount = ""] of table) {
    test(name, () => {
      for (
        const uri of [
          "/private/a",
          "/private/auth",
          "/private/auth?id=1",
          "/private/x%2f..%2fauth",
          "//private//auth",
          "/private/%252e%252e/auth",
          "/private/..%252fauth",
          "/private/x.fcgi",
          "/private/mysite.fcgi/auth",
          "http://elsewhere/private/auth",
        ]
      ) {
        const all = textParams({ host: "h", uri, ...params });
        const host = uri.startsWith("http") ? "elsewhere" : "h";
        const { url, scriptName } = seen(all);
        assert.deepEqual({ url, scriptName }, { url: `http://${host}${path}`, scriptName: mount }, uri);
        assert.equal(requestUrl(all, { urlFrom: "visitor" }), `http://${host}${uri.replace("http://elsewhere", "")}`);
      }
    });
  }
});

describe("dot segments are resolved as web servers do it", () => {
  const paths = {
    "/private/..%2fa?x=..%2f": "/a?x=..%2f",
    "/private/x%2F..%2f../a": "/a",
    "/private/x%2f%2E%2e/b": "/private/b",
    "/a%2f.%2fb%20c": "/a/b%20c",
    "/a/..%2f": "/",
    "/private//../a": "/a",
    "/private//%2E%2e/a?x=//..": "/a?x=//..",
    "/private//b/../../a": "/a",
    "/private/%2f/../a": "/a",
    "/private/./%2f%2F/../a": "/a",
    "/x%2fy/../private/a": "/x/private/a",
    "/x%2Fprivate/..//%2e/a": "/x/a",
    "//private//../a%3fb%2525": "/a%3Fb%2525",
    "/private/..\\/..%2f/../a": "/a",
    "/private/.\t./%2f/../../a": "/a",
    // These are not.
    "/a%2f...%2fb": "/a%2f...%2fb",
    "/a%2f..b": "/a%2f..b",
    "/a%252f..%252fb": "/a%252f..%252fb",
    "/a?%2f..%2fb": "/a?%2f..%2fb",
  };
  for (const [uri, path] of Object.entries(paths)) {
    test(uri, () => {
      const decoded = decodePercent(uri.replace(/\?.*/, ""));
      const resolved = decodePercent(path.replace(/\?.*/, ""));
      const caddy = { SERVER_SOFTWARE: "Caddy/v2.6.2", path: decoded };
      for (const more of [{ script: resolved }, { script: "/mysite.fcgi", doc: "/mysite.fcgi" }, caddy] as Given[]) {
        assert.equal(requestUrl(paramsOf({ host: "h", uri, ...more }), mysite), `http://h${path}`);
      }
      // HTTP, HAProxy, and lighttpd where it leads all to one file.
      for (const more of [{}, { path: decoded }, { script: "/mysite.fcgi" }] as Given[]) {
        const params = paramsOf({ host: "h", uri, ...more });
        assert.equal(requestUrl(params, mysite), uri === path ? `http://h${path}` : undefined);
        assert.equal(requestLine(params, mysite).status, uri === path ? undefined : 400);
        assert.equal(requestUrl(params, { urlFrom: "visitor" }), `http://h${uri.replaceAll("\\", "%5C").replace("\t", "%09")}`);
      }
    });
  }
});

test("Caddy's strip_prefix does not decide how dot segments are read, nor where the application is mounted", () => {
  const caddy = { SERVER_SOFTWARE: "Caddy/v2.6.2", script: "/shop", path: "/private/a" };
  const table = {
    "/shop/private/%2f/../a": "/shop/a",
    "/shop/private/%2f/../a/.": "/shop/a/",
    "/shop/x%2fy/../private/a": "/shop/x/private/a",
  };
  for (const [uri, path] of Object.entries(table)) {
    const pathInfo = path.slice("/shop".length);
    assert.deepEqual(seen(paramsOf({ host: "h", uri, ...caddy })), { url: `http://h${path}`, scriptName: "/shop", pathInfo });
  }
  const params = paramsOf({ host: "h", uri: "/shop//.", ...caddy, path: "/" });
  assert.deepEqual(seen(params), { url: "http://h/shop/", scriptName: "/shop", pathInfo: "/" });
  // It drops dots at the end before it looks for the mount.
  for (const uri of ["/shop/..", "/shop%2f..", "/shop/%2e%2E?x", "/shop/./.."]) {
    assert.equal(requestUrl(paramsOf({ host: "h", uri, ...caddy, path: "/.." }), mysite), undefined, uri);
  }
});

test("Apache with MergeSlashes Off, which has a part of a path with two slashes in SCRIPT_NAME and in PATH_INFO", () => {
  const table = [["/shop/x//a", "/shop/x", "/x//a"], ["/shop/x//a/b//c%20d", "/shop/x//a/b", "/x//a/b//c d"]];
  for (const [uri, script, path] of table) {
    assert.deepEqual(seen(paramsOf({ host: "h", uri, script, path, ...apache })), {
      url: `http://h${uri}`,
      scriptName: "/shop",
      pathInfo: path,
    });
  }
});

describe("dot segments are left to the URL parser where the web server has resolved them as it does", () => {
  const table: [name: string, uri: string, params: Record<string, string>, path: string][] = [
    ["nginx", "/x%2fy/./a", { script: "/x/y/a" }, "/x%2fy/a"],
    ["nginx with merge_slashes off", "/x//../private/a", { script: "/x/private/a", ...nginx }, "/x/private/a"],
    ["Apache with NoDecode", "/x%2f../private/a", { path: "/x%2f../private/a", ...apache }, "/x%2f../private/a"],
    ["Apache with NoDecode", "/private%2fx/../a", { path: "/a", ...apache }, "/a"],
    ["Apache with NoDecode, mysite.fcgi", "/private%2fx/../a", { script: "/mysite.fcgi", REDIRECT_URL: "/a", ...apache }, "/a"],
    ["Apache, mysite.fcgi", "/x//../private/a", { script: "/mysite.fcgi", REDIRECT_URL: "/private/a", ...apache }, "/private/a"],
    ["Apache with NoDecode", "/private%2f%23/%2e%2e%2f", { path: "/private%2f#/..%2f", ...apache }, "/private%2f%23/%2e%2e%2f"],
    ["Apache over AJP", "/private/%61/../b//c", {}, "/private/b//c"],
  ];
  for (const [name, uri, more, path] of table) {
    test(`${name}: ${uri}`, () => {
      const url = requestUrl(paramsOf({ host: "h", uri, ...more }), mysite);
      assert.equal(new URL(url!).pathname, path);
    });
  }
});

describe("a query", () => {
  const table: [name: string, uri: string, query: string | undefined, path: string][] = [
    ["that a rewrite added counts", "/a?x=1", "lang=en&x=1", "/a?lang=en&x=1"],
    ["counts where the visitor typed none", "/a", "id=7", "/a?id=7"],
    ["that was normalized stays as it was typed", "/a?x=%c3%a9&y=%7E", "x=%C3%A9&y=~", "/a?x=%c3%a9&y=%7E"],
    ["that was lost is the visitor's", "/a?x", "", "/a?x"],
    ["that is not told is the visitor's", "/a?x", undefined, "/a?x"],
    ["may have question marks", "/a?b?c", "b?c", "/a?b?c"],
    ["ends before a fragment", "/a?b#c", "b", "/a?b"],
  ];
  for (const [name, uri, sent, path] of table) {
    test(name, () => {
      const query: Given = sent === undefined ? {} : { query: sent };
      for (const more of [{ script: "/a" }, { script: "/mysite.fcgi" }, {}] as Given[]) {
        const params = textParams({ host: "h", uri, ...query, ...more });
        assert.equal(requestUrl(params, mysite), `http://h${path}`);
      }
    });
  }
});

test("a query is the visitor's no more where nginx went to the path without it", () => {
  const included = { host: "h", uri: "/a?x", script: "/a", doc: "/a", query: "" };
  assert.equal(seen(paramsOf(included)).url, "http://h/a");
  assert.equal(seen(paramsOf({ host: "h", uri: "/a?x", path: "/a", query: "" })).url, "http://h/a");
  assert.equal(requestUrl(paramsOf(included), { urlFrom: "visitor" }), "http://h/a?x");
  assert.equal(requestUrl(paramsOf({ ...included, uri: "/a?" })), "http://h/a?");
  // try_files $uri /index.php;
  const controlled = { ...included, script: "/index.php", doc: "/index.php" };
  assert.equal(requestUrl(paramsOf(controlled), { frontControllers: ["/index.php"] }), "http://h/a?x");
});

describe("what the URL is can be forced", () => {
  const params = paramsOf({ host: "h", uri: "/a/b?x", script: "/a", path: "/z", query: "y" });
  test("to the visitor's", () => {
    assert.deepEqual(seen(params, { urlFrom: "visitor" }), { url: "http://h/a/b?x", scriptName: "/a", pathInfo: "/b" });
  });
  test("to the web server's", () => {
    const program = paramsOf({ host: "h", uri: "/a", script: "/mysite.fcgi", doc: "/mysite.fcgi" });
    assert.equal(requestUrl(program, mysite), "http://h/a");
    assert.equal(requestUrl(program, { ...mysite, urlFrom: "target" }), "http://h/mysite.fcgi");
    assert.equal(requestUrl(paramsOf({ host: "h", uri: "/a" }), { urlFrom: "target" }), "http://h/a");
  });
});

describe("the mount and the rest of the path", () => {
  const table: [name: string, params: Given, scriptName: string, pathInfo: string][] = [
    ["mysite.fcgi in .htaccess, at the root", { uri: "/", script: "/mysite.fcgi", path: "/" }, "", "/"],
    ["mysite.fcgi itself", { uri: "/mysite.fcgi/direct", script: "/mysite.fcgi", path: "/direct" }, "/mysite.fcgi", "/direct"],
    [
      "mysite.fcgi itself, in a virtual host",
      { uri: "/mysite.fcgi/direct", script: "", path: "/mysite.fcgi/direct" },
      "",
      "/mysite.fcgi/direct",
    ],
    ["a rewrite with [PT]", { uri: "/a%20b/c?x=1", script: "/mysite.fcgi", path: "/a b/c" }, "", "/a b/c"],
    [".htaccess in a subdirectory", { uri: "/sub/a%20b/c?x=1", script: "/sub/mysite.fcgi", path: "/a b/c" }, "/sub", "/a b/c"],
    [".htaccess in a subdirectory, at its root", { uri: "/sub/", script: "/sub/mysite.fcgi", path: "/" }, "/sub", "/"],
    [
      "mysite.fcgi itself, without a path",
      { uri: "/sub/mysite.fcgi?x", script: "/sub/mysite.fcgi", path: "" },
      "/sub/mysite.fcgi",
      "",
    ],
    [
      "Django's rewrite in a virtual host, for a part of the site",
      { uri: "/sub/a%20b", SCRIPT_URL: "/sub/a b", script: "/sub", path: "/a b" },
      "/sub",
      "/a b",
    ],
    [
      "a rewrite with [PT] for a part of the site",
      { uri: "/sub/a", SCRIPT_URL: "/sub/a", script: "/mysite.fcgi", path: "/a" },
      "/sub",
      "/a",
    ],
    [
      "a rewrite in .htaccess that hands on no path",
      { uri: "/sub/a%20b", REDIRECT_URL: "/sub/a b", script: "/sub/mysite.fcgi" },
      "/sub",
      "/a b",
    ],
    ["FallbackResource, which says nothing else", { uri: "/sub/a", script: "/sub/mysite.fcgi" }, "/sub", "/a"],
    ["try_files of nginx", { uri: "/sub/a", script: "/sub/mysite.fcgi", path: "" }, "/sub", "/a"],
    ["a rewrite to another page", { uri: "/a/x", SCRIPT_URL: "/a/x", script: "/a/y" }, "", "/a/y"],
    ["a page that is called like a program", { uri: "/a//b.cgi", script: "/a/b.cgi" }, "", "/a//b.cgi"],
    [
      "lighttpd's rewrite-once",
      { uri: "/a%20b?x", REDIRECT_URI: "/mysite.fcgi/a%20b?x", script: "/mysite.fcgi", path: "/a b" },
      "",
      "/a b",
    ],
    ["SCRIPT_URL without REQUEST_URI", { SCRIPT_URL: "/sub/a%b", script: "/mysite.fcgi", path: "/a%b" }, "/sub", "/a%b"],
    [
      "REDIRECT_URL without REQUEST_URI, of the first redirect",
      { REDIRECT_REDIRECT_URL: "/sub/a", REDIRECT_URL: "/mysite.fcgi/a", script: "/mysite.fcgi", path: "/a" },
      "/sub",
      "/a",
    ],
    ["ScriptAlias", { uri: "/django/a%20b/c", script: "/django", path: "/a b/c" }, "/django", "/a b/c"],
    ["ScriptAlias, its own path", { uri: "/django/", script: "/django", path: "/" }, "/django", "/"],
    ["nginx fastcgi_split_path_info, the mount itself", { uri: "/app?x", script: "/app", path: "" }, "/app", ""],
    ["mod_proxy_fcgi, its own path", { uri: "/app?x", script: "/app", path: "/", ...apache }, "/app", ""],
    ["nginx fastcgi_params alone", { uri: "/app/x", script: "/app/x" }, "", "/app/x"],
    ["nginx scgi_params", { uri: "/app/x?y" }, "", "/app/x"],
    ["nginx uwsgi_params", { uri: "/app/a%20b/c", path: "/app/a b/c" }, "", "/app/a b/c"],
    [
      "proxy-fcgi-pathinfo, which leaves PATH_INFO encoded",
      { uri: "/one/a%20b/d.py/e.f/g", script: "/one/a b", path: "/a%20b/d.py/e.f/g", ...apache },
      "/one",
      "/a b/d.py/e.f/g",
    ],
    [
      "proxy-fcgi-pathinfo=unescape",
      { uri: "/unescape/a%20b/d.py", script: "/unescape", path: "/a b/d.py" },
      "/unescape",
      "/a b/d.py",
    ],
    ["Caddy handle_path, which loses the mount", { uri: "/app/x", script: "", path: "/x" }, "", "/x"],
    ["lighttpd at an empty prefix", { uri: "/a%20b", script: "/a b" }, "", "/a b"],
    ["slashes that Apache merged", { uri: "/a//b?x", script: "/mysite.fcgi", path: "/a/b" }, "", "/a/b"],
    ["slashes that were merged behind a mount", { uri: "/app//a///b/", script: "/app", path: "/a/b/" }, "/app", "/a/b/"],
    ["slashes that HAProxy keeps", { uri: "/a//b", script: "/a//b" }, "", "/a//b"],
    ["dot segments that were resolved", { uri: "//x/../y/./z", script: "", path: "/y/z" }, "", "/y/z"],
    ["dot segments that lead above the root", { uri: "/../../y/", script: "/mysite.fcgi", path: "/y/" }, "", "/y/"],
    ["dot segments to the root", { uri: "/x/..", script: "/mysite.fcgi", path: "/" }, "", "/"],
    ["dot segments behind a mount", { uri: "/app/x/../y", script: "/app", path: "/y" }, "/app", "/y"],
    ["a mount with two slashes before it", { uri: "//app/y", script: "/app", path: "/y" }, "/app", "/y"],
    ["another host in what was resolved", { uri: "//evil.example/..//y", script: "/mysite.fcgi", path: "/y" }, "", "/y"],
    [
      "another host where the path is not split",
      { uri: "//evil.example/y", script: "//evil.example/y", path: "" },
      "",
      "//evil.example/y",
    ],
    ["dots that are no dot segments", { uri: "/a./.b/..c/...", script: "/a./.b", path: "/..c/..." }, "/a./.b", "/..c/..."],
    ["the whole URL in the request line", { uri: "http://h:8080/app/x?y=http://z/", script: "/app", path: "/x" }, "/app", "/x"],
    ["the whole URL without a path", { uri: "http://h?x" }, "", "/"],
    ["a question mark alone", { uri: "?x" }, "", "/"],
    ["OPTIONS *", { uri: "*" }, "", "*"],
    ["an encoded question mark", { uri: "/a%3Fb?c", script: "", path: "/a?b" }, "", "/a?b"],
    ["an encoded percent sign, decoded once", { uri: "/a%2541", script: "/mysite.fcgi", path: "/a%41" }, "", "/a%41"],
    ["an encoded NUL", { uri: "/a%00b", path: "/a\0b" }, "", "/a\0b"],
    ["a percent sign without digits", { uri: "/a%zz%4" }, "", "/a%zz%4"],
    ["UTF-8", { uri: "/%C3%A9/%c3%a8", script: "/\xc3\xa9", path: "/\xc3\xa8" }, "/\u00e9", "/\u00e8"],
    ["bytes that are no UTF-8", { uri: "/%E9" }, "", "/\xe9"],
    ["no REQUEST_URI", { script: "/app", path: "/a b" }, "/app", "/a b"],
    ["no REQUEST_URI and a slash behind the mount", { script: "/app/", path: "" }, "/app", ""],
    ["nothing at all", {}, "", ""],
    ["a PATH_INFO of another URL", { uri: "/x/y", script: "/elsewhere", path: "/z" }, "/elsewhere", "/z"],
    ["a PATH_INFO of another URL below SCRIPT_NAME", { uri: "/x/y", script: "/x", path: "/z" }, "/x", "/z"],
    ["a PATH_INFO of another URL beside SCRIPT_NAME", { uri: "/xx/y", script: "/x", path: "/z" }, "/x", "/z"],
  ];
  for (const [name, params, scriptName, pathInfo] of table) {
    test(name, () => assert.deepEqual(requestMount(paramsOf(params), mysite), { scriptName, pathInfo }));
  }
});

describe("the mount and the rest of the path are those of the URL where the visitor typed dots", () => {
  // A web server asks for a password by the resolved path: an application that goes by /private/ must not see that.
  const uris = [
    "/private/../b",
    "/private/%2e%2e/b",
    "/private/x/.%2E/../b",
    "/./b",
    "//private/..//b",
    "/private/../b/.",
    "/b/../b",
  ];
  const servers: Record<string, (uri: string, path: string) => Given> = {
    "nginx over FastCGI": (_, path) => ({ script: path, doc: path, ...nginx }),
    "nginx over FastCGI, at a mount": (_, path) => ({ script: "/app", path, doc: `/app${path}`, ...nginx }),
    "nginx over uwsgi": (_, path) => ({ path, doc: path }),
    "mod_proxy_uwsgi with nocanon": (uri, path) => ({ script: path, path: decodeURI(uri), ...apache }),
    "HTTP, HAProxy": (uri) => ({ script: "", path: decodeURI(uri) }),
    "no more than REQUEST_URI": () => ({}),
  };
  for (const [server, params] of Object.entries(servers)) {
    for (const uri of uris) {
      test(`${uri}, ${server}`, () => {
        const mount = server.endsWith("mount") ? "/app" : "";
        const path = new URL(`http://h${uri}`).pathname.replace(/\/+/g, "/");
        const given = paramsOf({ host: "h", uri: mount + uri, ...params(uri, path) });
        for (const options of [mysite, { urlFrom: "visitor" }] as UrlOptions[]) {
          const { url, scriptName, pathInfo } = seen(given, options);
          assert.equal(new URL(url!).pathname.replace(/\/+/g, "/"), mount + path);
          assert.deepEqual([scriptName, pathInfo.replace(/\/+/g, "/")], [mount, path]);
        }
      });
    }
  }

  describe("and encoded slashes stay where the web server may not have seen a slash", () => {
    const table: [server: string, params: Given, pathInfo: string][] = [
      ["Apache with NoDecode", { script: "", path: "/private%2fa/b c", ...apache }, "/private%2fa/b c"],
      ["Apache with NoDecode, mod_proxy_fcgi", { script: "/private%2fa/b c", ...apache }, "/private%2fa/b c"],
      ["mysite.fcgi", { script: "/mysite.fcgi", REDIRECT_URL: "/private%2fa/b c", ...apache }, "/private%2fa/b c"],
      ["mysite.fcgi with On", { script: "/mysite.fcgi", REDIRECT_URL: "/private/a/b c", ...apache }, "/private/a/b c"],
      ["Apache with AllowEncodedSlashes On", { script: "", path: "/private/a/b c", ...apache }, "/private/a/b c"],
      ["HTTP, AJP", { script: "", path: "/private/a/b c" }, "/private%2fa/b c"],
      ["HAProxy", { script: "/private/a/b c" }, "/private%2fa/b c"],
      ["no more than REQUEST_URI", {}, "/private%2fa/b c"],
      ["nginx", { script: "/private/a/b c", doc: "/private/a/b c", ...nginx }, "/private/a/b c"],
      ["lighttpd", { script: "", path: "/private/a/b c", SERVER_SOFTWARE: "lighttpd/1.4" }, "/private/a/b c"],
      ["Caddy", { script: "", path: "/private/a/b c", ...caddy }, "/private/a/b c"],
    ];
    for (const [server, params, pathInfo] of table) {
      test(server, () => {
        const given = paramsOf({ host: "h", uri: "/private%2fa/b%20c", ...params });
        assert.deepEqual(seen(given), { url: "http://h/private%2fa/b%20c", scriptName: "", pathInfo });
      });
    }
  });

  test("and no visitor moves the mount by an encoded percent sign", () => {
    const software = { SERVER_SOFTWARE: "lighttpd/1.4.69" };
    const table = [
      ["/%2f/%252fprivate/a", "/%2fprivate/a"],
      ["/%252f///private/a", "/%2f/private/a"],
      ["/%2f//b/../..", "/"],
    ];
    for (const [uri, path] of table) {
      const { scriptName, pathInfo: rest } = seen(paramsOf({ host: "h", uri, script: "", path, ...software }));
      assert.deepEqual([scriptName, rest], ["", path], uri);
    }
  });

  test("and no visitor moves the mount by an encoded slash that the web server takes for one", () => {
    // nginx over uwsgi, HAProxy with path-info: the path is divided when it has been decoded.
    const table = [
      ["/shop%2fprivate/a", "/shop", "/private/a", "/shop%2fprivate/a"],
      ["/shop/private%2fa", "/shop", "/private/a", "/private%2fa"],
      ["/my%2fshop/a", "/my/shop", "/a", "/my%2fshop/a"],
      ["/my%2fshop%2fa", "/my/shop", "/a", "/my%2fshop%2fa"],
    ];
    for (const [uri, script, path, pathInfo] of table) {
      const given = paramsOf({ host: "h", uri, script, path });
      assert.deepEqual(seen(given), { url: `http://h${uri}`, scriptName: script, pathInfo });
    }
  });

  describe("and a .htaccess that leads to mysite.fcgi/$1, which decodes the path twice, changes neither URL nor mount", () => {
    const table: [uri: string, mount: string, rest: string, pathInfo: string][] = [
      ["/private%252fa", "", "/private/a", "/private%2fa"],
      ["/%252e/private/a", "", "/private/a", "/%2e/private/a"],
      ["/%252f/private", "", "/private", "/%2f/private"],
      ["/private%23//%23", "", "/private", "/private#//#"],
      ["/a%2520b", "", "/a b", "/a%20b"],
      ["/a%20b/c", "", "/a b/c", "/a b/c"],
      ["/shop/x%252fy", "/shop", "/x/y", "/x%2fy"],
      ["/shop/%252f/a", "/shop", "/a", "/%2f/a"],
      ["/shop/%23/a", "/shop", "/", "/#/a"],
    ];
    for (const [uri, mount, rest, pathInfo] of table) {
      test(uri, () => {
        const typed = decodePercent(uri);
        const given = paramsOf({ host: "h", uri, script: `${mount}/mysite.fcgi`, path: rest, REDIRECT_URL: typed, ...apache });
        assert.deepEqual(seen(given), { url: `http://h${uri}`, scriptName: mount, pathInfo });
      });
    }
  });

  test("and two slashes move no mount where a .htaccess leads to mysite.fcgi", () => {
    const given = paramsOf({ host: "h", uri: "//shop/a", script: "/shop/mysite.fcgi", REDIRECT_URL: "/shop/a", ...apache });
    assert.deepEqual(seen(given), { url: "http://h//shop/a", scriptName: "/shop", pathInfo: "/a" });
  });

  test("where web servers would not agree and the request is refused", () => {
    const params = paramsOf({ host: "h", uri: "/private%2f../b", path: "/private/../b" });
    assert.deepEqual(seen(params), { url: undefined, scriptName: "", pathInfo: "/private%2f../b" });
  });
});

describe("mod_proxy_uwsgi with nocanon, whose PATH_INFO has all that the visitor typed behind the mount, and the query", () => {
  const table: [uri: string, mount: string, script: string, path: string, resolved?: string][] = [
    ["/b?x=1", "", "/b", "/b?x=1"],
    ["/b/?x=1", "", "/b/", "/b/?x=1"],
    ["/?x=1", "", "/", "/?x=1"],
    ["/private%3Fx?a%20b", "", "/private?x", "/private?x?a b"],
    ["/app/b?x=1", "/app", "", "/b?x=1"],
    ["/app/b?x=12", "/app", "/app/b", "/b?x=12"],
    ["/app/long/path?x", "/app", "/a", "/long/path?x"],
    ["/app/?x=1", "/app", "", "/?x=1"],
    ["/app/a%20b/c?x=%26", "/app", "", "/a b/c?x=&"],
    ["/app/y//x", "/app", "/ap", "/y//x"],
    ["/app/x/../b", "/app", "/app/b", "/x/../b", "/app/b"],
    ["/app/x/.././b?c", "/app", "/app/b", "/x/.././b?c", "/app/b"],
    // What the visitor chooses by the query, which was looked at by nobody.
    ["/%70rivate/.%2e?//private/a", "", "/", "/private/..?//private/a", "/"],
    ["/x/..?/private/a", "", "/", "/x/..?/private/a", "/"],
    ["/b?/../../../private/a", "", "/b", "/b?/../../../private/a"],
    ["/?/../private/a", "", "/", "/?/../private/a"],
    ["/app/b?/../../private", "/app", "/app/b", "/b?/../../private"],
  ];
  for (const [uri, mount, script, path, resolved = uri.split("?")[0]] of table) {
    test(uri, () => {
      const query = uri.split("?")[1] ?? "";
      const { url, scriptName, pathInfo } = seen(paramsOf({ host: "h", uri, script, path, query, ...apache }));
      assert.equal(url, `http://h${resolved}${query && `?${query}`}`);
      assert.deepEqual([scriptName, pathInfo], [mount, decodeURIComponent(resolved.slice(mount.length))]);
    });
  }

  test("or the slash of the mount twice, to which a rewrite led", () => {
    const params = paramsOf({ host: "h", uri: "/old/", script: "/app/", path: "/", SCRIPT_URL: "/old/", ...apache });
    assert.deepEqual(seen(params), { url: "http://h/app/", scriptName: "/app", pathInfo: "/" });
  });

  test("is not taken for that where a rewrite led elsewhere, whatever the query is", () => {
    const params = { host: "h", uri: "/app/old/z?/new/z", script: "/app", path: "/new/z", query: "/new/z", ...apache };
    assert.equal(seen(paramsOf(params)).url, "http://h/app/new/z?/new/z");
  });
});

describe("a mount that is forced", () => {
  const table: [name: string, forced: string, params: Given, ...Table[string]][] = [
    ["counts for more than the params", "", { uri: "/a/b", script: "/a", path: "/b" }, "/a/b", "", "/a/b"],
    ["is cut from the path", "/a", { uri: "/a/b%20c?d", script: "/a/b c" }, "/a/b%20c?d", "/a", "/b c"],
    ["is the whole path", "/a", { uri: "/a?d" }, "/a?d", "/a", ""],
    ["comes back where it was cut off", "/a b", { uri: "/c?d" }, "/a%20b/c?d", "/a b", "/c"],
    ["comes back before the root", "/a", { uri: "/" }, "/a/", "/a", "/"],
    ["is more than the begin of a name", "/a", { uri: "/ab" }, "/a/ab", "/a", "/ab"],
    ["is seen through slashes and dots", "/a", { uri: "//x/../a//b" }, "//a//b", "/a", "/b"],
    ["is seen in capitals of an encoding", "/\xc3\xa9", { uri: "/%c3%a9/b" }, "/%c3%a9/b", "/\u00e9", "/b"],
    ["is cut where no REQUEST_URI is", "/a", { script: "/a", path: "/b c" }, "/a/b%20c", "/a", "/b c"],
    ["is below the dots of a visitor", "/a", { uri: "/x/../a/b/../c" }, "/a/c", "/a", "/c"],
    ["comes back in a whole URL", "/a", { uri: "http://h/b" }, "/a/b", "/a", "/b"],
  ];
  for (const [name, forced, params, path, scriptName, pathInfo] of table) {
    test(name, () => {
      const all = paramsOf({ host: "h", ...params });
      assert.deepEqual(seen(all, { scriptName: forced }), { url: `http://h${path}`, scriptName, pathInfo });
    });
  }

  test("is not left by the dots of a visitor", () => {
    for (const uri of ["/a/..", "/a/../private/b", "/a/%2e%2e/b?c", "/a//../../b", "/a/b/../../ab"]) {
      const params = paramsOf({ host: "h", uri });
      assert.equal(requestUrl(params, { scriptName: "/a" }), undefined, uri);
      const { status, reason } = requestLine(params, { scriptName: "/a" }) as { status: number; reason: string };
      assert.deepEqual([status, reason.slice(0, 49)], [400, "dots in the path that lead out of the application"]);
    }
  });

  test("is empty, or has a slash before each segment", () => {
    for (const text of ["", "/a", "/a/b.c", "/a b/\u00e9"]) assert.ok(isScriptName(text), text);
    for (const text of ["a", "/", "/a/", "//a", "/a//b", "/..", "/a/./b", "/a?b", "/a#b", "/a\\b"]) {
      assert.ok(!isScriptName(text), text);
    }
  });
});

describe("the URL", () => {
  const table: [name: string, params: Given, url: string][] = [
    // Paths.
    ["of a path as it came, encoded slashes included", { host: "h", uri: "/a%2Fb%3F?x=%20&y" }, "http://h/a%2Fb%3F?x=%20&y"],
    ["of a path with dot segments, as any browser would have sent it", { host: "h", uri: "//x/../y/./z" }, "http://h//y/z"],
    [
      "of a path that begins with two slashes, which is no host",
      { host: "h", uri: "//evil.example/x" },
      "http://h//evil.example/x",
    ],
    ["of a path that begins with a backslash", { host: "h", uri: "/\\evil.example" }, "http://h/%5Cevil.example"],
    // For the web server that guards /private/, none of these is below it.
    ["of a path with a backslash, which is no slash", { host: "h", uri: "/private\\a" }, "http://h/private%5Ca"],
    [
      "of a path with dots before a backslash, which are no segment",
      { host: "h", uri: "/x/..\\private/a?b\\c" },
      "http://h/x/..%5Cprivate/a?b\\c",
    ],
    ["of a whole URL with a backslash", { host: "h", uri: "http://other/private\\a" }, "http://other/private%5Ca"],
    [
      "of a path with control characters, which are not dropped",
      { host: "h", uri: "/priv\tate/.\n./a\r?x\ty" },
      "http://h/priv%09ate/.%0A./a%0D?x%09y",
    ],
    ["of a path that ends with a blank", { host: "h", uri: "/a " }, "http://h/a%20"],
    ["of a path with an @", { host: "h", uri: "/@evil.example" }, "http://h/@evil.example"],
    ["of OPTIONS *", { host: "h", uri: "*" }, "http://h/*"],
    ["of a query without a path", { host: "h", uri: "?x" }, "http://h/?x"],
    ["with an encoded NUL", { host: "h", uri: "/a%00b" }, "http://h/a%00b"],
    ["with a percent sign that encodes nothing", { host: "h", uri: "/%zz" }, "http://h/%zz"],
    ["with a bare #, which is data", { host: "h", uri: "/a#b?c#d" }, "http://h/a%23b?c%23d"],
    ["with UTF-8 that nobody encoded", { host: "h", uri: "/\xc3\xa9?\xe2\x82\xac" }, "http://h/%C3%A9?%E2%82%AC"],
    ["with a Latin-1 byte that nobody encoded", { host: "h", uri: "/\xe9" }, "http://h/%E9"],
    ["with quotes and blanks that nobody encoded", { host: "h", uri: '/a b"<>' }, "http://h/a%20b%22%3C%3E"],
    // The whole URL in the request line.
    ["from the request line counts for more than Host", { host: "h", uri: "http://other:8080/p?q" }, "http://other:8080/p?q"],
    [
      "from the request line has the scheme of the connection",
      { HTTPS: "on", host: "h", uri: "http://other/p" },
      "https://other/p",
    ],
    ["from a request line without a path", { host: "h", uri: "http://other" }, "http://other/"],
    ["from a request line with a query and no path", { host: "h", uri: "HTTP://other?x" }, "http://other/?x"],
    ["in the path is a part of it", { host: "h", uri: "/http://other/" }, "http://h/http://other/"],
    // Without REQUEST_URI.
    ["of decoded params is encoded again", {
      host: "h",
      script: "/a p",
      path: "/\xc3\xa9?#%",
      query: "x=%20",
    }, "http://h/a%20p/%C3%A9%3F%23%25?x=%20"],
    ["of no params but the host", { host: "h" }, "http://h/"],
    ["of no params at all", {}, "http://localhost/"],
    // Hosts and ports.
    ["with a host in capitals and the scheme's own port", { host: "EXAMPLE.com:80", uri: "/" }, "http://example.com/"],
    ["with another port", { host: "example.com:8080", port: "80", uri: "/" }, "http://example.com:8080/"],
    ["with an empty port", { host: "example.com:", uri: "/" }, "http://example.com/"],
    ["with the largest port", { host: "example.com:65535", uri: "/" }, "http://example.com:65535/"],
    ["with an IPv4 address", { host: "192.0.2.1:81", uri: "/" }, "http://192.0.2.1:81/"],
    ["with an IPv6 address", { host: "[2001:DB8::1]:81", uri: "/" }, "http://[2001:db8::1]:81/"],
    ["with a punycode host", { host: "xn--bcher-kva.example", uri: "/" }, "http://xn--bcher-kva.example/"],
    ["with an underscore in the host", { host: "my_app.internal", uri: "/" }, "http://my_app.internal/"],
    ["of HTTP/1.0 has the server's name and port", { name: "example.com", port: "8080", uri: "/" }, "http://example.com:8080/"],
    ["of HTTP/1.0 with an empty Host, as nginx and Caddy send it", {
      host: "",
      name: "",
      port: "80",
      uri: "/",
    }, "http://localhost/"],
    ["of HTTP/1.0 over TLS", { HTTPS: "on", name: "example.com", port: "443", uri: "/" }, "https://example.com/"],
    ["of HTTP/1.0 over TLS on port 80", { HTTPS: "on", name: "example.com", port: "80", uri: "/" }, "https://example.com:80/"],
    [
      "of HAProxy, whose server name has the port",
      { name: "example.com:8080", port: "8080", uri: "/" },
      "http://example.com:8080/",
    ],
    ["of a server whose name is an IPv6 address", { name: "2001:db8::1", port: "8080", uri: "/" }, "http://[2001:db8::1]:8080/"],
    ["of a server whose name is an IPv6 address in brackets", { name: "[::1]", port: "80", uri: "/" }, "http://[::1]/"],
    ["of an invalid server port", { name: "example.com", port: "socket", uri: "/" }, "http://example.com/"],
  ];
  for (const [name, params, url] of table) {
    test(name, () => assert.equal(seen(paramsOf(params)).url, url));
  }

  const schemes: [params: Given, scheme: string][] = [
    [{}, "http"],
    [{ HTTPS: "on" }, "https"],
    [{ HTTPS: "ON" }, "https"],
    [{ HTTPS: "1" }, "https"],
    [{ HTTPS: "true" }, "https"],
    [{ HTTPS: "off" }, "http"],
    [{ HTTPS: "OFF" }, "http"],
    [{ HTTPS: "0" }, "http"],
    [{ HTTPS: "" }, "http"],
    [{ HTTPS: "once" }, "http"],
    [{ HTTPS: "", REQUEST_SCHEME: "https" }, "https"],
    [{ HTTPS: "off", REQUEST_SCHEME: "https" }, "http"],
    [{ HTTPS: "on", REQUEST_SCHEME: "http" }, "https"],
    [{ REQUEST_SCHEME: "HTTPS" }, "https"],
    [{ REQUEST_SCHEME: "http" }, "http"],
    [{ REQUEST_SCHEME: "javascript" }, "http"],
    [{ HTTP_X_FORWARDED_PROTO: "https" }, "http"],
  ];
  for (const [params, scheme] of schemes) {
    test(`with ${JSON.stringify(params)} is ${scheme}`, () => {
      const url = requestUrl(paramsOf({ host: "h", uri: "/", ...params }));
      assert.equal(url, `${scheme}://h/`);
    });
  }
});

describe("the port that Debian's nginx loses", () => {
  const nginx = { SERVER_SOFTWARE: "nginx/1.22.1", port: "8080", uri: "/" };
  const table: [name: string, params: [string, string][], url: string][] = [
    ["comes back from SERVER_PORT", [["HTTP_HOST", "h"]], "http://h:8080/"],
    ["comes back behind an IPv6 address", [["HTTP_HOST", "[::1]"]], "http://[::1]:8080/"],
    ["is not doubled", [["HTTP_HOST", "h:81"]], "http://h:81/"],
    ["comes back whatever a value is", [["HTTP_HOST", "h"], ["HTTP_X_NAME", "HTTP_HOST"]], "http://h:8080/"],
    ["is not missed where HTTP_HOST is given again", [["HTTP_HOST", "h"], ["HTTP_HOST", "h"]], "http://h/"],
    ["is not the visitor's behind another proxy", [["HTTP_HOST", "h"], ["HTTP_X_FORWARDED_FOR", "192.0.2.1"]], "http://h/"],
    ["is not the visitor's behind a proxy that says Forwarded", [["HTTP_HOST", "h"], ["HTTP_FORWARDED", "for=x"]], "http://h/"],
    ["is not the visitor's behind a proxy that says Via", [["HTTP_HOST", "h"], ["HTTP_VIA", "1.1 x"]], "http://h/"],
  ];
  for (const [name, extra, url] of table) {
    test(name, () => assert.equal(requestUrl(new Params([...pairsOf(nginx), ...extra].flat())), url));
  }

  test("is not looked for with the scheme's own port", () => {
    assert.equal(requestUrl(textParams({ ...nginx, port: "80", host: "h" })), "http://h/");
    assert.equal(requestUrl(textParams({ ...nginx, port: "443", HTTPS: "on", host: "h" })), "https://h/");
  });

  test("is not looked for with other servers", () => {
    for (const software of ["Apache/2.4.71", "lighttpd/1.4.69", "Caddy/v2", ""]) {
      const params = textParams({ ...nginx, SERVER_SOFTWARE: software, host: "h" });
      assert.equal(requestUrl(params), "http://h/", software);
    }
  });
});

describe("an invalid host gives no URL", () => {
  const hosts = "a@b user:pass@b a/b a?b a#b a\\b a%00b a%2fb a%40b".split(" ");
  const blanks = ["a b", " a", "a\tb", "a\r\nb", "a\0b", "a\x7fb", "a\x04"];
  const broken = "[::1 ::1 [::1]x [:::1] [a] a:b a:99999 a:65536 a:-1 a:1:2 a:1@b :80 % <a> a|b a^b".split(" ");
  const numbers = ["1.2.3.4.5", "256.256.256.256", "1.2.3.04x8.9", "xn--a\xff", "0x1ffffffff"];
  for (const host of [...hosts, ...blanks, ...broken, ...numbers]) {
    test(`${JSON.stringify(host)} in Host`, () => {
      assert.equal(requestUrl(paramsOf({ host, uri: "/x" })), undefined);
    });
  }
  for (const host of ["a@b", "a:99999", "[::1", "a b", ""]) {
    test(`${JSON.stringify(host)} in the request line`, () => {
      assert.equal(requestUrl(paramsOf({ host: "h", uri: `http://${host}/x` })), undefined);
    });
  }
  test("an invalid name of the server", () => {
    assert.equal(requestUrl(paramsOf({ name: "a@b", uri: "/" })), undefined);
  });
});

test("the short way gives the same URL for any params", () => {
  const random = new Random(7);
  const paths = ["/a", "/a/b", "/", "", "//a", "/a\\b", "/a%2fb", "/a/../b", "/a#b", "/\xe4", "/a b", "/a\tb", "http://h/a", "*"];
  const values: Record<string, readonly string[]> = {
    HTTPS: ["", "on", "off", "1"],
    REQUEST_SCHEME: ["", "http", "https", "ftp"],
    HTTP_HOST: ["h", "h:80", "h:443", "h:8080", "h:08080", "", "a@b", "[::1]", "H", "1.2", "0x7f", "xn--a", "127.0.0.1", "a_b.c"],
    SERVER_PORT: ["", "80", "443", "8080"],
    SERVER_NAME: ["", "s"],
    REQUEST_URI: [...paths, ...paths.map((path) => `${path}?x=1`)],
    SCRIPT_NAME: paths,
    PATH_INFO: ["", ...paths],
    DOCUMENT_URI: ["", ...paths],
    QUERY_STRING: ["", "x=1", "y"],
  };
  for (let i = 0; i < 20_000; i++) {
    const pairs = Object.entries(values).filter(() => !random.once(4)).flatMap(([name, some]) => [name, random.pick(some)]);
    // Now and then twice.
    if (random.once(8)) pairs.push(...pairs.slice(0, 2));
    const params = new Params(pairs);
    assert.equal(requestUrl(params), requestUrl(params, {}, () => {}), JSON.stringify(pairs));
    const usual = usualUrl(params);
    if (usual !== undefined) assert.equal(new URL(usual).href, usual, JSON.stringify(pairs));
  }
});

test("nothing is left to normalize of a URL that needs no closer look", () => {
  const random = new Random(8);
  const all = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
  const most = "/ . .. %2e %2f a a b - ? & = ~ ! $ ( * + , ; : @".split(" ");
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    const part = () => random.once(30) ? random.pick(all) : random.pick(most);
    const sent = `/${Array.from({ length: random.int(8) }, part).join("")}`;
    const [path, ...query] = sent.split("?");
    const usual = usualUrl(paramsOf({ host: "h", uri: sent, script: path, query: query.join("?") }));
    if (usual === undefined) continue;
    found++;
    assert.equal(usual, `http://h${sent}`);
    assert.equal(new URL(usual).href, usual);
  }
  assert.ok(found > 1000, `only ${found} URLs needed no closer look`);
});
