/** Static files behind web servers, and beside those that nginx serves from the same folder. */
import assert from "node:assert/strict";
import { chmodSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Answer, ask } from "../support/raw_http.ts";
import { freePort, type Running, startServing } from "../support/program.ts";
import { apacheModules, makeFolder, makeOpenFolder, needs, startWebServer, type WebServerName } from "../support/servers.ts";
import { attacks, data, makeFiles, modified, SECRET } from "../support/static.ts";

const timeout = 60_000;
const app = `export default (request: Request, info: { pathInfo: string }) => {
  return new Response("app " + info.pathInfo, { status: 299 });
};\n`;

/** `ETAG` in a header stands for the file's. */
type Question = [path: string, headers?: Record<string, string>, method?: string];

/** The program with static files, and a web server before it. */
class Site {
  readonly folder = makeFolder();
  readonly media = join(this.folder.path, "media");
  readonly socket = join(this.folder.path, "app.sock");
  port = 0;
  readonly #running: Running[] = [];
  #closeFiles: (() => void) | undefined;

  async start(server: WebServerName, config: (site: Site) => string, words: readonly string[] = []): Promise<void> {
    this.#closeFiles = await makeFiles(this.folder.path);
    // The one file that is no secret to the web server's own user.
    chmodSync(join(this.media, "private.txt"), 0o600);
    writeFileSync(join(this.folder.path, "app.ts"), app);
    const all = ["app.ts", "static=/media/=./media", "mode=666", ...words];
    this.#running.push(await startServing({ socket: this.socket }, all, { cwd: this.folder.path }));
    const place = { folder: makeOpenFolder(join(this.folder.path, "server")), port: this.port = await freePort() };
    this.#running.push((await startWebServer(server, place, config(this))).running);
  }

