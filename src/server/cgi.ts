/**
 * Plain CGI: the process was started for one request.
 *
 * @module
 */
import { CgiServer } from "../protocol/cgi.ts";
import { Trust } from "../protocol/http/forwarded.ts";
import { attachStdio } from "../runtime/stdio.ts";
import { patchGlobals } from "../gateway/patch_globals.ts";
import { ServerConnection } from "./connection.ts";
import type { Handler, OnError } from "./handler.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { RequestObserver } from "./monitor.ts";
import type { ServeOptions } from "./options.ts";
import { urlOptionsOf } from "./serve.ts";
import { spoolFolder } from "./spool.ts";

/** How to answer the request. */
export interface CgiOptions extends Pick<ServeOptions, "scriptName" | "urlFrom" | "frontControllers" | "trust" | "trustHeaders"> {
  /** The variables that the web server set (RFC 3875, section 4.1). */
  environment: Readonly<Record<string, string | undefined>>;
  onError: OnError;
  duplex?: boolean;
  shownBody?: number;
  spoolDir?: string;
  limits?: Partial<Limits>;
  observer?: RequestObserver;
}

/** Answers the one request that this process was started for, from standard input to standard output. */
export function serveCgi(options: CgiOptions, handler: Handler): Promise<void> {
  patchGlobals();
  const limits = { ...defaultLimits, ...options.limits };
  const urls = urlOptionsOf(options);
  const trust = new Trust(options.trust, options.trustHeaders);
  const { duplex = false } = options;
  const folder = spoolFolder(options.spoolDir);
  const { promise, resolve } = Promise.withResolvers<void>();
  const variables = Object.entries(options.environment).map(([name, value]) => [name, value ?? ""] as const);
  // The process ends with the request, so it waits for what goes on after the response.
  const works: Promise<unknown>[] = [];
  const observer: RequestObserver = {
    begun: (request) => options.observer?.begun(request),
    ended: (request) => options.observer?.ended(request),
    working: (_request, work) => void works.push(work),
  };
  attachStdio((connection) => {
    const closed = () => Promise.all(works).then(() => resolve());
    const context = {
      ...options,
      trust: trust.any ? trust : undefined,
      observer,
      urls,
      handler,
      limits,
      duplex,
      spoolFolder: folder,
      closed,
    };
    const served = new ServerConnection(connection, new CgiServer(variables, limits), context);
    // Nothing has to arrive for the request to begin.
    queueMicrotask(() => served.receive());
    return served;
  });
  return promise;
}
