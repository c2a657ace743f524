/** CGI variables of HTTP requests, and which proxies are trusted. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { requestMount, requestUrl } from "../../src/gateway/url.ts";
import { applyForwarded, parseForwarded, Trust, type TrustedHeader, trustedHeaders } from "../../src/protocol/http/forwarded.ts";
import { Params } from "../../src/protocol/params.ts";
import { httpParams, type HttpRequest } from "../../src/protocol/http/params.ts";

const addresses = { remoteAddress: "10.0.0.1", remotePort: 4321, localAddress: "10.0.0.9", localPort: 3033 };
const host = ["Host", "a.example"];

function params(
  request: Partial<HttpRequest> = {},
  trust?: string[],
  headers: readonly TrustedHeader[] = trustedHeaders,
): Record<string, string> {
  const whole: HttpRequest = { method: "GET", target: "/", version: "1.1", headers: host, addresses, ...request };
  return httpParams(whole, "runfcgi/0", trust && new Trust(trust, headers)).toRecord();
}

test("a request has the variables of RFC 3875", () => {
  const headers = ["Host", "a.example:3033", "Content-Type", "text/plain", "content-length", "3", "X-One", "1", "x-one", "2"];
  assert.deepEqual({ ...params({ method: "POST", target: "/a%20b/%C3%A9?x=%201", headers }) }, {
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_SOFTWARE: "runfcgi/0",
    SERVER_PROTOCOL: "HTTP/1.1",
    REQUEST_METHOD: "POST",
    REQUEST_SCHEME: "http",
    REQUEST_URI: "/a%20b/%C3%A9?x=%201",
    SCRIPT_NAME: "",
    PATH_INFO: "/a b/é",
    QUERY_STRING: "x=%201",
    CONTENT_TYPE: "text/plain",
    CONTENT_LENGTH: "3",
    SERVER_NAME: "a.example",
    SERVER_ADDR: "10.0.0.9",
    SERVER_PORT: "3033",
    REMOTE_ADDR: "10.0.0.1",
    REMOTE_PORT: "4321",
    HTTP_HOST: "a.example:3033",
    HTTP_X_ONE: "1, 2",
  });
});

describe("a request", () => {
  test("over a Unix socket has no addresses", () => {
    const { REMOTE_ADDR, REMOTE_PORT, SERVER_ADDR, SERVER_PORT } = params({ addresses: undefined });
    assert.deepEqual([REMOTE_ADDR, REMOTE_PORT, SERVER_ADDR, SERVER_PORT], [undefined, undefined, undefined, "80"]);
  });

  test("without a host is for localhost and the port that it came to", () => {
    const { HTTP_HOST, SERVER_NAME, SERVER_PORT } = params({ headers: [] });
    assert.deepEqual([HTTP_HOST, SERVER_NAME, SERVER_PORT], [undefined, "localhost", "3033"]);
  });

  test("from IPv4 inside IPv6 is from IPv4, and a zone is not part of an address", () => {
    assert.equal(params({ addresses: { ...addresses, remoteAddress: "::ffff:10.0.0.1" } }).REMOTE_ADDR, "10.0.0.1");
    assert.equal(params({ addresses: { ...addresses, remoteAddress: "fe80::1%eth0" } }).REMOTE_ADDR, "fe80::1");
  });

  test("in absolute form is for the host in its target", () => {
    const { HTTP_HOST, SERVER_NAME, SERVER_PORT, PATH_INFO, QUERY_STRING } = params({ target: "http://b.example:81/p?q" });
    assert.deepEqual([HTTP_HOST, SERVER_NAME, SERVER_PORT, PATH_INFO, QUERY_STRING], [
      "b.example:81",
      "b.example",
      "81",
      "/p",
      "q",
    ]);
  });

  test("loses headers with an underscore, which would pass for those with a hyphen", () => {
    const forged = ["X_Forwarded_For", "6.6.6.6", "Content_Length", "5", "X-Forwarded_Proto", "https"];
    const names = Object.keys(params({ headers: [...host, ...forged] }, ["all"]));
    assert.deepEqual(names.filter((name) => /FORWARDED|LENGTH|HTTPS/.test(name)), []);
  });

  test("keeps what any proxy said", () => {
    const headers = [...host, "X-Forwarded-For", "1.1.1.1", "Forwarded", "for=2.2.2.2"];
    const { HTTP_X_FORWARDED_FOR, HTTP_FORWARDED, REMOTE_ADDR } = params({ headers });
    assert.deepEqual([HTTP_X_FORWARDED_FOR, HTTP_FORWARDED, REMOTE_ADDR], ["1.1.1.1", "for=2.2.2.2", "10.0.0.1"]);
  });

  test("gets no port that its visitor did not type, though it came to another", () => {
    for (const target of ["/", "http://a.example/"]) {
      const request = { method: "GET", target, version: "1.1", headers: host, addresses };
      assert.equal(requestUrl(httpParams(request, "runfcgi/0")), "http://a.example/");
    }
  });
});

/** What is seen of the visitor: scheme, host, address, its port where it is known. */
function seen(headers: Record<string, string>, trust: string[], from?: string): string {
  const { HTTPS, REQUEST_SCHEME, REMOTE_ADDR, REMOTE_PORT, HTTP_HOST, SERVER_NAME, SERVER_PORT } = params({
    headers: [...host, ...Object.entries(headers).flat()],
    addresses: from === "unix" ? undefined : { ...addresses, remoteAddress: from ?? addresses.remoteAddress },
  }, trust);
  assert.equal(HTTPS, REQUEST_SCHEME === "https" ? "on" : undefined);
  assert.ok(HTTP_HOST.startsWith(SERVER_NAME));
  return `${REQUEST_SCHEME}://${HTTP_HOST} ${SERVER_PORT} ${REMOTE_ADDR}${REMOTE_PORT ? ` ${REMOTE_PORT}` : ""}`;
}

