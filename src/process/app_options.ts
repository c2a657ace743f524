/**
 * Options that an application exports: `export const runfcgi = { maxrequests: 1000 }`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { accountFor } from "../supervisor/account.ts";
import type { Embedded } from "../app/application.ts";
import { childCommand, type Handover, handoverEnvironment } from "./handover.ts";
import { literalOptions } from "../app/literal.ts";
import { exportedOptions, type Options } from "../options/options.ts";
import { setEnvironment } from "../app/env_file.ts";

/** Only an application that says so is loaded once more for it. */
const mayExport = /\bexport\b[^;]*\brunfcgi\b/;
/** Milliseconds that loading may take. */
const PATIENCE_MS = 20_000;
const MARK = "runfcgi options: ";

/**
 * Options that the application exports, beside those given. It is loaded in a process of its own, since the process that
 * supervises must not run its code. One that cannot be loaded has none; the error is reported when it is to be served.
 *
 * @throws {UsageError} when it exports wrong ones
 */
export async function readAppOptions(
  file: string | undefined,
  embedded: Embedded | undefined,
  given: Options,
): Promise<Options> {
  const known = embedded ? embedded.options : optionsIn(file === undefined ? "" : textOf(file));
  if (known !== "unknown") return exportedOptions(known);
  const [program, ...words] = childCommand(file);
  // Loaded where it is needed.
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const { stdout } = spawnSync(program, words, {
    env: { ...process.env, ...handoverEnvironment({ role: "options", app: file, options: given }) },
    // As it will be served, and not as root.
    ...accountFor(given.user, given.group),
    cwd: given.workdir,
    stdio: ["ignore", "pipe", "ignore"],
    timeout: PATIENCE_MS,
    encoding: "utf8",
  });
  const told = stdout?.split("\n").findLast((line) => line.startsWith(MARK));
  return await Promise.resolve(told === undefined ? {} : exportedOptions(JSON.parse(told.slice(MARK.length))));
}

/** What a module of this text exports as options, as far as that can be known. */
export function optionsIn(text: string): Embedded["options"] {
  return mayExport.test(text) ? literalOptions(text) ?? "unknown" : undefined;
}

/** Prints the options for {@linkcode readAppOptions}. */
export async function tellAppOptions({ app, options }: Handover, embedded: Embedded | undefined): Promise<number> {
  setEnvironment(options);
  // Only where an application is loaded, so that they take no memory of supervisors.
  const [{ captureListening }, { importApp }] = await Promise.all([
    import("../runtime/listening.ts"),
    import("../app/import_app.ts"),
  ]);
  // It is not to serve here.
  captureListening(() => {});
  const { runfcgi = {} } = await (embedded?.load() ?? importApp(app!));
  process.stdout.write(`\n${MARK}${JSON.stringify(runfcgi)}\n`);
  return 0;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
