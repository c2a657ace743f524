/**
 * Web servers that answer a visitor by asking for another URL, in a subrequest or after an internal redirect: the
 * application sees the one that they ask for, and no visitor chooses it.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { freePort, type Running, startServing } from "../support/program.ts";
import {
  apacheModules,
  makeFolder,
  makeOpenFolder,
  needs,
  type RunningWebServer,
  startWebServer,
  type WebServerName,
} from "../support/servers.ts";
import { putProgram } from "./site.ts";

const timeout = 60_000;

/** Lets in who has the cookie, shows who asks for what, and has a page with a part, as each web server includes it. */
const app = String.raw`
const asked: string[] = [];
export default {
  fetch(request: Request, info: { visitorUrl: string; scriptName: string; pathInfo: string }) {
    const { pathname, search } = new URL(request.url);
    const visitor = new URL(info.visitorUrl);
    if (/^(?:\/shop)?\/auth(?:\.\w+)?$/.test(pathname)) {
      return new Response(null, { status: request.headers.get("cookie") === "user=me" ? 204 : 401 });
    }
    if (pathname === "/asked") return Response.json(asked);
    asked.push(pathname);
    if (pathname === "/accel") return new Response(null, { headers: { "x-accel-redirect": "/dump?id=9" } });
    if (pathname === "/included") {
      const page = 'before <!--#include virtual="/dump?id=5" --> after';
      return new Response(page, { headers: { "content-type": "text/html" } });
    }
    const { scriptName, pathInfo } = info;
    return Response.json({ url: pathname + search, visitor: visitor.pathname + visitor.search, scriptName, pathInfo });
  },
};`;

/** The same for who is let in and who asks for what, as Node-style frameworks have it. */
const nodeApp = String.raw`
import { createServer } from "node:http";
createServer((request, response) => {
  const { pathname } = new URL(request.url!, "http://h");
  if (pathname === "/auth") {
    response.statusCode = request.headers.cookie === "user=me" ? 204 : 401;
    return response.end();
  }
  const { visitorUrl, scriptName, pathInfo } = (request.socket as any).info;
  response.end(JSON.stringify({ url: request.url, visitor: visitorUrl.replace(/^\w+:\/\/[^/]*/, ""), scriptName, pathInfo }));
}).listen(3000);
`;

interface Seen {
  url: string;
  visitor: string;
  scriptName: string;
  pathInfo: string;
}

/** Asks for exactly this path, which not every client would leave as it is. */
function ask(port: number, host: string, path: string, cookie = ""): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => text += chunk);
  socket.on("error", reject);
  socket.on(
    "close",
    () => resolve({ status: Number(/^HTTP\/1\.\d (\d+)/.exec(text)?.[1]), text: text.replace(/^.*?\r\n\r\n/s, "") }),
  );
  // Of HTTP/1.0, for an answer without chunks.
  socket.write(`GET ${path} HTTP/1.0\r\nHost: ${host}\r\n${cookie && `Cookie: ${cookie}\r\n`}\r\n`);
  return promise;
}

/** Programs and web servers of a group of tests, and a folder for them. */
class Group {
  readonly folder = makeFolder();
  readonly #programs: Running[] = [];
  readonly #servers: RunningWebServer[] = [];
  #port = 0;

  /** Starts the program on a port, to speak whatever it is asked in. */
  serve(...words: string[]): Promise<number> {
    return this.serveText(app, ...words);
  }

  async serveText(text: string, ...words: string[]): Promise<number> {
    const port = await freePort();
    const file = join(this.folder.path, "mysite.ts");
    writeFileSync(file, text);
    this.#programs.push(await startServing({ port }, [file, "protocol=auto", "trust=127.0.0.1", "threads=1", ...words]));
    return port;
  }

  async front(server: WebServerName, config: (port: number) => string): Promise<void> {
    this.#port = await freePort();
    this.#servers.push(await startWebServer(server, { folder: this.folder.path, port: this.#port }, config(this.#port)));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#servers.map(({ running }) => running.stop()), ...this.#programs.map((one) => one.stop())]);
    this.folder.remove();
  }

