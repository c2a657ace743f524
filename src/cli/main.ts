/**
 * The program: words to options, options to a running server.
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { describeDescriptor, ListenError } from "../runtime/listen.ts";
import { runtime } from "../runtime/name.ts";
import { formatAddress } from "../runtime/socket.ts";
import { serveCgi } from "../server/cgi.ts";
import { ExecProgram } from "../server/exec.ts";
import type { ErrorContext, Handler } from "../server/handler.ts";
import { defaultLimits, type Limits } from "../server/limits.ts";
import { preview } from "../server/preview.ts";
import { serve, type ServeOptions, type Server } from "../server/serve.ts";
import { AppFile, AppSearch, explain, findApp, handlerOf } from "./app.ts";
import { helpText, version } from "./help.ts";
import { Log } from "./log.ts";
import { type CommandLine, type Options, parseCommandLine, UsageError } from "./options.ts";
import { welcome } from "./welcome.ts";

/** Seconds that requests have to finish. */
const DEFAULT_GRACE = 30;
/** mod_fcgid kills 3 s after it asked to stop. */
const MANAGED_GRACE = 2.5;

/** What the program was built around. */
export interface MainOptions {
  /** An application inside the program, which then looks for no other. */
  app?: Record<string, unknown>;
}

/**
 * Runs the program to its end and exits the process: 0 when it did what was asked, 1 when it could not, 2 when the
 * words make no sense.
 */
