/**
 * A site as every web server has to be told of it, read once from the words.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { labels, type ListeningProtocol } from "../../protocol/protocols.ts";
import type { Configuration, Step } from "./text.ts";
import { type ConfigOption, configTable, type Endpoint, ownOptions } from "./options.ts";
import { expectOneEndpoint } from "../../options/options.ts";
import { oneApplication, type OptionsOf, readWords, UsageError } from "../../options/arguments.ts";

/** One site. */
export interface Site {
  /** What it is called in the configuration. */
  name: string;
  /** What the web server speaks with the program. */
  protocol: ListeningProtocol;
  /** Where the program listens: one endpoint, or one on each of several machines. */
  endpoints: readonly [Endpoint, ...Endpoint[]];
  /** The compiled program, for a web server that starts it. */
  program?: string;
  /** The application, if one was named. */
  app?: string;
  /** Options that the server sees to itself. */
  seen: Pick<OptionsOf<typeof configTable>, SeenOption>;
  /** Seconds that requests have to finish, if that was said. */
  grace?: number;
  /** Where the application is mounted, without a slash at its end. */
  mount: string;
  /** Folders that the web server serves: URL path and file path, both with a slash at the end. */
  folders: readonly { path: string; folder: string }[];
  /** Paths whose visitors the application lets in, and what it is asked for then. */
  guards: readonly { path: string; checker: string }[];
  names: readonly string[];
  listen: { host?: string; port: number };
  https?: { certificate: string; key?: string };
  /** Visitors who come to port 80 are sent to https. */
  redirects: boolean;
  /** Bytes. */
  upload?: number;
  /** Connections to keep. */
  keepalive?: number;
  /** AJP: what proves the web server to the program. */
  secret?: string;
  /** AJP: length of packets, if it is not the default. */
  packetSize?: number;
  /** Path that the program answers without the application. */
  ping?: string;
  /** Command lines that start the program, one for each machine. */
  start: readonly string[];
  /** What a program that is started without an endpoint is to be told. */
  words: readonly string[];
}

/** Options that what starts the program may see to, so that the program need not. */
export const seenOptions = ["user", "group", "mode", "backlog", "workdir"] as const;
type SeenOption = typeof seenOptions[number];

/** A web server that a configuration can be written for. */
export interface Server {
  /** What it is, for the list. */
  title: string;
  /** What it speaks, the best first. */
  protocols: readonly [ListeningProtocol, ...ListeningProtocol[]];
  /** Options that make no sense, and why. */
  refuses?: Partial<Record<ConfigOption, string>>;
  /** Options that it sees to itself. */
  sees?: readonly SeenOption[];
  /** Where the program listens if that is not said: most connect to Unix sockets. */
  overTcp?: true;
  /** Folder for the sockets of programs that it starts itself. */
  runFolder?: string;
  /** What `init` calls the file. */
  file: string;
  /** It always starts the program itself. */
  starts?: true;
  /** It can ask the application whether a visitor may see a path. */
  asksFirst?: true;
  /** It can send files of a folder. */
  servesFolders: boolean;
  /** The program can tell from what it gets where it is mounted, so that it need not be told. */
  tellsMount(protocol: ListeningProtocol): boolean;
  /** The configuration. @throws {UsageError} for what it cannot do together */
  configuration(site: Site): Configuration;
}

const DEFAULT_PORT = 3033;

const elsewhere = "it is the web server's; print that one's configuration with the same socket";
/** Options that make no sense for what only starts the program. */
export const ofTheWebServer = Object.fromEntries(
  (["servername", "listen", "https", "upload", "hosts", "keepalive"] satisfies ConfigOption[]).map((name) => [name, elsewhere]),
);

/**
 * Reads the words that describe a site.
 *
 * @param program how the program is started
 * @throws {UsageError} when they make no sense for this web server
 */