  async stop(): Promise<void> {
    for (const running of this.#running.reverse()) await running.stop();
    this.#closeFiles?.();
    this.folder.remove();
  }

  ask(target: string, headers?: Record<string, string>, method?: string): Promise<Answer> {
    return ask(this.port, target, headers, method);
  }
}

/** Has a site running around the tests of a `describe`. */
function startAround(...args: Parameters<Site["start"]>): Site {
  const site = new Site();
  before(() => site.start(...args), { timeout });
  after(() => site.stop(), { timeout });
  return site;
}

const toProgram = (site: Site) => `
  include fastcgi_params;
  fastcgi_param HTTP_HOST $http_host;
  fastcgi_pass unix:${site.socket};`;

describe("static files behind nginx", { skip: needs("nginx") }, () => {
  const site = startAround("nginx", (site) => `
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    charset utf-8;
    gzip_vary on;
    server {
      listen 127.0.0.1:${site.port};
      location / { ${toProgram(site)} }
      location /own/ { alias ${site.media}/; gzip_static on; }
    }`);

  test("every attack fails", { timeout }, async () => {
    for (const [target, expected] of attacks) {
      const { status, headers, body } = await site.ask(target);
      // nginx refuses some itself, and decodes slashes before it resolves dots.
      const leaves = expected === "app" || /\/(?:\.|%2e)+%2f|%2f\.\./i.test(target);
      const allowed = leaves ? [299, 400, 404] : [400, expected, ...target.length > 1000 ? [414] : []];
      assert.ok(allowed.includes(status), `${target} is ${status}`);
      assert.ok(!body.includes(SECRET), target);
      assert.equal(headers["x-injected"], undefined);
    }
  });

  const same = modified.toUTCString();
  const earlier = new Date(modified.getTime() - 1000).toUTCString();
  const later = new Date(modified.getTime() + 1000).toUTCString();
  const rfc850 = "Monday, 06-May-24 07:08:09 GMT";
  const asctime = "Mon May  6 07:08:09 2024";
  const questions: Question[] = [
    ["a.txt"],
    ["a.txt?x"],
    ["a.txt", {}, "HEAD"],
    ["a.txt", {}, "POST"],
    ["a.txt", {}, "PUT"],
    ["empty.txt"],
    ["data.bin"],
    ["a%20b+c&%C3%BC.txt"],
    ["50%252F.txt"],
    ["page/"],
    ["page/index.html"],
    ["none.txt"],
    ["a.txt/"],
    ["LOUD.TXT"],
    ["insidedir/b.txt"],
    ["data.bin", { range: "bytes=0-0" }],
    ["data.bin", { range: "bytes=10-19" }],
    ["data.bin", { range: "bytes=990-" }],
    ["data.bin", { range: "bytes=990-5000" }],
    ["data.bin", { range: "bytes=-5" }],
    ["data.bin", { range: "bytes=-5000" }],
    ["data.bin", { range: "bytes=1000-" }],
    ["data.bin", { range: "lines=0-1" }],
    ["a.txt", { range: "bytes=2-4" }],
    ["data.bin", { range: "bytes=-0" }],
    ["data.bin", { range: "bytes=-1" }],
    ["data.bin", { range: "bytes=-1000" }],
    ["data.bin", { range: "bytes=0-" }],
    ["data.bin", { range: "bytes=0-999" }],
    ["data.bin", { range: "bytes=999-" }],
    ["data.bin", { range: "bytes=999-999" }],
    ["data.bin", { range: "bytes=1000-1000" }],
    ["data.bin", { range: "bytes=" }],
    ["data.bin", { range: "bytes" }],
    ["data.bin", { range: "bytes= 1-2" }],
    ["data.bin", { range: "bytes=1-2 " }],
    ["data.bin", { range: "Bytes=1-2" }],
    ["data.bin", { range: "bytes =1-2" }],
    ["data.bin", { range: "bytes=00001-00002" }],
    ["data.bin", { range: "bytes=99999999999999999999-" }],
    ["data.bin", { range: "bytes=0-,5-" }],
    ["empty.txt", { range: "bytes=0-" }],
    ["empty.txt", { range: "bytes=0-0" }],
    ["empty.txt", { range: "bytes=-1" }],
    ["page/", { range: "bytes=0-2" }],
    ["none.txt", { range: "bytes=0-2" }],
    ["app.js", { range: "bytes=0-9" }],
    ["data.bin", { range: "bytes=0-1", "if-range": "W/ETAG" }],
    ["data.bin", { range: "bytes=0-1", "if-range": "*" }],
    ["data.bin", { range: "bytes=0-1", "if-range": "" }],
    ["data.bin", { range: "bytes=0-1", "if-range": later }],
    ["data.bin", { range: "bytes=2000-", "if-range": "ETAG" }],
    ["data.bin", { range: "bytes=2000-", "if-range": '"x"' }],
    ["data.bin", { range: "bytes=0-1", "if-range": "ETAG", "if-none-match": "ETAG" }],
    ["data.bin", { range: "bytes=0-1", "if-match": '"x"' }],
    ["data.bin", { range: "bytes=0-1", "if-modified-since": same }],
    ["data.bin", { range: "bytes=2000-", "if-none-match": "ETAG" }],
    ["data.bin", { range: "bytes=2000-", "if-match": '"x"' }],
    ["data.bin", { "if-none-match": '"x",ETAG,"y"' }],
    ["data.bin", { "if-none-match": '"x" , W/ETAG' }],
    ["data.bin", { "if-none-match": "x" }],
    ["data.bin", { "if-none-match": "" }],
    ["data.bin", { "if-none-match": '"x"' }, "HEAD"],
    ["data.bin", { "if-none-match": "*" }, "HEAD"],
    ["data.bin", { "if-modified-since": "" }],
    ["data.bin", { "if-modified-since": rfc850 }],
    ["data.bin", { "if-modified-since": asctime }],
    ["data.bin", { "if-modified-since": same.toLowerCase() }],
    ["data.bin", { "if-modified-since": same }, "HEAD"],
    ["data.bin", { "if-match": "W/ETAG" }],
    ["data.bin", { "if-match": '"x", ETAG' }],
    ["data.bin", { "if-match": "ETAG", "if-none-match": "ETAG" }],
    ["data.bin", { "if-match": '"x"', "if-none-match": "ETAG" }],
    ["data.bin", { "if-match": '"x"' }, "HEAD"],
    ["data.bin", { "if-unmodified-since": later }],
    ["data.bin", { "if-unmodified-since": same, "if-modified-since": same }],
    ["empty.txt", {}, "HEAD"],
    ["empty.txt", { "if-modified-since": same }],
    ["page/", {}, "HEAD"],
    ["page/", { "if-modified-since": same }],
    ["none.txt", {}, "HEAD"],
    ["none.txt", { "if-none-match": "*" }],
    ["none.txt", { "if-match": "*" }],
    ["app.js", { "accept-encoding": "gzip" }, "HEAD"],
    ["app.js", { "accept-encoding": "gzip", "if-none-match": "ETAG" }],
    ["app.js", { "accept-encoding": "gzip", "if-modified-since": same }],
    ["app.js", { "accept-encoding": "GZIP" }],
    ["app.js", { "accept-encoding": "deflate, gzip;q=0.5" }],
    ["app.js", { "accept-encoding": "identity" }],
    ["app.js", { "accept-encoding": "x" }],
    ["a.txt", {}, "DELETE"],
    ["data.bin", { range: "bytes=0-1", "if-range": "ETAG" }],
    ["data.bin", { range: "bytes=0-1", "if-range": '"x"' }],
    ["data.bin", { range: "bytes=0-1", "if-range": same }],
    ["data.bin", { range: "bytes=0-1", "if-range": earlier }],
    ["data.bin", { range: "bytes=0-1", "if-none-match": "ETAG" }],
    ["data.bin", { range: "bytes=0-1", "if-none-match": '"x"' }],
    ["data.bin", { "if-none-match": "ETAG" }],
    ["data.bin", { "if-none-match": "W/ETAG" }],
    ["data.bin", { "if-none-match": '"x", ETAG' }],
    ["data.bin", { "if-none-match": '"x"' }],
    ["data.bin", { "if-none-match": "*" }],
    ["data.bin", { "if-none-match": "ETAG" }, "HEAD"],
    ["data.bin", { "if-modified-since": same }],
    ["data.bin", { "if-modified-since": earlier }],
    ["data.bin", { "if-modified-since": "yesterday" }],
    ["data.bin", { "if-none-match": '"x"', "if-modified-since": same }],
    ["data.bin", { "if-match": "ETAG" }],
    ["data.bin", { "if-match": "*" }],
    ["data.bin", { "if-match": '"x"' }],
    ["data.bin", { "if-unmodified-since": same }],
    ["data.bin", { "if-unmodified-since": earlier }],
    ["app.js", { "accept-encoding": "gzip" }],
    ["app.js", { "accept-encoding": "gzip;q=0" }],
    ["app.js"],
    ["app.js.gz", { "accept-encoding": "gzip" }],
  ];
  const shownAs = ([path, headers = {}, method = "GET"]: Question) =>
    `${method} ${path}${Object.entries(headers).map(([name, value]) => `, ${name}: ${value}`).join("")}`;
  /** What nginx and the program answer. */
  const answers = ([path, headers = {}, method]: Question) =>
    Promise.all(["/own/", "/media/"].map(async (prefix) => {
      const { etag = "" } = Object.values(headers).join().includes("ETAG") ? (await site.ask(prefix + path)).headers : {};
      const given = Object.entries(headers).map(([name, value]) => [name, value.replace("ETAG", etag)]);
      return await site.ask(prefix + path, Object.fromEntries(given), method);
    }));

  for (const question of questions) {
    test(`nginx and the program agree on ${shownAs(question)}`, { timeout }, async () => {
      const [own, ours] = (await answers(question)).map(({ status, headers: got, body }) => {
        // Pages of errors are each one's own.
        if (status >= 400) return { status, range: got["content-range"] };
        return {
          status,
          range: got["content-range"],
          coding: got["content-encoding"],
          modified: got["last-modified"],
          // nginx says it of whole files that are not compressed.
          ranges: status === 200 && !got["content-encoding"] ? got["accept-ranges"] : undefined,
          length: got["content-length"],
          // nginx 1.22 has the name that RFC 9239 calls obsolete.
          type: got["content-type"]?.replace("application/javascript", "text/javascript").toLowerCase(),
          hasTag: /^"[^"]+"$/.test(got.etag ?? ""),
          body: body.toString("latin1"),
        };
      });
      if (own.type === "application/octet-stream" && question[0].endsWith(".gz")) own.type = "application/gzip";
      assert.deepEqual(ours, own);
    });
  }

  /** Where they do not, and what RFC 9110 says. */
  const differences: Record<string, [own: number, ours: number, ...Question[]]> = {
    "what is no range may be ignored (14.2)": [
      416,
      200,
      ...["5-2", "2000-1999", "-", "a-b", "1-b", "1--2", "+1-2", "0x1-2", "1-2,"]
        .map((range): Question => ["data.bin", { range: `bytes=${range}` }]),
    ],
    "there are no spaces in a range (14.1.1)": [206, 200, ["data.bin", { range: "bytes=1 -2" }]],
    "a range ends at the end of the file, if it says a later one (14.1.2)": [
      416,
      206,
      ["data.bin", { range: "bytes=1-99999999999999999999" }],
      ["data.bin", { range: "bytes=-99999999999999999999" }],
    ],
    "several ranges may be answered with the whole (14.2)": [
      206,
      200,
      ["data.bin", { range: "bytes=0-1,4-5" }],
      ["data.bin", { range: "bytes=0-0,2000-" }],
    ],
    "a range means nothing to HEAD (14.2)": [206, 200, ["data.bin", { range: "bytes=0-9" }, "HEAD"]],
    "nor does one behind the end": [416, 200, ["data.bin", { range: "bytes=2000-" }, "HEAD"]],
    "a range is one of what is sent, compressed or not (14.2)": [
      200,
      206,
      ["app.js", { range: "bytes=0-9", "accept-encoding": "gzip" }],
    ],
    "If-None-Match counts alone (13.1.3)": [
      200,
      304,
      ["data.bin", { "if-none-match": "ETAG", "if-modified-since": earlier }],
    ],
    "what was not modified before a date was not modified after it (13.1.3)": [
      200,
      304,
      ["data.bin", { "if-modified-since": later }],
    ],
    "If-Match counts alone (13.1.4)": [412, 200, ["data.bin", { "if-match": "ETAG", "if-unmodified-since": earlier }]],
    "what is no date is ignored (13.1.4)": [412, 200, ["data.bin", { "if-unmodified-since": "yesterday" }]],
  };
  for (const [reason, [own, ours, ...asked]] of Object.entries(differences)) {
    for (const question of asked) {
      test(`nginx answers ${own}, the program ${ours} to ${shownAs(question)}: ${reason}`, { timeout }, async () => {
        assert.deepEqual((await answers(question)).map(({ status }) => status), [own, ours]);
      });
    }
  }

  test("a folder has its slash behind nginx, too", { timeout }, async () => {
    const { status, headers } = await site.ask("/media/page?x");
    assert.equal(status, 301);
    const url = new URL(headers.location, `http://127.0.0.1:${site.port}/media/page?x`);
    assert.equal(url.href, `http://127.0.0.1:${site.port}/media/page/?x`);
  });

  test("100 MiB arrive", { timeout }, async () => {
    const large = join(site.media, "large.bin");
    writeFileSync(large, "");
    truncateSync(large, 100 * 1024 * 1024);
    const { status, headers, body } = await site.ask("/media/large.bin");
    assert.equal(status, 200);
    assert.equal(headers["content-length"], String(body.length));
    assert.ok(body.every((byte) => byte === 0));
  });

  test("what is elsewhere is the application's", { timeout }, async () => {
    const { status, body } = await site.ask("/elsewhere");
    assert.deepEqual({ status, body: body.toString() }, { status: 299, body: "app /elsewhere" });
  });
});

