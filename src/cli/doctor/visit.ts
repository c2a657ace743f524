/**
 * Asks a site as a visitor does: what the answers tell of a site that runs, and of one that a web server starts.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { exactProgramWords } from "../../app/application.ts";
import { logBeside } from "../../app/log.ts";
import { type Answer, basePath, fetchFrom } from "./fetch.ts";
import { type Finding, note, ok, problem, toHost, unchecked } from "./finding.ts";
import { type Htaccess, linesFor, type Matter, says } from "./htaccess.ts";
import { noAnswer, otherAnswer } from "./probe.ts";

/** A page that hardly any application has. */
const PAGE = "runfcgi-doctor/page";
/** More than mod_fcgid takes unless it is told to. */
const UPLOAD = 129 * 1024;
/** Characters of the source that are looked for in what visitors get. */
const SOURCE = 100;

/** What is known of the site besides its URL. */
export interface Place {
  /** Where the web server starts the program. */
  htaccess?: Htaccess;
  /** The web server may not read that. */
  closed?: boolean;
  /** The program's file. */
  program?: string;
  /** The application's file. */
  app?: string;
}

/** Visits a site. */
export async function visit(site: URL, place: Place = {}): Promise<Finding[]> {
  const base = basePath(site);
  let front: Answer;
  let page: Answer;
  try {
    front = await fetchFrom(site, base);
    page = front.status < 400 ? await fetchFrom(site, `${base}${PAGE}`) : front;
  } catch (error) {
    return [noAnswer(site, error as Error)];
  }
  const found = [judge(site, front, page, place)];
  const wrong = found[0].state !== "ok";
  if (place.app !== undefined) found.push(...await checkSource(site, `${base}${basename(place.app)}`, place.app, wrong));
  if (place.htaccess && !wrong) found.push(await checkUpload(site, `${base}${PAGE}`, page));
  return found;
}

/** Pages of Apache, which say in these words what went wrong. */
const apachePages: Record<number, RegExp> = {
  403: /You don't have permission to access/,
  404: /The requested URL.*was not found on this server/s,
  500: /The server encountered an internal error or/,
};
/** Pages of ours. */
const ownPage = /<p>The (?:site|server) (?:could not|cannot|took)/;

function judge(site: URL, front: Answer, page: Answer, { htaccess, closed, program }: Place): Finding {
  const check = "web server";
  const wrong = (text: string, fix: string) => problem(check, `${site.href} ${text}`, fix);
  const other = () => {
    const { text, fix } = otherAnswer(front);
    return wrong(text, fix);
  };
  const { status, text, location } = front;
  if (/^\x7fELF|^#!/.test(text)) {
    return wrong("gives the program away instead of starting it", inHtaccess(htaccess, "handler"));
  }
  if (status >= 500) {
    if (ownPage.test(text)) {
      return wrong(`is answered with ${status} by the program`, `The reason is in its log${logName(program)}`);
    }
    if (!htaccess || !apachePages[500].test(text)) return other();
    const fix =
      `${exactProgramWords()} doctor as=mod_fcgid   tells why the program is not started. If nothing is wrong with it,\n` +
      "the host does not allow a line of the .htaccess. Apache's error log names it, as: Options not allowed here";
    return wrong("is answered with 500 by Apache, before the program is asked", fix);
  }
  if (status >= 300 && status < 400 && location && URL.canParse(location) && new URL(location).origin !== site.origin) {
    // It may be meant so.
    return { ...other(), state: "note" };
  }
  // Hosts have error pages of their own. Without a .htaccess, the web server's configuration may have it all.
  const byApache = ({ status, text }: Answer, matter: Matter) =>
    htaccess !== undefined && (apachePages[status].test(text) || htaccess.text !== undefined && !says(htaccess, matter));
  if (status === 403 && byApache(front, "execution")) {
    if (closed) {
      return wrong("is answered with 403 by Apache, which may not look at the folder", "See the check of the .htaccess.");
    }
    return wrong("is answered with 403 by Apache: it may not start the program there", inHtaccess(htaccess, "execution"));
  }
  const lost = [front, page].find(({ status }) => status === 404);
  if (lost && byApache(lost, "rewriting")) {
    const where = lost === front ? site.href : `${site.href.replace(/\/*$/, "/")}${PAGE}`;
    return problem(
      check,
      `${where} is answered with 404 by Apache: it does not lead visitors to the program`,
      inHtaccess(htaccess, "rewriting"),
    );
  }
  return ok(check, `${site.href} is answered with ${status}${text === "" && status === 200 ? " and an empty page" : ""}`);
}

/** The lines that are missing, or who is to be asked when they are there. */
function inHtaccess(htaccess: Htaccess | undefined, matter: Matter): string {
  if (htaccess?.text === undefined) {
    return `${exactProgramWords()} config apache-shared > ${
      htaccess?.path ?? ".htaccess"
    }\n(Some FTP programs do not show such files.)`;
  }
  if (!says(htaccess, matter)) return `Add to ${htaccess.path}:\n${linesFor(matter)}`;
  return toHost("Please set AllowOverride All for the folder of my site, with mod_fcgid and mod_rewrite loaded.");
}

function logName(program: string | undefined): string {
  return program !== undefined && /\.f?cgi$/.test(program) ? `: tail ${logBeside(program)}` : "";
}

/** Whether visitors can read the application. */
async function checkSource(site: URL, path: string, file: string, wrong: boolean): Promise<Finding[]> {
  try {
    const begin = readFileSync(file, "utf8").slice(0, SOURCE);
    const { text } = await fetchFrom(site, path);
    if (begin === "" || !text.startsWith(begin)) return [];
    const fix = wrong
      ? "Take it away until the problem above is mended."
      : `Put these lines into .htaccess, in place of its own rewriting:\n${linesFor("rewriting")}`;
    return [problem("source", `visitors can read "${path}"`, fix)];
  } catch {
    return [];
  }
}

/** A GET with a body changes nothing in any application, and web servers measure it like others. */
async function checkUpload(site: URL, path: string, page: Answer): Promise<Finding> {
  const check = "uploads";
  const kib = `${UPLOAD / 1024} KiB`;
  try {
    const { status } = await fetchFrom(site, path, { method: "GET", body: Buffer.alloc(UPLOAD, "x") });
    if (status === page.status) return ok(check, `${kib} arrive`);
    if (status !== 413 && status < 500) return unchecked(check, `because one of ${kib} is answered with ${status}`);
    const sentence = "Please set FcgidMaxRequestLen 104857600, so that visitors can upload files.";
    return note(check, `one of ${kib} is answered with ${status}. For larger ones:`, toHost(sentence));
  } catch (error) {
    return unchecked(check, `because one of ${kib} is broken off: ${(error as Error).message}`);
  }
}
