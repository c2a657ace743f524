/**
 * Who answers in the place of the program, as far as answers tell.
 *
 * @module
 */
import { type Answer, shown } from "./fetch.ts";
import { type Finding, note } from "./finding.ts";
import { noteOf } from "./words.ts";

/** What somebody else's answer is, and what to do about it. */
interface Other {
  text: string;
  fix: string;
}

/** What web servers show until somebody configures them. */
const defaultPages =
  /<title>(?:Apache2? \w+ Default Page|Welcome to nginx|Test Page for|HTTP Server Test Page|Placeholder page|Caddy works|Index of \/)|<h1>It works!<\/h1>|apache2? (?:debian|ubuntu) default page/i;

/** Pages of other programs; WordPress's are the ones that are met most. */
const wordPress = /\/wp-(?:content|includes)\/|name="generator" content="WordPress|api\.w\.org/;

/** Says who answers, if it is known. @param page the answer to the path that only this program knows */
export function otherSite(site: URL, front: Answer, page: Answer): Other | undefined {
  const { status, text, headers } = front;
  const link = String(headers.link ?? "");
  if (status === 401 || page.status === 401) {
    if (site.username !== "" || site.password !== "") {
      return {
        text: "refuses the user and the password of the URL, before the program is asked",
        fix:
          "Look at the user and the password; the folder is protected by the host (AuthType in a .htaccess, or its control panel).",
      };
    }
    const url = new URL(shown(site));
    return {
      text: "asks for a password before the program is asked: the folder is protected",
      fix: `Give the doctor user and password: url=${url.protocol}//USER:PASSWORD@${url.host}${url.pathname}\n` +
        "If visitors are not to be asked: remove AuthType and Require from the .htaccess, or the protection in the control panel.",
    };
  }
  if (wordPress.test(text) || wordPress.test(page.text) || /api\.w\.org/.test(link)) {
    return {
      text: `is answered with ${status} by a WordPress`,
      fix:
        "If it is in a folder above: put the .htaccess into the folder of this site, whose rules then replace those of WordPress.\n" +
        "If it is in the same folder: move one of the two into a folder of its own, since each leads all URLs to itself.",
    };
  }
  if (status === 503 || /<title>[^<]*(?:maintenance|wartung|under construction|coming soon|be right back)/i.test(text)) {
    if (headers["retry-after"] !== undefined || /maintenance|wartung|under construction|coming soon/i.test(text)) {
      return {
        text: `is answered with ${status} by a maintenance page, and not by the program`,
        fix: "Switch it off: in the control panel, or where a .htaccess leads to it. The program is not asked until then.",
      };
    }
  }
  if (defaultPages.test(text)) {
    return {
      text: `shows the web server's own page, and not the site (${status})`,
      fix:
        "This name does not lead to the folder of the site: the host, or the web server's configuration, decides that by the\n" +
        "name (ServerName, DocumentRoot). An index.html in the folder is not it where the .htaccess is read.",
    };
  }
  const powered = String(headers["x-powered-by"] ?? "");
  if (status < 400 && /PHP/i.test(powered)) {
    return {
      text: `is answered with ${status} by a PHP program (${powered})`,
      fix:
        "Its index.php, or the rewriting of a .htaccess, comes first. Move it elsewhere, or give this site a folder of its own.",
    };
  }
  return undefined;
}

/** What is between the visitor and the web server, or is another one than is meant. */
export function wayThere({ status, headers }: Answer): Finding[] {
  const found: Finding[] = [];
  const server = String(headers.server ?? "").toLowerCase();
  if (server.includes("cloudflare") || headers["cf-ray"] !== undefined) {
    const errors = status >= 520 && status <= 526
      ? `${status} is Cloudflare's own error: it does not reach the host. Look there whether the host answers without it.`
      : "What it caches it may show after a change: purge its cache. Its addresses are those that the program sees, unless the\n" +
        "host passes on the visitor's (mod_remoteip).";
    found.push(note("Cloudflare", "is in front of the site", errors));
  }
  if (server.includes("litespeed")) {
    found.push(noteOf("LiteSpeed", "liteSpeed"));
  }
  return found;
}
