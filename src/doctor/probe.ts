/**
 * Asks through the web server: an application that only the doctor can use tells what arrives.
 *
 * @module
 */
import { randomUUID, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Handler } from "../server/handler.ts";
import type { EndpointProtocol } from "../protocol/protocols.ts";
import { type Answer, type Asking, basePath, credentials, fetchFrom, shown } from "./fetch.ts";
import { type Finding, note, ok, problem, unchecked } from "./finding.ts";

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
  /** The scheme, as a proxy says it. */
  forwarded: string | null;
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
      forwarded: request.headers.get("x-forwarded-proto"),
      length: (await request.arrayBuffer()).byteLength,
      visitor: info.remoteAddr.hostname,
      software: info.params.SERVER_SOFTWARE ?? "",
    };
    return Response.json(arrived, { headers: { "cache-control": "no-store" } });
  };
  return { handler, word };
}

/** Two events: the second is sent when the first is said to have arrived, and another when that takes too long. */
function eventStream(id: string, seen: Map<string, () => void>, patience: number): Response {
  const { promise, resolve } = Promise.withResolvers<string>();
  seen.set(id, () => resolve("second"));
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode("data: first\n\n"));
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<string>((resolve) => timer = setTimeout(resolve, patience * 1000, "late"));
      const second = await Promise.race([promise, late]);
      clearTimeout(timer);
      seen.delete(id);
      controller.enqueue(new TextEncoder().encode(`data: ${second}\n\n`));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}

/** Lines for the configurations of web servers, and others where they speak HTTP with the program. */
type Servers = Partial<Record<ServerName | `${ServerName} http`, string>> & { other: string };
type ServerName = "nginx" | "apache" | "lighttpd" | "caddy" | "haproxy";

const remedies = {
  scheme: {
    nginx: "fastcgi_param HTTPS $https if_not_empty;",
    "nginx http": "proxy_set_header X-Forwarded-Proto $scheme;",
    apache: "SetEnvIf X-Forwarded-Proto https HTTPS=on   (behind a proxy that has the certificate)",
    "apache http": "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}",
    lighttpd: 'setenv.set-environment = ( "HTTPS" => "on" )   in the block of the HTTPS socket',
    haproxy: "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
    other: "Set the variable HTTPS to on, or over HTTP the header X-Forwarded-Proto to https.",
  },
  host: {
    nginx: "fastcgi_param HTTP_HOST $http_host;",
    "nginx http": "proxy_set_header Host $http_host;",
    apache: "ProxyPreserveHost On",
    other: "Pass the Host header on as the visitor's browser sent it, with its port.",
  },
  path: {
    nginx: "fastcgi_param REQUEST_URI $request_uri;",
    "nginx http": "proxy_pass without a path behind the address",
    apache: "RewriteRule ^ mysite.fcgi [L]   (not mysite.fcgi/$1), or ProxyPass … nocanon",
    lighttpd: '"fix-root-scriptname" => "enable"',
    other: "Pass REQUEST_URI on as the visitor typed it.",
  },
  authorization: {
    apache: "CGIPassAuth On",
    haproxy: "pass-header Authorization",
    nginx: "fastcgi_param HTTP_AUTHORIZATION $http_authorization;",
    "nginx http": "proxy_set_header Authorization $http_authorization;",
    other: "Pass the header Authorization on.",
  },
  upload: {
    nginx: "client_max_body_size 100m;",
    apache: "LimitRequestBody 0",
    lighttpd: "server.max-request-size = 102400",
    other: "Raise the limit for the length of request bodies.",
  },
  events: {
    apache: "ProxyPass … flushpackets=on",
    lighttpd: "server.stream-response-body = 1",
    caddy: "flush_interval -1",
    haproxy: "option http-no-delay",
    nginx: "fastcgi_buffering off;",
    "nginx http": "proxy_buffering off;",
    other: "Turn off the buffering of responses.",
  },
  visitor: {
    nginx: "fastcgi_param REMOTE_ADDR $remote_addr;",
    "nginx http": "proxy_set_header X-Forwarded-For $remote_addr;",
    haproxy: "option forwardfor",
    other: "Pass REMOTE_ADDR on, or over HTTP X-Forwarded-For.",
  },
} satisfies Record<string, Servers>;

