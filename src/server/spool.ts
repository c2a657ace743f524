/**
 * Request bodies on disk that arrive before the application reads them.
 *
 * All calls are synchronous: where a host allows no further thread, asynchronous ones never return. They read and write
 * the kernel's cache.
 *
 * @module
 */
import {
  accessSync,
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { countReceived } from "../runtime/collect.ts";

/** Bytes that are read at once. */
const PIECE = 64 * 1024;
/** Limit for all requests of a process, as a multiple of the limit for one. */
const TOGETHER = 4;
/** At most so many bytes between two checks of the free space: others fill the disk, too. */
const LOOK = 1024 * 1024;
/** Part of the disk that stays free. */
const FREE = 0.1;

/** Linux, `statfs(2)`: a file system in memory. */
const TMPFS = 0x01021994;

/** There is no room left: why, and the visitor's status. */
export class SpoolError extends Error {
  override name = "SpoolError";
  readonly status: 413 | 503;

  constructor(status: 413 | 503, message: string) {
    super(message);
    this.status = status;
  }
}

/** Bytes in the files of all requests of this process. */
let together = 0;
/** Bytes that may be written to a folder before its disk is looked at again. */
const room = new Map<string, number>();
let number = 0;
/** Folders that have been checked for being in memory. */
const looked = new Set<string>();

/** Where files go, and how long they may become. */
export interface SpoolOptions {
  readonly folder: string;
  /** Bytes of one request. */
  readonly max: number;
}

/**
 * The folder for files, checked.
 *
 * @param given default is the system's folder for temporary files, which is not checked
 * @throws {TypeError} when it cannot be used
 */
export function spoolFolder(given: string | undefined): string {
  if (given === undefined) return tmpdir();
  try {
    if (!statSync(given).isDirectory()) throw new Error("it is not a folder");
    accessSync(given, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "it does not exist" : code === "EACCES" ? "it is not writable" : message;
    throw new TypeError(`Cannot use the folder "${given}" (spooldir) for request bodies: ${why}`);
  }
  return given;
}

/** A warning, once for each folder that is in memory; `undefined` otherwise. */
export function spoolNotice(folder: string): string | undefined {
  if (looked.has(folder)) return undefined;
  looked.add(folder);
  try {
    if (statfsSync(folder).type !== TMPFS) return undefined;
  } catch {
    return undefined;
  }
  return `Request bodies that wait go to "${folder}", which is in memory (tmpfs): spooldir=FOLDER puts them on a disk`;
}

/** A queue of bytes in an unnamed file, which is a ring buffer of the maximum length. */
export class Spool {
  readonly #options: SpoolOptions;
  #fd: number | undefined;
  /** Bytes that were read and written since it was empty. */
  #read = 0;
  #written = 0;

  /** Nothing is opened before something is written. */
  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#written - this.#read;
  }

  /** Length of the file. */
  get #size(): number {
    return Math.min(this.#written, this.#options.max);
  }

  /** @throws {SpoolError} when there is no room; the bytes are then not taken */
  write(bytes: Uint8Array): void {
    const { folder, max } = this.#options;
    this.#expectRoom(bytes.length);
    const before = this.#size;
    try {
      this.#fd ??= openNameless(folder);
      for (let at = 0; at < bytes.length;) {
        const to = (this.#written + at) % max;
        at += writeSync(this.#fd, bytes, at, Math.min(bytes.length - at, max - to), to);
      }
    } catch (error) {
      throw new SpoolError(503, `${(error as Error).message} ("${folder}"; spooldir=FOLDER names another)`);
    }
    this.#written += bytes.length;
    together += this.#size - before;
  }

  #expectRoom(length: number): void {
    const { folder, max } = this.#options;
    if (this.length + length > max) throw new SpoolError(413, `it is longer than the ${max} bytes of maxspool`);
    if (together - this.#size + Math.min(this.#written + length, max) > TOGETHER * max) {
      throw new SpoolError(503, `all requests together have ${TOGETHER} times the ${max} bytes of maxspool in files`);
    }
    let left = room.get(folder) ?? 0;
    // What was seen for an earlier request may be old.
    if (this.#size === 0 || left < length) left = Math.min(Math.max(LOOK, length), spareBytes(folder));
    if (left < length) {
      throw new SpoolError(503, `less than a tenth of the disk under "${folder}" is free; spooldir=FOLDER names another`);
    }
    room.set(folder, left - length);
  }

  /** The next bytes, at most 64 KiB. */
  read(): Uint8Array<ArrayBuffer> {
    const { max } = this.#options;
    const bytes = new Uint8Array(Math.min(PIECE, this.length));
    let at = 0;
    while (at < bytes.length) {
      const from = (this.#read + at) % max;
      const length = readSync(this.#fd!, bytes, at, Math.min(bytes.length - at, max - from), from);
      if (length === 0) throw new Error("A file with a request body has been cut short");
      at += length;
    }
    this.#read += at;
    countReceived(at);
    if (this.length === 0) this.#empty();
    return bytes;
  }

  #empty(): void {
    together -= this.#size;
    this.#read = this.#written = 0;
    ftruncateSync(this.#fd!, 0);
  }

  /** Drops what waits. */
  close(): void {
    together -= this.#size;
    this.#read = this.#written = 0;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Bytes that may be written until no more than a tenth of the disk is free. */
function spareBytes(folder: string): number {
  try {
    const { bavail, blocks, bsize } = statfsSync(folder);
    // Some file systems do not report their size.
    return blocks > 0 ? (bavail - FREE * blocks) * bsize : Infinity;
  } catch {
    // Writing shows it.
    return Infinity;
  }
}

/** Nobody else can open it, and it is gone with its descriptor. */
function openNameless(folder: string): number {
  const random = Math.random().toString(36).slice(2);
  const path = join(folder, `runfcgi-${process.pid}-${++number}-${random}`);
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return fd;
}
