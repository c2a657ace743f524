/**
 * The owner's page: what somebody who has no shell needs to see and to do. It is off without a key. Strangers get what they
 * get for any path that is not there: the form for the key is at an address that only who has the key's file knows.
 *
 * @module
 */
import { utimesSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { askDoctor } from "./owner_doctor.ts";
import { type Key, readKey, REMEMBERED, type Visit, Visits } from "./owner_key.ts";
import { formPage, type OwnedSite, refusedPage, sitePage } from "./owner_page.ts";
import { OWNER } from "./owner_path.ts";
import { bringUp, RETRY_SECONDS, takeDown } from "./pages.ts";

const COOKIE = "runfcgi-owner";
/** Bytes of a form at most. */
const MAX_FORM = 4096;
/** Milliseconds before the first wrong key is answered, which doubles with each. */
const FIRST_WAIT = 250;
/** And before any: for as long, mod_fcgid gives the process nobody else, the owner included. */
const LONGEST_WAIT = 1000;
/** Wrong keys that wait at a time. More are answered at once: they would keep the process from serving. */
const MAX_WAITING = 8;

/** Answers the owner, and passes all others on. */
export function withOwner(next: Handler, site: OwnedSite): Handler {
  const page = new OwnerPage(site, next);
  return (request, info) => request.url.includes(OWNER) ? page.answer(request, info) : next(request, info);
}

/** Where the page is, as a browser has it. */
interface Place {
  /** Path of the page. */
  path: string;
  isHttps: boolean;
}

class OwnerPage {
  readonly #site: OwnedSite;
  readonly #next: Handler;
  #wrongKeys = 0;
  #waiting = 0;
  #complained = false;

  constructor(site: OwnedSite, next: Handler) {
    this.#site = site;
    this.#next = next;
  }

  answer(request: Request, info: ServeInfo): Response | Promise<Response> {
    const [whole, word] = /^\/\.runfcgi(?:\/([^/]*))?$/.exec(info.pathInfo) ?? [];
    const { pathname, protocol } = new URL(request.url);
    const [path] = /^.*\/\.runfcgi(?=\/|$)/.exec(pathname) ?? [];
    const reads = request.method === "GET" || request.method === "HEAD";
    const isOurs = whole !== undefined && path !== undefined && (reads || request.method === "POST");
    const key = isOurs ? this.#key() : undefined;
    if (path === undefined || key === undefined) return this.#next(request, info);
    const visits = new Visits(key.key);
    const visit = visits.find(cookiesOf(request), Date.now());
    const place = { path, isHttps: protocol === "https:" };
    if (word) {
      if (!visits.isDoor(word)) return this.#next(request, info);
      if (!reads) return this.#enter(request, visits, place);
      return visit && !visit.isOver ? goTo(path) : formPage({ ...place, door: word });
    }
    if (visit === undefined || isHidden(request)) return this.#next(request, info);
    if (visit.isOver) return formPage({ ...place, door: visits.door, isOver: true });
    const visited = { visits, visit, key, place };
    return reads ? this.#show(request, info, visited) : this.#act(request, info, visited);
  }

  #key(): Key | undefined {
    const { keyFile, log } = this.#site;
    try {
      return readKey(keyFile);
    } catch (error) {
      if (!this.#complained) log.write(`The owner's page is off: ${(error as Error).message}`);
      this.#complained = true;
      return undefined;
    }
  }

  /** Somebody gives a key. */
  async #enter(request: Request, visits: Visits, place: Place): Promise<Response> {
    const form = await readForm(request);
    if (visits.isKey(form?.get("key") ?? "")) {
      this.#wrongKeys = 0;
      return goTo(place.path, cookie(visits.begin(Date.now()), place, REMEMBERED));
    }
    await this.#slowDown();
    return formPage({ ...place, door: visits.door, isWrong: true });
  }

  /** The right key never waits, so that nobody can lock the owner out. */
  async #slowDown(): Promise<void> {
    if (this.#waiting >= MAX_WAITING) return;
    const { wait = delay } = this.#site;
    this.#waiting++;
    await wait(Math.min(FIRST_WAIT * 2 ** this.#wrongKeys, LONGEST_WAIT));
    this.#waiting--;
    this.#wrongKeys = Math.min(this.#wrongKeys + 1, MAX_WAITING);
  }

  async #show(request: Request, info: ServeInfo, { visits, visit, key, place }: Visited, more: Shown = {}): Promise<Response> {
    return await sitePage(this.#site, { request, info, ...place, token: visits.token(visit), isOpen: key.isOpen, ...more });
  }

  /** The owner presses a button. */
  async #act(request: Request, info: ServeInfo, visited: Visited): Promise<Response> {
    const { visits, visit, place } = visited;
    const form = await readForm(request);
    if (!visits.isToken(form?.get("token") ?? "", visit)) return refusedPage(place.path);
    const { pages, watched, doctor } = this.#site;
    const folder = folderOf(info) ?? pages;
    try {
      switch (form?.get("action")) {
        case "reload":
          if (watched !== undefined) utimesSync(watched, new Date(), new Date());
          return goTo(`${place.path}?done=reload`);
        case "down":
          takeDown(pages, RETRY_SECONDS);
          return goTo(`${place.path}?done=down`);
        case "up":
          bringUp(pages);
          return goTo(`${place.path}?done=up`);
        case "check":
          return await this.#show(request, info, visited, { findings: await askDoctor(doctor, folder) });
        case "visit": {
          const url = new URL(`${place.path.slice(0, -OWNER.length)}/`, request.url);
          return await this.#show(request, info, visited, {
            findings: await askDoctor([...doctor, `url=${url}`], folder, passwordOf(request)),
          });
        }
        case "leave":
          return goTo(place.path.slice(0, -OWNER.length) || "/", cookie("", place, 0));
      }
      return goTo(place.path);
    } catch (error) {
      return await this.#show(request, info, visited, { failure: (error as Error).message });
    }
  }
}

