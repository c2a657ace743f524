/**
 * Whether the application can be loaded.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { Log } from "../app/log.ts";
import { makeApplication } from "../app/make_application.ts";
import { nearMisses } from "../app/places.ts";
import { readAppOptions } from "../process/app_options.ts";
import { childCommand, handoverEnvironment } from "../process/handover.ts";
import { childAs, loaderOf } from "../supervisor/account.ts";
import { type Finding, ok, problem } from "./finding.ts";
import { noteOf, problemOf } from "./words.ts";

const MARK = "runfcgi application: ";

/** Milliseconds for an application to be loaded. */
const LOAD_MS = 20_000;

/** Loads an application in a process of its own, and as root in one of the user whose file it is, or that is named. */
export function checkApplication(file: string, user?: string): Finding {
  const check = "application";
  const [program, ...words] = childCommand(file);
  const as = childAs(loaderOf(file, user));
  const { status, error, stdout, stderr } = spawnSync(program, words, {
    ...as,
    env: { ...as.env, ...handoverEnvironment({ role: "check", app: file, options: {} }) },
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    timeout: LOAD_MS,
    killSignal: "SIGKILL",
    maxBuffer: Infinity,
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === "ETIMEDOUT") {
    return problem(
      check,
      `"${file}" is not loaded after ${LOAD_MS / 1000} s`,
      "Look for an await outside of functions that waits for something which does not come.",
    );
  }
  const told = stdout?.split("\n").find((line) => line.startsWith(MARK));
  const reason = told === undefined
    ? `it ended the process (status ${status}): ${error?.message ?? `${stdout}${stderr}`.trim()}`
    : JSON.parse(told.slice(MARK.length)).reason;
  if (reason === undefined) return ok(check, `"${file}" can be loaded`);
  return problem(check, `"${file}" cannot be loaded`, String(reason).replace(/^Cannot load [^:]+: /, "").trim());
}

/** Whether it is text as all runtimes read it. Nothing is found if it is. */
export function checkEncoding(file: string): Finding[] {
  try {
    if (!new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file)).includes("\0")) return [];
  } catch (error) {
    // Whether it can be read at all is found when it is loaded.
    if (!(error instanceof TypeError)) return [];
  }
  return [noteOf("application", "notUtf8", { path: file })];
}

/** What is there in the place of an application, where a web server starts the program. */
export function missingApplication(program: string): Finding {
  const check = "application";
  const wanted = basename(program).replace(/\.\w+$/, ".ts");
  const found = nearMisses(program).find((name) => existsSync(join(dirname(program), name)));
  return found === undefined ? noteOf(check, "noApp", { wanted }) : problemOf(check, "nearApp", { found, wanted });
}

/** The other half of {@linkcode checkApplication}. */
export async function tellApplication(file: string): Promise<number> {
  // Its own output does not matter here, and it may write some.
  const application = await makeApplication(file, {}, undefined, new Log(undefined, { stderr: false, file: false }));
  const failed = await application.load();
  const reason = failed ?? await readAppOptions(file, undefined, {}).then(() => undefined, ({ message }: Error) => message);
  await new Promise<void>((resolve) => process.stdout.write(`\n${MARK}${JSON.stringify({ reason })}\n`, () => resolve()));
  return 0;
}
