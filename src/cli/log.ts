/**
 * The error log: standard error, and a file if one was asked for.
 *
 * @module
 */
import { appendFileSync } from "node:fs";
import process from "node:process";

/** Writes lines with the time and the process in front. */
export class Log {
  /** The file, `undefined` for none. */
  readonly file: string | undefined;

  /** @throws {Error} when the file cannot be written */
  constructor(file?: string) {
    this.file = file;
    if (file !== undefined) appendFileSync(file, "");
  }

  /** Where somebody has to look, in words. */
  get place(): string {
    return this.file ? `in ${this.file}` : "in the web server's error log and on the program's standard error";
  }

  write(text: string): void {
    const time = new Date().toISOString().replace("T", " ").slice(0, 19);
    const line = `[${time}] runfcgi[${process.pid}] ${text.trimEnd()}\n`;
    try {
      process.stderr.write(line);
    } catch {
      // The web server closed its end. The file is what is left.
    }
    if (this.file === undefined) return;
    try {
      appendFileSync(this.file, line);
    } catch (error) {
      process.stderr.write(`runfcgi: cannot write to "${this.file}": ${(error as Error).message}\n`);
    }
  }
}
