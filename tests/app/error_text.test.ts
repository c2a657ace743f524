/** What is said to do about an application that is for another runtime. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { importAdvice } from "../../src/app/error_text.ts";
import { runtime } from "../../src/runtime/name.ts";

/** The error that this module makes here, if any. */
async function errorOf(text: string): Promise<unknown> {
  try {
    await import(`data:text/javascript,${encodeURIComponent(text)}`);
  } catch (error) {
    return error;
  }
}

describe("an application for another runtime", () => {
  const cases: [text: string, runtime: "Bun" | "Deno"][] = [
    ['import "bun:sqlite";', "Bun"],
    ["Bun.serve({ fetch: () => new Response() }).stop();", "Bun"],
    ["export default Deno.version;", "Deno"],
  ];
  for (const [text, other] of cases) {
    test(`${text} is told to be for ${other}, but there`, async () => {
      const error = await errorOf(text);
      if (runtime.name === other) return assert.equal(error, undefined);
      const advice = importAdvice(error, "app.ts");
      assert.match(advice, new RegExp(`^\\nIt is written for ${other}, and this is ${runtime.name}: serve it with ${other}`));
      assert.equal(advice.includes("compiled program"), other === "Bun");
    });
  }

  test("another error gets no advice", () => {
    assert.equal(importAdvice(new ReferenceError("Something is not defined"), "app.ts"), "");
    assert.equal(importAdvice(new Error(`Cannot find module "./lib/greet.ts"`), "app.ts"), "");
  });
});
