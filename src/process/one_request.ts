/**
 * CGI: one process for one request.
 *
 * @module
 */
import process from "node:process";
import { type ChosenApp, dropInLog, type Embedded, ownPathsOf } from "../app/application.ts";
import { makeApplication } from "../app/make_application.ts";
import { servingOf } from "../app/serving.ts";
import { setEnvironment } from "../app/env_file.ts";
import { pagesFolder } from "../app/pages.ts";
import { makeSite } from "../app/site.ts";
import { proxyHeader } from "./cgi_environment.ts";
import type { Options } from "../options/options.ts";
import { serveCgi } from "../server/cgi.ts";
import { Monitor } from "../server/monitor.ts";

/** Answers the one request of CGI. */
export async function serveOnce(app: ChosenApp, options: Options, embedded: Embedded | undefined): Promise<void> {
  const log = dropInLog(options.errlog, app.file);
  setEnvironment(options);
  const pages = pagesFolder(options, app.file);
  const { serve, monitor } = servingOf(options, log, ownPathsOf(app.file), pages);
  const application = await makeApplication(app.file, options, embedded, log);
  application.load();
  const site = await makeSite(application.handler, { file: app.file, options, embedded, pages, log, isDropIn: true });
  const environment = { ...process.env, ...proxyHeader !== undefined && { HTTP_PROXY: proxyHeader } };
  await serveCgi({ environment, ...serve, observer: new Monitor(monitor) }, site);
}
