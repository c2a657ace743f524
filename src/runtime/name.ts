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
