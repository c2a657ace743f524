/** Visitors who come by https, on a port that is not the usual one, from another address than the web server's. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import process from "node:process";
import { describe } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { apacheModules, lighttpdModules, makeOpenFolder, needs } from "../support/servers.ts";
import type { Echo } from "./app.ts";
import { passengerRow } from "./passenger.ts";
import { type Row, startAround, startRow, testSite } from "./site.ts";

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

/** Proxies drop what Connection names (RFC 9110, 7.6.1), and are not to drop what they say themselves. */
const hopByHop = { ...forged, connection: `close, host, ${Object.keys(forged).join(", ")}` };

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

const lighttpdTls = [`${lighttpdModules}/mod_openssl.so`];

const rows: (Omit<Row, "name"> & { name?: string })[] = [
  ...(["fcgi", "scgi", "uwsgi", "http"] as const).map((protocol): Omit<Row, "name"> => ({
    server: "nginx",
    protocol,
    listens: protocol === "http" ? "port" : "socket",
    config: ["nginx"],
  })),
  ...(["fcgi", "scgi", "uwsgi", "ajp", "http"] as const).map((protocol): Omit<Row, "name"> => ({
    server: "apache",
    protocol,
    listens: "socket",
    config: ["apache"],
  })),
  {
    name: "Apache mod_jk, ajp",
    server: "apache",
    files: [`${apacheModules}/mod_jk.so`],
    protocol: "ajp",
    listens: "port",
    config: ["mod_jk"],
  },
  {
    name: "Apache mod_fcgid",
    server: "apache",
    listens: "spawned",
    site: ({ folder }) => {
      makeOpenFolder(join(folder, "ipc"));
      writeFileSync(join(folder, ".htaccess"), configText(["apache-shared"]));
      return `
        DocumentRoot "${folder}"
        <Directory "${folder}">
          AllowOverride All
          Require all granted
        </Directory>`;
    },
  },
  passengerRow,
  ...(["fcgi", "scgi", "http"] as const).map((protocol): Omit<Row, "name"> => ({
    server: "lighttpd",
    files: lighttpdTls,
    protocol,
    listens: protocol === "http" ? "port" : "socket",
    config: ["lighttpd"],
  })),
  {
    name: "lighttpd mod_ajp13, auto",
    server: "lighttpd",
    files: lighttpdTls,
    protocol: "auto",
    listens: "socket",
    // Given "/" it would take it off the path.
    site: ({ app }) => `ajp13.server = ( "" => (( "socket" => "${app.socket}", "check-local" => "disable" )) )`,
  },
  ...(["caddy", "haproxy"] as const).flatMap((server) =>
    (["fcgi", "http"] as const).map((protocol): Omit<Row, "name"> => ({
      server,
      protocol,
      listens: server === "caddy" ? "socket" : "port",
      config: [server],
    }))
  ),
];

for (const row of rows) {
  const name = row.name ?? `${row.server}, ${row.protocol}`;
  describe(`https, ${name}`, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow({ ...row, name, https: true }));
    for (
      const [what, headers] of [["", {}], [", whatever the visitor says", forged], [
        ", whatever the visitor calls hop-by-hop",
        hopByHop,
      ]] as const
    ) {
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
