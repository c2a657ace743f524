/**
 * Importing a module again after it, or one that it imports, could not be loaded.
 *
 * @module
 */
import * as module from "node:module";
import { dirname, resolve } from "node:path";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { runtime } from "./name.ts";

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunPlugins {
  plugin(options: {
    name: string;
    setup(build: {
      onResolve(
        options: { filter: RegExp },
        run: (args: { path: string; importer: string }) => { path: string } | undefined,
      ): void;
      module(name: string, make: () => { exports: Record<string, unknown>; loader: "object" }): void;
    }): void;
  }): void;
}

const { Bun: bun } = globalThis as { Bun?: BunPlugins };

/** Makes the modules of one attempt differ from those of all others; none is needed for the first. */
let attempt = 0;

/**
 * Imports a file as if nothing of it had been imported before: a runtime remembers a module that failed, and what
 * it remembers goes by the URL. Packages in `node_modules` keep their one copy.
 */
export function importFresh(file: string): Promise<Record<string, unknown>> {
  // Bun drops the query of a file URL, but not that of a path.
  const location = bun ? file : pathToFileURL(file).href;
  const version = attempt++;
  if (version === 1) versionImports();
  if (version > 0 && !bun) forgetCommonJs();
  return import(version === 0 ? location : `${location}?attempt=${version}`);
}

/** CommonJS is remembered by its file. */
function forgetCommonJs(): void {
  const { cache } = module.createRequire(import.meta.url);
  for (const file of Object.keys(cache)) {
    if (!inPackage(file)) delete cache[file];
  }
}

/** Loads what the first module in TypeScript needs on Node, which takes a tenth of a second on a busy machine. */
export function warmUp(): void {
  if (runtime.name !== "Node") return;
  const { emitWarning } = process;
  // Importing TypeScript is stable, and this function is not.
  process.emitWarning = () => {};
  try {
    (module as { stripTypeScriptTypes?(code: string): string }).stripTypeScriptTypes?.("");
  } finally {
    process.emitWarning = emitWarning;
  }
}

/**
 * Gives names of packages to a module of the program, where that is one file and has no other for it. Not for Deno.
 *
 * @param load gives its exports; Bun calls it when one of the names is imported
 */
export function provideModule(names: readonly string[], load: () => Record<string, unknown>): void {
  if (bun) {
    bun.plugin({
      name: "modules of the program",
      setup(build) {
        for (const name of names) build.module(name, () => ({ exports: { ...load() }, loader: "object" }));
      },
    });
    return;
  }
  const exports = load();
  const url = "runfcgi:library";
  const key = Symbol.for(url);
  (globalThis as Record<symbol, unknown>)[key] = exports;
  const source = `export const { ${Object.keys(exports).join(", ")} } = globalThis[Symbol.for("${url}")];\n`;
  module.registerHooks({
    resolve: (specifier, context, next) =>
      names.includes(specifier) ? { url, format: "module", shortCircuit: true } : next(specifier, context),
    load: (location, context, next) =>
      location === url ? { source, format: "module", shortCircuit: true } : next(location, context),
  });
}

/** Suffix of a module's path, which makes it another module than that of an earlier attempt. */
export function freshness(): string {
  return attempt > 1 ? `?attempt=${attempt - 1}` : "";
}

function versionImports(): void {
  if (bun) {
    bun.plugin({
      name: "fresh imports",
      setup(build) {
        build.onResolve({ filter: /^\.{1,2}\// }, ({ path, importer }) => {
          const file = resolve(dirname(importer.replace(/\?.*$/, "")), path);
          return !inPackage(importer) && existsSync(file) ? { path: file + freshness() } : undefined;
        });
      },
    });
    return;
  }
  module.registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const fresh = found?.url.startsWith("file:") && !found.url.includes("?") && !inPackage(found.url);
      return fresh ? { ...found, url: found.url + freshness() } : found;
    },
  });
}

function inPackage(location: string): boolean {
  return location.includes("/node_modules/");
}

const tracked = new Set<string>();
let tracking = false;

/** From now on, {@linkcode loadedModules} knows what is imported. */
export function trackModules(): void {
  if (tracking) return;
  tracking = true;
  if (bun) {
    // What is loaded now is the program itself.
    for (const file of cachedModules()) own.add(file);
    return;
  }
  // Not the hook load: with one, Deno does not make JavaScript of what a package's module imports.
  module.registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (found.url.startsWith("file:")) tracked.add(fileURLToPath(found.url.replace(/[?#].*$/, "")));
      // A module of a package that CommonJS requires finds its own only where Deno has found it without a hook.
      return runtime.name === "Deno" && inPackage(found.url) ? undefined as never : found;
    },
  });
}

const own = new Set<string>();

/** Files of the modules that were imported since {@linkcode trackModules}, without those of packages. */
export function loadedModules(): string[] {
  if (!tracking) return [];
  const files = bun ? cachedModules().filter((file) => !own.has(file)) : [...tracked];
  return files.filter((file) => !inPackage(file));
}

function cachedModules(): string[] {
  // It is a proxy: Object.keys asks it about each of the program's own modules.
  const names = Reflect.ownKeys(module.createRequire(import.meta.url).cache) as string[];
  const files = names.filter((name) => name.startsWith("/") && !name.startsWith("/$bunfs/"));
  return [...new Set(files.map((file) => file.replace(/\?.*$/, "")))];
}
