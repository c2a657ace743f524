/**
 * Which runtime this is.
 *
 * @module
 */
import process from "node:process";

/** Name and version of the runtime. Bun and Deno name a version of Node as well. */
export const runtime: { name: "Deno" | "Bun" | "Node"; version: string } = process.versions.deno
  ? { name: "Deno", version: process.versions.deno }
  : process.versions.bun
  ? { name: "Bun", version: process.versions.bun }
  : { name: "Node", version: process.versions.node };

/** Why the program cannot run on a runtime, if so. */
export function unsupported({ name, version }: typeof runtime = runtime): string | undefined {
  const [major, minor] = version.split(".").map(Number);
  if (name !== "Node" || major > 24 || (major === 24 && minor >= 2)) return undefined;
  return `Node ${version} is too old: runfcgi needs Node 24.2 or newer`;
}
