/**
 * The program as its users start it: from arguments to options, from options to a running server.
 *
 * @module
 */
import { resolve } from "node:path";
import process from "node:process";
import { type Built, chooseApp, type Embedded, sourcesOf, withCommand } from "../app/application.ts";
import { DEFAULT_GRACE } from "../supervisor/crew.ts";
import { asksForHelp, UsageError } from "../options/arguments.ts";
import { environmentOptions, type Options } from "../options/options.ts";
import { readAppOptions } from "../process/app_options.ts";
import { forgetProxy, isCgi } from "../process/cgi_environment.ts";
import { chooseEndpoint, inheritedEndpoint, isDevelopment } from "../process/choose_endpoint.ts";
import { type Handover, HIDDEN } from "../process/handover.ts";
import { compiled } from "../app/compiled.ts";
import { readEnvFile } from "../app/env_file.ts";
import { startInspected } from "../process/inspected.ts";
import { startAsProject } from "../process/as_project.ts";
import { describeDescriptor, takeInherited } from "../runtime/descriptor.ts";
import { runtime } from "../runtime/name.ts";
import { isNoFile, isStandard } from "../server/log_file.ts";
import { packedCommit, version } from "../server/version.ts";
import { type CommandLine, commandOf, parseCommandLine } from "./command_line.ts";
import { commands } from "./commands/commands.ts";

/** Runs a command, or serves, and resolves with the exit status. */
export async function runProgram(args: readonly string[], built: Built): Promise<number> {
  const { app: embedded } = built;
  forgetProxy();
  const command = commandOf(args[0]);
  const rest = args.slice(1);
  const helps = command !== undefined && asksForHelp(rest);
  if (!helps && rest.length > 0 && (command === "version" || command === "manpage")) {
    throw new UsageError(`${command} takes no arguments, got "${rest[0]}"`);
  }
  if (helps || command === "help" || command === "completion" || command === "manpage") {
    const { commandHelp, completion, help, manual } = await import("./help.ts");
    if (helps) return await print(await commandHelp(command));
    return await print(
      command === "help" ? await help(rest, built) : command === "manpage" ? await manual() : await completion(rest),
    );
  }
  const load = command && commands[command].load;
  if (load) {
    const { run } = await load();
    return await printing(() => run(rest, built));
  }
  try {
    return await runCommand(parseCommandLine(args), args, built);
  } catch (error) {
    if (!isWaitedFor(args)) throw error;
    await serveFailure(error, args, embedded);
    return 1;
  }
}

/** Runs what prints, and waits until all of it has been taken: a pipe holds 64 KiB, and the process exits then. */
async function printing(run: () => number | Promise<number>): Promise<number> {
  const { promise: taken, resolve } = Promise.withResolvers<void>();
  // The reader may leave at any time.
  process.stdout.on("error", () => resolve());
  try {
    return await run();
  } finally {
    process.stdout.end(() => resolve());
    await taken;
  }
}

function print(text: string): Promise<number> {
  return printing(() => {
    process.stdout.write(text);
    return 0;
  });
}

/** Starts a server on the socket of one that runs, which hands it over and ends when this one serves. */
export async function succeed(args: readonly string[], { app: embedded }: Built, handover: Handover): Promise<number> {
  const fd = await takeInherited(handover.fd!);
  const { app, options } = parseCommandLine(args);
  const given = { ...environmentOptions(process.env), ...options };
  // The secret is kept out of arguments and of the environment.
  if (given.secret === HIDDEN || (given.secret === undefined && !handover.otherWords)) given.secret = handover.options.secret;
  return await start(app, given, embedded, { ...handover, fd });
}

async function runCommand(line: CommandLine, args: readonly string[], built: Built): Promise<number> {
  const { app: embedded } = built;
  const given = { ...environmentOptions(process.env), ...line.options };
  const { pidfile, socket } = line.options;
  // What is written names a server, and the environment only where nothing does.
  const server = (line.app ?? pidfile ?? socket) === undefined
    ? { pidfile: given.pidfile, socket: given.socket }
    : { name: line.app, pidfile, socket };
  const background = () => import("./background.ts");
  switch (line.command) {
    case "help":
      return await print(await (await import("./help.ts")).help(line.topic === undefined ? [] : [line.topic], built));
    case "version":
      return await print(versionText());
    case "status":
      return await printing(async () => await (await background()).status(server, line.json));
    case "reload":
      await (await background()).reload(server);
      return 0;
    case "stop":
      await (await background()).stop(line.command, server, given.grace ?? DEFAULT_GRACE);
      return 0;
    case "restart": {
      const { restart, stop } = await background();
      const others = line.app !== undefined || Object.keys(line.options).some((name) => name !== "pidfile");
      const more = others ? { words: args.filter((word) => word !== "restart"), cwd: process.cwd() } : {};
      if (await restart(given.pidfile, more)) return 0;
      if (!others && !namesEndpoint(given)) {
        throw new UsageError(
          `no server that can restart itself has the pidfile "${given.pidfile}": give its other arguments, too`,
        );
      }
      // A missing endpoint is an error before the old server is stopped.
      chooseEndpoint(given);
      await stop(line.command, { pidfile: given.pidfile }, given.grace ?? DEFAULT_GRACE);
      return await start(line.app, given, embedded);
    }
    default:
      return await start(line.app, given, embedded);
  }
}