/** What a remedy depends on. */
interface Way {
  /** What the web server calls itself. */
  software: string;
  protocol: EndpointProtocol;
}

function remedy(what: keyof typeof remedies, { software, protocol }: Way): string {
  const servers: Servers = remedies[what];
  const [server] = /^[a-z]+/.exec(software.toLowerCase()) ?? [""];
  const line = protocol === "http" && servers[`${server} http` as ServerName] || servers[server as ServerName];
  // The directives of nginx have the protocol in their names.
  if (line !== undefined) return /^(?:scgi|uwsgi)$/.test(protocol) ? line.replace(/^fastcgi_/, `${protocol}_`) : line;
  return Object.entries(servers).map(([name, line]) => name === "other" ? line : `${name}: ${line}`).join("\n");
}

/** The checks, in their order. */
export const probeChecks = ["web server", "scheme", "host", "path", "authorization", "visitor", "uploads", "events"] as const;

/** In place of the checks when none can be made. */
export function notProbed(reason: string): Finding {
  return unchecked("what arrives", reason);
}

/** Asks the URL of a site whose endpoint serves the probe. */
export async function checkThrough(site: URL, word: string, protocol: EndpointProtocol = "fcgi"): Promise<Finding[]> {
  const base = basePath(site);
  const { authorization = CREDENTIALS } = credentials(site);
  const ask: Ask = (path, { headers, ...asking } = {}) =>
    fetchFrom(site, `${base}${path}`, { ...asking, headers: { ...headers, [HEADER]: word } });
  let first: Answer;
  try {
    first = await ask(`${PATH}${QUERY}`, { headers: { authorization } });
  } catch (error) {
    return [noAnswer(site, error as Error), notProbed("because there was no answer")];
  }
  const arrived = read(first);
  if (arrived === undefined) {
    const { text, fix } = otherAnswer(first);
    return [
      problem("web server", `${shown(site)} ${text}`, fix),
      notProbed("because the request does not reach the program"),
    ];
  }
  // Over HTTP only the answer tells which web server it is.
  const server = String(first.headers.server ?? "");
  const software = server && !/^runfcgi/.test(server) ? server : arrived.software;
  const way: Way = { software, protocol };
  const found: Finding[] = [ok("web server", `${software || "it"} passes requests on`)];
  const compare = (check: keyof typeof remedies, good: boolean, text: string, bad: string, fix?: string) =>
    void found.push(good ? ok(check, text) : problem(check, bad, fix ?? remedy(check, way)));
  const wanted = new URL(`${site.protocol}//${site.host}${base}${PATH}${QUERY}`);
  const url = new URL(arrived.url);
  const wrongScheme = `typed is ${wanted.protocol}//, and what arrives is ${url.protocol}//`;
  const forwarded = arrived.forwarded !== null && `${arrived.forwarded}:` === wanted.protocol;
  compare(
    "scheme",
    url.protocol === wanted.protocol,
    `${wanted.protocol}//`,
    forwarded ? `${wrongScheme}: X-Forwarded-Proto is there, and who sends it is not trusted` : wrongScheme,
    forwarded ? `Start the program, and the doctor, with trust=${arrived.visitor}` : undefined,
  );
  compare(
    "host",
    url.host === wanted.host || portOf(url) === portOf(wanted) && url.hostname === wanted.hostname,
    wanted.host,
    `typed is ${wanted.host}, and what arrives is ${url.host}`,
  );
  const [got, typed] = [url.pathname + url.search, wanted.pathname + wanted.search];
  const below = typed.slice(base.length - 1);
  // As try_files $uri /index.php does.
  const led = /^\/[^?]*\.\w+$/.test(url.pathname) && !got.includes(PATH) ? url.pathname : undefined;
  const [doubled, cut] = [got.length > typed.length && got.endsWith(below), base !== "/" && got === below];
  compare(
    "path",
    got === typed,
    `${typed}, mounted at ${arrived.scriptName || "the root"}`,
    `typed is ${typed}, and what arrives is ${got}${
      doubled
        ? ": there is something before it that the visitor did not type"
        : cut
        ? ": the web server cuts the mount off"
        : led
        ? ": the web server leads all URLs to one file"
        : ""
    }`,
    cut || led
      ? `Start the program, and the doctor, with ${cut ? `scriptname=${base.slice(0, -1)}` : `frontcontroller=${led}`}`
      : undefined,
  );
  compare(
    "authorization",
    arrived.authorization === authorization,
    "it is passed on",
    "the header Authorization does not arrive",
  );
  compare(
    "visitor",
    /^[\d.]+$|:/.test(arrived.visitor),
    arrived.visitor,
    `the visitor's address is ${arrived.visitor ? `"${arrived.visitor}"` : "not told"}`,
  );
  found.push(await checkUploads(ask, way), await checkEvents(ask, way));
  return found;
}

