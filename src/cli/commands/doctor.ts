/**
 * `runfcgi doctor`: looks at everything between a visitor and the application, and says what to do.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import process from "node:process";
import { printable } from "../../protocol/dissect.ts";
import { ListenError } from "../../runtime/listen.ts";
import type { Address } from "../../runtime/socket.ts";
import { serveWorker } from "../../server/serve.ts";
import type { Passer } from "../../doctor/permissions.ts";
import { findApp } from "../../app/places.ts";
import { chooseApp, type Embedded, ownPathsOf } from "../../app/application.ts";
import { packedBeside, programFile } from "../../app/program_file.ts";
import { isCompiled } from "../../app/compiled.ts";
import { authorizationVariable } from "../../app/owner_doctor.ts";
import { startedFile } from "../../runtime/own_arguments.ts";
import { ownCommand } from "../../process/handover.ts";
import { optionTable } from "../../options/options.ts";
import { type Finding, findingText, ok, unchecked } from "../../doctor/finding.ts";
import { checkLimits, findWebServerUsers } from "../../doctor/host.ts";
import { runManaged } from "../../doctor/managed.ts";
import { checkHtaccess, closedTo, findHtaccess } from "../../doctor/htaccess.ts";
import { checkThrough, makeProbe, notProbed } from "../../doctor/probe.ts";
import { checkApplication, checkEncoding, missingApplication } from "../../doctor/loading.ts";
import { checkProgramFile } from "../../doctor/program_file.ts";
import {
  checkAnswer,
  checkCode,
  checkLog,
  checkOpen,
  checkOwnLog,
  checkPidfile,
  checkSocket,
  knowsDoctor,
} from "../../doctor/server.ts";
import { visit } from "../../doctor/visit.ts";
import type { Built } from "../../app/application.ts";
import { screenOf } from "../../options/terminal.ts";
import { endpointOf, endpointOptions } from "./endpoint.ts";
import { type Kind, oneApplication, oneOf, type OptionsOf, parseArguments, text, UsageError } from "../../options/arguments.ts";

const siteUrl: Kind<URL> = {
  name: "a URL with http or https",
  read: (value) => /^https?:\/\//i.test(value) && URL.canParse(value) ? new URL(value) : undefined,
};

const { mode, trust, scriptname, frontcontroller, pidfile, errlog } = optionTable;

const table = {
  ...endpointOptions,
  mode: { ...mode, default: undefined, help: "Permissions of the socket while url= is asked.", example: "mode=666" },
  trust: { ...trust, default: undefined },
  scriptname: { ...scriptname, default: undefined },
  frontcontroller: { ...frontcontroller, default: undefined },
  url: {
    kind: siteUrl,
    help: "The site as visitors type it, to look through the web server.",
    example: "url=https://example.org/",
  },
  user: {
    kind: text("a user"),
    default: "those of running ones",
    help: "User of the web server.",
    example: "user=www-data",
  },
  pidfile: { ...pidfile, default: undefined, help: "The server's pidfile." },
  errlog: { ...errlog, default: undefined, help: "The server's log." },
  program: {
    kind: text("a path"),
    default: "mysite.fcgi in the working directory, or this program",
    help: "The program that a web server starts.",
    example: "program=mysite.fcgi",
  },
  as: {
    kind: oneOf(["mod_fcgid"]),
    help: "Starts the program as that web server does, asks it for one page, and shows all that it writes.",
    example: "as=mod_fcgid",
  },
  json: { help: "Prints what was found as JSON, a line for each check.", example: "--json" },
} as const;

const usage = `
runfcgi doctor [app] [option=value …]

Looks at the program file, the application, the endpoint and its permissions, the pidfile, the limits of the host and,
with url=, at the site as visitors see it, and says for each problem what to do. The options are those that the site is
served with. The exit status is 0 when nothing is wrong, otherwise 1.

  runfcgi doctor app.ts socket=/run/mysite.sock url=https://example.org/
  runfcgi doctor url=https://example.org/    on shared hosting, in the folder of the site or from another computer
  runfcgi doctor as=mod_fcgid

A user and a password in the URL are sent: url=https://me:secret@example.org/

Where nothing runs on the endpoint, with url= the doctor serves there for the moment, answers only to itself, and looks at
all that the web server passes on.
`;

type Options = OptionsOf<typeof table>;

export const page = { usage, options: table };

/** Runs the command and resolves with the exit status. */
export async function run(words: readonly string[], { app: embedded }: Built): Promise<number> {
  const { options, plain } = parseArguments(words, table);
  const app = oneApplication(plain);
  signIn(options.url);
  let problems = 0;
  const tell = (findings: readonly Finding[]) => {
    for (const finding of findings) {
      if (finding.state === "problem") problems++;
      const screen = process.stdout.isTTY ? screenOf(process.stdout) : undefined;
      process.stdout.write(options.json ? `${JSON.stringify(finding)}\n` : findingText(finding, screen));
    }
  };
  const users = usersOf(options.user);
  if (options.as !== undefined) await asManaged(options, tell);
  else await lookAround(options, app, embedded, users, tell);
  const sum = problems === 0
    ? "Nothing is wrong in what was checked."
    : problems === 1
    ? "1 problem. What to do is below it."
    : `${problems} problems. What to do is below each of them.`;
  if (!options.json) process.stdout.write(`\n${sum}\n`);
  return problems > 0 ? 1 : 0;
}

