/**
 * Where the application is looked for.
 *
 * @module
 */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";

/** Endings of modules that can be an application. */
export const endings = [".ts", ".tsx", ".js", ".mjs"];

/**
 * The application's file when none is named: `mysite.ts` beside a program called `mysite.fcgi`, or else `app.ts` in
 * the working directory.
 */
export function findApp(program: string): string | undefined {
  return placesOf(program).find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

/** The files that {@linkcode findApp} looks for, in this order. */
export function placesOf(program: string): string[] {
  const beside = program.endsWith(".fcgi") ? endings.map((ending) => program.slice(0, -".fcgi".length) + ending) : [];
  const here = [".ts", ".js"].map((ending) => resolve(`app${ending}`));
  return [...beside, ...here];
}

/** Names that other programs give to an application. */
const otherNames = ["index", "main", "server", "mod", "app", "mysite"];

/**
 * Names of files where an application is looked for that were perhaps meant to be it: another case, another ending or one too
 * many.
 */
export function nearMisses(program: string): string[] {
  const places = placesOf(program);
  const wanted = new Set(places.map((file) => basename(file)));
  const found = [...new Set(places.map((file) => dirname(file)))].flatMap((folder) =>
    entries(folder).filter((entry) => entry.isFile()).map(({ name }) => name)
  );
  const stemOf = (name: string) => /^(.+)\.[cm]?[jt]sx?$/.exec(name.toLowerCase())?.[1] ?? "";
  const stems = new Set([...wanted].map(stemOf));
  const isNear = (name: string) =>
    stems.has(stemOf(name.replace(/(?:\.(?:txt|bak|old)|~)$/i, "").replace(/ ?\(\d+\)(?=\.)/, ""))) ||
    otherNames.includes(stemOf(name));
  return [...new Set(found)].filter((name) => !wanted.has(name) && isNear(name)).sort();
}

/** What is in a folder; nothing if it cannot be read. */
export function entries(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
