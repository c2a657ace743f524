/**
 * Requests that two readers may misread, through proxies that keep their connections to the program: a proxy and we never see
 * another number of requests, nor another body, and no visitor gets the answer of another.
 *
 * The proxy gives each request that it sees an id, which no visitor can know, and writes it into its log, with the body where
 * it can. The application keeps what it gets, with the id. So what one of them sees and the other does not comes out. What went
 * over each connection is also read by Node's `node:http`, which has to see the same again.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createConnection, createServer, type Server } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { bytes, text } from "../support/bytes.ts";
import { ask } from "../support/http.ts";
import { finish, largeSamples, lastSamples, type Sample, samples } from "../support/http_corpus.ts";
import { nodeSees } from "../support/http_readers.ts";
import { Random } from "../support/random.ts";
import { freePort, type Running, startServing, until, whole, within } from "../support/program.ts";
import {
  apacheModules,
  makeFolder,
  needs,
  type RunningWebServer,
  startWebServer,
  type WebServerName,
} from "../support/servers.ts";
import type { SeenByApp } from "./proxies_app.ts";

/** Generous: a test that fails for want of time says nothing. */
const timeout = 120_000;
/** Visitors at a time. */
const LANES = 4;

/** A request in the proxy's log. */
interface Logged {
  id: string;
  /** The visitor's. */
  port: number;
  method: string;
  target?: string;
  status: number;
  /** A byte string, where the proxy can tell. */
  body?: string;
  length?: number;
}

interface Place {
  folder: string;
  port: number;
  /** Where the program is to be found. */
  upstream: number;
}

interface Proxy {
  name: string;
  /** Messages that it treats in its own way. */
  apart?: RegExp;
  server: WebServerName;
  files?: string[];
  config(place: Place): string;
  /** Reads the log, of which `printed` is what the proxy wrote to its standard output and error. */
  log(folder: string, printed: string): Logged[];
}

const lines = (file: string) => existsSync(file) ? readFileSync(file, "latin1").split("\n").slice(0, -1) : [];
const fromHex = (hex: string) => Buffer.from(hex, "hex").toString("latin1");

/** A line of fields that are parted by tabs; each is decoded. */
function logged(line: string, decode: (field: string) => string): Logged {
  const [id, port, method, status, target, body] = line.split("\t").map(decode);
  return { id, port: Number(port), method, target, status: Number(status), body };
}

const nginx = (name: string, more: string, hasBody: boolean): Proxy => ({
  name,
  server: "nginx",
  config: ({ folder, port, upstream }) => `
    upstream app {
      server 127.0.0.1:${upstream};
      keepalive 8;
    }
    log_format seen escape=json '$request_id\t$remote_port\t$request_method\t$status\t$request_uri\t$request_body\t$request_length';
    server {
      listen 127.0.0.1:${port};
      access_log ${folder}/access.log seen;
      location / {
        proxy_pass http://app;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_set_header X-Seen $request_id;
        proxy_next_upstream off;
        client_body_buffer_size 64k;
        client_body_in_single_buffer on;
        ${more}
      }
    }`,
  log: (folder) =>
    lines(join(folder, "access.log")).map((line) => {
      const entry = logged(line, (field) => JSON.parse(`"${field}"`));
      // A body that came with more framing than the buffer holds is in a file.
      const tells = hasBody && Number(line.split("\t")[6]) < 64 * 1024;
      return tells ? entry : { ...entry, body: undefined };
    }),
});

