/**
 * Has the doctor look at the site, in a process of its own that takes no part in serving.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { exactProgramCommand } from "./application.ts";
import type { Finding } from "./finding.ts";

/** Variable with what the owner's browser has sent for a folder with a password: arguments are seen by all users. */
export const authorizationVariable = "RUNFCGI_AUTHORIZATION";

/** Seconds until what was found is shown: mod_fcgid gives a request up after 40. */
const PATIENCE = 30;
/** Characters of its output at most. */
const MAX_TEXT = 256 * 1024;

/**
 * What the doctor finds, or what it says instead.
 *
 * @param words what it is told
 * @param folder its working directory
 * @param authorization header with which the site is asked
 */
export async function askDoctor(
  words: readonly string[],
  folder: string,
  authorization?: string,
  seconds = PATIENCE,
): Promise<Finding[]> {
  // It inspects the whole system.
  const [program, ...more] = exactProgramCommand(["-A"]);
  const child = spawn(program, [...more, "doctor", ...words, "--json"], {
    cwd: folder,
    env: { ...process.env, ...authorization !== undefined && { [authorizationVariable]: authorization } },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [text, said] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => text = (text + chunk).slice(0, MAX_TEXT));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => said = (said + chunk).slice(0, MAX_TEXT));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, seconds * 1000);
  const failure = await new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", () => resolve(undefined));
  });
  clearTimeout(timer);
  const found = text.split("\n").flatMap((line): Finding[] => {
    try {
      return [JSON.parse(line)];
    } catch {
      // It is not whole, or not one.
      return [];
    }
  });
  const reason = failure ?? (late ? `it is not ready after ${seconds} s` : found.length === 0 ? said.trim() : undefined);
  if (reason === undefined) return found;
  return [...found, { check: "doctor", state: "not checked", text: `because ${reason || "it says nothing"}` }];
}
