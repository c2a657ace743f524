/**
 * Units for systemd: a service and its socket (systemd.service(5), systemd.socket(5)).
 *
 * @module
 */

import { dirname, resolve } from "node:path";
import { UsageError } from "../options/arguments.ts";
import { labels } from "../protocol/protocol.ts";
import { exactProgramCommand } from "../app/application.ts";
import { isBundled } from "../app/compiled.ts";
import { cacheVariable } from "../runtime/compile_cache.ts";
import { DEFAULT_GRACE } from "../supervisor/crew.ts";
import { appBeside, ofTheWebServer, programStep, seenOptions, type Server } from "./site.ts";
import { type Configuration, type Line, type Step, text } from "./text.ts";

export const systemd: Server = {
  title: "systemd: units that start the program and hold its socket",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: {
    ...ofTheWebServer,
    pidfile: "the units have one",
    daemonize: "systemd starts the program in the background",
  },
  sees: seenOptions,
  templates: true,
  file: "units.txt",
  starts: true,
  configuration({ name, protocol, endpoints: [endpoint], program, app, words, logs, writes, grace, sleeps, seen }) {
    const { user = "www-data", group = user === "www-data" ? user : undefined, mode, backlog, workdir } = seen;
    const rest = { name, user, group, mode, backlog, grace, writes: [...logs.map((log) => dirname(log)), ...writes] };
    if (name.endsWith("@")) {
      if (!("socket" in endpoint) || endpoint.socket !== `/run/${name}.sock`) {
        throw new UsageError(`each of many sites has a socket of its own, /run/${name.slice(0, -1)}/NAME.sock: give no endpoint`);
      }
      const folder = resolve(workdir ?? "/srv");
      const units = systemdUnits({
        ...rest,
        command: [...program === undefined ? exactProgramCommand() : [program], ...app === undefined ? [] : [app], ...words],
        cacheVariable: program === undefined && !isBundled() ? cacheVariable() : undefined,
        ...manySites(name, folder),
      });
      const started = sleeps ? [`${name}NAME.socket`] : [`${name}NAME.socket`, `${name}NAME.service`];
      return configurationOf(units, {
        name,
        title: `Sites in folders below ${folder}, started by systemd for ${labels[protocol]}.`,
        more: [["A site's socket", `/run/${name.slice(0, -1)}/NAME.sock, for the site in ${folder}/NAME`]],
        start: started.join(" "),
        reload: [`${name}NAME`, `'${name}*'  # all of them`],
      });
    }
    const file = program ?? `/srv/${name}/${name}.fcgi`;
    const started = program ?? app === undefined ? [file] : exactProgramCommand();
    const served = app === undefined ? appBeside(file) : resolve(app);
    const units = systemdUnits({
      ...rest,
      command: [...started, ...app === undefined ? [] : [served], ...words],
      cacheVariable: started[0] !== file && !isBundled() ? cacheVariable() : undefined,
      endpoint: "socket" in endpoint ? endpoint : { host: endpoint.host.replaceAll(/[[\]]/g, ""), port: endpoint.port },
      workdir: workdir === undefined ? dirname(served) : resolve(workdir),
    });
    return configurationOf(units, {
      name,
      title: `${name}, started by systemd for ${labels[protocol]}.`,
      more: started[0] === file && app === undefined ? [programStep(file)] : [],
      start: sleeps ? `${name}.socket` : `${name}.socket ${name}.service`,
      reload: [name],
    });
  },
};

function configurationOf(
  { service, socket }: Units,
  { name, title, more, start, reload }: { name: string; title: string; more: Step[]; start: string; reload: string[] },
): Configuration {
  return {
    title,
    steps: [
      ["Put this into", `/etc/systemd/system/${name}.service and ${name}.socket`],
      ...more,
      ["Start", `systemctl enable --now ${start}`],
      ["Load new code", ...reload.map((units) => `systemctl reload ${units}`)],
    ],
    parts: [[`${name}.service`, service], [`${name}.socket`, socket]],
    lines: [`# ${name}.service`, ...service.trimEnd().split("\n"), "", `# ${name}.socket`, ...socket.trimEnd().split("\n")],
  };
}

/** The part of a name behind its @, systemd.unit(5). */
const INSTANCE = "%i";

/** Where the sites of a template such as `mysite@` are. */
export function manySites(name: string, folder: string): Pick<UnitOptions, "name" | "endpoint" | "workdir"> {
  return {
    name,
    endpoint: { socket: `/run/${name.slice(0, -1)}/${INSTANCE}.sock` },
    workdir: `${folder.replace(/\/$/, "")}/${INSTANCE}`,
  };
}

/** What the units contain. */
export interface UnitOptions {
  /** Name of the site, and of the units; `mysite@` for many, with `%i` for the name of each in the other texts. */
  name: string;
  /** Command line without the endpoint; paths are absolute. */
  command: readonly string[];
  /** Variable for a folder of compiled code that the service may write to, without which each start takes far longer. */
  cacheVariable?: string;
  /** Where systemd listens, so that no connection is refused while the service restarts. */
  endpoint: { socket: string } | { host: string; port: number };
  user?: string;
  /** Default is the user's own. */
  group?: string;
  /** Permissions of the Unix socket; default 660. */
  mode?: number;
  /** Maximum number of connections that wait in the kernel; default 511. */
  backlog?: number;
  workdir?: string;
  /** Other folders that the service writes to. */
  writes?: readonly string[];
  /** Seconds that requests have to finish; default 30. */
  grace?: number;
  /** Where more is said. */
  documentation?: string;
}

