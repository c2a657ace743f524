/**
 * The error log: standard error, and a file if one was asked for.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { writeStderr } from "../runtime/stderr.ts";
import { LogFile, makeLogFile } from "../server/log_file.ts";
import { entryText } from "../server/log_text.ts";
import type { Account } from "../supervisor/account.ts";
import type { Options } from "../options/options.ts";

/** Bytes of a log that nobody asked for. */
const MAX_UNASKED = 2 ** 20;

/** A number by which a visitor can tell the owner of a site which entry is meant. */
export function failureNumber(): string {
  return crypto.randomUUID().slice(0, 8);
}

/** Writes lines with the time and the process in front. */
export class Log {
  /** Path of the file, `undefined` for none. */
  readonly path: string | undefined;
  #file: LogFile | undefined;
  readonly #stderr: boolean;
  readonly #mark: string;
  /** Path of a file that is made with the first line, if that can be. */
  #unasked: string | undefined;

  /**
   * @param path file that gets a copy
   * @param options `stderr`: whether standard error gets anything; `file`: whether the file is written here, and not by
   * the supervisor, which reads our standard error; `mark`: what it knows our entries by; `unasked`: file that gets a copy if
   * it can be written; `owner`: the user whose rights root opens it with
   * @throws {Error} when the file cannot be written
   */
  constructor(
    path?: string,
    { stderr = true, file = true, mark = "", unasked, owner }: {
      stderr?: boolean;
      file?: boolean;
      mark?: string;
      unasked?: string;
      owner?: Account;
    } = {},
  ) {
    this.path = path;
    this.#stderr = stderr;
    this.#mark = mark;
    if (path !== undefined && file) this.#file = new LogFile(path, { owner });
    else if (path === undefined) this.#unasked = unasked;
  }

  /** Where to look, for a page that strangers see: no more than a name. */
  get place(): string {
    const path = this.path ?? this.#file?.path;
    return path ? `in the log ${basename(path)}` : "in the web server's error log and on the program's standard error";
  }

  /** The file that it writes to, or would. */
  get target(): string | undefined {
    return this.path ?? this.#file?.path ?? this.#unasked;
  }

  write(text: string): void {
    this.copy(`${this.#mark}${this.#begin("runfcgi")}${entryText(text)}\n`);
  }

  /** Writes to the file alone what the application has printed. What cannot be written is lost. */
  keep(text: string): void {
    this.#openUnasked();
    try {
      this.#file?.write(`${this.#begin("console")}${entryText(text)}\n`);
    } catch {
      // It was printed, too.
    }
  }

  #begin(who: string): string {
    return `[${new Date().toISOString().replace("T", " ").slice(0, 19)}] ${who}[${process.pid}] `;
  }

  /** Writes what another process has written, as it is. */
  copy(text: string | Uint8Array): void {
    try {
      if (this.#stderr || this.#file === undefined) writeStderr(text);
    } catch {
      // The web server closed its end. The file is what is left.
    }
    this.#openUnasked();
    try {
      this.#file?.write(typeof text === "string" ? text : new TextDecoder().decode(text));
    } catch (error) {
      writeStderr(`runfcgi: cannot write to "${this.#file?.path}": ${(error as Error).message}\n`);
    }
  }

  #openUnasked(): void {
    const path = this.#unasked;
    this.#unasked = undefined;
    try {
      if (path !== undefined) this.#file = new LogFile(path, { maxSize: MAX_UNASKED, secret: true });
    } catch {
      // Where the web server's user cannot write, standard error is all there is.
    }
  }

  /** Opens the file again. */
  reopen(): void {
    this.#file?.reopen();
  }
}

/**
 * The log of a program that the web server starts, whose standard error the owner of a site perhaps cannot read. Apache
 * never serves a file that begins with `.ht`, and the author of a `.htaccess` finds it beside that.
 *
 * @param name the file that the log is named after and lies beside
 */
export function logBeside(name: string): string {
  return hiddenBeside(name, "log");
}

/** A file beside another, named after it, that no web server gives away. */
export function hiddenBeside(name: string, ending: string): string {
  return join(dirname(name), `.ht${basename(name).replace(/\.\w+$/, "")}.${ending}`);
}

/** Makes the files of the logs; those that workers write are theirs. @throws {LogFileError} */
export function makeLogFiles({ errlog, outlog, accesslog, slowlog }: Options, account: Account | undefined): void {
  for (const file of [errlog, outlog]) if (file !== undefined) makeLogFile(file, account);
  for (const file of [accesslog, slowlog]) if (file !== undefined) makeLogFile(file, account, true);
}