/** Takes the user and the password that the owner's page hands on. */
function signIn(url: URL | undefined): void {
  const given = process.env[authorizationVariable];
  delete process.env[authorizationVariable];
  if (url === undefined || given === undefined || url.username !== "" || url.password !== "") return;
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(given.replace(/^Basic +/i, ""), "base64").toString()) ?? [];
  if (user === undefined) return;
  url.username = encodeURIComponent(user);
  url.password = encodeURIComponent(password);
}

type TellFindings = (findings: readonly Finding[]) => void;

function usersOf(user: string | undefined): Passer[] {
  try {
    return findWebServerUsers(user);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The program that is looked at: its file, and the words that start it. */
function programOf(given: string | undefined): { file?: string; command: [string, ...string[]] } {
  const file = given ?? (existsSync("mysite.fcgi") ? "mysite.fcgi" : isCompiled() ? programFile() : undefined);
  if (file !== undefined) return { file: resolve(file), command: [resolve(file)] };
  // From source: the runtime with its own words, without those of the command.
  const [runtime, ...words] = ownCommand();
  const script = words.findIndex((word) => isAbsolute(word) && word === startedFile);
  return { command: [runtime, ...words.slice(0, script + 1)] };
}

async function asManaged({ program, json }: Options, tell: TellFindings): Promise<void> {
  const { file, command } = programOf(program);
  if (file === undefined) tell([unchecked("program file", "because this runs from source: give program=mysite.fcgi")]);
  else tell(checkProgramFile(file, []));
  const { findings, output, answer } = await runManaged(command, file === undefined ? process.cwd() : undefined);
  tell(findings);
  if (json) return;
  const show = (title: string, text: string) => {
    const lines = text.trimEnd().split("\n").map((line) => `  ${printable(line)}\n`);
    process.stdout.write(`\n${title}\n${lines.join("")}`);
  };
  if (answer) show(`The page, status ${answer.status}:`, answer.text || "(empty)");
  show("What the program wrote:", output || "(nothing)");
}

async function lookAround(
  options: Options,
  app: string | undefined,
  embedded: Embedded | undefined,
  users: readonly Passer[],
  tell: TellFindings,
): Promise<void> {
  const { file } = programOf(options.program);
  if (options.url && isElsewhere(options, app, embedded)) {
    const why = isHost ? "none of the site is here" : "this computer is not the host";
    tell([unchecked("files", `because ${why}: what follows is what visitors see`)]);
    tell(await visit(options.url, { remote: true }));
    return;
  }
  // From source there is none, unless one is given.
  if (file !== undefined) tell(checkProgramFile(file, []));
  tell(checkLimits());
  const beside = embedded || file === undefined ? undefined : findApp(file);
  const chosen = chooseApp({ app: app ?? beside }, embedded, true);
  const started = file !== undefined && /\.f?cgi$/.test(file) ? file : undefined;
  if (chosen.file !== undefined) tell([checkApplication(chosen.file, options.user), ...checkEncoding(chosen.file)]);
  else if (embedded) tell([ok("application", "it is inside this program")]);
  else if (started !== undefined) tell([missingApplication(started)]);
  else tell([unchecked("application", "because there is none: give its file")]);
  if (options.pidfile !== undefined) {
    tell([checkPidfile(options.pidfile)]);
    if (chosen.file !== undefined) tell(checkCode(chosen.file, options.pidfile));
  }
  if (options.errlog !== undefined) tell([checkLog(options.errlog)]);
  else if (started !== undefined) tell(checkOwnLog(started));
  if (options.socket === undefined && options.port === undefined) {
    const reason = "because neither socket nor port is given. Where the web server starts the program: doctor as=mod_fcgid";
    tell([unchecked("endpoint", reason)]);
    const htaccess = findHtaccess(file);
    const closed = closedTo(htaccess, users);
    tell(closed ? [closed] : checkHtaccess(htaccess, started));
    if (started !== undefined && isHost) tell(checkOpen([chosen.file, htaccess.path, packedBeside(started)]));
    if (options.url) tell(await visit(options.url, { htaccess, closed: closed !== undefined, program: file, app: chosen.file }));
    return;
  }
  await lookAtEndpoint(options, endpointOf(options), chosen.file, users, tell);
}

/** Hosts have Linux: elsewhere, the files of a site are those that are to be uploaded. */
const isHost = process.platform === "linux";

/** Whether nothing of the site runs here, as on the computer of who uploads it. */
function isElsewhere({ program, socket, port }: Options, app: string | undefined, embedded: Embedded | undefined): boolean {
  if ([program, socket, port, app, embedded].some((one) => one !== undefined)) return false;
  if (!isHost) return true;
  return findApp(programFile()) === undefined && !["mysite.fcgi", ".htaccess"].some((name) => existsSync(name)) &&
    !/\.f?cgi$/.test(programFile());
}

async function lookAtEndpoint(
  options: Options,
  address: Address,
  app: string | undefined,
  users: readonly Passer[],
  tell: TellFindings,
): Promise<void> {
  const { protocol = "fcgi", secret, packetsize: packetSize, url } = options;
  const { finding, listens } = await checkAnswer({ address, protocol, secret, packetSize });
  if (url === undefined || listens) {
    tell([finding]);
    if (address.transport === "unix") tell(checkSocket(address.path, users));
    if (url === undefined) return;
    tell(await visit(url, { stranger: !await knowsDoctor({ address, protocol, secret, packetSize }) }));
    tell([notProbed("because the program runs on the endpoint. Stop it for a moment and run this again")]);
    return;
  }
  const { handler, word } = makeProbe();
  const { mode, trust, socket, host, port, scriptname: scriptName, frontcontroller } = options;
  const frontControllers = [...frontcontroller === undefined ? [] : [frontcontroller], ...ownPathsOf(app)];
  try {
    const onError = (error: Error) => void process.stderr.write(`runfcgi: ${error.message}\n`);
    const server = await serveWorker(
      { socket, host, port, protocol, secret, packetSize, mode, trust, scriptName, frontControllers, onError },
      handler,
    );
    tell([ok("endpoint", "nothing runs there: the doctor serves it now")]);
    try {
      if (address.transport === "unix") tell(checkSocket(address.path, users));
      tell(await checkThrough(url, word, protocol));
    } finally {
      await server.shutdown(0);
    }
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    tell([{ ...finding, state: "problem", text: error.message, fix: "Give an endpoint that this user may make." }]);
    tell([notProbed("because the doctor cannot serve the endpoint")]);
  }
}