/** Whether a web server started the program, so that a visitor is waiting. */
function isWaitedFor(args: readonly string[]): boolean {
  const named = [...args, ...Object.keys(process.env)];
  if (named.some((word) => /^(?:(?:--)?(?:socket|port|fd|preview)\b|RUNFCGI_(?:SOCKET|PORT|FD|PREVIEW)$)/.test(word))) {
    return false;
  }
  return describeDescriptor(0).listening || isCgi();
}

/** Seconds after which a program that cannot serve ends, so that the next one can try. */
const BROKEN_SECONDS = 5;

/** Serves an error page instead of a site whose options are invalid or cannot be carried out. */
async function serveFailure(error: unknown, args: readonly string[], embedded: Embedded | undefined): Promise<void> {
  const app = chooseApp({ app: args.find((word) => /^[^-=][^=]*$/.test(word)) }, embedded, false);
  const broken = { load: () => Promise.reject(error), options: undefined };
  if (isCgi()) await serveOnce(app, {}, broken);
  else await serveManaged(app, { maxage: BROKEN_SECONDS }, broken);
}

function namesEndpoint(given: Options): boolean {
  return ["socket", "port", "fd", "preview"].some((name) => name in given);
}

/** Serves as the arguments, the environment and the application ask for. */
async function start(
  file: string | undefined,
  given: Options,
  embedded: Embedded | undefined,
  succession?: Handover,
): Promise<number> {
  const named = namesEndpoint(given);
  given = withCommand(given);
  const app = chooseApp({ app: file, exec: given.exec }, embedded, named);
  const wanted = { ...await readAppOptions(app.file, embedded, absolutePaths(given)), ...given };
  const options = absolutePaths(wanted);
  if (options.envfile !== undefined) readEnvFile(options.envfile);
  const inherited = succession && inheritedEndpoint(options, succession);
  const endpoint = inherited ?? chooseEndpoint(options);
  const sources = sourcesOf({ app: app.file, exec: options.exec }, embedded, options.workdir);
  if (endpoint === "cgi") {
    if (options.exec !== undefined) {
      throw new UsageError("exec cannot start a program for each request of CGI: let the web server use FastCGI");
    }
    await startAsProject(app.file);
    await serveOnce(app, options, embedded);
    return 0;
  }
  if (endpoint === "managed") {
    await startAsProject(app.file);
    await serveManaged(app, options, embedded);
    return 0;
  }
  const lost = (["accesslog", "slowlog"] as const).find((name) => isStandard(options[name] ?? ""));
  if (lost !== undefined && (options.daemonize ?? options.pidfile !== undefined)) {
    throw new UsageError(`${lost} is "${options[lost]}", but the background has no standard output: give a file`);
  }
  await expectStaticFiles(wanted, sources);
  const development = isDevelopment(endpoint, options);
  const debugged = { ...options, ...await startInspected(options) };
  const defaults = { ...(!named || development) && { threads: 1 }, ...development && { debug: true } };
  return await startServer(app, endpoint, { ...defaults, ...debugged }, embedded, succession);
}

// A supervisor does not serve, what serves does not supervise, and only what is loaded takes memory and time.

async function startServer(...how: Parameters<typeof import("../process/start.ts").startServer>): Promise<number> {
  return await (await import("../process/start.ts")).startServer(...how);
}

async function serveOnce(...how: Parameters<typeof import("../process/one_request.ts").serveOnce>): Promise<void> {
  await (await import("../process/one_request.ts")).serveOnce(...how);
}

async function serveManaged(...how: Parameters<typeof import("../process/spawned.ts").serveManaged>): Promise<void> {
  await (await import("../process/spawned.ts")).serveManaged(...how);
}

/** Errors of static files are reported here once, and not by each worker. */
async function expectStaticFiles(options: Options, sources: readonly string[]): Promise<void> {
  if (options.static === undefined && options.sendfile === undefined) return;
  const { withStaticFiles } = await import("../app/static.ts");
  withStaticFiles(() => new Response(null, { status: 404 }), options, sources);
}

/** Makes paths absolute, so that a changed working directory does not matter to them. */
function absolutePaths(options: Options): Options {
  const paths = { ...options };
  for (
    const name of ["pidfile", "errlog", "outlog", "accesslog", "slowlog", "capturedir", "workdir", "envfile", "pages"] as const
  ) {
    const path = paths[name];
    if (path !== undefined && !isNoFile(path)) paths[name] = resolve(path);
  }
  const { statuslisten } = options;
  if (statuslisten?.socket !== undefined) paths.statuslisten = { socket: resolve(statuslisten.socket) };
  paths.static = options.static?.map(({ prefix, folder }) => ({ prefix, folder: resolve(folder) }));
  return paths;
}

/** Version, commit if known, runtime and target, such as `runfcgi 0.1.0 (commit 0123456789, Bun 1.4.5, linux-x64)`. */
function versionText(): string {
  const target = compiled?.target ?? `${process.platform}-${process.arch}`;
  const source = compiled?.commit ?? packedCommit;
  const commit = source ? [`commit ${source}`] : [];
  return `runfcgi ${version} (${[...commit, `${runtime.name} ${runtime.version}`, target].join(", ")})\n`;
}
