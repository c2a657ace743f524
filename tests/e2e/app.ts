/**
 * The application behind the web servers. It is copied to where each of them looks for one, and as some of them run
 * several processes of it without any environment, files beside it are how these and the tests hear of each other.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

const state = join(import.meta.dirname!, "state");

/** Makes a file that says that something has happened. */
function mark(name: string): void {
  writeFileSync(join(state, name), "");
}

async function marked(name: string): Promise<void> {
  while (!existsSync(join(state, name))) await delay(10);
}

let stops = 0;
// Beside the program's own handler.
process.on("SIGTERM", () => stops++);

/** No round number, so that pieces in the wrong order or place do not match. */
const page = Buffer.from(Uint8Array.from({ length: 65_521 }, (_, i) => i ^ (i >> 8)));
const twoPages = Buffer.concat([page, page]);

/** Bytes that can be recognized. */
export function* pattern(length: number): Generator<Uint8Array<ArrayBuffer>> {
  for (let left = length; left > 0; left -= page.length) yield page.subarray(0, Math.min(left, page.length));
}

/** The length of what is nothing but the {@linkcode pattern}. */
export async function patternLength(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0;
  for await (const bytes of stream) {
    for (let at = 0; at < bytes.length;) {
      const size = Math.min(bytes.length - at, page.length);
      const from = length % page.length;
      if (twoPages.compare(bytes, at, at + size, from, from + size) !== 0) throw new Error(`Other bytes after ${length}`);
      at += size;
      length += size;
    }
  }
  return length;
}

interface Info {
  readonly scriptName: string;
  readonly pathInfo: string;
  readonly remoteAddr: { readonly hostname: string };
  readonly params: Readonly<Record<string, string>>;
  stderr(text: string): void;
}

/** What `/echo` tells. */
export interface Echo {
  url: string;
  method: string;
  headers: Record<string, string>;
  scriptName: string;
  pathInfo: string;
  visitor: string;
  params: Readonly<Record<string, string>>;
  pid: number;
  body: string;
}

type Answer = (request: Request, url: URL, info: Info) => Response | Promise<Response>;

const answers: Record<string, Answer> = {
  async echo(request, _url, { scriptName, pathInfo, remoteAddr, params }) {
    const echo: Echo = {
      url: request.url,
      method: request.method,
      headers: Object.fromEntries(request.headers),
      scriptName,
      pathInfo,
      visitor: remoteAddr.hostname,
      params,
      pid: process.pid,
      body: await request.text(),
    };
    return Response.json(echo);
  },

  async form(request) {
    return Response.json([...await request.formData()]);
  },

  async json(request) {
    return Response.json(await request.json());
  },

  async upload(request) {
    return new Response(String(await patternLength(request.body!)));
  },

  download(_request, url) {
    const bytes = pattern(Number(url.searchParams.get("length")));
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const { value, done } = bytes.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    return new Response(body, { headers: { "content-type": "application/octet-stream" } });
  },

  cookies() {
    const headers = new Headers({ "content-type": "text/plain" });
    headers.append("set-cookie", "a=1; Path=/");
    headers.append("set-cookie", "b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT");
    headers.append("set-cookie", "c=3; HttpOnly");
    return new Response("baked", { headers });
  },

  head(_request, url) {
    const headers = new Headers({ "content-type": "text/plain" });
    headers.set("content-length", "200000");
    for (let i = 0; i < Number(url.searchParams.get("lines")); i++) headers.set(`x-line-${i}`, "x".repeat(1000));
    return new Response("x".repeat(200_000), { headers });
  },

  redirect() {
    return new Response(null, { status: 303, headers: { location: "/echo?from=redirect" } });
  },

  cached(request) {
    const headers = { etag: '"v1"', "content-type": "text/plain" };
    return request.headers.get("if-none-match") === '"v1"'
      ? new Response(null, { status: 304, headers })
      : new Response("fresh", { headers });
  },

  throw() {
    throw new Error("thrown for a test");
  },

  early() {
    return new Response("That is too much.", { status: 413, headers: { "content-type": "text/plain" } });
  },

  log(_request, _url, info) {
    info.stderr("a line for the error log");
    return new Response("logged");
  },

  /** The second event waits until the visitor has seen the first. */
  events(_request, url) {
    const id = url.searchParams.get("id");
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        const more = "x".repeat(Number(url.searchParams.get("more")));
        controller.enqueue(new TextEncoder().encode(`data: first${more}\n\n`));
        await marked(`seen-${id}`);
        controller.enqueue(new TextEncoder().encode("data: second\n\n"));
        controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  },

  seen(_request, url) {
    mark(`seen-${url.searchParams.get("id")}`);
    return new Response("good");
  },

  /** Goes on until the visitor leaves. */
  endless(request, url) {
    request.signal.addEventListener("abort", () => mark(`left-${url.searchParams.get("id")}`));
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await delay(1);
        controller.enqueue(page);
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  },

  /** Begins, and ends when the process has been told to stop as often as mod_fcgid does before it kills. */
  async unhurried(_request, url) {
    mark(`begun-${url.searchParams.get("id")}`);
    while (stops < 2) await delay(10);
    return new Response("told twice to stop");
  },
};

export default {
  fetch(request: Request, info: Info): Response | Promise<Response> {
    const name = request.headers.has("x-echo") ? "echo" : info.pathInfo.split("/")[1];
    return Object.hasOwn(answers, name)
      ? answers[name](request, new URL(request.url), info)
      : new Response("Nothing is here.", { status: 404 });
  },
};
