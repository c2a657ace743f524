import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import { accessFormatter, accessLine, isSkipped, slowLine } from "../../src/server/access_log.ts";
import type { RequestFacts } from "../../src/server/monitor.ts";

const now = new Date(Date.UTC(2026, 0, 9, 8, 7, 6, 543));

function request(params: Record<string, string>, more: Partial<RequestFacts> = {}): RequestFacts {
  return {
    params: Params.from(Object.entries(params)),
    owner: { protocol: "fcgi" },
    begunAt: 1,
    status: 200,
    sentLength: 1234,
    ...more,
  };
}

const usual = {
  REMOTE_ADDR: "192.0.2.7",
  REMOTE_USER: "ada",
  REQUEST_METHOD: "GET",
  REQUEST_URI: "/a?b=c",
  SERVER_PROTOCOL: "HTTP/1.1",
  HTTP_HOST: "example.org",
  HTTP_REFERER: "https://example.org/",
  HTTP_USER_AGENT: "Mozilla/5.0 (X)",
};

/** What a visitor can send to be taken for something else. */
const hostile = [
  '" 200 5 "-"',
  "\n192.0.2.9 - - [",
  "\r\n",
  "\x00",
  "\x1b[2J\x1b]0;owned\x07",
  "\\",
  '\\"',
  "\x7f",
  "é ☃ \u0085 \u2028",
];

describe("the combined format", () => {
  test("is Apache's, with the seconds behind it", () => {
    assert.equal(
      accessLine("combined", request(usual), 0.0123456, now),
      '192.0.2.7 - ada [09/Jan/2026:08:07:06 +0000] "GET /a?b=c HTTP/1.1" 200 1234 ' +
        '"https://example.org/" "Mozilla/5.0 (X)" 0.012346\n',
    );
  });

  test("has a dash for what is unknown, and 499 for a visitor who left", () => {
    assert.equal(
      accessLine("combined", request({ REQUEST_METHOD: "GET", REQUEST_URI: "/" }, { status: 0, sentLength: 0 }), 1, now),
      '- - - [09/Jan/2026:08:07:06 +0000] "GET / " 499 0 "-" "-" 1.000000\n',
    );
  });

  for (const name of Object.keys(usual)) {
    test(`no value of ${name} breaks the line`, () => {
      for (const value of hostile) {
        const line = accessLine("combined", request({ ...usual, [name]: value }), 1, now);
        const fields =
          /^(\S+) - (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d+) (\d+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" ([\d.]+)\n$/
            .exec(line);
        assert.ok(fields, line);
        assert.deepEqual([fields[3], fields[5], fields[6], fields[9]], ["09/Jan/2026:08:07:06 +0000", "200", "1234", "1.000000"]);
        // deno-lint-ignore no-control-regex
        assert.doesNotMatch(line.slice(0, -1), /[\x00-\x1f\x7f-\x9f]/);
      }
    });
  }
});

describe("a pattern", () => {
  const line = (pattern: string, params: Record<string, string> = usual, more?: Partial<RequestFacts>) =>
    accessFormatter(pattern)(request({ SERVER_NAME: "www", SERVER_PORT: "443", ...params }, more), 0.0123456, now).slice(0, -1);

  const cases: [pattern: string, line: string][] = [
    ["%h %a %l %u", "192.0.2.7 192.0.2.7 - ada"],
    ["%t", "[09/Jan/2026:08:07:06 +0000]"],
    ['"%r" %s %>s', '"GET /a?b=c HTTP/1.1" 200 200'],
    ["%m %U%q %H", "GET /a?b=c HTTP/1.1"],
    ["%b %B %D %T", "1234 1234 12346 0.012346"],
    ["%v %V %p", "www example.org 443"],
    ["%P", String(process.pid)],
    ["%X 100%%\\t.", "+ 100%\t."],
    ["%{Referer}i|%{user-agent}i|%{X-None}i", "https://example.org/|Mozilla/5.0 (X)|-"],
    ["%{REMOTE_USER}e %{content-type}i", "ada -"],
    ["{}[", "{}["],
  ];
  for (const [pattern, expected] of cases) test(`${pattern} has its values`, () => assert.equal(line(pattern), expected));

  test("has nothing where there is nothing, and tells who left", () => {
    const nothing = { REQUEST_METHOD: "GET", REQUEST_URI: "/", SERVER_NAME: "", SERVER_PORT: "" };
    assert.equal(line("%h %u %U%q %b %B %s %X %v", nothing, { status: 0, sentLength: 0 }), "- - / - 0 499 X -");
  });

  test("no value breaks the line", () => {
    for (const value of hostile) {
      const params = Object.fromEntries(Object.keys(usual).map((name) => [name, value]));
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(line('%h %u "%r" %m %U%q %H %V %{Referer}i %{HTTP_HOST}e', params), /[\x00-\x1f\x7f-\x9f]/);
    }
  });
});

test("requests are left out by their path, or by what it begins with", () => {
  const skipped = (target: string, ...paths: string[]) => isSkipped(request({ REQUEST_URI: target }), paths);
  assert.equal(skipped("/ping", "/ping"), true);
  assert.equal(skipped("/ping?x", "/a", "/ping"), true);
  assert.equal(skipped("/pings", "/ping"), false);
  assert.equal(skipped("/assets/a/b.js?x", "/assets/"), true);
  assert.equal(skipped("/assets", "/assets/"), false);
  assert.equal(skipped("/", "/"), true);
  assert.equal(skipped("/a", "/"), false);
});

describe("the JSON format", () => {
  test("is an object with everything that is known", () => {
    const line = accessLine("json", request(usual), 0.5, now);
    assert.match(line, /^\{.*\}\n$/);
    assert.deepEqual(JSON.parse(line), {
      time: "2026-01-09T08:07:06.543Z",
      remote: "192.0.2.7",
      user: "ada",
      method: "GET",
      target: "/a?b=c",
      version: "HTTP/1.1",
      host: "example.org",
      status: 200,
      bytes: 1234,
      seconds: 0.5,
      referer: "https://example.org/",
      agent: "Mozilla/5.0 (X)",
      protocol: "fcgi",
    });
  });

  test("no value breaks the line", () => {
    for (const value of hostile) {
      const line = accessLine("json", request({ ...usual, HTTP_USER_AGENT: value }), 1, now);
      assert.equal(line.split("\n").length, 2);
      assert.equal(JSON.parse(line).status, 200);
    }
  });
});

describe("a slow request", () => {
  test("is a line that says how far it came", () => {
    const at = '[09/Jan/2026:08:07:06 +0000] 192.0.2.7 "GET /a?b=c" ';
    assert.equal(slowLine(request(usual, { status: 0, sentLength: 0 }), 6.5, now), `${at}6.500 s, no response yet\n`);
    assert.equal(slowLine(request(usual), 6.5, now), `${at}6.500 s, status 200, 1234 bytes sent\n`);
  });

  test("no value breaks the line", () => {
    for (const value of hostile) {
      const line = slowLine(request({ ...usual, REQUEST_URI: value, REMOTE_ADDR: value }), 6, now);
      assert.match(line, /^\[[^\]]+\] \S+ "(?:[^"\\\n]|\\.)*" 6\.000 s, status 200, 1234 bytes sent\n$/);
    }
  });
});
