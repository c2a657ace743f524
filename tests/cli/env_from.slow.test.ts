import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isEnvPattern, variablesFrom } from "../../src/options/env_from.ts";

describe("envfrom", () => {
  test("takes names, and their begins with a star", () => {
    for (const word of ["A", "_a1", "MYSITE_*", "DATABASE_URL", "PATH", "SSL_CERT_FILE"]) assert.ok(isEnvPattern(word), word);
  });

  test("takes nothing that tells of a visitor or a request", () => {
    const words = ["HTTP_HOST", "HTTP_*", "CONTENT_TYPE", "QUERY_STRING", "REQUEST_URI", "PATH_INFO", "REMOTE_USER", "SCRIPT_*"];
    for (const word of [...words, "REDIRECT_A", "SERVER_NAME", "HTTPS", "", "*", "A-B", "A*B", "1A"]) {
      assert.ok(!isEnvPattern(word), word);
    }
  });

  const table: [name: string, params: Record<string, string>, patterns: string[], variables: Record<string, string>][] = [
    ["names", { A: "1", B: "2", AB: "3" }, ["A"], { A: "1" }],
    ["begins of names", { A_B: "1", A: "2", "A_": "3", BA_: "4" }, ["A_*"], { A_B: "1", "A_": "3" }],
    ["an empty value", { A: "" }, ["A"], { A: "" }],
    ["no header, whatever the begin of names is", { HTTP_A: "1", HTTPS: "on", HTML: "2" }, ["H*"], { HTML: "2" }],
    ["no header that Apache has prefixed", { REDIRECT_HTTP_A: "1", REDIRECT_HT: "2" }, ["H*"], { HT: "2" }],
    ["a prefix of Apache's as none", { REDIRECT_A: "1", REDIRECT_REDIRECT_B: "2" }, ["A", "B"], { A: "1", B: "2" }],
    ["the name with the fewest prefixes", { REDIRECT_REDIRECT_A: "3", A: "1", REDIRECT_A: "2" }, ["A"], { A: "1" }],
    ["the fewest prefixes in any order", { REDIRECT_A: "2", REDIRECT_REDIRECT_A: "3" }, ["A"], { A: "2" }],
    ["nothing that no environment can hold", { A: "a\0b" }, ["A"], {}],
  ];
  for (const [name, params, patterns, variables] of table) {
    test(`gives ${name}`, () => assert.deepEqual(variablesFrom(params, patterns), variables));
  }
});
