import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { welcomePage } from "../../src/app/welcome.ts";
import { columns } from "../../src/cli/commands/output.ts";
import { startSite } from "../support/peer.ts";
import { run, workplace } from "../support/words.ts";

const { site } = workplace();
const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));

test("the last column is wrapped beside the others, or below them where a terminal is narrow", () => {
  const rows = [["scheme", "http", "there is neither HTTPS nor REQUEST_SCHEME"], ["port", "80", "the usual one"]];
  assert.equal(columns(rows), "scheme  http  there is neither HTTPS nor REQUEST_SCHEME\nport    80    the usual one\n");
  const beside = "scheme  http  there is neither HTTPS nor\n              REQUEST_SCHEME\nport    80    the usual one\n";
  assert.equal(columns(rows, "", 40), beside);
  const below = "  scheme  http\n      there is neither HTTPS nor\n      REQUEST_SCHEME\n  port    80    the usual one\n";
  assert.equal(columns(rows, "  ", 36), below);
});

describe("explain", () => {
  test("tells of each request in a file", async () => {
    const { code, stdout, stderr } = await run(["explain", join(fixtures, "nginx-fcgi-keepconn-seq3.bin")]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.match(/^URL +http:\/\/localhost:21101\/app\/ka\d$/gm)?.length, 3, stdout);
    assert.match(stdout, /^port +21101 +HTTP_HOST SERVER_PORT +nginx's \$host has lost the port$|^port +21101 +HTTP_HOST /m);
    assert.match(stdout, /^ignored\n {2}\w+=/m);
  });

  test("tells of variables", async () => {
    const { stdout } = await run([
      "explain",
      "param=REQUEST_URI=/a/b",
      "param=SCRIPT_NAME=/a",
      "param=PATH_INFO=/b",
      "param=HTTPS=on",
      "param=HTTP_HOST=h",
    ]);
    assert.match(stdout, /^URL +https:\/\/h\/a\/b\nscheme +https +HTTPS +it is "on"\n/);
    assert.match(stdout, /^mount +\/a +PATH_INFO +what stands before PATH_INFO in the path$/m);
  });

  test("shows over HTTP who is trusted", async () => {
    const file = join(site({ request: "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n" }), "request");
    const [trusted, distrusted] = await Promise.all([
      run(["explain", file, "from=10.0.0.1", "trust=10.0.0.0/8"]),
      run(["explain", file, "from=10.0.0.1"]),
    ]);
    assert.match(trusted.stdout, /^visitor +1\.2\.3\.4 +REMOTE_ADDR +what the trusted proxy says in X-Forwarded-For$/m);
    assert.match(distrusted.stdout, /^visitor +10\.0\.0\.1/m);
    assert.match(distrusted.stdout, /^ {2}HTTP_X_FORWARDED_FOR=1\.2\.3\.4 +its sender is not in trust$/m);
  });

  test("says what it cannot explain", async () => {
    const folder = site({ odd: "\x07\x08", cut: "12:CONTENT" });
    const [nothing, odd, cut, none] = await Promise.all([
      run(["explain"]),
      run(["explain", join(folder, "odd")]),
      run(["explain", join(folder, "cut")]),
      run(["explain", join(folder, "none")]),
    ]);
    assert.match(nothing.stderr, /explain what\?/);
    assert.equal(nothing.code, 2);
    assert.match(odd.stderr, /No FastCGI, SCGI.* begins with the byte 0x07\nrunfcgi: ".*" contains no request/);
    assert.equal(odd.code, 1);
    assert.match(cut.stderr, /it ends before the first one is complete/);
    assert.match(none.stderr, /cannot read/);
    assert.equal(none.code, 2);
  });

  test("is on the welcome page, too", async () => {
    await using welcomed = await startSite(welcomePage("", true));
    const { text } = await welcomed.ask("/x", { HTTP_X_FORWARDED_PROTO: "https" });
    assert.match(text, /<h2>How this URL was found<\/h2>[^]*<th scope="row">host<\/th><td>localhost \(HTTP_HOST: the Host/);
    assert.match(text, /HTTP_X_FORWARDED_PROTO is ignored<\/th><td>a visitor can send it/);
  });
});
