/**
 * What the owner's page looks like.
 *
 * @module
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ServeInfo } from "../server/handler.ts";
import { lineText } from "../server/log_text.ts";
import type { PoolReport } from "../supervisor/channel.ts";
import { statusText } from "../supervisor/status.ts";
import type { Finding } from "./finding.ts";
import type { Log } from "./log.ts";
import { escape, page } from "./page.ts";
import { isDown } from "./pages.ts";
import { arrived } from "./welcome.ts";

/** The site of the page. */
export interface OwnedSite {
  /** File with the key. */
  keyFile: string;
  log: Log;
  /** Folder of the site's own pages. */
  pages: string;
  /** File whose change has the code loaded again; none where nobody watches it. */
  watched: string | undefined;
  /** What all processes do, where that is known. */
  status?: { name: string; pool(): Promise<PoolReport> };
  /** Where requests that failed are kept, if they are. */
  captures?: { folder: string; prefix?: string };
  /** What the doctor is told. */
  doctor: readonly string[];
  /** Waits before a wrong key is answered; for tests. */
  wait?: (milliseconds: number) => Promise<unknown>;
}

/** Bytes of a log that are shown. */
const MAX_LOG = 64 * 1024;
/** Requests that failed that are named. */
const MAX_CAPTURES = 100;

/** Only the site itself is told where the owner comes from, and no window that another page has opened can be looked into. */
const headers = {
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

/** The form for the key. */
export interface Form {
  /** Path of the page. */
  path: string;
  isHttps: boolean;
  /** Word in the address of the form. */
  door: string;
  isWrong?: boolean;
  /** A visit has ended. */
  isOver?: boolean;
}

export function formPage({ path, isHttps, door, isWrong, isOver }: Form): Response {
  const why = isWrong
    ? `<p class="problem" role="alert">This is not the key.</p>`
    : isOver
    ? `<p class="note" role="status">Your visit has ended after an hour. Please give the key again.</p>`
    : "";
  const body = `<h1>The owner's page</h1>
${why}
<form method="post" action="${escape(`${path}/${door}`)}">
<label for="key">The key, from the file with the ending .key that <code>init</code> has written</label>
<input id="key" name="key" type="password" autocomplete="current-password" spellcheck="false" required>
<button>Open</button>
</form>
${isHttps ? "" : plainHttp}`;
  return page("The owner's page", body, isWrong ? 403 : 200, headers);
}

/** The owner is not locked out by it: whoever has a proxy in front knows it. */
const plainHttp = `<h2>This page came without https</h2>
<p>If the address in your browser begins with <strong>http:</strong>, others on the way can read the key. Open the page with
<strong>https:</strong> if your site has that.</p>
<p>If it begins with <strong>https:</strong>, something in front of the web server has the certificate and does not say so. Tell it:</p>
<dl>
<dt>Apache, in the .htaccess</dt>
<dd><code>SetEnvIf X-Forwarded-Proto https HTTPS=on</code></dd>
<dt>nginx over FastCGI</dt>
<dd><code>fastcgi_param HTTPS $https if_not_empty;</code></dd>
<dt>A proxy over HTTP, to the program</dt>
<dd><code>trust=ADDRESS</code>, the proxy's, which has to send <code>X-Forwarded-Proto: https</code></dd>
</dl>`;

/** A form that does not come from the page. */
export function refusedPage(path: string): Response {
  const body = `<h1>Nothing was done</h1>
<p class="problem" role="alert">This form does not come from the owner's page as it is now, or it comes from another site.</p>
<p><a href="${escape(path)}">To the owner's page</a></p>`;
  return page("Nothing was done", body, 403, headers);
}

/** What is shown of a site. */
interface Shown {
  request: Request;
  info: ServeInfo;
  path: string;
  isHttps: boolean;
  token: string;
  /** Others on the machine can read the key. */
  isOpen: boolean;
  /** What the doctor found, if it was asked. */
  findings?: readonly Finding[];
  /** Why nothing was done. */
  failure?: string;
}

const done: Readonly<Record<string, string>> = {
  reload: "The next visitor gets the code as it is now.",
  down: "The site is down: visitors get the page for maintenance.",
  up: "The site is up again.",
};

export async function sitePage(site: OwnedSite, shown: Shown): Promise<Response> {
  const { request, info, path, isHttps, token, isOpen, findings, failure } = shown;
  const { host, searchParams } = new URL(request.url);
  const isUp = !isDown(site.pages);
  const said = done[searchParams.get("done") ?? ""];
  const message = failure !== undefined
    ? `<p class="problem" role="alert">That did not work: ${escape(lineText(failure))}</p>`
    : said === undefined || request.method === "POST"
    ? ""
    : `<p class="ok" role="status">${said}</p>`;
  const button = (action: string, text: string) => `<button name="action" value="${action}">${text}</button>`;
  const form = (...buttons: string[]) =>
    `<form method="post" action="${escape(path)}"><input type="hidden" name="token" value="${token}">\n${
      buttons.filter(Boolean).join("\n")
    }\n</form>`;
  const body = `<h1>${escape(host)}</h1>
${message}
<p class="${isUp ? "ok" : "note"}">${isUp ? "The site is up." : "The site is down: visitors get the page for maintenance."}</p>
${
    form(
      site.watched === undefined ? "" : button("reload", "Load the code again"),
      isUp ? button("down", "Take the site down") : button("up", "Bring the site up"),
      button("leave", "Leave"),
    )
  }
${isOpen ? openKey(site.keyFile) : ""}
<h2 id="doctor">The doctor</h2>
${
    findings === undefined
      ? "<p>It looks for what is wrong, and says what to do. That takes up to half a minute.</p>"
      : findingList(findings)
  }
${form(button("check", "Look at program and host"), button("visit", "Look at it as visitors do"))}
<h2>The log, the newest first</h2>
${logText(site)}
${captureList(site)}
${await statusPart(site)}
<details>
<summary>What arrived of this request</summary>
${arrived(request, info)}
</details>
${isHttps ? "" : plainHttp}`;
  return page(`${host} – the owner's page`, body, 200, headers);
}

function openKey(file: string): string {
  return `<p class="note">Other accounts of this machine can read the key: the file belongs to another user than the one that the program
runs as. <code>chmod 640 ${escape(file)}</code> if the two share a group, or keep it elsewhere: <code>ownerkey=</code></p>`;
}

/** Findings, the problems first. */
function findingList(findings: readonly Finding[]): string {
  const order = ["problem", "note", "not checked", "ok"];
  const sorted = [...findings].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  const items = sorted.map(({ check, state, text, fix }) => {
    const cure = fix ? `\n<pre tabindex="0">${escape(shownText(fix))}</pre>` : "";
    return `<li class="${state.replace(" ", "-")}"><b>${state}</b> ${escape(check)}: ${escape(shownText(text))}${cure}</li>`;
  });
  return `<ul class="findings">\n${items.join("\n")}\n</ul>`;
}

/** Text that is what it looks like: control characters are shown as such. */
function shownText(text: string): string {
  return text.split("\n").map(lineText).join("\n");
}

function logText({ log }: OwnedSite): string {
  const { target } = log;
  if (target === undefined) {
    return "<p>There is no file of the log: the program may not write one, or was given none. Look into the web server's error log.</p>";
  }
  const text = tail(target) ?? "";
  const before = text.length < MAX_LOG / 4 ? tail(`${target}.1`) ?? "" : "";
  const entries = `${before}${text}`.split(/\n(?=\[)/).map((entry) => entry.trimEnd()).filter(Boolean);
  const where = `<p><code>${escape(target)}</code></p>`;
  if (entries.length === 0) {
    return `${where}<p>Nothing is in it: nothing went wrong, or the program may not write to <code>${
      escape(dirname(target))
    }</code>.</p>`;
  }
  return `${where}<pre class="log" tabindex="0">${entries.reverse().map((entry) => escape(shownText(entry))).join("\n\n")}</pre>`;
}

/** The end of a file, from the beginning of a line. */
function tail(file: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, "r");
    const { size } = fstatSync(fd);
    const bytes = new Uint8Array(Math.min(size, MAX_LOG));
    const text = new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, size - bytes.length)));
    return size > MAX_LOG ? text.slice(text.indexOf("\n") + 1) : text;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The requests that failed, where they are kept. */
