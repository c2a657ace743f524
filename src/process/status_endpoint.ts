/**
 * The status on an endpoint of its own: the supervisor answers, which is never busy, also while no worker does.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { statusHtml } from "../app/status_page.ts";
import type { StatusEndpoint } from "../options/options.ts";
import { plainResponse } from "../gateway/response.ts";
import { ListenError } from "../runtime/listen.ts";
import type { Rights } from "../runtime/rights.ts";
import { serveWorker, type WorkerServer } from "../server/serve.ts";
import type { PoolReport } from "../supervisor/channel.ts";
import { statusPage, withStatus } from "../supervisor/status.ts";

/** Milliseconds between two attempts to listen, and after which there are no more: the server before gives the endpoint up. */
const AGAIN_MS = 50;
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
    void openLater(open, () => closed, log).then((later) => server = later);
  }
  return async () => {
    closed = true;
    await server?.shutdown(0);
  };
}

async function openLater(
  open: () => Promise<WorkerServer>,
  closed: () => boolean,
  log: (text: string) => void,
): Promise<WorkerServer | undefined> {
  for (const end = Date.now() + PATIENCE_MS; !closed();) {
    await delay(AGAIN_MS, undefined, { ref: false });
    try {
      return await open();
    } catch (error) {
      if (Date.now() < end && error instanceof ListenError && error.inUse) continue;
      log(`The status has no endpoint: ${(error as Error).message}`);
      return undefined;
    }
  }
  return undefined;
}