  ask(host: string, path: string, cookie?: string): ReturnType<typeof ask> {
    return ask(this.#port, host, path, cookie);
  }

  async see(host: string, path: string, cookie?: string): Promise<Seen> {
    const { status, text } = await this.ask(host, path, cookie);
    assert.equal(status, 200, `${host} ${path}: ${text}`);
    return JSON.parse(text);
  }

  get errors(): string {
    return [...this.#servers.map((one) => one.errors()), ...this.#programs.map((one) => one.stderr())].join("\n").slice(-4000);
  }

  /** A test that tells what the logs say when it fails. */
  test(name: string, run: () => Promise<void>): void {
    test(name, { timeout }, async () => {
      try {
        await run();
      } catch (error) {
        throw new Error(`The logs end with:\n${this.errors}`, { cause: error });
      }
    });
  }
}

function startedGroup(start: (group: Group) => Promise<void>): Group {
  const group = new Group();
  before(() => start(group), { timeout });
  after(() => group.stop(), { timeout });
  return group;
}

/** What a location of nginx says of the program on a port. */
const nginxPass: Record<string, (port: number) => string> = {
  fcgi: (port) => `include fastcgi_params; fastcgi_pass 127.0.0.1:${port};`,
  "fcgi, split": (port) =>
    `fastcgi_split_path_info ^(.+?\\.(?:php|fcgi))(.*)$; include fastcgi_params;
     fastcgi_param PATH_INFO $fastcgi_path_info; fastcgi_pass 127.0.0.1:${port};`,
  "fcgi, Django's PATH_INFO": (port) =>
    `include fastcgi_params; fastcgi_param PATH_INFO $fastcgi_script_name; fastcgi_pass 127.0.0.1:${port};`,
  scgi: (port) => `include scgi_params; scgi_pass 127.0.0.1:${port};`,
  uwsgi: (port) => `include uwsgi_params; uwsgi_pass 127.0.0.1:${port};`,
  http: (port) => `proxy_pass http://127.0.0.1:${port}; proxy_set_header Host $http_host;`,
};
const caddyPass: Record<string, string> = {
  fcgi: "transport fastcgi",
  "fcgi, split": "transport fastcgi {\nsplit .php\n}",
  http: "",
};

/** The name of a site, as a host. */
const hostOf = (...words: string[]): string => words.join("-").replaceAll(/[^\w.]+/g, "-");

const checkers = ["/auth", "/auth.fcgi", "/auth.php"];
const strangersPaths = [
  "/private/a /private/auth /private/auth.fcgi /private/auth.php /private/x%2f..%2fauth //private//auth",
  "/private/%252e%252e/auth /private/%2e/auth /private/x.fcgi /private/x.fcgi/auth /private/mysite.fcgi",
  "/private/mysite.fcgi/auth /private/auth?/auth /private/auth%3f/auth /private/a%00/auth /private//auth /private/\\a",
  "/private/..\\auth /private/\ta /private/a\x01/auth /private/\x7f /private%2fa",
].flatMap((row) => row.split(" "));
/** For the web server these are elsewhere, and it asks nobody; or it refuses them. Raw, as no browser sends them. */
const pathsBeside = [
  "/private/%2e%2e/x /private/..%2fx /private/y%2f..%2f..%2fx /private\\a /private\\/a \\private\\a /\\private/a",
  "/x/..\\private/a /x\\..\\private\\a /priv\tate/a /\tprivate/a /private\t/a /private\r/a /private\x0b/a /private\x00/a",
  "/private\x7f/a /.\t./private/a /private//../a /private/%2f/../a /private/./%2f%2f/../a /x%2fy/../private/a",
  "/x%2Fy/%2E%2e/private/a /private//b/../../a /private//%2e%2e/../a /private//..%2fprivate-a",
].flatMap((row) => row.split(" "));

/** Whoever has no cookie is kept out of `/private/`, and who has one sees it at its own URL. */
async function expectGuarded(group: Group, host: string, mount = ""): Promise<void> {
  for (const path of strangersPaths.map((path) => path.replace("/private", `${mount}/private`))) {
    const { status, text } = await group.ask(host, path);
    assert.ok(status === 401 || status === 400, `${host} ${path}: ${status} ${text}`);
  }
  for (const path of pathsBeside) {
    const { status, text } = await group.ask(host, mount + path);
    assert.ok(status >= 200, `${host} ${JSON.stringify(path)}: no answer`);
    assert.doesNotMatch(text, /"(?:url|pathInfo)":"(?:\/shop)?\/+private[/?"]/, `${host} ${JSON.stringify(path)}`);
  }
  const path = `${mount}/private/a%20b/%C3%A9?x=1`;
  const { url, visitor } = await group.see(host, path, "user=me");
  assert.deepEqual({ url, visitor }, { url: path, visitor: path });
}

describe("nginx", { skip: needs("nginx") }, () => {
  const group = startedGroup(async (group) => {
    const [app, controlled] = await Promise.all([group.serve(), group.serve("frontcontroller=/index.php")]);
    const page = 'before <!--# include virtual="/dump?id=5" --> after';
    writeFileSync(join(makeOpenFolder(join(group.folder.path, "pages")), "page.shtml"), page);
    await group.front("nginx", (port) =>
      Object.entries(nginxPass).flatMap(([protocol, pass]) => [
        ...checkers.map((checker) => `
          server {
            listen 127.0.0.1:${port};
            server_name ${hostOf(protocol, checker)};
            location /private/ { auth_request ${checker}; ${pass(app)} }
            location = ${checker} { internal; ${pass(app)} }
            location / { ${pass(app)} }
          }`),
        `server {
          listen 127.0.0.1:${port};
          server_name ${hostOf(protocol)};
          root ${group.folder.path}/pages;
          rewrite ^/pretty$ /dump?id=7 last;
          location = /included { ssi on; ${pass(app)} }
          location = /page.shtml { ssi on; default_type text/html; }
          location /old/ { rewrite ^/old(/.*)$ $1 break; ${pass(app)} }
          location /files/ { error_page 404 =200 /missing; }
          location /mirrored/ { mirror /mirror; ${pass(app)} }
          location = /mirror { internal; ${pass(app)} }
          location /tried/ { try_files $uri /other; }
          location /named/ { try_files $uri @app; }
          location /file/ { try_files $uri /mysite.fcgi; }
          location /php/ { try_files $uri /index.php; }
          location = /index.php { ${pass(controlled)} }
          location /controlled/ { rewrite ^ /index.php$uri last; }
          location /index.php/ { ${pass(controlled)} }
          location @app { ${pass(app)} }
          location / { ${pass(app)} }
        }
        server {
          listen 127.0.0.1:${port};
          server_name ${hostOf(protocol, "unmerged")};
          merge_slashes off;
          location / { ${pass(app)} }
        }`,
      ]).join("\n"));
  });

  for (const protocol of Object.keys(nginxPass)) {
    const host = hostOf(protocol);
    for (const checker of checkers) {
      group.test(`over ${protocol}, asks ${checker} before it lets a visitor in`, () =>
        expectGuarded(group, hostOf(protocol, checker)));
    }

    group.test(`over ${protocol}, includes parts of a page`, async () => {
      for (const path of ["/included", "/page.shtml"]) {
        const { text } = await group.ask(host, path);
        const seen: Seen = JSON.parse(/^before (.*) after$/s.exec(text)![1]);
        assert.equal(seen.url, "/dump?id=5");
        // proxy_pass tells the program of nothing else.
        if (protocol !== "http") assert.equal(seen.visitor, path);
      }
    });

    group.test(`over ${protocol}, goes elsewhere`, async () => {
      for (
        const [path, url] of [
          ["/pretty", "/dump?id=7"],
          ["/pretty?x=1", "/dump?id=7&x=1"],
          ["/old/x%20y?z", "/x%20y?z"],
          ["/files/none?x", "/missing"],
          ["/accel", "/dump?id=9"],
          // It drops the query.
          ["/tried/x?y", "/other"],
        ]
      ) {
        // proxy_pass without a path knows nothing of "break".
        const seen = await group.see(host, path);
        assert.equal(seen.url, url, path);
        if (protocol !== "http") assert.equal(seen.visitor, path);
      }
      await group.see(host, "/mirrored/x");
      const asked: string[] = JSON.parse((await group.ask(host, "/asked")).text);
      assert.ok(asked.includes("/mirror"), asked.join(" "));
    });

    group.test(`over ${protocol}, leads to the program by whatever name`, async () => {
      const paths = ["/named/a%20b?x", "/a%2Fb", "/a//b?x=%20", "/%252F", "/x/../y/./z", "/"];
      // HTTP has no other variable than the URL that nginx goes to.
      if (protocol !== "http") paths.push("/file/a%20b?x=1", "/php/a%20b?x=1", "/controlled/a%20b?x=1");
      for (const path of paths) {
        const { url } = await group.see(host, path);
        assert.equal(url, new URL(path, "http://h").href.slice("http://h".length), path);
      }
      assert.equal((await group.see(hostOf(protocol, "unmerged"), "//a//b")).url, "//a//b");
    });
  }
});

describe("Caddy", { skip: needs("caddy") }, () => {
  const group = startedGroup(async (group) => {
    const [app, controlled] = await Promise.all([group.serve(), group.serve("frontcontroller=/index.php")]);
    const files = makeOpenFolder(join(group.folder.path, "files"));
    writeFileSync(join(files, "index.php"), "");
    await group.front("caddy", (port) =>
      Object.entries(caddyPass).flatMap(([protocol, pass]) => [
        ...checkers.map((checker) => `
          http://${hostOf(protocol, checker)}:${port} {
            forward_auth /private/* 127.0.0.1:${app} {
              uri ${checker}
              ${pass}
            }
            reverse_proxy 127.0.0.1:${app} {
              ${pass}
            }
          }`),
        `http://${hostOf(protocol)}:${port} {
          rewrite /pretty /dump?id=7
          handle /files/* {
            root * ${files}
            file_server
          }
          handle_path /old/* {
            reverse_proxy 127.0.0.1:${app} {
              ${pass}
            }
          }
          handle {
            reverse_proxy 127.0.0.1:${app} {
              ${pass}
            }
          }
          handle_errors {
            rewrite * /missing?code={err.status_code}
            reverse_proxy 127.0.0.1:${app} {
              ${pass}
            }
          }
        }`,
      ]).join("\n") + `
        http://php:${port} {
          root * ${files}
          php_fastcgi 127.0.0.1:${controlled}
        }`);
  });

  for (const protocol of Object.keys(caddyPass)) {
    const host = hostOf(protocol);
    for (const checker of checkers) {
      group.test(`over ${protocol}, asks ${checker} before it lets a visitor in`, () =>
        expectGuarded(group, hostOf(protocol, checker)));
    }

    group.test(`over ${protocol}, goes elsewhere`, async () => {
      for (const [path, url] of [["/pretty", "/dump?id=7"], ["/old/x%20y?z", "/x%20y?z"]]) {
        const seen = await group.see(host, path);
        assert.equal(seen.url, url, path);
        if (protocol !== "http") assert.equal(seen.visitor, path);
      }
      const { text } = await group.ask(host, "/files/none?x");
      assert.equal(JSON.parse(text).url, "/missing?code=404");
    });

    group.test(`over ${protocol}, leads to the program`, async () => {
      for (const path of ["/a%20b?x", "/a%2Fb", "/a//b?x=%20", "/%252F", "/"]) {
        assert.equal((await group.see(host, path)).url, path);
      }
    });
  }

  group.test("over php_fastcgi, leads to the program by the name of a file", async () => {
    for (const path of ["/a%20b?x", "/a%2Fb/c", "/"]) assert.equal((await group.see("php", path)).url, path);
  });
});

/** What a virtual host of Apache says of a program on a port. */
const apachePass: Record<string, (port: number) => string> = {
  fcgi: (port) => `<Location "/">\nProxyFCGIBackendType GENERIC\n</Location>\nProxyPass "/" "fcgi://127.0.0.1:${port}/"`,
  scgi: (port) => `ProxyPass "/" "scgi://127.0.0.1:${port}/"`,
  uwsgi: (port) => `ProxyPass "/" "uwsgi://127.0.0.1:${port}/"`,
  ajp: (port) => `ProxyPass "/" "ajp://127.0.0.1:${port}/"`,
  http: (port) => `ProxyPass "/" "http://127.0.0.1:${port}/"\nProxyPreserveHost On`,
};
/** What these pass on is a request of its own, which has no other URL. */
const tellsTargetAlone = ["ajp", "http"];

describe("Apache", { skip: needs("apache", [`${apacheModules}/mod_include.so`]) }, () => {
  const group = startedGroup(async (group) => {
    const port = await group.serve();
    const pages = makeOpenFolder(join(group.folder.path, "pages"));
    writeFileSync(join(pages, "page.shtml"), 'before <!--#include virtual="/dump?id=5" --> after');
    makeOpenFolder(join(group.folder.path, "ipc"));
    const folder = makeOpenFolder(join(group.folder.path, "started"));
    mkdirSync(join(folder, "media"));
    writeFileSync(join(folder, "media", "page.shtml"), 'before <!--#include virtual="/dump?id=5" --> after');
    // The compiled program takes the application of its own name.
    for (const name of ["mysite.ts", "dispatch.ts"]) writeFileSync(join(folder, name), app);
    putProgram(join(folder, "dispatch.fcgi"), join(folder, "mysite.ts"));
    for (const name of ["handled", "found"]) mkdirSync(join(folder, name));
    writeFileSync(
      join(folder, "handled", ".htaccess"),
      "ErrorDocument 404 /dispatch.fcgi\nErrorDocument 403 /dispatch.fcgi/denied\nRewriteEngine Off\n<Files secret>\nRequire all denied\n</Files>",
    );
    writeFileSync(join(folder, "found", ".htaccess"), "DirectoryIndex /dispatch.fcgi\nRewriteEngine Off");
    writeFileSync(join(folder, "handled", "secret"), "");
    writeFileSync(
      join(folder, ".htaccess"),
      `
      Options +Includes
      AddType text/html .shtml
      AddOutputFilter INCLUDES .shtml
      RewriteEngine On
      RewriteRule ^pretty$ dispatch.fcgi/dump?id=7 [L]
      RewriteCond %{REQUEST_FILENAME} !-f
      RewriteCond %{REQUEST_URI} !^/dispatch
      RewriteRule ^lang/(.*)$ dispatch.fcgi/lang/$1?lang=en [QSA,L]
      RewriteCond %{REQUEST_FILENAME} !-f
      RewriteRule ^(.*)$ dispatch.fcgi/$1 [QSA,L]`,
    );
    const directory = (path: string, more: string) => `<Directory "${path}">\nRequire all granted\n${more}\n</Directory>`;
    await group.front(
      "apache",
      () =>
        `LoadModule include_module ${apacheModules}/mod_include.so\n` + Object.entries(apachePass).map(([protocol, pass]) => `
        <VirtualHost *>
          ServerName ${protocol}
          DocumentRoot "${pages}"
          ${directory(pages, "Options +Includes\nAddType text/html .shtml\nAddOutputFilter INCLUDES .shtml")}
          ProxyPass "/page.shtml" "!"
          ProxyPass "/files/" "!"
          ErrorDocument 404 /missing
          RewriteEngine On
          RewriteRule ^/pretty$ /dump?id=7 [PT]
          <Location "/included">
            SetOutputFilter INCLUDES
            Options +Includes
          </Location>
          ${pass(port)}
        </VirtualHost>`).join("\n") + `
        <VirtualHost *>
          ServerName started
          DocumentRoot "${folder}"
          ${directory(folder, "Options +ExecCGI +Includes\nAddHandler fcgid-script .fcgi\nAllowOverride All")}
        </VirtualHost>`,
    );
  });

  const included = async (host: string, path: string): Promise<Seen> => {
    const { text } = await group.ask(host, path);
    assert.match(text, /^before \{.*\} after$/s);
    return JSON.parse(text.slice("before ".length, -" after".length));
  };

  for (const protocol of Object.keys(apachePass)) {
    group.test(`over ${protocol}, includes parts of a page`, async () => {
      for (const path of ["/page.shtml", "/included"]) {
        const { url, visitor } = await included(protocol, path);
        assert.equal(url, "/dump?id=5");
        if (!tellsTargetAlone.includes(protocol)) assert.equal(visitor, path);
      }
    });

    group.test(`over ${protocol}, goes elsewhere`, async () => {
      assert.equal((await group.see(protocol, "/pretty")).url, "/dump?id=7");
      assert.equal(JSON.parse((await group.ask(protocol, "/files/none?x")).text).url, "/missing");
    });

    group.test(`over ${protocol}, leads to the program`, async () => {
      for (const path of ["/a%20b?x=%20", "/%252F", "/"]) assert.equal((await group.see(protocol, path)).url, path);
    });
  }

  group.test("with mod_fcgid, includes parts of a page", async () => {
    assert.equal((await included("started", "/media/page.shtml")).url, "/dump?id=5");
  });

  group.test("with mod_fcgid, goes elsewhere by a .htaccess", async () => {
    assert.equal((await group.see("started", "/pretty")).url, "/dump?id=7");
    assert.equal((await group.see("started", "/lang/a%20b?x=1")).url, "/lang/a%20b?lang=en&x=1");
    assert.equal((await group.see("started", "/lang/a%20b")).url, "/lang/a%20b?lang=en");
    const { text } = await group.ask("started", "/handled/secret");
    assert.equal(JSON.parse(text).url, "/denied");
  });

  group.test("with mod_fcgid, leads to the program by whatever name", async () => {
    for (const path of ["/a%20b?x=%20", "/a//b", "/", "/found/", "/dispatch.fcgi/a%20b?x"]) {
      assert.equal((await group.see("started", path)).url, path);
    }
    assert.equal(JSON.parse((await group.ask("started", "/handled/none?x=1")).text).url, "/handled/none?x=1");
  });
});

describe("lighttpd", { skip: needs("lighttpd") }, () => {
  const group = startedGroup(async (group) => {
    const port = await group.serve();
    await group.front("lighttpd", () => `
      server.modules += ( "mod_rewrite" )
      $HTTP["host"] == "fcgi" {
        url.rewrite-once = ( "^/pretty$" => "/dump?id=7", "^/any(/.*)$" => "/dispatch.fcgi$1" )
        fastcgi.server = (
          "/dispatch.fcgi" => (( "host" => "127.0.0.1", "port" => ${port}, "check-local" => "disable" )),
          "/" => (( "host" => "127.0.0.1", "port" => ${port}, "check-local" => "disable", "fix-root-scriptname" => "enable" ))
        )
      }
      $HTTP["host"] == "scgi" {
        url.rewrite-once = ( "^/pretty$" => "/dump?id=7" )
        scgi.server = ( "/" => (( "host" => "127.0.0.1", "port" => ${port}, "check-local" => "disable", "fix-root-scriptname" => "enable" )) )
      }
      $HTTP["host"] == "uwsgi" {
        url.rewrite-once = ( "^/pretty$" => "/dump?id=7" )
        scgi.protocol = "uwsgi"
        scgi.server = ( "/" => (( "host" => "127.0.0.1", "port" => ${port}, "check-local" => "disable", "fix-root-scriptname" => "enable" )) )
      }`);
  });

  for (const protocol of ["fcgi", "scgi", "uwsgi"]) {
    group.test(`over ${protocol}, goes elsewhere and leads to the program`, async () => {
      assert.equal((await group.see(protocol, "/pretty")).url, "/dump?id=7");
      for (const path of ["/a%20b?x=%20", "/%252F", "/"]) assert.equal((await group.see(protocol, path)).url, path);
    });
  }

  group.test("leads to the program by the name of a file", async () => {
    assert.equal((await group.see("fcgi", "/any/a%20b?x=1")).url, "/any/a%20b?x=1");
  });
});

/** Every web server that asks first, over every protocol that it speaks so. */
const printed = [
  ...["fcgi", "scgi", "uwsgi", "http"].map((protocol) => ({ server: "nginx", protocol }) as const),
  ...["fcgi", "http"].map((protocol) => ({ server: "caddy", protocol }) as const),
];

describe("what is printed for a part that the application guards", () => {
  for (const { server, protocol } of printed) {
    for (const [mount, text, what] of [["", app, ""], ["/shop", app, " below a path"], ["", nodeApp, " and is Node-style"]]) {
      describe(`${server} over ${protocol}${what}`, { skip: needs(server) }, () => {
        const group = startedGroup(async (group) => {
          const cut = mount !== "" && protocol === "http" ? [`scriptname=${mount}`] : [];
          const app = await group.serveText(text, ...cut);
          const files = makeOpenFolder(join(group.folder.path, "files"));
          writeFileSync(join(files, "a.txt"), "a file");
          await group.front(server, (port) =>
            configText([
              server,
              `protocol=${protocol}`,
              `port=${app}`,
              `listen=127.0.0.1:${port}`,
              "auth=/private/=/auth",
              `static=/private/files/=${files}`,
              ...mount && [`scriptname=${mount}`],
            ]));
        });

        group.test("keeps strangers out", () => expectGuarded(group, "localhost", mount));

        group.test("guards its path without the slash, too", async () => {
          assert.equal((await group.ask("localhost", `${mount}/private`)).status, 401);
          const { scriptName, pathInfo } = await group.see("localhost", `${mount}/private`, "user=me");
          assert.deepEqual({ scriptName, pathInfo }, { scriptName: mount, pathInfo: "/private" });
        });

        group.test("guards files, too", async () => {
          assert.equal((await group.ask("localhost", `${mount}/private/files/a.txt`)).status, 401);
          assert.equal((await group.ask("localhost", `${mount}/private/files/a.txt`, "user=me")).text, "a file");
        });

        group.test("knows where the application is", async () => {
          const { scriptName, pathInfo } = await group.see("localhost", `${mount}/private/a%20b`, "user=me");
          assert.deepEqual({ scriptName, pathInfo }, { scriptName: mount, pathInfo: "/private/a b" });
        });
      });
    }
  }
});
