/**
 * What every web server has to pass on, and how a row of the table becomes a running site.
 *
 * @module
 */
import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, linkSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { programWords } from "../../src/app/application.ts";
import { configText } from "../../src/config/servers.ts";
import { shellQuoted } from "../../src/options/shell.ts";
import type { EndpointProtocol } from "../../src/protocol/protocols.ts";
import { ask, open, type Question } from "../support/http.ts";
import { freePort, isRunning, program, type Running, startServing, until } from "../support/program.ts";
import {
  makeFolder,
  makeOpenFolder,
  needs,
  type Place,
  type RunningWebServer,
  startWebServer,
  type WebServerName,
} from "../support/servers.ts";
import { type Echo, pattern, patternLength } from "./app.ts";

/** Generous: a test that fails for want of time says nothing. */
const timeout = 60_000;

const appFile = fileURLToPath(new URL("app.ts", import.meta.url));
/** Self-signed, with its key, until 2126. */
const certificateFile = fileURLToPath(new URL("../fixtures/localhost.pem", import.meta.url));

/** One web server in one configuration. */
export interface Row {
  name: string;
  server: WebServerName;
  /** What they speak; default is `fcgi`. */
  protocol?: EndpointProtocol;
  /** Where the program listens, or `spawned` when the web server starts it as `mysite.fcgi`. */
  listens: "socket" | "port" | "spawned";
  /** What else the program is told, which is a script around it where a web server starts it. */
  words?: readonly string[];
  /** Puts another application beside the program and returns the arguments that name it. */
  app?(folder: string): string | readonly string[];
  /** Files that the web server needs besides itself. */
  files?: readonly string[];
  /** What `config` is asked for; the row is what it prints and how that says to start the program. */
  config?: readonly [server: string, ...words: string[]];
  /** Changes what is printed. */
  change?(config: string): string;
  /** The part of the web server's configuration that its user writes, where it is another. */
  site?(place: AppPlace): string;
  /** Visitors come by https. */
  https?: boolean;
  /** Whose error log gets what the application logs; default is the web server's. */
  logs?: "program";
  /** What the web server is known not to do, and why. */
  cannot?: Partial<Record<keyof typeof checks, string>>;
}

export interface AppPlace extends Place {
  /** Where the program is to be found. */
  app: { socket: string; port: number; program: string };
}

/** A site with everything around it running. */
export class Site {
  readonly server: WebServerName;
  readonly port: number;
  readonly folder: string;
  readonly web: Running;
  readonly #errors: () => string;

  constructor(server: WebServerName, { port, folder }: Place, web: Running, errors: () => string) {
    this.server = server;
    this.port = port;
    this.folder = folder;
    this.web = web;
    this.#errors = errors;
  }

  /** What the error log says. */
  get errors(): string {
    return this.#errors();
  }

  ask(path: string, question?: Question): ReturnType<typeof ask> {
    return ask(this.port, path, question);
  }

  open(path: string, question?: Question): ReturnType<typeof open> {
    return open(this.port, path, question);
  }

  async echo(path: string, question?: Question): Promise<Echo> {
    const { status, text } = await this.ask(path, question);
    assert.equal(status, 200, text);
    return JSON.parse(text);
  }

  /** Waits until the application has made a mark. */
  async marked(name: string): Promise<void> {
    await until(`the application says ${name}`, () => existsSync(join(this.folder, "state", name)));
  }
}

const MiB = 1024 * 1024;
const large = 100 * MiB;
let ids = 0;
/** Tells apart what different checks leave beside the application. */
export const newId = (): string => `${process.pid}-${++ids}`;

