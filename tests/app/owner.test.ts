/** The owner's page: what strangers, other sites and the owner get. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, beforeEach, describe, test } from "node:test";
import { Log } from "../../src/app/log.ts";
import { keyText, makeKey, plainKey, Visits } from "../../src/app/owner_key.ts";
import { withOwner } from "../../src/app/owner.ts";
import { makeSite } from "../../src/app/site.ts";
import type { ServeInfo } from "../../src/server/handler.ts";
import { until } from "../support/program.ts";
import { makeFolder } from "../support/servers.ts";

const folder = makeFolder();
after(() => folder.remove());

const [keyFile, app, logFile] = [".htmysite.key", "mysite.ts", ".htmysite.log"].map((name) => join(folder.path, name));
const key = makeKey();
const visits = new Visits(plainKey(key)!);
const { door } = visits;
const waits: number[] = [];

/** A fresh process of the site. */
function makePage(more: { captures?: { folder: string }; watched?: string } = {}) {
  const log = new Log(undefined, { stderr: false, file: false, unasked: logFile });
  const next = () => new Response("nothing is here", { status: 404 });
  return withOwner(next, {
    keyFile,
    log,
    pages: folder.path,
    watched: app,
    doctor: [],
    wait: (milliseconds) => Promise.resolve(waits.push(milliseconds)),
    ...more,
  });
}
let page = makePage();

interface Question {
  form?: Record<string, string>;
  cookie?: string;
  headers?: Record<string, string>;
  origin?: string;
  mount?: string;
  method?: string;
}

async function ask(path: string, { form, cookie, headers, origin = "https://example.org", mount = "", method }: Question = {}) {
  const request = new Request(`${origin}${mount}${path}`, {
    method: method ?? (form ? "POST" : "GET"),
    headers: { ...cookie && { cookie }, ...headers },
    body: form && new URLSearchParams(form),
  });
  const info = {
    pathInfo: path.replace(/\?.*/s, ""),
    scriptName: mount,
    params: { HTTP_HOST: "example.org", HTTP_COOKIE: cookie ?? "" },
    remoteAddr: { transport: "tcp", hostname: "192.0.2.1", port: 0 },
    protocol: "fcgi",
    role: "responder",
  } as unknown as ServeInfo;
  const response = await page(request, info);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Gives the key, and returns the cookie. */
async function enter(question: Question = {}): Promise<string> {
  const { status, headers } = await ask(`/.runfcgi/${door}`, { ...question, form: { key } });
  assert.equal(status, 303);
  return headers.get("set-cookie")!.split(";")[0];
}

function tokenIn(text: string): string {
  return /name="token" value="([^"]+)"/.exec(text)![1];
}

beforeEach(() => {
  page = makePage();
  waits.length = 0;
  for (const file of [logFile, `${logFile}.1`, keyFile]) rmSync(file, { force: true });
  writeFileSync(keyFile, keyText(key), { mode: 0o600 });
  writeFileSync(app, "export default { fetch: () => new Response() };\n");
});

