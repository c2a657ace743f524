/**
 * An image with the program and an application, and Docker Compose with nginx in front of it (compose-spec).
 *
 * @module
 */
import { basename, dirname } from "node:path";
import { UsageError } from "../options/arguments.ts";
import { DEFAULT_GRACE } from "../supervisor/crew.ts";
import { nginx } from "./nginx.ts";
import { type Server, type Site, titleOf } from "./site.ts";
import { type Line, text } from "./text.ts";

/** The user in the image, which has no name there. */
export const IMAGE_USER = 10001;
/** Where nginx listens, since it is not root. */
export const NGINX_PORT = 8080;
export const nginxImage = "nginxinc/nginx-unprivileged:stable-alpine";
/** Seconds beyond the grace before what is left is killed. */
export const PATIENCE = 10;

const inside = "the image says that";
/** Options that do not apply to a program in a container, and why. */
export const ofTheImage = {
  program: "the image has it as /usr/bin/runfcgi",
  hosts: "it connects to the container beside it",
  https: "let what is in front of it do that",
  listen: "it is the port of the container",
  socket: inside,
  host: inside,
  port: inside,
  mode: inside,
  user: inside,
  group: inside,
  workdir: inside,
  pidfile: "a container has one server",
  daemonize: "the program has to stay in the foreground",
  errlog: "the log of a container is its standard error",
  outlog: "the log of a container is its standard output",
} satisfies Server["refuses"];

export const container: Server = {
  title: "An image, and Docker Compose with nginx in front of it",
  protocols: ["fcgi", "scgi", "uwsgi", "http"],
  refuses: ofTheImage,
  image: true,
  file: "compose.yaml",
  tellsMount: nginx.tellsMount,
  configuration(site) {
    const parts = [
      ["Dockerfile", dockerfile(site, [`socket=${socketOf(site)}`])],
      ["nginx.conf", nginxFile(site)],
      ["compose.yaml", text(compose(site))],
    ] as const;
    return {
      title: titleOf(site, "nginx in Docker Compose"),
      steps: [...imageSteps(site), ["Start", "docker compose up --build --detach --wait"]],
      notes: [imageNote],
      parts,
      lines: parts.flatMap(([name, text]) => [`# ${name}`, ...text.trimEnd().split("\n"), ""]),
    };
  },
};

/** What has to be where. */
export function imageSteps(site: Site): [string, string][] {
  return [
    ["Put beside it", "the compiled program for Linux, as runfcgi (mode 755)"],
    ["Put there", `the application, as ${folderOf(site)}/${appOf(site)}`],
  ];
}

export const imageNote = "The command init writes these files, and with the compiled program all that they need.";

const appOf = ({ app = "app/app.ts" }: Site) => basename(app);

/** The folder that becomes part of the image. */
function folderOf({ app = "app/app.ts" }: Site): string {
  const folder = dirname(app);
  if (!/^[\w-][\w./-]*$/.test(folder) || folder.split("/").includes("..")) {
    throw new UsageError(`the image gets the whole folder of "${app}": put it into one below this, such as app/app.ts`);
  }
  return folder;
}

/** Where the program and nginx meet. */
export function socketOf({ name }: Site): string {
  return `/run/${name}/${name}.sock`;
}

/** The command that checks a container, which also takes the words of its endpoint. */
export function check(site: Site, ...endpoint: string[]): string[] {
  return ["/usr/bin/runfcgi", "get", "timeout=4", ...endpoint, pingOf(site)];
}

/** Where nobody says so, what is asked for is below the mount. */
function pingOf({ protocol, mount, ping }: Site): string {
  return ping ?? (nginx.tellsMount!(protocol) ? "/ping" : `${mount}/ping`);
}

/** @param more arguments of the program, such as its endpoint */
export function dockerfile(site: Site, more: readonly string[]): string {
  const folder = `/srv/${site.name}`;
  const words = [appOf(site), "watch=false", ...site.ping === undefined ? [`ping=${pingOf(site)}`] : [], ...site.words, ...more];
  return text([
    "# The program needs glibc and a shell.",
    "FROM debian:13-slim",
    "COPY --chmod=755 runfcgi /usr/bin/runfcgi",
    `COPY ${folderOf(site)} ${folder}`,
    `WORKDIR ${folder}`,
    `USER ${IMAGE_USER}:${IMAGE_USER}`,
    'ENTRYPOINT ["/usr/bin/runfcgi"]',
    `CMD ${flow(words)}`,
  ]);
}

/** nginx in front of the socket. */
export function nginxFile(site: Site): string {
  return text(nginx.configuration({ ...site, endpoints: [{ socket: socketOf(site) }], listen: { port: NGINX_PORT } }).lines);
}

/** A list in one line, of YAML or of a Dockerfile. */
export function flow(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(", ")}]`;
}

function compose(site: Site): Line[] {
  const { name, protocol, grace = DEFAULT_GRACE } = site;
  const confined: Line[] = [
    `user: "${IMAGE_USER}:${IMAGE_USER}"`,
    "read_only: true",
    "tmpfs: [/tmp]",
    "cap_drop: [ALL]",
    'security_opt: ["no-new-privileges:true"]',
    "restart: unless-stopped",
  ];
  return [
    "services:",
    [
      `${name}:`,
      [
        "build: .",
        `image: ${name}:1`,
        ...confined,
        `stop_grace_period: ${grace + PATIENCE}s`,
        `volumes: ["run:/run/${name}"]`,
        "healthcheck:",
        [
          `test: ${flow(["CMD", ...check(site, `protocol=${protocol}`, `socket=${socketOf(site)}`)])}`,
          "interval: 30s",
          "start_period: 30s",
          "start_interval: 1s",
        ],
      ],
      "nginx:",
      [
        `image: ${nginxImage}`,
        ...confined,
        `ports: ["80:${NGINX_PORT}"]`,
        `volumes: ["run:/run/${name}", "./nginx.conf:/etc/nginx/conf.d/default.conf:ro"]`,
        "depends_on:",
        [`${name}: { condition: service_healthy }`],
      ],
    ],
    "volumes:",
    [
      "# In memory, and writable for the one user of both.",
      "run:",
      ["driver_opts:", ["type: tmpfs", "device: tmpfs", `o: "uid=${IMAGE_USER},gid=${IMAGE_USER},mode=700"`]],
    ],
  ];
}
