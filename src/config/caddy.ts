/**
 * Caddy.
 *
 * @module
 */
import { privateRules } from "../handlers/static/private.ts";
import { guardNotes, hostPort, networkNote, type Server, type Site, socketNote, startSteps, titleOf } from "./site.ts";
import type { Line } from "./text.ts";

export const caddy: Server = {
  title: "Caddy",
  protocols: ["fcgi", "http"],
  refuses: {
    keepalive: "it uses a connection for each FastCGI request, and always keeps those of HTTP open",
    program: "it does not start programs",
  },
  file: "Caddyfile",
  asksFirst: true,
  servesFolders: true,
  tellsMount: (protocol) => protocol === "fcgi",
  configuration(site) {
    const { listen: { host }, https, upload, folders, mount } = site;
    const alone = folders.length === 0 && mount === "";
    return {
      title: titleOf(site, "Caddy"),
      steps: [
        ["Add this to", "/etc/caddy/Caddyfile"],
        ["Check and load", "caddy validate --config /etc/caddy/Caddyfile && systemctl reload caddy"],
        ...startSteps(site),
      ],
      notes: [
        site.names.length > 0 && !https && site.listen.port === 80 && "Caddy obtains a certificate for these names.",
        socketNote(site),
        networkNote(site),
        ...guardNotes(site),
      ],
      lines: [
        `${addresses(site).join(", ")} {`,
        [
          host && `bind ${host.replaceAll(/[[\]]/g, "")}`,
          https && `tls ${https.certificate} ${https.key ?? https.certificate}`,
          ...upload ? ["request_body {", [`max_size ${upload}`], "}"] : [],
          ...site.guards.flatMap((guard, i) => guarded(site, guard, `@guarded${i}`)),
          ...folders.flatMap(({ path, folder }) => [
            `handle_path ${path}* {`,
            [`root * ${folder}`, ...privateFiles(), "file_server"],
            "}",
          ]),
          ...alone ? toProgram(site) : around(site),
        ],
        "}",
      ],
    };
  },
};

function addresses({ names, listen: { port, host }, https }: Site): string[] {
  // Caddy obtains a certificate for a name without scheme and port.
  if (names.length > 0 && port === (https ? 443 : 80) && host === undefined) return [...names];
  return (names.length > 0 ? names : [""]).map((name) => `${https ? "https" : "http"}://${name}:${port}`);
}

/** Private files are not served. */
function privateFiles(): Line[] {
  return privateRules.flatMap(({ pattern, except }, i) => [
    `@private${i} {`,
    [`path_regexp \`(?i)${pattern}\``, except !== undefined && `not path_regexp \`(?i)${except}\``],
    "}",
    `respond @private${i} 404`,
  ]);
}

/** Strips the mount from the path and tells the program. */
function around(site: Site): Line[] {
  const { mount, protocol } = site;
  if (mount === "") return ["handle {", toProgram(site), "}"];
  return [
    `@${site.name} path ${mount} ${mount}/*`,
    `handle @${site.name} {`,
    [protocol === "fcgi" && `uri strip_prefix ${mount}`, ...toProgram(site)],
    "}",
  ];
}

/** Asks the application before a visitor may see a path. */
function guarded(site: Site, { path, checker }: Site["guards"][number], matcher: string): Line[] {
  const { protocol, mount } = site;
  return [
    `${matcher} path ${path.slice(0, -1)} ${path}*`,
    `forward_auth ${matcher} ${places(site)} {`,
    [
      `uri ${protocol === "fcgi" ? checker.slice(mount.length) : checker}`,
      // Otherwise it would be the visitor's.
      ...protocol === "fcgi" ? fastCgi(site, { REQUEST_URI: checker }) : ["header_up -X-Forwarded-Port"],
    ],
    "}",
  ];
}

function places({ endpoints }: Site): string {
  return endpoints.map((endpoint) => "socket" in endpoint ? `unix/${endpoint.socket}` : hostPort(endpoint)).join(" ");
}

/** The transport, with params that replace Caddy's own. */
function fastCgi({ mount }: Site, params: Readonly<Record<string, string>> = {}): Line[] {
  const all = Object.entries({ ...mount === "" ? {} : { SCRIPT_NAME: mount }, ...params });
  return all.length === 0
    ? ["transport fastcgi"]
    : ["transport fastcgi {", all.map(([name, value]) => `env ${name} ${value}`), "}"];
}

function toProgram(site: Site): Line[] {
  const { protocol, endpoints, ping } = site;
  const several = endpoints.length > 1;
  return [
    `reverse_proxy ${places(site)} {`,
    [
      ...protocol === "fcgi" ? fastCgi(site) : [],
      protocol === "http" && several && "transport http {",
      protocol === "http" && several && ["dial_timeout 3s"],
      protocol === "http" && several && "}",
      protocol === "http" && "header_up -X-Forwarded-Port",
      "flush_interval -1",
      ...several ? ["lb_try_duration 5s", "fail_duration 10s"] : [],
      several && protocol === "http" && ping && `health_uri ${ping}`,
    ],
    "}",
  ];
}
