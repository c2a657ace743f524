/**
 * nginx.
 *
 * @module
 */
import { privatePattern } from "../handlers/static/private.ts";
import { guardNotes, hostPort, networkNote, type Server, type Site, sizeText, startSteps, titleOf } from "./site.ts";
import type { Line } from "./text.ts";

/** Prefix of its directives. */
const modules: Readonly<Record<string, string>> = { fcgi: "fastcgi", scgi: "scgi", uwsgi: "uwsgi", http: "proxy" };

export const nginx: Server = {
  title: "nginx",
  protocols: ["fcgi", "scgi", "uwsgi", "http"],
  refuses: { program: "it does not start programs; start it with the printed command" },
  file: "nginx.conf",
  asksFirst: true,
  servesFolders: true,
  tellsMount: (protocol) => protocol !== "http",
  configuration(site) {
    return {
      title: titleOf(site, "nginx"),
      steps: [
        ["Put this into", `/etc/nginx/conf.d/${site.name}.conf`],
        ["Check and load", "nginx -t && nginx -s reload"],
        ...startSteps(site),
      ],
      notes: [networkNote(site), ...guardNotes(site)],
      lines: [
        ...upstream(site),
        ...connectionMap(site),
        ...redirect(site),
        "server {",
        [
          ...listening(site),
          site.https && `ssl_certificate ${site.https.certificate};`,
          site.https && `ssl_certificate_key ${site.https.key ?? site.https.certificate};`,
          site.upload && `client_max_body_size ${sizeText(site.upload)};`,
          "",
          ...site.folders.flatMap(({ path, folder }) => [...files(site, path, folder), ""]),
          ...guarded(site),
          ...site.guards.some(({ path }) => path === `${site.mount}/`) ? [] : below(site, `${site.mount}/`),
        ],
        "}",
      ],
    };
  },
};

function files(site: Site, path: string, folder: string): Line[] {
  return [
    "# Files, except private ones.",
    `location ${path} {`,
    [guardOf(site, path), `alias ${folder};`, `location ~* "${privatePattern(path)}" { return 404; }`],
    "}",
  ];
}

/** The path with its slash and without it, from where nginx would redirect by itself. */
function below(site: Site, path: string): Line[] {
  const bare = path.slice(0, -1);
  const inside = [guardOf(site, path), ...toProgram(site)];
  const isTaken = bare === "" || site.guards.some(({ checker }) => checker === bare);
  return [
    ...isTaken ? [] : [`# Otherwise nginx would redirect from here to ${path}`, `location = ${bare} {`, inside, "}", ""],
    `location ${path} {`,
    inside,
    "}",
  ];
}

/** The line that asks the application before a visitor may see a path. */
function guardOf({ guards }: Site, below: string): Line {
  const [guard] = guards.filter(({ path }) => below.startsWith(path)).sort((a, b) => b.path.length - a.path.length);
  return guard && `auth_request ${guard.checker};`;
}

/** Paths whose visitors the application admits, and the paths that decide. */
function guarded(site: Site): Line[] {
  const { guards, folders, mount, protocol } = site;
  const module = modules[protocol];
  return [
    ...guards.filter(({ path }) => !folders.some((folder) => folder.path === path)).flatMap(({ path }) => {
      const [around] = folders.filter((folder) => path.startsWith(folder.path)).sort((a, b) => b.path.length - a.path.length);
      return [
        ...around === undefined ? below(site, path) : files(site, path, around.folder + path.slice(around.path.length)),
        "",
      ];
    }),
    ...[...new Set(guards.map(({ checker }) => checker))].flatMap((checker) => [
      `# Decides who may see ${guards.filter((guard) => guard.checker === checker).map(({ path }) => path).join(" and ")}.`,
      `location = ${checker} {`,
      [
        "internal;",
        ...toProgram(site, checker.slice(mount.length)),
        `${module}_pass_request_body off;`,
        ...protocol === "http" ? ['proxy_set_header Content-Length "";', "proxy_set_header X-Original-URI $request_uri;"] : [
          protocol !== "scgi" && `${module}_param CONTENT_LENGTH "";`,
          "# Otherwise it would be the visitor's.",
          `${module}_param REQUEST_URI ${checker};`,
          `${module}_param HTTP_X_ORIGINAL_URI $request_uri;`,
        ],
      ],
      "}",
      "",
    ]),
  ];
}