const untouched = "http://a.example 80 10.0.0.1 4321";
const proxy = ["10.0.0.0/8"];
type Row = [name: string, headers: Record<string, string>, trust: string[], expected: string, from?: string];
const rows: Row[] = [
  ["a peer that is not trusted", { "X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "https" }, [], untouched],
  ["nor by another's trust", { "X-Forwarded-For": "1.1.1.1", "Forwarded": "for=2.2.2.2" }, ["192.168.0.0/16"], untouched],
  ["who tells nothing changes nothing", {}, ["all"], untouched],
  ["a Unix socket is trusted", { "X-Forwarded-For": "1.1.1.1" }, [], "http://a.example 80 1.1.1.1", "unix"],
  ["an address", { "X-Forwarded-For": "1.1.1.1" }, ["10.0.0.1"], "http://a.example 80 1.1.1.1"],
  ["a network", { "X-Forwarded-For": "1.1.1.1" }, proxy, "http://a.example 80 1.1.1.1"],
  ["a network given by one of its addresses", { "X-Forwarded-For": "1.1.1.1" }, ["10.9.9.9/8"], "http://a.example 80 1.1.1.1"],
  ["private networks", { "X-Forwarded-For": "1.1.1.1" }, ["private"], "http://a.example 80 1.1.1.1"],
  ["loopback", { "X-Forwarded-For": "1.1.1.1" }, ["loopback"], "http://a.example 80 1.1.1.1", "127.0.0.1"],
  ["loopback in IPv6", { "X-Forwarded-For": "1.1.1.1" }, ["loopback"], "http://a.example 80 1.1.1.1", "::1"],
  ["IPv4 inside IPv6", { "X-Forwarded-For": "1.1.1.1" }, ["loopback"], "http://a.example 80 1.1.1.1", "::ffff:127.0.0.1"],
  ["a network in IPv6", { "X-Forwarded-For": "1.1.1.1" }, ["2001:db8::/32"], "http://a.example 80 1.1.1.1", "2001:db8::5"],

  ["the nearest that is not trusted", { "X-Forwarded-For": "6.6.6.6, 1.1.1.1, 10.0.0.2" }, proxy, "http://a.example 80 1.1.1.1"],
  ["all trusted: the first", { "X-Forwarded-For": "10.0.0.4,10.0.0.3" }, proxy, "http://a.example 80 10.0.0.4"],
  ["everybody trusted: the first", { "X-Forwarded-For": "6.6.6.6, 1.1.1.1" }, ["all"], "http://a.example 80 6.6.6.6"],
  ["a visitor with IPv6", { "X-Forwarded-For": "2001:db8::1" }, proxy, "http://a.example 80 2001:db8::1"],
  ["addresses with ports", { "X-Forwarded-For": "1.1.1.1:99" }, proxy, "http://a.example 80 1.1.1.1 99"],
  ["IPv6 with a port", { "X-Forwarded-For": "[2001:db8::1]:99" }, proxy, "http://a.example 80 2001:db8::1 99"],
  ["IPv4 inside IPv6 in the list", { "X-Forwarded-For": "::ffff:1.1.1.1" }, proxy, "http://a.example 80 1.1.1.1"],
  ["anything but an address stops the search", { "X-Forwarded-For": "1.1.1.1, what" }, proxy, untouched],
  ["behind the last that is known", { "X-Forwarded-For": "1.1.1.1, unknown, 10.0.0.2" }, proxy, "http://a.example 80 10.0.0.2"],
  ["an empty list", { "X-Forwarded-For": "" }, proxy, untouched],
  ["commas alone", { "X-Forwarded-For": ",,," }, proxy, untouched],
  ["a script for an address", { "X-Forwarded-For": "<script>" }, ["all"], untouched],
  ["a number that is not an address", { "X-Forwarded-For": "999.1.1.1" }, ["all"], untouched],
  ["an invalid port", { "X-Forwarded-For": "1.1.1.1:99999" }, proxy, "http://a.example 80 1.1.1.1"],
  ["an address with a zone", { "X-Forwarded-For": "fe80::1%eth0" }, proxy, untouched],

  ["https", { "X-Forwarded-Proto": "https" }, proxy, "https://a.example 443 10.0.0.1 4321"],
  ["HTTPS in capitals", { "X-Forwarded-Proto": "HTTPS" }, proxy, "https://a.example 443 10.0.0.1 4321"],
  ["another scheme", { "X-Forwarded-Proto": "javascript" }, proxy, untouched],
  [
    "the scheme where the visitor was seen",
    { "X-Forwarded-For": "1.1.1.1, 10.0.0.2", "X-Forwarded-Proto": "https, http" },
    proxy,
    "https://a.example 443 1.1.1.1",
  ],
  [
    "not the one that the visitor made up",
    { "X-Forwarded-For": "6.6.6.6, 1.1.1.1", "X-Forwarded-Proto": "https, http" },
    proxy,
    "http://a.example 80 1.1.1.1",
  ],
  [
    "a scheme of one proxy for all",
    { "X-Forwarded-For": "1.1.1.1, 10.0.0.2", "X-Forwarded-Proto": "https" },
    proxy,
    "https://a.example 443 1.1.1.1",
  ],
  [
    "hosts where the visitor was seen",
    { "X-Forwarded-For": "1.1.1.1, 10.0.0.2", "X-Forwarded-Host": "v.example, w.example" },
    proxy,
    "http://v.example 80 1.1.1.1",
  ],
  ["a host", { "X-Forwarded-Host": "v.example" }, proxy, "http://v.example 80 10.0.0.1 4321"],
  ["a host with its port", { "X-Forwarded-Host": "v.example:8443" }, proxy, "http://v.example:8443 8443 10.0.0.1 4321"],
  ["a host in IPv6", { "X-Forwarded-Host": "[2001:db8::1]:81" }, proxy, "http://[2001:db8::1]:81 81 10.0.0.1 4321"],
  ...["v/../x", "a b", "v:port", "v:99999", "u@v", "v#", "[::1", "a%00", "\x7f", "é", "1.2.3.999"].map((bad): Row => [
    `no host in ${JSON.stringify(bad)}`,
    { "X-Forwarded-Host": bad },
    proxy,
    untouched,
  ]),
  ["a port", { "X-Forwarded-Port": "8443" }, proxy, "http://a.example:8443 8443 10.0.0.1 4321"],
  [
    "a port beside the one of the host",
    { "X-Forwarded-Host": "v.example:81", "X-Forwarded-Port": "82" },
    proxy,
    "http://v.example:81 82 10.0.0.1 4321",
  ],
  [
    "the usual port of a scheme, and of another",
    { "X-Forwarded-Proto": "https", "X-Forwarded-Port": "80" },
    proxy,
    "https://a.example 80 10.0.0.1 4321",
  ],
  ...["0", "65536", "-1", "x", "1e3"].map((bad): Row => [`no port in ${bad}`, { "X-Forwarded-Port": bad }, proxy, untouched]),

  ["Forwarded", { Forwarded: "for=1.1.1.1;proto=https;host=v.example" }, proxy, "https://v.example 443 1.1.1.1"],
  ["Forwarded from a peer that is not trusted", { Forwarded: "for=1.1.1.1;proto=https;host=v.example" }, [], untouched],
  [
    "Forwarded in quotes",
    { Forwarded: 'For="[2001:db8::1]:99"; Proto="https"; Host="v.example:81"' },
    proxy,
    "https://v.example:81 81 2001:db8::1 99",
  ],
  [
    "what each proxy says in Forwarded",
    { Forwarded: "for=6.6.6.6;proto=http, for=1.1.1.1;proto=https, for=10.0.0.2;proto=http" },
    proxy,
    "https://a.example 443 1.1.1.1",
  ],
  ["a comma and an escape in quotes", { Forwarded: 'for=1.1.1.1;secret="a\\",b"' }, proxy, "http://a.example 80 1.1.1.1"],
  ["a visitor that is hidden", { Forwarded: "for=_hidden;proto=https" }, proxy, "https://a.example 443 10.0.0.1 4321"],
  ["a visitor that is unknown", { Forwarded: "for=unknown" }, proxy, untouched],
  [
    "a visitor that is hidden behind two proxies",
    { Forwarded: "for=_x;proto=https, for=10.0.0.2;proto=http" },
    proxy,
    "https://a.example 443 10.0.0.2",
  ],
  ["a quote without an end", { Forwarded: 'for="1.1.1.1' }, proxy, untouched],
  ["an element that cannot be read", { Forwarded: "for=1.1.1.1, what is this" }, proxy, untouched],
  ["a Forwarded that says nothing", { Forwarded: ";;," }, proxy, untouched],
  [
    "Forwarded beside X-Forwarded-For, which alone counts",
    { "X-Forwarded-For": "1.1.1.1", Forwarded: "for=6.6.6.6;proto=https;host=evil.example" },
    proxy,
    "http://a.example 80 1.1.1.1",
  ],
  [
    "and so does any of its like",
    { "X-Forwarded-Proto": "http", Forwarded: "for=6.6.6.6;host=evil.example" },
    proxy,
    untouched,
  ],
];

describe("the visitor", () => {
  for (const [name, headers, trust, expected, from] of rows) {
    test(name, () => assert.equal(seen(headers, trust, from), expected));
  }

  test("is looked for in all headers of a name", () => {
    const headers = [...host, "X-Forwarded-For", "6.6.6.6", "x-forwarded-for", "1.1.1.1"];
    assert.equal(params({ headers }, proxy).REMOTE_ADDR, "1.1.1.1");
  });
});

test("nothing in the headers of proxies makes a bad URL or an error", () => {
  const pieces = [
    "for=",
    '"',
    "\\",
    ",",
    ";",
    "=",
    "[",
    "]",
    ":",
    "1.2.3.4",
    "::1",
    "%",
    "_",
    "\xff",
    " ",
    "host=",
    "a/b",
    "@",
    "99999",
  ];
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: i % 9 }, (_, j) => pieces[(i * 31 + j * (i % 17) * 7 + (i >> j)) % pieces.length]).join("");
    const name = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"][i % 5];
    const request = { method: "GET", target: "/p?q", version: "1.1", headers: [...host, name, text], addresses };
    const made = httpParams(request, "runfcgi/0", new Trust(["all"], trustedHeaders));
    const url = requestUrl(made);
    assert.ok(url !== undefined && URL.canParse(url), `${name}: ${text}`);
    assert.deepEqual(requestMount(made), { scriptName: "", pathInfo: "/p" });
  }
});

