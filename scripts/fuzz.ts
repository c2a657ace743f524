/**
 * Feeds random and garbled bytes to the codecs: `deno task fuzz [cases] [seed]`.
 *
 * Cases are counted for each target. The number of a case is its seed, which a failure names.
 *
 * @module
 */
import process from "node:process";
import { fuzz, targets } from "../tests/support/fuzz.ts";

const [cases, seed] = [process.argv[2] ?? 1_000_000, process.argv[3] ?? Math.floor(Math.random() * 2 ** 32)].map(Number);
if (!(cases > 0 && seed >= 0)) {
  process.stderr.write("Expected: fuzz [cases] [seed], both numbers\n");
  process.exit(2);
}

/** Cases between two signs of life. */
const STEP = 10_000;

let failed = false;
for (const target of targets) {
  const start = performance.now();
  let done = 0;
  try {
    while (done < cases) {
      fuzz(target, Math.min(STEP, cases - done), seed + done);
      done = Math.min(cases, done + STEP);
      if (process.stdout.isTTY) process.stdout.write(`\r${target.name}: ${done} cases`);
    }
    const seconds = (performance.now() - start) / 1000;
    process.stdout.write(`\r${target.name}: ${done} cases from seed ${seed}, ${Math.round(done / seconds)} a second\n`);
  } catch (error) {
    failed = true;
    process.stdout.write(`\n${error instanceof Error ? error.stack : error}\n`);
  }
}
process.exit(failed ? 1 : 0);
