/**
 * Pages of the site itself in place of ours, and the page of a site that is down for maintenance.
 *
 * @module
 */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { isComplete } from "../gateway/known_body.ts";
import { isPlainResponse, plainResponse } from "../gateway/response.ts";
import type { Options } from "../options/options.ts";
import type { Handler } from "../server/handler.ts";

/** Statuses that may have a page of the site's own. */
const files: Readonly<Record<number, string>> = { 404: "404.html", 500: "500.html", 503: "503.html", 504: "500.html" };
/** Bytes of a page at most. */
const MAX_PAGE = 1024 * 1024;
/** Says that the site is down. Apache never serves a file that begins with .ht. */
const MARK = ".htmaintenance";
/** Milliseconds between two looks whether the site is down. */
const LOOK_MS = 500;
/** Seconds after which a visitor's browser may try again, if nobody says otherwise. */
export const RETRY_SECONDS = 60;

/** The folder of the pages: that of the application, or of the program that has it inside. */
export function pagesFolder({ pages }: Pick<Options, "pages">, app: string | undefined): string {
  return pages ?? dirname(app ?? process.execPath);
}

/** The site's own page of a status, `undefined` without one. */
export function ownPage(folder: string, status: number, headers?: Headers): Response | undefined {
  return files[status] === undefined ? undefined : pageOf(join(folder, files[status]), status, headers);
}

function pageOf(file: string, status: number, headers = new Headers()): Response | undefined {
  try {
    const stats = statSync(file, { throwIfNoEntry: false });
    if (!stats?.isFile() || stats.size > MAX_PAGE) return undefined;
    const own = new Headers(headers);
    own.set("content-type", "text/html; charset=utf-8");
    if (!own.has("cache-control")) own.set("cache-control", "no-store");
    own.delete("content-length");
    return new Response(readFileSync(file, "utf8"), { status, headers: own });
  } catch {
    // It cannot be read, so ours is sent.
    return undefined;
  }
}

/** Answers with the site's own pages in place of ours, and of a response that has a status and nothing else. */
export function withPages(handler: Handler, folder: string): Handler {
  const maintenance = new Maintenance(folder);
  const answer = (response: Response) => {
    // Whether the body is null is asked last, since the platform makes a stream of another.
    if (files[response?.status] === undefined) return response;
    if (!isPlainResponse(response) && (isComplete(response) || response.body !== null)) return response;
    return ownPage(folder, response.status, response.headers) ?? response;
  };
  return (request, info) => {
    if (maintenance.isOn) return maintenance.page();
    const response = handler(request, info);
    return response instanceof Promise ? response.then(answer) : answer(response);
  };
}

class Maintenance {
  readonly #folder: string;
  #lookedAt = -Infinity;
  #retry: number | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get isOn(): boolean {
    const now = performance.now();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      this.#retry = retryOf(this.#folder);
    }
    return this.#retry !== undefined;
  }

  page(): Response {
    const headers = new Headers({ "retry-after": String(this.#retry) });
    return pageOf(join(this.#folder, "maintenance.html"), 503, headers) ?? ownPage(this.#folder, 503, headers) ??
      plainResponse(503, "The site is down for maintenance. Please come back later.", Object.fromEntries(headers));
  }
}

/** Seconds that visitors are to wait, `undefined` for a site that is not down. */
function retryOf(folder: string): number | undefined {
  try {
    const text = readFileSync(join(folder, MARK), "utf8");
    return /^\d{1,7}$/.test(text.trim()) ? Number(text) : RETRY_SECONDS;
  } catch {
    return undefined;
  }
}

/** Whether visitors get the page for maintenance. */
export function isDown(folder: string): boolean {
  return retryOf(folder) !== undefined;
}

/** Has visitors get the page for maintenance, in all processes that serve the site. @throws {Error} when it cannot be written */
export function takeDown(folder: string, retry: number): void {
  const file = join(folder, MARK);
  rmSync(file, { force: true });
  // Never through a link that somebody else has put there.
  writeFileSync(file, `${retry}\n`, { mode: 0o644, flag: "wx" });
}

/** Has visitors get the site again; `false` if it was not down. */
export function bringUp(folder: string): boolean {
  const file = join(folder, MARK);
  const wasDown = statSync(file, { throwIfNoEntry: false }) !== undefined;
  rmSync(file, { force: true });
  return wasDown;
}
