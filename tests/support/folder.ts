/** Temporary folders. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made = new Set<string>();
// Deno calls no `after` of a file of which a test is skipped.
globalThis.addEventListener?.("unload", () => made.forEach(removeFolder));

/** A new folder; whoever makes it removes it. */
export function temporaryFolder(prefix = "runfcgi-"): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  made.add(path);
  return path;
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  made.delete(path);
}