/** The text of `name.service` and `name.socket`. */
export interface Units {
  service: string;
  socket: string;
}

/** Seconds beyond the grace before systemd kills what is left. */
const PATIENCE = 10;

/** Makes the units. */
export function systemdUnits(
  {
    name,
    command,
    cacheVariable,
    endpoint,
    user,
    group,
    mode = 0o660,
    backlog = 511,
    workdir,
    writes = [],
    grace = DEFAULT_GRACE,
    documentation,
  }: UnitOptions,
): Units {
  const many = name.endsWith("@");
  const instance = many ? `${name}${INSTANCE}` : name;
  const plain = (text: string) => withoutSpecifiers(text, many);
  const word = (text: string) => quotedWord(plain(text));
  // Known by this name to the commands status, reload, stop and ls.
  const runFolder = many ? `${name.slice(0, -1)}/${INSTANCE}` : name;
  const pidfile = `/run/${runFolder}/${many ? INSTANCE : name}.pid`;
  const unix = "socket" in endpoint;
  const where = unix
    ? plain(endpoint.socket)
    : `${endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
  const about = documentation && `Documentation=${documentation}`;
  const service = text([
    "[Unit]",
    `Description=${instance}, an application behind a web server`,
    about,
    `Requires=${instance}.socket`,
    `After=network.target ${instance}.socket`,
    "",
    "[Service]",
    "Type=notify",
    "NotifyAccess=all",
    `ExecStart=${[...command, `pidfile=${pidfile}`, "daemonize=false"].map(word).join(" ")}`,
    "ExecReload=/bin/kill -HUP $MAINPID",
    "KillMode=mixed",
    `TimeoutStopSec=${grace + PATIENCE}`,
    "Restart=on-failure",
    user !== undefined && `User=${user}`,
    group !== undefined && `Group=${group}`,
    workdir !== undefined && `WorkingDirectory=${plain(workdir)}`,
    `RuntimeDirectory=${runFolder}`,
    ...cacheVariable === undefined
      ? []
      : [`CacheDirectory=${runFolder}`, "CacheDirectoryMode=0700", `Environment=${cacheVariable}=%C/${runFolder}`],
    ...hardening(word, [command.find((word) => word.startsWith("/")) ?? "", workdir ?? "", ...writes], [
      ...workdir ? [workdir] : [],
      ...writes,
    ]),
    "",
    "[Install]",
    "WantedBy=multi-user.target",
  ]);
  const socket = text([
    "[Unit]",
    `Description=Socket of ${instance}`,
    about,
    "",
    "[Socket]",
    `ListenStream=${where}`,
    `Backlog=${backlog}`,
    ...unix
      ? [
        user !== undefined && `SocketUser=${user}`,
        group !== undefined && `SocketGroup=${group}`,
        `SocketMode=${mode.toString(8).padStart(4, "0")}`,
      ]
      : [],
    "",
    "[Install]",
    "WantedBy=sockets.target",
  ]);
  return { service, socket };
}

/**
 * What the service may not do (systemd.exec(5)). MemoryDenyWriteExecute is missing, since the runtimes compile JavaScript
 * to machine code.
 *
 * @param word writes a path
 * @param used paths that have to be visible
 * @param written folders that have to be writable
 */
function hardening(word: (text: string) => string, used: readonly string[], written: readonly string[]): Line[] {
  const within = (folders: RegExp) => used.some((path) => folders.test(path));
  return [
    "# Files: the system is read-only, homes are hidden, /tmp is private.",
    "ProtectSystem=strict",
    `ProtectHome=${within(/^\/(?:home|root|run\/user)\//) ? "read-only" : "yes"}`,
    `PrivateTmp=${within(/^\/(?:var\/)?tmp\//) ? "no" : "yes"}`,
    written.length > 0 && `ReadWritePaths=${[...new Set(written)].map((path) => word(`-${path}`)).join(" ")}`,
    "# No privileges, and no way to gain any.",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "RestrictSUIDSGID=yes",
    "# The kernel, its devices and other processes are out of reach.",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "RemoveIPC=yes",
    "# Networks and Unix sockets only.",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "# System calls of usual services; others fail with EPERM.",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service @pkey",
    "SystemCallErrorNumber=EPERM",
  ];
}

/** Text without specifiers, except the name of one of many sites. */
function withoutSpecifiers(text: string, many: boolean): string {
  const escaped = text.replaceAll("%", "%%");
  return many ? escaped.replaceAll(`%${INSTANCE}`, INSTANCE) : escaped;
}

/** An argument of a command line, quoted where systemd would split or expand it. */
function quotedWord(text: string): string {
  const escaped = text.replace(/[\\"]/g, "\\$&").replaceAll("$", "$$$$").replaceAll("\n", "\\n");
  return /^[\w./:=@,+%$-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}