describe("what else a trusted proxy says", () => {
  const all = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "6666",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=6.6.6.6;host=evil.example",
  };

  test("is not used unless it is named", () => {
    const headers = [...host, ...Object.entries(all).flat()];
    const found = params({ headers, target: "/a" }, proxy, []);
    assert.deepEqual(
      [found.HTTP_HOST, found.SERVER_PORT, found.REMOTE_ADDR, found.SCRIPT_NAME, found.REQUEST_URI],
      ["a.example", "80", "10.0.0.1", "", "/a"],
    );
  });

  test("names the path that a proxy has cut off", () => {
    const cases: [prefix: string, target: string, url: string, mount: string, pathInfo: string][] = [
      ["/app", "/a%20b?q", "http://a.example/app/a%20b?q", "/app", "/a b"],
      ["/app/", "/", "http://a.example/app/", "/app", "/"],
      ["/app", "/app/x", "http://a.example/app/x", "/app", "/x"],
      ["/a/b", "/application", "http://a.example/a/b/application", "/a/b", "/application"],
      ...["app", "/../etc", "//evil", "/a?b", "/a b", "/./a", ""].map((bad) =>
        [bad, "/x", "http://a.example/x", "", "/x"] as [string, string, string, string, string]
      ),
    ];
    for (const [prefix, target, url, mount, pathInfo] of cases) {
      const request = { method: "GET", target, version: "1.1", headers: [...host, "X-Forwarded-Prefix", prefix], addresses };
      const made = httpParams(request, "runfcgi/0", new Trust(proxy, ["prefix"]));
      assert.equal(requestUrl(made), url, prefix);
      assert.deepEqual({ ...requestMount(made) }, { scriptName: mount, pathInfo }, prefix);
    }
  });

  test("is refused by name where it is unknown", () => {
    assert.throws(() => new Trust([], ["for" as TrustedHeader]), /"for" is not one of host, port, prefix, forwarded/);
  });
});

