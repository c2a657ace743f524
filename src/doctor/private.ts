/**
 * Requests files that must not be public: those in the folder of the site, or common names.
 *
 * @module
 */
import { closeSync, type Dirent, openSync, readdirSync, readSync } from "node:fs";
import { basename, dirname, extname, join, relative } from "node:path";
import { literal, privatePaths } from "../handlers/static/private.ts";
import { type Answer, basePath, fetchFrom } from "./fetch.ts";
import { type Finding, ok, problem } from "./finding.ts";
import { linesFor, type Place, protects } from "./htaccess.ts";

const CHECK = "private files";
/** Limits of requests: in all, and for files of one kind. */
const MAX_FILES = 150;
const MAX_OF_KIND = 8;
/** Limits of the search in the folder of the site: names, and levels of folders. */
const MAX_SEEN = 5000;
const MAX_DEPTH = 3;
/** Requests at once. */
const MANY = 6;
/** Bytes of a file by which a response is recognized. */
const BEGINNING = 64;
/** Names in one line. */
const MAX_TOLD = 8;

const source = /\b(?:export|import|require|function|const)\b/;
const json = /^\s*\{/;

/** Names that are often left in the folder of a site, and how what is in them begins. */
const usual: readonly [name: string, content: RegExp][] = [
  [".htaccess", /^\s*(?:RewriteEngine|AddHandler|Options|#)/m],
  [".env", /^\w+=/m],
  [".git/config", /^\[\w+/m],
  [".git/HEAD", /^ref: |^[0-9a-f]{40}/],
  ...["mysite", "app", "index"].flatMap((name): [string, RegExp][] =>
    [".ts", ".tsx", ".mjs"].map((ending) => [`${name}${ending}`, source])
  ),
  ...["mysite.js", "app.js", "mysite.ts~", "mysite.ts.bak", "mysite.ts.txt", "mysite.ts.old", "mysite - Copy.ts"].map((
    name,
  ): [string, RegExp] => [name, source]),
  ...["package.json", "package-lock.json", "deno.json", "deno.lock", "tsconfig.json", "node_modules/.package-lock.json"].map((
    name,
  ): [string, RegExp] => [name, json]),
  [".htmysite.log", /runfcgi\[/],
  ["error_log", /^\[/],
  ...["backup.zip", "mysite.zip", "public_html.zip"].map((name): [string, RegExp] => [name, /^PK/]),
  // deno-lint-ignore no-control-regex
  ["runfcgi.gz", /^\x1f/],
  ["mysite.fcgi.bak", /^(?:\x7fELF|#!)/],
  ...["dump.sql", "backup.sql"].map((name): [string, RegExp] => [name, /CREATE TABLE|INSERT INTO|^--/im]),
  ...["data.db", "data.sqlite", "database.sqlite"].map((name): [string, RegExp] => [name, /^SQLite format 3/]),
];

/** Which of them are public, and what to do. Nothing is found where there are no files. */
export async function checkPrivateFiles(site: URL, place: Place, wrong: boolean): Promise<Finding[]> {
  const base = basePath(site);
  const asked = place.remote ? usual : filesOf(place);
  const rest = [...asked];
  const came: { name: string; answer: Answer }[] = [];
  await Promise.all(Array.from({ length: MANY }, async () => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
      const [name, content] = next;
      const path = base + name.split("/").map(encodeURIComponent).join("/");
      const answer = await fetchFrom(site, path).catch(() => undefined);
      if (answer?.status === 200 && content.test(answer.text) && !/^\s*<(?:!doctype|html)/i.test(answer.text)) {
        came.push({ name, answer });
      }
    }
  }));
  if (came.length === 0) return asked.length > 0 ? [ok(CHECK, `${asked.length} were asked for, and none came`)] : [];
  const names = came.map(({ name }) => `"${base}${name}"`).sort();
  const told = names.length > MAX_TOLD
    ? `${names.slice(0, MAX_TOLD).join(", ")} and ${names.length - MAX_TOLD} more`
    : names.join(", ");
  const [first] = came;
  return [
    problem(
      CHECK,
      `visitors can read ${told}`,
      cure(
        place,
        wrong,
        String(first.answer.headers.server ?? ""),
        came.map(({ name }) => name),
      ),
    ),
  ];
}

function cure({ htaccess, program }: Place, wrong: boolean, server: string, names: readonly string[]): string {
  const isPrivate = privatePaths("/");
  if (wrong) return "Remove them from the folder until the problem above is fixed.";
  if (htaccess !== undefined && protects(htaccess, program)) {
    if (names.every((name) => !isPrivate(`/${name}`))) {
      return "No rule can tell them from scripts for browsers: rename them to .ts, or keep the application outside of the folder\n" +
        "(init for=apache-shared program=…).";
    }
    if (/nginx/i.test(server)) {
      return "The nginx in front of Apache serves files by their endings itself, and never reads the .htaccess. In Plesk: Apache & nginx\n" +
        "Settings, switch off “Smart static files processing” and “Serve static files directly by nginx”. Or keep the program and\n" +
        "all that is private outside of the folder (init for=apache-shared program=…). Until then, remove these files.";
    }
    return "The rules of the .htaccess are as they should be, and are not followed: a folder may have a .htaccess with rewriting of its\n" +
      "own. Keep what is private outside of the folder (init for=apache-shared program=…).";
  }
  return `Put these lines into the .htaccess, in place of its own rewriting:\n${linesFor("rewriting", program)}`;
}

/** The private files in the folder of the site, some of each kind, and how they begin. */
function filesOf({ htaccess, app, program }: Place): [name: string, content: RegExp][] {
  const folder = htaccess?.text !== undefined ? dirname(htaccess.path) : undefined;
  if (folder === undefined) return [];
  const isPrivate = privatePaths("/");
  const own = new Set([app, program && `${program}.bak`].filter(Boolean).map((file) => relative(folder, file!)));
  // The rules hide scripts that are called as the program, too: they may be the application.
  const called = new RegExp(`^${literal(basename(program ?? "mysite.fcgi").replace(/\.\w+$/, ""))}[^/]*\\.[cm]?js(?:\\.|$)`, "i");
  const kinds = new Map<string, number>();
  const found: [string, RegExp][] = [];
  for (const name of filesBelow(folder)) {
    if (!(own.has(name) || called.test(name) || isPrivate(`/${name}`)) || join(folder, name) === program) continue;
    const kind = (extname(name) || basename(name)).toLowerCase();
    const ofKind = kinds.get(kind) ?? 0;
    const begin = ofKind < MAX_OF_KIND ? beginning(join(folder, name)) : "";
    if (begin === "") continue;
    kinds.set(kind, ofKind + 1);
    found.push([name, new RegExp(`^${literal(begin)}`)]);
    if (found.length === MAX_FILES) break;
  }
  return found;
}

/** Paths of files in a folder, the nearest first. */
function* filesBelow(folder: string): Generator<string> {
  const folders = [""];
  let seen = 0;
  for (const below of folders) {
    let entries: Dirent[] = [];
    try {
      entries = readdirSync(join(folder, below), { withFileTypes: true });
    } catch {
      // It is not for this user.
    }
    for (const entry of entries) {
      if (++seen > MAX_SEEN) return;
      const name = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.isFile()) yield name;
      else if (entry.isDirectory() && name.split("/").length <= MAX_DEPTH) folders.push(name);
    }
  }
}

/** The beginning of a file, as text as far as it is whole. */
function beginning(file: string): string {
  let fd: number | undefined;
  try {
    fd = openSync(file, "r");
    const bytes = new Uint8Array(BEGINNING);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, readSync(fd, bytes, 0, BEGINNING, 0))).replace(
      /\ufffd+$/,
      "",
    );
  } catch {
    return "";
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
