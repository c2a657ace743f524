/**
 * The options of the command `config`: those of serving, and those that only a web server needs.
 *
 * @module
 */
import { optionTable } from "../options/options.ts";
import { type Kind, number, type OptionTable } from "../options/arguments.ts";

/** Where a program listens. */
export type Endpoint = { socket: string } | { host: string; port: number };

/** Characters without a special meaning in any of the configurations. */
const plain = String.raw`[^\s"'\\;{}()<>$|*,#%\x00-\x1f\x7f]`;

/** Text that is safe in a configuration. */
function plainText(name: string, pattern: string): Kind<string> {
  const whole = new RegExp(`^${pattern}$`);
  return { name, read: (value) => whole.test(value) ? value : undefined };
}

const plainPath = plainText("a path without spaces and quotes", `${plain}+`);
const absolutePath = plainText("a path that begins with a slash, without spaces and quotes", `/${plain}*`);
const mount = plainText("a path that begins with a slash and does not end with one", String.raw`(?:/[\w.~@+=-]+)+`);
const guardedPath = plainText("", String.raw`/(?:[\w.~@+-]+/)*`);
const guard: Kind<{ path: string; checker: string }> = {
  name: "a path that begins and ends with a slash, an equals sign and the path that decides",
  read(value) {
    const [path, checker, ...rest] = value.split("=");
    const good = guardedPath.read(path) !== undefined && mount.read(checker ?? "") !== undefined && rest.length === 0;
    return good ? { path, checker } : undefined;
  },
};
const siteName = plainText("letters, digits, - and _, for systemd with @ at the end", String.raw`[\w-]+@?`);
const secretWord = plainText("text without spaces and quotes", `${plain}+`);

const domain = /^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*$/i;
const domains: Kind<string[]> = {
  name: "host names, separated by commas",
  read: (value) => value.split(",").every((name) => domain.test(name)) ? value.split(",") : undefined,
};

const address = /^(?:(\*|[\w.-]+|\[[\da-f:.]+\]):)?(\d+)$/i;

/** `[host:]port`, with IPv6 in brackets. */
function addressOf(text: string): { host?: string; port: number } | undefined {
  const [, host, port] = address.exec(text) ?? [];
  return Number(port) > 0 && Number(port) < 65536 ? { host: host === "*" ? undefined : host, port: Number(port) } : undefined;
}

const listened: Kind<{ host?: string; port: number }> = {
  name: "a port, or an address, a colon and a port",
  read: addressOf,
};

const hostList: Kind<{ host: string; port: number }[]> = {
  name: "addresses with ports, separated by commas",
  read(value) {
    const found = value.split(",").map(addressOf);
    return found.every((one) => one?.host !== undefined) ? found as { host: string; port: number }[] : undefined;
  },
};

const certificate: Kind<{ certificate: string; key?: string }> = {
  name: "the files of a certificate and of its key, separated by a comma",
  read(value) {
    const [file, key, ...rest] = value.split(",");
    const good = [file, key ?? file].every((path) => absolutePath.read(path) !== undefined) && rest.length === 0;
    return good ? { certificate: file, ...key === undefined ? {} : { key } } : undefined;
  },
};

const units: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
const size: Kind<number> = {
  name: "a number of bytes, optionally with k, m or g",
  read(value) {
    const [, digits, unit] = /^([1-9]\d{0,8})([kmg]?)$/i.exec(value) ?? [];
    return digits && Number(digits) * units[unit.toLowerCase()];
  },
} as Kind<number>;

/** What the web server needs besides the options of serving. */
const ownTable = {
  servername: {
    kind: domains,
    default: "any",
    help: "Host names of the site, the main one first, by which a web server distinguishes its sites.",
    example: "servername=example.org,www.example.org",
  },
  listen: {
    kind: listened,
    default: "80, or 443 with https",
    help: "Address and port on which the web server listens for visitors.",
    example: "listen=8080",
  },
  https: {
    kind: certificate,
    default: "none; Caddy obtains a certificate itself",
    help: "Certificate with its chain, and its key. Visitors on port 80 are redirected to https.",
    example: "https=/etc/ssl/mysite.pem,/etc/ssl/mysite.key",
  },
  scriptname: {
    kind: mount,
    default: "the root of the site",
    help: "Path at which the application is mounted.",
    example: "scriptname=/shop",
  },
  upload: {
    kind: size,
    default: "the web server's own limit",
    help: "Maximum size of an upload.",
    example: "upload=100m",
  },
  auth: {
    kind: guard,
    default: "none",
    help:
      "Path that only visitors whom the application admits may see: nginx or Caddy first asks it for the other path. Repeatable.",
    example: "auth=/private/=/auth",
    repeatable: true,
  },
  hosts: {
    kind: hostList,
    default: "none",
    help: "Machines that run the program. One that does not respond is skipped until it does.",
    example: "hosts=10.0.0.1:3033,10.0.0.2:3033",
  },
  keepalive: {
    kind: number("a number of connections", 1, 1000),
    default: "none: a new connection for each request",
    help: "Number of idle connections to keep open. Not with method=prefork, whose processes would wait for them.",
    example: "keepalive=8",
  },
  websocket: {
    kind: optionTable.debug.kind,
    default: "false",
    help: "Passes WebSockets on to the program. Needs protocol=http.",
    example: "websocket=true",
  },
  program: {
    kind: absolutePath,
    default: "a program that is already running; on shared hosting, mysite.fcgi in the folder of the site",
    help: "Compiled program, for a web server that starts it.",
    example: "program=/home/me/app/mysite.fcgi",
  },
  name: {
    kind: siteName,
    default: "the name of the socket or of the program, or mysite",
    help: "Name of the site in the configuration. For systemd, mysite@ makes units for many sites.",
    example: "name=mysite",
  },
} satisfies OptionTable;

/** Options of serving that end up in the configuration, with stricter checks. */
const stricter = {
  socket: { ...optionTable.socket, kind: plainPath },
  host: { ...optionTable.host, kind: plainText("an address", String.raw`[\w.:-]+`) },
  port: { ...optionTable.port, kind: number("a port from 1 to 65535", 1, 65535) },
  secret: {
    ...optionTable.secret,
    kind: { name: secretWord.name, read: (text: string) => secretWord.read(optionTable.secret.kind.read(text) ?? "") },
  },
} satisfies OptionTable;

export const configTable = { ...optionTable, ...stricter, ...ownTable } satisfies OptionTable;
export type ConfigOption = keyof typeof configTable;
/** Options that are not options of serving. */
export const ownOptions = Object.keys(ownTable) as (keyof typeof ownTable)[];