/** Every check goes through every web server. */
export const checks = {
  "the URL is what the visitor typed": async (site: Site) => {
    const path = "/echo/a%20b/%C3%A9?x=1&y=%20z&x=%2F";
    const { url, method, pathInfo, scriptName, visitor } = await site.echo(path);
    assert.equal(url, `http://127.0.0.1:${site.port}${path}`);
    assert.equal(method, "GET");
    assert.deepEqual({ scriptName, pathInfo }, { scriptName: "", pathInfo: "/echo/a b/é" });
    assert.equal(visitor, "127.0.0.1");
  },

  "so it is with what a path is made of elsewhere": async (site: Site) => {
    const path = "/echo/100%25/why%3F/%23+&=;,@%2B";
    const { url, scriptName, pathInfo } = await site.echo(path);
    assert.equal(url, `http://127.0.0.1:${site.port}${path}`);
    assert.deepEqual({ scriptName, pathInfo }, { scriptName: "", pathInfo: "/echo/100%/why?/#+&=;,@+" });
  },

  "the root has a URL": async (site: Site) => {
    const { status, text } = await site.ask("/");
    assert.equal(status, 404);
    assert.equal(text, "Nothing is here.");
  },

  "a form arrives": async (site: Site) => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const { text } = await site.ask("/form", { method: "POST", headers, body: "name=J%C3%BCrgen+M&empty=&name=second" });
    assert.deepEqual(JSON.parse(text), [["name", "Jürgen M"], ["empty", ""], ["name", "second"]]);
  },

  "JSON arrives": async (site: Site) => {
    const value = { text: "naïve ☃", list: [1, null, true] };
    const headers = { "content-type": "application/json" };
    const { text } = await site.ask("/json", { method: "POST", headers, body: JSON.stringify(value) });
    assert.deepEqual(JSON.parse(text), value);
  },

  "100 MiB arrive": async (site: Site) => {
    const headers = { "content-length": String(large) };
    const { status, text } = await site.ask("/upload", { method: "POST", headers, body: pattern(large) });
    assert.deepEqual({ status, text }, { status: 200, text: String(large) });
  },

  "a body in chunks arrives": async (site: Site) => {
    const { status, text } = await site.ask("/upload", { method: "POST", body: pattern(3 * MiB) });
    assert.deepEqual({ status, text }, { status: 200, text: String(3 * MiB) });
  },

  "HEAD gets a head": async (site: Site) => {
    const { status, headers, text } = await site.ask("/cached", { method: "HEAD" });
    assert.equal(status, 200);
    assert.equal(headers.etag, '"v1"');
    assert.equal(text, "");
  },

  "PUT, PATCH, DELETE and OPTIONS arrive": async (site: Site) => {
    for (const method of ["PUT", "PATCH"]) {
      const { method: seen, body } = await site.echo("/echo", { method, body: "some text" });
      assert.deepEqual({ seen, body }, { seen: method, body: "some text" });
    }
    for (const method of ["DELETE", "OPTIONS"]) assert.equal((await site.echo("/echo", { method })).method, method);
  },

  "cookies go both ways": async (site: Site) => {
    const { headers } = await site.ask("/cookies");
    assert.deepEqual(headers["set-cookie"], [
      "a=1; Path=/",
      "b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
      "c=3; HttpOnly",
    ]);
    assert.equal((await site.echo("/echo", { headers: { cookie: "a=1; b=2" } })).headers.cookie, "a=1; b=2");
  },

  "Authorization arrives": async (site: Site) => {
    const authorization = "Basic bWU6c2VjcmV0";
    assert.equal((await site.echo("/echo", { headers: { authorization } })).headers.authorization, authorization);
  },

  "nothing there is a 404": async (site: Site) => {
    const { status, text } = await site.ask("/nowhere/at-all");
    assert.deepEqual({ status, text }, { status: 404, text: "Nothing is here." });
  },

  "a redirect goes to the visitor": async (site: Site) => {
    const { status, headers } = await site.ask("/redirect");
    assert.deepEqual({ status, location: headers.location }, { status: 303, location: "/echo?from=redirect" });
  },

  "what the visitor has is a 304": async (site: Site) => {
    const { status, headers, text } = await site.ask("/cached", { headers: { "if-none-match": '"v1"' } });
    assert.deepEqual({ status, etag: headers.etag, text }, { status: 304, etag: '"v1"', text: "" });
  },

  "100 MiB get to the visitor": async (site: Site) => {
    const { status, body } = await site.open(`/download?length=${large}`);
    assert.equal(status, 200);
    assert.equal(await patternLength(body), large);
  },

  "events come one by one": async (site: Site) => {
    const id = newId();
    const { status, headers, body } = await site.open(`/events?id=${id}`);
    assert.equal(status, 200);
    assert.equal(headers["content-type"], "text/event-stream");
    let text = "";
    for await (const bytes of body) {
      text += new TextDecoder().decode(bytes);
      // Without this the second one is never sent.
      if (text === "data: first\n\n") await site.ask(`/seen?id=${id}`);
    }
    assert.equal(text, "data: first\n\ndata: second\n\n");
  },

  "the application hears that the visitor has left": async (site: Site) => {
    const id = newId();
    const { body, leave } = await site.open(`/endless?id=${id}`);
    for await (const _bytes of body) break;
    leave();
    await site.marked(`left-${id}`);
  },

  "a handler that throws is a page, and the next request is served": async (site: Site) => {
    const { status, text } = await site.ask("/throw");
    assert.equal(status, 500);
    assert.match(text, /The site could not answer/);
    assert.doesNotMatch(text, /thrown for a test/);
    assert.equal((await site.echo("/echo")).method, "GET");
  },

  "an answer before the body is read gets to the visitor": async (site: Site) => {
    const headers = { "content-length": String(4 * MiB) };
    const early = () => site.ask("/early", { method: "POST", headers, body: pattern(4 * MiB) });
    // Go's servers reset a client half a second after such an answer, which he then has not read on a busy machine.
    const again = (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" || site.server !== "caddy") throw error;
      return early();
    };
    const { status, text } = await early().catch(again).catch(again);
    assert.deepEqual({ status, text }, { status: 413, text: "That is too much." });
  },

  "what the application logs is in the error log": async (site: Site) => {
    assert.equal((await site.ask("/log")).text, "logged");
    await until("the line is in the error log", () => site.errors.includes("a line for the error log"));
  },

  "many visitors at once are served": async (site: Site) => {
    const numbers = Array.from({ length: 8 }, (_, i) => i);
    const echoes = await Promise.all(numbers.map((i) => site.echo(`/echo?number=${i}`)));
    assert.deepEqual(echoes.map(({ url }) => new URL(url).searchParams.get("number")), numbers.map(String));
  },
} satisfies Record<string, (site: Site) => Promise<void>>;

