/**
 * Has modules resolved and compiled as the application's own project says, where the runtime does not do so by itself.
 *
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import * as module from "node:module";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { freshness } from "./modules.ts";
import { runtime } from "./name.ts";

/** What a project says of its modules. */
export interface Project {
  /** Its root. */
  folder: string;
  /** The `compilerOptions` of tsconfig.json that the runtime does not know. */
  options: Readonly<Record<string, unknown>>;
  /** Other names of modules: of `from` and `to`, one star stands for the same text. `to` are paths or packages. */
  aliases: readonly { from: string; to: readonly string[] }[];
}

interface Loaded {
  contents: string;
  loader: "js" | "jsx" | "ts" | "tsx";
}

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunLoading {
  plugin(options: {
    name: string;
    setup(build: {
      onLoad(options: { filter: RegExp }, run: (args: { path: string }) => Loaded): void;
    }): void;
  }): void;
  Transpiler: new (options: Record<string, unknown>) => { transformSync(code: string): string };
}

const { Bun: bun } = globalThis as { Bun?: BunLoading };

let project: Project | undefined;
let hooked = false;

/** Modules that are loaded from now on are of this project. */
export function useProject(given: Project | undefined): void {
  project = given && (given.aliases.length > 0 || Object.keys(given.options).length > 0 || runtime.name === "Node")
    ? given
    : undefined;
  if (project === undefined || hooked) return;
  hooked = true;
  if (bun) hookBun(bun, project);
  else hookNode();
}

/** A module of the project, and not of a package. */
function isOwn(path: string): boolean {
  return project !== undefined && path.startsWith(join(project.folder, "/")) && !path.includes("/node_modules/");
}

