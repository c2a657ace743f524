/**
 * The stress command: tests of restarts, reloads, kills and changes, many times in a row with the compiled program, while
 * two processes keep the processors busy. Arguments choose files by name; `--times=30` says how often.
 *
 * @module
 */
import { execFileSync, spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { resultsFile, takeResults, testCommand } from "./results.ts";
import { root, tools } from "./tools.ts";

const BURNERS = 2;
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const times = Number(process.argv.find((word) => word.startsWith("--times="))?.slice("--times=".length) ?? 30);
const files = globSync(
  "tests/{e2e/{changes,processes,spawned},cli/{deaths,descriptors,pool,reload,signals,stopping}}.slow.test.ts",
  {
    cwd: root,
  },
).filter((file) => words.every((word) => file.includes(word))).sort();

execFileSync(tools().deno, ["run", "-A", join(root, "scripts/compile.ts")], { stdio: "inherit", cwd: root });
const environment = {
  ...process.env,
  NO_COLOR: "1",
  RUNFCGI_PROGRAM: join(root, "dist", `runfcgi-${process.platform}-${process.arch}`),
};

// They end with this process, however it ends.
const burn = "while kill -0 $0; do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done";
const burners = Array.from({ length: BURNERS }, () => spawn("sh", ["-c", burn, String(process.pid)], { stdio: "ignore" }));
let failedRuns = 0;
for (const file of files) {
  let failed = 0;
  let first = "";
  for (let i = 0; i < times; i++) {
    const results = resultsFile("stress");
    const { status, output } = await run(testCommand("node", [file], results));
    const { failed: failures, failures: texts } = takeResults(results, status, output);
    if (failures === 0) continue;
    failed++;
    first ||= `run ${i + 1}\n${texts.join("\n")}`;
  }
  failedRuns += failed;
  process.stdout.write(`${file}: ${times} runs, ${failed} failed${first && `; the first failure: ${first}`}\n`);
}
for (const burner of burners) burner.kill();
process.exitCode = failedRuns > 0 || files.length === 0 ? 1 : 0;

function run([command, ...words]: string[]): Promise<{ status: number | null; output: string }> {
  const child = spawn(command, words, { cwd: root, env: environment, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => output += text);
  return new Promise((resolve) => child.once("close", (status) => resolve({ status, output })));
}
