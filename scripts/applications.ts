/**
 * Installs and builds the applications of `tests/e2e/applications`, as their frameworks' documentation does it:
 * `deno run -A scripts/applications.ts [--whole] [name …]`. They stay in `dist/applications` until something of them changes.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { root, tools } from "./tools.ts";

const source = join(root, "tests/e2e/applications");

/** Where an application is once it is installed. */
export const applications: string = join(root, "dist/applications");

/** For a site below a path. */
const mounted = { SITE_OUT: "build-mounted", SITE_BASE: "/mounted" };

/** Folders with a package.json of their own, and what is built in each: commands with their environment. */
const builds: Readonly<Record<string, readonly { command: string; environment?: Record<string, string> }[]>> = {
  few: [],
  more: [{ command: "npm rebuild better-sqlite3" }],
  sveltekit: [{ command: "npm run build" }, { command: "npm run build", environment: mounted }],
  astro: [
    { command: "npm run build" },
    { command: "npm run build", environment: { ASTRO_MODE: "middleware", ASTRO_OUT: "dist-middleware" } },
  ],
  reactrouter: [{ command: "npm run build" }, { command: "npm run build", environment: mounted }],
  nitro: ["node-server", "node", "bun", "deno-server"].map((preset) => ({
    command: "npx nitropack build",
    environment: { NITRO_PRESET: preset },
  })),
  nuxt: [{ command: "npm run build" }],
  next: [
    { command: "npm run build", environment: { SITE_OUT: "build" } },
    { command: "npm run build", environment: mounted },
  ],
  nest_deno: [{ command: "deno cache --quiet --no-lock app.ts" }],
};

/** What is always tested; the others are with `--whole`. */
const always = ["few"];

/** Written when a folder is complete: what it was made of. */
const MARK = ".made-of";

/** Whether an application's folder is installed and built as its source is now. */
export function isInstalled(name: string): boolean {
  return tryRead(join(applications, name, MARK)) === stateOf(name);
}

/** Installs those that are missing. */
export function installApplications(names: readonly string[] | "always" | "whole"): void {
  const wanted = names === "always" ? always : names === "whole" ? Object.keys(builds) : names;
  for (const name of wanted.filter((name) => !isInstalled(name))) install(name);
}

function install(name: string): void {
  process.stderr.write(`Installing the applications of ${name} …\n`);
  const folder = join(applications, name);
  const packages = (folder: string) => tryRead(join(folder, "package.json"));
  // What is installed already is left, if it is the same.
  const there = packages(folder) === packages(join(source, name)) && existsSync(join(folder, "node_modules"));
  rmSync(join(folder, MARK), { force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(join(source, name), folder, { recursive: true });
  if (!there && packages(folder) !== undefined) run("npm install --no-audit --no-fund --ignore-scripts --loglevel=error", folder);
  for (const { command, environment } of builds[name]) run(command, folder, environment);
  writeFileSync(join(folder, MARK), stateOf(name));
}

/** By the Node of the tests, for which packages in C++ are compiled. */
function run(command: string, cwd: string, environment?: Record<string, string>): void {
  const { node, deno } = tools();
  const bin = dirname(node);
  const [program, ...words] = command.split(" ");
  const env = {
    ...process.env,
    PATH: [bin, dirname(deno), process.env.PATH].join(delimiter),
    npm_config_nodedir: dirname(bin),
    ASTRO_TELEMETRY_DISABLED: "1",
    NUXT_TELEMETRY_DISABLED: "1",
    NEXT_TELEMETRY_DISABLED: "1",
    ...environment,
  };
  const { status, stdout, stderr } = spawnSync(program, words, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (status !== 0) throw new Error(`${command} failed in ${cwd}:\n${stdout}${stderr}`);
}

function tryRead(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

function stateOf(name: string): string {
  const hash = createHash("sha256").update(JSON.stringify(builds[name]));
  for (const file of globSync("**/*", { cwd: join(source, name) }).sort()) {
    const path = join(source, name, file);
    if (statSync(path).isFile()) hash.update(`${file}\0`).update(readFileSync(path));
  }
  return hash.digest("hex");
}

if (import.meta.main) {
  const names = process.argv.slice(2).filter((word) => word !== "--whole");
  installApplications(process.argv.includes("--whole") ? "whole" : names.length > 0 ? names : "always");
}
