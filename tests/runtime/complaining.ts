/**
 * Writes to its standard error, more than a pipe holds, and prints whether that is a screen.
 *
 * @module
 */
import process from "node:process";
import { isScreen, writeStderr } from "../../src/runtime/stderr.ts";

for (let i = 0; i < 1000; i++) writeStderr(`${String(i).padStart(4)} ${"x".repeat(994)}\n`);
writeStderr(new TextEncoder().encode("the end\n"));
process.stdout.write(JSON.stringify(isScreen()));
