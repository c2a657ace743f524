/** Visitors who come by https, on a port that is not the usual one, from another address than the web server's. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import process from "node:process";
import { describe } from "node:test";
import { apacheModules, lighttpdModules, makeOpenFolder, needs } from "../support/servers.ts";
import type { Echo } from "./app.ts";
import { type AppPlace, type Row, startAround, startRow, testSite } from "./site.ts";

/** An address of this machine that no web server connects from. Elsewhere than on Linux there may be only one. */
const visitor = process.platform === "linux" ? "127.0.0.2" : "127.0.0.1";

/** What a visitor can try. */
const forged = {
  "x-forwarded-for": "6.6.6.6",
  "x-forwarded-proto": "http",
  "x-forwarded-host": "evil.example:6666",
  "x-forwarded-port": "6666",
  "forwarded": "for=6.6.6.6;proto=http;host=evil.example",
};

/** Asks from the {@linkcode visitor}'s address. */
async function echo(port: number, path: string, headers: Record<string, string>): Promise<Echo> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const where = {
    host: "127.0.0.1",
    port,
    path,
    localAddress: visitor,
    rejectUnauthorized: false,
    agent: false,
    headers,
  } as const;
  request(where, async (response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of response) chunks.push(chunk);
    resolve(Buffer.concat(chunks).toString());
  }).on("error", reject).end();
  const text = await promise;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`No JSON: ${text}`);
  }
}

const nginx = (pass: (place: AppPlace) => string) => (place: AppPlace): string => `
  server {
    listen 127.0.0.1:${place.port} ssl;
    ssl_certificate ${place.certificate};
    ssl_certificate_key ${place.certificate};
    location / {
      ${pass(place)}
    }
  }`;

const proxyPass = (scheme: string, more = "") => ({ app }: AppPlace): string =>
  `ProxyPass "/" "unix:${app.socket}|${scheme}://localhost/" ${more}`;

const lighttpd = (module: string, more = "") => ({ app }: AppPlace): string => `
  ${module}.server = ( "/" => ((
    "socket" => "${app.socket}",
    "check-local" => "disable",
    "fix-root-scriptname" => "enable",
  )) )
  ${more}`;

const forwardedProto =
  "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}\nRequestHeader unset X-Forwarded-Port\nProxyPreserveHost On";
const lighttpdTls = [`${lighttpdModules}/mod_openssl.so`];

