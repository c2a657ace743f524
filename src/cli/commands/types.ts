/**
 * The command `types`: has an editor know the library that an application of the compiled program imports.
 *
 * @module
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import type { Built } from "../../app/application.ts";
import { libraryNames } from "../../app/library_names.ts";
import { CommandError, parseArguments, UsageError } from "../../options/arguments.ts";
import { version } from "../../server/version.ts";
import { textAt, TYPES } from "../texts.ts";

const usage = `
runfcgi types [DIR]

Writes runfcgi.d.ts, by which editors and tsc know the module "runfcgi", into the folder of an application, and a
tsconfig.json where there is none. Nothing has to be installed for them. With another version of runfcgi, run it again.

  runfcgi types mysite
`;

export const page = { usage, options: {} };

/** @param module the text of a module with the declarations, which begins with a comment */
function declarations(module: string): string {
  const [name, ...others] = libraryNames;
  const body = module.replace(/^\/\/.*\n/, "").replace(/^(?=.)/gm, "  ");
  return `// The module "${name}" of runfcgi ${version}, for editors. Written by: runfcgi types
declare module "${name}" {
${body}}
${others.map((other) => `declare module "${other}" {\n  export * from "${name}";\n}\n`).join("")}`;
}

/** Packages with types of the runtimes, and what `types` calls them: TypeScript looks for none by itself. */
const runtimeTypes = { "bun-types": "bun-types", "@types/bun": "bun", "@types/deno": "deno", "@types/node": "node" };

function tsconfig(folder: string): string {
  const types = Object.entries(runtimeTypes)
    .filter(([name]) => existsSync(join(folder, "node_modules", name))).map(([, type]) => type);
  const compilerOptions = {
    target: "esnext",
    module: "esnext",
    moduleResolution: "bundler",
    moduleDetection: "force",
    lib: ["esnext", "dom", "dom.iterable"],
    types,
    allowImportingTsExtensions: true,
    verbatimModuleSyntax: true,
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  };
  return `${JSON.stringify({ compilerOptions }, null, 2)}\n`;
}

/** Writes the files. @throws {UsageError} if the arguments are invalid @throws {CommandError} if they cannot be written */
export async function run(words: readonly string[], { texts }: Built): Promise<number> {
  const { plain: [given = ".", ...more] } = parseArguments(words, page.options);
  if (more.length > 0) throw new UsageError(`types is for one folder, not for "${given}" and "${more[0]}"`);
  const folder = resolve(given);
  write(join(folder, "runfcgi.d.ts"), declarations(await textAt(TYPES, texts)));
  const project = join(folder, "tsconfig.json");
  if (existsSync(project)) process.stdout.write(`left   ${project}\n`);
  else write(project, tsconfig(folder));
  return 0;
}

function write(file: string, text: string): void {
  try {
    mkdirSync(resolve(file, ".."), { recursive: true });
    writeFileSync(file, text);
  } catch (error) {
    throw new CommandError(`cannot write "${file}": ${(error as Error).message}`);
  }
  process.stdout.write(`wrote  ${file}\n`);
}
