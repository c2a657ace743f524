/**
 * Uploads and responses that cross: most web servers send all of a request before they read any of the response, and nginx
 * stops sending the one when it has begun to read the other. Nobody may wait for ever, whoever is in front.
 *
 * One table: each row is a web server in one configuration, each cell something that an application does with an upload of
 * one size.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { configText } from "../../src/config/servers.ts";
import type { EndpointProtocol } from "../../src/protocol/protocols.ts";
import { type Check, cross, type Crossing, Gunzipped, Repeated } from "../support/crossing.ts";
import { freePort, whole } from "../support/program.ts";
import { apacheModules, needs, startWebServer, type WebServerName } from "../support/servers.ts";
import { begin, block, blocks, digest, refusals, small } from "./duplex_app.ts";
import { fcgidRow, host, htaccess } from "./fcgid.ts";
import { passengerRow } from "./passenger.ts";
import { putApp, type Row, type Site, startRow } from "./site.ts";

const timeout = whole ? 3_600_000 : 300_000;
const MB = 1024 * 1024;

/** What an application does with an upload, and what the visitor is to get. */
interface Cell {
  status?: number;
  /** Path and query of the request. */
  path?(length: number): string;
  expected(length: number): Check | Promise<Check>;
}

const echoed = (length: number) => new Repeated(block, length);
const blockInBase64 = Buffer.from(Buffer.from(block).toString("base64"));
const digests = new Map<number, Promise<string>>();
function digestOf(length: number): Promise<string> {
  let known = digests.get(length);
  if (known === undefined) digests.set(length, known = digest(blocks(length)));
  return known;
}

/** Another server, to which the application sends on what it gets. */
let inner: Server;
before(() => {
  inner = createServer((request, response) => request.pipe(response));
  return new Promise<void>((resolve) => inner.listen(0, "127.0.0.1", resolve));
});
after(() => {
  inner.closeAllConnections();
  inner.close();
});

const cells: Record<string, Cell> = {
  echo: { expected: echoed },
  gzip: { expected: (length) => new Gunzipped(echoed(length)) },
  base64: {
    expected: (length) => {
      const rest = length % block.length;
      const end = Buffer.from(block.subarray(rest - rest % 3, rest)).toString("base64");
      return new Repeated(blockInBase64, (length - rest % 3) / 3 * 4, end);
    },
  },
  early: { expected: async (length) => new Repeated(block, begin, await digestOf(length)) },
  late: { expected: async (length) => new Repeated(block, length, await digestOf(length)) },
  unread: { expected: echoed },
  small: { expected: () => new Repeated(block, 0, small) },
  401: { status: 401, expected: () => new Repeated(block, 0, refusals[401]) },
  413: { status: 413, expected: () => new Repeated(block, 0, refusals[413]) },
  proxy: {
    path: () => `/proxy?to=${encodeURIComponent(`http://127.0.0.1:${(inner.address() as AddressInfo).port}/`)}`,
    expected: echoed,
  },
};
type Name = keyof typeof cells;

/** The applications, by which cells they have. */
interface App {
  cells: readonly Name[];
  put(folder: string): string;
}

const apps: Record<string, App> = {
  fetch: { cells: Object.keys(cells), put: (folder) => putApp(folder, "mysite.ts", appFile) },
  "Node-style": {
    cells: ["echo"],
    put(folder) {
      const file = putApp(folder, "mysite.ts", appFile);
      writeFileSync(
        file,
        'import { createServer } from "node:http";\nexport default createServer((request, response) => request.pipe(response));\n',
      );
      return file;
    },
  },
  exec: {
    cells: ["echo"],
    put(folder) {
      const file = putApp(folder, "inner.mjs", appFile);
      writeFileSync(
        file,
        'import { createServer } from "node:http";\nimport process from "node:process";\n' +
          "createServer((request, response) => request.pipe(response)).listen(process.argv[2]);\n",
      );
      const runtime = process.versions.deno ? `${process.execPath} run -A` : process.execPath;
      return `exec=${runtime} ${file} {socket}`;
    },
  },
};
const appFile = fileURLToPath(new URL("duplex_app.ts", import.meta.url));

