/**
 * The options of serving: each with its default, its help and its check, in one table.
 *
 * @module
 */
import { closeSync, readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { isScriptName, type UrlChoice } from "../gateway/url.ts";
import { DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE } from "../protocol/ajp/wire.ts";
import { Trust } from "../protocol/http/forwarded.ts";
import type { Role } from "../protocol/protocol.ts";
import { openRegular } from "../runtime/rights.ts";
import type { AccessFormat } from "../server/access_log.ts";
import { defaultLimits, type Limits } from "../server/limits.ts";
import { type EndpointProtocol, protocols } from "../protocol/protocols.ts";
import { spoolFolder } from "../server/spool.ts";
import { WebServers } from "../server/web_servers.ts";
import { isEnvPattern } from "./env_from.ts";
import { isPrefix, type SendFile, type StaticOptions } from "../handlers/static/handler.ts";
import {
  assignment,
  count,
  type Kind,
  number,
  oneOf,
  type Option,
  type OptionsOf,
  seconds,
  setOption,
  suggestion,
  text,
  UsageError,
} from "./arguments.ts";

/** Parts of the help. */
export const groups = {
  endpoint: "Where it listens, and what it speaks",
  site: "What it serves instead of an application, or besides it",
  process: "Processes",
  reload: "New code and old workers",
  log: "Logs and status",
  limit: "Limits",
} as const;

const boolean: Kind<boolean> = {
  name: "true or false",
  // Django's spellings.
  read: (value) => /^(1|t|true|y|yes|on)$/i.test(value) ? true : /^(0|f|false|n|no|off)$/i.test(value) ? false : undefined,
};
const method: Kind<"threaded" | "prefork"> = {
  name: "threaded or prefork",
  read: (value) => ({ threaded: "threaded", thread: "threaded", prefork: "prefork", fork: "prefork" } as const)[value],
};
const envPatterns: Kind<string[]> = {
  name: "a list of names, or of their begins with a star, and none that tells of a visitor (HTTP_*, REQUEST_* …)",
  read: (value) => {
    const words = value.split(",");
    return words.every(isEnvPattern) ? words : undefined;
  },
};
const spoolPath: Kind<string> = {
  name: "the absolute path of a folder",
  read: (value) => {
    if (!isAbsolute(value)) return undefined;
    try {
      return spoolFolder(value);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  },
};
const urlPath: Kind<string> = {
  name: "a path that begins with a slash",
  read: (value) => value.startsWith("/") ? value : undefined,
};
const scriptName: Kind<string> = {
  name: "a path such as /app, or nothing for the root of the host",
  read: (value) => {
    const path = value.replace(/\/+$/, "");
    return isScriptName(path) ? path : undefined;
  },
};
const frontController: Kind<string> = {
  name: "a path such as /index.php",
  read: (value) => value !== "" && isScriptName(value) ? value : undefined,
};
const mask: Kind<number> = {
  name: "an octal mask such as 027",
  read: (value) => /^0?[0-7]{1,3}$/.test(value) ? parseInt(value, 8) : undefined,
};
const port = number("a port from 0 to 65535", 0, 65535);
const countOrNone = number("a whole number", 0, Number.MAX_SAFE_INTEGER);
const permissions: Kind<number> = {
  name: "octal permissions such as 660",
  read: (value) => /^0?[0-7]{3}$/.test(value) ? parseInt(value, 8) : undefined,
};
const roles: Kind<Role[]> = {
  name: "a list of responder, authorizer, filter",
  read: (value) => {
    const known: readonly string[] = ["responder", "authorizer", "filter"] satisfies Role[];
    const words = value.split(",");
    return words.every((word) => known.includes(word)) ? words as Role[] : undefined;
  },
};

const secret: Kind<string> = {
  name: "a word, or @ and the path of a file that has it",
  read: (value) => value.startsWith("@") ? secretIn(value.slice(1)) : value || undefined,
};

/** Bytes of a file with a secret. */
const MAX_SECRET = 4096;

/** The secret in a file. @throws {UsageError} when there is none, or everybody can read it */
function secretIn(file: string): string {
  const wrong = (reason: string) => new UsageError(`the secret cannot be read from "${file}": ${reason}`);
  let opened: ReturnType<typeof openRegular>;
  try {
    opened = openRegular(file);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  const { fd, stats } = opened;
  try {
    if (stats.mode & 0o004) throw wrong(`every user can read it. Run: chmod o= ${file}`);
    if (stats.size > MAX_SECRET) throw wrong(`it has more than ${MAX_SECRET} bytes`);
    const text = readFileSync(fd, "utf8").trim();
    if (text === "") throw wrong("it is empty");
    return text;
  } finally {
    closeSync(fd);
  }
}

const staticFolder: Kind<Pick<StaticOptions, "prefix" | "folder">> = {
  name: "a path with a slash at both ends, an equals sign and a folder",
  read: (value) => {
    const [, prefix, folder] = /^([^=]*)=(.+)$/s.exec(value) ?? [];
    return prefix !== undefined && isPrefix(prefix) ? { prefix, folder } : undefined;
  },
};
const sendFile: Kind<SendFile> = {
  name: "x-sendfile, or x-accel-redirect= and a path with a slash at both ends",
  read: (value) => {
    const [header, prefix] = value.split(/=(.*)/s);
    if (header === "x-accel-redirect" && prefix !== undefined && isPrefix(prefix)) return { header, prefix };
    return value === "x-sendfile" ? { header: value } : undefined;
  },
};
const networks: Kind<string[]> = {
  name: "addresses, networks such as 10.0.0.0/8, or the words loopback, private, all",
  read: (value) => {
    const words = value.split(",");
    try {
      new Trust(words);
      return words;
    } catch (error) {
      throw new UsageError(`trust is "${value}", of which ${(error as Error).message}: expected ${networks.name}`);
    }
  },
};

function limit(name: keyof Limits, kind: Kind<number>, help: string) {
  const value = String(defaultLimits[name]);
  return { kind, default: value, help, example: `${name.toLowerCase()}=${value}` };
}

/** An option of serving: the help shows what happens without it, under the title of its group. */
interface ServingOption extends Option {
  default: string;
  /** The part of the help; default is that of the option before it. */
  group?: keyof typeof groups;
}

/** All options by name, in the order of the help. */
export const optionTable = {
  protocol: {
    group: "endpoint",
    kind: oneOf([...Object.keys(protocols), "auto"] as EndpointProtocol[]),
    default: "fcgi",
    help: "What the web server speaks: fcgi, scgi, ajp, uwsgi or http, or auto for whichever of them a connection speaks.",
    example: "protocol=fcgi",
  },
  socket: {
    kind: text("a path"),
    default: "none",
    help: "Unix socket to listen on. A stale one is replaced, one in use is an error.",
    example: "socket=/run/mysite.sock",
  },
  mode: {
    kind: permissions,
    default: "what the umask leaves",
    help: "Permissions of the Unix socket.",
    example: "mode=660",
  },
  host: {
    kind: text("an address"),
    default: "127.0.0.1",
    help: "Address to listen on, together with port. IPv6 as it is: host=::1.",
    example: "host=127.0.0.1",
  },
  port: { kind: port, default: "none", help: "TCP port to listen on.", example: "port=3033" },
  fd: {
    kind: number("a descriptor", 0, 65535),
    default: "0, if a listening socket is there",
    help: "Listening socket that whoever started this program handed over.",
    example: "fd=3",
  },
  backlog: {
    kind: count,
    default: "511",
    help: "Connections that wait in the kernel at most.",
    example: "backlog=1024",
  },
  roles: {
    kind: roles,
    default: "responder",
    help: "FastCGI roles that the application plays. Requests for others are refused.",
    example: "roles=responder,authorizer",
  },
  secret: {
    kind: secret,
    default: "none, which AJP takes on loopback addresses and Unix sockets only",
    help: "What the web server has to bring with every request over AJP: @ and a file that has it, since all users can see " +
      "the words of a command.",
    example: "secret=@/etc/mysite.secret",
  },
  packetsize: {
    kind: number(
      `a number of bytes from ${DEFAULT_PACKET_SIZE} to ${MAX_PACKET_SIZE}`,
      DEFAULT_PACKET_SIZE,
      MAX_PACKET_SIZE,
    ),
    default: String(DEFAULT_PACKET_SIZE),
    help: "Length of AJP packets; a web server has to be told of another.",
    example: "packetsize=65536",
  },
  trust: {
    kind: networks,
    default: "none, and who comes over a Unix socket",
    help: "Proxies that are believed what they say of the visitor over HTTP, such as X-Forwarded-For.",
    example: "trust=127.0.0.1,10.0.0.0/8",
  },
  scriptname: {
    kind: scriptName,
    default: "what the web server says",
    help: "Path that leads to the application, as visitors see it. A web server that cuts it off needs this.",
    example: "scriptname=/app",
  },
  urlfrom: {
    kind: oneOf<UrlChoice>(["visitor", "target"]),
    default: "target, and visitor where the web server went to the program's file",
    help: "The URL that the application sees after an internal redirect or in a subrequest of the web server (error_page, " +
      "auth_request, SSI): the one that the visitor typed, or the one that the web server went to.",
    example: "urlfrom=visitor",
  },
  frontcontroller: {
    kind: frontController,
    default: "/mysite.fcgi for mysite.ts, and any .fcgi of Apache and lighttpd",
    help: "File to which the web server leads all URLs, as try_files $uri /index.php does. What is answered there has the URL " +
      "that the visitor typed, and so has an error page that is there.",
    example: "frontcontroller=/index.php",
  },
  preview: {
    kind: port,
    default: "none",
    help: "Also answers HTTP on 127.0.0.1, by asking the endpoint like a web server. Without an endpoint it makes one.",
    example: "preview=8000",
  },
  exec: {
    group: "site",
    kind: text("a command"),
    default: "none",
    help: "Runs a program that speaks HTTP, and serves that instead of an application. It listens on the Unix socket {socket}, " +
      "or on the port {port}, which is in the variable PORT, too.",
    example: 'exec="gunicorn mysite.wsgi --bind unix:{socket}"',
  },
  static: {
    kind: staticFolder,
    default: "none",
    help: "Folder whose files are served below a path; below / the application gets what is not there. Can be repeated.",
    example: "static=/media/=./media",
    repeatable: true,
  },
  sendfile: {
    kind: sendFile,
    default: "none",
    help: "Header by which the web server is told to send static files itself: x-sendfile, or x-accel-redirect=/internal/.",
    example: "sendfile=x-sendfile",
  },
  method: {
    group: "process",
    kind: method,
    default: "threaded, since one event loop serves many requests; Django's was prefork",
    help: "How requests share the processors: threads of one process, or child processes that take one request at a time.",
    example: "method=prefork",
  },
  threads: {
    kind: count,
    default: "one for each processor, 1 with prefork (see help=budget)",
    help: "Threads of a process, each an event loop with its own copy of the application.",
    example: "threads=4",
  },
  minspare: {
    kind: count,
    default: "2",
    help: "Prefork: idle processes that are kept ready.",
    example: "minspare=2",
  },
  maxspare: {
    kind: count,
    default: "5",
    help: "Prefork: idle processes above this number are ended.",
    example: "maxspare=5",
  },
  maxchildren: {
    kind: count,
    default: "what the host has room for, at most Django's 50 (see help=budget)",
    help: "Prefork: processes at most. Further requests wait in the kernel. Threaded: threads at most.",
    example: "maxchildren=20",
  },
  concurrency: {
    kind: countOrNone,
    default: "1 with prefork, as in Django; otherwise 0, no limit",
    help: "Requests that one worker takes at once; it leaves further connections to others.",
    example: "concurrency=10",
  },
  daemonize: {
    kind: boolean,
    default: "true with a pidfile; Django's true for every endpoint would hide the server from who tries it",
    help: "Goes to the background once the endpoint is served and the application is loaded, or says why not.",
    example: "daemonize=true",
  },
  pidfile: {
    kind: text("a path"),
    default: "none",
    help: "File for the process ID. One of a running process is an error, a stale one is replaced.",
    example: "pidfile=/run/mysite.pid",
  },
  workdir: {
    kind: text("a path"),
    default: "where it was started; Django's / would break relative paths of the application",
    help: "Working directory of the server.",
    example: "workdir=/srv/mysite",
  },
  umask: {
    kind: mask,
    default: "022 in the background, otherwise as it is",
    help: "Permissions that new files do not get, in octal.",
    example: "umask=027",
  },
  user: {
    kind: text("a user"),
    default: "none",
    help: "User of the processes that run the application, once the endpoint is bound. Needs root.",
    example: "user=www-data",
  },
  group: {
    kind: text("a group"),
    default: "the user's own",
    help: "Group of these processes and of the Unix socket. Needs root.",
    example: "group=www-data",
  },
  env: {
    kind: assignment,
    repeatable: true,
    default: "none",
    help: "Sets a variable of the application's environment. Can be given several times.",
    example: "env=DATABASE=/srv/mysite.db",
  },
  envfrom: {
    kind: envPatterns,
    default: "none",
    help: "Params of the first request that become variables of the application's environment, such as those of SetEnv in a " +
      ".htaccess. The application is loaded then.",
    example: "envfrom=DATABASE_URL,MYSITE_*",
  },
  maxrequests: {
    group: "reload",
    kind: countOrNone,
    default: "0, no limit",
    help: "Requests that a worker serves before another takes its place.",
    example: "maxrequests=1000",
  },
  maxmemory: {
    kind: countOrNone,
    default: "0, no limit",
    help: "MiB of memory above which a process is replaced, after its requests.",
    example: "maxmemory=256",
  },
  maxage: {
    kind: seconds,
    default: "0, no limit",
    help: "Seconds after which a worker is replaced.",
    example: "maxage=86400",
  },
  watch: {
    kind: boolean,
    default: "true",
    help: "Takes over new code when a module of the application or the program changes.",
    example: "watch=false",
  },
  timeout: {
    kind: seconds,
    default: "none; 30 s of processor time in one go when started by a web server",
    help:
      "Seconds that the application has for a request; then the visitor gets a 504, and a worker that hangs is ended. 0: none.",
    example: "timeout=60",
  },
  grace: {
    kind: seconds,
    default: "30, 2.5 when started by a web server",
    help: "Seconds that requests have to finish after a signal to stop, and event streams when their worker is replaced.",
    example: "grace=10",
  },
  errlog: {
    group: "log",
    kind: text("a path"),
    default: "none",
    help: "File that gets a copy of what is written to standard error; in the background the only place for it.",
    example: "errlog=/home/me/mysite.log",
  },
  outlog: {
    kind: text("a path"),
    default: "none",
    help: "File that gets what the application writes to standard output.",
    example: "outlog=/home/me/mysite.out",
  },
  accesslog: {
    kind: text("a path"),
    default: "none",
    help: "File that gets a line for each request.",
    example: "accesslog=/home/me/access.log",
  },
  accessformat: {
    kind: oneOf<AccessFormat>(["combined", "json"]),
    default: "combined",
    help: "Form of these lines: Apache's combined format with the seconds behind it, or JSON.",
    example: "accessformat=json",
  },
  slowlog: {
    kind: text("a path"),
    default: "none",
    help: "File that gets a line for each request that takes longer than slowtime.",
    example: "slowlog=/home/me/slow.log",
  },
  slowtime: {
    kind: seconds,
    default: "5",
    help: "Seconds after which a request is slow.",
    example: "slowtime=2.5",
  },
  capture: {
    kind: countOrNone,
    default: "0, none",
    help: "Requests that fail (status 500 or above, or bytes that are not the protocol's) whose bytes are kept in files, " +
      "capture-1.bin and so on, with secrets blanked. The commands explain and replay take them.",
    example: "capture=10",
  },
  capturedir: {
    kind: text("a path"),
    default: "the folder of errlog, or the working directory, with names that begin with .ht, which Apache gives to nobody",
    help: "Folder for them.",
    example: "capturedir=/home/me/captures",
  },
  status: {
    kind: urlPath,
    default: "none",
    help: "Path of a page about the server: text, JSON with ?json, Prometheus' format with ?metrics.",
    example: "status=/status",
  },
  ping: {
    kind: urlPath,
    default: "none",
    help: 'Path that answers "pong" without calling the application.',
    example: "ping=/ping",
  },
  debug: {
    kind: boolean,
    default: "false",
    help: "Shows errors of the application to visitors. Never where strangers visit.",
    example: "debug=true",
  },
  maxconnections: {
    group: "limit",
    ...limit(
      "maxConnections",
      count,
      "Connections at once, at most as many as the limit of open files allows; further ones wait.",
    ),
  },
  maxconcurrent: limit("maxConcurrent", count, "Requests at once on one connection; further ones get a 503."),
  maxparams: limit("maxParams", count, "CGI variables of one request; more get a 431."),
  maxparamsbytes: limit("maxParamsBytes", count, "Bytes of all CGI variables of one request; more get a 431."),
  maxunread: limit("maxUnread", count, "Bytes of request bodies held for the application before the web server has to wait."),
  maxdiscard: limit("maxDiscard", count, "Bytes of a request body read and dropped after an early answer."),
  maxspool: limit(
    "maxSpool",
    countOrNone,
    "Bytes of a request body taken into a file while its response waits for it or is not taken, all together four times as " +
      "many; more get a 413.",
  ),
  spooldir: {
    kind: spoolPath,
    default: "the system's folder for temporary files",
    help: "Folder for such files, which have no name: an absolute path.",
    example: "spooldir=/var/tmp",
  },
  duplex: {
    kind: boolean,
    default: "false",
    help: "Sends the head of a response before the request's body has arrived: for web servers that read while they write.",
    example: "duplex=true",
  },
  headtimeout: limit("headTimeout", seconds, "Seconds from the first byte of a request's head to its last."),
  readtimeout: limit("readTimeout", seconds, "Seconds without a byte in the middle of a request."),
  writetimeout: limit("writeTimeout", seconds, "Seconds in which the web server takes nothing of a response."),
  idletimeout: limit("idleTimeout", seconds, "Seconds that a kept connection may be without a request."),
  lingertimeout: limit("lingerTimeout", seconds, "Seconds that the web server has to close an answered connection."),
} satisfies Readonly<Record<string, ServingOption>>;

/** Name of an option. */
export type OptionName = keyof typeof optionTable;
/** The options that were given, read and checked. */
export type Options = OptionsOf<typeof optionTable>;

/**
 * Options from the environment, such as `RUNFCGI_MAXREQUESTS=1000`; of those that can be given several times, one a line.
 *
 * @throws {UsageError}
 */
export function environmentOptions(environment: Readonly<Record<string, string | undefined>>): Options {
  const options: Options = {};
  for (const name of Object.keys(optionTable) as OptionName[]) {
    const variable = `RUNFCGI_${name.toUpperCase()}`;
    const given = environment[variable];
    if (given === undefined) continue;
    const { repeatable }: Option = optionTable[name];
    for (const value of repeatable ? given.split("\n") : [given]) {
      named(variable, () => setOption(options, name, value, optionTable));
    }
  }
  expectWebServers(environment.FCGI_WEB_SERVER_ADDRS);
  return options;
}

/** Workers would be started for nothing. */
function expectWebServers(list: string | undefined): void {
  try {
    if (list !== undefined) new WebServers(list);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/**
 * Options that an application exports as `runfcgi`: an object with strings, numbers, booleans, and lists of them.
 *
 * @throws {UsageError}
 */
export function exportedOptions(exported: unknown): Options {
  const options: Options = {};
  if (typeof exported !== "object" || exported === null) return options;
  for (const [name, given] of Object.entries(exported)) {
    // What kind of application it is.
    if (name === "app") continue;
    named(`${name} in the application's export runfcgi`, () => {
      if (!isOption(name)) throw new UsageError(`there is no option "${name}"${suggestion(name, Object.keys(optionTable))}`);
      const { repeatable }: Option = optionTable[name];
      for (const value of repeatable && Array.isArray(given) ? given : [given]) {
        setOption(options, name, String(value), optionTable);
      }
    });
  }
  return options;
}

/** Says where a wrong option came from, which is not the command line. */
function named(where: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${error.message} (${where})`);
    throw error;
  }
}

/** @throws {UsageError} for several endpoints, or a host without its port */
export function expectOneEndpoint(endpoints: { port?: number } & Record<string, unknown>, host: string | undefined): void {
  const given = Object.keys(endpoints).filter((name) => endpoints[name] !== undefined);
  if (given.length > 1) throw new UsageError(`give one of ${given.join(" and ")}`);
  if (host !== undefined && endpoints.port === undefined) {
    throw new UsageError(`host is "${host}" but there is no port: give one, such as port=3033`);
  }
}

function isOption(name: string): name is OptionName {
  return Object.hasOwn(optionTable, name);
}