/** What arrives where the web server is told to send the file. */
function checkHandOver(site: Site, header: string): void {
  test("the file arrives with our type and without the header", { timeout }, async () => {
    const texts = { "sub/b.txt": "the file b\n", "a%20b+c&%C3%BC.txt": "an odd name\n", "50%252F.txt": "an odder name\n" };
    for (const [path, text] of Object.entries(texts)) {
      const { status, headers, body } = await site.ask(`/media/${path}`);
      assert.deepEqual({ status, body: body.toString() }, { status: 200, body: text });
      assert.equal(headers["content-type"], "text/plain; charset=utf-8");
      assert.equal(headers[header], undefined);
    }
  });

  test("the web server answers ranges and conditions", { timeout }, async () => {
    const part = await site.ask("/media/data.bin", { range: "bytes=10-19" });
    assert.equal(part.status, 206);
    assert.deepEqual([...part.body], [...data.subarray(10, 20)]);
    const { etag } = (await site.ask("/media/data.bin")).headers;
    assert.equal((await site.ask("/media/data.bin", { "if-none-match": etag })).status, 304);
  });

  test("HEAD has the length of the file", { timeout }, async () => {
    const { status, headers, body } = await site.ask("/media/data.bin", {}, "HEAD");
    assert.deepEqual([status, headers["content-length"], body.length], [200, "1000", 0]);
  });

  test("every attack fails", { timeout }, async () => {
    for (const [target] of attacks) {
      const { body, headers } = await site.ask(target);
      assert.ok(!body.includes(SECRET), target);
      assert.equal(headers[header], undefined);
    }
  });
}