/** What an alias stands for, a file or the name of a package; `undefined` for other names. */
function aliased(specifier: string): string | undefined {
  // The longest counts, as in import maps and in tsconfig.json.
  const matching = (project?.aliases ?? []).filter(({ from }) => middleOf(specifier, from) !== undefined)
    .sort((a, b) => b.from.length - a.from.length);
  for (const { from, to } of matching) {
    for (const target of to) {
      const name = target.replace("*", () => middleOf(specifier, from)!);
      const found = name.startsWith("/") ? fileAt(name) : name === specifier ? undefined : name;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** The text that the star of a pattern stands for, `""` without a star. */
function middleOf(specifier: string, pattern: string): string | undefined {
  const [start, end] = pattern.split("*");
  if (end === undefined) return specifier === pattern ? "" : undefined;
  const fits = specifier.length >= start.length + end.length && specifier.startsWith(start) && specifier.endsWith(end);
  return fits ? specifier.slice(start.length, specifier.length - end.length) : undefined;
}

const endings = ["", ".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs", ".cjs", ".json"];

/** The file of a module named without its extension, or by a folder with an index. */
function fileAt(path: string): string | undefined {
  const candidates = [path, path.replace(/\.(c|m)?js(x?)$/, ".$1ts$2"), join(path, "index")]
    .flatMap((base) => endings.map((ending) => base + ending));
  return candidates.find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

const decorator = /^[ \t]*(?:export[ \t]+(?:default[ \t]+)?)?@[A-Za-z_$]/m;

/**
 * The comment by which Bun compiles JSX as a tsconfig.json says. It stands in the first line, so that errors name the
 * right ones.
 */
function jsxPragma({ jsx, jsxImportSource, jsxFactory, jsxFragmentFactory }: Project["options"]): string {
  const classic = jsx === "react" || jsxFactory !== undefined && jsxImportSource === undefined;
  if (!classic) return jsxImportSource === undefined ? "" : `/** @jsxRuntime automatic @jsxImportSource ${jsxImportSource} */ `;
  return `/** @jsxRuntime classic @jsx ${jsxFactory ?? "React.createElement"} @jsxFrag ${
    jsxFragmentFactory ?? "React.Fragment"
  } */ `;
}

/** The specifiers of imports that are neither relative nor absolute. */
const bareImport = /(\b(?:from|import)\s*\(?\s*)(["'])([^"'\n./][^"'\n]*)\2/g;

/** Names files by their paths: Bun asks no plugin for modules that are named otherwise. */
function withoutAliases(text: string): string {
  return text.replace(bareImport, (all, before: string, _quote, specifier: string) => {
    const found = aliased(specifier);
    if (found === undefined) return all;
    return before + JSON.stringify(found.startsWith("/") ? found + freshness() : found);
  });
}

function hookBun({ plugin, Transpiler }: BunLoading, { folder }: Project): void {
  const root = join(folder, "/").replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  plugin({
    name: "the application's project",
    setup(build) {
      // Packages are left alone.
      build.onLoad({ filter: new RegExp(`^${root}(?!.*node_modules/).*\\.(?:m?[jt]s|[jt]sx)(?:\\?.*)?$`) }, ({ path }) => {
        const file = path.replace(/\?.*$/, "");
        const isJsx = file.endsWith("x");
        const loader = /js$|jsx$/.test(file) ? "jsx" : isJsx ? "tsx" : "ts";
        const { options = {}, aliases = [] } = project ?? {};
        const read = readFileSync(file, "utf8");
        const text = aliases.length > 0 ? withoutAliases(read) : read;
        if (options.experimentalDecorators !== true || !decorator.test(text)) {
          return { contents: isJsx && !/@jsx/.test(text) ? jsxPragma(options) + text : text, loader };
        }
        const tsconfig = JSON.stringify({ compilerOptions: options });
        const contents = new Transpiler({ loader, target: "bun", autoImportJSX: true, tsconfig }).transformSync(text);
        return { contents, loader: "js" };
      });
    },
  });
}

function hookNode(): void {
  const hooks: Parameters<typeof module.registerHooks>[0] = {
    resolve(specifier, context, next) {
      const { parentURL = "" } = context;
      const own = !/^(?:\.{0,2}\/|node:|file:)/.test(specifier) && parentURL.startsWith("file:") &&
        isOwn(fileURLToPath(parentURL.replace(/[?#].*$/, "")));
      const found = own ? aliased(specifier) : undefined;
      return next(found === undefined ? specifier : found.startsWith("/") ? pathToFileURL(found).href : found, context);
    },
  };
  if (runtime.name === "Node") {
    hooks.load = (url, context, next) => {
      const file = url.startsWith("file:") ? fileURLToPath(url.replace(/[?#].*$/, "")) : "";
      if (!/\.(?:ts|mts|tsx|jsx)$/.test(file) || !isOwn(file)) return next(url, context);
      const text = readFileSync(file, "utf8");
      const isJsx = file.endsWith("x");
      if (!isJsx && !decorator.test(text) && !notErasable.test(text)) return next(url, context);
      return { format: "module", source: compile(text, file, isJsx), shortCircuit: true };
    };
  }
  module.registerHooks(hooks);
}

/** TypeScript that Node cannot strip, since it is more than types. */
const notErasable =
  /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?(?:enum|namespace)\s+\w+|\bconstructor\s*\([^)]*\b(?:private|protected|public|readonly)\s/m;

/** What is used of the compilers that a project may have. */
interface TypeScript {
  transpileModule?(text: string, options: { fileName: string; compilerOptions: object }): { outputText: string };
}
interface Esbuild {
  transformSync?(text: string, options: object): { code: string };
}

/** Compiles what Node cannot run, with the compiler that the project has. */
function compile(text: string, file: string, isJsx: boolean): string {
  const { options } = project!;
  const compilerOptions = { jsx: "react-jsx", ...options };
  const { transpileModule } = packageOf<TypeScript>("typescript", file);
  const { transformSync } = packageOf<Esbuild>("esbuild", file);
  if (transpileModule === undefined && transformSync === undefined) {
    const what = isJsx ? "JSX" : "decorators, enums, namespaces and parameter properties";
    throw new SyntaxError(
      `${file}: Node does not run ${what}. Run "npm install esbuild" in its folder, or use Bun, Deno or the compiled program`,
    );
  }
  process.setSourceMapsEnabled(true);
  if (transpileModule) {
    const wanted = { target: "es2022", ...compilerOptions, module: "esnext", inlineSourceMap: true, noEmit: false };
    return transpileModule(text, { fileName: file, compilerOptions: wanted }).outputText;
  }
  return transformSync!(text, {
    loader: isJsx ? "tsx" : "ts",
    format: "esm",
    sourcefile: file,
    sourcemap: "inline",
    tsconfigRaw: { compilerOptions },
  }).code;
}

function packageOf<T>(name: string, file: string): Partial<T> {
  try {
    return module.createRequire(file)(name);
  } catch {
    return {};
  }
}
