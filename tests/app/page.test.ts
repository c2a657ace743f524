/** What pages show of values, and what files they are served beside. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { explain } from "../../src/app/error_text.ts";
import { hidden } from "../../src/app/page.ts";
import { withStaticFiles } from "../../src/app/static.ts";
import type { Options } from "../../src/options/options.ts";
import { folder } from "../support/peer.ts";

test("a value is shown as text, without what is secret", () => {
  const cases: [name: string, value: string, shown: string][] = [
    ["QUERY_STRING", "", "<i>empty</i>"],
    ["QUERY_STRING", `a=<"&">`, "a=&#60;&#34;&#38;&#34;&#62;"],
    ["HTTP_COOKIE", "id=1", "<i>hidden</i>"],
    ["HTTP_COOKIE", "", "<i>empty</i>"],
    ["DATABASE", "mysql://me:pass@db/x", "mysql://me:…@db/x"],
  ];
  for (const [name, value, shown] of cases) assert.equal(hidden(name, value), shown, `${name}=${value}`);
});

test("what is thrown need not be an Error", () => {
  for (const value of ["no", null, undefined, 1, { name: "No" }, { message: "no" }, { name: 1, message: "no" }]) {
    assert.match(explain(value), / was thrown, which is no/);
  }
  assert.match(explain({ name: "Odd", message: "it is odd" }), /^Odd: it is odd/);
});

test("a path of static files has one folder", () => {
  using place = folder();
  const serve = (...prefixes: string[]) => {
    const options = { static: prefixes.map((prefix) => ({ prefix, folder: place.path })) } as unknown as Options;
    return withStaticFiles(() => new Response("app"), options, []);
  };
  assert.equal(typeof serve("/a/", "/b/", "/"), "function");
  assert.throws(() => serve("/a/", "/b/", "/a/"), { name: "UsageError", message: /static gives "\/a\/" twice/ });
});
