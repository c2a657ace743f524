/**
 * `down` and `up`: visitors get a page for maintenance, whatever serves the site.
 *
 * @module
 */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { type Built, chooseApp, programWords } from "../../app/application.ts";
import { bringUp, pagesFolder, RETRY_SECONDS, takeDown } from "../../app/pages.ts";
import { serverOf } from "../background.ts";
import { CommandError, number, parseArguments, UsageError } from "../../options/arguments.ts";
import { namingOptions, optionTable } from "../../options/options.ts";

const pages = { ...optionTable.pages, default: "the application's folder" };
const retry = {
  kind: number("a number of seconds", 0, 1e6),
  default: `${RETRY_SECONDS}`,
  help: "Seconds after which visitors are asked to try again, in Retry-After.",
  example: "retry=600",
};

const table = { retry, pages, ...namingOptions } as const;

export const page = {
  usage: `
runfcgi down [app | NAME] [option=value …]
runfcgi up [app | NAME] [option=value …]

Takes a site down for maintenance: all its processes answer visitors with 503 and the page maintenance.html, until
runfcgi up. The server goes on, and so do the paths of ping and status. A server that runs may be named as ls lists it.

  runfcgi down app.ts retry=600
  runfcgi up app.ts
`,
  options: table,
};

/** Runs the command and resolves with the exit status. */
export function run(args: readonly string[], built: Built): number {
  const { folder, seconds } = wantedBy("down", args, built);
  attempt(() => takeDown(folder, seconds));
  process.stderr.write(`runfcgi: "${folder}" is down for maintenance. To bring it up, run: ${programWords()} up\n`);
  return 0;
}

/** Runs the command `up`. */
export function runUp(args: readonly string[], built: Built): number {
  const { folder } = wantedBy("up", args, built);
  const wasDown = attempt(() => bringUp(folder));
  process.stderr.write(`runfcgi: "${folder}" ${wasDown ? "is up again" : "was not down"}\n`);
  return 0;
}

function wantedBy(command: string, args: readonly string[], { app: embedded }: Built): { folder: string; seconds: number } {
  const { plain: [app, ...more], options: { pidfile, socket, ...options } } = parseArguments(args, table);
  if (more.length > 0) throw new UsageError("give one application, such as: down app.ts");
  const isFile = app !== undefined && statSync(app, { throwIfNoEntry: false })?.isFile();
  const byName = pidfile !== undefined || socket !== undefined || app !== undefined && !isFile && !/[./]/.test(app);
  const server = byName ? serverOf(command, { name: app, pidfile, socket }) : undefined;
  const file = server ? server.app : chooseApp({ app }, embedded, true).file;
  const pages = options.pages ?? server?.pages;
  if (server && pages === undefined && !existsSync(server.app ?? "")) {
    throw new UsageError(`${server.name} serves no file that has a folder: give pages=PATH, as to the server`);
  }
  const folder = resolve(pagesFolder({ pages }, file ?? (embedded ? undefined : resolve("app.ts"))));
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw new UsageError(`there is no folder "${folder}"`);
  return { folder, seconds: options.retry ?? RETRY_SECONDS };
}

function attempt<T>(write: () => T): T {
  try {
    return write();
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
}
