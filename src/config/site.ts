/**
 * A site as every configuration describes it, from the arguments of `config`.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { labels } from "../protocol/protocol.ts";
import type { ListeningProtocol } from "../protocol/protocols.ts";
import { isStandard } from "../server/log_file.ts";
import type { Configuration, Step } from "./text.ts";
import { type ConfigOption, configTable, type Endpoint, ownOptions } from "./options.ts";
import { expectOneEndpoint } from "../options/options.ts";
import { oneApplication, type OptionsOf, parseArguments, UsageError } from "../options/arguments.ts";
import { shellQuoted } from "../options/shell.ts";

/** One site. */
export interface Site {
  /** Its name in the configuration. */
  name: string;
  /** What the web server speaks with the program. */
  protocol: ListeningProtocol;
  /** Where the program listens: one endpoint, or one on each of several machines. */
  endpoints: readonly [Endpoint, ...Endpoint[]];
  /** The compiled program, for a web server that starts it. */
  program?: string;
  /** The application, if one was named. */
  app?: string;
  /** Options that the server takes care of. */
  seen: Pick<OptionsOf<typeof configTable>, SeenOption>;
  /** Absolute paths of its log files. */
  logs: readonly string[];
  /** Absolute paths of other folders that it writes to. */
  writes: readonly string[];
  /** Seconds that requests have to finish, if given. */
  grace?: number;
  /** Whether nothing has to run as long as nobody visits the site. */
  sleeps: boolean;
  /** Where the application is mounted, without a slash at its end. */
  mount: string;
  /** Folders that the web server serves: URL path and file path, both with a slash at the end. */
  folders: readonly { path: string; folder: string }[];
  /** Paths whose visitors the application admits, and the path that it is asked for. */
  guards: readonly { path: string; checker: string }[];
  names: readonly string[];
  listen: { host?: string; port: number };
  https?: { certificate: string; key?: string };
  /** Whether visitors on port 80 are redirected to https. */
  redirects: boolean;
  /** Bytes. */
  upload?: number;
  /** Number of idle connections to keep. */
  keepalive?: number;
  /** WebSockets are passed on. */
  websocket: boolean;
  /** AJP: secret that the web server sends to the program. */
  secret?: string;
  /** AJP: packet size in bytes, if not the default. */
  packetSize?: number;
  /** Path that the program answers without the application. */
  ping?: string;
  /** Command lines that start the program, one for each machine. */
  start: readonly string[];
  /** Arguments of a program that is started without an endpoint. */
  words: readonly string[];
}

/** Options that whatever starts the program may take care of. */
export const seenOptions = ["user", "group", "mode", "backlog", "workdir"] as const;
type SeenOption = typeof seenOptions[number];

/** A web server with its configuration. */
export interface Server {
  /** What it is, for the list. */
  title: string;
  /** Its protocols, the best first. */
  protocols: readonly [ListeningProtocol, ...ListeningProtocol[]];
  /** Options that do not apply, and why. */
  refuses?: Partial<Record<ConfigOption, string>>;
  /** Options that it takes care of. */
  sees?: readonly SeenOption[];
  /** Whether the program listens on TCP by default. */
  overTcp?: true;
  /** Folder for the sockets of programs that it starts itself. */
  runFolder?: string;
  /** Name of the file that `init` writes. */
  file: string;
  /** Whether the program and the application become an image of a container. */
  image?: true;
  /** Whether a name such as mysite@ stands for many sites. */
  templates?: true;
  /** Whether it always starts the program. */
  starts?: true;
  /** Whether it can ask the application whom to admit. */
  asksFirst?: true;
  /** Whether it can serve files. */
  servesFolders?: true;
  /** Whether requests tell the program where it is mounted. */
  tellsMount?(protocol: ListeningProtocol): boolean;
  /** Makes the configuration. @throws {UsageError} for options that exclude each other */
  configuration(site: Site): Configuration;
}

const DEFAULT_PORT = 3033;

const elsewhere = "it belongs to the web server: print its configuration with the same socket";
/** Options that do not apply to what only starts the program. */
export const ofTheWebServer = Object.fromEntries(
  (["servername", "listen", "https", "upload", "hosts", "keepalive", "websocket"] satisfies ConfigOption[]).map((
    name,
  ) => [name, elsewhere]),
);

/**
 * Parses the arguments that describe a site.
 *
 * @param program how the program is started
 * @throws {UsageError} if they do not apply to this web server
 */