describe("a stranger", () => {
  test("gets what the application answers, whatever is asked", async () => {
    const paths = ["", "/", "/aaaaaaaa", `/${door}x`, `/${door.toUpperCase()}`, `/${door}/`, `/${door}/more`, "x", "?key=1"];
    for (const path of paths) {
      const questions: Question[] = [{}, { form: { key } }, { form: { action: "down" } }, { method: "DELETE" }, {
        method: "HEAD",
      }];
      for (const question of questions) {
        const { status, text, headers } = await ask(`/.runfcgi${path}`, question);
        assert.equal(status, 404, path);
        assert.equal(headers.get("set-cookie"), null);
        assert.equal(headers.get("content-security-policy"), null);
        assert.equal(text, "nothing is here");
      }
    }
    assert.equal((await ask(`/below/.runfcgi/${door}`)).status, 404);
    assert.deepEqual(waits, []);
  });

  test("gets it without a key, too, with the owner's cookie", async () => {
    const cookie = await enter();
    rmSync(keyFile);
    for (const path of ["/.runfcgi", `/.runfcgi/${door}`]) assert.equal((await ask(path, { cookie })).status, 404);
  });

  test("who guesses the key waits longer each time, and the owner never", async () => {
    const guesses = ["", "a".repeat(32), key.slice(0, -1), `${key}a`, makeKey(), key.replaceAll("-", "0")];
    for (const guess of guesses) {
      const { status, text, headers } = await ask(`/.runfcgi/${door}`, { form: { key: guess } });
      assert.equal(status, 403);
      assert.match(text, /This is not the key/);
      assert.equal(headers.get("set-cookie"), null);
    }
    assert.deepEqual(waits, [250, 500, 1000, 1000, 1000, 1000]);
    await enter();
    assert.equal(waits.length, guesses.length);
  });

  test("does not keep a process from serving by waiting", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let waiting = 0;
    page = withOwner(() => new Response(), {
      ...{ keyFile, log: new Log(undefined, { stderr: false }), pages: folder.path, watched: undefined, doctor: [] },
      wait: () => (waiting++, promise),
    });
    const guess = () => ask(`/.runfcgi/${door}`, { form: { key: "wrong" } });
    const guesses = Array.from({ length: 8 }, guess);
    await until("eight wait", () => waiting === 8);
    assert.equal((await guess()).status, 403);
    await enter();
    resolve();
    await Promise.all(guesses);
    assert.equal(waiting, 8);
  });

  test("cannot make a visit of another one, or of a value of his own", async () => {
    const cookie = await enter();
    const [end, id, signature] = cookie.replace(/^[^=]*=/, "").split(".");
    const other = new Visits(plainKey(makeKey())!).begin(Date.now());
    const wrong = [
      `${Number(end) + 1}.${id}.${signature}`,
      `${end}.${"A".repeat(22)}.${signature}`,
      `${end}.${id}.${"A".repeat(43)}`,
      `${end}.${id}`,
      `${end}.${id}.`,
      `${end}.${id}.${signature}x`,
      `.${id}.${signature}`,
      other,
      "",
      "fixed",
    ];
    for (const value of wrong) assert.equal((await ask("/.runfcgi", { cookie: `runfcgi-owner=${value}` })).status, 404, value);
    assert.equal((await ask("/.runfcgi", { cookie: cookie.replace("runfcgi-owner", "runfcgi-owner2") })).status, 404);
    // What somebody else has set beside it does not shut the owner out, and is not taken over.
    const set = await ask(`/.runfcgi/${door}`, { form: { key }, cookie: "runfcgi-owner=fixed" });
    assert.doesNotMatch(set.headers.get("set-cookie")!, /fixed/);
    assert.equal((await ask("/.runfcgi", { cookie: `runfcgi-owner=fixed; ${cookie}` })).status, 200);
  });
});

