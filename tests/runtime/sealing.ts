/**
 * Seals its descriptors, and prints what has become of the numbers given.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { prepareDescriptors, sealDescriptors } from "../../src/runtime/descriptor.ts";

const O_CLOEXEC = 0o2000000;

function state(fd: string): string {
  try {
    const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1];
    return (parseInt(flags, 8) & O_CLOEXEC) === 0 ? "open" : "not inherited";
  } catch {
    return "closed";
  }
}

await prepareDescriptors();
sealDescriptors(true, -1);
process.stdout.write(JSON.stringify(process.argv.slice(2).map(state)));
