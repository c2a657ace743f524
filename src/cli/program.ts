/**
 * The program as its users start it: words to options, options to a running server.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { describeDescriptor, takeInherited } from "../runtime/descriptor.ts";
import { ListenError } from "../runtime/listen.ts";
import { serveCgi } from "../server/cgi.ts";
import { Monitor } from "../server/monitor.ts";
import { version } from "../server/version.ts";
import { budgetText, findBudget } from "../supervisor/budget.ts";
import type { LaunchOptions } from "../supervisor/launch.ts";
import { activatedDescriptor } from "../supervisor/systemd.ts";
import type { FromSuccessor } from "../supervisor/takeover.ts";
import { readAppOptions } from "../process/app_options.ts";
import {
  type Built,
  chooseApp,
  type ChosenApp,
  dropInLog,
  type Embedded,
  makeApplication,
  ownPathsOf,
  programWords,
  sourcesOf,
} from "../app/application.ts";
import { type CommandLine, findCommand, parseCommandLine } from "./commands/commands.ts";
import { reload, restart, status, stop } from "./control.ts";
import { type Handover, HIDDEN } from "../process/handover.ts";
import { helpText } from "./help.ts";
import { serveManaged } from "../process/spawned.ts";
import { environmentOptions, expectOneEndpoint, type Options } from "../options/options.ts";
import { DEFAULT_GRACE, servingOf, setEnvironment } from "../app/serving.ts";
import { startServer } from "../process/start.ts";
import { withStaticFiles } from "../app/static.ts";
import { UsageError } from "../options/arguments.ts";

/** Does what the words of the command line ask for and resolves with the exit status. */
export async function runWords(words: readonly string[], built: Built): Promise<number> {
  const { app: embedded } = built;
  forgetProxy();
  const command = findCommand(words[0]);
  if (command) return await command(words.slice(1), built);
  try {
    return await runCommand(parseCommandLine(words), words, embedded);
  } catch (error) {
    if (!isWaitedFor(words)) throw error;
    await serveFailure(error, words, embedded);
    return 1;
  }
}

/** Starts a server on the socket of one that runs, which hands it over and ends when this one serves. */
export async function succeed(words: readonly string[], { app: embedded }: Built, handover: Handover): Promise<number> {
  const fd = await takeInherited(handover.fd!);
  const { app, options } = parseCommandLine(words);
  const given = { ...environmentOptions(process.env), ...options };
  // It is kept out of command lines and of the environment.
  if (given.secret === HIDDEN || (given.secret === undefined && !handover.otherWords)) given.secret = handover.options.secret;
  return await start(app, given, embedded, { ...handover, fd });
}

async function runCommand(line: CommandLine, words: readonly string[], embedded: Embedded | undefined): Promise<number> {
  const given = { ...environmentOptions(process.env), ...line.options };
  switch (line.command) {
    case "help":
      process.stdout.write(line.topic === "budget" ? budgetText(findBudget()) : helpText(programWords()));
      return 0;
    case "version":
      process.stdout.write(`runfcgi ${version}\n`);
      return 0;
    case "status":
      return await status(given.pidfile, line.json);
    case "reload":
      await reload(given.pidfile);
      return 0;
    case "stop":
      await stop(line.command, given.pidfile, given.grace ?? DEFAULT_GRACE);
      return 0;
    case "restart": {
      const others = line.app !== undefined || Object.keys(line.options).some((name) => name !== "pidfile");
      const more = others ? { words: words.filter((word) => word !== "restart"), cwd: process.cwd() } : {};
      if (await restart(given.pidfile, more)) return 0;
      // What it is to be started with is known before the old one is stopped.
      chooseEndpoint(given);
      await stop(line.command, given.pidfile, given.grace ?? DEFAULT_GRACE);
      return await start(line.app, given, embedded);
    }
    default:
      return await start(line.app, given, embedded);
  }
}

/** Whether a web server has started the program, and a visitor waits. */
function isWaitedFor(words: readonly string[]): boolean {
  const named = [...words, ...Object.keys(process.env)];
  if (named.some((word) => /^(?:(?:--)?(?:socket|port|fd|preview)\b|RUNFCGI_(?:SOCKET|PORT|FD|PREVIEW)$)/.test(word))) {
    return false;
  }
  return describeDescriptor(0).listening || isCgi();
}

/** Seconds after which a program that cannot serve makes place for another, which perhaps can. */
const BROKEN_SECONDS = 5;

/** Serves a page in place of a site for which the program makes no sense of its options, or cannot do what they say. */
async function serveFailure(error: unknown, words: readonly string[], embedded: Embedded | undefined): Promise<void> {
  const app = chooseApp({ app: words.find((word) => /^[^-=][^=]*$/.test(word)) }, embedded, false);
  const broken = { load: () => Promise.reject(error), options: undefined };
  if (isCgi()) await serveOnce(app, {}, broken);
  else await serveManaged(app, { maxage: BROKEN_SECONDS }, broken);
}

function isCgi(): boolean {
  return !describeDescriptor(0).listening && !!process.env.GATEWAY_INTERFACE?.startsWith("CGI/") && !!process.env.REQUEST_METHOD;
}

/** What a visitor has sent as the header `Proxy`, in CGI: no variable of the environment any more, but one of the request. */
let proxyHeader: string | undefined;

