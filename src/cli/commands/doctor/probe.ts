/**
 * Asks through the web server: an application that only the doctor can use tells what arrives.
 *
 * @module
 */
import { randomUUID, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Handler } from "../../../server/handler.ts";
import { type Finding, ok, problem, toHost, unchecked } from "./finding.ts";

/** Header with the word that makes the application answer. */
const HEADER = "x-runfcgi-doctor";
/** More than mod_fcgid takes unless it is told to, and more than nginx does. */
const UPLOADS = [129 * 1024, 1100 * 1024];
const CREDENTIALS = `Basic ${Buffer.from("runfcgi:doctor").toString("base64")}`;
/** Path below that of the URL: what a web server may decode, merge or double shows in it. */
const PATH = "runfcgi-doctor/a%20b/c";
const QUERY = "?x=1&y=%20z";

/** What arrived of a request. */
interface Arrived {
  url: string;
  scriptName: string;
  authorization: string | null;
  length: number;
  visitor: string;
  software: string;
}

/** An application for the time of the probe, and the word that it asks for. */
export interface Probe {
  handler: Handler;
  word: string;
}

/** Makes the application. Without the word, visitors get a page that says that the site is being looked at. */
export function makeProbe(patience = 3): Probe {
  const word = randomUUID();
  const seen = new Map<string, () => void>();
  const isWord = (given: string | null) =>
    given !== null && given.length === word.length && timingSafeEqual(Buffer.from(given), Buffer.from(word));
  const handler: Handler = async (request, info) => {
    if (!isWord(request.headers.get(HEADER))) {
      return new Response("The site is being looked at. Please come again in a minute.\n", {
        status: 503,
        headers: { "retry-after": "60" },
      });
    }
    const { searchParams } = new URL(request.url);
    const [events, saw] = [searchParams.get("events"), searchParams.get("saw")];
    if (saw !== null) {
      seen.get(saw)?.();
      return new Response(null, { status: 204 });
    }
    if (events !== null) return eventStream(events, seen, patience);
    const arrived: Arrived = {
      url: request.url,
      scriptName: info.scriptName,
      authorization: request.headers.get("authorization"),
      length: (await request.arrayBuffer()).byteLength,
      visitor: info.remoteAddr.hostname,
      software: info.params.SERVER_SOFTWARE ?? "",
    };
    return Response.json(arrived, { headers: { "cache-control": "no-store" } });
  };
  return { handler, word };
}

/** Two events: the second is sent when the first is said to have arrived, or when that takes too long. */
function eventStream(id: string, seen: Map<string, () => void>, patience: number): Response {
  const { promise, resolve } = Promise.withResolvers<void>();
  seen.set(id, resolve);
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode("data: first\n\n"));
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, patience * 1000));
      await Promise.race([promise, late]);
      clearTimeout(timer);
      seen.delete(id);
      controller.enqueue(new TextEncoder().encode("data: second\n\n"));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}

/** Lines for the configurations of web servers. */
type Servers = Partial<Record<"nginx" | "apache" | "lighttpd" | "caddy" | "haproxy", string>> & { other: string };

const remedies = {
  scheme: {
    nginx: "fastcgi_param HTTPS $https if_not_empty;   (over HTTP: proxy_set_header X-Forwarded-Proto $scheme; and trust= here)",
    apache: "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}   (over HTTP, with trust= here)",
    lighttpd: 'setenv.set-environment = ( "HTTPS" => "on" )   in the block of the HTTPS socket',
    haproxy: "http-request set-header X-Forwarded-Proto https if { ssl_fc }   (over HTTP, with trust= here)",
    other: "Set the variable HTTPS to on, or over HTTP the header X-Forwarded-Proto to https, with the proxy in trust=.",
  },
  host: {
    nginx: "fastcgi_param HTTP_HOST $http_host;   (scgi_param, uwsgi_param; over HTTP: proxy_set_header Host $http_host;)",
    apache: "ProxyPreserveHost On",
    other: "Pass the Host header on as the visitor's browser sent it, with its port.",
  },
  path: {
    nginx: "fastcgi_param REQUEST_URI $request_uri;",
    apache: "RewriteRule ^ mysite.fcgi [L]   (not mysite.fcgi/$1), or ProxyPass … nocanon",
    lighttpd: '"fix-root-scriptname" => "enable"',
    other: "Pass REQUEST_URI on as the visitor typed it.",
  },
  authorization: {
    apache: "CGIPassAuth On",
    haproxy: "pass-header Authorization",
    nginx: "fastcgi_param HTTP_AUTHORIZATION $http_authorization;",
    other: "Pass the header Authorization on.",
  },
  upload: {
    nginx: "client_max_body_size 100m;",
    apache: "FcgidMaxRequestLen 104857600   (mod_fcgid), LimitRequestBody 0",
    lighttpd: "server.max-request-size = 102400",
    other: "Raise the limit for the length of request bodies.",
  },
  events: {
    apache: "ProxyPass … flushpackets=on, or for mod_fcgid: FcgidOutputBufferSize 0",
    lighttpd: "server.stream-response-body = 1",
    caddy: "flush_interval -1",
    haproxy: "option http-no-delay",
    nginx: "fastcgi_buffering off;   (scgi_buffering, uwsgi_buffering, proxy_buffering)",
    other: "Turn off the buffering of responses.",
  },
  visitor: {
    nginx: "proxy_set_header X-Forwarded-For $remote_addr;   with the proxy in trust= here",
    haproxy: "option forwardfor   with the proxy in trust= here",
    other: "Pass REMOTE_ADDR on, or over HTTP X-Forwarded-For, with the proxy in trust=.",
  },
} satisfies Record<string, Servers>;