describe("the owner", () => {
  test("gives the key once, and all processes know it", async () => {
    const form = await ask(`/.runfcgi/${door}`);
    assert.equal(form.status, 200);
    assert.match(form.text, /<form method="post" action="\/\.runfcgi\/\w{8}">/);
    const { headers } = await ask(`/.runfcgi/${door}`, { form: { key: key.toUpperCase().replaceAll("-", " ") } });
    assert.equal(headers.get("location"), "/.runfcgi");
    assert.match(
      headers.get("set-cookie")!,
      /^runfcgi-owner=[\w.-]{70,}; Path=\/\.runfcgi; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure$/,
    );
    const cookie = headers.get("set-cookie")!.split(";")[0];
    page = makePage();
    const { status, text } = await ask("/.runfcgi", { cookie });
    assert.equal(status, 200);
    assert.match(text, /<h1>example\.org<\/h1>/);
    assert.match(text, /The site is up\./);
    assert.ok(!text.includes(key) && !text.includes(plainKey(key)!));
    assert.equal((await ask(`/.runfcgi/${door}`, { cookie })).headers.get("location"), "/.runfcgi");
  });

  test("finds it below a mount", async () => {
    const { headers } = await ask(`/.runfcgi/${door}`, { mount: "/shop", form: { key } });
    assert.match(headers.get("set-cookie")!, /; Path=\/shop\/\.runfcgi;/);
    const cookie = await enter({ mount: "/shop" });
    assert.match((await ask("/.runfcgi", { mount: "/shop", cookie })).text, /action="\/shop\/\.runfcgi"/);
  });

  test("has a page that no other site and no script gets at", async () => {
    const cookie = await enter();
    for (const { headers } of [await ask("/.runfcgi", { cookie }), await ask(`/.runfcgi/${door}`)]) {
      const policy = headers.get("content-security-policy")!;
      for (const part of ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]) {
        assert.ok(policy.split("; ").includes(part), policy);
      }
      assert.doesNotMatch(policy, /unsafe|script|\*/);
      assert.equal(headers.get("x-frame-options"), "DENY");
      assert.equal(headers.get("cache-control"), "no-store");
      assert.equal(headers.get("x-robots-tag"), "noindex");
      assert.equal(headers.get("cross-origin-opener-policy"), "same-origin");
    }
    // A script of the application, or a frame.
    for (const destination of ["empty", "iframe", "script", "image"]) {
      const { status } = await ask("/.runfcgi", { cookie, headers: { "sec-fetch-dest": destination } });
      assert.equal(status, 404, destination);
    }
    assert.equal((await ask("/.runfcgi", { cookie, headers: { "sec-fetch-dest": "document" } })).status, 200);
  });

  test("is not used by a forged form", async () => {
    const cookie = await enter();
    const other = tokenIn((await ask("/.runfcgi", { cookie: await enter() })).text);
    for (const token of [undefined, "", "guess", other]) {
      const form = { action: "down", ...token !== undefined && { token } };
      const { status, text } = await ask("/.runfcgi", { cookie, form });
      assert.equal(status, 403);
      assert.match(text, /Nothing was done/);
    }
    const token = tokenIn((await ask("/.runfcgi", { cookie })).text);
    // Neither in a URL, nor as what a form of another type can be made to send.
    assert.equal((await ask(`/.runfcgi?token=${token}&action=down`, { cookie })).status, 200);
    const headers = { "content-type": "text/plain" };
    assert.equal((await ask("/.runfcgi", { cookie, headers, form: { token, action: "down" } })).status, 403);
    assert.equal((await ask("/.runfcgi", { cookie, form: { token, action: "down", more: "x".repeat(5000) } })).status, 403);
    assert.equal(existsSync(join(folder.path, ".htmaintenance")), false);
  });

  test("is asked again when the visit has ended, and nothing is done", async () => {
    const hours = (count: number) => visits.begin(Date.now() - count * 3600_000);
    const stale = `runfcgi-owner=${hours(2)}`;
    const token = visits.token(visits.find([stale.split("=")[1]], Date.now())!);
    for (const question of [{ cookie: stale }, { cookie: stale, form: { token, action: "down" } }]) {
      const { status, text } = await ask("/.runfcgi", question);
      assert.equal(status, 200);
      assert.match(text, /Your visit has ended/);
      assert.match(text, new RegExp(`action="/\\.runfcgi/${door}"`));
      assert.doesNotMatch(text, /name="token"/);
    }
    assert.equal(existsSync(join(folder.path, ".htmaintenance")), false);
    assert.equal((await ask("/.runfcgi", { cookie: `runfcgi-owner=${hours(24 * 31)}` })).status, 404);
  });

  test("takes the site down, brings it up, and leaves", async () => {
    const cookie = await enter();
    const token = tokenIn((await ask("/.runfcgi", { cookie })).text);
    const press = async (action: string) => {
      const { status, headers } = await ask("/.runfcgi", { cookie, form: { token, action } });
      assert.equal(status, 303);
      return headers;
    };
    const down = (await press("down")).get("location")!;
    assert.ok(existsSync(join(folder.path, ".htmaintenance")));
    assert.match((await ask(down, { cookie })).text, /role="status">The site is down[^]*value="up"/);
    await press("up");
    assert.equal(existsSync(join(folder.path, ".htmaintenance")), false);
    const left = await press("leave");
    assert.equal(left.get("location"), "/");
    assert.match(left.get("set-cookie")!, /^runfcgi-owner=; Path=\/\.runfcgi; Max-Age=0;/);
    assert.equal((await ask("/.runfcgi?done=<b>", { cookie })).text.includes("<b>"), false);
  });

  test("has the code loaded again by changing the time of its file", async () => {
    utimesSync(app, 1, 1);
    const cookie = await enter();
    const token = tokenIn((await ask("/.runfcgi", { cookie })).text);
    assert.equal((await ask("/.runfcgi", { cookie, form: { token, action: "reload" } })).status, 303);
    assert.ok(statSync(app).mtimeMs > 1e12);
    rmSync(app);
    assert.match((await ask("/.runfcgi", { cookie, form: { token, action: "reload" } })).text, /That did not work: \S/);
    page = makePage({ watched: undefined });
    assert.doesNotMatch((await ask("/.runfcgi", { cookie })).text, /value="reload"/);
  });

  test("reads the log as text, the newest first", async () => {
    const evil = `<script>alert(1)</script><img src=x onerror=alert(1)> &lt; " ' </pre><form action=//evil> \u202e\x1b[31m`;
    writeFileSync(`${logFile}.1`, "[2026-01-01 00:00:00] runfcgi[1] the oldest\n");
    writeFileSync(
      logFile,
      `[2026-01-02 00:00:00] runfcgi[1] GET /${evil}\n  more\n[2026-01-03 00:00:00] console[1] the newest\n`,
    );
    const cookie = await enter();
    const { text } = await ask("/.runfcgi", { cookie });
    const [, log] = /<pre class="log"[^>]*>([^<]*)<\/pre>/.exec(text)!;
    assert.match(log, /the newest\n\n.*&#60;script&#62;[^\n]*\n {2}more\n\n.*the oldest/);
    assert.ok(!/<script|<img|<form action/.test(text), text);
    assert.ok(!text.includes("\x1b") && !text.includes("\u202e") && log.includes("\\x1b[31m"), log);
  });

  test("reads the end of a long log", async () => {
    writeFileSync(logFile, `[a] begin\n${"[b] line with some text\n".repeat(10_000)}[c] end\n`);
    const { text } = await ask("/.runfcgi", { cookie: await enter() });
    assert.match(text, /\[c\] end\n\n\[b\] line/);
    assert.doesNotMatch(text, /\[a\] begin/);
    assert.ok(text.length < 100_000);
  });

  test("sees requests that failed only where they are kept", async () => {
    const cookie = await enter();
    writeFileSync(join(folder.path, "capture-1.bin"), "bytes");
    assert.doesNotMatch((await ask("/.runfcgi", { cookie })).text, /capture-1/);
    page = makePage({ captures: { folder: folder.path } });
    assert.match((await ask("/.runfcgi", { cookie })).text, /Requests that failed[^]*capture-1\.bin[^]*5 bytes/);
  });

  test("is told of http, and let in", async () => {
    const origin = "http://example.org";
    assert.match((await ask(`/.runfcgi/${door}`, { origin })).text, /SetEnvIf X-Forwarded-Proto https HTTPS=on/);
    const { headers, status } = await ask(`/.runfcgi/${door}`, { origin, form: { key } });
    assert.equal(status, 303);
    assert.doesNotMatch(headers.get("set-cookie")!, /Secure/);
    assert.doesNotMatch((await ask(`/.runfcgi/${door}`)).text, /without https/);
  });

  test("does not see what the browser has sent to be recognized", async () => {
    const cookie = await enter();
    const { text } = await ask("/.runfcgi", { cookie });
    assert.ok(!text.includes(cookie.split("=")[1]));
  });
});

