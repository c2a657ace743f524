/** What somebody sees who has no more than a folder and a web server that starts the program there. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { cgi, cleanUp, leave, site as makeSite } from "../support/cli.ts";
import { askAt, askPort, startManaged } from "../support/managed.ts";
import { program, startServing, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

/** A folder with an application, and perhaps other files. */
const site = (text: string, files: Record<string, string> = {}) => makeSite({ "mysite.ts": text, ...files });

/** The application of a folder, started by a web server. */
async function drop(cwd: string, ...words: string[]) {
  const { port, running } = await startManaged([...command, join(cwd, "mysite.ts"), ...words], cwd);
  leave(running);
  const log = join(cwd, ".htmysite.log");
  return {
    running,
    ask: (path?: string, params?: Record<string, string>) => askPort(port, path, params),
    log: () => existsSync(log) ? readFileSync(log, "utf8") : undefined,
  };
}

/** The same, for one request of CGI. */
const cgiText = async (cwd: string, words: string[], environment: Record<string, string>) =>
  (await cgi(cwd, [join(cwd, "mysite.ts"), ...words], environment)).text;

const environmentApp = `const { MYSITE_A, MYSITE_B, OTHER, HTTP_MYSITE, RUNFCGI_TEST } = process.env;
export default () => Response.json([MYSITE_A, MYSITE_B, OTHER, HTTP_MYSITE, RUNFCGI_TEST]);
`;
const environmentParams = {
  REDIRECT_MYSITE_A: "redirected",
  MYSITE_A: "a",
  REDIRECT_MYSITE_B: "b",
  OTHER: "not allowed",
  HTTP_MYSITE: "the visitor's",
};

describe(`envfrom (${runtime})`, () => {
  const options = "envfrom=MYSITE_*,RUNFCGI_TEST";

  test("sets variables from the first request before the application is loaded", async () => {
    const { ask, running } = await drop(site(environmentApp), options);
    assert.equal((await ask("/", environmentParams)).text, '["a","b",null,null,null]');
    assert.equal((await ask("/", { MYSITE_A: "later" })).text, '["a","b",null,null,null]');
    await running.stop();
  });

  test("is known from what the application exports, although it cannot be loaded without", async () => {
    const needy = `export const runfcgi = { envfrom: ["MYSITE_*"], env: ["MYSITE_B=from env"] };
if (!process.env.MYSITE_A) throw new Error("there is no MYSITE_A");
${environmentApp}`;
    const { ask, running } = await drop(site(needy));
    assert.equal((await ask("/", environmentParams)).text, '["a","from env",null,null,null]');
    await running.stop();
  });

  test("is for CGI, too", async () => {
    const cwd = site(environmentApp);
    const { RUNFCGI_TEST: _, ...params } = { RUNFCGI_TEST: "", ...environmentParams };
    const text = await cgiText(cwd, ["envfrom=MYSITE_*"], { ...params, REDIRECT_RUNFCGI_TEST: "c" });
    assert.match(text, /\r\n\r\n\["a","b","not allowed","the visitor's",null\]$/);
  });

  for (const words of [["threads=2"], ["method=prefork", "minspare=1", "maxchildren=1"]]) {
    test(`is for workers with ${words[0]}, which take over new code`, async () => {
      const cwd = site(environmentApp);
      const path = join(cwd, "s.sock");
      const running = await startServing({ socket: path }, [join(cwd, "mysite.ts"), "envfrom=MYSITE_*", ...words], { cwd });
      leave(running);
      const get = async () => (await askAt({ transport: "unix", path }, "/", environmentParams)).text;
      assert.equal(await get(), '["a","b",null,null,null]');
      writeFileSync(join(cwd, "mysite.ts"), environmentApp.replace("json([", "json(['new', "));
      await until("the new code answers", async () => await get() === '["new","a","b",null,null,null]');
      await running.stop();
    });
  }
});