export async function main({ app }: MainOptions = {}): Promise<void> {
  try {
    await run(parseCommandLine(process.argv.slice(2)), app);
    process.exit(0);
  } catch (error) {
    const expected = error instanceof UsageError || error instanceof ListenError;
    process.stderr.write(`runfcgi: ${expected ? error.message : explain(error)}\n`);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

async function run({ command, app, options }: CommandLine, embedded?: Record<string, unknown>): Promise<void> {
  if (command === "help") return void process.stdout.write(helpText(programWords()));
  if (command === "version") return void process.stdout.write(`runfcgi ${version}\n`);
  const endpoint = chooseEndpoint(options);
  const log = new Log(options.errlog);
  const application = options.exec === undefined
    ? chooseApp(app, embedded, endpoint, log)
    : chooseProgram(options.exec, app ?? embedded, endpoint, log);
  const onError = (error: Error, { during }: ErrorContext) => log.write(`${during}: ${explain(error)}`);
  const limits = givenLimits(options);
  if (endpoint === "cgi") {
    application.load();
    return await serveCgi({ environment: process.env, onError, limits }, application.handler);
  }
  const { protocol, mode, backlog, roles, secret, packetsize: packetSize } = options;
  const managed = endpoint.fd !== options.fd;
  const { promise: serving, resolve } = Promise.withResolvers<Server>();
  const grace = options.grace ?? (managed ? MANAGED_GRACE : DEFAULT_GRACE);
  // Before anybody can see that it listens, or a signal would still kill it.
  stopOnSignals(serving, grace, managed);
  const server = await serve(
    { ...endpoint, protocol, mode, backlog, roles, secret, packetSize, limits, onError },
    application.handler,
  );
  resolve(server);
  if (!managed) {
    process.stderr.write(
      `runfcgi: serving ${application.name} by ${server.protocol === "auto" ? "any protocol" : server.protocol} on ${
        formatAddress(server.address)
      }\n`,
    );
  }
  application.load();
  if (options.preview !== undefined) await showPreview(options.preview, server, options);
  await server.finished;
  await application.stop?.(grace);
}

type ChosenEndpoint = Pick<ServeOptions, "socket" | "host" | "port" | "fd">;

/** @throws {UsageError} when there is nothing to listen on */
function chooseEndpoint({ socket, host, port, fd, preview }: Options): ChosenEndpoint | "cgi" {
  const given = Object.entries({ socket, port, fd }).filter(([, value]) => value !== undefined);
  if (given.length > 1) throw new UsageError(`give one of ${given.map(([name]) => name).join(" and ")}`);
  if (host !== undefined && port === undefined) {
    throw new UsageError(`host is "${host}" but there is no port: give one, such as port=3033`);
  }
  if (given.length === 1) return { socket, host, port, fd };
  if (preview !== undefined) return { socket: privateSocket() };
  const found = describeDescriptor(0);
  if (found.listening) return { fd: 0 };
  if (process.env.GATEWAY_INTERFACE?.startsWith("CGI/") && process.env.REQUEST_METHOD) return "cgi";
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

interface Application {
  name: string;
  handler: Handler;
  load(): void;
  /** Ends what was loaded, within so many seconds. */
  stop?(grace: number): Promise<void>;
}

/** @throws {UsageError} when there is an application as well, or a command that cannot be run */
function chooseProgram(command: string, app: unknown, endpoint: ChosenEndpoint | "cgi", log: Log): Application {
  if (app !== undefined) throw new UsageError("there are an application and exec: give one of them");
  if (endpoint === "cgi") {
    throw new UsageError("exec cannot start a program for each request of CGI: let the web server use FastCGI");
  }
  try {
    const program = new ExecProgram(command, log);
    return { name: command, handler: program.handler, load: () => program.start(), stop: (grace) => program.stop(grace) };
  } catch (error) {
    throw error instanceof TypeError ? new UsageError((error as Error).message) : error;
  }
}

/** @throws {UsageError} when the file that was named is not there */
function chooseApp(
  file: string | undefined,
  embedded: Record<string, unknown> | undefined,
  endpoint: ChosenEndpoint | "cgi",
  log: Log,
): Application {
  if (embedded) return { name: "the application inside this program", handler: handlerOf(embedded, "The module"), load() {} };
  const byHand = endpoint !== "cgi" && !("fd" in endpoint && endpoint.fd !== undefined);
  if (file !== undefined && byHand && !statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(`there is no file "${file}"`);
  }
  const found = file ?? findApp(programFile());
  if (found === undefined) {
    return { name: "the welcome page", handler: new AppSearch(programFile(), welcome, log).handler, load() {} };
  }
  const app = new AppFile(found, log);
  return { name: found, handler: app.handler, load: () => void app.load() };
}

/** The file that the user started: the compiled program, or the script that the runtime was given. */
function programFile(): string {
  return isCompiled() ? process.execPath : process.argv[1] ?? "";
}

/** Whether the program is one file with its runtime inside. */
function isCompiled(): boolean {
  return !/^(deno|bun|node|nodejs)(\.exe)?$/.test(basename(process.execPath));
}

function programWords(): string {
  if (isCompiled()) return basename(process.execPath);
  return { Deno: "deno run -A mod.ts", Bun: "bun mod.ts", Node: "node mod.ts" }[runtime.name];
}

function givenLimits(options: Options): Partial<Limits> {
  const names = Object.keys(defaultLimits) as (keyof Limits)[];
  const given = names.map((name) => [name, options[name.toLowerCase() as Lowercase<keyof Limits>]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

function stopOnSignals(serving: Promise<Server>, grace: number, managed: boolean): void {
  let asked = false;
  const stop = (second: boolean) => {
    if (asked && second) process.exit(1);
    asked = true;
    serving.then((server) => server.shutdown(grace));
  };
  // mod_fcgid repeats it after a second, while requests are still under way.
  process.on("SIGTERM", () => stop(!managed));
  process.on("SIGINT", () => stop(true));
  // FastCGI process managers stop a process gracefully by it.
  process.on("SIGUSR1", () => stop(false));
}

async function showPreview(port: number, server: Server, { secret, packetsize }: Options): Promise<void> {
  try {
    const { url, close } = await preview(port, {
      address: server.address,
      protocol: server.protocol === "auto" ? "fcgi" : server.protocol,
      secret,
      packetSize: packetsize,
    });
    process.stderr.write(`runfcgi: open ${url} in a browser. Stop with Ctrl-C\n`);
    server.finished.then(close);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE"
      ? "another program listens there. Choose another port, or preview=0 for any free one"
      : message;
    throw new ListenError(`Cannot preview on port ${port}: ${reason}`);
  }
}
