/**
 * The error log: standard error, and a file if one was asked for.
 *
 * @module
 */
import process from "node:process";
import { LogFile } from "../server/log_file.ts";

/** Writes lines with the time and the process in front. */
export class Log {
  /** Path of the file, `undefined` for none. */
  readonly path: string | undefined;
  readonly #file: LogFile | undefined;
  readonly #stderr: boolean;

  /**
   * @param path file that gets a copy
   * @param options `stderr`: whether standard error gets anything; `file`: whether the file is written here, and not by
   * the supervisor, which reads our standard error
   * @throws {Error} when the file cannot be written
   */
  constructor(path?: string, { stderr = true, file = true } = {}) {
    this.path = path;
    this.#stderr = stderr;
    if (path !== undefined && file) this.#file = new LogFile(path);
  }

  /** Where somebody has to look, in words. */
  get place(): string {
    return this.path ? `in ${this.path}` : "in the web server's error log and on the program's standard error";
  }

  write(text: string): void {
    const time = new Date().toISOString().replace("T", " ").slice(0, 19);
    this.copy(`[${time}] runfcgi[${process.pid}] ${text.trimEnd()}\n`);
  }

  /** Writes what another process has written, as it is. */
  copy(text: string | Uint8Array): void {
    try {
      if (this.#stderr || this.#file === undefined) process.stderr.write(text);
    } catch {
      // The web server closed its end. The file is what is left.
    }
    try {
      this.#file?.write(typeof text === "string" ? text : new TextDecoder().decode(text));
    } catch (error) {
      process.stderr.write(`runfcgi: cannot write to "${this.path}": ${(error as Error).message}\n`);
    }
  }

  /** Opens the file again. */
  reopen(): void {
    this.#file?.reopen();
  }
}