describe(`a process that hangs or ends (${runtime})`, () => {
  const app = `import process from "node:process";
export default (request: Request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/loop") for (;;);
  if (pathname === "/exit") process.exit(3);
  return new Response("ok");
};
`;

  test("that loops is ended after its timeout, and the log names the request", async () => {
    const { ask, log, running } = await drop(site(app), "timeout=1");
    assert.equal((await ask("/ok")).text, "ok");
    assert.equal(await ask("/loop?x=1").then(() => "answered", () => "lost"), "lost");
    assert.deepEqual(await running.exit, { code: null, signal: "SIGKILL" });
    const line = /runfcgi\[\d+\] The application blocked the event loop for too long: .*; under way: GET \/loop\?x=1 for \d+ s\n/;
    assert.match(log()!, line);
    assert.match(running.stderr(), line);
  });

  test("that calls process.exit is told with the status and the request", async () => {
    const { ask, log, running } = await drop(site(app));
    assert.equal((await ask("/ok")).text, "ok");
    assert.equal(await ask("/exit").then(() => "answered", () => "lost"), "lost");
    assert.equal((await running.exit).code, 3);
    assert.match(log()!, /The application ended the process with status 3; under way: GET \/exit for \d/);
  });

  test("that comes near the processor time that the host allows ends before it is killed", {
    skip: !existsSync("/proc/self/limits") && "needs Linux",
  }, async () => {
    const burning = `export default () => {
  for (const end = performance.now() + 400; performance.now() < end;);
  return new Response("ok");
};
`;
    const cwd = site(burning);
    // The name by which mod_fcgid's sockets are known, who starts another process.
    const path = join(cwd, `${process.pid}.0`);
    const limited = ["/bin/sh", "-c", 'ulimit -t 10; exec "$@"', "sh", ...command, join(cwd, "mysite.ts")];
    const { running } = await startManaged(limited, cwd, {}, path);
    leave(running);
    const refused = (error: Error) => assert.match(String(error), /ECONNREFUSED|ENOENT/);
    for (let served = true; served;) {
      served = await askAt({ transport: "unix", path }).then(({ text }) => text === "ok", (error) => (refused(error), false));
    }
    const log = () => readFileSync(join(cwd, ".htmysite.log"), "utf8");
    assert.deepEqual(await running.exit, { code: 0, signal: null }, log());
    assert.match(log(), /Ending: it has used most of the 10 s of processor time that the host allows a process \(ulimit -t\)\n/);
  });

  test("and one that is stopped while it is idle leaves nothing, and says nothing", async () => {
    const { ask, log, running } = await drop(site(app));
    assert.equal((await ask("/ok")).text, "ok");
    running.kill("SIGQUIT");
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    assert.equal(log(), undefined);
  });
});

describe(`what is told of a program that a web server starts (${runtime})`, () => {
  const printer = `console.log("while it is loaded");
export default () => { console.error("an object", { a: 1 }, "%d"); return new Response("ok"); };
`;

  test("the log has what the application prints, and during which request", async () => {
    const { ask, log, running } = await drop(site(printer));
    assert.equal((await ask("/page?x=1")).text, "ok");
    await until("it is in the log", () => log()?.includes("an object"));
    assert.match(log()!, /^\[[\d :-]+\] console\[\d+\] while it is loaded$/m);
    assert.match(log()!, /^\[[\d :-]+\] console\[\d+\] GET \/page\?x=1.*: an object \{ a: 1 \} %d$/m);
    await running.stop();
  });

  test("the page of an error has a number that is in the log", async () => {
    const { ask, log, running } = await drop(site('export default () => { throw new Error("thrown for a test"); };'));
    const [, number] = /Look for ([0-9a-f]{8}) there/.exec((await ask("/page")).text) ?? [];
    assert.match(log()!, new RegExp(`GET /page: Error: thrown for a test[^]*Its number is ${number}\\n`));
    await running.stop();
  });

  test("the page without an application names what is looked for, and near misses, and tells strangers no more", async () => {
    const cwd = makeSite({ "MySite.ts": "", "app.ts.txt": "", "index.ts": "", "notes.txt": "" });
    const { port, running } = await startManaged([...command], cwd);
    leave(running);
    const text = (await askPort(port, "/", { SECRET_OF_THE_HOST: "rosebud" })).text;
    for (const name of ["app.ts", "app.ts.txt", "index.ts"]) assert.ok(text.includes(`<code>${name}</code>`), text);
    assert.doesNotMatch(text, /rosebud|notes\.txt|SECRET_OF/);
    assert.match(text, /noindex/);
    await running.stop();
  });

  test("a package that is not there comes with what to do", async () => {
    const { ask, log, running } = await drop(site('import "no-such-package/sub";\nexport default () => new Response("ok");'));
    assert.equal((await ask("/")).status, 503);
    assert.match(log()!, /The package "no-such-package" is not there\. Put the folder node_modules .* beside mysite\.ts/);
    await running.stop();
  });

  test("what cannot be loaded is never said to be served still where nothing is", async () => {
    const cwd = site("export default 1;");
    const { ask, log, running } = await drop(cwd);
    assert.equal((await ask("/")).status, 503);
    writeFileSync(join(cwd, "mysite.ts"), "export default 2 +;");
    await until("it is tried again", async () => {
      await ask("/");
      return (log()?.match(/Cannot load/g)?.length ?? 0) > 1;
    });
    assert.doesNotMatch(log()!, /still serving/);
    await running.stop();
  });
});

