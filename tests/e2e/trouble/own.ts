/**
 * Troubles behind a web server of one's own.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fetchFrom } from "../../../src/doctor/fetch.ts";
import { freePort, until } from "../../support/program.ts";
import { type Case, hello, Trouble } from "./kit.ts";

/** nginx before the site, with these lines in its location. */
function nginx({ port, socket }: Trouble, lines = "", params = "include fastcgi_params;"): string {
  return `
    server {
      listen 127.0.0.1:${port};
      client_max_body_size 1m;
      location / {
        ${params}
        fastcgi_param HTTP_HOST $http_host;
        fastcgi_pass unix:${socket};
        ${lines}
      }
    }`;
}

/** What nginx's file of params has, without some of them. */
function params(...without: string[]): string {
  const all: Record<string, string> = {
    REQUEST_METHOD: "$request_method",
    QUERY_STRING: "$query_string",
    CONTENT_TYPE: "$content_type",
    CONTENT_LENGTH: "$content_length",
    REQUEST_URI: "$request_uri",
    SCRIPT_NAME: "$fastcgi_script_name",
    SERVER_PROTOCOL: "$server_protocol",
    SERVER_SOFTWARE: "nginx/$nginx_version",
    REMOTE_ADDR: "$remote_addr",
  };
  return Object.entries(all).filter(([name]) => !without.includes(name)).map((pair) => `fastcgi_param ${pair.join(" ")};`).join(
    "\n",
  );
}

const proxyFcgi = ({ socket }: Trouble, options = "", lines = "") => `
  ProxyPass "/" "unix:${socket}|fcgi://mysite/" ${options}
  <Location "/">
    ${lines}
  </Location>`;

/** An application that waits at /wait until there is a file. */
const waiting = `import { existsSync } from "node:fs";
export default async (request) => {
  const { pathname } = new URL(request.url);
  while (pathname === "/wait" && !existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response("hello");
};
`;

/** Waits for all in the end, whatever comes before. */
function together(visitors: Promise<unknown>[]): Promise<unknown> {
  const all = Promise.all(visitors);
  all.catch(() => {});
  return all;
}

/** An application that says what it sees of a request. */
const seeing = `export default async (request) => {
  const { length } = await request.text();
  return Response.json([new URL(request.url).href, request.headers.get("authorization"), length]);
};
`;

const seen = (url: string, authorization: string | null = null, length = 0) => JSON.stringify([url, authorization, length]);

