/**
 * The servers that are measured: runfcgi as its users start it, and its peers.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, copyFileSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { installPackage, root, tools } from "../tools.ts";

/** One row of the table. */
export interface BenchServer {
  /** Names it on the command line. */
  id: string;
  /** Names it in the table. */
  name: string;
  /** A key of `traffic`. */
  protocol: string;
  /** Seconds of load before it is measured, when that has to be more than for others. */
  warmUp?: number;
  /**
   * Builds what has to be built.
   *
   * @returns the command that serves on a socket
   * @throws {Missing} when this machine does not have it and cannot get it
   */
  prepare(place: Place): string[];
}

/** Where a server may put files, and where it is to listen. */
export interface Place {
  folder: string;
  socket: string;
  connections: number;
}

/** Why a server cannot be measured here. */
export class Missing extends Error {}

/** The application of the benchmark. */
export const app = file("app.ts");
const listenerApp = file("listener_app.ts");

/** runfcgi as it is started on each runtime, from this source or from another checkout of it. */
export const own: readonly { id: string; name: string; command: (tree?: string) => string[] }[] = [
  { id: "bun", name: "runfcgi on Bun", command: (tree = root) => [tools().bun, join(tree, "mod.ts")] },
  { id: "binary", name: "runfcgi, compiled", command: (tree = root) => [compiled(tree)] },
  { id: "deno", name: "runfcgi on Deno", command: (tree = root) => [tools().deno, "run", "-A", join(tree, "mod.ts")] },
  { id: "node", name: "runfcgi on Node", command: (tree = root) => [tools().node, join(tree, "mod.ts")] },
];

/** runfcgi on each runtime. FastCGI, which everything is compared with, has the short ids. */
export function ownServers(protocol: string, tree?: string): BenchServer[] {
  return own.map(({ id, name, command }) => ({
    id: protocol === "fcgi" ? id : `${protocol}-${id}`,
    name,
    protocol,
    // The peers have one process, or as many as there are connections.
    prepare: ({ socket }) => [...command(tree), app, `socket=${socket}`, `protocol=${protocol}`, "threads=1"],
  }));
}

/** The same with a Node-style application, over FastCGI. */
const listenerServers: readonly BenchServer[] = own.map(({ id, name, command }) => ({
  id: `listener-${id}`,
  name: `${name}, Node-style`,
  protocol: "fcgi",
  prepare: ({ socket }) => [...command(), listenerApp, `socket=${socket}`, "threads=1"],
}));

/** Servers of HTTP that a user could take instead. */
const httpPeers: readonly { id: string; name: string; command(place: Place): string[] }[] = [
  { id: "bun-serve", name: "Bun.serve", command: ({ socket }) => [tools().bun, file("peer_http.ts"), socket] },
  { id: "deno-serve", name: "Deno.serve", command: ({ socket }) => [tools().deno, "run", "-A", file("peer_http.ts"), socket] },
  { id: "node-http", name: "node:http", command: ({ socket }) => [tools().node, file("peer_http.ts"), socket] },
  {
    id: "node-fetch",
    name: "node:http, fetch handler",
    command: ({ socket }) => [tools().node, file("peer_http.ts"), socket, "fetch"],
  },
  { id: "go-http", name: "Go, net/http", command: ({ folder, socket }) => [goPeer(folder), socket, "http"] },
];

/** nginx and a server behind it, of which the processor time of both counts. */
function behindNginx(
  id: string,
  name: string,
  pass: "fastcgi" | "scgi" | "uwsgi" | "proxy",
  command: (place: Place) => string[],
) {
  return {
    id: `nginx-${id}`,
    name,
    protocol: "nginx",
    prepare: (place: Place) => {
      needProgram("nginx", "nginx-light");
      const { folder, socket } = place;
      const backend = join(folder, "backend.sock");
      const kept = {
        fastcgi: "fastcgi_keep_conn on;",
        scgi: "",
        uwsgi: "",
        proxy: 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;',
      }[pass];
      const params = pass === "proxy" ? "" : `include /etc/nginx/${pass}_params;`;
      writeFileSync(
        join(folder, "nginx.conf"),
        `daemon off; pid ${folder}/nginx.pid; error_log ${folder}/error.log; worker_processes 1;
${process.getuid!() === 0 ? "user root;" : ""}
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
  upstream backend { server unix:${backend}; keepalive 32; }
  server {
    listen unix:${socket};
    keepalive_requests 100000000;
    location / { ${params} ${kept} ${pass}_pass ${pass === "proxy" ? "http://" : ""}backend; }
  }
}
`,
      );
      const script = '"$@" & while [ ! -S "$0/backend.sock" ]; do sleep 0.05; done; exec nginx -p "$0" -c "$0/nginx.conf"';
      return ["sh", "-c", script, folder, ...command({ ...place, socket: backend })];
    },
  };
}

