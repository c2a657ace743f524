/**
 * The options of serving in one table, each with its default, help and check.
 *
 * @module
 */
import { closeSync, readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { isScriptName, type UrlChoice } from "../gateway/url.ts";
import { DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE } from "../protocol/ajp/wire.ts";
import { Trust, type TrustedHeader, trustedHeaders } from "../protocol/http/forwarded.ts";
import { labels, type Role } from "../protocol/protocol.ts";
import type { Inspector } from "../runtime/inspect.ts";
import { openRegular } from "../runtime/rights.ts";
import { accessFormatter } from "../server/access_log.ts";
import { isStandard } from "../server/log_file.ts";
import { defaultLimits, type Limits } from "../server/limits.ts";
import type { EndpointProtocol } from "../protocol/protocols.ts";
import { spoolFolder } from "../server/spool.ts";
import { WebServers } from "../server/web_servers.ts";
import { isEnvPattern } from "./env_from.ts";
import type { SendFile, StaticOptions } from "../handlers/static/handler.ts";
import { isPrefix } from "../handlers/static/prefix.ts";
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

/** Where the status page has an endpoint of its own. */
export type StatusEndpoint = { socket: string; host?: undefined; port?: undefined } | {
  host: string;
  port: number;
  socket?: undefined;
};

/** Titles of the parts of the help. */
export const groups = {
  endpoint: "Where it listens, and which protocol it speaks",
  site: "What it serves besides or instead of an application",
  process: "Processes",
  reload: "Reloading and replacing workers",
  log: "Logs and status",
  limit: "Limits",
} as const;

const boolean: Kind<boolean> = {
  name: "true or false",
  words: ["true", "false"],
  // Django's spellings.
  read: (value) => /^(1|t|true|y|yes|on)$/i.test(value) ? true : /^(0|f|false|n|no|off)$/i.test(value) ? false : undefined,
};
const method: Kind<"threaded" | "prefork"> = {
  name: "threaded or prefork",
  words: ["threaded", "prefork"],
  read: (value) => ({ threaded: "threaded", thread: "threaded", prefork: "prefork", fork: "prefork" } as const)[value],
};
const envPatterns: Kind<string[]> = {
  name: "names or prefixes with a star, except those that describe a request (HTTP_*, REQUEST_* …)",
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
const logFile: Kind<string> = {
  name: "the path of a file; without it, all goes to standard output and standard error",
  read: (value) => value === "" || isStandard(value) ? undefined : value,
};
const logPath = text("a path, - or stdout, stderr, syslog, or journal");
const accessFormat: Kind<string> = {
  name: "combined, json, or a pattern with directives of Apache such as %h",
  words: ["combined", "json"],
  read: (value) => {
    if (value === "combined" || value === "json") return value;
    if (!value.includes("%")) return undefined;
    try {
      accessFormatter(value);
      return value;
    } catch (error) {
      throw new UsageError(`accessformat is "${value}", in which ${(error as Error).message}`);
    }
  },
};
const statusEndpoint: Kind<StatusEndpoint> = {
  name: "a port, an address and a port, or the path of a Unix socket",
  read: (value) => {
    const [, host, digits] = /^(?:([^/]+):)?(\d{1,5})$/.exec(value) ?? [];
    if (digits === undefined) return value.includes("/") ? { socket: value } : undefined;
    const port = Number(digits);
    return port <= 65535 ? { host: host?.replace(/^\[|\]$/g, "") ?? "127.0.0.1", port } : undefined;
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
  name: "a secret, or @ and the path of a file that contains it",
  read: (value) => value.startsWith("@") ? secretIn(value.slice(1)) : value || undefined,
};

/** Maximum bytes of a file with a secret. */
const MAX_SECRET = 4096;

/** Reads a secret from a file. @throws {UsageError} if it cannot be read, is empty, or is readable by everybody */
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
    if (stats.size > MAX_SECRET) throw wrong(`it is longer than ${MAX_SECRET} bytes`);
    const text = readFileSync(fd, "utf8").trim();
    if (text === "") throw wrong("it is empty");
    return text;
  } finally {
    closeSync(fd);
  }
}

const staticFolder: Kind<Pick<StaticOptions, "prefix" | "folder">> = {
  name: "a path that begins and ends with a slash, an equals sign and a folder",
  read: (value) => {
    const [, prefix, folder] = /^([^=]*)=(.+)$/s.exec(value) ?? [];
    return prefix !== undefined && isPrefix(prefix) ? { prefix, folder } : undefined;
  },
};
const sendFile: Kind<SendFile> = {
  name: "x-sendfile, or x-accel-redirect= and a path that begins and ends with a slash",
  read: (value) => {
    const [header, prefix] = value.split(/=(.*)/s);
    if (header === "x-accel-redirect" && prefix !== undefined && isPrefix(prefix)) return { header, prefix };
    return value === "x-sendfile" ? { header: value } : undefined;
  },
};
const networks: Kind<string[]> = {
  name: "addresses, networks such as 10.0.0.0/8, or loopback, private, cloudflare, all",
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

const headersOfProxies: Kind<TrustedHeader[]> = {
  name: `a list of ${trustedHeaders.join(", ")}`,
  read: (value) => {
    const words = value.split(",");
    return words.every((word) => trustedHeaders.some((known) => known === word)) ? words as TrustedHeader[] : undefined;
  },
};

const inspector: Kind<Inspector> = {
  name: "a port such as 9229, with or without an address before it, and with or without ,wait behind it",
  read: (value) => {
    const [, host, digits, wait] = /^(?:(.+):)?(\d{1,5})(,wait)?$/.exec(value) ?? [];
    const port = Number(digits);
    if (!(port > 0 && port <= 65535)) return undefined;
    return { host: host?.replace(/^\[|\]$/g, "") ?? "127.0.0.1", port, wait: wait !== undefined };
  },
};

function limit(name: keyof Limits, kind: Kind<number>, help: string) {
  const value = String(defaultLimits[name]);
  return { kind, default: value, help, example: `${name.toLowerCase()}=${value}` };
}

/** An option of serving. */
interface ServingOption extends Option {
  default: string;
  /** The part of the help that begins with this option. */
  group?: keyof typeof groups;
}

/** All options by name, in the order of the help. */
export const optionTable = {
  protocol: {
    group: "endpoint",
    kind: oneOf(Object.keys(labels) as EndpointProtocol[]),
    default: "fcgi",
    help: "Protocol that the web server speaks: fcgi, scgi, ajp, uwsgi, http, or auto to detect it for each connection.",
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
    default: "set by the umask",
    help: "Permissions of the Unix socket.",
    example: "mode=660",
  },
  host: {
    kind: text("an address"),
    default: "127.0.0.1",
    help: "Address to listen on, together with port. IPv6 without brackets: host=::1.",
    example: "host=127.0.0.1",
  },
  port: { kind: port, default: "none", help: "TCP port to listen on.", example: "port=3033" },
  fd: {
    kind: number("a descriptor", 0, 65535),
    default: "0, if it is a listening socket",
    help: "Listening socket inherited from the process that started this program.",
    example: "fd=3",
  },
  backlog: {
    kind: count,
    default: "511",
    help: "Maximum number of connections that wait in the kernel.",
    example: "backlog=1024",
  },
  roles: {
    kind: roles,
    default: "responder",
    help: "FastCGI roles that the application plays. Requests for other roles are refused.",
    example: "roles=responder,authorizer",
  },
  secret: {
    kind: secret,
    default: "none; AJP then listens on loopback and Unix sockets only",
    help: "AJP: secret that the web server must send with every request. Write @ and a file that contains it, since all " +
      "users can see the arguments of a command.",
    example: "secret=@/etc/mysite.secret",
  },
  packetsize: {
    kind: number(
      `a number of bytes from ${DEFAULT_PACKET_SIZE} to ${MAX_PACKET_SIZE}`,
      DEFAULT_PACKET_SIZE,
      MAX_PACKET_SIZE,
    ),
    default: String(DEFAULT_PACKET_SIZE),
    help: "AJP: maximum packet size in bytes. The web server needs the same setting.",
    example: "packetsize=65536",
  },
  trust: {
    kind: networks,
    default: "none; over HTTP, clients on a Unix socket",
    help: "Proxies that are trusted to report the visitor's address and scheme, by X-Forwarded-For and X-Forwarded-Proto: " +
      "addresses, networks, loopback, private, cloudflare or all.",
    example: "trust=127.0.0.1,10.0.0.0/8",
  },
  trustheaders: {
    kind: headersOfProxies,
    default: "none, since proxies pass them on as visitors sent them",
    help: "What else is used of trusted proxies: host, port and prefix (X-Forwarded-Host, -Port, -Prefix) and forwarded " +
      "(RFC 7239). They must set or remove it.",
    example: "trustheaders=host,port",
  },
  proxyprotocol: {
    kind: boolean,
    default: "false",
    help: "HTTP: connections begin with the PROXY protocol (version 1 or 2), which says where the visitor comes from, and only " +
      "proxies in trust may connect.",
    example: "proxyprotocol=true",
  },
  scriptname: {
    kind: scriptName,
    default: "what the web server reports",
    help: "Path at which visitors reach the application, for a web server that strips it.",
    example: "scriptname=/app",
  },
  urlfrom: {
    kind: oneOf<UrlChoice>(["visitor", "target"]),
    default: "target, or visitor where the target is the program's own file",
    help: "URL that the application sees after an internal redirect or in a subrequest (error_page, auth_request, SSI): " +
      "the one that the visitor requested, or the target to which the web server went.",
    example: "urlfrom=visitor",
  },
  frontcontroller: {
    kind: frontController,
    default: "/mysite.fcgi for mysite.ts, and any .fcgi file of Apache and lighttpd",
    help: "File to which the web server sends all URLs, as try_files $uri /index.php does. Requests that arrive there, for " +
      "error pages too, have the URL that the visitor requested.",
    example: "frontcontroller=/index.php",
  },
  earlyhints: {
    kind: boolean,
    default: "false",
    help: "HTTP: sends early hints (103) of the application, which Apache, Caddy, HAProxy and lighttpd pass on. nginx before " +
      "1.29 breaks on them.",
    example: "earlyhints=true",
  },
  preview: {
    kind: port,
    default: "none",
    help: "Also serves HTTP on 127.0.0.1, by asking the endpoint as a web server would. Without an endpoint, it creates one.",
    example: "preview=8000",
  },
  exec: {
    group: "site",
    kind: text("a command"),
    default: "none",
    help: "Program that speaks HTTP, served instead of an application. It listens on the Unix socket {socket}, or on the " +
      "port {port}, which is also in the variable PORT.",
    example: 'exec="gunicorn mysite.wsgi --bind unix:{socket}"',
  },
  execjs: {
    kind: text("a file"),
    default: "none",
    help: "The same as exec for a JavaScript or TypeScript server, which the runtime of this program runs: Bun, if it is " +
      "compiled. It needs no other runtime.",
    example: "execjs=server.js",
  },
  static: {
    kind: staticFolder,
    default: "none",
    help:
      "Folder of files that are served below a path. Below /, anything that is not a file goes to the application. Repeatable.",
    example: "static=/media/=./media",
    repeatable: true,
  },
  pages: {
    kind: text("a path"),
    default: "the application's folder",
    help: "Folder with pages of the site's own: 404.html, 500.html, 503.html and maintenance.html (see help down).",
    example: "pages=/srv/mysite/pages",
  },
  sendfile: {
    kind: sendFile,
    default: "none",
    help: "Header that makes the web server send static files itself: x-sendfile, or x-accel-redirect=/internal/.",
    example: "sendfile=x-sendfile",
  },
  method: {
    group: "process",
    kind: method,
    default: "threaded (Django: prefork)",
    help: "How requests share the processors: threads of one process, or child processes that take one request at a time.",
    example: "method=prefork",
  },
  threads: {
    kind: count,
    default: "one per processor, 1 with prefork (see help budget)",
    help: "Threads per process, each an event loop with its own copy of the application.",
    example: "threads=4",
  },
  minspare: {
    kind: countOrNone,
    default: "2",
    help: "Prefork: minimum number of idle processes. 0 keeps none where nobody asks for anything (see idleexit).",
    example: "minspare=2",
  },
  maxspare: {
    kind: count,
    default: "5",
    help: "Prefork: maximum number of idle processes.",
    example: "maxspare=5",
  },
  maxchildren: {
    kind: count,
    default: "what the host has room for, at most 50 (see help budget)",
    help: "Maximum number of processes with prefork, of threads otherwise. Further requests wait in the kernel.",
    example: "maxchildren=20",
  },
  idleexit: {
    kind: seconds,
    default: "0 (never); 60 with minspare=0",
    help:
      "Seconds without a request after which no worker runs until somebody connects. If systemd holds the socket, the whole " +
      "server ends.",
    example: "idleexit=60",
  },
  concurrency: {
    kind: countOrNone,
    default: "1 with prefork, otherwise 0 (no limit)",
    help: "Requests that one worker takes at a time. Further connections are left to other workers.",
    example: "concurrency=10",
  },
  daemonize: {
    kind: boolean,
    default: "true with a pidfile, otherwise false",
    help: "Goes to the background once the endpoint is open and the application is loaded. If that fails, the command says " +
      "why and exits with 1.",
    example: "daemonize=true",
  },
  pidfile: {
    kind: text("a path"),
    default: "none",
    help: "File for the process ID. A stale one is replaced, one of a running process is an error.",
    example: "pidfile=/run/mysite.pid",
  },
  workdir: {
    kind: text("a path"),
    default: "where it was started",
    help: "Working directory of the server.",
    example: "workdir=/srv/mysite",
  },
  umask: {
    kind: mask,
    default: "022 in the background, otherwise unchanged",
    help: "Permissions that new files do not get, in octal.",
    example: "umask=027",
  },
  user: {
    kind: text("a user"),
    default: "none",
    help: "User who runs the application, once the endpoint is open. Needs root.",
    example: "user=www-data",
  },
  group: {
    kind: text("a group"),
    default: "the user's own",
    help: "Group that runs the application and owns the Unix socket. Needs root.",
    example: "group=www-data",
  },
  env: {
    kind: assignment,
    repeatable: true,
    default: "none",
    help: "Variable of the application's environment. Repeatable.",
    example: "env=DATABASE=/srv/mysite.db",
  },
  envfile: {
    kind: text("a path"),
    default: "none; the log names a .env that was not read",
    help: "File with variables of the application's environment, NAME=VALUE on each line. Variables that are set already stay.",
    example: "envfile=.env",
  },
  envfrom: {
    kind: envPatterns,
    default: "none",
    help: "Params of the first request that become environment variables, such as those of SetEnv in a .htaccess. The " +
      "application is loaded when that request arrives.",
    example: "envfrom=DATABASE_URL,MYSITE_*",
  },
  maxrequests: {
    group: "reload",
    kind: countOrNone,
    default: "0 (no limit)",
    help: "Requests after which a worker is replaced.",
    example: "maxrequests=1000",
  },
  maxmemory: {
    kind: countOrNone,
    default: "0 (no limit)",
    help: "Memory in MiB above which a process is replaced, once its requests are finished.",
    example: "maxmemory=256",
  },
  maxage: {
    kind: seconds,
    default: "0 (no limit)",
    help: "Seconds after which a worker is replaced.",
    example: "maxage=86400",
  },
  watch: {
    kind: boolean,
    default: "true",
    help: "Loads new code when a module of the application or the program itself changes.",
    example: "watch=false",
  },
  timeout: {
    kind: seconds,
    default: "0 (none); 30 s of uninterrupted processor time when started by a web server",
    help: "Seconds that the application has for a request. Then the visitor gets a 504, and a worker that hangs is ended.",
    example: "timeout=60",
  },
  loadtimeout: {
    kind: seconds,
    default: "60",
    help: "Seconds that a worker has to load the application. Then it is ended, and what was to load it fails: a start in the " +
      "background, `reload`, `restart`. 0 for no limit.",
    example: "loadtimeout=300",
  },
  grace: {
    kind: seconds,
    default: "30; 2.5 when started by a web server",
    help: "Seconds that requests have to finish when the server stops, and event streams when their worker is replaced.",
    example: "grace=10",
  },
  errlog: {
    group: "log",
    kind: logFile,
    default: "none",
    help: "File that receives a copy of standard error; in the background, the only place where it goes.",
    example: "errlog=/home/me/mysite.log",
  },
  outlog: {
    kind: logFile,
    default: "none",
    help: "File that receives the standard output of the application.",
    example: "outlog=/home/me/mysite.out",
  },
  accesslog: {
    kind: logPath,
    default: "none",
    help: "File that receives a line for each request; or - or stdout, stderr, syslog (by the program logger), or journal (by " +
      "systemd-cat).",
    example: "accesslog=/home/me/access.log",
  },
  accessformat: {
    kind: accessFormat,
    default: "combined",
    help: "Format of the access log: Apache's combined format followed by the seconds that the request took; json; or a " +
      "pattern of Apache's directives: %a %b %B %D %h %H %l %m %p %P %q %r %s %t %T %u %U %v %V %X %%, %{NAME}i for a header " +
      "and %{NAME}e for a CGI variable.",
    example: "accessformat='%h %s %D \"%r\"'",
  },
  logskip: {
    kind: urlPath,
    default: "none",
    help: "Path whose requests are not in the access log; with a slash at its end, all below it. Repeatable.",
    example: "logskip=/ping",
    repeatable: true,
  },
  slowlog: {
    kind: logPath,
    default: "none",
    help: "File that receives a line for each request that takes longer than slowtime; or what accesslog may be.",
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
    default: "0 (off)",
    help: "How many requests that fail (status 500 and above, or invalid input) are kept byte by byte in capture-1.bin and " +
      "so on, with secrets blanked, for the commands explain and replay.",
    example: "capture=10",
  },
  capturedir: {
    kind: text("a path"),
    default: "the folder of errlog; else the working directory, with names that begin with .ht, which Apache never serves",
    help: "Folder for captured requests.",
    example: "capturedir=/home/me/captures",
  },
  status: {
    kind: urlPath,
    default: "none",
    help: "Path of a status page: HTML for browsers, text, JSON with ?json, Prometheus format with ?metrics.",
    example: "status=/status",
  },
  statuslisten: {
    kind: statusEndpoint,
    default: "none",
    help: "HTTP endpoint of its own for the status page, at / and /status, which never waits for a worker; and for /ping and " +
      "/metrics: a port of 127.0.0.1, an address and a port, or the path of a Unix socket.",
    example: "statuslisten=9100",
  },
  ping: {
    kind: urlPath,
    default: "none",
    help: 'Path that is answered with "pong" without calling the application, or with 503 while it cannot be loaded.',
    example: "ping=/ping",
  },
  ownerkey: {
    kind: text("a path"),
    default: "where a web server starts mysite.fcgi, .htmysite.key beside it, as init writes it",
    help: "File with the key of the owner's page, /.runfcgi, which is off without it.",
    example: "ownerkey=/home/me/mysite.key",
  },
  debug: {
    kind: boolean,
    default: "false; true in a preview without an endpoint",
    help: "Shows errors of the application to visitors. Not for public sites.",
    example: "debug=true",
  },
  inspect: {
    kind: inspector,
    default: "none",
    help: "Port of 127.0.0.1 for a debugger of the application, in the one worker that there is then. inspect=9229,wait loads " +
      "the application when a debugger has connected.",
    example: "inspect=9229",
  },
  maxconnections: {
    group: "limit",
    ...limit(
      "maxConnections",
      count,
      "Maximum number of connections, as far as the limit of open files allows. Further ones wait.",
    ),
  },
  maxconcurrent: limit("maxConcurrent", count, "Maximum number of requests at a time on one connection. Further ones get a 503."),
  maxparams: limit("maxParams", count, "Maximum number of CGI variables of a request. More get a 431."),
  maxparamsbytes: limit("maxParamsBytes", count, "Maximum bytes of all CGI variables of a request. More get a 431."),
  maxunread: limit("maxUnread", count, "Bytes of request bodies held for the application before the web server has to wait."),
  maxdiscard: limit("maxDiscard", count, "Bytes of a request body that are read and dropped after an early response."),
  maxspool: limit(
    "maxSpool",
    countOrNone,
    "Bytes of a request body that go to a file while its response waits or is not read; four times as many for all " +
      "requests of a worker together. More get a 413.",
  ),
  spooldir: {
    kind: spoolPath,
    default: "the system's temporary folder",
    help: "Folder for these files, which have no name: an absolute path.",
    example: "spooldir=/var/tmp",
  },
  duplex: {
    kind: boolean,
    default: "false",
    help: "Sends the head of a response before the request body has arrived, for web servers that read while they write.",
    example: "duplex=true",
  },
  headtimeout: limit("headTimeout", seconds, "Seconds from the first to the last byte of a request's head."),
  readtimeout: limit("readTimeout", seconds, "Seconds without a byte in the middle of a request."),
  writetimeout: limit("writeTimeout", seconds, "Seconds in which the web server takes nothing of a response."),
  idletimeout: limit("idleTimeout", seconds, "Seconds that a kept connection may be without a request."),
  lingertimeout: limit(
    "lingerTimeout",
    seconds,
    "Seconds that the web server has to close a connection after its last response.",
  ),
} satisfies Readonly<Record<string, ServingOption>>;

/** Options that name a server that runs. */
export const namingOptions = {
  pidfile: { ...optionTable.pidfile, default: undefined, help: "The server with this pidfile." },
  socket: { ...optionTable.socket, default: undefined, help: "The server on this Unix socket." },
} as const;

/** Name of an option. */
export type OptionName = keyof typeof optionTable;
/** Options that were given, parsed and checked. */
export type Options = OptionsOf<typeof optionTable>;

/**
 * Options from the environment, such as `RUNFCGI_MAXREQUESTS=1000`; repeatable ones have a value a line.
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

/** Checks it before workers are started. */
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
    // The kind of application, which is not an option.
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

/** Adds to an error where the option came from, if not from the command line. */
function named(where: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${error.message} (${where})`);
    throw error;
  }
}

/** @throws {UsageError} for several endpoints, or a host without a port */
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
