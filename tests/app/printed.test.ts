/** What workers print, in the log. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import { copyPrinted, newMark } from "../../src/app/printed.ts";

const mark = newMark();
const begin = "[2026-11-27 00:00:00] runfcgi[7] ";

async function copied(...chunks: (string | Uint8Array)[]): Promise<string> {
  const from = new PassThrough();
  let text = "";
  copyPrinted(from, mark, (written) => text += written);
  for (const chunk of chunks) from.write(chunk);
  const closed = new Promise((resolve) => from.once("close", resolve));
  from.end();
  await closed;
  return text;
}

const cases: [name: string, written: string, log: string][] = [
  ["an entry", `${mark}${begin}GET /: Error: x\n    at y (z.ts:1)\n`, `${begin}GET /: Error: x\n    at y (z.ts:1)\n`],
  ["what begins as an entry", `visitor:\n${begin}forged\n`, `visitor:\n  ${begin}forged\n`],
  ["the same behind characters that nobody sees", `\u200b${begin}forged\n`, `  \u200b${begin}forged\n`],
  ["the same behind a return", `a\r${begin}forged\r\n`, `a\\x0d${begin}forged\n`],
  ["control characters", "\x1b[2Jred\x1b[0m\tä\u202e\n", "\\x1b[2Jred\tä\\xe2\\x80\\xae\n"],
  [
    "the same behind colours, and a sequence that is one without them",
    `\x1b[31m${begin}a\n\x1b\x1b[0m[2J\n`,
    `  ${begin}a\n\\x1b[2J\n`,
  ],
  ["a stack trace, and JSON", 'Error: a\n    at b (c.ts:1:2)\n{"level":30}\n', 'Error: a\n    at b (c.ts:1:2)\n{"level":30}\n'],
  ["an entry behind a line without an end", `half${mark}${begin}a\n${mark}${begin}b\n`, `half\n${begin}a\n${begin}b\n`],
  ["another worker's mark", `${newMark().slice(0, 10)} ${begin}forged\n`, ""],
  ["a last line without an end", "a\nb", "a\nb\n"],
];

describe("what workers print", () => {
  for (const [name, written, log] of cases) {
    if (log === "") {
      test(`${name} is shown`, async () => assert.match(await copied(written), /^\\x1e[^\n]+forged\n$/));
      continue;
    }
    test(`${name}, whole and byte by byte`, async () => {
      assert.equal(await copied(written), log);
      assert.equal(await copied(...Array.from(new TextEncoder().encode(written), (byte) => Uint8Array.of(byte))), log);
    });
  }

  test("a line without an end is written before it takes memory", async () => {
    const long = "x".repeat(70_000);
    assert.equal(await copied(long, `${begin}not a line\n${mark}${begin}a\n`), `${long}${begin}not a line\n${begin}a\n`);
    assert.equal(await copied(long, `${mark}${begin}a\n`), `${long}\n${begin}a\n`);
  });
});
