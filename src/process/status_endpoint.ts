/**
 * The status on an endpoint of its own: the supervisor answers, which is never busy, also while no worker does.
 *
 * @module
 */
import { statusHtml } from "../app/status_page.ts";
import type { StatusEndpoint } from "../options/options.ts";
import { plainResponse } from "../gateway/response.ts";
import { ListenError, whenFree } from "../runtime/listen.ts";
import type { Rights } from "../runtime/rights.ts";
import { serveWorker, type WorkerServer } from "../server/serve.ts";
import type { PoolReport } from "../supervisor/channel.ts";
import { statusPage, withStatus } from "../supervisor/status.ts";

/** Milliseconds that the server before has to give the endpoint up. */
const PATIENCE_MS = 60_000;

/**
 * Opens it; call the result to close it.
 *
 * @param name of the application
 * @param waits whether the endpoint may still be that of a server whose place this one takes; then it is opened later
 * @throws {ListenError}
 */
export async function openStatus(
  endpoint: StatusEndpoint,
  { name, report, owner, mode, waits, log }: {
    name: string;
    report(): PoolReport;
    owner?: Rights;
    mode?: number;
    waits: boolean;
    log(text: string): void;
  },
): Promise<() => Promise<void>> {
  const options = { name, html: statusHtml, status: "/status", ping: "/ping", pool: () => Promise.resolve(report()) };
  const other = (request: Request) => {
    const { pathname } = new URL(request.url);
    const accept = request.headers.get("accept") ?? "";
    if (pathname === "/") return statusPage(options, new URL(request.url).searchParams, accept);
    if (pathname === "/metrics") return statusPage(options, new URLSearchParams("metrics"), accept);
    return plainResponse(404, "There is only /status, /metrics and /ping.");
  };
  const open = () => serveWorker({ ...endpoint, mode, owner, protocol: "http", onError: () => {} }, withStatus(options, other));
  let closed = false;
  let server: WorkerServer | undefined;
  try {
    server = await open();
  } catch (error) {
    if (!waits || !(error instanceof ListenError && error.inUse)) throw error;
    whenFree(async () => closed ? undefined : await open(), PATIENCE_MS)
      .then((later) => server = later, (error: Error) => log(`Cannot open the status endpoint: ${error.message}`));
  }
  return async () => {
    closed = true;
    await server?.shutdown(0);
  };
}