/** All rows in the order of the tables. A new one is one entry here. */
export const servers: readonly BenchServer[] = [
  ...ownServers("fcgi"),
  ...listenerServers,
  {
    id: "c",
    name: "C, libfcgi",
    protocol: "fcgi",
    prepare: ({ folder, socket, connections }) => {
      needProgram("gcc", "gcc");
      needFile("/usr/include/fcgiapp.h", "libfcgi-dev");
      const built = join(folder, "peer");
      build("gcc", ["-O2", file("peer.c"), "-lfcgi", "-o", built]);
      // One process of libfcgi serves one connection.
      return [built, socket, String(connections)];
    },
  },
  {
    id: "go",
    name: "Go, net/http/fcgi",
    protocol: "fcgi",
    prepare: ({ folder, socket }) => [goPeer(folder), socket],
  },
  {
    id: "php",
    name: "PHP, php-fpm",
    protocol: "fcgi",
    prepare: ({ folder, socket, connections }) => {
      if (!phpFpm()) install("php-fpm");
      const found = phpFpm();
      if (!found) throw new Missing("php-fpm is not installed");
      const configuration = join(folder, "php-fpm.conf");
      // One process of php-fpm serves one connection.
      writeFileSync(
        configuration,
        `[global]
error_log = ${join(folder, "php-fpm.log")}
daemonize = no
[bench]
listen = ${socket}
listen.backlog = 511
user = ${process.getuid!() === 0 ? "root" : ""}
pm = static
pm.max_children = ${connections}
`,
      );
      return [found, "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", configuration];
    },
  },
  {
    id: "node-fastcgi",
    name: "Node, node-fastcgi",
    protocol: "fcgi",
    prepare: ({ socket }) => {
      let folder: string;
      try {
        folder = installPackage("node-fastcgi", "2.0.0");
      } catch (error) {
        throw new Missing(`npm could not install node-fastcgi: ${firstLine(error)}`);
      }
      return [tools().node, file("peer_node_fastcgi.cjs"), folder, socket];
    },
  },
  ...ownServers("scgi"),
  uwsgiServer("scgi"),
  bareServer("scgi"),
  ...ownServers("uwsgi"),
  uwsgiServer("uwsgi"),
  bareServer("uwsgi"),
  ...ownServers("ajp"),
  {
    id: "ajp-tomcat",
    name: "Tomcat",
    protocol: "ajp",
    // HotSpot compiles late, and its compiler's time would count.
    warmUp: 3,
    prepare: ({ folder, socket }) => {
      needProgram("javac", "default-jdk-headless");
      const jars = "/usr/share/java";
      needFile(join(jars, "tomcat10-catalina.jar"), "libtomcat10-java");
      const names = readdirSync(jars).filter((name) => /^tomcat10-[a-z-]+\.jar$/.test(name));
      const path = [folder, ...names.map((name) => join(jars, name))].join(":");
      build("javac", ["-cp", path, "-d", folder, file("Peer.java")]);
      return ["java", "-cp", path, "Peer", folder, socket];
    },
  },
  ...ownServers("http"),
  ...httpPeers.map(({ id, name, command }) => ({ id, name, protocol: "http", prepare: command })),
  ...(["fcgi", "scgi", "uwsgi", "http"] as const).map((protocol) =>
    behindNginx(
      protocol,
      `runfcgi, ${protocol}`,
      ({ fcgi: "fastcgi", scgi: "scgi", uwsgi: "uwsgi", http: "proxy" } as const)[protocol],
      (place) => ownServers(protocol).find(({ name }) => name.endsWith("compiled"))!.prepare(place),
    )
  ),
  ...httpPeers.map(({ id, name, command }) => behindNginx(id, name, "proxy", command)),
];

/** As the manual says where a start counts, and as units for systemd start it. */
export const withoutLibrary = (command: readonly string[]): string[] =>
  command.map((word) => word === join(root, "mod.ts") ? join(root, "src/cli/start.ts") : word);