export function readSite(serverName: string, server: Server, args: readonly string[], program: string): Site {
  const { plain, options, given } = readWords(args, configTable);
  const app = oneApplication(plain);
  for (const { name } of given) {
    const reason = server.refuses?.[name];
    if (reason !== undefined) throw new UsageError(`${name} makes no sense for ${serverName}: ${reason}`);
  }
  const protocol = protocolOf(serverName, server, options.protocol);
  const { socket, port, hosts, secret, packetsize, keepalive, scriptname: mount = "", static: folders = [] } = options;
  if (options.fd !== undefined) {
    throw new UsageError("a web server cannot connect to a descriptor: give socket=PATH or port=PORT");
  }
  expectOneEndpoint({ socket, port, hosts }, options.host);
  for (const [name, value] of Object.entries({ secret, packetsize })) {
    if (value !== undefined && protocol !== "ajp") {
      throw new UsageError(`${name} is AJP's, and ${protocol} has none: leave it out`);
    }
  }
  if (options.auth !== undefined && !server.asksFirst) {
    throw new UsageError(`auth makes no sense for ${serverName}: only nginx and Caddy ask the application first`);
  }
  if (keepalive !== undefined && (protocol === "scgi" || protocol === "uwsgi")) {
    throw new UsageError(`keepalive makes no sense with ${protocol}, which has a connection for each request`);
  }
  if (keepalive !== undefined && options.method === "prefork") {
    throw new UsageError("keepalive makes no sense with method=prefork: its processes would wait for idle connections");
  }
  const name = options.name ?? nameOf([socket, options.program, app]);
  const endpoints = (hosts ?? [endpointOf(server, { ...options, name })]) as Site["endpoints"];
  const local = endpoints.every((endpoint) => "socket" in endpoint || isLoopback(endpoint.host));
  if (protocol === "ajp" && !local && secret === undefined) {
    const advice = server.refuses?.secret === undefined
      ? "give secret=WORD, or secret=none behind a firewall"
      : `choose another protocol, since ${serverName} gives no secret`;
    throw new UsageError(`over AJP other machines could say who the visitor is: ${advice}`);
  }
  if (protocol === "http" && !local && options.trust === undefined) {
    throw new UsageError(
      "over HTTP the program has to know whom to believe: give trust=ADDRESS of this web server, such as trust=10.0.0.9",
    );
  }
  // What the web server does the program need not do; below / it cannot know what the application has.
  const served = server.servesFolders ? folders.filter(({ prefix }) => prefix !== "/") : [];
  const own: readonly string[] = [...ownOptions, ...server.sees ?? [], "protocol", "socket", "host", "port", "static"];
  const spoken = options.protocol ?? protocol;
  const common = [
    ...spoken === "fcgi" ? [] : [`protocol=${spoken}`],
    ...protocol === "http" && options.trust === undefined && !("socket" in endpoints[0]) ? ["trust=127.0.0.1"] : [],
    ...mount && !server.tellsMount(protocol) ? [`scriptname=${mount}`] : [],
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
    throw new UsageError(`static gives the folder "${odd}": a configuration takes none with spaces or quotes in it`);
  }
  return {
    name,
    protocol,
    endpoints,
    program: options.program,
    app,
    seen: options,
    grace: options.grace,
    mount,
    folders: served.map(({ prefix, folder }) => ({ path: mount + prefix, folder: `${resolve(folder).replace(/\/$/, "")}/` })),
    guards: (options.auth ?? []).map(({ path, checker }) => ({ path: mount + path, checker: mount + checker })),
    names: options.servername ?? [],
    listen: options.listen ?? { port: options.https ? 443 : 80 },
    https: options.https,
    redirects: options.https !== undefined && options.listen === undefined,
    upload: options.upload,
    keepalive,
    secret: secret === "none" ? undefined : secret,
    packetSize: packetsize,
    ping: options.ping,
    start,
    words: common,
  };
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
  // Who listens everywhere is asked here.
  const host = (given.host ?? "127.0.0.1").replace(/^0\.0\.0\.0$/, "127.0.0.1").replace(/^::$/, "::1");
  return { host: host.includes(":") ? `[${host}]` : host, port: given.port ?? DEFAULT_PORT };
}

function isLoopback(host: string): boolean {
  return /^(?:127\.[\d.]+|\[::1\]|localhost)$/.test(host);
}

/** The name of the first file that says more than what it is. */
function nameOf(files: readonly (string | undefined)[]): string {
  const names = files.map((file) => file && basename(file).replace(/\.\w+$/, "").replaceAll(/[^\w-]/g, "-"));
  return names.find((name) => name && name !== "app") ?? "mysite";
}

/** A word for a shell. */
export function quoted(word: string): string {
  return /^[\w./:=,@%+~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** `host:port` of an endpoint over TCP. */
export function hostPort({ host, port }: { host: string; port: number }): string {
  return `${host}:${port}`;
}

/** A size as people write it. */
export function sizeText(bytes: number): string {
  const unit = [["g", 1024 ** 3], ["m", 1024 ** 2], ["k", 1024]].find(([, size]) => bytes % (size as number) === 0);
  return unit ? `${bytes / (unit[1] as number)}${unit[0]}` : String(bytes);
}

/** The first line above a configuration. */
export function titleOf(site: Site, server: string): string {
  return `${site.name} behind ${server}, which speaks ${labels[site.protocol]} with it.`;
}

/** How the program is started, for the heading. */
export function startSteps({ start, endpoints }: Site): Step[] {
  return start.map((command, i) => {
    const endpoint = endpoints[i];
    return [start.length > 1 && "host" in endpoint ? `Start on ${endpoint.host}` : "Start the site", command];
  });
}

/** Where a program that the web server starts has to be, and its application. */
export function programStep(program: string, label = "Put there"): Step {
  return [label, `${program}, the compiled program (mode 755),`, `and ${appBeside(program)}, the application`];
}

/** The application that a program looks for beside itself. */
export function appBeside(program: string): string {
  return `${program.replace(/\.fcgi$/, "")}.ts`;
}

/** What has to be known where a limit for uploads goes by what is said of them. */
export const unmeasuredNote = "An upload that does not say its length is not limited.";

/** What the application has to do where the web server asks it first. */
export function guardNotes({ guards }: Site): string[] {
  return guards.map(({ path, checker }) =>
    `For who may see ${path} the application answers ${checker} with a status of 200 to 299, for others with 401 or 403.`
  );
}

/** What has to be known where nobody has tried a configuration. */
export const untriedNote = "Written by its manual and never run, since Debian has no package of it.";

/** What has to be known where other machines reach the program. */
export function networkNote({ endpoints, secret }: Site): string | undefined {
  const open = endpoints.some((endpoint) => "host" in endpoint && !isLoopback(endpoint.host));
  return open && secret === undefined
    ? "Whoever reaches the program can say who the visitor is: let a firewall admit this web server alone."
    : undefined;
}
