/**
 * The words of the command line: every option with its default, its help and its check, in one table.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE } from "../protocol/ajp/wire.ts";
import type { Role } from "../protocol/protocol.ts";
import { defaultLimits, type Limits } from "../server/limits.ts";
import { type EndpointProtocol, protocols } from "../server/protocols.ts";

/** The command line is wrong: one line that says how, exit status 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** How an option reads its value. Returns `undefined` for a value that it does not take. */
interface Kind<T> {
  /** For the help and for messages. */
  name: string;
  read(text: string): T | undefined;
}

interface Option<T> {
  kind: Kind<T>;
  /** What happens without it, for the help. */
  default: string;
  help: string;
  example: string;
}

const text = (name: string): Kind<string> => ({ name, read: (value) => value || undefined });

function number(name: string, minimum: number, maximum: number, pattern = /^\d+$/): Kind<number> {
  const read = (value: string) => {
    const result = pattern.test(value) ? Number(value) : NaN;
    return result >= minimum && result <= maximum ? result : undefined;
  };
  return { name, read };
}

function oneOf<T extends string>(words: readonly T[]): Kind<T> {
  return { name: words.join("|"), read: (value) => words.find((word) => word === value) };
}

const port = number("a port from 0 to 65535", 0, 65535);
const count = number("a whole number above 0", 1, Number.MAX_SAFE_INTEGER);
const seconds = number("a number of seconds", 0, 1e6, /^\d+(\.\d+)?$/);
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

function limit(name: keyof Limits, kind: Kind<number>, help: string): Option<number> {
  const value = String(defaultLimits[name]);
  return { kind, default: value, help, example: `${name.toLowerCase()}=${value}` };
}

/** All options by name, in the order of the help. */
export const optionTable = {
  protocol: {
    kind: oneOf([...Object.keys(protocols), "auto"] as EndpointProtocol[]),
    default: "fcgi",
    help: "What the web server speaks: fcgi, scgi, ajp or uwsgi, or auto for whichever of them a connection speaks.",
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
    help: "Connections that wait in the kernel. On Bun and in the compiled program always 512.",
    example: "backlog=1024",
  },
  exec: {
    kind: text("a command"),
    default: "none",
    help: "Runs a program that speaks HTTP, and serves that instead of an application. It listens on the Unix socket {socket}, " +
      "or on the port {port}, which is in the variable PORT, too.",
    example: 'exec="gunicorn mysite.wsgi --bind unix:{socket}"',
  },
  preview: {
    kind: port,
    default: "none",
    help: "Also answers HTTP on 127.0.0.1, by asking the endpoint like a web server. Without an endpoint it makes one.",
    example: "preview=8000",
  },
  errlog: {
    kind: text("a path"),
    default: "none",
    help: "File that gets a copy of what is written to standard error.",
    example: "errlog=/home/me/mysite.log",
  },
  grace: {
    kind: seconds,
    default: "30, 2.5 when started by a web server",
    help: "Seconds that requests under way have to finish after a signal to stop.",
    example: "grace=10",
  },
  roles: {
    kind: roles,
    default: "responder",
    help: "FastCGI roles that the application plays. Requests for others are refused.",
    example: "roles=responder,authorizer",
  },
  secret: {
    kind: text("a word"),
    default: "none, which AJP takes on loopback addresses and Unix sockets only",
    help: "What the web server has to bring with every request over AJP.",
    example: "secret=s3cret",
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
  maxconnections: limit("maxConnections", count, "Connections at once; requests on further ones get a 503."),
  maxconcurrent: limit("maxConcurrent", count, "Requests at once on one connection; further ones get a 503."),
  maxparams: limit("maxParams", count, "CGI variables of one request; more get a 431."),
  maxparamsbytes: limit("maxParamsBytes", count, "Bytes of all CGI variables of one request; more get a 431."),
  maxunread: limit("maxUnread", count, "Bytes of request bodies held for the application before the web server has to wait."),
  maxdiscard: limit("maxDiscard", count, "Bytes of a request body read and dropped after an early answer."),
  readtimeout: limit("readTimeout", seconds, "Seconds without a byte in the middle of a request."),
  writetimeout: limit("writeTimeout", seconds, "Seconds in which the web server takes nothing of a response."),
  idletimeout: limit("idleTimeout", seconds, "Seconds that a kept connection may be without a request."),
  lingertimeout: limit("lingerTimeout", seconds, "Seconds that the web server has to close an answered connection."),
} satisfies Record<string, Option<unknown>>;

type Table = typeof optionTable;
/** Name of an option. */
export type OptionName = keyof Table;
/** The options that were given, read and checked. */
export type Options = { -readonly [Name in OptionName]?: Table[Name] extends Option<infer T> ? T : never };

/** What the command line says. */
export interface CommandLine {
  command: "serve" | "help" | "version";
  app?: string;
  options: Options;
}

/**
 * Reads `[app] [name=value …]`; `--name value` and `--name=value` say the same.
 *
 * @throws {UsageError}
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const dashed = args.map((word) => /^[a-z]\w*=/i.test(word) ? `--${word}` : word);
  const { tokens } = parseArgs({
    args: dashed,
    options: Object.fromEntries(Object.keys(optionTable).map((name) => [name, { type: "string" as const }])),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const line: CommandLine = { command: "serve", options: {} };
  for (const token of tokens) {
    if (token.kind === "positional") readWord(token.value, line);
    else if (token.kind === "option") readOption(token.name, token.value, line);
  }
  return line;
}

function readWord(word: string, line: CommandLine): void {
  if (word === "help" || word === "version") line.command = word;
  else if (line.app === undefined) line.app = word;
  else throw new UsageError(`there are two applications, "${line.app}" and "${word}": give one`);
}

function readOption(name: string, value: string | undefined, line: CommandLine): void {
  if (name === "help" || name === "h") line.command = "help";
  else if (name === "version" || name === "V") line.command = "version";
  else if (!isOption(name)) throw new UsageError(`there is no option "${name}"${suggestion(name)}`);
  else Object.assign(line.options, { [name]: readValue(name, value) });
}

function isOption(name: string): name is OptionName {
  return Object.hasOwn(optionTable, name);
}

function readValue(name: OptionName, value: string | undefined): unknown {
  const { kind, example }: Option<unknown> = optionTable[name];
  const result = value === undefined ? undefined : kind.read(value);
  if (result !== undefined) return result;
  const given = value === undefined ? "without a value" : `"${value}"`;
  throw new UsageError(`${name} is ${given}, expected ${kind.name}, such as ${example}`);
}

function suggestion(name: string): string {
  const near = Object.keys(optionTable)
    .map((option) => ({ option, distance: editDistance(name.toLowerCase(), option) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near.distance <= 2 ? `, did you mean "${near.option}"?` : ". The command help lists all";
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
