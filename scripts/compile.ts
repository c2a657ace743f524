/**
 * Makes one file of the program, with a runtime inside: `deno task compile [app] [--target …] [--with bun|deno|node]`.
 *
 * @module
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { build, entryText, targets, thisTarget } from "../src/cli/commands/build.ts";
import { CommandError } from "../src/options/arguments.ts";
import { commit, installPackage, root, tools } from "./tools.ts";

const { values, positionals } = parseArgs({
  options: {
    target: { type: "string", default: thisTarget },
    with: { type: "string", default: "bun" },
    help: { type: "boolean", default: false },
  },
  allowPositionals: true,
});

const usage = `deno task compile [app] [--target ${targets.join("|")}] [--with bun|deno|node]

Makes dist/runfcgi-<target>, by default for this machine (${thisTarget}) and with Bun. With an application the program has
it inside, and the file is named after it. Other runtimes are named in the file: dist/runfcgi-<target>-node.
`;

try {
  if (values.help) process.stdout.write(usage);
  else await compile(positionals[0], values.target, values.with);
} catch (error) {
  if (!(error instanceof CommandError)) throw error;
  process.stderr.write(`compile: ${error.message}\n`);
  process.exitCode = 1;
}

async function compile(app: string | undefined, target: string, runtime: string): Promise<void> {
  if (app !== undefined && !existsSync(app)) throw new CommandError(`there is no file "${app}"`);
  const makers: Record<string, (app: string | undefined, output: string, target: string) => void | Promise<void>> = {
    bun: withBun,
    deno: (...words) => withEntry(withDeno, ...words),
    node: (...words) => withEntry(withNode, ...words),
  };
  const make = makers[runtime];
  if (make === undefined) throw new CommandError(`--with is "${runtime}", expected bun, deno or node`);
  const name = app === undefined ? "runfcgi" : app.replace(/^.*[\\/]/, "").replace(/\.\w+$/, "");
  const output = join(root, "dist", `${name}-${target}${runtime === "bun" ? "" : `-${runtime}`}`);
  const file = target.startsWith("windows") ? `${output}.exe` : output;
  mkdirSync(join(root, "dist"), { recursive: true });
  await make(app, runtime === "bun" ? file : output, target);
  const size = (statSync(file).size / 2 ** 20).toFixed(0);
  process.stdout.write(`${relative(process.cwd(), file)}  ${size} MiB\n`);
}

async function withBun(app: string | undefined, output: string, target: string): Promise<void> {
  if (!targets.includes(target)) throw new CommandError(`--target is "${target}", expected one of ${targets.join(", ")}`);
  await build({ app, output, target, commit: commit(), bun: { command: bunCommand() } });
}

function bunCommand(): string {
  return onPath("bun") ? "bun" : tools().bun;
}

/** Has a module that the program starts with while something is made of it. */
function withEntry(
  make: (entry: string, output: string, target: string) => void,
  app: string | undefined,
  output: string,
  target: string,
): void {
  const work = mkdtempSync(join(tmpdir(), "runfcgi-compile-"));
  try {
    const entry = join(work, "entry.ts");
    writeFileSync(entry, entryText(app, join(root, "src/cli/main.ts"), { target, commit: commit() }));
    make(entry, output, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function withDeno(entry: string, output: string, target: string): void {
  const triples: Record<string, string> = {
    "linux-x64": "x86_64-unknown-linux-gnu",
    "linux-arm64": "aarch64-unknown-linux-gnu",
    "darwin-x64": "x86_64-apple-darwin",
    "darwin-arm64": "aarch64-apple-darwin",
    "windows-x64": "x86_64-pc-windows-msvc",
  };
  const triple = triples[target];
  if (triple === undefined) {
    throw new CommandError(`Deno has no target "${target}", expected one of ${Object.keys(triples).join(", ")}`);
  }
  const command = onPath("deno") ? "deno" : tools().deno;
  const reason =
    "Deno's base (denort), which it downloads from its own site, cannot be had. Where DENORT_BIN names a file, that is used";
  run(command, ["compile", "--quiet", "--no-check", "-A", "--target", triple, "--output", output, entry], reason);
}

/** A single executable application: the program as one CommonJS file inside a copy of Node. */
function withNode(entry: string, output: string, target: string): void {
  if (target !== thisTarget) {
    throw new CommandError(`Node makes a program for this machine only (${thisTarget}), not for "${target}"`);
  }
  const { node } = tools();
  const bundle = `${output}.cjs`;
  const blob = `${output}.blob`;
  const config = `${output}.json`;
  try {
    run(
      bunCommand(),
      ["build", "--target=node", "--format=cjs", "--outfile", bundle, entry],
      "the bundle cannot be made",
    );
    writeFileSync(config, JSON.stringify({ main: bundle, output: blob, disableExperimentalSEAWarning: true }));
    run(node, ["--experimental-sea-config", config], "Node cannot make the blob");
    rmSync(output, { force: true });
    copyFileSync(node, output);
    chmodSync(output, 0o755);
    const postject = installPackage("postject", "1.0.0-alpha.6");
    const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
    run(
      node,
      [join(postject, "dist/cli.js"), output, "NODE_SEA_BLOB", blob, "--sentinel-fuse", fuse],
      "the blob cannot be put into Node",
    );
  } finally {
    for (const file of [bundle, blob, config]) rmSync(file, { force: true });
  }
}

function onPath(command: string): boolean {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;
}

function run(command: string, args: string[], reason: string): void {
  try {
    execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], cwd: root });
  } catch (error) {
    const printed = String((error as { stderr?: unknown }).stderr ?? error).trim();
    throw new CommandError(`${reason}:\n${printed}`);
  }
}
