/**
 * Writes what the command `types` gives to editors: the public API as one declaration file, from `src/app/library.ts`.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { root, tools } from "./tools.ts";

/** The declarations as a module. */
export const typesFile: string = join(root, "src/app/runfcgi.d.ts");

/** Options of the compiler that emits declarations of the source. */
export function declarationOptions(outDir: string): Record<string, unknown> {
  const { modules } = tools();
  return {
    target: "es2024",
    module: "esnext",
    moduleResolution: "bundler",
    moduleDetection: "force",
    lib: ["esnext"],
    types: ["node"],
    typeRoots: [join(modules, "@types"), modules],
    rootDir: root,
    outDir,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    allowImportingTsExtensions: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    strict: true,
    skipLibCheck: true,
  };
}

const list = "src/app/library.ts";

/** The text of the declarations. */
export function typesText(): string {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-types-"));
  try {
    const project = join(folder, "tsconfig.json");
    const compilerOptions = { ...declarationOptions(folder), emitDeclarationOnly: true };
    writeFileSync(project, JSON.stringify({ compilerOptions, files: [join(root, list)] }));
    const { deno, node, tsc } = tools();
    execFileSync(node, [tsc, "--project", project], { stdio: ["ignore", "inherit", "inherit"] });
    const declarations: string[] = [];
    const imports = new Set<string>();
    const exported = /^export (?:type )?\{([^}]*)\} from "(.*)";$/gm;
    for (const [, names, file] of readFileSync(join(root, list), "utf8").matchAll(exported)) {
      const text = readFileSync(join(folder, dirname(list), file.replace(/\.ts$/, ".d.ts")), "utf8");
      const wanted = names.split(",").map((name) => name.trim().replace(/^type /, "")).filter(Boolean);
      const found = statements(text).filter(({ name }) => wanted.includes(name));
      if (found.length !== wanted.length) {
        throw new Error(`${file}: of ${wanted} only ${found.map(({ name }) => name)} is declared`);
      }
      declarations.push(...found.map(({ text }) => text));
      for (const [line, imported] of text.matchAll(/^import (?:type )?\{ (.*) \} from "node:.*";$/gm)) {
        const used = imported.split(", ").some((name) => found.some(({ text }) => new RegExp(`\\b${name}\\b`).test(text)));
        // A file of types alone has no values.
        if (used) imports.add(line.replace(/^import (?:type )?/, "import type "));
      }
    }
    const body = [`// Written by "deno task types" from ${list}.`, ...imports, ...declarations].join("\n");
    return execFileSync(deno, ["fmt", "--quiet", "--ext=ts", "-"], { cwd: root, input: body, encoding: "utf8" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The exported statements of a declaration file, with the comments in front of them. */
function statements(text: string): { name: string; text: string }[] {
  const found: { name: string; text: string }[] = [];
  const start = /(\/\*\*(?:(?!\*\/)[^])*\*\/\n)?^export (?:declare )?(class|interface|const|function|type) (\w+)/gm;
  for (const match of text.matchAll(start)) {
    const [head, , kind, name] = match;
    const rest = text.slice(match.index + head.length);
    found.push({ name, text: head.replace("export declare ", "export ") + rest.slice(0, endOf(rest, kind)) });
  }
  return found;
}

/** A class or an interface ends with its brace, all else with a semicolon outside of any. */
function endOf(text: string, kind: string): number {
  const hasBody = kind === "class" || kind === "interface";
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/\/\*[^]*?\*\/|"(?:\\.|[^"\\])*"|[{}();]/g)) {
    if (token === "{" || token === "(") depth++;
    else if (token === "}" || token === ")") depth--;
    if (depth === 0 && token === (hasBody ? "}" : ";")) return index + 1;
  }
  throw new Error(`A declaration does not end: ${text.slice(0, 80)}`);
}

if (import.meta.main) {
  writeFileSync(typesFile, typesText());
  process.stdout.write(`${typesFile}\n`);
}