describe("trust over protocols whose web server gives REMOTE_ADDR", () => {
  /** The URL and the visitor behind a web server that a proxy has asked. */
  function behind(more: Record<string, string>, trust: string[], headers: TrustedHeader[] = []): string {
    const given = {
      REQUEST_METHOD: "GET",
      REQUEST_URI: "/a?b",
      SCRIPT_NAME: "",
      PATH_INFO: "/a",
      QUERY_STRING: "b",
      SERVER_SOFTWARE: "nginx/1.28",
      SERVER_NAME: "a.example",
      SERVER_PORT: "80",
      REQUEST_SCHEME: "http",
      REMOTE_ADDR: "10.0.0.1",
      REMOTE_PORT: "4321",
      HTTP_HOST: "a.example",
      ...more,
    };
    const made = Params.from(Object.entries(given));
    applyForwarded(made, new Trust(trust, headers));
    const { REMOTE_ADDR, REMOTE_PORT } = made.toRecord();
    return `${requestUrl(made)} ${REMOTE_ADDR}${REMOTE_PORT ? ` ${REMOTE_PORT}` : ""}`;
  }
  const plain = "http://a.example/a?b 10.0.0.1 4321";
  const said = { HTTP_X_FORWARDED_FOR: "6.6.6.6, 1.1.1.1", HTTP_X_FORWARDED_PROTO: "https" };
  const cloudflare = { REMOTE_ADDR: "172.70.1.1", HTTP_CF_CONNECTING_IP: "2001:db8::7", ...said };
  const cases: [name: string, params: Record<string, string>, trust: string[], expected: string, headers?: TrustedHeader[]][] = [
    ["nobody is trusted unless named", said, [], plain],
    ["nor is another", said, ["192.0.2.0/24"], plain],
    ["the proxy is", said, ["10.0.0.1"], "https://a.example/a?b 1.1.1.1"],
    ["the proxy with IPv4 inside IPv6 is", { ...said, REMOTE_ADDR: "::ffff:10.0.0.1" }, proxy, "https://a.example/a?b 1.1.1.1"],
    [
      "http before a web server that has https",
      { HTTPS: "on", SERVER_PORT: "443", HTTP_X_FORWARDED_PROTO: "http" },
      proxy,
      plain,
    ],
    ["https with a port in Host", { ...said, HTTP_HOST: "a.example:8443" }, proxy, "https://a.example:8443/a?b 1.1.1.1"],
    ["no address", { ...said, REMOTE_ADDR: "" }, proxy, "http://a.example/a?b  4321"],
    ["what is not an address", { ...said, REMOTE_ADDR: "unix:" }, proxy, "http://a.example/a?b unix: 4321"],
    ["everybody", { ...said, REMOTE_ADDR: "unix:" }, ["all"], "https://a.example/a?b 6.6.6.6"],
    ["hosts are not", { HTTP_X_FORWARDED_HOST: "evil.example" }, proxy, plain],
    ["hosts by name", { HTTP_X_FORWARDED_HOST: "v.example" }, proxy, "http://v.example/a?b 10.0.0.1 4321", ["host"]],
    ["ports by name", { HTTP_X_FORWARDED_PORT: "81" }, proxy, "http://a.example:81/a?b 10.0.0.1 4321", ["port"]],
    ["a path by name", { HTTP_X_FORWARDED_PREFIX: "/app" }, proxy, "http://a.example/app/a?b 10.0.0.1 4321", ["prefix"]],
    [
      "a path beside nginx's DOCUMENT_URI",
      { HTTP_X_FORWARDED_PREFIX: "/app", DOCUMENT_URI: "/a", SCRIPT_NAME: "/a", PATH_INFO: "" },
      proxy,
      "http://a.example/app/a?b 10.0.0.1 4321",
      ["prefix"],
    ],
    ["Forwarded by name", { HTTP_FORWARDED: "for=1.1.1.1;proto=https" }, proxy, "https://a.example/a?b 1.1.1.1", ["forwarded"]],
    ["CF-Connecting-IP from Cloudflare", cloudflare, ["cloudflare"], "https://a.example/a?b 2001:db8::7"],
    [
      "CF-Connecting-IP alone",
      { REMOTE_ADDR: "172.70.1.1", HTTP_CF_CONNECTING_IP: "2001:db8::7" },
      ["cloudflare"],
      "http://a.example/a?b 2001:db8::7",
    ],
    [
      "CF-Connecting-IP from another",
      { ...cloudflare, REMOTE_ADDR: "10.0.0.1" },
      ["cloudflare", ...proxy],
      "https://a.example/a?b 1.1.1.1",
    ],
    ["CF-Connecting-IP without cloudflare", cloudflare, ["172.70.1.1"], "https://a.example/a?b 1.1.1.1"],
    [
      "CF-Connecting-IP that is no address",
      { ...cloudflare, HTTP_CF_CONNECTING_IP: "x" },
      ["cloudflare"],
      "https://a.example/a?b 1.1.1.1",
    ],
  ];
  for (const [name, given, trust, expected, headers] of cases) {
    test(name, () => assert.equal(behind(given, trust, headers), expected));
  }
});

test("Forwarded is taken apart as RFC 7239 has it", () => {
  assert.deepEqual(parseForwarded('for="_gazonk"').map((element) => ({ ...element })), [{ for: "_gazonk" }]);
  const two = parseForwarded('For="[2001:db8:cafe::17]:4711";by=203.0.113.43, for=198.51.100.17;Proto=http');
  assert.deepEqual(two.map((element) => ({ ...element })), [
    { for: "[2001:db8:cafe::17]:4711", by: "203.0.113.43" },
    { for: "198.51.100.17", proto: "http" },
  ]);
});

describe("trust", () => {
  for (
    const word of ["", "local", "10.0.0.0/33", "10.0.0", "::1/129", "10.0.0.1/", "a/8", "10.0.0.0/-1", "fe80::1%eth0", "Private"]
  ) {
    test(`refuses ${JSON.stringify(word)} and names it`, () => {
      assert.throws(() => new Trust(["loopback", word]), {
        name: "TypeError",
        message: `"${word}" is neither an address nor a network`,
      });
    });
  }
});
