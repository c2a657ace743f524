/** Packages for applications that are part of no package themselves. */
import { createRequire } from "node:module";
import process from "node:process";
import { frameworks } from "../../../scripts/tools.ts";

const require = createRequire(new URL("../../../.tools/package.json", import.meta.url));

/** A package that the test command has installed. Deno has them from its own cache, as its users do. */
// deno-lint-ignore no-explicit-any -- the packages are there for the tests alone, and so are no types.
export async function load(name: string): Promise<any> {
  if (!process.versions.deno) return require(name);
  const [, found, path] = /^((?:@[^/]+\/)?[^/]+)(.*)$/.exec(name)!;
  const module = await import(`npm:${found}@${frameworks[found]}${path}`);
  return module.default ?? module;
}