/**
 * In CGI, the header `Proxy` of a visitor becomes HTTP_PROXY, which is what the proxy of outgoing requests is called, too
 * (CVE-2016-5385). Under a web server it is no such thing, to this process and to all that it starts.
 */
function forgetProxy(): void {
  const { GATEWAY_INTERFACE, REQUEST_METHOD, HTTP_PROXY } = process.env;
  if (HTTP_PROXY === undefined) return;
  if (GATEWAY_INTERFACE === undefined && REQUEST_METHOD === undefined && !describeDescriptor(0).listening) return;
  proxyHeader = HTTP_PROXY;
  delete process.env.HTTP_PROXY;
}

/** Answers the one request of CGI. */
async function serveOnce(app: ChosenApp, options: Options, embedded: Embedded | undefined): Promise<void> {
  const log = dropInLog(options.errlog, app.file);
  setEnvironment(options);
  const { serve, monitor } = servingOf(options, log, ownPathsOf(app.file));
  const application = makeApplication(app.file, options, embedded, log);
  application.load();
  const handler = withStaticFiles(application.handler, options, sourcesOf({ app: app.file }, embedded));
  const environment = { ...process.env, ...proxyHeader !== undefined && { HTTP_PROXY: proxyHeader } };
  await serveCgi({ environment, ...serve, observer: new Monitor(monitor) }, handler);
}

/** Serves as the words, the environment and the application want it. */
async function start(
  file: string | undefined,
  given: Options,
  embedded: Embedded | undefined,
  succession?: Handover,
): Promise<number> {
  const named = ["socket", "port", "fd", "preview"].some((name) => name in given);
  const app = chooseApp({ app: file, exec: given.exec }, embedded, named);
  const wanted = { ...await readAppOptions(app.file, embedded, given), ...given };
  const options = absolutePaths(wanted);
  const inherited = succession && inheritedEndpoint(options, succession);
  const endpoint = inherited ?? chooseEndpoint(options);
  const sources = sourcesOf({ ...options, app: app.file }, embedded);
  if (endpoint === "cgi") {
    if (options.exec !== undefined) {
      throw new UsageError("exec cannot start a program for each request of CGI: let the web server use FastCGI");
    }
    await serveOnce(app, options, embedded);
    return 0;
  }
  if (endpoint === "managed") {
    await serveManaged(app, options, embedded);
    return 0;
  }
  // Its mistakes are to be told here, and not by each worker.
  withStaticFiles(noApplication, wanted, sources);
  const alone = !named || endpoint.transport === "unix" && options.socket === undefined;
  return await startServer(app, endpoint, alone ? { threads: 1, ...options } : options, embedded, succession);
}

/** The socket that was handed over, unless other words want another one. */
function inheritedEndpoint(options: Options, { fd, bound, otherWords }: Handover): { transport: "fd"; fd: number } | undefined {
  const { socket, port, host = "127.0.0.1" } = options;
  const address = bound?.address;
  if (otherWords && (socket !== undefined || port !== undefined)) {
    if (address?.transport === "unix" && (socket === undefined || resolve(socket) !== resolve(address.path))) return undefined;
    if (address?.transport === "tcp" && (port !== address.port || host !== address.hostname)) return undefined;
  }
  process.send?.({ type: "tookSocket" } satisfies FromSuccessor);
  return { transport: "fd", fd: fd! };
}

const noApplication = () => new Response(null, { status: 404 });

/** Files that the program itself uses are where it was started, also if its working directory is another. */
function absolutePaths(options: Options): Options {
  const paths = { ...options };
  for (const name of ["pidfile", "errlog", "outlog", "accesslog", "slowlog", "capturedir", "workdir"] as const) {
    const path = paths[name];
    if (path !== undefined) paths[name] = resolve(path);
  }
  paths.static = options.static?.map(({ prefix, folder }) => ({ prefix, folder: resolve(folder) }));
  return paths;
}

/** @throws {UsageError} when there is nothing to listen on */
function chooseEndpoint(options: Options): LaunchOptions["endpoint"] | "managed" | "cgi" {
  const { socket, host, port, fd, preview } = options;
  expectOneEndpoint({ socket, port, fd }, host);
  if (socket !== undefined) return { transport: "unix", path: socket };
  if (port !== undefined) return { transport: "tcp", hostname: host ?? "127.0.0.1", port };
  if (fd !== undefined) {
    const { listening, what } = describeDescriptor(fd);
    if (!listening) throw new ListenError(`Cannot listen on descriptor ${fd}: it is ${what}, not a listening socket`);
    return { transport: "fd", fd };
  }
  const activated = activatedDescriptor();
  if (activated !== undefined) return { transport: "fd", fd: activated };
  if (preview !== undefined) return { transport: "unix", path: privateSocket() };
  const found = describeDescriptor(0);
  if (found.listening) {
    const supervised = options.method !== undefined || options.threads !== undefined || options.daemonize;
    return supervised ? { transport: "fd", fd: 0 } : "managed";
  }
  if (isCgi()) return "cgi";
  throw new UsageError(
    `there is nothing to listen on: give socket=PATH or port=PORT, or preview=8000 to see a page in a browser. ` +
      `(Descriptor 0 is ${found.what}; a web server would put a listening socket there.)`,
  );
}

/** A socket in a folder that only this user can enter, gone with the process. */
function privateSocket(): string {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "preview.sock");
}