/** Nobody answers for the site. */
export function noAnswer(site: URL, { message }: Error): Finding {
  const fix = "Look whether the web server runs, and whether the name leads to it.";
  return problem("web server", `${shown(site)} does not answer: ${message}`, fix);
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === "https:" ? "443" : "80");
}

type Ask = (path: string, options?: Partial<Asking>) => Promise<Answer>;

async function checkUploads(ask: Ask, way: Way): Promise<Finding> {
  for (const size of UPLOADS) {
    const kib = `${size / 1024} KiB`;
    try {
      const answer = await ask(PATH, { body: Buffer.alloc(size, "x") });
      if (read(answer)?.length === size) continue;
      return note("uploads", `one of ${kib} is answered with ${answer.status}. For larger ones:`, remedy("upload", way));
    } catch (error) {
      return problem("uploads", `one of ${kib} is broken off: ${(error as Error).message}`, remedy("upload", way));
    }
  }
  return ok("uploads", `${UPLOADS.map((size) => `${size / 1024} KiB`).join(" and ")} arrive`);
}

async function checkEvents(ask: Ask, way: Way): Promise<Finding> {
  const id = randomUUID();
  let text: string;
  try {
    ({ text } = await ask(`${PATH}?events=${id}`, {
      onText: (text) => void (/first\s*$/.test(text) && ask(`${PATH}?saw=${id}`).catch(() => {})),
    }));
  } catch (error) {
    return problem("events", `server-sent events are broken off: ${(error as Error).message}`, remedy("events", way));
  }
  // What is held back may still arrive in two pieces.
  if (text.includes("second")) return ok("events", "they are passed on one by one");
  return problem("events", "they are held back until the response is complete", remedy("events", way));
}

/** An answer that is neither the program's nor what it should be. */
export function otherAnswer({ status, headers: { location } }: Answer): { text: string; fix: string } {
  if (status === 502 || status === 503 || status === 504) {
    return {
      text: `is answered with ${status}: the web server cannot reach the program`,
      fix: "See the check of the socket, compare the endpoint in its configuration with the one here, and read its error log.",
    };
  }
  if (status >= 300 && status < 400) {
    return {
      text: `is redirected (${status})`,
      fix: location ? `Give the URL that it leads to: url=${location}` : "Give another URL",
    };
  }
  if (status < 500) {
    return {
      text: `is answered with ${status} by somebody else`,
      fix: "Its configuration does not hand this path to the program: see what `config` prints for your web server.",
    };
  }
  return { text: `is answered with ${status}`, fix: "The reason is in the log of the program, or in that of the web server." };
}

function read({ text }: Answer): Arrived | undefined {
  try {
    const arrived: Arrived = JSON.parse(text);
    return typeof arrived.url === "string" && typeof arrived.length === "number" ? arrived : undefined;
  } catch {
    return undefined;
  }
}
