/**
 * The real web servers, each from a configuration around what a test is about, in the foreground and out of the way of
 * any other that runs here.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import process from "node:process";
import { removeFolder, temporaryFolder } from "./folder.ts";
import { accepting, type Running, start } from "./program.ts";

/** Where a web server of a test lives. */
export interface Place {
  folder: string;
  port: number;
  /** File with a certificate and its key, for a web server that speaks https. nginx gets it from its rows. */
  certificate?: string;
}

interface WebServer {
  /** Names the program for the person who has to install it. */
  program: string;
  /** Files that it needs besides. */
  files?: readonly string[];
  command(config: string): string[];
  /** Words by which it only checks its configuration. */
  check: readonly string[];
  /** The whole configuration, around the part that the test is about. */
  config(place: Place, site: string): string;
}

const nginxParams = ["fastcgi", "scgi", "uwsgi"].map((protocol) => `/etc/nginx/${protocol}_params`);
export const apacheModules = "/usr/lib/apache2/modules";
export const lighttpdModules = "/usr/lib/lighttpd";
const isRoot = process.getuid?.() === 0;

export const webServers = {
  nginx: {
    program: "nginx",
    files: nginxParams,
    command: (config) => ["-e", "stderr", "-c", config],
    check: ["-t"],
    config: ({ folder }, site) => {
      for (const file of nginxParams) copyFileSync(file, join(folder, basename(file)));
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
        `${name}_temp_path ${folder}/${name};`
      );
      return `
        daemon off;
        worker_processes 1;
        pid ${folder}/nginx.pid;
        error_log ${folder}/error.log;
        events { worker_connections 256; }
        http {
          access_log off;
          client_max_body_size 0;
          ${temporary.join("\n")}
          ${site}
        }`;
    },
  },
  apache: {
    program: "apache2",
    files: [`${apacheModules}/mod_fcgid.so`],
    command: (config) => ["-D", "FOREGROUND", "-f", config],
    check: ["-t"],
    config: ({ folder, port, certificate }, site) => {
      const modules = new Set([
        "mpm_event",
        "authz_core",
        ...[...site.matchAll(/a2enmod (.*)/g)].flatMap(([, names]) => names.split(" ")),
        "dir",
        "env",
        "mime",
        "rewrite",
        "fcgid",
        // What the program prints says itself which modules it needs.
        ...site.includes("a2enmod")
          ? []
          : ["headers", ...["", "_ajp", "_fcgi", "_http", "_scgi", "_uwsgi"].map((name) => `proxy${name}`)],
        ...certificate ? ["ssl"] : [],
      ]);
      return `
        ServerRoot "${folder}"
        ServerName localhost
        ${site.includes("\nListen ") ? "" : `Listen 127.0.0.1:${port}`}
        PidFile "${folder}/apache.pid"
        DefaultRuntimeDir "${folder}"
        ErrorLog "${folder}/error.log"
        ${[...modules].map((name) => `LoadModule ${name}_module ${apacheModules}/mod_${name}.so`).join("\n")}
        ${isRoot ? "User www-data\nGroup www-data" : ""}
        ${certificate ? `SSLEngine on\nSSLCertificateFile "${certificate}"` : ""}
        TypesConfig /dev/null
        StartServers 1
        ThreadsPerChild 20
        ${modules.has("jk") ? `JkShmFile "${folder}/jk-runtime-status"\nJkLogFile "${folder}/mod_jk.log"` : ""}
        FcgidIPCDir "${folder}/ipc"
        FcgidProcessTableFile "${folder}/fcgid_shm"
        # A test starts more processes in a second than a site does in a day.
        FcgidSpawnScoreUpLimit 1000
        ${site}`;
    },
  },
  lighttpd: {
    program: "lighttpd",
    command: (config) => ["-D", "-f", config],
    check: ["-tt"],
    config: ({ folder, port, certificate }, site) => `
        server.bind = "127.0.0.1"
        server.port = ${port}
        server.document-root = "${folder}"
        server.errorlog = "${folder}/error.log"
        server.upload-dirs = ( "${folder}" )
        server.modules = ( "mod_ajp13", "mod_fastcgi", "mod_proxy", "mod_scgi" )
        ${certificate ? `server.modules += ( "mod_openssl" )\nssl.engine = "enable"\nssl.pemfile = "${certificate}"` : ""}
        ${site}`,
  },
  caddy: {
    program: "caddy",
    command: (config) => ["run", "--adapter", "caddyfile", "--config", config],
    check: ["validate"],
    config: (_place, site) => `{\nadmin off\nauto_https off\n}\n${site}`,
  },
  haproxy: {
    program: "haproxy",
    command: (config) => ["-db", "-f", config],
    check: ["-c"],
    config: (_place, site) => `
        defaults
          mode http
          timeout connect 10s
          timeout client 60s
          timeout server 60s
        ${site}`,
  },
} satisfies Record<string, WebServer>;

export type WebServerName = keyof typeof webServers;

/**
 * Why a test is skipped, or `false`. With CI=true nothing is: what is not installed makes the test fail.
 *
 * @param files what the test needs besides
 */
export function needs(name: WebServerName, files: readonly string[] = []): string | false {
  const server: WebServer = webServers[name];
  const needed = [...server.files ?? [], ...files];
  const missing = find(server.program) === undefined ? server.program : needed.find((file) => !existsSync(file));
  return missing !== undefined && process.env.CI !== "true" && `${missing} is not installed`;
}

function find(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}

/** A running web server. */
export interface RunningWebServer {
  running: Running;
  /** What its error log says. */
  errors(): string;
}

/** Has the web server check a configuration, and returns what it says against it: nothing if it is good. */
export function complaintsAbout(name: WebServerName, place: Place, site: string): string {
  const server: WebServer = webServers[name];
  const config = join(place.folder, `${name}.conf`);
  writeFileSync(config, `${server.config(place, site)}\n`);
  // Caddy names it in the place of its command.
  const words = server.command(config).filter((word) => word !== "run");
  const { status, stdout, stderr } = spawnSync(find(server.program)!, [...server.check, ...words], {
    cwd: place.folder,
    env: { ...process.env, HOME: place.folder },
    encoding: "utf8",
  });
  return status === 0 ? "" : stdout + stderr;
}

/**
 * Writes the configuration, starts the web server and waits until it accepts.
 *
 * @param around a command that starts the one that follows it
 */
export async function startWebServer(
  name: WebServerName,
  place: Place,
  site: string,
  around: readonly string[] = [],
): Promise<RunningWebServer> {
  const server: WebServer = webServers[name];
  const program = find(server.program);
  if (program === undefined) throw new Error(`${server.program} is not installed`);
  const config = join(place.folder, `${name}.conf`);
  writeFileSync(config, `${server.config(place, site)}\n`);
  const errorLog = join(place.folder, "error.log");
  const running = start([...around, program, ...server.command(config)], { cwd: place.folder, env: { HOME: place.folder } });
  const errors = () => running.stderr() + running.stdout() + (existsSync(errorLog) ? readFileSync(errorLog, "utf8") : "");
  try {
    await accepting({ port: place.port }, running);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${errors()}`);
  }
  return { running, errors };
}

/** A temporary folder that the web server's user can enter. */
export function makeFolder(): { path: string; remove(): void } {
  const path = temporaryFolder();
  chmodSync(path, 0o755);
  return { path, remove: () => removeFolder(path) };
}

/** A folder into which the web server's user can write. */
export function makeOpenFolder(path: string): string {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o777);
  return path;
}