export function readSite(serverName: string, server: Server, args: readonly string[], program: string): Site {
  const { plain, options, given } = parseArguments(args, configTable);
  const app = oneApplication(plain);
  for (const { name } of given) {
    const reason = server.refuses?.[name];
    if (reason !== undefined) throw new UsageError(`${name} does not apply to ${serverName}: ${reason}`);
  }
  const protocol = protocolOf(serverName, server, options.protocol);
  const { socket, port, hosts, secret, packetsize, keepalive, scriptname: mount = "", static: folders = [] } = options;
  if (options.fd !== undefined) {
    throw new UsageError("a web server cannot connect to a descriptor: give socket=PATH or port=PORT");
  }
  expectOneEndpoint({ socket, port, hosts }, options.host);
  for (const [name, value] of Object.entries({ secret, packetsize })) {
    if (value !== undefined && protocol !== "ajp") {
      throw new UsageError(`${name} belongs to AJP, not to ${protocol}: leave it out`);
    }
  }
  if (options.websocket && protocol !== "http") {
    throw new UsageError(
      server.protocols.includes("http")
        ? `a WebSocket cannot pass over ${labels[protocol]}: add protocol=http`
        : `websocket does not apply to ${serverName}, which does not speak HTTP with the program`,
    );
  }
  if (options.auth !== undefined && !server.asksFirst) {
    throw new UsageError(`auth does not apply to ${serverName}: only nginx and Caddy ask the application first`);
  }
  if (keepalive !== undefined && (protocol === "scgi" || protocol === "uwsgi")) {
    throw new UsageError(`keepalive does not apply to ${protocol}, which uses a connection for each request`);
  }
  if (keepalive !== undefined && options.method === "prefork") {
    throw new UsageError("keepalive does not go with method=prefork, whose processes would wait for idle connections");
  }
  const name = options.name ?? nameOf([socket, options.program, app]);
  if (name.endsWith("@") && !server.templates) {
    throw new UsageError(`name is "${name}", and @ is for systemd alone: leave it out`);
  }
  const endpoints = (hosts ?? [endpointOf(server, { ...options, name })]) as Site["endpoints"];
  const local = endpoints.every((endpoint) => "socket" in endpoint || isLoopback(endpoint.host));
  if (protocol === "ajp" && !local && secret === undefined) {
    const advice = server.refuses?.secret === undefined
      ? "give secret=WORD, or secret=none behind a firewall"
      : `choose another protocol, since ${serverName} sends no secret`;
    throw new UsageError(`over AJP, other machines could forge the visitor's identity: ${advice}`);
  }
  if (protocol === "http" && !local && options.trust === undefined) {
    throw new UsageError(
      "over HTTP, the program needs to know which proxy to trust: give the address of this web server, such as trust=10.0.0.9",
    );
  }
  // Below /, the web server cannot know which paths belong to the application, so the program serves that folder.
  const served = server.servesFolders ? folders.filter(({ prefix }) => prefix !== "/") : [];
  const own: readonly string[] = [...ownOptions, ...server.sees ?? [], "protocol", "socket", "host", "port", "static"];
  const spoken = options.protocol ?? protocol;
  const common = [
    ...spoken === "fcgi" ? [] : [`protocol=${spoken}`],
    ...protocol === "http" && options.trust === undefined && !("socket" in endpoints[0]) ? ["trust=127.0.0.1"] : [],
    ...mount && !server.tellsMount?.(protocol) ? [`scriptname=${mount}`] : [],
    ...folders.filter((folder) => !served.includes(folder)).map(({ prefix, folder }) => `static=${prefix}=${folder}`),
    ...given.filter(({ name }) => !own.includes(name)).map(({ text }) => text),
  ];
  const start = endpoints.map((endpoint) =>
    [
      program,
      ...[
        ...app === undefined ? [] : [app],
        ...common,
        ..."socket" in endpoint ? [`socket=${endpoint.socket}`, ...options.mode === undefined ? ["mode=666"] : []] : [
          ...options.host ?? !isLoopback(endpoint.host) ? [`host=${options.host ?? endpoint.host.replace(/[[\]]/g, "")}`] : [],
          `port=${endpoint.port}`,
        ],
      ].map(quoted),
    ].join(" ")
  );
  const odd = served.map(({ folder }) => resolve(folder)).find((folder) => /[\s"'\\;{}$]/.test(folder));
  if (odd !== undefined) {
    throw new UsageError(`static has the folder "${odd}": in a configuration its path cannot contain spaces or quotes`);
  }
  return {
    name,
    protocol,
    endpoints,
    program: options.program,
    app,
    seen: options,
    logs: absolute(options.errlog, options.outlog, options.accesslog, options.slowlog),
    writes: absolute(options.capturedir, options.spooldir),
    grace: options.grace,
    sleeps: (options.idleexit ?? (options.minspare === 0 ? 1 : 0)) > 0,
    mount,
    folders: served.map(({ prefix, folder }) => ({ path: mount + prefix, folder: `${resolve(folder).replace(/\/$/, "")}/` })),
    guards: (options.auth ?? []).map(({ path, checker }) => ({ path: mount + path, checker: mount + checker })),
    names: options.servername ?? [],
    listen: options.listen ?? { port: options.https ? 443 : 80 },
    https: options.https,
    redirects: options.https !== undefined && options.listen === undefined,
    upload: options.upload,
    keepalive,
    websocket: options.websocket ?? false,
    secret: secret === "none" ? undefined : secret,
    packetSize: packetsize,
    ping: options.ping,
    start,
    words: common,
  };
}

function absolute(...paths: (string | undefined)[]): string[] {
  return [...new Set(paths.filter((path) => path !== undefined && !isStandard(path)).map((path) => resolve(path!)))];
}

function protocolOf(name: string, { protocols }: Server, given: ListeningProtocol | "auto" | undefined): ListeningProtocol {
  if (given === undefined || given === "auto") return protocols[0];
  if (protocols.includes(given)) return given;
  throw new UsageError(`protocol is "${given}", which ${name} does not speak: it speaks ${protocols.join(", ")}`);
}

function endpointOf(
  server: Server,
  given: Pick<OptionsOf<typeof configTable>, "socket" | "host" | "port" | "program" | "name">,
): Endpoint {
  if (given.socket !== undefined) return { socket: resolve(given.socket) };
  const folder = given.program !== undefined && server.runFolder || "/run";
  if (given.port === undefined && !server.overTcp) return { socket: `${folder}/${given.name}.sock` };
  // A program that listens on all addresses is reached on the loopback address.
  const host = (given.host ?? "127.0.0.1").replace(/^0\.0\.0\.0$/, "127.0.0.1").replace(/^::$/, "::1");
  return { host: host.includes(":") ? `[${host}]` : host, port: given.port ?? DEFAULT_PORT };
}

function isLoopback(host: string): boolean {
  return /^(?:127\.[\d.]+|\[::1\]|localhost)$/.test(host);
}

/** The name of the first file that is not just app.ts. */
function nameOf(files: readonly (string | undefined)[]): string {
  const names = files.map((file) => file && basename(file).replace(/\.\w+$/, "").replaceAll(/[^\w-]/g, "-"));
  return names.find((name) => name && name !== "app") ?? "mysite";
}

/** An argument for a shell. */
export function quoted(word: string): string {
  return /^[\w./:=,@%+~-]+$/.test(word) ? word : shellQuoted(word);
}

/** `host:port` of an endpoint over TCP. */
export function hostPort({ host, port }: { host: string; port: number }): string {
  return `${host}:${port}`;
}

/** A size with its unit. */
export function sizeText(bytes: number): string {
  const unit = [["g", 1024 ** 3], ["m", 1024 ** 2], ["k", 1024]].find(([, size]) => bytes % (size as number) === 0);
  return unit ? `${bytes / (unit[1] as number)}${unit[0]}` : String(bytes);
}

/** The first line above a configuration. */
export function titleOf(site: Site, server: string): string {
  return `${site.name} behind ${server}, over ${labels[site.protocol]}.`;
}

/** How to start the program. */
export function startSteps({ start, endpoints }: Site): Step[] {
  return start.map((command, i) => {
    const endpoint = endpoints[i];
    return [start.length > 1 && "host" in endpoint ? `Start on ${endpoint.host}` : "Start the site", command];
  });
}

/** Where to put a program that the web server starts, and its application. */
export function programStep(program: string, label = "Put there"): Step {
  return [label, `${program}, the compiled program (mode 755),`, `and ${appBeside(program)}, the application`];
}

/** The application that a program looks for beside itself. */
export function appBeside(program: string): string {
  return `${program.replace(/\.fcgi$/, "")}.ts`;
}

/** A note where the limit of uploads depends on their declared length. */
export const unmeasuredNote = "Uploads without a declared length are not limited.";

/** Notes about what the application has to do where the web server asks it first. */
export function guardNotes({ guards }: Site): string[] {
  return guards.map(({ path, checker }) =>
    `The application responds to ${checker} with 200 to 299 for visitors who may see ${path}, with 401 or 403 for others.`
  );
}

/** A note for a web server that needs no more to pass WebSockets on. */
export function socketNote({ websocket }: Site): string | undefined {
  return websocket ? "WebSockets pass, as they do without websocket=true." : undefined;
}

/** A note above a configuration that was never tested. */
export const untriedNote = "Written from the manual and not tested, since Debian has no package of it.";

/** A note where other machines can reach the program. */
export function networkNote({ endpoints, secret }: Site): string | undefined {
  const open = endpoints.some((endpoint) => "host" in endpoint && !isLoopback(endpoint.host));
  return open && secret === undefined
    ? "Whoever can reach the program can forge the visitor's identity: let a firewall admit only this web server."
    : undefined;
}
