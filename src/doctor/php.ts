/**
 * Fills in the doctor in PHP, doctor/doctor.php, which `init` writes for shared hosting: it tells what is wrong where this
 * program does not even start. For PHP 5.6 and newer, without anything else.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import { policy, style } from "../app/page.ts";
import { version } from "../server/version.ts";
import { otherNames } from "./htaccess.ts";
import { signs } from "./others.ts";
import { words } from "./words.ts";

/** A file as it is before it is uploaded. */
export interface UploadedFile {
  /** Bytes. */
  size: number;
  /** In hexadecimal digits. */
  sha256: string;
  /** Line feeds, carriage returns, and pairs of them: what an FTP program changes that takes the file for text. */
  lf: number;
  cr: number;
  crlf: number;
}

/** Counts what is in a file. */
export function describeFile(bytes: Uint8Array): UploadedFile {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = (text: string) => {
    let found = 0;
    for (let at = buffer.indexOf(text, 0, "latin1"); at >= 0; at = buffer.indexOf(text, at + text.length, "latin1")) found++;
    return found;
  };
  return {
    size: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    lf: count("\n"),
    cr: count("\r"),
    crlf: count("\r\n"),
  };
}

/** What the page knows of the site. */
export interface DoctorFacts {
  /** The program's file: its path, or its name in the folder of the page. */
  program: string;
  /** Files as `init` has written them, by their names in the folder of the program. */
  files: Readonly<Record<string, UploadedFile>>;
  /** What the compiled program needs of the machine. */
  needs?: { machine: string; interpreter?: string; glibc?: string };
  /** The text of the .htaccess. */
  htaccess: string;
}

/** The name of the page, which follows from the key and says nothing of it. */
export function doctorName(key: string): string {
  return `doctor-${createHmac("sha256", key).update("name").digest("hex").slice(0, 10)}.php`;
}

/** Names of such pages. */
export const doctorNames = /^doctor-[0-9a-f]{10}\.php$/;

/**
 * The text of the page.
 *
 * @param source of the page before it is filled in
 * @param key that of the owner, without separators: the page has only what it can be recognized by
 */
export function doctorText(source: string, key: string, facts: DoctorFacts): string {
  const pass = createHmac("sha256", key).update("doctor").digest("hex");
  const verifier = createHash("sha256").update(pass).digest("hex");
  return source.replace(
    "SITE_FACTS",
    () => php({ version, verifier, style, policy, words, signs, otherNames: { ...otherNames }, ...facts }),
  );
}

/** A value in PHP. */
function php(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return `'${value.replace(/[\\']/g, "\\$&")}'`;
  if (value === undefined) return "null";
  return `array(\n${Object.entries(value as object).map(([name, one]) => `${php(name)} => ${php(one)},\n`).join("")})`;
}