/** A row of the table. */
interface Line extends Row {
  /** An nginx that stands before it. */
  behind?: NginxWay;
  /** Only the larger sizes, since the kernel takes a lot on the way. */
  roomy?: boolean;
  /** Small uploads that are sent besides, where what is to be seen is a race. */
  races?: number;
  /** Why uploads take so long that only small ones are sent. */
  slow?: string;
}

type NginxWay = "buffered" | "unbuffered";
const ways: readonly NginxWay[] = ["buffered", "unbuffered"];
const endpoints = { socket: "Unix socket", port: "TCP" } as const;
const listens = Object.keys(endpoints) as (keyof typeof endpoints)[];
const upload = "upload=2g";

/** What `config nginx` prints, without a buffer for uploads. */
function unbuffered(config: string): string {
  const module = /(fastcgi|scgi|uwsgi|proxy)_pass/.exec(config)![1];
  return config.replace(/^ *location .*\{$/m, `$&\n${module}_request_buffering off;`);
}

/** A row for each protocol, over Unix sockets and TCP. */
function rows(server: WebServerName, name: string, protocols: readonly EndpointProtocol[], more?: Partial<Line>): Line[] {
  return protocols.flatMap((protocol) =>
    listens.map((listens): Line => ({
      name: `${name}, ${protocol}, ${endpoints[listens]}`,
      server,
      protocol,
      listens,
      logs: "program",
      config: [server],
      roomy: listens === "port",
      ...more,
    }))
  );
}

/**
 * It writes the header of each body packet by itself, and so Nagle's algorithm holds back the rest until the header is
 * acknowledged: 40 ms for 8 KB.
 */
const nagle = "lighttpd sends 190 KB a second over AJP and TCP";
const noLength = "it wants the length of an upload";

const nginx = ways.flatMap((way) =>
  rows("nginx", `nginx, ${way}`, ["fcgi", "scgi", "uwsgi", "http"], { change: way === "unbuffered" ? unbuffered : undefined })
    .map((row): Line => ({
      ...row,
      config: [
        "nginx",
        upload,
        ...row.roomy && (row.protocol === "fcgi" || row.protocol === "http") ? ["keepalive=8"] : [],
      ],
    }))
);

const fcgid: Line = { ...fcgidRow };

const table: readonly Line[] = [
  ...nginx,
  fcgid,
  {
    ...fcgidRow,
    name: "Apache mod_cgid",
    site: (place) =>
      `LoadModule cgid_module ${apacheModules}/mod_cgid.so
      ScriptSock "${place.folder}/cgid.sock"
      ${host(place, htaccess.replace("fcgid-script", "cgi-script"))}`,
  },
  ...rows("apache", "Apache mod_proxy", ["fcgi", "scgi", "uwsgi", "ajp", "http"]),
  {
    name: "Apache mod_jk",
    server: "apache",
    files: [`${apacheModules}/mod_jk.so`],
    protocol: "ajp",
    listens: "port",
    config: ["mod_jk"],
    logs: "program",
  },
  passengerRow,
  ...rows("lighttpd", "lighttpd", ["fcgi", "scgi", "uwsgi", "ajp", "http"]).map((row): Line =>
    row.protocol === "ajp" && row.listens === "port" ? { ...row, slow: nagle } : row
  ),
  { name: "lighttpd starts the program", server: "lighttpd", listens: "spawned", config: ["lighttpd"] },
  ...rows("caddy", "Caddy", ["fcgi"]),
  ...rows("caddy", "Caddy", ["http"], { races: 100 }),
  ...rows("haproxy", "HAProxy", ["fcgi", "http"]),
  ...ways.flatMap((behind): Line[] =>
    [
      rows("apache", "Apache mod_proxy", ["fcgi"])[0],
      fcgid,
      rows("lighttpd", "lighttpd", ["fcgi"])[0],
    ].map((row) => ({ ...row, name: `nginx, ${behind}, before ${row.name}`, behind }))
  ),
];

/** What a web server does not take, whatever is behind it. */
const cannotChunk: Record<string, string> = {
  "Apache mod_proxy, scgi": noLength,
  "Apache mod_proxy, uwsgi": noLength,
  "HAProxy, fcgi": `${noLength}, or all of it in its buffer`,
};

const sizes = whole ? [1, 20, 100] : [1, 20];

interface Question {
  name: Name;
  size: number;
  chunked: boolean;
}

/** The cells of a row. */
function questions(line: Line, { cells }: App): Question[] {
  const chunkable = !Object.keys(cannotChunk).some((name) => line.name.startsWith(name));
  const races = Array.from(
    { length: line.races ?? 0 },
    (_, i): Question => ({ name: cells.includes("early") && i % 2 ? "early" : "echo", size: 1, chunked: false }),
  );
  const asked = cells.flatMap((name) =>
    sizes.flatMap((size) =>
      [false, true].filter((chunked) => !chunked || chunkable).map((chunked): Question => ({ name, size, chunked }))
    ).filter((question) => line.slow ? question.size === 1 && question.name === "echo" : whole || isUsual(question, line))
  );
  return [...asked, ...races];
}

/** Those that are unlike each other: bodies that are transformed cross like those that are echoed, and so do chunks. */
function isUsual({ name, size, chunked }: Question, { roomy }: Line): boolean {
  const tells = ["echo", "early", "unread"].includes(name);
  if (roomy) return size === 20 && !chunked && (tells || name === "413");
  if (chunked) return size === 1 && tells;
  return size === 1 || name === "echo" || name === "unread";
}

/** Cells of a row under way at once, and rows. */
const PARALLEL = 3;
const ROWS = 2;

async function ask(port: number, { name, size, chunked }: Question, more?: Partial<Crossing>): Promise<string | undefined> {
  const length = size * MB;
  const { status, path, expected } = cells[name];
  const { error, ...crossed } = await cross({
    port,
    patience: 30,
    path: path?.(length) ?? `/${name}?length=${length}`,
    block,
    length,
    chunked,
    status,
    expected: await expected(length),
    ...more,
  });
  return error &&
    `${name} ${size} MB${chunked ? " in chunks" : ""}: ${error}; ${crossed.sent} of ${length} bytes were sent, ` +
      `${crossed.received} came, status ${crossed.status ?? "none"}`;
}

/** An nginx before the web server of a site. */
async function startNginx(site: Site, way: NginxWay): Promise<{ port: number; stop(): Promise<void> }> {
  const folder = join(site.folder, "front");
  mkdirSync(folder);
  const port = await freePort();
  const printed = configText(["nginx", "protocol=http", `listen=127.0.0.1:${port}`, `port=${site.port}`, upload]);
  const { running } = await startWebServer("nginx", { folder, port }, way === "unbuffered" ? unbuffered(printed) : printed);
  return { port, stop: () => running.stop() };
}

describe("uploads and responses cross behind", { concurrency: ROWS }, () => {
  for (const line of table) {
    const skip = needs(line.server, line.files) || line.behind && needs("nginx") || false;
    // One after another: two Passengers may give their applications the same port.
    describe(line.name, { skip, concurrency: 1 }, () => {
      for (const [name, app] of Object.entries(apps)) {
        if (name === "exec" && line.listens === "spawned" || name !== "fetch" && line.roomy && !whole) continue;
        test(`${name} application`, { timeout }, async () => {
          const { site, stop } = await startRow({ ...line, app: app.put });
          try {
            const front = line.behind && await startNginx(site, line.behind);
            const waiting = questions(line, app);
            const failures: string[] = [];
            try {
              await Promise.all(Array.from({ length: PARALLEL }, async () => {
                for (let question = waiting.shift(); question; question = waiting.shift()) {
                  const failure = await ask(front?.port ?? site.port, question);
                  if (failure !== undefined) failures.push(failure);
                }
              }));
            } finally {
              await front?.stop();
            }
            assert.ok(
              failures.length === 0,
              `${line.name}, ${name} application:\n${failures.join("\n")}\n${site.errors.slice(-2000)}`,
            );
          } finally {
            await stop();
          }
        });
      }
    });
  }
});
