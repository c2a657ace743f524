import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { Handler, ServeInfo } from "../../src/server/handler.ts";
import { staticFiles, type StaticOptions } from "../../src/handlers/static/handler.ts";
import { type Answer, folder, type Site, soon, startSite, turns } from "../support/peer.ts";
import { program, start } from "../support/program.ts";
import { attacks, data, makeFiles, modified, script, SECRET } from "../support/static.ts";

const app: Handler = (request, info) => {
  return new Response(`app ${request.method} ${info.scriptName} ${info.pathInfo}`, { status: 299 });
};
const isRoot = process.getuid?.() === 0;
const place = folder();
const media = place.join("media");
let close: () => void;
before(async () => void (close = await makeFiles(place.path)));
after(() => {
  close();
  place[Symbol.dispose]();
});

/** Serves the files until the end of the block. */
function startFiles(options: Partial<StaticOptions> = {}): Promise<Site> {
  return startSite(staticFiles({ prefix: "/media/", folder: media, ...options })(app));
}

function headersOf({ head }: Answer): Record<string, string> {
  const pairs = head.headers.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), head.headers[i + 1]]] : []));
  return Object.fromEntries(pairs);
}

/** Asks with headers as a visitor sends them. */
function ask(site: Site, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  const params = Object.entries(headers).map(([name, value]) => [`HTTP_${name.toUpperCase().replaceAll("-", "_")}`, value]);
  return site.ask(path, { REQUEST_METHOD: method, ...Object.fromEntries(params) });
}

/** A program that drops responses. */
const forgetful = `
import { readdirSync, readlinkSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { staticFiles } from "MODULE";

const handler = staticFiles({ prefix: "/", folder: "FOLDER" })(() => new Response());
function ask() {
  return handler(new Request("http://localhost/large.bin"), { role: "responder", pathInfo: "/large.bin" } as never);
}
function open() {
  return readdirSync("/proc/self/fd").filter((name) => {
    try {
      return readlinkSync("/proc/self/fd/" + name) === "FOLDER/large.bin";
    } catch {
      return false;
    }
  }).length;
}

const responses = [];
for (let i = 0; i < 20; i++) responses.push(await ask());
const first = open();
responses.length = 0;
setFlagsFromString("--expose-gc");
const collect = globalThis.Bun ? () => Bun.gc(true) : runInNewContext("gc");
for (const deadline = Date.now() + 30_000; open() > 0 && Date.now() < deadline;) {
  collect();
  await new Promise((resolve) => setTimeout(resolve, 10));
}
console.log(first + " open, " + open() + " open");
`;

/** Descriptors of this process that are open on a file. Deno has a second one while it reads. */
function descriptors(file: string): number {
  return readdirSync("/proc/self/fd").filter((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === file;
    } catch {
      return false;
    }
  }).length;
}

