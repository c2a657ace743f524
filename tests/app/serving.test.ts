/** What serves has what the options say. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import { Log } from "../../src/app/log.ts";
import { parseCommandLine } from "../../src/cli/command_line.ts";
import { type Serving, servingOf } from "../../src/app/serving.ts";
import { defaultLimits, type Limits } from "../../src/server/limits.ts";

const serving = (...words: string[]): Serving => servingOf(parseCommandLine(words).options, new Log(), ["/mysite.fcgi"]);

describe("servingOf()", () => {
  const cases: [word: string, found: (serving: Serving) => unknown, value: unknown][] = [
    ["protocol=scgi", ({ serve }) => serve.protocol, "scgi"],
    ["backlog=7", ({ serve }) => serve.backlog, 7],
    ["roles=authorizer,filter", ({ serve }) => serve.roles, ["authorizer", "filter"]],
    ["secret=s3cret", ({ serve }) => serve.secret, "s3cret"],
    ["packetsize=65536", ({ serve }) => serve.packetSize, 65536],
    ["trustheaders=host,forwarded", ({ serve }) => serve.trustHeaders, ["host", "forwarded"]],
    ["trust=loopback,10.0.0.0/8", ({ serve }) => serve.trust, ["loopback", "10.0.0.0/8"]],
    ["scriptname=/app", ({ serve }) => serve.scriptName, "/app"],
    ["urlfrom=visitor", ({ serve }) => serve.urlFrom, "visitor"],
    ["frontcontroller=/index.php", ({ serve }) => serve.frontControllers, ["/index.php", "/mysite.fcgi"]],
    ["scriptname=/app", ({ serve }) => serve.frontControllers, ["/mysite.fcgi"]],
    ["concurrency=7", ({ serve }) => serve.concurrency, 7],
    ["concurrency=0", ({ serve }) => serve.concurrency, undefined],
    ["timeout=1.5", ({ serve }) => serve.timeout, 1.5],
    ["timeout=0", ({ serve }) => serve.timeout, undefined],
    ["maxrequests=7", ({ lifetime }) => lifetime, { requests: 7, memory: undefined, age: undefined }],
    ["maxmemory=7", ({ lifetime }) => lifetime, { requests: undefined, memory: 7 * 2 ** 20, age: undefined }],
    ["maxage=7", ({ lifetime }) => lifetime, { requests: undefined, memory: undefined, age: 7 }],
    ["slowtime=1.5", ({ monitor }) => monitor.slowAfter, 1.5],
    ["capture=7", ({ serve }) => serve.capture?.count, 7],
    ["capture=7", ({ serve }) => [serve.capture?.folder, serve.capture?.prefix], [process.cwd(), ".htcapture"]],
  ];
  for (const [word, found, value] of cases) {
    test(`knows ${word}`, () => assert.deepEqual(found(serving(word)), value));
  }

  for (const [name, value] of Object.entries(defaultLimits) as [keyof Limits, number][]) {
    test(`knows ${name.toLowerCase()}`, () => {
      assert.deepEqual(serving(`${name.toLowerCase()}=${value + 1}`).serve.limits, { [name]: value + 1 });
    });
  }

  test("keeps captures where capturedir says, or beside the log", () => {
    const place = (...words: string[]) => {
      const { folder, prefix } = serving("capture=1", ...words).serve.capture!;
      return [folder, prefix];
    };
    assert.deepEqual(place("capturedir=/captures"), ["/captures", undefined]);
    assert.deepEqual(place("capturedir=/captures", "errlog=/dev/null"), ["/captures", undefined]);
    assert.deepEqual(place("errlog=/dev/null"), ["/dev", undefined]);
  });

  test("says what to do about what another runtime alone has, when a request is the first to use it", async () => {
    const written: string[] = [];
    const log = Object.assign(new Log(), { write: (text: string) => void written.push(text) });
    const { serve } = servingOf(parseCommandLine([]).options, log);
    const other = "Deno" in globalThis ? "Bun" : "Deno";
    for (const text of [`${other} is not defined`, "it is not defined"]) {
      await serve.onError(new ReferenceError(text), { during: "GET /'bun:a'", status: 500 } as never);
    }
    assert.match(
      written[0],
      new RegExp(`GET /'bun:a': ReferenceError: ${other} is not defined[^]*\nIt is written for ${other}, [^]*number`),
    );
    assert.doesNotMatch(written[1], /It is written for/);
  });
});