function remedy(what: keyof typeof remedies, software: string): string {
  const servers: Servers = remedies[what];
  const known = (Object.keys(servers) as (keyof Servers)[]).find((name) => software.toLowerCase().startsWith(name));
  if (known) return servers[known]!;
  return Object.entries(servers).map(([name, line]) => name === "other" ? line : `${name}: ${line}`).join("\n");
}

/** Names of the checks, for when none can be made. */
export const probeChecks = ["web server", "scheme", "host", "path", "authorization", "visitor", "uploads", "events"] as const;

/** Asks the URL of a site whose endpoint serves the probe. */
export async function checkThrough(site: URL, word: string, seconds = 10): Promise<Finding[]> {
  const base = site.pathname.endsWith("/") ? site.pathname : `${site.pathname}/`;
  const ask = (path: string, options: Partial<Asking> = {}) => fetchFrom(site, `${base}${path}`, { word, seconds, ...options });
  const asked = `${site.protocol}//${site.host}${base}${PATH}${QUERY}`;
  let first: Answer;
  try {
    first = await ask(`${PATH}${QUERY}`, { authorization: CREDENTIALS });
  } catch (error) {
    const fix = "Look whether the web server runs, and whether the name leads to it.";
    return [
      problem("web server", `${site.href} does not answer: ${(error as Error).message}`, fix),
      ...rest("there was no answer"),
    ];
  }
  const arrived = read(first);
  if (arrived === undefined) {
    const { text, fix } = otherAnswer(first.status);
    return [problem("web server", `${site.href} ${text}`, fix), ...rest("the request does not reach the program")];
  }
  // Over HTTP only the answer tells which web server it is.
  const software = first.server && !/^runfcgi/.test(first.server) ? first.server : arrived.software;
  const found: Finding[] = [ok("web server", `${software || "it"} passes requests on`)];
  const compare = (check: string, what: keyof typeof remedies, good: boolean, text: string, bad: string) =>
    void found.push(good ? ok(check, text) : problem(check, bad, remedy(what, software)));
  const [url, wanted] = [new URL(arrived.url), new URL(asked)];
  compare(
    "scheme",
    "scheme",
    url.protocol === wanted.protocol,
    `${wanted.protocol}//`,
    `typed is ${wanted.protocol}//, and what arrives is ${url.protocol}//`,
  );
  compare(
    "host",
    "host",
    url.host === wanted.host || portOf(url) === portOf(wanted) && url.hostname === wanted.hostname,
    wanted.host,
    `typed is ${wanted.host}, and what arrives is ${url.host}`,
  );
  const [got, typed] = [url.pathname + url.search, wanted.pathname + wanted.search];
  const doubled = got.length > typed.length && got.endsWith(typed.slice(base.length - 1));
  compare(
    "path",
    "path",
    got === typed,
    `${typed}, mounted at ${arrived.scriptName || "the root"}`,
    `typed is ${typed}, and what arrives is ${got}${
      doubled ? ": there is something before it that the visitor did not type" : ""
    }`,
  );
  compare(
    "authorization",
    "authorization",
    arrived.authorization === CREDENTIALS,
    "it is passed on",
    "the header Authorization does not arrive",
  );
  compare(
    "visitor",
    "visitor",
    /^[\d.]+$|:/.test(arrived.visitor),
    arrived.visitor,
    `the visitor's address is ${arrived.visitor ? `"${arrived.visitor}"` : "not told"}`,
  );
  found.push(await checkUploads(ask, software), await checkEvents(ask, software));
  return found;
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === "https:" ? "443" : "80");
}

