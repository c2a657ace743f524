/**
 * Units for systemd: a service, and the socket that it is given (systemd.service(5), systemd.socket(5)).
 *
 * @module
 */

import type { ConfigOption } from "./options.ts";
import { labels, programStep, type Server } from "./site.ts";

const elsewhere = "it is the web server's; print that one's configuration with the same socket";

export const systemd: Server = {
  title: "systemd: the units that start the program and keep its socket",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: Object.fromEntries(
    (["servername", "listen", "https", "upload", "hosts", "keepalive"] satisfies ConfigOption[]).map((name) => [name, elsewhere]),
  ),
  file: "units.txt",
  starts: true,
  servesFolders: false,
  tellsMount: () => false,
  configuration({ name, protocol, endpoints: [endpoint], program = `/srv/${name}/${name}.fcgi`, words }) {
    const { service, socket } = systemdUnits({
      name,
      command: [program, ...words],
      endpoint: "socket" in endpoint ? endpoint : { host: endpoint.host.replaceAll(/[[\]]/g, ""), port: endpoint.port },
      user: "www-data",
      group: "www-data",
    });
    return {
      title: `${name}, started by systemd to speak ${labels[protocol]}.`,
      steps: [
        ["Put this into", `/etc/systemd/system/${name}.service and ${name}.socket`],
        programStep(program),
        ["Start by", `systemctl enable --now ${name}.socket ${name}.service`],
        ["New code by", `systemctl reload ${name}`],
      ],
      lines: [`# ${name}.service`, ...service.trimEnd().split("\n"), "", `# ${name}.socket`, ...socket.trimEnd().split("\n")],
    };
  },
};

/** What the units are for. */
export interface UnitOptions {
  /** Name of the site, and of the units. */
  name: string;
  /** Words that start the program and say what it serves, without the endpoint; paths are absolute. */
  command: readonly string[];
  /** Where visitors' requests come in; systemd listens there, so that none is refused while the service restarts. */
  endpoint: { socket: string; mode?: number } | { host: string; port: number };
  user?: string;
  group?: string;
  workdir?: string;
  /** Seconds that requests have to finish; default 30. */
  grace?: number;
}

/** The text of `name.service` and `name.socket`. */
export interface Units {
  service: string;
  socket: string;
}

/** Seconds beyond the grace after which systemd kills what is left. */
const PATIENCE = 10;

/** Makes the units. */
export function systemdUnits({ name, command, endpoint, user, group, workdir, grace = 30 }: UnitOptions): Units {
  const service = section("Unit", [
    ["Description", `${plain(name)}, an application behind a web server`],
    ["Requires", `${name}.socket`],
    ["After", `network.target ${name}.socket`],
  ]) + section("Service", [
    ["Type", "notify"],
    ["NotifyAccess", "all"],
    ["ExecStart", command.map(word).join(" ")],
    ["ExecReload", "/bin/kill -HUP $MAINPID"],
    ["KillMode", "mixed"],
    ["TimeoutStopSec", grace + PATIENCE],
    ["Restart", "on-failure"],
    ["User", user],
    ["Group", group],
    ["WorkingDirectory", workdir === undefined ? undefined : plain(workdir)],
  ]) + section("Install", [["WantedBy", "multi-user.target"]]);
  const unix = "socket" in endpoint;
  const where = unix
    ? plain(endpoint.socket)
    : `${endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
  const socket = section("Unit", [["Description", `Socket of ${plain(name)}`]]) + section("Socket", [
    ["ListenStream", where],
    ["Backlog", 511],
    ["SocketUser", unix ? user : undefined],
    ["SocketGroup", unix ? group : undefined],
    ["SocketMode", unix ? (endpoint.mode ?? 0o660).toString(8).padStart(4, "0") : undefined],
  ]) + section("Install", [["WantedBy", "sockets.target"]]);
  return { service: service.trimEnd() + "\n", socket: socket.trimEnd() + "\n" };
}

function section(name: string, settings: [name: string, value: string | number | undefined][]): string {
  const lines = settings.filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${value}\n`);
  return `[${name}]\n${lines.join("")}\n`;
}

/** Text in which systemd is to see no specifier. */
function plain(text: string): string {
  return text.replaceAll("%", "%%");
}

/** A word of a command line, with quotes where systemd would split it or put something in its place. */
function word(text: string): string {
  const escaped = plain(text).replace(/[\\"]/g, "\\$&").replaceAll("$", "$$$$").replaceAll("\n", "\\n");
  return /^[\w./:=@,+%$-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}
