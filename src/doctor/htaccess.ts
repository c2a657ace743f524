/**
 * What is in the `.htaccess` of a site on shared hosting.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { barrierFix, barrierText, findBarrier, type Passer, Permission } from "./permissions.ts";
import { configText } from "../config/servers.ts";
import { type Finding, problem } from "./finding.ts";
import { noteOf, okOf, problemOf } from "./words.ts";

const CHECK = ".htaccess";

/** How one sees that a `.htaccess` says something of these things, in whatever words. */
const patterns = {
  handler: /^\s*(?:(?:Add|Set)Handler\s+\S*cgi|FcgidWrapper|Passenger)/im,
  execution: /^\s*Options\b.*(?<!-)(?:ExecCGI|\bAll\b)/im,
  rewriting: /^\s*(?:RewriteRule|FallbackResource|ErrorDocument\s+404)\b/im,
  authorization: /^\s*(?:CGIPassAuth\s+On|Passenger)|HTTP_AUTHORIZATION/im,
};

/** A `.htaccess`, or where one belongs. */
export interface Htaccess {
  path: string;
  text?: string;
}

/** The file in the working directory, or beside the program. */
export function findHtaccess(program: string | undefined): Htaccess {
  const folders = [".", ...program === undefined ? [] : [dirname(program)]];
  const path = resolve(folders.map((folder) => join(folder, ".htaccess")).find((file) => existsSync(file)) ?? ".htaccess");
  try {
    return { path, text: readFileSync(path, "utf8") };
  } catch {
    return { path };
  }
}

/** What a `.htaccess` may say nothing of. */
export type Matter = keyof typeof patterns;

/** Whether a `.htaccess` says something of it. */
export function says({ text = "" }: Htaccess, matter: Matter): boolean {
  return patterns[matter].test(text);
}

/** The lines that say it, as `config` prints them. @param program the program's file */
export function linesFor(matter: Matter, program?: string): string {
  const printed = printedFor(program);
  return printed.filter((line) => matter === "rewriting" ? /^Rewrite/.test(line) : patterns[matter].test(line)).join("\n");
}

function printedFor(program: string | undefined): string[] {
  const [name] = /^[\w-]+(?=\.fcgi$)/.exec(program === undefined ? "" : basename(program)) ?? [];
  return configText(["apache-shared", ...name === undefined ? [] : [`name=${name}`]]).split("\n");
}

/** Whether it has the rules for private files, as they are printed. */
export function protects({ text = "" }: Htaccess, program?: string): boolean {
  const lines = new Set(text.split("\n").map((line) => line.trim()));
  return printedFor(program).every((line) => !line.startsWith("RewriteCond $0") || lines.has(line));
}

/** A line that leads elsewhere, and neither back by a redirect nor nowhere. */
const elsewhere = /^RewriteRule\s+(?:"[^"]*"|\S+)\s+(?!-(?:\s|$)|"?https?:|.*[[,]R(?:=\w+)?[,\]])/i;

/** The first such line before those of the program, as WordPress writes some. The doctor in PHP knows the same. */
export function rewritingBefore({ text = "" }: Htaccess): string | undefined {
  const lines = text.split("\n").map((line) => line.trim());
  const own = lines.findIndex((line) => /^RewriteRule\s+"?\^[\w-]+\\\.fcgi\b/.test(line));
  return lines.slice(0, Math.max(own, 0)).find((line) => elsewhere.test(line));
}

/** Who of these may not read it. */
export function closedTo({ path, text }: Htaccess, who: readonly Passer[]): Finding | undefined {
  if (text === undefined) return undefined;
  for (const user of who) {
    const barrier = findBarrier(path, Permission.read, user);
    if (barrier) return problem(CHECK, barrierText(barrier, user), barrierFix(barrier));
  }
}

/** Names that it has after an upload, or for a moment. The doctor in PHP knows the same. */
export const otherNames: readonly string[] = ["htaccess.txt", ".htaccess.txt", "htaccess", "_htaccess", ".htaccess.off"];

/**
 * Whether it leads to a program that is there, and passes on what Apache keeps otherwise.
 *
 * @param program a program that a web server starts: with one beside it, a .htaccess is expected
 */
export function checkHtaccess(htaccess: Htaccess, program?: string): Finding[] {
  const { path, text } = htaccess;
  if (text === undefined) {
    if (program === undefined || dirname(program) !== dirname(path)) return [];
    const names = readdirSync(dirname(path));
    const other = names.find((name) => name.toLowerCase() === ".htaccess" || otherNames.includes(name));
    if (other !== undefined) return [problemOf(CHECK, "otherHtaccess", { path, found: join(dirname(path), other) })];
    const found = names.find((name) => name.endsWith("\\.htaccess"));
    if (found !== undefined) return [problemOf(CHECK, "backslashes", { path, found })];
    const below = htaccessBelow(dirname(path));
    return [
      below === undefined ? noteOf(CHECK, "noHtaccess", { path }) : problemOf(CHECK, "htaccessBelow", { path, found: below }),
    ];
  }
  const lost = [...checkBytes(path, text), ...checkTarget(htaccess)];
  if (says(htaccess, "authorization")) return [...lost, okOf(CHECK, "authorization", { path })];
  return [...lost, problemOf(CHECK, "noAuthorization", { path, lines: linesFor("authorization") })];
}

/** The one of a site in a folder of this folder. */
function htaccessBelow(folder: string): string | undefined {
  const paths = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    .map(({ name }) => join(folder, name, ".htaccess"));
  return paths.find((path) => {
    try {
      return patterns.handler.test(readFileSync(path, "utf8"));
    } catch {
      return false;
    }
  });
}

/** Whether it begins, and its lines end, as Apache reads them. */
function checkBytes(path: string, text: string): Finding[] {
  return [
    ...text.startsWith("\ufeff") ? [problemOf(CHECK, "bom", { path })] : [],
    ...text.split("\r\n").some((line) => line.includes("\r")) ? [problemOf(CHECK, "oldLines", { path })] : [],
  ];
}

/** Whether the program that it leads to is there, and by that name. */
function checkTarget({ path, text = "" }: Htaccess): Finding[] {
  const [, target] = /^\s*RewriteRule\s+\^\s+([\w.-]+\.fcgi)\b/m.exec(text) ?? [];
  const folder = dirname(path);
  if (target === undefined || /^\s*FcgidWrapper\b.*\bvirtual\s*$/im.test(text) || existsSync(join(folder, target))) return [];
  const others = readdirSync(folder).filter((name) => /\.f?cgi(?:\.\w+)?$/i.test(name));
  const [found] = [...others.filter((name) => name.toLowerCase() === target.toLowerCase()), ...others];
  if (found === undefined) return [problemOf(CHECK, "noProgram", { path, target })];
  return [problemOf(CHECK, "otherName", { path, target, found, from: join(folder, found), to: join(folder, target) })];
}

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
  /** Nothing of the site is at hand: this is another computer. */
  remote?: boolean;
  /** Who answers is not this program, but one that uses the library, and does not know the doctor. */
  stranger?: boolean;
}
