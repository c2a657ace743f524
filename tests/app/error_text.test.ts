/** What is said to do about an application that is for another runtime. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { importAdvice } from "../../src/app/error_text.ts";
import { runtime } from "../../src/runtime/name.ts";

/** The error that something makes here, if any. */
async function errorOf(attempt: () => unknown): Promise<unknown> {
  try {
    await attempt();
  } catch (error) {
    return error;
  }
}

const evaluate = globalThis.eval;
const module = "bun:sqlite";

describe("an application for another runtime", () => {
  const cases: [name: string, attempt: () => unknown, runtime: "Bun" | "Deno"][] = [
    ["that imports bun:sqlite", () => import(module), "Bun"],
    ["that uses Bun", () => evaluate("Bun.version"), "Bun"],
    ["that uses Deno", () => evaluate("Deno.version"), "Deno"],
  ];
  for (const [name, attempt, other] of cases) {
    test(`${name} is told to be for ${other}, but there`, async () => {
      const error = await errorOf(attempt);
      if (runtime.name === other) return assert.equal(error, undefined);
      const advice = importAdvice(error, "app.ts");
      assert.match(advice, new RegExp(`^\\nIt is written for ${other}, and this is ${runtime.name}: serve it with ${other}`));
      assert.equal(advice.includes("compiled program"), other === "Bun");
    });
  }

  for (const specifier of ["npm:hono@4", "jsr:@hono/hono", "https://example.invalid/hono.ts"]) {
    const [scheme] = specifier.split(":");
    test(
      `that imports from ${scheme}: is told what to do where that is not known`,
      { skip: runtime.name === "Deno" },
      async () => {
        const advice = importAdvice(await errorOf(() => import(specifier)), "app.ts");
        assert.match(
          advice,
          new RegExp(`^\\nOnly Deno imports from "${scheme}:", and this is ${runtime.name}: .*node_modules.* beside app.ts`),
        );
      },
    );
  }

  test("another error gets no advice", () => {
    assert.equal(importAdvice(new ReferenceError("Something is not defined"), "app.ts"), "");
    assert.equal(importAdvice(new Error(`Cannot find module "./lib/greet.ts"`), "app.ts"), "");
  });
});
