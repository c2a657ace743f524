/**
 * nginx.
 *
 * @module
 */
import { hostPort, networkNote, type Server, type Site, sizeText, startSteps, titleOf } from "./site.ts";
import type { Line } from "./text.ts";

/** Beginning of its directives. */
const modules: Readonly<Record<string, string>> = { fcgi: "fastcgi", scgi: "scgi", uwsgi: "uwsgi", http: "proxy" };

export const nginx: Server = {
  title: "nginx",
  protocols: ["fcgi", "scgi", "uwsgi", "http"],
  refuses: { program: "it starts no programs; start it with the line that is printed" },
  file: "nginx.conf",
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
      notes: [networkNote(site)],
      lines: [
        ...upstream(site),
        ...redirect(site),
        "server {",
        [
          ...listening(site),
          site.https && `ssl_certificate ${site.https.certificate};`,
          site.https && `ssl_certificate_key ${site.https.key ?? site.https.certificate};`,
          site.upload && `client_max_body_size ${sizeText(site.upload)};`,
          "",
          ...site.folders.flatMap(({ path, folder }) => [
            "# Files, except those whose names begin with a dot.",
            `location ${path} {`,
            [`alias ${folder};`, String.raw`location ~ "/\.(?!well-known/)" { return 404; }`],
            "}",
            "",
          ]),
          `location ${site.mount}/ {`,
          toProgram(site),
          "}",
        ],
        "}",
      ],
    };
  },
};

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
  // A machine that failed is left out for ten seconds.
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

function toProgram(site: Site): Line[] {
  const { name, protocol, endpoints: [endpoint, ...others], keepalive, mount } = site;
  const module = modules[protocol];
  const address = "socket" in endpoint ? `unix:${endpoint.socket}` : hostPort(endpoint);
  const pass = others.length > 0 || keepalive !== undefined ? name : address;
  const patience = others.length > 0 && `${module}_connect_timeout 3s;`;
  if (protocol === "http") {
    return [
      `proxy_pass http://${pass};`,
      ...keepalive === undefined ? [] : ["proxy_http_version 1.1;", 'proxy_set_header Connection "";'],
      "proxy_set_header Host $http_host;",
      "proxy_set_header X-Forwarded-For $remote_addr;",
      "proxy_set_header X-Forwarded-Proto $scheme;",
      'proxy_set_header X-Forwarded-Host "";',
      'proxy_set_header X-Forwarded-Port "";',
      patience,
    ];
  }
  return [
    mount !== "" && protocol === "fcgi" && `fastcgi_split_path_info ^(${mount.replaceAll(/[.+]/g, "\\$&")})(/.*)$;`,
    mount !== "" && protocol !== "fcgi" && `if ($uri ~ ^${mount.replaceAll(/[.+]/g, "\\$&")}(/.*)$) { set $path_info $1; }`,
    `include ${module}_params;`,
    mount !== "" && protocol === "fcgi" && "fastcgi_param PATH_INFO $fastcgi_path_info;",
    ...mount !== "" && protocol !== "fcgi"
      ? [`${module}_param SCRIPT_NAME ${mount};`, `${module}_param PATH_INFO $path_info;`]
      : [],
    "# With the port, which Debian's file lacks.",
    `${module}_param HTTP_HOST $http_host;`,
    keepalive !== undefined && "fastcgi_keep_conn on;",
    `${module}_pass ${pass};`,
    patience,
  ];
}
