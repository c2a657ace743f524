/**
 * What stands between visitors and the application, the same for each way of serving.
 *
 * @module
 */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { dropInName, type Embedded, sourcesOf } from "./application.ts";
import { withDoctorReply } from "./doctor_reply.ts";
import { hiddenBeside, type Log } from "./log.ts";
import { OWNER } from "./owner_path.ts";
import { withPages } from "./pages.ts";
import { programFile } from "./program_file.ts";
import { capturePlace } from "./serving.ts";
import type { Options } from "../options/options.ts";
import type { Handler } from "../server/handler.ts";
import type { StatusOptions } from "../supervisor/status.ts";

/** The parts of a site around its application. */
export interface Site {
  /** File of the application. */
  file: string | undefined;
  options: Options;
  embedded: Embedded | undefined;
  /** Folder of the site's own pages. */
  pages: string;
  log: Log;
  /** A web server has started the program, and what belongs to it lies beside it. */
  isDropIn?: boolean;
  /** For the status page; none where a process serves one request. */
  status?: Pick<StatusOptions, "name" | "pool" | "isLoaded">;
}

/**
 * Puts before an application what answers in its place, from the inside: files, pages, status, the owner's page and the
 * doctor's question.
 *
 * @throws {UsageError} when a folder of static files cannot be served
 */
export async function makeSite(application: Handler, site: Site): Promise<Handler> {
  const { file, options, embedded, pages, status } = site;
  const files = await withFilesOf(sourcesOf({ app: file, exec: options.exec }, embedded), options, application);
  const paged = withPages(files, pages);
  const seen = status ? await withStatusOf(status, options, paged) : paged;
  return withDoctorReply(withOwnersPage(seen, site));
}

// What few sites have is loaded for those alone, since there are many workers.

async function withFilesOf(sources: readonly string[], options: Options, next: Handler): Promise<Handler> {
  if (options.static === undefined && options.sendfile === undefined) return next;
  const { withStaticFiles } = await import("./static.ts");
  return withStaticFiles(next, options, sources);
}

async function withStatusOf(site: Required<Site>["status"], { status, ping }: Options, next: Handler): Promise<Handler> {
  if (status === undefined && ping === undefined) return next;
  const { withStatus } = await import("../supervisor/status.ts");
  const { statusHtml } = await import("./status_page.ts");
  return withStatus({ ...site, counted: true, html: statusHtml, status, ping }, next);
}

function withOwnersPage(next: Handler, { file, options, pages, log, isDropIn, status }: Site): Handler {
  const name = isDropIn ? dropInName(file) : undefined;
  const keyFile = options.ownerkey ?? (name === undefined ? undefined : hiddenBeside(name, "key"));
  if (keyFile === undefined) return next;
  const owned = {
    keyFile: resolve(keyFile),
    log,
    pages,
    watched: options.watch === false ? undefined : file ?? programFile(),
    status,
    captures: capturePlace(options),
    doctor: [
      ...file === undefined ? [] : [file],
      ...name?.endsWith("cgi") ? [`program=${name}`] : [],
      ...options.errlog === undefined ? [] : [`errlog=${resolve(options.errlog)}`],
    ],
  };
  closeKey(owned.keyFile);
  let page: Promise<Handler> | undefined;
  // Who starts a drop-in program waits, and hardly ever for this page.
  return (request, info) => {
    if (!request.url.includes(OWNER)) return next(request, info);
    page ??= import("./owner.ts").then(({ withOwner }) => withOwner(next, owned));
    return page.then((handler) => handler(request, info));
  };
}

/** A key that came open by FTP does not stay so until somebody asks for the page. */
function closeKey(path: string): void {
  try {
    if (!(statSync(path).mode & 0o077)) return;
  } catch {
    return;
  }
  // The page says what is wrong with the file.
  import("./owner_key.ts").then(({ readKey }) => readKey(path)).catch(() => {});
}