/** Starts the row's servers and sends all checks through them. */
export function checkRow(row: Row): void {
  describe(row.name, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow(row));
    for (const [name, check] of Object.entries(checks)) {
      testSite(name, running, check, row.cannot?.[name as keyof typeof checks]);
    }
    if (row.listens !== "spawned") return;
    testSite("the program ends with its web server", running, async (site) => {
      const { pid } = await site.echo("/echo");
      site.web.kill("SIGTERM");
      await until("the program has ended", () => !isRunning(pid));
    });
  });
}

/** A test that tells what the error log says when it fails. */
export function testSite(name: string, running: () => Site, run: (site: Site) => Promise<void>, skip?: string): void {
  test(name, { timeout, skip: skip ?? false }, async () => {
    const site = running();
    try {
      await run(site);
    } catch (error) {
      throw new Error(`The error log ends with:\n${site.errors.slice(-4000)}`, { cause: error });
    }
  });
}

/** A site and how to end it. */
export interface StartedSite {
  site: Site;
  stop(): Promise<void>;
}

/** Has a site running before the first test of a `describe` and ends it after the last. */
export function startAround(starts: () => Promise<StartedSite>): () => Site {
  let started: StartedSite | undefined;
  before(async () => void (started = await starts()), { timeout });
  after(() => started?.stop(), { timeout });
  return () => {
    assert.ok(started, "the web server did not start");
    return started.site;
  };
}

/** Puts the application into a folder. */
export function putApp(folder: string, name: string, from: string = appFile): string {
  makeOpenFolder(join(folder, "state"));
  const file = join(folder, name);
  copyFileSync(from, file);
  return file;
}

/** Puts the program where a web server starts it: the compiled one, or a script that runs the source. */
export function putProgram(file: string, app = "", words: readonly string[] = []): void {
  const { name, command } = program();
  if (name === "binary" && words.length === 0) return linkOrCopy(command[0], file);
  // There is no HOME for its cache.
  const cache = name === "deno" ? `DENO_DIR='${makeOpenFolder(join(dirname(file), "state"))}/deno' ` : "";
  const all = [...openToAll(command, dirname(file)), app, ...words].filter(Boolean).map(shellQuoted).join(" ");
  writeFileSync(file, `#!/bin/sh\n${cache}exec ${all} "$@"\n`, { mode: 0o755 });
}

