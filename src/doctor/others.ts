/**
 * Who responds instead of the program, as far as responses tell.
 *
 * @module
 */
import { type Answer, shown } from "./fetch.ts";
import { type Finding, note, problem } from "./finding.ts";
import { noteOf, problemOf, say, type Word } from "./words.ts";

const CHECK = "web server";

/** Patterns that identify pages of others, also for the doctor in PHP. Case does not matter. */
export const signs = {
  /** The most common one. */
  wordPress: String.raw`/wp-(?:content|includes)/|name="generator" content="WordPress|api\.w\.org`,
  maintenance: "maintenance|wartung|under construction|coming soon|be right back",
  /** What web servers show until they are configured. */
  defaultPage: String
    .raw`<title>(?:Apache2? \w+ Default Page|Welcome to nginx|Test Page for|HTTP Server Test Page|Placeholder page|Caddy works|Index of /)|<h1>It works!</h1>`,
} as const;

const [wordPress, maintenance, defaultPage] = Object.values(signs).map((sign) => new RegExp(sign, "i"));

/** Whether the page announces maintenance, and does not only mention it. */
function isDown({ status, text, headers }: Answer): boolean {
  if (status === 503) return headers["retry-after"] !== undefined || maintenance.test(text);
  return maintenance.test(/<title>([^<]*)/i.exec(text)?.[1] ?? "");
}

/** Says who answers, if it is known. @param page the answer to the path that only this program knows */
export function otherSite(site: URL, front: Answer, page: Answer): Finding | undefined {
  const { status, text, headers } = front;
  const found = (word: Word) => problemOf(CHECK, word, { url: shown(site), status });
  if (status === 401 || page.status === 401) return passwordWanted(site);
  if ([text, page.text, String(headers.link), String(page.headers.link)].some((one) => wordPress.test(one))) {
    return found("wordPress");
  }
  if (isDown(front)) return found("maintenance");
  if (defaultPage.test(text)) return found("defaultPage");
  const php = phpProgram(site, front);
  return php && { ...php, state: "problem" };
}

/** Says whether a PHP program has answered. */
export function phpProgram(site: URL, { status, headers }: Answer): Finding | undefined {
  const powered = String(headers["x-powered-by"] ?? "");
  return status < 400 && /PHP/i.test(powered) ? noteOf(CHECK, "byPhp", { url: shown(site), status, powered }) : undefined;
}

function passwordWanted(site: URL): Finding {
  if (site.username !== "" || site.password !== "") {
    return problem(
      CHECK,
      `${shown(site)} refuses the user and the password of the URL, before the program is asked`,
      "Look at the user and the password; the folder is protected by the host (AuthType in a .htaccess, or its control panel).",
    );
  }
  const url = new URL(shown(site));
  const { text, fix } = say("protectedByPassword", { url: shown(site) });
  const how = `Give the doctor user and password: url=${url.protocol}//USER:PASSWORD@${url.host}${url.pathname}`;
  return problem(CHECK, text, `${how}\n${fix}`);
}

/** A proxy between the visitor and the web server, or an unexpected web server. */
export function wayThere({ status, headers }: Answer): Finding[] {
  const found: Finding[] = [];
  const server = String(headers.server ?? "").toLowerCase();
  if (server.includes("cloudflare") || headers["cf-ray"] !== undefined) {
    const own =
      `${status} is Cloudflare's own error: it does not reach the host. Look there whether the host answers without it.`;
    const { text, fix } = say("cloudflare");
    found.push(note("Cloudflare", text, status >= 520 && status <= 526 ? own : fix));
  }
  if (server.includes("litespeed")) {
    found.push(noteOf("LiteSpeed", "liteSpeed"));
  }
  return found;
}
