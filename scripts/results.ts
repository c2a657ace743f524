/**
 * What the runners of the three runtimes say of a run of tests.
 *
 * @module
 */

/** How many tests there were. */
export interface Result {
  passed: number;
  failed: number;
  skipped: number;
}

/** What the three runners say of failures: Node and Deno once more at the end, Bun above each. */
export function failuresIn(output: string): string {
  const end = output.match(/^(?:✖ failing tests:| ERRORS )[^]*/m)?.[0];
  return end ?? [...output.matchAll(/(?:^(?!\((?:pass|fail|skip)\)).*\n)*^\(fail\).*\n/gm)].join("\n");
}

/** Reads the closing lines of the three runners. */
export function count(output: string): Result {
  const last = (pattern: RegExp) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const deno = [
    ...output.matchAll(/^(?:ok|FAILED) \| (\d+) passed(?: \((\d+) steps?\))? \| (\d+) failed(?: \((\d+) steps?\))?.*$/gm),
  ].at(-1);
  if (deno) {
    // A describe() is a test to Deno, and its tests are steps.
    const suites = output.match(/^\S.* \.\.\.$/gm)?.length ?? 0;
    const [passed, passedSteps, failed, failedSteps] = deno.slice(1).map((number) => Number(number ?? 0));
    return {
      passed: passed + passedSteps - suites + failed,
      failed: failed > 0 ? Math.max(failedSteps, 1) : 0,
      skipped: last(/(\d+) ignored/g),
    };
  }
  return {
    passed: last(/^ℹ pass (\d+)/gm) || last(/^ *(\d+) pass$/gm),
    failed: last(/^ℹ fail (\d+)/gm) || last(/^ *(\d+) fail$/gm),
    skipped: last(/^ℹ skipped (\d+)/gm) || last(/^ *(\d+) skip$/gm),
  };
}
