/**
 * Units for systemd: a service, and the socket that it is given (systemd.service(5), systemd.socket(5)).
 *
 * @module
 */

import { dirname, resolve } from "node:path";
import { labels } from "../../protocol/protocols.ts";
import { exactProgramCommand } from "../../app/application.ts";
import { DEFAULT_GRACE } from "../../app/serving.ts";
import { appBeside, ofTheWebServer, programStep, seenOptions, type Server } from "./site.ts";

export const systemd: Server = {
  title: "systemd: the units that start the program and keep its socket",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: {
    ...ofTheWebServer,
    pidfile: "systemd knows the processes of its services",
    daemonize: "systemd starts the program in the background itself",
  },
  sees: seenOptions,
  file: "units.txt",
  starts: true,
  servesFolders: false,
  tellsMount: () => false,
  configuration({ name, protocol, endpoints: [endpoint], program, app, words, grace, seen }) {
    const { user = "www-data", group = user === "www-data" ? user : undefined, mode, backlog, workdir } = seen;
    const file = program ?? `/srv/${name}/${name}.fcgi`;
    const started = program ?? app === undefined ? [file] : exactProgramCommand();
    const served = app === undefined ? appBeside(file) : resolve(app);
    const { service, socket } = systemdUnits({
      name,
      command: [...started, ...app === undefined ? [] : [served], ...words],
      endpoint: "socket" in endpoint ? endpoint : { host: endpoint.host.replaceAll(/[[\]]/g, ""), port: endpoint.port },
      user,
      group,
      mode,
      backlog,
      workdir: workdir === undefined ? dirname(served) : resolve(workdir),
      grace,
    });
    return {
      title: `${name}, started by systemd to speak ${labels[protocol]}.`,
      steps: [
        ["Put this into", `/etc/systemd/system/${name}.service and ${name}.socket`],
        ...started[0] === file && app === undefined ? [programStep(file)] : [],
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
  endpoint: { socket: string } | { host: string; port: number };
  user?: string;
  /** Default is the user's own. */
  group?: string;
  /** Permissions of the Unix socket; default 660. */
  mode?: number;
  /** Connections that wait in the kernel; default 511. */
  backlog?: number;
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
export function systemdUnits(
  { name, command, endpoint, user, group, mode = 0o660, backlog = 511, workdir, grace = DEFAULT_GRACE }: UnitOptions,
): Units {
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
    ["Backlog", backlog],
    ["SocketUser", unix ? user : undefined],
    ["SocketGroup", unix ? group : undefined],
    ["SocketMode", unix ? mode.toString(8).padStart(4, "0") : undefined],
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