describe("what no visitor may have", () => {
  let site: Site;
  before(async () => void (site = await startFiles()));
  after(() => site[Symbol.asyncDispose]());

  for (const [target, answer] of attacks) {
    // Nothing tells what the web server has made of it.
    const expected = /\/(?:\.|%2e)+%2f|%2f\.\./i.test(target) ? 400 : answer;
    test(`GET ${target.length > 80 ? `${target.slice(0, 80)}…` : target} is ${expected}`, async () => {
      const { head, text } = await site.ask(target);
      assert.equal(head.status === 299 ? "app" : head.status, expected);
      assert.ok(!text.includes(SECRET));
      assert.ok(!head.headers.includes("x-injected"));
    });
  }

  test("a compressed file that is a link to the outside is passed over", async () => {
    const answer = await ask(site, "/media/outside.js", { "accept-encoding": "gzip" });
    assert.equal(answer.head.status, 200);
    assert.equal(headersOf(answer)["content-encoding"], undefined);
    assert.equal(answer.text, "");
  });

  test("a file that this process may not read is 403", { skip: isRoot && "root may read everything" }, async () => {
    assert.equal((await site.ask("/media/private.txt")).head.status, 403);
  });

  test("a link that changes all the time never leads outside", async () => {
    const flip = place.join("media/flip");
    const handler = staticFiles({ prefix: "/media/", folder: media })(app);
    const info = { role: "responder", pathInfo: "/media/flip/b.txt" } as ServeInfo;
    const found = new Set<string>();
    const visit = async () => {
      for (let i = 0; i < 150; i++) {
        const response = await handler(new Request("http://localhost/media/flip/b.txt"), info);
        found.add(response.status === 200 ? await response.text() : String(response.status));
      }
    };
    let over = false;
    const visits = Promise.all(Array.from({ length: 8 }, visit)).finally(() => over = true);
    while (!over) {
      for (const target of ["sub", "../outside"]) {
        symlinkSync(target, `${flip}.new`);
        renameSync(`${flip}.new`, flip);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await visits;
    assert.deepEqual([...found].filter((text) => text.includes(SECRET)), []);
    assert.ok(found.has("the file b\n") && found.has("404"), [...found].join());
  });
});

describe("static files", () => {
  let site: Site;
  before(async () => void (site = await startFiles()));
  after(() => site[Symbol.asyncDispose]());

  test("are sent with their type, length, time and tag", async () => {
    const answer = await site.ask("/media/a.txt?x=1");
    assert.equal(answer.head.status, 200);
    assert.equal(answer.text, "the file a\n");
    const { etag, ...headers } = headersOf(answer);
    assert.match(etag, /^"\w+-\w+"$/);
    assert.deepEqual(headers, {
      "accept-ranges": "bytes",
      "content-length": "11",
      "content-type": "text/plain; charset=utf-8",
      "last-modified": "Mon, 06 May 2024 07:08:09 GMT",
      "vary": "accept-encoding",
      "x-content-type-options": "nosniff",
    });
  });

  const sent: [path: string, type: string, text: string][] = [
    ["/media/sub/b.txt", "text/plain; charset=utf-8", "the file b\n"],
    ["/media/inside.txt", "text/plain; charset=utf-8", "the file b\n"],
    ["/media/insidedir/b.txt", "text/plain; charset=utf-8", "the file b\n"],
    ["/media/%61.txt", "text/plain; charset=utf-8", "the file a\n"],
    ["/media/a%20b+c&%C3%BC.txt", "text/plain; charset=utf-8", "an odd name\n"],
    ["/media/50%252F.txt", "text/plain; charset=utf-8", "an odder name\n"],
    ["/media/page/", "text/html; charset=utf-8", "<p>the page\n"],
    ["/media/page/index.html", "text/html; charset=utf-8", "<p>the page\n"],
    ["/media/html", "application/octet-stream", "no ending\n"],
    ["/media/LOUD.TXT", "text/plain; charset=utf-8", "loud\n"],
    ["/media/.well-known/security.txt", "text/plain; charset=utf-8", "Contact: mailto:a@example.org\n"],
    ["/media/empty.txt", "text/plain; charset=utf-8", ""],
    ["/media/app.js", "text/javascript; charset=utf-8", script],
  ];
  for (const [path, type, text] of sent) {
    test(`${path} is ${type}`, async () => {
      const answer = await site.ask(path);
      assert.equal(answer.head.status, 200);
      assert.equal(headersOf(answer)["content-type"], type);
      assert.equal(headersOf(answer)["content-length"], String(answer.bytes.length));
      assert.equal(answer.text, text);
    });
  }

  test("HEAD has the head of GET and no body", async () => {
    for (const path of ["/media/a.txt", "/media/data.bin", "/media/page/", "/media/page"]) {
      const get = await ask(site, path);
      const head = await ask(site, path, {}, "HEAD");
      assert.equal(head.bytes.length, 0);
      const { "content-length": length, ...rest } = headersOf(head);
      const { "content-length": expected, ...restOfGet } = headersOf(get);
      assert.deepEqual(rest, restOfGet);
      if (get.head.status === 200) assert.equal(length, expected);
    }
    const ranged = await ask(site, "/media/a.txt", { range: "bytes=0-1" }, "HEAD");
    assert.equal(ranged.head.status, 200);
  });

  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"]) {
    test(`${method} is a 405 that says what would do`, async () => {
      const answer = await ask(site, "/media/a.txt", {}, method);
      assert.equal(answer.head.status, 405);
      assert.equal(headersOf(answer).allow, "GET, HEAD");
    });
  }

  test("a folder with a page is that page below its slash", async () => {
    for (const [path, location] of [["/media/page", "./page/"], ["/media/p%61ge?x=/y", "./p%61ge/?x=/y"]]) {
      const answer = await site.ask(path);
      assert.equal(answer.head.status, 301);
      assert.equal(headersOf(answer).location, location);
    }
  });

  test("the path counts from the application's mount", async () => {
    const params = { SCRIPT_NAME: "/mount", PATH_INFO: "/media/a.txt", REQUEST_URI: "/mount/media/a.txt" };
    assert.equal((await site.ask("/", params)).text, "the file a\n");
    const outside = { SCRIPT_NAME: "/media", PATH_INFO: "/a.txt", REQUEST_URI: "/media/a.txt" };
    assert.equal((await site.ask("/", outside)).text, "app GET /media /a.txt");
  });

  test("roles that ask for something else get to the application", async () => {
    const handler = staticFiles({ prefix: "/media/", folder: media })(() => new Response("asked"));
    const info = { role: "authorizer", pathInfo: "/media/a.txt" } as ServeInfo;
    assert.equal(await (await handler(new Request("http://localhost/media/a.txt"), info)).text(), "asked");
  });
});

describe("static files below /", () => {
  test("come first, and what is not there is the application's", async () => {
    await using site = await startFiles({ prefix: "/" });
    const answers: Record<string, string> = {
      "/a.txt": "the file a\n",
      "/page/": "<p>the page\n",
      "/": "app GET  /",
      "/none": "app GET  /none",
      "/noindex": "app GET  /noindex",
      "/noindex/": "app GET  /noindex/",
      "/.env": "app GET  /.env",
      "/a%2Fb": "app GET  /a%2Fb",
      "/out.txt": "app GET  /out.txt",
    };
    for (const [path, text] of Object.entries(answers)) assert.equal((await site.ask(path)).text, text);
    assert.equal((await ask(site, "/a.txt", {}, "POST")).text, "app POST  /a.txt");
  });

  test("have a page at the mount, with its slash", async () => {
    await using site = await startFiles({ prefix: "/", folder: join(media, "page") });
    assert.equal((await site.ask("/")).text, "<p>the page\n");
    const answer = await site.ask("/", { SCRIPT_NAME: "/mount", PATH_INFO: "", REQUEST_URI: "/mount" });
    assert.equal(headersOf(answer).location, "./mount/");
  });

  test("the prefix without its slash is the folder, or else the application's", async () => {
    await using page = await startFiles({ prefix: "/x/", folder: join(media, "page") });
    assert.equal(headersOf(await page.ask("/x")).location, "./x/");
    await using none = await startFiles({ prefix: "/x/", folder: join(media, "noindex") });
    assert.equal((await none.ask("/x")).text, "app GET  /x");
  });
});

describe("conditions and ranges of static files", () => {
  let site: Site;
  let etag: string;
  before(async () => {
    site = await startFiles();
    etag = headersOf(await site.ask("/media/data.bin")).etag;
  });
  after(() => site[Symbol.asyncDispose]());

  const same = modified.toUTCString();
  const before_ = new Date(modified.getTime() - 1000).toUTCString();
  const later = new Date(modified.getTime() + 1000).toUTCString();

  const table: [headers: Record<string, string>, status: number, part?: [start: number, end: number]][] = [
    [{ "if-none-match": "ETAG" }, 304],
    [{ "if-none-match": "W/ETAG" }, 304],
    [{ "if-none-match": '"x", ETAG' }, 304],
    [{ "if-none-match": "*" }, 304],
    [{ "if-none-match": '"x"' }, 200],
    [{ "if-none-match": "x" }, 200],
    [{ "if-none-match": '"x"', "if-modified-since": same }, 200],
    [{ "if-none-match": "ETAG", range: "bytes=0-1" }, 304],
    [{ "if-modified-since": same }, 304],
    [{ "if-modified-since": later }, 304],
    [{ "if-modified-since": before_ }, 200],
    [{ "if-modified-since": "yesterday" }, 200],
    [{ "if-modified-since": "Monday, 06-May-24 07:08:09 GMT" }, 304],
    [{ "if-modified-since": "Monday, 06-May-24 07:08:08 GMT" }, 200],
    [{ "if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT" }, 200],
    [{ "if-modified-since": "Mon May  6 07:08:09 2024" }, 304],
    [{ "if-modified-since": "Mon May  6 07:08:08 2024" }, 200],
    [{ "if-modified-since": "Mon May 13 07:08:08 2024" }, 304],
    [{ "if-match": "ETAG" }, 200],
    [{ "if-match": "*" }, 200],
    [{ "if-match": '"x"' }, 412],
    [{ "if-match": "W/ETAG" }, 412],
    [{ "if-unmodified-since": same }, 200],
    [{ "if-unmodified-since": before_ }, 412],
    [{ "if-unmodified-since": "yesterday" }, 200],
    [{ range: "bytes=0-0" }, 206, [0, 1]],
    [{ range: "bytes=10-19" }, 206, [10, 20]],
    [{ range: "Bytes=990-" }, 206, [990, 1000]],
    [{ range: "bytes=990-5000" }, 206, [990, 1000]],
    [{ range: "bytes=0-99999999999999999999999" }, 206, [0, 1000]],
    [{ range: "bytes=-5" }, 206, [995, 1000]],
    [{ range: "bytes=-5000" }, 206, [0, 1000]],
    [{ range: "bytes=1000-" }, 416],
    [{ range: "bytes=-0" }, 416],
    [{ range: "bytes=99999999999999999999999-" }, 416],
    [{ range: "bytes=0-1,5-6" }, 200],
    [{ range: "bytes=5-2" }, 200],
    [{ range: "bytes=-" }, 200],
    [{ range: "bytes=a-b" }, 200],
    [{ range: "lines=0-1" }, 200],
    [{ range: "bytes=0-1", "if-range": "ETAG" }, 206, [0, 2]],
    [{ range: "bytes=0-1", "if-range": same }, 206, [0, 2]],
    [{ range: "bytes=0-1", "if-range": "W/ETAG" }, 200],
    [{ range: "bytes=0-1", "if-range": '"x"' }, 200],
    [{ range: "bytes=0-1", "if-range": later }, 200],
  ];
  for (const [given, status, part] of table) {
    const name = Object.entries(given).map(([header, value]) => `${header}: ${value}`).join(", ");
    test(`${name} is ${status}`, async () => {
      const headers = Object.entries(given).map(([header, value]) => [header, value.replace("ETAG", etag)]);
      const answer = await ask(site, "/media/data.bin", Object.fromEntries(headers));
      assert.equal(answer.head.status, status);
      const got = headersOf(answer);
      const range = part ? `bytes ${part[0]}-${part[1] - 1}/1000` : status === 416 ? "bytes */1000" : undefined;
      assert.equal(got["content-range"], range);
      if (status === 200 || status === 206) {
        assert.deepEqual([...answer.bytes], [...data.subarray(...part ?? [0])]);
        assert.equal(got["content-length"], String(answer.bytes.length));
      }
      if (status < 400) assert.equal(got.etag, etag);
      if (status === 304) assert.equal(answer.bytes.length, 0);
      if (status === 412) assert.match(answer.text, /This file has changed\./);
      if (status === 416) assert.match(answer.text, /The requested range is beyond the end of the file\./);
    });
  }

  test("a range of an empty file is all of it", async () => {
    for (const range of ["bytes=0-", "bytes=5-", "bytes=-1"]) {
      assert.equal((await ask(site, "/media/empty.txt", { range })).head.status, 200);
    }
  });

  test("the tag changes with the time within a second and with the size, and is weak for a second", async () => {
    const file = join(media, "changing.txt");
    const tags = new Set<string>();
    for (const [text, time] of [["one", 1000], ["two", 1000.25], ["three", 1000]] as const) {
      writeFileSync(file, text);
      utimesSync(file, time, time);
      tags.add(headersOf(await site.ask("/media/changing.txt")).etag);
    }
    assert.equal(tags.size, 3);
    utimesSync(file, new Date(Date.now() + 60_000), new Date(Date.now() + 60_000));
    const { etag } = headersOf(await site.ask("/media/changing.txt"));
    assert.match(etag, /^W\/"/);
    assert.equal((await ask(site, "/media/changing.txt", { "if-none-match": etag })).head.status, 304);
    assert.equal((await ask(site, "/media/changing.txt", { range: "bytes=0-1", "if-range": etag })).head.status, 200);
  });
});

describe("compressed static files", () => {
  let site: Site;
  before(async () => void (site = await startFiles()));
  after(() => site[Symbol.asyncDispose]());

  const table: [accepted: string, coding: string | undefined][] = [
    ["gzip, deflate, br", "br"],
    ["gzip", "gzip"],
    ["GZIP;q=0.5", "gzip"],
    ["br;q=0.2, gzip;q=0.8", "gzip"],
    ["br;q=0, gzip", "gzip"],
    ["*", "br"],
    ["br;q=0, *;q=0.5", "gzip"],
    ["gzip;q=0", undefined],
    ["identity", undefined],
    ["gzip;q=0.5, identity", undefined],
    ["deflate, zstd", undefined],
    ["gzip;level=9", undefined],
    ["", undefined],
  ];
  for (const [accepted, coding] of table) {
    test(`to who takes "${accepted}" goes ${coding ?? "the plain one"}`, async () => {
      const answer = await ask(site, "/media/app.js", { "accept-encoding": accepted });
      const { "content-encoding": given, "content-type": type, vary } = headersOf(answer);
      assert.deepEqual({ given, type, vary }, { given: coding, type: "text/javascript; charset=utf-8", vary: "accept-encoding" });
      const decode = { br: brotliDecompressSync, gzip: gunzipSync }[coding ?? ""] ?? ((bytes: Uint8Array) => bytes);
      assert.equal(new TextDecoder().decode(decode(answer.bytes)), script);
    });
  }

  test("each have a tag of their own", async () => {
    const tags = new Set<string>();
    for (const accepted of ["br", "gzip", ""]) {
      const { etag } = headersOf(await ask(site, "/media/app.js", { "accept-encoding": accepted }));
      tags.add(etag);
      const again = await ask(site, "/media/app.js", { "accept-encoding": accepted, "if-none-match": etag });
      assert.equal(again.head.status, 304);
      assert.equal(headersOf(again).vary, "accept-encoding");
      const other = await ask(site, "/media/app.js", {
        "accept-encoding": accepted === "br" ? "gzip" : "br",
        "if-none-match": etag,
      });
      assert.equal(other.head.status, 200);
    }
    assert.equal(tags.size, 3);
  });

  test("an older one is passed over", async () => {
    const answer = await ask(site, "/media/old.css", { "accept-encoding": "gzip" });
    assert.equal(answer.text, "p {}\n");
  });

  test("have ranges of their own", async () => {
    const whole = await ask(site, "/media/app.js", { "accept-encoding": "gzip" });
    const part = await ask(site, "/media/app.js", { "accept-encoding": "gzip", range: "bytes=2-9" });
    assert.equal(part.head.status, 206);
    assert.equal(headersOf(part)["content-encoding"], "gzip");
    assert.deepEqual([...part.bytes], [...whole.bytes.subarray(2, 10)]);
  });

  test("are files of their own when asked for", async () => {
    const answer = await ask(site, "/media/app.js.gz", { "accept-encoding": "gzip" });
    const { "content-encoding": coding, "content-type": type } = headersOf(answer);
    assert.deepEqual({ coding, type }, { coding: undefined, type: "application/gzip" });
    assert.equal(gunzipSync(answer.bytes).toString(), script);
  });
});

describe("static files that the web server sends", () => {
  test("by X-Sendfile are named with their path", async () => {
    await using site = await startFiles({ sendFile: { header: "x-sendfile" } });
    const answer = await ask(site, "/media/a%20b+c&%C3%BC.txt", {
      "range": "bytes=0-1",
      "if-modified-since": modified.toUTCString(),
    });
    assert.equal(answer.head.status, 200);
    assert.deepEqual(headersOf(answer), {
      "content-length": "0",
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
      "x-sendfile": `${media}/a b+c&\xc3\xbc.txt`,
    });
    assert.equal(headersOf(await site.ask("/media/insidedir/b.txt"))["x-sendfile"], `${media}/sub/b.txt`);
    for (const path of ["/media/out.txt", "/media/.env", "/media/none", "/media/fifo"]) {
      const answer = await site.ask(path);
      assert.equal(answer.head.status, 404);
      assert.equal(headersOf(answer)["x-sendfile"], undefined);
    }
    assert.equal((await site.ask("/media/50%252F.txt")).text, "an odder name\n");
    assert.equal((await ask(site, "/media/a.txt", {}, "POST")).head.status, 405);
    assert.equal((await site.ask("/media/page")).head.status, 301);
  });

  test("by X-Accel-Redirect are named below its prefix and theirs", async () => {
    await using site = await startFiles({ sendFile: { header: "x-accel-redirect", prefix: "/internal/" } });
    assert.equal(headersOf(await site.ask("/media/sub/b.txt"))["x-accel-redirect"], "/internal/media/sub/b.txt");
    const odd = await site.ask("/media/50%252F.txt");
    assert.equal(headersOf(odd)["x-accel-redirect"], "/internal/media/50%252F.txt");
    await using root = await startFiles({ prefix: "/", sendFile: { header: "x-accel-redirect", prefix: "/internal/" } });
    assert.equal(headersOf(await root.ask("/page/"))["x-accel-redirect"], "/internal/page/index.html");
  });
});

describe("the folder of static files", () => {
  test("has to be there, below a prefix that is one", () => {
    assert.throws(
      () => staticFiles({ prefix: "/media/", folder: place.join("none") }),
      /^TypeError: There is no folder ".*none"$/,
    );
    assert.throws(() => staticFiles({ prefix: "/media/", folder: join(media, "a.txt") }), TypeError);
    for (const prefix of ["", "media/", "/media", "//", "/a//b/", "/a%20b/"]) {
      assert.throws(() => staticFiles({ prefix, folder: media }), /is not a prefix/);
    }
  });

  test("may be a link, which may come to lead elsewhere", async () => {
    const link = place.join("current");
    for (const release of ["one", "two"]) {
      mkdirSync(place.join(release));
      writeFileSync(place.join(`${release}/a.txt`), release);
    }
    symlinkSync("one", link);
    await using site = await startFiles({ folder: link });
    assert.equal((await site.ask("/media/a.txt")).text, "one");
    symlinkSync("two", `${link}.new`);
    renameSync(`${link}.new`, link);
    assert.equal((await site.ask("/media/a.txt")).text, "two");
  });
});

describe("a large static file", () => {
  const MIB = 1024 * 1024;
  const TOTAL = 100 * MIB;
  const file = join(media, "large.bin");
  const skip = !existsSync("/proc/self/fd") && "without /proc nobody says what is open";
  before(() => {
    writeFileSync(file, "");
    truncateSync(file, TOTAL);
    utimesSync(file, modified, modified);
  });

  test("waits for a visitor who does not read, arrives, and is closed", { skip }, async () => {
    await using site = await startFiles();
    const peer = await site.connect({ forget: true });
    peer.pause();
    const before = process.memoryUsage().rss;
    const response = peer.get("/media/large.bin");
    await peer.until("the file is open", () => {
      setTimeout(() => peer.changed(), 5);
      return descriptors(file) > 0;
    });
    await turns(50);
    assert.ok(descriptors(file) > 0);
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 48 * MIB, `${grown} bytes more while nobody reads`);
    peer.resume();
    await soon("all of it", peer.answer());
    assert.equal(response.length, TOTAL);
    await closed();
  });

  test("is closed when the visitor leaves", { skip }, async () => {
    await using site = await startSite(staticFiles({ prefix: "/media/", folder: media })(app), { transport: "tcp" });
    for (const leave of ["destroy", "reset", "abort"] as const) {
      const peer = await site.connect({ forget: true });
      const response = peer.get("/media/large.bin", { keep: true });
      await peer.until("some of it has arrived", () => response.length > 0);
      peer.pause();
      assert.ok(descriptors(file) > 0);
      peer[leave]();
      await closed();
    }
  });

  test("is closed when nothing of it is wanted", { skip }, async () => {
    await using site = await startFiles();
    const requests: [headers: Record<string, string>, method?: string][] = [
      [{}, "HEAD"],
      [{ "if-modified-since": modified.toUTCString() }],
      [{ range: `bytes=${TOTAL}-` }],
      [{ "if-match": '"x"' }],
      [{ range: "bytes=0-9" }],
      [{ range: "bytes=0-99999" }],
    ];
    for (const [headers, method] of requests) {
      await ask(site, "/media/large.bin", headers, method);
      await closed();
    }
    const response = await staticFiles({ prefix: "/", folder: media })(app)(
      new Request("http://localhost/large.bin"),
      { role: "responder", pathInfo: "/large.bin" } as ServeInfo,
    );
    assert.ok(descriptors(file) > 0);
    await response.body!.cancel();
    await closed();
  });

  // In a process of its own, because Deno's tests keep what they have seen.
  test("is closed when its response is forgotten", { skip }, async () => {
    const script = place.join("forget.ts");
    const module = new URL("../../mod.ts", import.meta.url).href;
    writeFileSync(script, forgetful.replace("MODULE", module).replaceAll("FOLDER", media));
    const running = start([...program().command.slice(0, -1), script]);
    const { code } = await running.exit;
    assert.deepEqual([code, running.stdout()], [0, "20 open, 0 open\n"], running.stderr());
  });

  test("that becomes shorter meanwhile breaks off", { skip }, async () => {
    const shrinking = join(media, "shrinking.bin");
    writeFileSync(shrinking, "");
    truncateSync(shrinking, TOTAL);
    await using site = await startFiles();
    const peer = await site.connect({ forget: true });
    const response = peer.get("/media/shrinking.bin");
    await peer.until("some of it has arrived", () => response.length > 0);
    peer.pause();
    truncateSync(shrinking, MIB);
    peer.resume();
    await peer.gone();
    assert.ok(response.length < TOTAL);
    assert.match(site.errors.join(), /shrinking\.bin became shorter while it was read/);
    await closed(shrinking);
  });

  test("is closed when a compressed one takes its place", { skip }, async () => {
    const compressed = join(media, "large.bin.gz");
    writeFileSync(compressed, "not read here");
    await using site = await startFiles();
    const answer = await ask(site, "/media/large.bin", { "accept-encoding": "gzip" });
    assert.equal(answer.text, "not read here");
    for (const path of [file, compressed]) await closed(path);
    utimesSync(compressed, 0, 0);
    await ask(site, "/media/large.bin", { "accept-encoding": "gzip", range: "bytes=0-1" });
    for (const path of [file, compressed]) await closed(path);
  });

  async function closed(path = file): Promise<void> {
    for (let i = 0; i < 500 && descriptors(path) > 0; i++) await turns(1);
    assert.equal(descriptors(path), 0);
  }
});
