/**
 * Deno takes configuration and packages from where its first module is: a process that serves an application itself starts
 * again in its place with those of the application.
 *
 * @module
 */
import process from "node:process";
import { become } from "../runtime/reexec.ts";
import { loadingCommand, ownCommand } from "./handover.ts";

/** Starts this process again where it lacks arguments that the application's project asks for. */
export async function startAsProject(app: string | undefined): Promise<void> {
  const command = loadingCommand(app);
  if (command.length === ownCommand().length) return;
  try {
    await become(command, process.env, [], () => false);
  } catch {
    // Without the right to call the C library it goes on as it was started.
  }
}
