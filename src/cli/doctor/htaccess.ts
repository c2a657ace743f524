/**
 * What is in the `.htaccess` of a site on shared hosting.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { barrierFix, barrierText, findBarrier, type Passer, Permission } from "./permissions.ts";
import { configText } from "../config/command.ts";
import { type Finding, ok, problem } from "./finding.ts";

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

/** The lines that say it, as `config` prints them. */
export function linesFor(matter: Matter): string {
  const printed = configText(["apache-shared"]).split("\n");
  return printed.filter((line) => matter === "rewriting" ? /^Rewrite/.test(line) : patterns[matter].test(line)).join("\n");
}

/** Who of these may not read it. */
export function closedTo({ path, text }: Htaccess, who: readonly Passer[]): Finding | undefined {
  if (text === undefined) return undefined;
  for (const user of who) {
    const barrier = findBarrier(path, Permission.read, user);
    if (barrier) return problem(CHECK, barrierText(barrier, user), barrierFix(barrier));
  }
}

/** Whether it passes on what Apache keeps otherwise. Nothing is found where there is none. */
export function checkHtaccess(htaccess: Htaccess): Finding[] {
  const { path, text } = htaccess;
  if (text === undefined) return [];
  if (says(htaccess, "authorization")) return [ok(CHECK, `"${path}" passes the header Authorization on`)];
  return [
    problem(CHECK, `"${path}" lets Apache keep the header Authorization to itself`, `Add to it: ${linesFor("authorization")}`),
  ];
}
