import assert from "node:assert/strict";
import { describe, test } from "node:test";
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
    "apache-proxy_fcgi-get": ["http://localhost:21200/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "apache-proxy_fcgi-headers": ["http://localhost:21200/app/h", "", "/app/h"],
    "apache-proxy_fcgi-https": ["https://localhost:21209/f/x", "", "/f/x"],
    "apache-proxy_fcgi-https-std": ["https://localhost:21209/fstd/x", "", "/fstd/x"],
    "apache-proxy_fcgi-post20": ["http://localhost:21200/app/post?x=1", "", "/app/post"],
    "apache-proxy_fcgi-proxypass-mount": ["http://localhost:21202/app/a%20b%2Fc/d?x=1", "", "/app/a b/c/d"],
    "apache-proxy_fcgi-reuse-get": ["http://localhost:21201/app/a%20b/c/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "apache-proxy_fcgi-reuse-seq3": ["http://localhost:21201/app/ka0", "", "/app/ka0"],
    "apache-proxy_fcgi-rewrite-p": ["http://localhost:21202/rw/a%20b/d?x=1", "", "/rw/a b/d"],
    "apache-proxy_fcgi-sethandler": ["http://localhost:21202/sethandler/a%20b%2Fc/d?x=1", "/sethandler", "/a b/c/d"],
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
    "h2o-fcgi-get": ["http://localhost:21600/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "h2o-fcgi-headers": ["http://localhost:21600/app/h", "", "/app/h"],
    "h2o-fcgi-post20": ["http://localhost:21600/app/post?x=1", "", "/app/post"],
    // HAProxy: a mount only with path-info.
    "haproxy-fcgi-get": ["http://localhost:21500/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "haproxy-fcgi-headers": ["http://localhost:21500/app/h", "", "/app/h"],
    "haproxy-fcgi-https": ["https://localhost:21503/x", "", "/x"],
    "haproxy-fcgi-mpx-abort": ["http://localhost:21511/app/x", "/app", "/x"],
    "haproxy-fcgi-mpx-get": ["http://localhost:21511/app/a%20b%2Fc/d?x=1&y=%20z", "/app", "/a b/c/d"],
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
    "apache-proxy_scgi-get": ["http://localhost:21203/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
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
    "nginx-uwsgi-get": ["http://localhost:21105/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
    "nginx-uwsgi-headers": ["http://localhost:21105/app/h", "", "/app/h"],
    "nginx-uwsgi-post20": ["http://localhost:21105/app/post?x=1", "", "/app/post"],
    // uWSGI's router: all of the path is PATH_INFO.
    "uwsgihttp-uwsgi-chunked": ["http://localhost:21700/app/chunk", "", "/app/chunk"],
    "uwsgihttp-uwsgi-get": ["http://localhost:21700/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
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
    "apache-proxy_ajp-get": ["http://localhost:21205/app/a%20b%2Fc/d?x=1&y=%20z", "", "/app/a b/c/d"],
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

const apache = { SERVER_SOFTWARE: "Apache/2.4.71 (Debian)" };
const nginx = { SERVER_SOFTWARE: "nginx/1.22.1" };
const caddy = { SERVER_SOFTWARE: "Caddy/v2.6.2" };
const lighttpd = { SERVER_SOFTWARE: "lighttpd/1.4.69" };

describe("a URL that the visitor typed stays as it is", () => {
  const table: [name: string, params: Record<string, string>, scriptName: string, pathInfo: string, options?: UrlOptions][] = [
    ["nginx with a file", { REQUEST_URI: "/a%20b?x", SCRIPT_NAME: "/a b", DOCUMENT_URI: "/a b", ...nginx }, "", "/a b"],
    [
      "nginx with try_files $uri /index.php",
      { REQUEST_URI: "/a%20b?x", SCRIPT_NAME: "/index.php", DOCUMENT_URI: "/index.php", QUERY_STRING: "x", ...nginx },
      "",
      "/a b",
      { frontControllers: ["/index.php"] },
    ],
    [
      "nginx with a rewrite to /index.php$uri",
      { REQUEST_URI: "/a%2Fb", SCRIPT_NAME: "/index.php/a/b", DOCUMENT_URI: "/index.php/a/b", ...nginx },
      "",
      "/a/b",
      { frontControllers: ["/index.php"] },
    ],
    ["nginx with merge_slashes off", { REQUEST_URI: "//a//b", SCRIPT_NAME: "//a//b", DOCUMENT_URI: "//a//b" }, "", "//a//b"],
    ["nginx over SCGI", { REQUEST_URI: "/a%2Fb//c", DOCUMENT_URI: "/a/b/c" }, "", "/a/b//c"],
    ["nginx over uwsgi", { REQUEST_URI: "/a%2Fb//c", PATH_INFO: "/a/b/c" }, "", "/a/b/c"],
    ["nginx with an encoded percent sign", { REQUEST_URI: "/%252F", DOCUMENT_URI: "/%2F", SCRIPT_NAME: "/%2F" }, "", "/%2F"],
    [
      "nginx with Django's PATH_INFO",
      { REQUEST_URI: "/a%20b", SCRIPT_NAME: "/a b", PATH_INFO: "/a b", DOCUMENT_URI: "/a b", ...nginx },
      "",
      "/a b",
    ],
    ["nginx with Django's PATH_INFO alone", { REQUEST_URI: "/a%20b", SCRIPT_NAME: "/a b", PATH_INFO: "/a b" }, "", "/a b"],
    [
      "nginx whose variables lack the mount",
      { REQUEST_URI: "/app/a%20b", SCRIPT_NAME: "", PATH_INFO: "/a b", DOCUMENT_URI: "/app/a b", ...nginx },
      "/app",
      "/a b",
    ],
    ["a dot segment at the end", { REQUEST_URI: "/a/b/..", PATH_INFO: "/a/", DOCUMENT_URI: "/a/" }, "", "/a/"],
    [
      "Caddy's php_fastcgi",
      {
        REQUEST_URI: "/a%20b?x",
        SCRIPT_NAME: "/index.php",
        DOCUMENT_URI: "/index.php",
        PATH_INFO: "",
        QUERY_STRING: "x",
        ...caddy,
      },
      "",
      "/a b",
      { frontControllers: ["/index.php"] },
    ],
    [
      "Caddy with a path that is split",
      { REQUEST_URI: "/a.php/b%20c", SCRIPT_NAME: "/a.php", DOCUMENT_URI: "/a.php", PATH_INFO: "/b c", ...caddy },
      "/a.php",
      "/b c",
    ],
    ["Caddy with a mount that is known", { REQUEST_URI: "/m/a%20b", PATH_INFO: "/a b", ...caddy }, "/m", "/a b", {
      scriptName: "/m",
    }],
    [
      "uWSGI's router, for a whole URL",
      { REQUEST_URI: "http://h/a%20b", SCRIPT_NAME: "", PATH_INFO: "http://h/a b" },
      "",
      "/a b",
    ],
    [
      "Apache with AllowEncodedSlashes NoDecode",
      { REQUEST_URI: "/app/a%20b%2Fc", SCRIPT_NAME: "/app/a b%2Fc", ...apache },
      "",
      "/app/a b/c",
    ],
    ["Apache with FallbackResource", { REQUEST_URI: "/x/a", SCRIPT_NAME: "/x/dispatch.fcgi", ...apache }, "/x", "/a"],
    ["Apache with DirectoryIndex", { REQUEST_URI: "/x/", SCRIPT_NAME: "/x/dispatch.fcgi", ...apache }, "/x", "/"],
    [
      "Apache with ErrorDocument 404",
      { REQUEST_URI: "/a?x=1", SCRIPT_NAME: "/dispatch.fcgi", QUERY_STRING: "", REDIRECT_STATUS: "404", ...apache },
      "",
      "/a",
    ],
    [
      "a rewrite in a .htaccess, of Apache that hides what it is",
      { REQUEST_URI: "/x/a%20b", REDIRECT_URL: "/x/a b", SCRIPT_NAME: "/x/dispatch.fcgi", PATH_INFO: "/a b" },
      "/x",
      "/a b",
    ],
    [
      "a rewrite of a part of the site, with Apache",
      { REQUEST_URI: "/part/a", SCRIPT_NAME: "/dispatch.fcgi", PATH_INFO: "/a", ...apache },
      "/part",
      "/a",
    ],
    [
      "a rewrite to a script, with Apache",
      { REQUEST_URI: "/a", SCRIPT_NAME: "/cgi-bin/app", PATH_INFO: "/a", ...apache },
      "",
      "/a",
    ],
    [
      "lighttpd's error-handler-404",
      {
        REQUEST_URI: "/a%20b",
        REDIRECT_URI: "/dispatch.fcgi",
        SCRIPT_NAME: "/dispatch.fcgi",
        REDIRECT_STATUS: "404",
        ...lighttpd,
      },
      "",
      "/a b",
    ],
  ];
  for (const [name, params, scriptName, pathInfo, options] of table) {
    test(name, () => {
      const url = new URL(params.REQUEST_URI.replace(/^(?!http)/, "http://h")).href;
      const all = Params.from(Object.entries({ HTTP_HOST: "h", ...params }));
      assert.deepEqual(seen(all, options), { url, scriptName, pathInfo });
    });
  }
});

describe("a subrequest or an internal redirect has the URL that the web server went to", () => {
  const table: [name: string, params: Record<string, string>, path: string, mount?: string][] = [
    ["nginx over FastCGI", { SCRIPT_NAME: "/auth", DOCUMENT_URI: "/auth", QUERY_STRING: "", ...nginx }, "/auth"],
    ["nginx over SCGI", { DOCUMENT_URI: "/auth", QUERY_STRING: "" }, "/auth"],
    ["nginx over uwsgi", { PATH_INFO: "/auth", QUERY_STRING: "" }, "/auth"],
    ["nginx with a query", { SCRIPT_NAME: "/d", DOCUMENT_URI: "/d", QUERY_STRING: "id=7", ...nginx }, "/d?id=7"],
    ["nginx with Django's PATH_INFO", { SCRIPT_NAME: "/auth", PATH_INFO: "/auth", DOCUMENT_URI: "/auth", ...nginx }, "/auth"],
    [
      "nginx with a mount",
      { SCRIPT_NAME: "/shop", PATH_INFO: "/auth", DOCUMENT_URI: "/shop/auth", ...nginx },
      "/shop/auth",
      "/shop",
    ],
    ["a file that is not the program", { SCRIPT_NAME: "/auth.fcgi", DOCUMENT_URI: "/auth.fcgi", ...nginx }, "/auth.fcgi"],
    ["a file of nginx that is called Apache", { SCRIPT_NAME: "/auth.fcgi", DOCUMENT_URI: "/auth.fcgi", ...apache }, "/auth.fcgi"],
    ["a file of unknown servers", { SCRIPT_NAME: "/auth.fcgi" }, "/auth.fcgi"],
    ["the program with another path", { SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/auth", ...nginx }, "/auth"],
    [
      "the program with another path, not split",
      { SCRIPT_NAME: "/mysite.fcgi/auth", DOCUMENT_URI: "/mysite.fcgi/auth" },
      "/auth",
    ],
    ["what has to be encoded", { PATH_INFO: "/a b?#%\u00e9", QUERY_STRING: "x=%20", ...caddy }, "/a%20b%3F%23%25%C3%A9?x=%20"],
    [
      "Caddy with a path that is split",
      { SCRIPT_NAME: "/c.php", DOCUMENT_URI: "/c.php", PATH_INFO: "/x", ...caddy },
      "/c.php/x",
      "/c.php",
    ],
    ["Apache's rewrite", { SCRIPT_NAME: "/d", QUERY_STRING: "id=7", SCRIPT_URL: "/private/auth", ...apache }, "/d?id=7"],
    ["Apache's ErrorDocument", { SCRIPT_NAME: "/error", REDIRECT_STATUS: "404", ...apache }, "/error"],
    [
      "Apache's ErrorDocument 403, which is the program",
      { SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/auth", REDIRECT_STATUS: "200", REDIRECT_REDIRECT_STATUS: "403", ...apache },
      "/auth",
    ],
    [
      "Apache's ErrorDocument 401, which is the program",
      { SCRIPT_NAME: "/mysite.fcgi", REDIRECT_STATUS: "401", ...apache },
      "/mysite.fcgi",
    ],
    [
      "mod_include",
      { SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/auth", DOCUMENT_URI: "/private/auth", DOCUMENT_NAME: "auth", ...apache },
      "/auth",
    ],
    [
      "mod_include, of what a .htaccess leads to the program",
      {
        SCRIPT_NAME: "/x.fcgi/d",
        PATH_INFO: "/d",
        REDIRECT_URL: "/d",
        SERVER_PROTOCOL: "INCLUDED",
        QUERY_STRING: "id=5",
        ...apache,
      },
      "/d?id=5",
    ],
    ["mod_include of another page", { SCRIPT_NAME: "/d", DOCUMENT_URI: "/private/auth", DOCUMENT_NAME: "auth", ...apache }, "/d"],
  ];
  for (const [name, params, path, mount = ""] of table) {
    test(name, () => {
      for (
        const REQUEST_URI of [
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
        const all = Params.from(Object.entries({ HTTP_HOST: "h", REQUEST_URI, ...params }));
        const host = REQUEST_URI.startsWith("http") ? "elsewhere" : "h";
        const { url, scriptName } = seen(all);
        assert.deepEqual({ url, scriptName }, { url: `http://${host}${path}`, scriptName: mount }, REQUEST_URI);
        assert.equal(requestUrl(all, { urlFrom: "visitor" }), `http://${host}${REQUEST_URI.replace("http://elsewhere", "")}`);
      }
    });
  }
});

describe("dot segments with encoded slashes are resolved as web servers do it", () => {
  const paths = {
    "/private/..%2fa?x=..%2f": "/a?x=..%2f",
    "/private/x%2F..%2f../a": "/a",
    "/private/x%2f%2E%2e/b": "/private/b",
    "/a%2f.%2fb%20c": "/a/b%20c",
    "/a/..%2f": "/",
    // These are not.
    "/a%2f...%2fb": "/a%2f...%2fb",
    "/a%2f..b": "/a%2f..b",
    "/a%252f..%252fb": "/a%252f..%252fb",
    "/a?%2f..%2fb": "/a?%2f..%2fb",
  };
  for (const [REQUEST_URI, path] of Object.entries(paths)) {
    test(REQUEST_URI, () => {
      const decoded = decodePercent(REQUEST_URI.replace(/\?.*/, ""));
      const resolved = decodePercent(path.replace(/\?.*/, ""));
      for (
        const more of [{ SCRIPT_NAME: resolved }, { PATH_INFO: decoded }, { SCRIPT_NAME: "/mysite.fcgi" }] as Record<
          string,
          string
        >[]
      ) {
        assert.equal(
          requestUrl(new Params(Object.entries({ HTTP_HOST: "h", REQUEST_URI, ...more }).flat()), mysite),
          `http://h${path}`,
        );
      }
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
  for (const [name, REQUEST_URI, QUERY_STRING, path] of table) {
    test(name, () => {
      const query: Record<string, string> = QUERY_STRING === undefined ? {} : { QUERY_STRING };
      for (const more of [{ SCRIPT_NAME: "/a" }, { SCRIPT_NAME: "/mysite.fcgi" }, {}] as Record<string, string>[]) {
        const params = Params.from(Object.entries({ HTTP_HOST: "h", REQUEST_URI, ...query, ...more }));
        assert.equal(requestUrl(params, mysite), `http://h${path}`);
      }
    });
  }
});

describe("what the URL is can be forced", () => {
  const params = new Params([
    "HTTP_HOST",
    "h",
    "REQUEST_URI",
    "/a/b?x",
    "SCRIPT_NAME",
    "/a",
    "PATH_INFO",
    "/z",
    "QUERY_STRING",
    "y",
  ]);
  test("to the visitor's", () => {
    assert.deepEqual(seen(params, { urlFrom: "visitor" }), { url: "http://h/a/b?x", scriptName: "/a", pathInfo: "/b" });
  });
  test("to the web server's", () => {
    const program = new Params([
      "HTTP_HOST",
      "h",
      "REQUEST_URI",
      "/a",
      "SCRIPT_NAME",
      "/mysite.fcgi",
      "DOCUMENT_URI",
      "/mysite.fcgi",
    ]);
    assert.equal(requestUrl(program, mysite), "http://h/a");
    assert.equal(requestUrl(program, { ...mysite, urlFrom: "target" }), "http://h/mysite.fcgi");
    assert.equal(requestUrl(new Params(["HTTP_HOST", "h", "REQUEST_URI", "/a"]), { urlFrom: "target" }), "http://h/a");
  });
});

describe("the mount and the rest of the path", () => {
  const table: [name: string, params: Record<string, string>, scriptName: string, pathInfo: string][] = [
    ["mysite.fcgi in .htaccess, at the root", { REQUEST_URI: "/", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/" }, "", "/"],
    [
      "mysite.fcgi itself",
      { REQUEST_URI: "/mysite.fcgi/direct", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/direct" },
      "/mysite.fcgi",
      "/direct",
    ],
    [
      "mysite.fcgi itself, in a virtual host",
      { REQUEST_URI: "/mysite.fcgi/direct", SCRIPT_NAME: "", PATH_INFO: "/mysite.fcgi/direct" },
      "",
      "/mysite.fcgi/direct",
    ],
    ["a rewrite with [PT]", { REQUEST_URI: "/a%20b/c?x=1", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/a b/c" }, "", "/a b/c"],
    [
      ".htaccess in a subdirectory",
      { REQUEST_URI: "/sub/a%20b/c?x=1", SCRIPT_NAME: "/sub/mysite.fcgi", PATH_INFO: "/a b/c" },
      "/sub",
      "/a b/c",
    ],
    [
      ".htaccess in a subdirectory, at its root",
      { REQUEST_URI: "/sub/", SCRIPT_NAME: "/sub/mysite.fcgi", PATH_INFO: "/" },
      "/sub",
      "/",
    ],
    [
      "mysite.fcgi itself, without a path",
      { REQUEST_URI: "/sub/mysite.fcgi?x", SCRIPT_NAME: "/sub/mysite.fcgi", PATH_INFO: "" },
      "/sub/mysite.fcgi",
      "",
    ],
    [
      "Django's rewrite in a virtual host, for a part of the site",
      { REQUEST_URI: "/sub/a%20b", SCRIPT_URL: "/sub/a b", SCRIPT_NAME: "/sub", PATH_INFO: "/a b" },
      "/sub",
      "/a b",
    ],
    [
      "a rewrite with [PT] for a part of the site",
      { REQUEST_URI: "/sub/a", SCRIPT_URL: "/sub/a", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/a" },
      "/sub",
      "/a",
    ],
    [
      "a rewrite in .htaccess that hands on no path",
      { REQUEST_URI: "/sub/a%20b", REDIRECT_URL: "/sub/a b", SCRIPT_NAME: "/sub/mysite.fcgi" },
      "/sub",
      "/a b",
    ],
    ["FallbackResource, which says nothing else", { REQUEST_URI: "/sub/a", SCRIPT_NAME: "/sub/mysite.fcgi" }, "/sub", "/a"],
    ["try_files of nginx", { REQUEST_URI: "/sub/a", SCRIPT_NAME: "/sub/mysite.fcgi", PATH_INFO: "" }, "/sub", "/a"],
    ["a rewrite to another page", { REQUEST_URI: "/a/x", SCRIPT_URL: "/a/x", SCRIPT_NAME: "/a/y" }, "", "/a/y"],
    ["a page that is called like a program", { REQUEST_URI: "/a//b.cgi", SCRIPT_NAME: "/a/b.cgi" }, "", "/a//b.cgi"],
    [
      "lighttpd's rewrite-once",
      { REQUEST_URI: "/a%20b?x", REDIRECT_URI: "/mysite.fcgi/a%20b?x", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/a b" },
      "",
      "/a b",
    ],
    [
      "SCRIPT_URL without REQUEST_URI",
      { SCRIPT_URL: "/sub/a%b", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/a%b" },
      "/sub",
      "/a%b",
    ],
    [
      "REDIRECT_URL without REQUEST_URI, of the first redirect",
      {
        REDIRECT_REDIRECT_URL: "/sub/a",
        REDIRECT_URL: "/mysite.fcgi/a",
        SCRIPT_NAME: "/mysite.fcgi",
        PATH_INFO: "/a",
      },
      "/sub",
      "/a",
    ],
    ["ScriptAlias", { REQUEST_URI: "/django/a%20b/c", SCRIPT_NAME: "/django", PATH_INFO: "/a b/c" }, "/django", "/a b/c"],
    ["ScriptAlias, its own path", { REQUEST_URI: "/django/", SCRIPT_NAME: "/django", PATH_INFO: "/" }, "/django", "/"],
    [
      "nginx fastcgi_split_path_info, the mount itself",
      { REQUEST_URI: "/app?x", SCRIPT_NAME: "/app", PATH_INFO: "" },
      "/app",
      "",
    ],
    ["nginx fastcgi_params alone", { REQUEST_URI: "/app/x", SCRIPT_NAME: "/app/x" }, "", "/app/x"],
    ["nginx scgi_params", { REQUEST_URI: "/app/x?y" }, "", "/app/x"],
    ["nginx uwsgi_params", { REQUEST_URI: "/app/a%20b/c", PATH_INFO: "/app/a b/c" }, "", "/app/a b/c"],
    [
      "proxy-fcgi-pathinfo, which leaves PATH_INFO encoded",
      { REQUEST_URI: "/one/a%20b/d.py/e.f/g", SCRIPT_NAME: "/one/a b", PATH_INFO: "/a%20b/d.py/e.f/g", ...apache },
      "/one",
      "/a b/d.py/e.f/g",
    ],
    [
      "proxy-fcgi-pathinfo=unescape",
      { REQUEST_URI: "/unescape/a%20b/d.py", SCRIPT_NAME: "/unescape", PATH_INFO: "/a b/d.py" },
      "/unescape",
      "/a b/d.py",
    ],
    ["Caddy handle_path, which loses the mount", { REQUEST_URI: "/app/x", SCRIPT_NAME: "", PATH_INFO: "/x" }, "", "/x"],
    ["lighttpd at an empty prefix", { REQUEST_URI: "/a%20b", SCRIPT_NAME: "/a b" }, "", "/a b"],
    ["slashes that Apache merged", { REQUEST_URI: "/a//b?x", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/a/b" }, "", "/a/b"],
    [
      "slashes that were merged behind a mount",
      { REQUEST_URI: "/app//a///b/", SCRIPT_NAME: "/app", PATH_INFO: "/a/b/" },
      "/app",
      "/a/b/",
    ],
    ["slashes that HAProxy keeps", { REQUEST_URI: "/a//b", SCRIPT_NAME: "/a//b" }, "", "/a//b"],
    ["dot segments that were resolved", { REQUEST_URI: "//x/../y/./z", SCRIPT_NAME: "", PATH_INFO: "/y/z" }, "", "/y/z"],
    [
      "dot segments that lead above the root",
      { REQUEST_URI: "/../../y/", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/y/" },
      "",
      "/y/",
    ],
    ["dot segments to the root", { REQUEST_URI: "/x/..", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/" }, "", "/"],
    ["dot segments behind a mount", { REQUEST_URI: "/app/x/../y", SCRIPT_NAME: "/app", PATH_INFO: "/y" }, "/app", "/y"],
    ["a mount with two slashes before it", { REQUEST_URI: "//app/y", SCRIPT_NAME: "/app", PATH_INFO: "/y" }, "/app", "/y"],
    [
      "another host in what was resolved",
      { REQUEST_URI: "//evil.example/..//y", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/y" },
      "",
      "/y",
    ],
    [
      "another host where the path is not split",
      { REQUEST_URI: "//evil.example/y", SCRIPT_NAME: "//evil.example/y", PATH_INFO: "" },
      "",
      "//evil.example/y",
    ],
    [
      "dots that are no dot segments",
      { REQUEST_URI: "/a./.b/..c/...", SCRIPT_NAME: "/a./.b", PATH_INFO: "/..c/..." },
      "/a./.b",
      "/..c/...",
    ],
    [
      "the whole URL in the request line",
      { REQUEST_URI: "http://h:8080/app/x?y=http://z/", SCRIPT_NAME: "/app", PATH_INFO: "/x" },
      "/app",
      "/x",
    ],
    ["the whole URL without a path", { REQUEST_URI: "http://h?x" }, "", "/"],
    ["a question mark alone", { REQUEST_URI: "?x" }, "", "/"],
    ["OPTIONS *", { REQUEST_URI: "*" }, "", "*"],
    ["an encoded question mark", { REQUEST_URI: "/a%3Fb?c", SCRIPT_NAME: "", PATH_INFO: "/a?b" }, "", "/a?b"],
    [
      "an encoded percent sign, decoded once",
      { REQUEST_URI: "/a%2541", SCRIPT_NAME: "/mysite.fcgi", PATH_INFO: "/a%41" },
      "",
      "/a%41",
    ],
    ["an encoded NUL", { REQUEST_URI: "/a%00b", PATH_INFO: "/a\0b" }, "", "/a\0b"],
    ["a percent sign without digits", { REQUEST_URI: "/a%zz%4" }, "", "/a%zz%4"],
    ["UTF-8", { REQUEST_URI: "/%C3%A9/%c3%a8", SCRIPT_NAME: "/\xc3\xa9", PATH_INFO: "/\xc3\xa8" }, "/\u00e9", "/\u00e8"],
    ["bytes that are no UTF-8", { REQUEST_URI: "/%E9" }, "", "/\xe9"],
    ["no REQUEST_URI", { SCRIPT_NAME: "/app", PATH_INFO: "/a b" }, "/app", "/a b"],
    ["no REQUEST_URI and a slash behind the mount", { SCRIPT_NAME: "/app/", PATH_INFO: "" }, "/app", ""],
    ["nothing at all", {}, "", ""],
    ["a PATH_INFO of another URL", { REQUEST_URI: "/x/y", SCRIPT_NAME: "/elsewhere", PATH_INFO: "/z" }, "/elsewhere", "/z"],
    ["a PATH_INFO of another URL below SCRIPT_NAME", { REQUEST_URI: "/x/y", SCRIPT_NAME: "/x", PATH_INFO: "/z" }, "/x", "/z"],
    ["a PATH_INFO of another URL beside SCRIPT_NAME", { REQUEST_URI: "/xx/y", SCRIPT_NAME: "/x", PATH_INFO: "/z" }, "/x", "/z"],
  ];
  for (const [name, params, scriptName, pathInfo] of table) {
    test(name, () => assert.deepEqual(requestMount(new Params(Object.entries(params).flat()), mysite), { scriptName, pathInfo }));
  }
});

describe("a mount that is forced", () => {
  const table: [name: string, forced: string, params: Record<string, string>, ...Table[string]][] = [
    ["counts for more than the params", "", { REQUEST_URI: "/a/b", SCRIPT_NAME: "/a", PATH_INFO: "/b" }, "/a/b", "", "/a/b"],
    ["is cut from the path", "/a", { REQUEST_URI: "/a/b%20c?d", SCRIPT_NAME: "/a/b c" }, "/a/b%20c?d", "/a", "/b c"],
    ["is the whole path", "/a", { REQUEST_URI: "/a?d" }, "/a?d", "/a", ""],
    ["comes back where it was cut off", "/a b", { REQUEST_URI: "/c?d" }, "/a%20b/c?d", "/a b", "/c"],
    ["comes back before the root", "/a", { REQUEST_URI: "/" }, "/a/", "/a", "/"],
    ["is more than the begin of a name", "/a", { REQUEST_URI: "/ab" }, "/a/ab", "/a", "/ab"],
    ["is seen through slashes and dots", "/a", { REQUEST_URI: "//x/../a//b" }, "//a//b", "/a", "/b"],
    ["is seen in capitals of an encoding", "/\xc3\xa9", { REQUEST_URI: "/%c3%a9/b" }, "/%c3%a9/b", "/\u00e9", "/b"],
    ["is cut where no REQUEST_URI is", "/a", { SCRIPT_NAME: "/a", PATH_INFO: "/b c" }, "/a/b%20c", "/a", "/b c"],
    ["comes back in a whole URL", "/a", { REQUEST_URI: "http://h/b" }, "/a/b", "/a", "/b"],
  ];
  for (const [name, forced, params, path, scriptName, pathInfo] of table) {
    test(name, () => {
      const all = new Params(Object.entries({ HTTP_HOST: "h", ...params }).flat());
      assert.deepEqual(seen(all, { scriptName: forced }), { url: `http://h${path}`, scriptName, pathInfo });
    });
  }

  test("is empty, or has a slash before each segment", () => {
    for (const text of ["", "/a", "/a/b.c", "/a b/\u00e9"]) assert.ok(isScriptName(text), text);
    for (const text of ["a", "/", "/a/", "//a", "/a//b", "/..", "/a/./b", "/a?b", "/a#b", "/a\\b"]) {
      assert.ok(!isScriptName(text), text);
    }
  });
});

describe("the URL", () => {
  const table: [name: string, params: Record<string, string>, url: string][] = [
    // Paths.
    [
      "of a path as it came, encoded slashes included",
      { HTTP_HOST: "h", REQUEST_URI: "/a%2Fb%3F?x=%20&y" },
      "http://h/a%2Fb%3F?x=%20&y",
    ],
    [
      "of a path with dot segments, as any browser would have sent it",
      { HTTP_HOST: "h", REQUEST_URI: "//x/../y/./z" },
      "http://h//y/z",
    ],
    [
      "of a path that begins with two slashes, which is no host",
      { HTTP_HOST: "h", REQUEST_URI: "//evil.example/x" },
      "http://h//evil.example/x",
    ],
    ["of a path that begins with a backslash", { HTTP_HOST: "h", REQUEST_URI: "/\\evil.example" }, "http://h/%5Cevil.example"],
    // For the web server that guards /private/, none of these is below it.
    ["of a path with a backslash, which is no slash", { HTTP_HOST: "h", REQUEST_URI: "/private\\a" }, "http://h/private%5Ca"],
    [
      "of a path with dots before a backslash, which are no segment",
      { HTTP_HOST: "h", REQUEST_URI: "/x/..\\private/a?b\\c" },
      "http://h/x/..%5Cprivate/a?b\\c",
    ],
    [
      "of a whole URL with a backslash",
      { HTTP_HOST: "h", REQUEST_URI: "http://other/private\\a" },
      "http://other/private%5Ca",
    ],
    [
      "of a path with control characters, which are not dropped",
      { HTTP_HOST: "h", REQUEST_URI: "/priv\tate/.\n./a\r?x\ty" },
      "http://h/priv%09ate/.%0A./a%0D?x%09y",
    ],
    ["of a path that ends with a blank", { HTTP_HOST: "h", REQUEST_URI: "/a " }, "http://h/a%20"],
    ["of a path with an @", { HTTP_HOST: "h", REQUEST_URI: "/@evil.example" }, "http://h/@evil.example"],
    ["of OPTIONS *", { HTTP_HOST: "h", REQUEST_URI: "*" }, "http://h/*"],
    ["of a query without a path", { HTTP_HOST: "h", REQUEST_URI: "?x" }, "http://h/?x"],
    ["with an encoded NUL", { HTTP_HOST: "h", REQUEST_URI: "/a%00b" }, "http://h/a%00b"],
    ["with a percent sign that encodes nothing", { HTTP_HOST: "h", REQUEST_URI: "/%zz" }, "http://h/%zz"],
    ["with a bare #, which is data", { HTTP_HOST: "h", REQUEST_URI: "/a#b?c#d" }, "http://h/a%23b?c%23d"],
    ["with UTF-8 that nobody encoded", { HTTP_HOST: "h", REQUEST_URI: "/\xc3\xa9?\xe2\x82\xac" }, "http://h/%C3%A9?%E2%82%AC"],
    ["with a Latin-1 byte that nobody encoded", { HTTP_HOST: "h", REQUEST_URI: "/\xe9" }, "http://h/%E9"],
    ["with quotes and blanks that nobody encoded", { HTTP_HOST: "h", REQUEST_URI: '/a b"<>' }, "http://h/a%20b%22%3C%3E"],
    // The whole URL in the request line.
    [
      "from the request line counts for more than Host",
      { HTTP_HOST: "h", REQUEST_URI: "http://other:8080/p?q" },
      "http://other:8080/p?q",
    ],
    [
      "from the request line has the scheme of the connection",
      { HTTPS: "on", HTTP_HOST: "h", REQUEST_URI: "http://other/p" },
      "https://other/p",
    ],
    ["from a request line without a path", { HTTP_HOST: "h", REQUEST_URI: "http://other" }, "http://other/"],
    ["from a request line with a query and no path", { HTTP_HOST: "h", REQUEST_URI: "HTTP://other?x" }, "http://other/?x"],
    ["in the path is a part of it", { HTTP_HOST: "h", REQUEST_URI: "/http://other/" }, "http://h/http://other/"],
    // Without REQUEST_URI.
    ["of decoded params is encoded again", {
      HTTP_HOST: "h",
      SCRIPT_NAME: "/a p",
      PATH_INFO: "/\xc3\xa9?#%",
      QUERY_STRING: "x=%20",
    }, "http://h/a%20p/%C3%A9%3F%23%25?x=%20"],
    ["of no params but the host", { HTTP_HOST: "h" }, "http://h/"],
    ["of no params at all", {}, "http://localhost/"],
    // Hosts and ports.
    [
      "with a host in capitals and the scheme's own port",
      { HTTP_HOST: "EXAMPLE.com:80", REQUEST_URI: "/" },
      "http://example.com/",
    ],
    ["with another port", { HTTP_HOST: "example.com:8080", SERVER_PORT: "80", REQUEST_URI: "/" }, "http://example.com:8080/"],
    ["with an empty port", { HTTP_HOST: "example.com:", REQUEST_URI: "/" }, "http://example.com/"],
    ["with the largest port", { HTTP_HOST: "example.com:65535", REQUEST_URI: "/" }, "http://example.com:65535/"],
    ["with an IPv4 address", { HTTP_HOST: "192.0.2.1:81", REQUEST_URI: "/" }, "http://192.0.2.1:81/"],
    ["with an IPv6 address", { HTTP_HOST: "[2001:DB8::1]:81", REQUEST_URI: "/" }, "http://[2001:db8::1]:81/"],
    ["with a punycode host", { HTTP_HOST: "xn--bcher-kva.example", REQUEST_URI: "/" }, "http://xn--bcher-kva.example/"],
    ["with an underscore in the host", { HTTP_HOST: "my_app.internal", REQUEST_URI: "/" }, "http://my_app.internal/"],
    [
      "of HTTP/1.0 has the server's name and port",
      { SERVER_NAME: "example.com", SERVER_PORT: "8080", REQUEST_URI: "/" },
      "http://example.com:8080/",
    ],
    ["of HTTP/1.0 with an empty Host, as nginx and Caddy send it", {
      HTTP_HOST: "",
      SERVER_NAME: "",
      SERVER_PORT: "80",
      REQUEST_URI: "/",
    }, "http://localhost/"],
    [
      "of HTTP/1.0 over TLS",
      { HTTPS: "on", SERVER_NAME: "example.com", SERVER_PORT: "443", REQUEST_URI: "/" },
      "https://example.com/",
    ],
    [
      "of HTTP/1.0 over TLS on port 80",
      { HTTPS: "on", SERVER_NAME: "example.com", SERVER_PORT: "80", REQUEST_URI: "/" },
      "https://example.com:80/",
    ],
    [
      "of HAProxy, whose server name has the port",
      { SERVER_NAME: "example.com:8080", SERVER_PORT: "8080", REQUEST_URI: "/" },
      "http://example.com:8080/",
    ],
    [
      "of a server whose name is an IPv6 address",
      { SERVER_NAME: "2001:db8::1", SERVER_PORT: "8080", REQUEST_URI: "/" },
      "http://[2001:db8::1]:8080/",
    ],
    [
      "of a server whose name is an IPv6 address in brackets",
      { SERVER_NAME: "[::1]", SERVER_PORT: "80", REQUEST_URI: "/" },
      "http://[::1]/",
    ],
    [
      "of an invalid server port",
      { SERVER_NAME: "example.com", SERVER_PORT: "socket", REQUEST_URI: "/" },
      "http://example.com/",
    ],
  ];
  for (const [name, params, url] of table) {
    test(name, () => assert.equal(seen(new Params(Object.entries(params).flat())).url, url));
  }

  const schemes: [params: Record<string, string>, scheme: string][] = [
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
      const url = requestUrl(new Params(["HTTP_HOST", "h", "REQUEST_URI", "/", ...Object.entries(params).flat()]));
      assert.equal(url, `${scheme}://h/`);
    });
  }
});

describe("the port that Debian's nginx loses", () => {
  const nginx = { SERVER_SOFTWARE: "nginx/1.22.1", SERVER_PORT: "8080", REQUEST_URI: "/" };
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
    test(name, () => assert.equal(requestUrl(new Params([...Object.entries(nginx), ...extra].flat())), url));
  }

  test("is not looked for with the scheme's own port", () => {
    assert.equal(requestUrl(Params.from(Object.entries({ ...nginx, SERVER_PORT: "80", HTTP_HOST: "h" }))), "http://h/");
    assert.equal(
      requestUrl(Params.from(Object.entries({ ...nginx, SERVER_PORT: "443", HTTPS: "on", HTTP_HOST: "h" }))),
      "https://h/",
    );
  });

  test("is not looked for with other servers", () => {
    for (const software of ["Apache/2.4.71", "lighttpd/1.4.69", "Caddy/v2", ""]) {
      const params = Params.from(Object.entries({ ...nginx, SERVER_SOFTWARE: software, HTTP_HOST: "h" }));
      assert.equal(requestUrl(params), "http://h/", software);
    }
  });
});

describe("an invalid host gives no URL", () => {
  const hosts = [
    "a@b",
    "user:pass@b",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "a b",
    " a",
    "a\tb",
    "a\r\nb",
    "a\0b",
    "a\x7fb",
    "a\x04",
    "a%00b",
    "a%2fb",
    "a%40b",
  ];
  const broken = [
    "[::1",
    "::1",
    "[::1]x",
    "[:::1]",
    "[a]",
    "a:b",
    "a:99999",
    "a:65536",
    "a:-1",
    "a:1:2",
    "a:1@b",
    ":80",
    "%",
    "<a>",
    "a|b",
    "a^b",
  ];
  const numbers = ["1.2.3.4.5", "256.256.256.256", "1.2.3.04x8.9", "xn--a\xff", "0x1ffffffff"];
  for (const host of [...hosts, ...broken, ...numbers]) {
    test(`${JSON.stringify(host)} in Host`, () => {
      assert.equal(requestUrl(new Params(["HTTP_HOST", host, "REQUEST_URI", "/x"])), undefined);
    });
  }
  for (const host of ["a@b", "a:99999", "[::1", "a b", ""]) {
    test(`${JSON.stringify(host)} in the request line`, () => {
      assert.equal(requestUrl(new Params(["HTTP_HOST", "h", "REQUEST_URI", `http://${host}/x`])), undefined);
    });
  }
  test("an invalid name of the server", () => {
    assert.equal(requestUrl(new Params(["SERVER_NAME", "a@b", "REQUEST_URI", "/"])), undefined);
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
  const most = [
    "/",
    ".",
    "..",
    "%2e",
    "%2f",
    "a",
    "a",
    "b",
    "-",
    "?",
    "&",
    "=",
    "~",
    "!",
    "$",
    "(",
    "*",
    "+",
    ",",
    ";",
    ":",
    "@",
  ];
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    const part = () => random.once(30) ? random.pick(all) : random.pick(most);
    const sent = `/${Array.from({ length: random.int(8) }, part).join("")}`;
    const [path, ...query] = sent.split("?");
    const usual = usualUrl(
      new Params(["HTTP_HOST", "h", "REQUEST_URI", sent, "SCRIPT_NAME", path, "QUERY_STRING", query.join("?")]),
    );
    if (usual === undefined) continue;
    found++;
    assert.equal(usual, `http://h${sent}`);
    assert.equal(new URL(usual).href, usual);
  }
  assert.ok(found > 1000, `only ${found} URLs needed no closer look`);
});
