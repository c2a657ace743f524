/**
 * CGI: one process for one request.
 *
 * @module
 */
import process from "node:process";
import { type ChosenApp, dropInLog, type Embedded, makeApplication, ownPathsOf } from "../app/application.ts";
import { servingOf } from "../app/serving.ts";
import { setEnvironment } from "../app/env_file.ts";
import { pagesFolder } from "../app/pages.ts";
import { makeSite } from "../app/site.ts";
import type { Options } from "../options/options.ts";
import { describeDescriptor } from "../runtime/descriptor.ts";
import { serveCgi } from "../server/cgi.ts";
import { Monitor } from "../server/monitor.ts";

/** Whether this process was started for one request, by CGI. */
export function isCgi(): boolean {
  return !describeDescriptor(0).listening && !!process.env.GATEWAY_INTERFACE?.startsWith("CGI/") && !!process.env.REQUEST_METHOD;
}

/** A visitor's header `Proxy`, taken out of the environment. */
let proxyHeader: string | undefined;

/**
 * Removes HTTP_PROXY from the environment of a process that a web server started. CGI turns a visitor's header `Proxy` into
 * this variable, which names the proxy for outgoing requests elsewhere (CVE-2016-5385).
 */
export function forgetProxy(): void {
  const { GATEWAY_INTERFACE, REQUEST_METHOD, HTTP_PROXY } = process.env;
  if (HTTP_PROXY === undefined) return;
  if (GATEWAY_INTERFACE === undefined && REQUEST_METHOD === undefined && !describeDescriptor(0).listening) return;
  proxyHeader = HTTP_PROXY;
  delete process.env.HTTP_PROXY;
}

/** Answers the one request of CGI. */
export async function serveOnce(app: ChosenApp, options: Options, embedded: Embedded | undefined): Promise<void> {
  const log = dropInLog(options.errlog, app.file);
  setEnvironment(options);
  const pages = pagesFolder(options, app.file);
  const { serve, monitor } = servingOf(options, log, ownPathsOf(app.file), pages);
  const application = makeApplication(app.file, options, embedded, log);
  application.load();
  const site = makeSite(application.handler, { file: app.file, options, embedded, pages, log, isDropIn: true });
  const environment = { ...process.env, ...proxyHeader !== undefined && { HTTP_PROXY: proxyHeader } };
  await serveCgi({ environment, ...serve, observer: new Monitor(monitor) }, site);
}
