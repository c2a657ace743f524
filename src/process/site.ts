/**
 * What stands between visitors and the application, the same for each way of serving.
 *
 * @module
 */
import { type Embedded, sourcesOf } from "../app/application.ts";
import { withDoctorReply } from "../app/doctor_reply.ts";
import { withPages } from "../app/pages.ts";
import { withStaticFiles } from "../app/static.ts";
import type { Options } from "../options/options.ts";
import type { Handler } from "../server/handler.ts";
import { type StatusOptions, withStatus } from "../supervisor/status.ts";

/** The parts of a site around its application. */
export interface Site {
  /** File of the application. */
  file: string | undefined;
  options: Options;
  embedded: Embedded | undefined;
  /** Folder of the site's own pages. */
  pages: string;
  /** For the status page; none where a process serves one request. */
  status?: Pick<StatusOptions, "name" | "pool">;
}

/**
 * Puts before an application what answers in its place, from the inside: files, pages, status and the doctor's question.
 *
 * @throws {UsageError} when a folder of static files cannot be served
 */
export function makeSite(application: Handler, { file, options, embedded, pages, status }: Site): Handler {
  const files = withStaticFiles(application, options, sourcesOf({ ...options, app: file }, embedded));
  const site = withPages(files, pages);
  return withDoctorReply(status ? withStatus({ ...status, status: options.status, ping: options.ping }, site) : site);
}
