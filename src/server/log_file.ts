/**
 * A log file that many processes append to, and that log rotation may move away.
 *
 * @module
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import process from "node:process";
import { PlainError } from "../runtime/plain_error.ts";
import { expectLogProgram, isLogProgram, LogProgram, type LogTarget } from "./log_program.ts";
import { openAppending, type Rights, rightsFor } from "../runtime/rights.ts";

/** Descriptors by the paths that mean them: opening /dev/stdout fails where it is a socket, as under systemd. */
const standard: Readonly<Record<string, number>> = { "-": 1, stdout: 1, stderr: 2, "/dev/stdout": 1, "/dev/stderr": 2 };

/** Whether a path means standard output or standard error. */
export function isStandard(path: string): boolean {
  return Object.hasOwn(standard, path);
}

/** Whether a path means no file: a standard stream, or a program that takes lines. */
export function isNoFile(path: string): boolean {
  return isStandard(path) || isLogProgram(path);
}

/**
 * Writes lines without anybody waiting for it.
 *
 * @param name of the site, for syslog and the journal
 * @throws {LogFileError}
 */
export function logTo(path: string, name: string): LogTarget {
  return isLogProgram(path) ? new LogProgram(path, name) : new LogFile(path);
}

/** Milliseconds between two looks whether the file is still the one at its path. */
const LOOK_MS = 1000;
/** Milliseconds after which a lock is left over. */
const STALE_MS = 10_000;
/** Characters that are held for one write at most. */
const MAX_HELD = 32 * 1024;

/** A log file cannot be written. */
export class LogFileError extends PlainError {
  override name = "LogFileError";
}

/**
 * Makes a log file if it is not there.
 *
 * @param owner the user that root makes it for, in a folder of that user
 * @param give whether root gives the file to the user, who may write to it but not create it
 * @throws {LogFileError}
 */
export function makeLogFile(path: string, owner?: Rights, give = false): void {
  if (isStandard(path)) return;
  if (isLogProgram(path)) {
    try {
      return expectLogProgram(path);
    } catch (error) {
      throw new LogFileError((error as Error).message);
    }
  }
  const fd = openLog(path, owner);
  try {
    // Without a file, or with one that is the user's already, nothing has to be changed.
    if (give && owner && rightsFor(path, owner) === undefined) fchownSync(fd, owner.uid, owner.gid);
  } finally {
    closeSync(fd);
  }
}

function openLog(path: string, owner: Rights | undefined): number {
  try {
    return openAppending(path, owner);
  } catch (error) {
    const { message } = error as Error;
    const who = owner && rightsFor(path, owner) ? `, as user ${owner.uid} since its folder is not root's alone` : "";
    throw new LogFileError(`cannot write to "${path}"${who}: ${message}`);
  }
}

/** How a log file is kept. */
export interface LogFileOptions {
  /** Bytes above which it is renamed to `name.1`, in place of an earlier one. */
  maxSize?: number;
  /** Nobody else can read it, and it is not a link to another file. */
  secret?: boolean;
  /** The user that root writes it for: in a folder of that user, it is opened with the user's rights. */
  owner?: Rights;
}

/** Appends text, whole lines at a time, to a file that is opened again when it was renamed or removed. */
export class LogFile {
  readonly path: string;
  readonly #options: LogFileOptions;
  #fd: number | undefined;
  #lookedAt = -Infinity;
  #held = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @throws {LogFileError} */
  constructor(path: string, options: LogFileOptions = {}) {
    this.path = path;
    this.#options = options;
    this.#open();
    process.on("exit", () => this.flush());
  }

  /** Writes now. @throws {Error} when it cannot be written */
  write(text: string): void {
    this.#look();
    const { maxSize } = this.#options;
    if (maxSize !== undefined && fstatSync(this.#fd!).size + text.length > maxSize) this.#rotate();
    writeSync(this.#fd!, text);
  }

  /** Writes with others, after at most this many milliseconds. What cannot be written is lost. */
  writeSoon(text: string, milliseconds = 200): void {
    this.#held += text;
    if (this.#held.length >= MAX_HELD) return this.flush();
    this.#timer ??= setTimeout(() => this.flush(), milliseconds);
    this.#timer.unref?.();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#held === "") return;
    const text = this.#held;
    this.#held = "";
    try {
      this.write(text);
    } catch {
      // A full disk must not stop the site.
    }
  }

  /** Opens the file again. */
  reopen(): void {
    this.flush();
    this.#open();
  }

  #look(): void {
    if (isStandard(this.path)) return;
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    if (this.#isThere()) return;
    try {
      this.#open();
    } catch {
      // The old one is used until somebody with the rights makes a new one.
    }
  }

  #isThere(): boolean {
    const there = statSync(this.path, { throwIfNoEntry: false });
    const open = fstatSync(this.#fd!);
    return there?.ino === open.ino && there.dev === open.dev;
  }

  #rotate(): void {
    const lock = `${this.path}.lock`;
    try {
      mkdirSync(lock);
    } catch {
      // Another process does it now; one that has ended no longer holds it.
      const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
      if (Date.now() - since > STALE_MS) rmSync(lock, { recursive: true, force: true });
      return;
    }
    try {
      // Another process may have done it already.
      if (this.#isThere()) renameSync(this.path, `${this.path}.1`);
      this.#open();
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  }

  #open(): void {
    if (isStandard(this.path)) {
      this.#fd = standard[this.path];
      return;
    }
    const fd = this.#options.secret ? openSecret(this.path) : openLog(this.path, this.#options.owner);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = fd;
  }
}

/** Opens a file for appending that is ours alone. @throws {Error} when it cannot be that */
function openSecret(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.uid !== process.geteuid?.() || stats.nlink > 1) throw new Error(`"${path}" is not ours`);
    if (stats.mode & 0o077) fchmodSync(fd, 0o600);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
