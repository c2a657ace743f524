/**
 * Programs that speak every protocol at once, each behind nginx with FastCGI and HTTP, and Apache with SCGI and AJP: for what an
 * application does, where the table of web servers is for what they do.
 *
 * @module
 */
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ask, type Question } from "../support/http.ts";
import { freePort, type Running, startServing } from "../support/program.ts";
import { makeFolder, needs, type RunningWebServer, startWebServer } from "../support/servers.ts";

/** Generous: a test that fails for want of time says nothing. */
const timeout = 60_000;

const nginxParams = (socket: string) => `
  include fastcgi_params;
  fastcgi_param HTTP_HOST $http_host;
  fastcgi_pass unix:${socket};`;

/** What a virtual host says of the program on a socket. */
const protocols = {
  fcgi: (socket: string) => `
    location / {
      client_max_body_size 0;
      ${nginxParams(socket)}
    }
    location /mounted/ {
      fastcgi_split_path_info ^(/mounted)(/.*)$;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      ${nginxParams(socket)}
    }`,
  http: (socket: string) => `
    location / {
      client_max_body_size 0;
      proxy_pass http://unix:${socket};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }`,
  scgi: (socket: string) => `ProxyPass "/" "unix:${socket}|scgi://localhost/"`,
  ajp: (socket: string) => `ProxyPass "/" "unix:${socket}|ajp://localhost/" nocanon`,
};
type Protocol = keyof typeof protocols;

/** Asks as a visitor of one virtual host; the root of the site is at `/mounted/`, too, over FastCGI. */
export interface Visitor {
  readonly host: string;
  readonly protocol: Protocol;
  visit(path: string, question?: Question): ReturnType<typeof ask>;
}

interface Programs {
  skip: string | false;
  /** What the program is told, by the names of the sites; it may put files into the folder. */
  words(folder: string): Record<string, readonly string[]>;
  check(visitor: Visitor, name: string): Promise<void>;
}

/** Checks every one of the sites over every protocol. */
export function checkProtocols(title: string, names: readonly string[], { skip, words, check }: Programs): void {
  describe(title, { skip: needs("nginx") || needs("apache") || skip }, () => {
    const folder = makeFolder();
    const ports = { nginx: 0, apache: 0 };
    const programs: Running[] = [];
    const servers: RunningWebServer[] = [];

    before(async () => {
      const socketOf = (name: string) => join(folder.path, `${name}.sock`);
      const starting = Object.entries(words(folder.path)).map(([name, given]) =>
        // Sessions are in memory, which each thread has its own of.
        startServing({ socket: socketOf(name) }, [...given, "protocol=auto", "mode=666", "threads=1"])
      );
      programs.push(...await Promise.all(starting));
      await startHosts(
        "nginx",
        (port) =>
          names.flatMap((name) =>
            (["fcgi", "http"] as const).map((protocol) =>
              `server { listen 127.0.0.1:${port}; server_name ${name}-${protocol}; ${protocols[protocol](socketOf(name))} }`
            )
          ),
      );
      await startHosts(
        "apache",
        (port) =>
          names.flatMap((name) =>
            (["scgi", "ajp"] as const).map((protocol) =>
              `<VirtualHost 127.0.0.1:${port}>
              ServerName ${name}-${protocol}
              ${protocols[protocol](socketOf(name))}
            </VirtualHost>`
            )
          ),
      );
    }, { timeout });

    async function startHosts(server: "nginx" | "apache", hosts: (port: number) => string[]): Promise<void> {
      const port = ports[server] = await freePort();
      servers.push(await startWebServer(server, { folder: folder.path, port }, hosts(port).join("\n")));
    }

    after(async () => {
      await Promise.all([...servers.map(({ running }) => running.stop()), ...programs.map((running) => running.stop())]);
      folder.remove();
    }, { timeout });

    for (const name of names) {
      for (const protocol of Object.keys(protocols) as Protocol[]) {
        test(`${name} over ${protocol}`, { timeout }, async () => {
          const host = `${name}-${protocol}`;
          const port = ports[protocol === "fcgi" || protocol === "http" ? "nginx" : "apache"];
          const visit: Visitor["visit"] = (path, question) =>
            ask(port, path, { ...question, headers: { host, ...question?.headers } });
          try {
            await check({ host, protocol, visit }, name);
          } catch (error) {
            const logs = [...programs.map((program) => program.stderr()), ...servers.map((server) => server.errors())];
            throw new Error(`The logs end with:\n${logs.join("\n").slice(-4000)}`, { cause: error });
          }
        });
      }
    }
  });
}

/** A form with a file in it, as browsers send it. */
export function multipart(fields: Record<string, string>, file: { name: string; text: string }): Question {
  const part = (disposition: string, text: string) => `--XX\r\ncontent-disposition: form-data; ${disposition}\r\n\r\n${text}\r\n`;
  const parts = Object.entries(fields).map(([name, value]) => part(`name="${name}"`, value));
  const last = part(`name="file"; filename="${file.name}"\r\ncontent-type: text/plain`, file.text);
  return {
    method: "POST",
    headers: { "content-type": "multipart/form-data; boundary=XX" },
    body: `${parts.join("")}${last}--XX--\r\n`,
  };
}

/** A form as browsers send it. */
export function urlencoded(fields: Record<string, string>): Question {
  return {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields).toString(),
  };
}