/** What a web server may start with a listening socket on descriptor 0. Names are those of the rows above, or php-cgi's. */
export const spawned: readonly { id: string; name: string; command(folder: string): string[] }[] = [
  ...own.map(({ id, name, command }) => ({
    id,
    name,
    command: (folder: string) => {
      // Beside it, the program writes its log.
      const copy = join(folder, "app.ts");
      copyFileSync(app, copy);
      return [...withoutLibrary(command()), copy];
    },
  })),
  {
    id: "php",
    name: "PHP, php-cgi",
    command: () => {
      needProgram("php-cgi", "php-cgi");
      return ["php-cgi"];
    },
  },
  { id: "c", name: "C, libfcgi", command: (folder) => preparedPeer("c", folder) },
  { id: "go", name: "Go, net/http/fcgi", command: (folder) => preparedPeer("go", folder) },
];

function preparedPeer(id: string, folder: string): string[] {
  const [built] = servers.find((server) => server.id === id)!.prepare({ folder, socket: "", connections: 1 });
  return [built];
}

/** One worker, as runfcgi is one process: connections are not kept, so it serves all of them. */
function uwsgiServer(protocol: string): BenchServer {
  return {
    id: `${protocol}-uwsgi`,
    name: "uWSGI, Python",
    protocol,
    prepare: ({ socket }) => {
      needProgram("uwsgi-core", "uwsgi-core");
      needFile("/usr/lib/uwsgi/plugins/python3_plugin.so", "uwsgi-plugin-python3");
      const options = ["--plugin", "python3", "--wsgi-file", file("peer.py"), "--disable-logging"];
      return ["uwsgi-core", `--${protocol}-socket`, socket, ...options];
    },
  };
}

/** What Bun's sockets take at least. */
function bareServer(protocol: string): BenchServer {
  return {
    id: `${protocol}-bare`,
    name: "Bun, bare socket",
    protocol,
    prepare: ({ socket }) => [tools().bun, file("peer_bare.ts"), socket],
  };
}

function goPeer(folder: string): string {
  needProgram("go", "golang-go");
  const built = join(folder, "peer");
  build("go", ["build", "-o", built, file("peer.go")]);
  return built;
}

function file(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** The compiled program for this machine, built if it is not there or older than its source. */
function compiled(tree: string): string {
  const path = join(tree, "dist", `runfcgi-${process.platform}-${process.arch}`);
  const source = readdirSync(join(tree, "src"), { recursive: true, encoding: "utf8" }).map((name) => join(tree, "src", name));
  const changed = Math.max(...[join(tree, "mod.ts"), ...source].map((name) => statSync(name).mtimeMs));
  if (existsSync(path) && statSync(path).mtimeMs > changed) return path;
  build(tools().deno, ["run", "-A", join(tree, "scripts", "compile.ts")]);
  if (!existsSync(path)) throw new Missing(`${join(tree, "scripts", "compile.ts")} did not make ${path}`);
  return path;
}

function phpFpm(): string | undefined {
  const folder = "/usr/sbin";
  // Debian has the version in the name.
  const name = existsSync(folder) ? readdirSync(folder).filter((name) => /^php-fpm[\d.]*$/.test(name)).sort().at(-1) : undefined;
  return name && join(folder, name);
}

function needProgram(name: string, aptPackage: string): void {
  const isThere = () =>
    (process.env.PATH ?? "").split(":").some((folder) => {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
  if (isThere()) return;
  install(aptPackage);
  if (!isThere()) throw new Missing(`${name} is not installed`);
}

function needFile(path: string, aptPackage: string): void {
  if (!existsSync(path)) install(aptPackage);
  if (!existsSync(path)) throw new Missing(`${path} is not there`);
}

/** Installs a Debian package, which only root can. */
function install(aptPackage: string): void {
  if (process.getuid!() !== 0) throw new Missing(`the package ${aptPackage} is not installed, and only root can install it`);
  process.stderr.write(`Installing ${aptPackage} …\n`);
  try {
    execFileSync("apt-get", ["install", "--yes", "--no-install-recommends", "-qq", aptPackage], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
  } catch (error) {
    throw new Missing(`the package ${aptPackage} is not installed, and apt-get could not: ${firstLine(error)}`);
  }
}

function build(command: string, args: string[]): void {
  try {
    execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Missing(`it cannot be built: ${firstLine(error)}`);
  }
}

/** What a failed command said first. */
function firstLine(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: Uint8Array | null };
  return (stderr?.toString().trim() || message).split("\n")[0];
}
