/**
 * The program's commands, run to their end.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { removeFolder, temporaryFolder } from "./folder.ts";
import { program, start, type StartOptions } from "./program.ts";

/** The result of a command. */
export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Seconds that a command has. */
const PATIENCE = 90;

/** Runs the program with these arguments to its end. */
export async function run(words: readonly string[], options: StartOptions = {}): Promise<Ran> {
  const running = start([...program().command, ...words], options);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    running.stop();
  }, PATIENCE * 1000);
  const { code } = await running.exit;
  clearTimeout(timer);
  if (late) throw new Error(`"${words.join(" ")}" has not ended in ${PATIENCE} s. It says:\n${running.stderr()}`);
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

/** A folder that is gone after the tests of a file, and what makes folders with files in it. */
export function workplace(): { path: string; site(files?: Record<string, string>): string } {
  const path = temporaryFolder();
  after(() => removeFolder(path));
  let count = 0;
  return {
    path,
    site(files = {}) {
      const folder = join(path, String(count++));
      mkdirSync(folder);
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), text);
      }
      return folder;
    },
  };
}
