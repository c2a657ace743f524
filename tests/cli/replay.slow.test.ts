import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { bytes, concat } from "../support/bytes.ts";
import { paramsOf } from "../support/peer.ts";
import { startServing, until } from "../support/program.ts";
import { run, workplace } from "../support/words.ts";

const { site } = workplace();
const broken = `export default { async fetch(request: Request) { throw new Error("no " + (await request.text())); } };`;
const fixed = `export default { async fetch(request: Request) { return new Response("got " + (await request.text())); } };`;

describe("replay", () => {
  test("gives an application the request that capture has kept", async () => {
    const folder = site({ "app.ts": broken, "fixed.ts": fixed, "logs/none": "" });
    const socket = join(folder, "s");
    const running = await startServing({ socket }, ["app.ts", "capture=1", "errlog=logs/errors", "threads=1"], { cwd: folder });
    const file = join(folder, "logs/capture-1.bin");
    try {
      const { stderr } = await run(["get", `socket=${socket}`, "-d", "x=12", "-H", "Cookie: s3cret", "/a"]);
      assert.match(stderr, /the status is 500/);
      await until(
        "the request is kept and logged",
        () => existsSync(file) && readFileSync(join(folder, "logs/errors"), "utf8").includes(file),
      );
    } finally {
      await running.stop();
    }
    const [again, better] = await Promise.all([
      run(["replay", file, "app.ts", "-v"], { cwd: folder }),
      run(["replay", file, "fixed.ts"], { cwd: folder }),
    ]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^POST \/a: .*no x=12[^]*app\.ts:1/m);
    assert.match(again.stderr, /^500 Internal Server Error$/m);
    assert.match(again.stderr, /> BEGIN_REQUEST[^]*HTTP_COOKIE=\(6 bytes, hidden\)[^]*> STDIN: 4 bytes[^]*< END_REQUEST/);
    assert.deepEqual([better.code, better.stdout], [0, "got x=12"], better.stderr);
  });

  test("shows the answer in every protocol", async () => {
    const folder = site({ "app.ts": fixed });
    const results = await Promise.all((Object.keys(protocols) as ListeningProtocol[]).map((protocol) => {
      const client = protocols[protocol].client({});
      const request = client.request(1, paramsOf("/", { REQUEST_METHOD: "PUT", CONTENT_LENGTH: "1" }));
      writeFileSync(join(folder, protocol), concat(request, client.body(1, bytes("x")), client.bodyEnd(1)));
      return run(["replay", protocol, "app.ts"], { cwd: folder });
    }));
    for (const { code, stdout, stderr } of results) {
      assert.deepEqual([code, stdout], [0, "got x"], stderr);
      assert.match(stderr, /^200 OK\ncontent-/);
    }
  });

  test("says what it cannot do", async () => {
    const folder = site({ odd: "\x07", cut: "01", empty: "", "app.ts": fixed, "wrong.ts": "import './none.ts';" });
    const cases: [words: string[], code: number, message: RegExp][] = [
      [[], 2, /replay what\?/],
      [["none"], 2, /cannot read "none"/],
      [["odd"], 1, /"odd" is not a recorded request: No FastCGI/],
      [["empty"], 1, /the file "empty" is empty/],
      [["cut", "app.ts"], 1, /ends within a request\nrunfcgi: "cut" contains no complete request/],
      [["cut", "wrong.ts"], 1, /wrong\.ts" ?cannot be loaded|wrong\.ts cannot be loaded/],
    ];
    const results = await Promise.all(cases.map(([words]) => run(["replay", ...words], { cwd: folder })));
    results.forEach(({ code, stderr }, i) => {
      assert.match(stderr, cases[i][2]);
      assert.equal(code, cases[i][1]);
    });
  });
});
