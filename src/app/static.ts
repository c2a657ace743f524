/**
 * The folders of the command line, around the application.
 *
 * @module
 */
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Handler } from "../server/handler.ts";
import { isBelow } from "../handlers/static/file.ts";
import { staticFiles } from "../handlers/static/handler.ts";
import type { Options } from "../options/options.ts";
import { UsageError } from "../options/arguments.ts";

/**
 * Puts the static files before an application.
 *
 * @param sources files of the application, those that are looked for included
 * @throws {UsageError} when a folder is not there or has the application in it
 */
export function withStaticFiles(handler: Handler, options: Options, sources: readonly string[]): Handler {
  const { static: folders = [], sendfile: sendFile } = options;
  if (sendFile && folders.length === 0) {
    throw new UsageError("sendfile is given but there are no static files: give a folder, such as static=/media/=./media");
  }
  // A path comes before those below it, so that the longest is asked first.
  const sorted = folders.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1));
  return sorted.reduce((next, { prefix, folder }, i) => {
    if (prefix === sorted[i - 1]?.prefix) throw new UsageError(`static gives "${prefix}" twice: give one folder for it`);
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new UsageError(`static gives "${prefix}" the folder "${folder}", which is not there`);
    }
    const source = sources.find((file) => isBelow(realpathSync(folder), realPathOf(file)));
    if (source !== undefined) {
      throw new UsageError(
        `static gives "${prefix}" the folder "${folder}", where visitors could read the source of the application, ` +
          `"${source}": choose a subfolder, such as static=${prefix}=${join(folder, "public")}`,
      );
    }
    return staticFiles({ prefix, folder, sendFile })(next);
  }, handler);
}

/** Also for a file that is not there yet. */
function realPathOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    const path = resolve(file);
    return join(realPathOf(dirname(path)), basename(path));
  }
}