function listening({ names, listen: { host, port }, https }: Site): Line[] {
  const addresses = host === undefined ? [`${port}`, `[::]:${port}`] : [`${host}:${port}`];
  return [
    ...addresses.map((address) => `listen ${address}${https ? " ssl" : ""};`),
    names.length > 0 && `server_name ${names.join(" ")};`,
  ];
}

function redirect(site: Site): Line[] {
  if (!site.redirects) return [];
  const plain = listening({ ...site, listen: { port: 80 }, https: undefined });
  return ["server {", [...plain, "return 301 https://$host$request_uri;"], "}", ""];
}

function upstream({ name, endpoints, keepalive }: Site): Line[] {
  if (endpoints.length === 1 && keepalive === undefined) return [];
  // A failed machine is skipped for ten seconds.
  const health = endpoints.length > 1 ? " max_fails=1 fail_timeout=10s" : "";
  return [
    `upstream ${name} {`,
    [
      ...endpoints.map((endpoint) => `server ${"socket" in endpoint ? `unix:${endpoint.socket}` : hostPort(endpoint)}${health};`),
      keepalive && `keepalive ${keepalive};`,
    ],
    "}",
    "",
  ];
}

/** The variable with which a request goes on: to become a WebSocket, or as usual. */
function connectionOf({ name }: Site): string {
  return `$${name.replaceAll("-", "_")}_connection`;
}

function connectionMap(site: Site): Line[] {
  if (!site.websocket) return [];
  const usual = site.keepalive === undefined ? "close" : '""';
  return [`map $http_upgrade ${connectionOf(site)} {`, [`default ${usual};`, "~*^websocket$ upgrade;"], "}", ""];
}

/** @param pathInfo the path below the mount, if it is fixed */
function toProgram(site: Site, pathInfo?: string): Line[] {
  const { name, protocol, endpoints: [endpoint, ...others], keepalive, mount } = site;
  const module = modules[protocol];
  const address = "socket" in endpoint ? `unix:${endpoint.socket}` : hostPort(endpoint);
  const pass = others.length > 0 || keepalive !== undefined ? name : address;
  const patience = others.length > 0 && `${module}_connect_timeout 3s;`;
  const buffers = [
    "# A response's head has to fit into the first buffer; the default is 4k.",
    `${module}_buffer_size 32k;`,
    `${module}_buffers 8 16k;`,
  ];
  if (protocol === "http") {
    return [
      `proxy_pass http://${pass};`,
      "# With HTTP/1.0, a truncated response could look complete.",
      "proxy_http_version 1.1;",
      ...site.websocket
        ? [
          "proxy_set_header Upgrade $http_upgrade;",
          `proxy_set_header Connection ${connectionOf(site)};`,
          "# The default is a minute, for silent sockets too.",
          "proxy_read_timeout 1h;",
        ]
        : [keepalive !== undefined && 'proxy_set_header Connection "";'],
      "proxy_set_header Host $http_host;",
      "proxy_set_header X-Forwarded-For $remote_addr;",
      "proxy_set_header X-Forwarded-Proto $scheme;",
      'proxy_set_header X-Forwarded-Host "";',
      'proxy_set_header X-Forwarded-Port "";',
      ...buffers,
      patience,
    ];
  }
  return [
    mount !== "" && protocol === "fcgi" && `fastcgi_split_path_info (?s)^(${mount.replaceAll(/[.+]/g, "\\$&")})(/.*)$;`,
    mount !== "" && protocol !== "fcgi" && pathInfo === undefined &&
    // By "set $path_info $1" it would be encoded where the visitor has encoded anything.
    `if ($uri ~ (?s)^${mount.replaceAll(/[.+]/g, "\\$&")}(?<path_info>(?:/.*)?)$) {}`,
    `include ${module}_params;`,
    mount !== "" && protocol === "fcgi" && "fastcgi_param PATH_INFO $fastcgi_path_info;",
    ...mount !== "" && protocol !== "fcgi"
      ? [`${module}_param SCRIPT_NAME ${mount};`, `${module}_param PATH_INFO ${pathInfo ?? "$path_info"};`]
      : [],
    "# Includes the port, unlike Debian's fastcgi_params.",
    `${module}_param HTTP_HOST $http_host;`,
    keepalive !== undefined && "fastcgi_keep_conn on;",
    `${module}_pass ${pass};`,
    ...buffers,
    patience,
  ];
}
