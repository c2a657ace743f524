/**
 * From options to what serves: the same for a process that the web server started, a worker and a thread.
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";
import { plainResponse } from "../gateway/response.ts";
import { accessFormatter, isSkipped, slowLine } from "../server/access_log.ts";
import type { CaptureOptions } from "../server/capture.ts";
import type { ErrorContext, OnError } from "../server/handler.ts";
import { defaultLimits, type Limits } from "../server/limits.ts";
import { logTo } from "../server/log_file.ts";
import type { MonitorOptions } from "../server/monitor.ts";
import type { WorkerServeOptions } from "../server/options.ts";
import type { Lifetime } from "../supervisor/worker.ts";
import { explain, runtimeAdvice } from "./error_text.ts";
import { failureNumber, type Log } from "./log.ts";
import { ownPage } from "./pages.ts";
import type { Options } from "../options/options.ts";

/** Parts of `serve()`'s options that follow from ours, and what belongs to them. */
export interface Serving {
  serve: Omit<WorkerServeOptions, "observer"> & { onError: OnError; limits: Partial<Limits> };
  monitor: MonitorOptions;
  lifetime: Lifetime;
  /** Opens the log files again. */
  reopen(): void;
}

/** Bytes of a request's body that are shown. */
const MAX_SHOWN = 16 * 1024;
/** Seconds after which a request is slow, if nobody says otherwise. */
const SLOW_SECONDS = 5;

/**
 * Reads the options.
 *
 * @param ownPaths paths of the file as which web servers know the program
 * @param pages folder of the site's own pages
 * @throws {Error} when a log file cannot be written
 */
export function servingOf(options: Options, log: Log, ownPaths: readonly string[] = [], pages?: string): Serving {
  const {
    protocol,
    backlog,
    roles,
    secret,
    packetsize: packetSize,
    trust,
    trustheaders: trustHeaders,
    proxyprotocol: proxyProtocol,
    scriptname: scriptName,
    urlfrom: urlFrom,
    frontcontroller,
    debug,
  } = options;
  const { duplex, earlyhints: earlyHints, spooldir: spoolDir } = options;
  // Only where it is shown, and there before a request can need it at once.
  const page = debug ? import("./error_page.ts") : undefined;
  let loaded: Awaited<typeof page>;
  page?.then((module) => loaded = module);
  const onError = (error: Error, context: ErrorContext) => {
    const { status } = context;
    const reason = explain(error);
    const told = `${context.during}: ${reason}${runtimeAdvice(reason)}`;
    if (status === undefined) return log.write(told);
    const number = failureNumber();
    log.write(`${told}\nIts number is ${number}`);
    if (page) return loaded ? loaded.errorPage(error, context) : page.then(({ errorPage }) => errorPage(error, context));
    const own = pages === undefined ? undefined : ownPage(pages, status);
    if (own) return own;
    const what = status === 504 ? "took too long to answer. More about it" : "could not answer. The reason";
    return plainResponse(status, `The site ${what} is ${log.place}. Look for ${number} there.`);
  };
  const site = basename(ownPaths[0] ?? "runfcgi", ".fcgi");
  const access = options.accesslog === undefined ? undefined : logTo(options.accesslog, site);
  const slow = options.slowlog === undefined ? undefined : logTo(options.slowlog, site);
  const monitor: MonitorOptions = {};
  if (access) {
    const line = accessFormatter(options.accessformat ?? "combined");
    const { logskip = [] } = options;
    monitor.onEnded = (request, seconds) => {
      if (logskip.length === 0 || !isSkipped(request, logskip)) access.writeSoon(line(request, seconds));
    };
  }
  if (slow) monitor.onSlow = (request, seconds) => slow.writeSoon(slowLine(request, seconds));
  if (slow || options.slowtime !== undefined) monitor.slowAfter = options.slowtime ?? SLOW_SECONDS;
  const timeout = options.timeout || undefined;
  const concurrency = options.concurrency || undefined;
  return {
    serve: {
      protocol,
      backlog,
      roles,
      secret,
      packetSize,
      trust,
      trustHeaders,
      proxyProtocol,
      scriptName,
      urlFrom,
      frontControllers: frontcontroller === undefined ? ownPaths : [frontcontroller, ...ownPaths],
      timeout,
      concurrency,
      duplex,
      earlyHints,
      spoolDir,
      shownBody: debug ? MAX_SHOWN : undefined,
      limits: givenLimits(options),
      threads: options.threads,
      capture: captureOf(options, log),
      onError,
    },
    monitor,
    lifetime: {
      requests: options.maxrequests || undefined,
      memory: options.maxmemory ? options.maxmemory * 2 ** 20 : undefined,
      age: options.maxage || undefined,
    },
    reopen() {
      log.reopen();
      access?.reopen();
      slow?.reopen();
    },
  };
}

function captureOf(options: Options, log: Log): CaptureOptions | undefined {
  const place = capturePlace(options);
  return place && { ...place, count: options.capture!, log: (text) => log.write(text) };
}

/** Where requests that fail are kept, if they are. */
export function capturePlace({ capture, capturedir, errlog }: Options): { folder: string; prefix?: string } | undefined {
  if (!capture) return undefined;
  const given = capturedir ?? (errlog === undefined ? undefined : dirname(errlog));
  // Where nobody has chosen the folder, visitors may see it. Of these names Apache gives them none.
  return { folder: resolve(given ?? "."), prefix: given === undefined ? ".htcapture" : undefined };
}

function givenLimits(options: Options): Partial<Limits> {
  const names = Object.keys(defaultLimits) as (keyof Limits)[];
  const given = names.map((name) => [name, options[name.toLowerCase() as Lowercase<keyof Limits>]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}