describe(`the log of a program that a web server starts (${runtime})`, () => {
  const thrower = `export default () => { throw new Error("thrown for a test"); };\n`;

  test("is made when there is something to tell, for nobody else to read, and the page names it", async () => {
    const cwd = site(`${thrower.replace("() => {", "(r: Request) => { if (r.url.endsWith('/ok')) return new Response('ok');")}`);
    const { ask, log, running } = await drop(cwd);
    assert.equal((await ask("/ok")).text, "ok");
    assert.equal(log(), undefined);
    const { status, text } = await ask("/fails");
    assert.equal(status, 500);
    assert.match(text, /The site could not answer\. The reason is in the log \.htmysite\.log\./);
    assert.doesNotMatch(text, /thrown for a test|\/runfcgi-drop/);
    assert.match(log()!, /GET \/fails: Error: thrown for a test[^]*mysite\.ts:1/);
    assert.equal(statSync(join(cwd, ".htmysite.log")).mode & 0o777, 0o600);
    await running.stop();
    assert.match(running.stderr(), /thrown for a test/);
  });

  test("is for CGI, too", async () => {
    const cwd = site(thrower);
    assert.match(await cgiText(cwd, [], {}), /Status: 500[^]*\.htmysite\.log/);
    assert.match(readFileSync(join(cwd, ".htmysite.log"), "utf8"), /GET \/: Error: thrown for a test/);
  });

  test("is not made where errlog names one", async () => {
    const cwd = site(thrower);
    const { ask, log, running } = await drop(cwd, `errlog=${join(cwd, "other.log")}`);
    assert.match((await ask()).text, /in the log other\.log\./);
    assert.equal(log(), undefined);
    assert.match(readFileSync(join(cwd, "other.log"), "utf8"), /thrown for a test/);
    await running.stop();
  });

  test("follows no link to another file", async () => {
    const cwd = site(thrower, { "private.txt": "private" });
    symlinkSync("private.txt", join(cwd, ".htmysite.log"));
    const { ask, running } = await drop(cwd);
    assert.match((await ask()).text, /in the web server's error log/);
    assert.equal(readFileSync(join(cwd, "private.txt"), "utf8"), "private");
    await running.stop();
    assert.match(running.stderr(), /thrown for a test/);
  });

  test("is closed to others if it was open, and starts again above 1 MiB", async () => {
    const cwd = site(thrower, { ".htmysite.log": "x".repeat(2 ** 20) });
    const { ask, log, running } = await drop(cwd);
    await ask();
    assert.match(log()!, /^\[/);
    assert.equal(statSync(join(cwd, ".htmysite.log")).mode & 0o777, 0o600);
    const old = statSync(join(cwd, ".htmysite.log.1"));
    assert.deepEqual([old.size, old.mode & 0o777], [2 ** 20, 0o600]);
    await running.stop();
  });

  test("tells what nobody caught, and the requests under way are finished", async () => {
    const floating = `export default async () => {
  Promise.reject(new Error("floating"));
  await new Promise((resolve) => setTimeout(resolve, 100));
  return new Response("answered");
};\n`;
    const { ask, log, running } = await drop(site(floating));
    assert.equal((await ask()).text, "answered");
    assert.equal((await running.exit).code, 1);
    assert.match(log()!, /Nothing caught this error of the application: Error: floating/);
  });
});

describe(`options where a web server has started the program (${runtime})`, () => {
  const app = `import process from "node:process";
const text = process.env.WORD + " of " + Math.random();
export default () => new Response(text);
`;
  const words = ["env=WORD=told", "status=/status", "ping=/ping"];
  const withFolder = () => {
    const cwd = site(app);
    mkdirSync(join(cwd, "media"));
    writeFileSync(join(cwd, "media/a.txt"), "a file");
    return { cwd, folder: `static=/media/=${join(cwd, "media")}` };
  };

  test("count for it", async () => {
    const { cwd, folder } = withFolder();
    const { ask, running } = await drop(cwd, ...words, folder);
    assert.match((await ask()).text, /^told of /);
    assert.equal((await ask("/media/a.txt")).text, "a file");
    assert.equal((await ask("/ping")).text, "pong\n");
    assert.match((await ask("/status")).text, /^application: /);
    await running.stop();
  });

  test("count for CGI", async () => {
    const { cwd, folder } = withFolder();
    assert.match(await cgiText(cwd, [...words, folder], {}), /\r\n\r\ntold of /);
    assert.match(await cgiText(cwd, [...words, folder], { REQUEST_URI: "/media/a.txt" }), /\r\n\r\na file$/);
  });

  test("have it go on with old code with watch=false", async () => {
    const cwd = site(app);
    const { ask, running } = await drop(cwd, "watch=false", "maxage=3");
    const { text } = await ask();
    writeFileSync(join(cwd, "mysite.ts"), `export default () => new Response("new");\n`);
    // It would have looked by the time that it is too old.
    await until("it restarts", async () => {
      const now = (await ask()).text;
      if (now === text) return false;
      return now;
    });
    await running.stop();
    assert.match(running.stderr(), /Restarting: it is older than 3 s/);
    assert.doesNotMatch(running.stderr(), /the application has changed/);
  });
});

describe(`code that changes while it is being loaded, where a web server has started the program (${runtime})`, () => {
  const waiting = `import { existsSync, writeFileSync } from "node:fs";
writeFileSync("begun", "");
while (!existsSync("go")) await new Promise((done) => setTimeout(done, 5));
`;
  const saying = (text: string) => `export default () => new Response("${text}");\n`;

  test("is loaded when the process has just been started", async () => {
    const cwd = site(waiting + saying("old"));
    const { ask, running } = await drop(cwd);
    await until("it is being loaded", () => existsSync(join(cwd, "begun")));
    writeFileSync(join(cwd, "mysite.ts"), saying("new"));
    writeFileSync(join(cwd, "go"), "");
    await until("the new code answers", async () => (await ask()).text === "new");
    await running.stop();
  });

  test("is loaded after other code that could not be", async () => {
    const cwd = site(saying("old"));
    const { ask, running } = await drop(cwd);
    assert.equal((await ask()).text, "old");
    writeFileSync(join(cwd, "mysite.ts"), `${waiting}throw new Error("not good");\n`);
    let asked: Promise<unknown> | undefined;
    await until("it is being loaded", () => {
      asked = ask();
      return existsSync(join(cwd, "begun"));
    });
    writeFileSync(join(cwd, "mysite.ts"), saying("new"));
    writeFileSync(join(cwd, "go"), "");
    await asked;
    await until("the new code answers", async () => (await ask()).text === "new");
    await running.stop();
  });
});

describe(`invalid options, where a web server has started the program (${runtime})`, () => {
  const wrong: [what: string, app: string, words: string[], reason: RegExp][] = [
    ["on the command line", "export default 1;\n", ["debg=true"], /there is no option "debg", did you mean "debug"\?/],
    [
      "in the application",
      `export const runfcgi = { timeout: "soon" };\nexport default () => new Response("served");\n`,
      [],
      /timeout is "soon", expected a number of seconds.*\(timeout in the application's export runfcgi\)/,
    ],
    [
      "since a folder is missing",
      "export default 1;\n",
      ["static=/a/=./nothere"],
      /static gives "\/a\/" the folder ".*", which is not there/,
    ],
  ];
  for (const [what, app, words, reason] of wrong) {
    test(`${what}: the site is a page, and the log tells the reason`, async () => {
      const cwd = site(app);
      const { ask, log, running } = await drop(cwd, ...words);
      const { status, text } = await ask();
      assert.equal(status, 503);
      assert.match(text, /The site cannot be loaded\. The reason is in the log \.htmysite\.log\./);
      assert.match(log()!, reason);
      await running.stop();
      rmSync(join(cwd, ".htmysite.log"));
      assert.match(await cgiText(cwd, words, {}), /Status: 503[^]*\.htmysite\.log/);
      assert.match(readFileSync(join(cwd, ".htmysite.log"), "utf8"), reason);
    });
  }
});

describe(`the page with debug=true (${runtime})`, () => {
  const lines = (text: string) => text.replace(/<\/?mark>|<[^>]+>/g, "");

  test("shows an error, the source around it, its cause, and params without secrets", async () => {
    const cwd = site(
      `import { fail } from "./lib/deep down.ts";
export default { async fetch(): Promise<Response> {
  await 1;
  return fail({ why: "<b>" });
} };\n`,
    );
    mkdirSync(join(cwd, "lib"));
    writeFileSync(
      join(cwd, "lib/deep down.ts"),
      `interface Why { why: string }

export function fail({ why }: Why): never {
  throw new TypeError("failed: " + why, { cause: new RangeError("the cause") });
}\n`,
    );
    const { ask, running } = await drop(cwd, "debug=true");
    const { status, text } = await ask("/x?y", {
      HTTP_COOKIE: "my secret",
      DATABASE_URL: "postgres://me:my-secret@db/x",
      MYSITE_SECRET: "my secret",
      HARMLESS: "<i>",
    });
    assert.equal(status, 500);
    assert.match(text, /<html lang="en">[^]*<main>\s*<h1>TypeError: failed: &#60;b&#62;<\/h1>[^]*<\/main>/);
    assert.match(text, /<code>GET \/x\?y<\/code>/);
    assert.match(text, /deep down\.ts, line 4<\/h2>[^]*<mark> +4 {4}throw new TypeError/);
    assert.match(text, /mysite\.ts, line 4<\/h2>[^]*<mark> +4 {4}return fail/);
    assert.match(text, /<h2>Caused by: RangeError: the cause<\/h2>/);
    assert.doesNotMatch(text, /my.secret/);
    assert.match(text, /postgres:\/\/me:…@db\/x/);
    assert.match(text, /<th scope="row">HARMLESS<\/th><td>&#60;i&#62;<\/td>/);
    assert.doesNotMatch(lines(text), /at .*(?:src\/(?:server|gateway)\/|node:|ext:)/);
    await running.stop();
  });

  test("shows why the application cannot be loaded, and the line", async () => {
    const { ask, running } = await drop(site("export default {\n  fetch( { return new Response() },\n};\n"), "debug=true");
    const { status, text } = await ask();
    assert.equal(status, 503);
    assert.match(text, /mysite\.ts, line 2<\/h2>[^]*<mark> +2 {4}fetch\( \{ return/);
    await running.stop();
  });

  const thrown: [what: string, app: string, page: RegExp][] = [
    [
      "undefined that is returned",
      "() => {}",
      /<h1>TypeError: The handler returned undefined, expected a Response: is a return missing\?/,
    ],
    [
      "an object that is thrown",
      "() => Promise.reject({ a: 1 })",
      /<h1>Error: The application threw \{ a: 1 \}, which is not an Error<\/h1>/,
    ],
    ["a text that is thrown", "() => { throw 'boom'; }", /<h1>Error: The application threw 'boom', which is not an Error<\/h1>/],
    ["nothing that is thrown", "() => { throw undefined; }", /<h1>Error: The application threw undefined, which is not an Error/],
    [
      "errors in an error",
      "() => { throw new AggregateError([new Error('one'), 'two'], 'several'); }",
      /<h1>AggregateError: several<\/h1>[^]*Of these: Error: one[^]*Of these: 'two' was thrown/,
    ],
    [
      "an error that is its own cause",
      "() => { const e = new Error('loop'); e.cause = e; throw e; }",
      /<h1>Error: loop<\/h1>/,
    ],
  ];
  for (const [what, app, page] of thrown) {
    test(`shows ${what}`, async () => {
      const { ask, running } = await drop(site(`export default ${app};\n`), "debug=true");
      const { status, text } = await ask();
      assert.equal(status, 500);
      assert.match(text, page);
      await running.stop();
    });
  }

  test("is a plain one that names the log when the application takes too long", async () => {
    const { ask, log, running } = await drop(site("export default () => new Promise(() => {});\n"), "timeout=0.1");
    const { status, text } = await ask();
    assert.equal(status, 504);
    assert.match(text, /The site took too long to answer\. More about it is in the log \.htmysite\.log\./);
    assert.match(log()!, /The application took longer than 0\.1 s/);
    await running.stop();
  });
});