interface Visited {
  visits: Visits;
  visit: Visit;
  key: Key;
  place: Place;
}

type Shown = Pick<Parameters<typeof sitePage>[1], "findings" | "failure">;

/** What the browser sends to a folder with a password, which the doctor needs, too. */
function passwordOf({ headers }: Request): string | undefined {
  const authorization = headers.get("authorization") ?? "";
  return /^Basic /i.test(authorization) ? authorization : undefined;
}

/** The folder of the site, where a web server leads to a file. */
function folderOf({ params }: ServeInfo): string | undefined {
  const { SCRIPT_FILENAME: file = "" } = params;
  return file.startsWith("/") ? dirname(file) : undefined;
}

/** A script of the application asks, or a frame: whatever runs on the site's other pages does not get at this one. */
function isHidden({ headers }: Request): boolean {
  const destination = headers.get("sec-fetch-dest");
  return destination !== null && destination !== "document";
}

/** All values that the browser has for our cookie: another application of the host may have set one, too. */
function cookiesOf({ headers }: Request): string[] {
  const pairs = (headers.get("cookie") ?? "").split(/; */).map((pair) => pair.split("=", 2));
  return pairs.filter(([name]) => name === COOKIE).map(([, value = ""]) => value);
}

function cookie(value: string, { path, isHttps }: Place, seconds: number): string {
  const secure = isHttps ? "; Secure" : "";
  // What it is not to be split at.
  const where = path.replaceAll(/[;,\s]/g, encodeURIComponent);
  return `${COOKIE}=${value}; Path=${where}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

function goTo(location: string, setCookie?: string): Response {
  const headers = { location, "cache-control": "no-store", ...setCookie !== undefined && { "set-cookie": setCookie } };
  return new Response(null, { status: 303, headers });
}

/** A form as browsers send it, `undefined` for what is none. */
async function readForm({ body, headers }: Request): Promise<URLSearchParams | undefined> {
  if (body === null || !/^application\/x-www-form-urlencoded\b/i.test(headers.get("content-type") ?? "")) return undefined;
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of body) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > MAX_FORM) return undefined;
  }
  return new URLSearchParams(text);
}