describe("static files that nginx sends", { skip: needs("nginx") }, () => {
  const site = startAround("nginx", (site) => `
    server {
      listen 127.0.0.1:${site.port};
      location / { ${toProgram(site)} }
      location /internal/media/ { internal; alias ${site.media}/; }
    }`, ["sendfile=x-accel-redirect=/internal/"]);
  checkHandOver(site, "x-accel-redirect");

  test("are not served at the internal path", { timeout }, async () => {
    assert.equal((await site.ask("/internal/media/a.txt")).status, 404);
  });
});

describe("static files that lighttpd sends", { skip: needs("lighttpd") }, () => {
  const site = startAround("lighttpd", (site) => `
    fastcgi.server = ( "/" => ((
      "socket" => "${site.socket}",
      "check-local" => "disable",
      "fix-root-scriptname" => "enable",
      "x-sendfile" => "enable",
      "x-sendfile-docroot" => ( "${site.media}/" ),
    )) )`, ["sendfile=x-sendfile"]);
  checkHandOver(site, "x-sendfile");
});

const xsendfile = `${apacheModules}/mod_xsendfile.so`;
describe("static files that Apache sends", { skip: needs("apache", [xsendfile]) }, () => {
  const site = startAround("apache", (site) => `
    LoadModule xsendfile_module ${xsendfile}
    ProxyPass "/" "unix:${site.socket}|fcgi://localhost/"
    XSendFile On
    XSendFilePath "${site.media}"`, ["sendfile=x-sendfile"]);
  checkHandOver(site, "x-sendfile");
});