export const own: Record<string, Case> = {
  "502 or 503 from the web server": {
    server: "nginx",
    async run(trouble) {
      trouble.write("app.ts", hello);
      await trouble.configure(nginx(trouble));
      const words = ["app.ts", `socket=${trouble.socket}`];
      await trouble.expect(502, /502 Bad Gateway/);
      const [start] = await trouble.advice("endpoint", /there is no socket/, ...words);
      assert.match(start, new RegExp(`^Start the program with socket=${trouble.socket},`));
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(200, "hello");
      await trouble.healthy(...words, `url=${trouble.url}`);

      await using other = await Trouble.begin("apache");
      await other.configure(proxyFcgi(other));
      await other.expect(503, /503 Service Unavailable/);
      await other.advice("endpoint", /there is no socket/, `socket=${other.socket}`);
    },
  },

  "“permission denied” in the web server's log": {
    server: "nginx",
    root: true,
    async run(trouble) {
      trouble.write("app.ts", hello);
      await trouble.configure(nginx(trouble));
      await trouble.serve("app.ts", "mode=600");
      const words = ["app.ts", `socket=${trouble.socket}`];
      await trouble.expect(502, /502 Bad Gateway/);
      assert.match(trouble.errors, /site\.sock failed \(13: Permission denied\)/);
      const [advice] = await trouble.advice("socket", /nginx \(\w+\) may not write to .*site\.sock" \(mode 600/, ...words);
      const [, group, chmod] = /^Start the program with mode=660 (group=\S+), .* Until then: (chmod .*)$/.exec(advice)!;
      trouble.shell(chmod);
      await trouble.expect(200, "hello");
      await trouble.serve("app.ts", "mode=660", group);
      await trouble.expect(200, "hello");

      chmodSync(trouble.folder, 0o700);
      await trouble.expect(502, /502 Bad Gateway/);
      const [enter] = await trouble.advice("socket", /nginx \(\w+\) may not enter ".*www" \(mode 700/, ...words);
      trouble.shell(enter);
      await trouble.expect(200, "hello");
      // Other web servers may run here, which get at nothing.
      const [, user] = /nginx \((\w+)\)/.exec(trouble.history)!;
      // Who runs the application has to find its files.
      chmodSync(trouble.folder, 0o755);
      await trouble.healthy(...words, `user=${user}`);
    },
  },

  "pages are slow under load": {
    server: "nginx",
    async run(trouble) {
      trouble.write("app.ts", waiting);
      await trouble.configure(nginx(trouble));
      const words = ["app.ts", "mode=666", "errlog=log", "threads=1"];
      await trouble.serve(...words, "maxconnections=2");
      const visitors = together(["/wait", "/wait", "/"].map((path) => trouble.ask(path)));
      await trouble.logged("log", /There are 2 connections, as many as maxconnections .*allow: others wait/);
      trouble.write("go", "");
      await visitors;

      trouble.remove("go");
      words.push("status=/status");
      await trouble.serve(...words, "maxconnections=100");
      const others = together(["/wait", "/wait"].map((path) => trouble.ask(path)));
      await until("both are under way", async () => /^in flight: +2$/m.test((await trouble.ask("/status")).text));
      await trouble.expect(200, "hello");
      trouble.write("go", "");
      await others;
    },
  },

  "504, after a while": {
    server: "nginx",
    async run(trouble) {
      const app = (asked: string) => waiting.replace('pathname === "/wait"', asked);
      trouble.write("app.ts", app("pathname.length > 1"));
      const impatient = `location = /wait {
        include fastcgi_params;
        fastcgi_pass unix:${trouble.socket};
        fastcgi_read_timeout 1s;
      }`;
      await trouble.configure(nginx(trouble).replace("location", `${impatient}\n$&`));
      await trouble.serve("app.ts", "mode=666", "errlog=log", "slowlog=slow.log", "slowtime=0.5", "timeout=2");
      await until("it is loaded", async () => (await trouble.ask()).status === 200);
      // The web server's own, and the program's.
      await Promise.all([
        trouble.expect(504, /504 Gateway Time-out/, "/wait"),
        trouble.expect(504, /The site took too long to answer\. More about it is in the log log\./, "/hang"),
      ]);
      assert.match(trouble.errors, /upstream timed out/);
      await trouble.logged("log", /GET \/hang: AbortError: The application took longer than 2 s/);
      await trouble.logged("slow.log", /"GET \/wait"[^]*"GET \/hang"|"GET \/hang"[^]*"GET \/wait"/);
      trouble.write("app.ts", app("false"));
      await until("it is mended", async () => (await trouble.ask("/wait")).status === 200);
      await trouble.expect(200, "hello", "/hang");
    },
  },

  "a blank page": {
    server: "nginx",
    async run(trouble) {
      const app = (text: string) => `
        const cut = () => new ReadableStream({ async start(controller) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          controller.close();
        } });
        export default (request) => request.url.endsWith("/cut")
          ? new Response(cut(), { headers: { "content-length": "10" } })
          : new Response("${text}");`;
      trouble.write("app.ts", app(""));
      await trouble.configure(nginx(trouble));
      await trouble.serve("app.ts", "mode=666", "errlog=log");
      await trouble.expect(200, "");
      const empty = await trouble.run("get", "-i", `socket=${trouble.socket}`, "/");
      assert.match(empty.stderr, /^200 OK\n[^]*content-length: 0$/m);
      assert.equal(empty.stdout, "");
      const { stdout } = await trouble.healthy("app.ts", `socket=${trouble.socket}`, `url=${trouble.url}`);
      assert.match(stdout, /^ok +web server +.* is answered with 200 and an empty page$/m);

      const cut = await trouble.run("get", "-i", `socket=${trouble.socket}`, "/cut");
      assert.match(cut.stderr, /the body was cut off after 0 of 10 bytes; see the program's log/);
      assert.equal(cut.code, 18);
      await trouble.logged("log", /GET \/cut: Error: The Response declared a content-length of 10 and had 0 bytes/);
      trouble.write("app.ts", app("hello"));
      await until("it is mended", async () => (await trouble.ask()).text === "hello");
    },
  },

  "old code is served": {
    server: "nginx",
    async run(trouble) {
      const app = (version: number) => `export default () => new Response("version ${version}");\n`;
      trouble.write("app.ts", app(1));
      await trouble.configure(nginx(trouble));
      const words = ["app.ts", "mode=666", "errlog=log", "pidfile=pid", "daemonize=false"];
      await trouble.serve(...words, "watch=false");
      const asked = ["app.ts", "pidfile=pid"];
      await until("the pidfile is written", () => trouble.read("pid") !== "");
      await trouble.healthy(...asked);
      trouble.write("app.ts", app(2));
      await trouble.expect(200, "version 1");
      const [why, reload] = await trouble.advice(
        "code",
        /the server goes on with the ".*app\.ts" of before its last change/,
        ...asked,
      );
      assert.equal(why, "It was started with watch=false.");
      trouble.shell(reload);
      await until("the new code answers", async () => (await trouble.ask()).text === "version 2");
      await trouble.healthy(...asked);

      await trouble.serve(...words);
      await trouble.expect(200, "version 2");
      trouble.write("app.ts", "export default () => {\n");
      await until(
        "the log says why",
        () => /Cannot load the new code, still serving the old[^]*app\.ts/.test(trouble.read("log")),
      );
      await trouble.expect(200, "version 2");
      assert.match((await trouble.advice("application", /cannot be loaded/, ...asked)).join("\n"), /app\.ts:[12]/);
      trouble.write("app.ts", app(3));
      await until("the new code answers", async () => (await trouble.ask()).text === "version 3");
    },
  },

  "a visitor is logged in and out at random": {
    server: "nginx",
    async run(trouble) {
      trouble.write(
        "app.ts",
        `const visitors = new Set();
        export default (request) => {
          if (request.url.endsWith("/login")) visitors.add("me");
          return new Response(visitors.has("me") ? "in" : "out");
        };\n`,
      );
      await trouble.configure(nginx(trouble));
      const words = ["app.ts", "mode=666", "status=/status"];
      await trouble.serve(...words, "threads=2");
      await trouble.expect(200, "in", "/login");
      await until("the visitor is logged out", async () => (await trouble.ask()).text === "out");
      await until("and in again", async () => (await trouble.ask()).text === "in");
      await trouble.expect(200, /^workers: +2: /m, "/status");
      await trouble.serve(...words, "threads=1");
      await trouble.expect(200, "in", "/login");
      for (let i = 0; i < 20; i++) await trouble.expect(200, "in");
      await trouble.expect(200, /^workers: +1: /m, "/status");
    },
  },

  "`http://` in links of an `https://` site": {
    server: "nginx",
    async run(trouble) {
      copyFileSync(fileURLToPath(new URL("../../fixtures/localhost.pem", import.meta.url)), trouble.file("localhost.pem"));
      trouble.write("app.ts", seeing);
      const pem = trouble.file("localhost.pem");
      const secure = (config: string) =>
        config.replace(/(listen \S+);/, `$1 ssl;\nssl_certificate ${pem};\nssl_certificate_key ${pem};`);
      const url = trouble.url.replace("http:", "https:");
      const see = async () => JSON.parse((await fetchFrom(new URL(url), "/")).text)[0];
      const words = ["app.ts", `socket=${trouble.socket}`, "mode=666", `url=${url}`];
      await trouble.configure(secure(nginx(trouble, "", params())));
      await trouble.serve("app.ts", "mode=666");
      assert.equal(await see(), trouble.url);
      await trouble.stop();
      const [line] = await trouble.advice("scheme", /typed is https:\/\/, and what arrives is http:\/\//, ...words);
      await trouble.configure(secure(nginx(trouble, "", `${params()}${line}`)));
      await trouble.healthy(...words);
      await trouble.serve("app.ts", "mode=666");
      assert.equal(await see(), url);

      // Behind an HTTP proxy.
      const port = await freePort();
      const at = ["app.ts", "protocol=http", `port=${port}`];
      const proxy = (lines = "") =>
        secure(`server {
          listen 127.0.0.1:${trouble.port};
          location / {
            proxy_pass http://127.0.0.1:${port};
            proxy_set_header Host $http_host;
            proxy_buffering off;
            ${lines}
          }
        }`);
      await trouble.configure(proxy());
      await trouble.serveAt({ port }, ...at.slice(0, 2));
      assert.equal(await see(), trouble.url);
      await trouble.stop();
      const [header] = await trouble.advice("scheme", /what arrives is http:\/\//, ...at, `url=${url}`);
      await trouble.configure(proxy(header));
      const [trust] = await trouble.advice(
        "scheme",
        /X-Forwarded-Proto is there, and who sends it is not trusted/,
        ...at,
        `url=${url}`,
      );
      const [word] = /trust=\S+/.exec(trust)!;
      await trouble.healthy(...at, word, `url=${url}`);
      await trouble.serveAt({ port }, ...at.slice(0, 2), word);
      assert.equal(await see(), url);
    },
  },

  "paths are doubled or wrong": {
    server: "nginx",
    async run(trouble) {
      trouble.write("app.ts", seeing);
      const words = ["app.ts", `socket=${trouble.socket}`, "mode=666"];
      // As it was written for Django.
      const given = params("REQUEST_URI") + "fastcgi_param PATH_INFO $fastcgi_script_name;";
      await trouble.configure(nginx(trouble, "", given));
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(200, seen(`${trouble.url}page/page`), "/page");
      const { stdout } = await trouble.run("explain", "param=SCRIPT_NAME=/page", "param=PATH_INFO=/page");
      assert.match(stdout, /^path +\/page\/page +SCRIPT_NAME PATH_INFO +/m);
      await trouble.stop();
      const path = await trouble.advice(
        "path",
        /there is something before it that the visitor did not type/,
        ...words,
        `url=${trouble.url}`,
      );
      await trouble.configure(nginx(trouble, "", `${given}${path[0]}`));
      await trouble.healthy(...words, `url=${trouble.url}`);
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(200, seen(`${trouble.url}page`), "/page");

      // What is before the path is lost on the way.
      await trouble.configure(`server {
        listen 127.0.0.1:${trouble.port};
        location /app/ {
          proxy_pass http://unix:${trouble.socket}:/;
          proxy_set_header Host $http_host;
          proxy_set_header X-Forwarded-For $remote_addr;
          proxy_buffering off;
        }
      }`);
      await trouble.serve("app.ts", "mode=666", "protocol=http");
      await trouble.expect(200, seen(`${trouble.url}page`), "/app/page");
      await trouble.stop();
      const below = [...words, "protocol=http", `url=${trouble.url}app/`];
      const [start] = await trouble.advice("path", /the web server cuts the mount off/, ...below);
      const [scriptname] = /scriptname=\S+/.exec(start)!;
      await trouble.healthy(...below, scriptname);
      await trouble.serve("app.ts", "mode=666", "protocol=http", scriptname);
      await trouble.expect(200, seen(`${trouble.url}app/page`), "/app/page");
    },
  },

  "`Authorization` is missing": {
    server: "apache",
    async run(trouble) {
      const question = { headers: { authorization: "Basic bWU6c2VjcmV0" } };
      trouble.write("app.ts", seeing);
      const words = ["app.ts", `socket=${trouble.socket}`, "mode=666", `url=${trouble.url}`];
      await trouble.configure(proxyFcgi(trouble, "flushpackets=on"));
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(200, seen(trouble.url), "/", question);
      await trouble.stop();
      const [line] = await trouble.advice("authorization", /the header Authorization does not arrive/, ...words);
      await trouble.configure(proxyFcgi(trouble, "flushpackets=on", line));
      await trouble.healthy(...words);
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(200, seen(trouble.url, question.headers.authorization), "/", question);

      await using other = await Trouble.begin("apache");
      await other.share(seeing);
      other.write(".htaccess", other.read(".htaccess").replace(/^CGIPassAuth.*$/m, ""));
      await other.expect(200, seen(other.url), "/", question);
      const [add] = await other.advice(".htaccess", /lets Apache keep the header Authorization to itself/);
      other.append(".htaccess", add.replace("Add to it: ", ""));
      await other.expect(200, seen(other.url, question.headers.authorization), "/", question);
      await other.healthy(`url=${other.url}`);
    },
  },

  "uploads fail with 413 or 500": {
    server: "nginx",
    async run(trouble) {
      trouble.write("app.ts", seeing);
      const words = ["app.ts", `socket=${trouble.socket}`, "mode=666", `url=${trouble.url}`];
      const upload = (length: number) => ({ method: "POST", body: "x".repeat(length) });
      const large = 2 ** 21;
      await trouble.configure(nginx(trouble));
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(413, /413 Request Entity Too Large/, "/", upload(large));
      await trouble.stop();
      const [line] = await trouble.note("uploads", /one of 1100 KiB is answered with 413/, ...words);
      await trouble.configure(nginx(trouble, line));
      await trouble.healthy(...words);
      await trouble.serve("app.ts", "mode=666");
      await trouble.expect(200, seen(trouble.url, null, large), "/", upload(large));

      await using other = await Trouble.begin("apache");
      await other.share(seeing, "All", "");
      await other.expect(500, /The server encountered an internal error/, "/", upload(140_000));
      assert.match(other.errors, /exceeds MaxRequestLen/);
      const [sentence] = await other.note("uploads", /one of 129 KiB is answered with 500/, `url=${other.url}`);
      const [limit] = /FcgidMaxRequestLen \d+/.exec(sentence)!;
      await other.host("All", limit);
      await other.expect(200, seen(other.url, null, 140_000), "/", upload(140_000));
      await other.healthy(`url=${other.url}`);
    },
  },

  "events arrive all at once": {
    server: "apache",
    async run(trouble) {
      trouble.write(
        "app.ts",
        `let seen = () => {};
        export default (request) => {
          if (request.url.endsWith("/seen")) return new Response(seen());
          const soon = new Promise((resolve) => seen = () => resolve("soon"));
          const late = new Promise((resolve) => setTimeout(() => resolve("late"), request.url.endsWith("?patient") ? 60_000 : 1000));
          return new Response(new ReadableStream({ async start(controller) {
            const send = (text) => controller.enqueue(new TextEncoder().encode("data: " + text + "\\n\\n"));
            send("first");
            send(await Promise.race([soon, late]));
            controller.close();
          } }), { headers: { "content-type": "text/event-stream" } });
        };\n`,
      );
      /** Says that the first event is there, without which the second is late. */
      const see = async (path: string) => {
        const site = new URL(trouble.url);
        const onText = (text: string) => void (/^data: first\n\n$/.test(text) && fetchFrom(site, "/seen"));
        return (await fetchFrom(site, path, { onText })).text;
      };
      const words = ["app.ts", `socket=${trouble.socket}`, "mode=666", `url=${trouble.url}`];
      const serving = ["app.ts", "mode=666"];
      await trouble.configure(proxyFcgi(trouble, "", "CGIPassAuth On"));
      await trouble.serve(...serving);
      assert.equal(await see("/"), "data: first\n\ndata: late\n\n");
      await trouble.stop();
      const [line] = await trouble.advice("events", /held back until the response is complete/, ...words);
      const [option] = /flushpackets=\S+/.exec(line)!;
      await trouble.configure(proxyFcgi(trouble, option, "CGIPassAuth On"));
      await trouble.healthy(...words);
      await trouble.serve(...serving);
      assert.equal(await see("/?patient"), "data: first\n\ndata: soon\n\n");
    },
  },
};
