/**
 * Test runners of the three runtimes: their commands, and the results that they write as JUnit XML.
 *
 * @module
 */
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { tools } from "./tools.ts";

/** How many tests there were, and the text of each failure. */
export interface Result {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[];
}

/** A runtime's command that runs test files, prints as it goes and writes its results to a file. */
export function testCommand(runtime: string, files: readonly string[], results: string): string[] {
  const { deno, bun, node } = tools();
  if (runtime === "deno") return [deno, "test", "-A", "--no-check", `--junit-path=${results}`, ...files];
  if (runtime === "bun") {
    const reporter = ["--reporter=junit", `--reporter-outfile=${results}`];
    return [bun, "test", "--timeout=120000", ...reporter, ...files.map((file) => `./${file}`)];
  }
  const reporters = [["spec", "stdout"], ["junit", results]]
    .flatMap(([name, destination]) => [`--test-reporter=${name}`, `--test-reporter-destination=${destination}`]);
  return [node, "--test", "--test-concurrency=2", ...reporters, ...files];
}

/** A file for the results of a run. */
export function resultsFile(name: string): string {
  return join(tmpdir(), `runfcgi-results-${process.pid}-${name}.xml`);
}

/**
 * Reads the results of a run and removes their file. A runner that failed without a failed test, in loading a file for
 * example, counts as one failure, with the end of what it printed.
 */
export function takeResults(file: string, status: number | null, output: string): Result {
  const result: Result = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const cases = [...readXml(file).matchAll(/<testcase name="([^"]*)"((?: [\w-]+="[^"]*")*) *(?:\/>|>([^]*?)<\/testcase>)/g)];
  // To Deno a describe() is a test as well, and its tests are named after it.
  const suites = new Set(cases.flatMap(([, name]) => [...name.matchAll(/ &gt; /g)].map(({ index }) => name.slice(0, index))));
  for (const [, name, attributes, content = ""] of cases) {
    if (suites.has(name)) continue;
    const failure = content.match(/<failure(?: [\w-]+="[^"]*")*>([^]*?)<\/failure>/)?.[1];
    if (content.includes("<skipped")) result.skipped++;
    else if (failure === undefined) result.passed++;
    else {
      result.failed++;
      const place = attributes.match(/ file="([^"]*)"/)?.[1] ?? "";
      result.failures.push(unescapeXml(`${name}  ${place}\n${failure.trim()}\n`));
    }
  }
  if (status !== 0 && result.failed === 0) {
    result.failed = 1;
    result.failures.push(output.split("\n").slice(-40).join("\n"));
  }
  return result;
}

function readXml(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    rmSync(file);
    return text;
  } catch {
    // The runner died before it wrote any.
    return "";
  }
}

function unescapeXml(text: string): string {
  return text.replace(
    /&(?:lt|gt|quot|apos|amp|#(\d+));/g,
    (entity, code?: string) =>
      code ? String.fromCodePoint(Number(code)) : { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'" }[entity] ?? "&",
  );
}