const rows: (Omit<Row, "name"> & { name?: string })[] = [
  ...["fastcgi", "scgi", "uwsgi"].map((name): Omit<Row, "name"> => ({
    server: "nginx",
    protocol: name === "fastcgi" ? "fcgi" : name as "scgi" | "uwsgi",
    listens: "socket",
    site: nginx(({ app }) => `include ${name}_params; ${name}_param HTTP_HOST $http_host; ${name}_pass unix:${app.socket};`),
  })),
  {
    server: "nginx",
    protocol: "http",
    listens: "port",
    words: ["trust=127.0.0.1"],
    site: nginx(({ app }) => `
      proxy_pass http://127.0.0.1:${app.port};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host "";
      proxy_set_header X-Forwarded-Port "";`),
  },
  { server: "apache", protocol: "fcgi", listens: "socket", site: proxyPass("fcgi") },
  { server: "apache", protocol: "scgi", listens: "socket", site: proxyPass("scgi") },
  { server: "apache", protocol: "uwsgi", listens: "socket", site: proxyPass("uwsgi") },
  { server: "apache", protocol: "ajp", listens: "socket", site: proxyPass("ajp", "nocanon") },
  {
    server: "apache",
    protocol: "http",
    listens: "socket",
    site: (place) => `${forwardedProto}\n${proxyPass("http", "nocanon")(place)}`,
  },
  {
    name: "Apache mod_jk, ajp",
    server: "apache",
    files: [`${apacheModules}/mod_jk.so`],
    protocol: "ajp",
    listens: "port",
    site: ({ app, folder }) => `
      LoadModule jk_module ${apacheModules}/mod_jk.so
      JkShmFile "${folder}/jk-runtime-status"
      JkLogFile "${folder}/mod_jk.log"
      JkWorkerProperty worker.list=mysite
      JkWorkerProperty worker.mysite.type=ajp13
      JkWorkerProperty worker.mysite.host=127.0.0.1
      JkWorkerProperty worker.mysite.port=${app.port}
      JkOptions +ForwardURICompatUnparsed
      JkMount "/*" mysite`,
  },
  {
    name: "Apache mod_fcgid",
    server: "apache",
    listens: "spawned",
    site: ({ folder }) => {
      makeOpenFolder(join(folder, "ipc"));
      writeFileSync(
        join(folder, ".htaccess"),
        "Options +ExecCGI\nAddHandler fcgid-script .fcgi\nRewriteEngine On\nRewriteRule !^mysite\\.fcgi mysite.fcgi [L]\n",
      );
      return `
        DocumentRoot "${folder}"
        <Directory "${folder}">
          AllowOverride All
          Require all granted
        </Directory>`;
    },
  },
  { server: "lighttpd", files: lighttpdTls, protocol: "fcgi", listens: "socket", site: lighttpd("fastcgi") },
  { server: "lighttpd", files: lighttpdTls, protocol: "scgi", listens: "socket", site: lighttpd("scgi") },
  {
    server: "lighttpd",
    files: lighttpdTls,
    protocol: "http",
    listens: "port",
    words: ["trust=127.0.0.1"],
    site: ({ app }) => `
      server.modules += ( "mod_setenv" )
      setenv.set-request-header = ( "X-Forwarded-Host" => "", "X-Forwarded-Port" => "" )
      proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => ${app.port} )) )`,
  },
  {
    name: "lighttpd mod_ajp13, auto",
    server: "lighttpd",
    files: lighttpdTls,
    protocol: "auto",
    listens: "socket",
    // Given "/" it would take it off the path.
    site: ({ app }) => `ajp13.server = ( "" => (( "socket" => "${app.socket}", "check-local" => "disable" )) )`,
  },
  {
    server: "caddy",
    protocol: "fcgi",
    listens: "socket",
    site: ({ app }) => `reverse_proxy unix/${app.socket} {\ntransport fastcgi\n}`,
  },
  {
    server: "caddy",
    protocol: "http",
    listens: "socket",
    site: ({ app }) => `reverse_proxy unix/${app.socket} {\nheader_up -X-Forwarded-Port\n}`,
  },
  {
    server: "haproxy",
    protocol: "fcgi",
    listens: "port",
    site: ({ app }) => `
      fcgi-app mysite
        docroot /
      backend app
        use-fcgi-app mysite
        server mysite 127.0.0.1:${app.port} proto fcgi`,
  },
  {
    server: "haproxy",
    protocol: "http",
    listens: "port",
    words: ["trust=127.0.0.1"],
    site: ({ app }) => `
      backend app
        option forwardfor
        http-request set-header X-Forwarded-Proto https if { ssl_fc }
        http-request del-header X-Forwarded-Host
        http-request del-header X-Forwarded-Port
        server mysite 127.0.0.1:${app.port}`,
  },
];

for (const row of rows) {
  const name = row.name ?? `${row.server}, ${row.protocol}`;
  describe(`https, ${name}`, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow({ ...row, name, https: true }));
    for (const [what, headers] of [["", {}], [", whatever the visitor says", forged]] as const) {
      testSite(`the URL and the visitor are what they are${what}`, running, async (site) => {
        const path = "/echo/a%20b/%C3%A9?x=1&y=%20z";
        const seen = await echo(site.port, path, headers);
        assert.equal(seen.url, `https://127.0.0.1:${site.port}${path}`);
        assert.equal(seen.headers.host, `127.0.0.1:${site.port}`);
        assert.equal(seen.visitor, visitor);
        assert.deepEqual([seen.scriptName, seen.pathInfo], ["", "/echo/a b/é"]);
        assert.deepEqual([seen.params.HTTPS, seen.params.SERVER_PORT], ["on", String(site.port)]);
      });
    }
  });
}
