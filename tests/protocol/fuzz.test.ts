import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz, type Target, targets } from "../support/fuzz.ts";
import { Random } from "../support/random.ts";

/** The cases of the suite are the same each time; `deno task fuzz` runs others. */
const SEED = 1;
const CASES = 100_000;

const weights = targets.reduce((sum, { weight }) => sum + weight, 0);

for (const target of targets) {
  const cases = Math.ceil(CASES * target.weight / weights);
  test(`${target.name} survives ${cases} random cases`, { timeout: 60_000 }, () => fuzz(target, cases, SEED));
}

test("a case that fails says how to run it again, and is the same then", () => {
  const failing: Target = {
    name: "Failing",
    weight: 1,
    makeCase(random) {
      const bytes = random.bytes(20);
      return {
        bytes,
        run: () => {
          if (bytes[0] === 77) throw new Error(`starts with 77 and ${bytes[1]}`);
          return "";
        },
      };
    },
  };
  let seed = 0;
  let reason = "";
  assert.throws(() => fuzz(failing, 10_000, 5), (error: Error) => {
    [, seed, reason] = /with seed (\d+): (.*)\nRun it again: deno task fuzz 1 \1$/.exec(error.message)!.map((part, i) =>
      i === 1 ? Number(part) : part
    ) as [string, number, string];
    return true;
  });
  assert.throws(() => fuzz(failing, 1, seed), new RegExp(reason));
});

test("a target that depends on where its input is cut fails", () => {
  const target: Target = {
    name: "Cut",
    weight: 1,
    makeCase: (random) => ({ bytes: random.bytes(9), run: (pieces) => String(pieces.length) }),
  };
  assert.throws(() => fuzz(target, 10, 1), /Splitting 9 bytes/);
});

test("a seed brings its values back, and the next one brings others", () => {
  const values = (seed: number) => Array.from({ length: 5 }, ((random) => () => random.int(1 << 30))(new Random(seed)));
  assert.deepEqual(values(7), values(7));
  assert.notDeepEqual(values(7), values(8));
  assert.equal(new Set(Array.from({ length: 1000 }, (_, seed) => new Random(seed).int(1 << 30))).size, 1000);
});
