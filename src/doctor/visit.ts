/**
 * Visits a site: who responds, what the responses reveal, and which private files are public.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { exactProgramWords } from "../app/application.ts";
import { DOCTOR, doctorReply } from "../app/doctor_reply.ts";
import { logBeside } from "../app/log.ts";
import { type Answer, basePath, fetchFrom, shown } from "./fetch.ts";
import { type Finding, note, ok, problem, toHost, unchecked } from "./finding.ts";
import { linesFor, type Matter, type Place, rewritingBefore, says } from "./htaccess.ts";
import { noAnswer, otherAnswer } from "./probe.ts";
import { checkPrivateFiles } from "./private.ts";
import { otherSite, phpProgram, wayThere } from "./others.ts";
import { hostSets, problemOf, say } from "./words.ts";

/** More than mod_fcgid takes unless it is told to. */
const UPLOAD = 129 * 1024;

/** Visits a site. */
export async function visit(site: URL, place: Place = {}): Promise<Finding[]> {
  const base = basePath(site);
  const nonce = randomBytes(16).toString("hex");
  let front: Answer;
  let page: Answer;
  try {
    front = await fetchFrom(site, base);
    page = await fetchFrom(site, `${base}${DOCTOR}${nonce}`);
  } catch (error) {
    return [noAnswer(site, error as Error)];
  }
  const ours = page.text === doctorReply(nonce);
  const found = [judge(site, front, page, ours, place), ...wayThere(front)];
  const wrong = found[0].state !== "ok";
  if (!place.stranger) found.push(...await checkPrivateFiles(site, place, wrong));
  if ((place.htaccess || place.remote) && !wrong && ours) found.push(await checkUpload(site, `${base}${DOCTOR}${nonce}`, page));
  return found;
}

/** Pages of Apache, which say in these words what went wrong. */
const apachePages: Record<number, RegExp> = {
  403: /You don't have permission to access/,
  404: /The requested URL.*was not found on this server/s,
  500: /The server encountered an internal error or/,
};
/** Pages of ours. */
const ownPage = /<p>The (?:site|server) (?:could not|cannot|took|is still|has too)/;

function judge(site: URL, front: Answer, page: Answer, ours: boolean, place: Place): Finding {
  const { htaccess, closed, program, remote, stranger } = place;
  const check = "web server";
  const wrong = (text: string, fix: string) => problem(check, `${shown(site)} ${text}`, fix);
  const { status, text, headers: { location } } = front;
  if (/^\x7fELF|^#!/.test(text)) {
    return wrong("gives the program away instead of starting it", inHtaccess(place, "handler"));
  }
  if (status >= 500 && (ours || ownPage.test(text))) {
    return wrong(`is answered with ${status} by the program`, `The reason is in its log${logName(program)}`);
  }
  if (ours || stranger && status < 500 && status !== 403 && status !== 404) {
    if (leadsAway(site, status, location)) return { ...wrong(...whereTo(front)), state: "note" };
    // The program answers other paths.
    const php = ours ? phpProgram(site, front) : undefined;
    if (php) return php;
    return ok(check, `${shown(site)} is answered with ${status}${text === "" && status === 200 ? " and an empty page" : ""}`);
  }
  const other = otherSite(site, front, page);
  if (other) return other;
  if (status >= 500) {
    if (!(htaccess || remote) || !apachePages[500].test(text)) return wrong(...whereTo(front));
    const said = say("apache500", { url: shown(site) });
    const fix = remote
      ? said.fix
      : `${exactProgramWords()} doctor as=mod_fcgid   tells why the program is not started. If nothing is wrong with it,\n` +
        "the host does not allow a line of the .htaccess. Apache's error log names it, as: Options not allowed here";
    return problem(check, said.text, fix);
  }
  if (leadsAway(site, status, location)) return { ...wrong(...whereTo(front)), state: "note" };
  if (status === 403) {
    if (closed) {
      return wrong("is answered with 403 by Apache, which may not look at the folder", "See the check of the .htaccess.");
    }
    if (htaccess || remote) {
      return problem(check, say("apache403", { url: shown(site) }).text, inHtaccess(place, "execution"));
    }
  }
  const lost = [front, page].find(({ status }) => status === 404);
  if (lost && (htaccess || remote || apachePages[404].test(lost.text))) {
    const where = lost === front ? shown(site) : `${shown(site).replace(/\/*$/, "/")}${DOCTOR}…`;
    const by = apachePages[404].test(lost.text) ? "Apache" : "somebody else";
    const line = htaccess && rewritingBefore(htaccess);
    if (line !== undefined) return problemOf(check, "rewrittenBefore", { url: where, by, line });
    return problem(check, say("notLed", { url: where, by }).text, inHtaccess(place, "rewriting"));
  }
  if (stranger) return ok(check, `${shown(site)} is answered with ${status}`);
  return problemOf(check, "stranger", { url: shown(site), status });
}

function leadsAway(site: URL, status: number, location: string | undefined): boolean {
  return status >= 300 && status < 400 && location !== undefined && URL.canParse(location) &&
    new URL(location).origin !== site.origin;
}

function whereTo(answer: Answer): [text: string, fix: string] {
  const { text, fix } = otherAnswer(answer);
  return [text, fix];
}

/** The lines that are missing, or who is to be asked when they are there. */
function inHtaccess({ htaccess, program, remote }: Place, matter: Matter): string {
  if (remote || htaccess === undefined) {
    return `Is the .htaccess in the folder of the site, and of the name that it needs (some FTP programs do not show it)? It needs:\n${
      linesFor(matter, program)
    }\nIf it has them: ${toHost(hostSets)}`;
  }
  if (htaccess.text === undefined) {
    return `${exactProgramWords()} config apache-shared > ${htaccess.path}\n(Some FTP programs do not show such files.)`;
  }
  if (!says(htaccess, matter)) return `Add to ${htaccess.path}:\n${linesFor(matter, program)}`;
  return toHost(hostSets);
}

function logName(program: string | undefined): string {
  if (program === undefined || !/\.f?cgi$/.test(program)) return "";
  const log = logBeside(program);
  if (existsSync(log)) return `: tail ${log}`;
  return `, or in Apache's error log: there is no ${log}, because the program may not write into its folder`;
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