function rest(reason: string): Finding[] {
  return probeChecks.slice(1).map((check) => unchecked(check, `because ${reason}`));
}

type Ask = (path: string, options?: Partial<Asking>) => Promise<Answer>;

async function checkUploads(ask: Ask, software: string): Promise<Finding> {
  for (const size of UPLOADS) {
    const kib = `${size / 1024} KiB`;
    try {
      const answer = await ask(PATH, { body: Buffer.alloc(size, "x") });
      if (read(answer)?.length === size) continue;
      const sentence = "Please set FcgidMaxRequestLen 104857600, so that visitors can upload files.";
      const fix = `${remedy("upload", software)}${/^apache/i.test(software) ? `\n${toHost(sentence)}` : ""}`;
      return problem("uploads", `one of ${kib} is answered with ${answer.status}`, fix);
    } catch (error) {
      return problem("uploads", `one of ${kib} is broken off: ${(error as Error).message}`, remedy("upload", software));
    }
  }
  return ok("uploads", `${UPLOADS.map((size) => `${size / 1024} KiB`).join(" and ")} arrive`);
}

async function checkEvents(ask: Ask, software: string): Promise<Finding> {
  const id = randomUUID();
  let early = false;
  try {
    await ask(`${PATH}?events=${id}`, {
      onText(text) {
        if (!text.includes("first") || text.includes("second")) return;
        early = true;
        ask(`${PATH}?saw=${id}`).catch(() => {});
      },
    });
  } catch (error) {
    return problem("events", `server-sent events are broken off: ${(error as Error).message}`, remedy("events", software));
  }
  if (early) return ok("events", "they are passed on one by one");
  return problem("events", "they are held back until the response is complete", remedy("events", software));
}

function otherAnswer(status: number): { text: string; fix: string } {
  const text = `is answered with ${status} by somebody else`;
  if (status === 502 || status === 503 || status === 504) {
    return {
      text: `is answered with ${status}: the web server does not get at the endpoint`,
      fix: "See the check of the socket, compare the endpoint in its configuration with the one here, and read its error log.",
    };
  }
  if (status === 404 || status === 403 || status === 200) {
    return {
      text,
      fix: "Its configuration does not hand this path to the program: see the lines for your web server in the README.",
    };
  }
  if (status >= 300 && status < 400) {
    return { text: `is redirected (${status})`, fix: "Give the URL that it leads to, such as the one with https://" };
  }
  return { text, fix: "Its error log has the reason." };
}

function read({ text }: Answer): Arrived | undefined {
  try {
    const arrived: Arrived = JSON.parse(text);
    return typeof arrived.url === "string" && typeof arrived.length === "number" ? arrived : undefined;
  } catch {
    return undefined;
  }
}

interface Asking {
  word: string;
  seconds: number;
  authorization?: string;
  body?: Uint8Array;
  /** Gets all that has arrived so far. */
  onText?: (text: string) => void;
}

interface Answer {
  status: number;
  /** What calls itself the server. */
  server?: string;
  text: string;
}

/** Longest answer that is read. */
const MAX_ANSWER = 64 * 1024;

/** Not by fetch(), which would normalize the path, and follow redirects. */
function fetchFrom(site: URL, path: string, { word, seconds, authorization, body, onText }: Asking): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const options = {
    hostname: site.hostname.replace(/^\[|\]$/g, ""),
    port: site.port || undefined,
    path,
    method: body ? "POST" : "GET",
    headers: {
      host: site.host,
      [HEADER]: word,
      connection: "close",
      ...authorization && { authorization },
      ...body && { "content-length": String(body.length), "content-type": "application/octet-stream" },
    },
  };
  const take = (message: IncomingMessage) => {
    let text = "";
    message.setEncoding("utf8");
    message.on("data", (chunk: string) => {
      text += chunk;
      onText?.(text);
      if (text.length > MAX_ANSWER) message.destroy();
    });
    message.on("error", reject);
    message.on("close", () => resolve({ status: message.statusCode ?? 0, server: String(message.headers.server ?? ""), text }));
  };
  // Whether a certificate is good is not what is asked here, and nothing secret is sent.
  const sent = site.protocol === "https:"
    ? httpsRequest({ ...options, rejectUnauthorized: false }, take)
    : httpRequest(options, take);
  const timer = setTimeout(() => sent.destroy(new Error(`no answer in ${seconds} s`)), seconds * 1000);
  sent.on("error", reject);
  sent.on("close", () => clearTimeout(timer));
  sent.end(body);
  return promise;
}