describe("the key's file", () => {
  test("is closed to others when it came open", async () => {
    for (const mode of [0o644, 0o664]) {
      chmodSync(keyFile, mode);
      assert.equal((await ask(`/.runfcgi/${door}`)).status, 200);
      assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    }
  });

  test("is closed as soon as the site is served", async () => {
    chmodSync(keyFile, 0o644);
    await makeSite(() => new Response(), { file: app, options: { ownerkey: keyFile }, log: new Log(logFile) } as never);
    await until("it is closed", () => (statSync(keyFile).mode & 0o777) === 0o600);
  });

  test("has to be one that only its owner can have written, and the log says why it is not", async () => {
    const cases: [() => void, RegExp][] = [
      [() => chmodSync(keyFile, 0o666), /can be changed by others: chmod 600/],
      [() => writeFileSync(keyFile, "key abc\n"), /has no line "key"/],
      [() => writeFileSync(keyFile, `${"#".repeat(2000)}\n${keyText(key)}`), /has no line "key"/],
      [() => (rmSync(keyFile), symlinkSync(app, keyFile)), /ELOOP/],
    ];
    for (const [change, reason] of cases) {
      rmSync(keyFile, { force: true });
      rmSync(logFile, { force: true });
      writeFileSync(keyFile, keyText(key), { mode: 0o600 });
      page = makePage();
      change();
      for (let times = 2; times > 0; times--) assert.equal((await ask(`/.runfcgi/${door}`)).status, 404);
      const log = readFileSync(logFile, "utf8");
      assert.match(log, /^\[.*\] runfcgi\[\d+\] The owner's page is off: .*\n$/);
      assert.match(log, reason);
    }
  });

  test("has 160 random bits, and an address that does not tell them", () => {
    const keys = new Set(Array.from({ length: 100 }, makeKey));
    assert.equal(keys.size, 100);
    for (const one of keys) assert.match(one, /^[a-z2-7]{4}(?:-[a-z2-7]{4}){7}$/);
    assert.match(keyText(key), new RegExp(`^address /\\.runfcgi/[a-z2-7]{8}\nkey     ${key}$`, "m"));
    assert.ok(!plainKey(key)!.includes(door));
  });

  test("that others can read is told of", { skip: process.getuid?.() !== 0 && "only root can give a file away" }, async () => {
    const { chownSync } = await import("node:fs");
    chownSync(keyFile, 65534, 65534);
    chmodSync(keyFile, 0o644);
    assert.match((await ask("/.runfcgi", { cookie: await enter() })).text, /Other accounts of this machine can read the key/);
  });
});
