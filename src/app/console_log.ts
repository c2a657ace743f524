/**
 * What an application prints by `console.log` and its like, in the log beside the program: where a web server starts the
 * program, its standard output goes where nobody finds it.
 *
 * @module
 */
import process from "node:process";
import type { Log } from "./log.ts";

const methods = ["log", "info", "debug", "warn", "error"] as const;

/**
 * Copies into the file of a log what is printed from now on.
 *
 * @param request the request under way, if it is only one
 */
export function logConsole(log: Log, request: () => string | undefined): void {
  for (const method of methods) {
    const print = console[method];
    console[method] = (...values: unknown[]) => {
      print.apply(console, values);
      const { format } = process.getBuiltinModule("node:util");
      const during = request();
      log.keep(`${during === undefined ? "" : `${during}: `}${format(...values)}`);
    };
  }
}
