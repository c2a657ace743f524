/**
 * Texts that are files of their own in the source: the chapters of the manual, the doctor in PHP, and the library's types.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { chapterFile, chapters } from "./manual.ts";

/** The doctor in PHP before `init` fills it in. */
export const DOCTOR = "../doctor/doctor.php";

/** The declarations of the library, which `deno task types` writes. */
export const TYPES = "../app/runfcgi.d.ts";

/** Their paths, from here. */
export const textFiles: readonly string[] = [...Object.keys(chapters).map(chapterFile), DOCTOR, TYPES];

/** All of them by their paths, as JSON: they are not beside a program that was built. */
export function allTexts(): string {
  return JSON.stringify(Object.fromEntries(textFiles.map((path) => [path, readFileSync(fileURLToPath(urlOf(path)), "utf8")])));
}

/** One of them. @param built all those of a program that was built, as {@linkcode allTexts} gave them */
export async function textAt(path: string, built: (() => string) | undefined): Promise<string> {
  if (built) return JSON.parse(built())[path];
  const url = urlOf(path);
  // Deno runs modules that are on no disk, too.
  return url.protocol === "file:" ? await readFile(url, "utf8") : await (await fetch(url)).text();
}

function urlOf(path: string): URL {
  return new URL(`./${path}`, import.meta.url);
}
