/**
 * lighttpd.
 *
 * @module
 */
import { privatePattern } from "../handlers/static/private.ts";
import { networkNote, programStep, type Server, type Site, startSteps, titleOf } from "./site.ts";
import type { Line } from "./text.ts";
import { UsageError } from "../options/arguments.ts";

/** Module, and its directive. */
const modules: Readonly<Record<string, [module: string, directive: string]>> = {
  fcgi: ["mod_fastcgi", "fastcgi.server"],
  scgi: ["mod_scgi", "scgi.server"],
  uwsgi: ["mod_scgi", "scgi.server"],
  ajp: ["mod_ajp13", "ajp13.server"],
  http: ["mod_proxy", "proxy.server"],
};

export const lighttpd: Server = {
  title: "lighttpd, which can also start the program",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: {
    secret: "mod_ajp13 sends none; choose another protocol",
    packetsize: "mod_ajp13 supports only 8192",
    keepalive: "it uses a connection for each request",
  },
  runFolder: "/run/lighttpd",
  file: "lighttpd.conf",
  servesFolders: true,
  // No mount is told: for the mount itself there would be no PATH_INFO.
  configuration(site) {
    const { name, protocol, https, folders, upload, program } = site;
    if (program !== undefined && (protocol === "ajp" || protocol === "http")) {
      throw new UsageError(
        `program does not go with ${protocol}, for which lighttpd starts no programs: choose fcgi, scgi or uwsgi`,
      );
    }
    const used = [
      modules[protocol][0],
      protocol === "http" && "mod_setenv",
      ...folders.length > 0 ? ["mod_access", "mod_alias", "mod_indexfile"] : [],
      https && "mod_openssl",
      site.redirects && "mod_redirect",
    ].filter(Boolean);
    return {
      title: titleOf(site, "lighttpd"),
      steps: [
        ["Put this into", `/etc/lighttpd/conf-available/50-${name}.conf`],
        [
          "Check and load",
          `lighty-enable-mod ${name} && lighttpd -tt -f /etc/lighttpd/lighttpd.conf &&`,
          "service lighttpd restart",
        ],
        ...program === undefined ? startSteps(site) : [programStep(program)],
      ],
      notes: [program === undefined && networkNote(site)],
      lines: [
        `server.modules += ( ${used.map((module) => `"${module}"`).join(", ")} )`,
        "",
        ...redirect(site),
        ...around(site, [
          "# Send events as they arrive.",
          "server.stream-response-body = 1",
          upload && `server.max-request-size = ${Math.ceil(upload / 1024)}`,
          protocol === "http" && 'setenv.set-request-header = ( "X-Forwarded-Host" => "", "X-Forwarded-Port" => "" )',
          site.websocket && 'proxy.header = ( "upgrade" => "enable" )',
          protocol === "uwsgi" && 'scgi.protocol = "uwsgi"',
          ...paths(site),
        ]),
      ],
    };
  },
};

/** The conditions around the site. */
function around({ listen: { host, port }, https, names }: Site, lines: Line[]): Line[] {
  const hosted = names.length === 0 ? lines : [`$HTTP["host"] =~ "${namesPattern(names)}" {`, lines, "}"];
  if (!https && host === undefined && port === 80) return hosted;
  return [
    `$SERVER["socket"] == "${host ?? ""}:${port}" {`,
    [
      ...https
        ? [
          'ssl.engine = "enable"',
          `ssl.pemfile = "${https.certificate}"`,
          https.key && `ssl.privkey = "${https.key}"`,
        ]
        : [],
      ...hosted,
    ],
    "}",
  ];
}

function namesPattern(names: readonly string[]): string {
  const patterns = names.map((name) => name.replaceAll(".", String.raw`\.`).replace("*", "[^.]+"));
  return String.raw`^(?:${patterns.join("|")})(?::\d+)?$`;
}

function redirect({ redirects, names }: Site): Line[] {
  if (!redirects) return [];
  const lines = ['url.redirect = ( "" => "https://${url.authority}${url.path}${qsa}" )'];
  const condition = names.length > 0 ? [`$HTTP["host"] =~ "${namesPattern(names)}" {`, lines, "}"] : lines;
  return ['$HTTP["scheme"] == "http" {', condition, "}", ""];
}

/** Folders and the application, by path. */
function paths(site: Site): Line[] {
  const { folders, mount } = site;
  const choices: [condition: string, lines: Line[]][] = folders.map(({ path, folder }) => [
    `$HTTP["url"] =~ "^${escaped(path)}"`,
    [
      `alias.url = ( "${path}" => "${folder}" )`,
      'index-file.names = ( "index.html" )',
      "# Private files are not served.",
      `$HTTP["url"] =~ "(?i)${privatePattern(path)}" { url.access-deny = ( "" ) }`,
    ],
  ]);
  const rest: [string, Line[]][] = [[mount ? `$HTTP["url"] =~ "^${escaped(mount)}(?:/|$)"` : "", toProgram(site)]];
  const all = [...choices, ...rest];
  if (all.length === 1 && mount === "") return toProgram(site);
  return all.flatMap(([condition, lines], i) => [
    `${i > 0 ? "} else " : ""}${condition}${condition ? " " : ""}{`,
    lines,
    i === all.length - 1 && "}",
  ]);
}

function escaped(path: string): string {
  return path.replaceAll(/[.+]/g, "\\$&");
}

function toProgram({ protocol, endpoints, mount, program, words }: Site): Line[] {
  // With a path, these two would strip it from the URL.
  const whole = protocol === "ajp" || protocol === "http";
  const [, directive] = modules[protocol];
  const servers = endpoints.map((endpoint) => [
    program && `"bin-path" => "${[program, ...words].join(" ")}",`,
    program && '"max-procs" => 1,',
    ..."socket" in endpoint
      ? [`"socket" => "${endpoint.socket}",`]
      : [`"host" => "${endpoint.host.replaceAll(/[[\]]/g, "")}",`, `"port" => ${endpoint.port},`],
    protocol !== "http" && '"check-local" => "disable",',
    !whole && mount === "" && '"fix-root-scriptname" => "enable",',
    endpoints.length > 1 && '"disable-time" => 10,',
  ]);
  return [
    `${directive} = ( "${whole ? "" : mount || "/"}" => (`,
    servers.flatMap((lines) => ["(", lines, "),"]),
    ") )",
  ];
}
