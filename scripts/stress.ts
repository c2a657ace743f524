/**
 * The stress command: tests of restarts, reloads, kills and changes, many times in a row with the compiled program, while
 * two processes keep the processors busy. Arguments choose files by name, `--times=30` says how often, and
 * `--only=binary,bun,node,deno` with which programs.
 *
 * @module
 */
import { execFileSync, spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { resultsFile, takeResults, testCommand } from "./results.ts";
import { root, tools } from "./tools.ts";

const BURNERS = 2;
const { values: { times, only }, positionals: words } = parseArgs({
  options: { times: { type: "string", default: "30" }, only: { type: "string", default: "binary" } },
  allowPositionals: true,
});
const files = globSync(
  "tests/{e2e/{changes,processes,spawned},cli/{daemon,deaths,descriptors,pool,reload,signals,stopping}}.slow.test.ts",
  { cwd: root },
).filter((file) => words.every((word) => file.includes(word))).sort();

execFileSync(tools().deno, ["run", "-A", join(root, "scripts/compile.ts")], { stdio: "inherit", cwd: root });
/** As often in each test as `--whole` does it. */
const environment: Record<string, string | undefined> = {
  ...process.env,
  NO_COLOR: "1",
  RUNFCGI_WHOLE: "true",
  RUNFCGI_PROGRAM: undefined,
};
const compiled = join(root, "dist", `runfcgi-${process.platform}-${process.arch}`);

// They end with this process, however it ends.
const burn = "while kill -0 $0; do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done";
const burners = Array.from({ length: BURNERS }, () => spawn("sh", ["-c", burn, String(process.pid)], { stdio: "ignore" }));
let failedRuns = 0;
for (const file of files) {
  for (const program of only.split(",")) {
    let failed = 0;
    let first = "";
    for (let i = 0; i < Number(times); i++) {
      const results = resultsFile("stress");
      const { status, output } = await run(program, file, results);
      const { failed: failures, failures: texts } = takeResults(results, status, output);
      if (failures === 0) continue;
      failed++;
      first ||= `run ${i + 1}\n${texts.join("\n")}`;
    }
    failedRuns += failed;
    process.stdout.write(`${file} (${program}): ${times} runs, ${failed} failed${first && `; the first failure: ${first}`}\n`);
  }
}
for (const burner of burners) burner.kill();
process.exitCode = failedRuns > 0 || files.length === 0 ? 1 : 0;

function run(program: string, file: string, results: string): Promise<{ status: number | null; output: string }> {
  const [command, ...words] = testCommand(program === "binary" ? "node" : program, [file], results);
  const env = program === "binary" ? { ...environment, RUNFCGI_PROGRAM: compiled } : environment;
  const child = spawn(command, words, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => output += text);
  return new Promise((resolve) => child.once("close", (status) => resolve({ status, output })));
}
