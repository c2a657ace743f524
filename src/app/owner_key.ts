/**
 * The key of the owner's page: who knows it is the owner. All processes of a site read the same file, so that each of them
 * knows the visits that another has let in: a cookie is signed with the key and kept nowhere.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { closeSync, constants, fchmodSync, fstatSync, openSync, readSync } from "node:fs";
import process from "node:process";
import { OWNER } from "./owner_path.ts";

/** Bytes of a key: 160 bits. */
const KEY_BYTES = 20;
/** Bytes of its file at most. */
const MAX_FILE = 1024;
/** Letters of a key: five bits each, and none that is taken for another. */
const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const DOOR_LENGTH = 8;

/** Seconds that a visit lasts. */
const VISIT = 3600;
/** Seconds in which who has been there before is asked for the key at the short address. */
export const REMEMBERED = 30 * 24 * 3600;

/** Makes a key, in groups of four letters. */
export function makeKey(): string {
  return spell(randomBytes(KEY_BYTES)).replace(/.{4}(?=.)/g, "$&-");
}

function spell(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{5}/g) ?? []).map((five) => LETTERS[parseInt(five, 2)]).join("");
}

/** What `init` writes into the file. */
export function keyText(key: string): string {
  return `# The page of the site's owner. Who has the key can use it: show this file to nobody.
address ${OWNER}/${new Visits(plainKey(key)!).door}
key     ${key}
`;
}

/** A key without what separates its groups, `undefined` for what is none. */
export function plainKey(text: string): string | undefined {
  const letters = text.replace(/[\s-]/g, "").toLowerCase();
  return letters.length === KEY_BYTES * 8 / 5 && /^[a-z2-7]+$/.test(letters) ? letters : undefined;
}

/** The key that a file has. */
export interface Key {
  /** Without separators. */
  key: string;
  /** Other users of the machine can read the file, and its mode cannot be changed here. */
  isOpen: boolean;
}

/**
 * Reads the key. A file that came by FTP is perhaps readable for everybody, and is closed.
 *
 * @returns `undefined` when there is no file
 * @throws {Error} when it is not a key that only its owner can have put there
 */
export function readKey(path: string): Key | undefined {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code !== "EACCES") throw new Error(`"${path}" cannot be read: ${message}`);
    throw new Error(`"${path}" is closed to the user of the program (number ${process.geteuid?.()}): chmod 644 ${path}`);
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error(`"${path}" is no file`);
    const uid = process.geteuid?.();
    const isOurs = stats.uid === uid;
    // FTP servers often let the group write, which is the user's own; Windows has no such modes.
    if (uid !== undefined && stats.mode & (isOurs ? 0o002 : 0o022)) {
      throw new Error(`"${path}" can be changed by others: chmod 600 ${path}`);
    }
    if (isOurs && stats.mode & 0o077) fchmodSync(fd, 0o600);
    const bytes = new Uint8Array(MAX_FILE);
    const text = new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes, 0, MAX_FILE, 0)));
    const key = plainKey(/^key\s+(.*)$/m.exec(text)?.[1] ?? "");
    if (key === undefined) throw new Error(`"${path}" has no line "key" with a key, as init writes it`);
    return { key, isOpen: uid !== undefined && !isOurs && (stats.mode & 0o004) !== 0 };
  } finally {
    closeSync(fd);
  }
}

/** Who knew the key, and until when. */
export interface Visit {
  id: string;
  /** It has ended, and was one. */
  isOver: boolean;
}

/** What follows from a key, the same in all processes. */
export class Visits {
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  /** The word in the address of the form for the key: strangers do not know whether there is one. It says nothing of the key. */
  get door(): string {
    return spell(createHmac("sha256", this.#key).update("door").digest()).slice(0, DOOR_LENGTH);
  }

  /** Whether a word of an address is that. */
  isDoor(word: string): boolean {
    return isSame(word, this.door);
  }

  /** Whether a text is the key. */
  isKey(text: string): boolean {
    return isSame(plainKey(text) ?? "", this.#key);
  }

  /** A value for the cookie of a visit that begins. @param now milliseconds since 1970 */
  begin(now: number): string {
    const visit = `${Math.floor(now / 1000) + VISIT}.${randomBytes(16).toString("base64url")}`;
    return `${visit}.${this.#sign("visit", visit)}`;
  }

  /** The visit of one of the cookies, if we have begun it and not too long ago. */
  find(cookies: readonly string[], now: number): Visit | undefined {
    const found = cookies.map((cookie) => this.#read(cookie, now / 1000)).filter((visit) => visit !== undefined);
    return found.find(({ isOver }) => !isOver) ?? found[0];
  }

  #read(cookie: string, seconds: number): Visit | undefined {
    const [, visit, end, id, signature] = /^((\d{1,12})\.([\w-]{22}))\.([\w-]{43})$/.exec(cookie) ?? [];
    if (visit === undefined || !isSame(signature, this.#sign("visit", visit))) return undefined;
    return seconds > Number(end) + REMEMBERED ? undefined : { id, isOver: seconds >= Number(end) };
  }

  /** What each form of a visit has, and no other site can know. */
  token({ id }: Visit): string {
    return this.#sign("token", id);
  }

  /** Whether a form is of this visit. */
  isToken(token: string, visit: Visit): boolean {
    return isSame(token, this.token(visit));
  }

  #sign(what: string, text: string): string {
    return createHmac("sha256", this.#key).update(`${what} ${text}`).digest("base64url");
  }
}

/** Compares in a time that depends on nothing but the length of what was given. */
function isSame(given: string, wanted: string): boolean {
  const [a, b] = [given, wanted].map((text) => createHmac("sha256", "").update(Buffer.from(text)).digest());
  return timingSafeEqual(a, b);
}
