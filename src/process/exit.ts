/**
 * How a process or thread of the program ends.
 *
 * @module
 */
import process from "node:process";
import { CommandError, UsageError } from "../options/arguments.ts";
import { screenOf, styled } from "../options/terminal.ts";
import { PlainError } from "../runtime/plain_error.ts";

/**
 * Runs to the end and exits the process: 0 when it did what was asked, 1 or what a command says when it could not, 2 for
 * invalid arguments.
 */
export async function exitAfter(run: () => Promise<number>): Promise<void> {
  try {
    process.exit(await run());
  } catch (error) {
    const text = error instanceof PlainError ? error.message : (await import("../app/error_text.ts")).explain(error);
    process.stderr.write(`${styled("runfcgi:", "red", screenOf(process.stderr))} ${text}\n`);
    process.exit(error instanceof UsageError ? 2 : error instanceof CommandError ? error.status : 1);
  }
}