function captureList({ captures }: OwnedSite): string {
  if (captures === undefined) return "";
  const { folder, prefix = "capture" } = captures;
  let names: string[] = [];
  try {
    names = readdirSync(folder).filter((name) => name.startsWith(`${prefix}-`) && name.endsWith(".bin")).slice(0, MAX_CAPTURES);
  } catch {
    // The log says that none can be kept.
  }
  const rows = names.flatMap((name) => {
    const stats = statSync(join(folder, name), { throwIfNoEntry: false });
    if (stats === undefined) return [];
    const when = stats.mtime.toISOString().replace("T", " ").slice(0, 19);
    return [`<tr><th scope="row">${escape(name)}</th><td>${when}, ${stats.size} bytes</td></tr>`];
  });
  const list = rows.length === 0 ? "<p>None.</p>" : `<table>\n${rows.join("\n")}\n</table>`;
  return `<h2>Requests that failed</h2>\n<p>They are in <code>${
    escape(folder)
  }</code>, for <code>runfcgi replay</code>.</p>\n${list}`;
}

async function statusPart({ status }: OwnedSite): Promise<string> {
  if (status === undefined) return "";
  const text = statusText(status.name, await status.pool());
  return `<details>
<summary>What the processes do</summary>
<p>Where the web server starts processes, each knows only of itself.</p>
<pre tabindex="0">${escape(text)}</pre>
</details>`;
}