/** The same as a short script of its own, which can be given to another user. */
export function putScript(file: string, app = ""): void {
  const { name, command: [binary] } = program();
  if (name !== "binary") return putProgram(file, app);
  const runs = isOpen(binary) ? binary : join(dirname(file), "program");
  if (runs !== binary) copyFileSync(binary, runs);
  writeFileSync(file, `#!/bin/sh\nexec '${runs}' ${app && `'${app}'`} "$@"\n`, { mode: 0o755 });
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

/** The command to run the source, copied if the checkout is in a folder that the web server's user cannot enter. */
function openToAll(command: readonly string[], folder: string): readonly string[] {
  const [runtime, ...words] = command;
  const copy = join(folder, "program");
  const module = words.pop();
  if (module === undefined) {
    if (isOpen(runtime)) return command;
    linkOrCopy(runtime, copy);
    return [copy];
  }
  if (isOpen(runtime) && isOpen(module)) return command;
  if (!existsSync(copy)) {
    mkdirSync(copy);
    linkOrCopy(runtime, join(copy, basename(runtime)));
    copyFileSync(module, join(copy, basename(module)));
    cpSync(join(dirname(module), "src"), join(copy, "src"), { recursive: true });
  }
  return [join(copy, basename(runtime)), ...words, join(copy, basename(module))];
}

/** Whether every user can read a file, as far as the folders above it go. */
function isOpen(file: string): boolean {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
  }
  return (statSync(file).mode & 0o004) !== 0;
}

/** The configuration of a row, and what the program is told beside its endpoint. */
function configured(row: Row, place: AppPlace, file: string): { config: string; words: string[] } {
  if (row.site) {
    return { config: row.site(place), words: [file, `protocol=${row.protocol ?? "fcgi"}`, ...row.words ?? []] };
  }
  const [server, ...words] = row.config!;
  const config = configText([
    server,
    ...row.listens === "spawned" ? [`program=${place.app.program}`] : [file],
    `listen=127.0.0.1:${place.port}`,
    row.listens === "port" ? `port=${place.app.port}` : `socket=${place.app.socket}`,
    ...row.protocol ? [`protocol=${row.protocol}`] : [],
    ...place.certificate ? [`https=${place.certificate}`] : [],
    ...words,
  ]);
  return {
    config: row.change?.(config) ?? config,
    words: startWords(config).filter((word) => !/^(?:socket|port|mode)=/.test(word)),
  };
}

/** What a configuration says that the program is to be told. */
export function startWords(config: string): string[] {
  const [, command = ""] = /^# +Start \S.*? {2}(.*)$/m.exec(config) ?? [];
  return command.slice(programWords().length).split(" ").filter(Boolean);
}

/** Starts the parts of a site, and ends them if not all start. */
export async function startRow(row: Row): Promise<StartedSite> {
  const folder = makeFolder();
  let serving: Running | undefined;
  let web: RunningWebServer | undefined;
  const stop = async () => {
    await web?.running.stop();
    await serving?.stop();
    folder.remove();
  };
  try {
    const certificate = row.https ? join(folder.path, "localhost.pem") : undefined;
    if (certificate) copyFileSync(certificateFile, certificate);
    const place: Place = { folder: folder.path, port: await freePort(), certificate };
    const app = { socket: join(place.folder, "app.sock"), port: await freePort(), program: join(place.folder, "mysite.fcgi") };
    const named = row.app?.(place.folder) ?? putApp(place.folder, "mysite.ts");
    const file = join(place.folder, "mysite.ts");
    const { config, words: printed } = configured(row, { ...place, app }, file);
    const words = printed.flatMap((word) => word === file ? named : word);
    if (row.listens === "spawned") putProgram(app.program, existsSync(file) ? file : undefined, row.words);
    // A web server that root has started is another user.
    else if (row.listens === "socket") serving = await startServing({ socket: app.socket }, [...words, "mode=666"]);
    else serving = await startServing({ port: app.port }, words);
    web = await startWebServer(row.server, row.site ? place : { ...place, certificate: undefined }, config);
    const errors = row.logs === "program" ? serving!.stderr : web.errors;
    return { site: new Site(row.server, place, web.running, errors), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