const haproxy = (name: string, more: string): Proxy => ({
  name,
  server: "haproxy",
  config: ({ port, upstream }) => `
    global
      log stdout len 65535 format raw local0
      nbthread 1
      tune.http.logurilen 8192
      tune.bufsize 65536
    defaults seen
      mode http
      timeout connect 10s
      timeout client 60s
      timeout server 60s
    frontend visitors from seen
      bind 127.0.0.1:${port}
      log global
      unique-id-format %[uuid()]
      http-request set-header X-Seen %[unique-id]
      ${more}
      log-format "%ID\t%cp\t%HM\t%ST\t%HU\t%[var(txn.body)]"
      default_backend app
    backend app from seen
      http-reuse always
      retries 0
      server app 127.0.0.1:${upstream}`,
  log: (_folder, printed) =>
    printed.split("\n").filter((line) => /^[0-9a-f-]{36}\t/.test(line)).map((line) => {
      // It writes some characters as their number.
      const entry = logged(line, (field) => field.replace(/#([0-9A-F]{2})/g, (_, hex) => fromHex(hex)));
      return { ...entry, body: more ? fromHex(entry.body!.replace(/^-$/, "")) : undefined };
    }),
});

const unescaped = (field: string) =>
  field.replace(
    /\\x([0-9a-f]{2})|\\(.)/g,
    (_, hex, letter) => hex ? fromHex(hex) : { n: "\n", r: "\r", t: "\t" }[letter as string] ?? letter,
  );

const proxies: Proxy[] = [
  nginx("nginx", "", true),
  nginx("nginx that passes bodies on as they come", "proxy_request_buffering off;", false),
  {
    name: "Apache",
    // It answers the first itself, and drops what the second names from what is passed on, also what it has added.
    apart: /OPTIONS \* |^Connection: X-Seen\r$/m,
    server: "apache",
    files: ["unique_id", "lua"].map((name) => `${apacheModules}/mod_${name}.so`),
    config: ({ folder, port, upstream }) => {
      writeFileSync(
        join(folder, "body.lua"),
        `function keep(r)
          coroutine.yield()
          local hex = ""
          while bucket ~= nil do
            hex = hex .. bucket:gsub(".", function(c) return string.format("%02x", c:byte()) end)
            r.notes["body"] = hex
            coroutine.yield(bucket)
          end
        end\n`,
      );
      return `
        # a2enmod proxy proxy_http headers unique_id lua
        <VirtualHost 127.0.0.1:${port}>
          ServerName h
          LogFormat "%{UNIQUE_ID}e\\t%{remote}p\\t%m\\t%>s\\t%r\\t%{body}n" seen
          CustomLog "${folder}/access.log" seen
          RequestHeader set X-Seen "%{UNIQUE_ID}e"
          LuaInputFilter KEEP "${folder}/body.lua" keep
          SetInputFilter KEEP
          KeepAliveTimeout 60
          MaxKeepAliveRequests 0
          ProxyPreserveHost On
          ProxyPass "/" "http://127.0.0.1:${upstream}/" nocanon keepalive=on
        </VirtualHost>`;
    },
    log: (folder) =>
      lines(join(folder, "access.log")).map((line) => {
        const entry = logged(line, unescaped);
        return { ...entry, target: entry.target!.split(" ")[1] ?? "", body: fromHex(entry.body!.replace(/^-$/, "")) };
      }),
  },
  haproxy("HAProxy", ""),
  haproxy("HAProxy that waits for bodies", "option http-buffer-request\nhttp-request set-var(txn.body) req.body,hex"),
  {
    name: "Caddy",
    server: "caddy",
    config: ({ folder, port, upstream }) => `
      http://:${port} {
        bind 127.0.0.1
        log {
          output file ${folder}/access.log
          format json
        }
        header X-Id {http.request.uuid}
        reverse_proxy 127.0.0.1:${upstream} {
          header_up X-Seen {http.request.uuid}
        }
      }`,
    log: (folder) =>
      lines(join(folder, "access.log")).map((line) => {
        const { request, status, bytes_read, resp_headers } = JSON.parse(line);
        return {
          id: resp_headers["X-Id"]?.[0] ?? "",
          port: Number(request.remote_port),
          method: request.method,
          // What is not UTF-8 cannot be in JSON.
          target: /\ufffd|\xef\xbf\xbd/.test(request.uri) ? undefined : request.uri,
          status,
          length: bytes_read,
        };
      }),
  },
];

/** Stands between proxy and program and keeps what the proxy sends, by the port of its connection to the program. */
class Relay {
  readonly sent = new Map<number, Uint8Array[]>();
  readonly #server: Server;

  constructor(upstream: number) {
    this.#server = createServer((socket) => {
      const onward = createConnection({ host: "127.0.0.1", port: upstream });
      const chunks: Uint8Array[] = [];
      socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      onward.on("connect", () => this.sent.set(onward.localPort!, chunks));
      socket.pipe(onward).pipe(socket);
      for (const [one, other] of [[socket, onward], [onward, socket]]) {
        one.on("error", () => {}).on("close", () => other.destroy());
      }
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
  }
}

const mutated: Sample[] = Array.from({ length: whole ? 300 : 0 }, (_, seed) => {
  const random = new Random(seed);
  const message = text(random.mutate(bytes(random.pick(samples).message + random.pick(samples).message)));
  return { name: `two, mutated with ${random}`, message };
});

/** Some wait for a body of such a length until the visitor leaves. */
const endless = /^a (?:length|size) (?:past|that is negative)|^two, mutated/;

interface Visit {
  name: string;
  /** The visitor's. */
  port: number;
  /** All that came back. */
  answers: string;
}

/** Sends a message and takes what comes back, until the proxy ends the connection. */
async function visit(port: number, name: string, message: string): Promise<Visit> {
  const socket = createConnection({ host: "127.0.0.1", port });
  let answers = "";
  socket.on("data", (chunk: Uint8Array) => answers += text(chunk));
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  try {
    await once(socket, "connect");
    const own = socket.localPort!;
    socket.write(bytes(message + finish));
    if (endless.test(name)) socket.end();
    await within(`the end of ${name}`, closed, 60);
    return { name, port: own, answers };
  } finally {
    socket.destroy();
  }
}

/** Some decode and encode the target again, or merge its slashes; the application gets it with its dot segments resolved. */
function plain(target: string): string {
  const absolute = target.replace(/^[a-z]+:(?:\/\/[^/?#]*)?/i, "").replace(/^\/*/, "/");
  const [path] = /^[^?]*/.exec(absolute)!;
  const resolved = /\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path) ? new URL(`http://h${path}`).pathname : path;
  const origin = resolved + absolute.slice(path.length);
  return Buffer.from(origin, "latin1").toString("latin1").replace(/%([0-9a-f]{2})/gi, (_, hex) => fromHex(hex));
}

function differences(seen: readonly SeenByApp[], log: readonly Logged[], visits: readonly Visit[]): string[] {
  const found: string[] = [];
  const byId = new Map(log.map((entry) => [entry.id, entry]));
  const times = new Map<string, number>();
  for (const request of seen) {
    const shown = JSON.stringify(request);
    const [id = ""] = request.id;
    times.set(id, (times.get(id) ?? 0) + 1);
    const entry = byId.get(id);
    if (request.id.length !== 1 || entry === undefined) {
      found.push(`seen by the application alone: ${shown}`);
      continue;
    }
    if (times.get(id)! > 1) found.push(`seen twice: ${shown}`);
    const { body = entry.body ?? "" } = request;
    const same = entry.method === request.method && plain(entry.target ?? request.target) === plain(request.target) &&
      (entry.body ?? body) === body && (request.body === undefined || (entry.length ?? body.length) === body.length);
    if (!same) found.push(`seen as ${shown} and as ${JSON.stringify(entry)}`);
  }
  for (const entry of log) {
    if (entry.status === 200 && !times.has(entry.id)) found.push(`seen by the proxy alone: ${JSON.stringify(entry)}`);
  }
  for (const { name, port, answers } of visits) {
    for (const [, id] of answers.matchAll(/^x-seen: (\S*)\r$/gim)) {
      if (byId.get(id)?.port !== port) found.push(`${name} got the answer to ${JSON.stringify(byId.get(id) ?? id)}`);
    }
  }
  return found;
}

/** How both readers' requests are compared. */
const shown = (method: string, target: string, body: string) => `${method} ${plain(target)} ${body}`;

/** What Node's `node:http` does not take: it would see nothing behind it. */
const odd = /^a method that nobody knows$|^a target that is not |^Upgrade to |^CONNECT$|^Proxy-Connection$/;

const isNode = !process.versions.bun && !("Deno" in globalThis);

describe("misread requests through", () => {
  const folder = makeFolder();
  let running: Running;
  let appPort = 0;

  before(async () => {
    appPort = await freePort();
    const app = fileURLToPath(new URL("proxies_app.ts", import.meta.url));
    running = await startServing({ port: appPort }, [app, "protocol=http", "threads=1"]);
  }, { timeout });

  after(async () => {
    await running?.stop();
    folder.remove();
  }, { timeout });

  for (const { name, apart, server, files, config, log } of proxies) {
    test(name, { timeout, skip: needs(server, files) }, async () => {
      const relay = new Relay(appPort);
      const place = { folder: makeFolder(), port: await freePort(), upstream: await relay.listen() };
      const where = { ...place, folder: place.folder.path };
      let web: RunningWebServer | undefined;
      try {
        web = await startWebServer(server, where, config(where));
        const visits: Visit[] = [];
        const waiting = [...samples, ...lastSamples, ...largeSamples, ...mutated].filter(({ message }) => !apart?.test(message))
          // The other reader ends at the first of these.
          .toSorted((a, b) => Number(odd.test(a.name)) - Number(odd.test(b.name)));
        await Promise.all(Array.from({ length: LANES }, async () => {
          for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
            visits.push(await visit(place.port, next.name, next.message));
          }
        }));
        const seen: SeenByApp[] = [];
        let found: string[] = [];
        const agree = async () => {
          seen.push(...JSON.parse((await ask(appPort, "/what-was-seen")).text));
          found = differences(seen, log(where.folder, web!.running.stdout() + web!.running.stderr()), visits);
          return found.length === 0;
        };
        await until("proxy and application have seen the same", agree).catch(() => assert.deepEqual(found, []));
        assert.ok(seen.length > 300, `${seen.length} requests were seen`);
        assert.ok(relay.sent.size < seen.length / 2, `${relay.sent.size} connections for ${seen.length} requests`);
        if (!isNode) return;
        let compared = 0;
        for (const [port, chunks] of relay.sent) {
          const ours = seen.filter((request) => request.port === port);
          // TRACE gets a 405 before the application.
          const theirs = nodeSees(Buffer.concat(chunks)).map((request) => {
            const [, method, target, body] = /^(\S+) (.*?) (.*)$/s.exec(request)!;
            return { method, target, body };
          }).filter(({ method }) => method !== "TRACE");
          // We refuse more, and then nothing that follows is taken.
          const both = Math.min(ours.length, theirs.length);
          const asShown = ({ method, target, body }: typeof theirs[number], i: number) =>
            shown(method, target, ours[i].body === undefined ? "" : body);
          assert.deepEqual(
            ours.slice(0, both).map(({ method, target, body = "" }) => shown(method, target, body)),
            theirs.slice(0, both).map(asShown),
          );
          compared += both;
        }
        assert.ok(compared > 300, `${compared} requests were compared`);
      } finally {
        await web?.running.stop();
        relay.close();
        place.folder.remove();
      }
    });
  }
});
