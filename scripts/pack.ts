/**
 * Builds the npm package: `deno task pack [folder]`, by default into dist/npm. TypeScript makes JavaScript and the types.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { nodeProgram } from "../src/cli/commands/build.ts";
import { NODE_PROGRAM } from "../src/cli/commands/launcher.ts";
import { textFiles } from "../src/cli/texts.ts";
import { commit, root, tools } from "./tools.ts";
import { declarationOptions } from "./types.ts";

const folder = resolve(process.argv[2] ?? join(root, "dist/npm"));
const { bun, node, tsc } = tools();
const { version, license } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const project = join(folder, "tsconfig.json");
writeFileSync(
  project,
  JSON.stringify({
    compilerOptions: declarationOptions(folder),
    files: ["mod.ts", "src/cli/start.ts", "src/process/thread.ts"].map((file) => join(root, file)),
  }),
);
execFileSync(node, [tsc, "--project", project], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
rmSync(project);
// The compiler does so in JavaScript only.
for (const file of globSync("**/*.d.ts", { cwd: folder }).map((name) => join(folder, name))) {
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/((?:from|import)\s*\(?\s*"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"'));
}

const source = commit();
const versionFile = join(folder, "src/server/version.js");
writeFileSync(
  versionFile,
  readFileSync(versionFile, "utf8").replace("packedCommit = undefined", `packedCommit = ${JSON.stringify(source)}`),
);

const command = "bin.js";
writeFileSync(join(folder, command), '#!/usr/bin/env node\nimport "./src/cli/start.js";\n');
chmodSync(join(folder, command), 0o755);
for (const file of ["README.md", "LICENSE"]) copyFileSync(join(root, file), join(folder, file));
for (const file of textFiles.map((path) => join("src/cli", path))) cpSync(join(root, file), join(folder, file));
// For `init node=true`, without Bun.
writeFileSync(join(folder, NODE_PROGRAM), nodeProgram({ command: bun }, source));
const description = {
  name: "runfcgi",
  version,
  description: "Puts a TypeScript application behind any web server over FastCGI, SCGI, AJP, uwsgi or HTTP",
  license,
  type: "module",
  exports: { ".": { types: "./mod.d.ts", default: "./mod.js" } },
  types: "./mod.d.ts",
  bin: { runfcgi: `./${command}` },
  engines: { node: ">=24.2" },
};
writeFileSync(join(folder, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
process.stdout.write(`${folder}: runfcgi ${version}\n`);
