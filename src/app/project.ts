/**
 * What the files of the application's project say of its modules: tsconfig.json, deno.json and package.json. The runtimes
 * read those of the program, or none.
 *
 * @module
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, isAbsolute, join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { isBundled, isCompiled } from "./compiled.ts";
import * as library from "./library.ts";
import { libraryNames } from "./library_names.ts";
import { provideModule } from "../runtime/modules.ts";
import { runtime } from "../runtime/name.ts";
import { type Project, useProject } from "../runtime/project.ts";

const denoNames = ["deno.json", "deno.jsonc"];
const names = ["tsconfig.json", ...denoNames, "package.json"];

/** The working directory before any option changed it. */
const startedIn = process.cwd();

/** Configurations that a tsconfig.json extends, one after another. */
const MAX_EXTENDS = 20;

type Json = Record<string, unknown>;

/** The nearest folder, at or above that of the application, that has one of the files. */
function projectFolder(file: string): string | undefined {
  for (let folder = dirname(resolve(file));; folder = dirname(folder)) {
    if (names.some((name) => existsSync(join(folder, name)))) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Has the modules of an application loaded as its project says. @throws {Error} when a file of it cannot be read */
export function prepareProject(file: string): void {
  provideLibrary();
  const folder = projectFolder(file);
  // Deno has been started with them, and Bun, where it is not compiled, has read those of its working directory.
  const native = runtime.name === "Deno" || runtime.name === "Bun" && !isCompiled() && folder === startedIn;
  useProject(folder === undefined ? undefined : readProject(folder, native));
}

let provided = false;

/** An application of a program that is one module imports the library by its names on npm and JSR without installing it. */
function provideLibrary(): void {
  if (provided || !isBundled()) return;
  provided = true;
  provideModule(libraryNames, library);
}

/** Files of the project: when one changes, the application is another. */
export function projectFiles(file: string): string[] {
  const folder = projectFolder(file);
  return folder === undefined ? [] : names.map((name) => join(folder, name)).filter((path) => existsSync(path));
}

function readProject(folder: string, native: boolean): Project {
  const tsconfig = join(folder, "tsconfig.json");
  const { options, paths } = existsSync(tsconfig) ? readTsconfig(tsconfig) : { options: {}, paths: [] };
  const denoFile = denoNames.map((name) => join(folder, name)).find((path) => existsSync(path));
  const deno = denoFile === undefined ? {} : readJson(denoFile);
  const imports = denoFile === undefined || runtime.name === "Deno" ? [] : importsOf(deno, dirname(denoFile));
  const declared = { ...deno.compilerOptions as Json, ...options };
  // What Bun knows already is left to it: its own errors name the lines better.
  const known = native && (runtime.name === "Deno" || existsSync(tsconfig));
  return { folder, options: known ? {} : declared, aliases: runtime.name === "Bun" && known ? imports : [...imports, ...paths] };
}

type Aliases = Project["aliases"];

function readTsconfig(file: string, depth = 0): { options: Json; paths: Aliases } {
  const { extends: extended = [], compilerOptions } = readJson(file);
  const own = (compilerOptions ?? {}) as Json & { paths?: Record<string, string[]>; baseUrl?: string };
  let base: { options: Json; paths: Aliases } = { options: {}, paths: [] };
  for (const parent of [extended].flat() as string[]) {
    if (depth === MAX_EXTENDS) throw new Error(`${file} extends too many others`);
    const read = readTsconfig(extendedFile(parent, file), depth + 1);
    base = { options: { ...base.options, ...read.options }, paths: read.paths.length > 0 ? read.paths : base.paths };
  }
  const root = resolve(dirname(file), own.baseUrl ?? ".");
  const paths = Object.entries(own.paths ?? {}).map(([from, to]) => ({ from, to: to.map((path) => resolve(root, path)) }));
  if (own.baseUrl !== undefined) paths.push({ from: "*", to: [join(root, "*")] });
  return { options: { ...base.options, ...own }, paths: own.paths || own.baseUrl ? paths : base.paths };
}

function extendedFile(parent: string, file: string): string {
  if (!/^\.{1,2}(?:\/|$)/.test(parent) && !isAbsolute(parent)) {
    const require = createRequire(file);
    try {
      return require.resolve(parent);
    } catch {
      return require.resolve(`${parent}/tsconfig.json`);
    }
  }
  const path = resolve(dirname(file), parent);
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? path : `${path}.json`;
}

/** An import map: what ends with a slash stands for what is below it. */
function importsOf({ imports, importMap }: Json, folder: string): Aliases {
  if (typeof importMap === "string" && imports === undefined) {
    const file = resolve(folder, importMap);
    return importsOf(readJson(file), dirname(file));
  }
  const star = (text: string) => text.endsWith("/") ? `${text}*` : text;
  return Object.entries((imports ?? {}) as Record<string, string>).map(([from, to]) => ({
    from: star(from),
    to: [star(/^\.{0,2}\//.test(to) ? resolve(folder, to) + (to.endsWith("/") ? "/" : "") : packageOf(to))],
  }));
}

/** The package in `node_modules` that `npm:name@version/path` or `jsr:@scope/name` is. */
function packageOf(specifier: string): string {
  const [, registry, name, path = ""] = /^(npm|jsr):\/?((?:@[^/]+\/)?[^/@]+)(?:@[^/]*)?(\/.*)?$/.exec(specifier) ?? [];
  if (name === undefined) return specifier;
  return (registry === "jsr" ? `@jsr/${name.replace(/^@/, "").replace("/", "__")}` : name) + path;
}

/** Reads JSON with comments and commas at the end. */
function readJson(file: string): Json {
  const text = readFileSync(file, "utf8").replace(/^\ufeff/, "");
  const bare = text.replace(/("(?:\\.|[^"\\])*")|\/\/[^\n]*|\/\*[^]*?\*\//g, "$1").replace(
    /("(?:\\.|[^"\\])*")|,(?=\s*[}\]])/g,
    "$1",
  );
  try {
    const value = JSON.parse(bare);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
    throw new SyntaxError("it is not an object");
  } catch (error) {
    throw new SyntaxError(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** The `paths` of tsconfig.json, which Deno does not read, as a URL of an import map; with the imports of deno.json. */
function importMap(folder: string): string | undefined {
  const tsconfig = join(folder, "tsconfig.json");
  const paths = existsSync(tsconfig) ? readTsconfig(tsconfig).paths : [];
  const known = paths.map(({ from, to }) => {
    const [start, end = ""] = from.split("*");
    const target = to.find((path) => existsSync(path.replace(/\*.*$/, ""))) ?? to[0];
    // An import map knows no more than what a name begins with.
    return start === "" || end !== "" ? undefined : [start, pathToFileURL(target.replace("*", "")).href];
  }).filter((entry) => entry !== undefined);
  if (known.length === 0) return undefined;
  const denoFile = denoNames.map((name) => join(folder, name)).find((path) => existsSync(path));
  const { imports = {} } = denoFile === undefined ? {} : readJson(denoFile) as { imports?: Record<string, string> };
  const own = Object.entries(imports).map((
    [name, to],
  ) => [name, /^\.{0,2}\//.test(to) ? new URL(to, pathToFileURL(denoFile!)).href : to]);
  return `data:application/json,${encodeURIComponent(JSON.stringify({ imports: Object.fromEntries([...known, ...own]) }))}`;
}

/** Deno does not even start with a file that it cannot read; loading the application says what is wrong with it. */
function isReadable(folder: string): boolean {
  try {
    readProject(folder, true);
    return true;
  } catch {
    return false;
  }
}

/**
 * The arguments with which Deno takes over the application's configuration and packages: it reads those of the module that
 * it is started with.
 *
 * @param words the arguments that it was started with, which count for more
 */
export function denoArguments(file: string | undefined, words: readonly string[]): string[] {
  if (runtime.name !== "Deno" || file === undefined) return [];
  const given = (...options: string[]) =>
    words.some((word) => options.some((name) => word === name || word.startsWith(`${name}=`)));
  const folder = projectFolder(file);
  if (folder === undefined || !isReadable(folder)) return [];
  const found: string[] = [];
  const config = [...denoNames, "tsconfig.json"].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (config !== undefined && !given("-c", "--config", "--no-config")) {
    found.push(`--config=${config}`);
    // Deno warns of what is older than its own decorators, and would keep a lock file beside it.
    if (config.endsWith("tsconfig.json")) found.push("--quiet", "--no-lock");
  }
  const map = importMap(folder);
  if (map !== undefined && !given("--import-map")) found.push(`--import-map=${map}`, "--unstable-sloppy-imports");
  const managed = existsSync(join(folder, "package.json")) && existsSync(join(folder, "node_modules"));
  if (managed && !given("--node-modules-dir")) found.push("--node-modules-dir=manual");
  return found;
}
