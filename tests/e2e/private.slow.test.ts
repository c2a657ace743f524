/** What is private does not come out of a folder that is served: on shared hosting, by `static=` and by web servers. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { visit } from "../../src/doctor/visit.ts";
import { contentOf, encoded, privateFiles, publicFiles, putFiles, waysTo } from "../support/private.ts";
import { freePort, startServing, whole } from "../support/program.ts";
import { ask } from "../support/raw_http.ts";
import { apacheModules, makeFolder, makeOpenFolder, needs, startWebServer } from "../support/servers.ts";
import { SECRET } from "../support/static.ts";
import { Customer, needsSuexec } from "../support/suexec.ts";
import { host } from "./fcgid.ts";
import { putProgram, putScript } from "./site.ts";

const timeout = 120_000;
/** Requests at once. */
const MANY = 4;

/** An application that answers everything. */
const app = 'export default () => new Response("the application", { status: 299 });\n';

async function forAll<T>(list: readonly T[], run: (one: T) => Promise<void>): Promise<void> {
  const rest = [...list];
  await Promise.all(Array.from({ length: MANY }, async () => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) await run(next);
  }));
}

/** @param places what the paths begin with, and files there that are private besides */
function checkFiles(port: () => number, places: Record<string, readonly string[]>, refused: readonly number[]): void {
  for (const [prefix, others] of Object.entries(places)) {
    test(`what is private does not come out of ${prefix}, however it is asked for`, { timeout }, async () => {
      const names = [...privateFiles, ...others];
      const came = new Set<string>();
      await forAll(names.flatMap((name) => waysTo(prefix, name)), async (target) => {
        const { body } = await ask(port(), target);
        if (body.includes(SECRET)) came.add(target);
      });
      assert.deepEqual([...came], []);
      // It is the rule for private files that answers, and not a mistake of the test.
      await forAll(names, async (name) => {
        const { status } = await ask(port(), prefix + encoded(name));
        assert.ok(refused.includes(status), `${prefix}${name} is ${status}`);
      });
    });

    test(`what is for visitors comes out of ${prefix}`, { timeout }, async () => {
      await forAll(publicFiles, async (name) => {
        const { status, body } = await ask(port(), prefix + encoded(name));
        assert.deepEqual([name, status, body.toString()], [name, 200, contentOf(name)]);
      });
    });
  }
}

/** Endings of files that the nginx of a panel such as Plesk serves by itself, in front of Apache. */
const served = /\.(?:js|gz|txt|zip)$/i;

const panel = (root: string, port: number, apache: number) => `
  server {
    listen 127.0.0.1:${port};
    root "${root}";
    location / { proxy_pass http://127.0.0.1:${apache}; proxy_set_header Host $http_host; }
    location ~* ${served.source} { try_files $uri @apache; }
    location @apache { proxy_pass http://127.0.0.1:${apache}; proxy_set_header Host $http_host; }
  }`;

for (const place of ["beside", "elsewhere"] as const) {
  const user = needsSuexec() ? "the web server's user" : "its own user, by suexec";
  describe(`Private files on shared hosting, the program ${place}, run by ${user}`, { skip: needs("apache") }, () => {
    const folder = makeFolder();
    let port = 0;
    let root = "";
    const stops: (() => Promise<void>)[] = [];
    const others = ["mysite.js", "mysite.mjs", "mysite (1).js", "mysite - Copy.js", "mysite.js.map", "mysite.mjs.gz"];

    before(async () => {
      const customer = needsSuexec() ? undefined : new Customer(folder.path);
      const home = customer?.home ?? folder.path;
      root = join(home, "public.old");
      const away = join(home, "app");
      mkdirSync(away);
      for (const site of [root, join(root, "below")]) {
        mkdirSync(site, { recursive: true });
        putFiles(site, place === "beside" ? others : []);
        const near = place === "beside" ? site : away;
        const program = join(near, "mysite.fcgi");
        writeFileSync(join(near, "mysite.ts"), `// ${SECRET}\n${app}`);
        if (near === site || site === root) putScript(program, join(near, "mysite.ts"));
        const rules = configText(["apache-shared", ...place === "beside" ? [] : [`program=${program}`]]);
        writeFileSync(join(site, ".htaccess"), `${rules}# ${SECRET}\n`);
      }
      customer?.own();
      port = await freePort();
      const rules = readFileSync(join(root, ".htaccess"), "utf8");
      const config = customer?.host(root) ?? host({ folder: folder.path } as never, rules, root);
      const web = await startWebServer("apache", { folder: folder.path, port }, config, customer?.around);
      stops.push(() => web.running.stop());
    }, { timeout });

    after(async () => {
      await Promise.all(stops.map((stop) => stop()));
      folder.remove();
    }, { timeout });

    const beside = place === "beside" ? ["mysite.ts", ".htaccess", ...others] : [".htaccess"];
    checkFiles(() => port, { "/": beside, "/below/": beside }, [299, 403]);

    test("the doctor tells what an nginx in front gives away, and nothing else comes", {
      timeout,
      skip: needs("nginx"),
    }, async () => {
      const front = await freePort();
      const own = makeOpenFolder(join(folder.path, "nginx"));
      const nginx = await startWebServer("nginx", { folder: own, port: front }, panel(root, front, port));
      stops.push(() => nginx.running.stop());
      const came = new Set<string>();
      await forAll(
        [...privateFiles, ...beside].flatMap((name) =>
          (whole ? waysTo("/", name) : [`/${encoded(name)}`]).map((way) => [name, way])
        ),
        async ([name, way]) => {
          if ((await ask(front, way)).body.includes(SECRET)) came.add(name);
        },
      );
      assert.deepEqual([...came].sort(), [...privateFiles, ...beside].filter((name) => served.test(name)).sort());
      await forAll(publicFiles, async (name) => {
        assert.equal((await ask(front, `/${encoded(name)}`)).body.toString(), contentOf(name));
      });
      const htaccess = { path: join(root, ".htaccess"), text: readFileSync(join(root, ".htaccess"), "utf8") };
      const findings = await visit(new URL(`http://127.0.0.1:${front}/`), { htaccess });
      const { state, text, fix } = findings.find(({ check }) => check === "private files")!;
      assert.equal(state, "problem");
      const [, more] = /^visitors can read (?:"[^"]*",? ){8}and (\d+) more$/.exec(text) ?? [];
      // It finds some in the folder below, too.
      assert.ok(8 + Number(more) > came.size, text);
      assert.match(
        fix!,
        /nginx in front of Apache serves files by their endings itself, and never reads the \.htaccess\. In Plesk/,
      );
    });
  });
}

test("these are enough to tell", () => {
  assert.ok(privateFiles.length >= 60 && publicFiles.length >= 20 && new Set(waysTo("/", "a/b.ts")).size >= 10);
});

describe("PHP and app.js on shared hosting", { skip: needs("apache") }, () => {
  const folder = makeFolder();
  const root = makeOpenFolder(join(folder.path, "public"));
  let port = 0;
  let stop: (() => Promise<void>) | undefined;

  before(async () => {
    for (const site of [root, join(root, "typed"), join(root, "php")]) {
      mkdirSync(site, { recursive: true });
      writeFileSync(join(site, ".htaccess"), configText(["apache-shared"]));
      for (const name of ["app.js", "app.js.map"]) writeFileSync(join(site, name), `// ${SECRET}\n${app}`);
      writeFileSync(join(site, "page.php"), SECRET);
      putProgram(join(site, "mysite.fcgi"), join(site, site.endsWith("typed") ? "mysite.ts" : "app.js"));
    }
    writeFileSync(join(root, "typed", "mysite.ts"), app);
    // Where the host runs PHP, its program gets the file: this one answers as it likes.
    writeFileSync(join(root, "php", "run"), "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nit ran'\n", { mode: 0o755 });
    appendFileSync(join(root, "php", ".htaccess"), "AddHandler php-script .php\nAction php-script /php/run\n");
    port = await freePort();
    const place = { folder: folder.path, port };
    const modules = ["actions", "alias", "cgid"].map((name) => `LoadModule ${name}_module ${apacheModules}/mod_${name}.so\n`)
      .join("");
    const rules = configText(["apache-shared"]);
    const config = `${modules}ScriptAlias /php/run "${root}/php/run"\n${host(place as never, rules, root)}`;
    const web = await startWebServer("apache", place, config);
    stop = () => web.running.stop();
  }, { timeout });

  after(async () => {
    await stop?.();
    folder.remove();
  }, { timeout });

  const cases: [path: string, status: number, text: string, what: string][] = [
    ["/page.php", 299, "the application", "the source of PHP is private where nothing runs it"],
    ["/php/page.php", 200, "it ran", "PHP runs where the host runs it"],
    ["/app.js", 299, "the application", "app.js is private where it is the application"],
    ["/app.js.map", 299, "the application", "so is its source map"],
    ["/typed/app.js", 200, `// ${SECRET}\n${app}`, "app.js is for visitors where mysite.ts is the application"],
  ];
  for (const [path, status, text, what] of cases) {
    test(what, { timeout }, async () => {
      const answer = await ask(port, path);
      assert.deepEqual([answer.status, answer.body.toString()], [status, text]);
    });
  }
});

describe("Private files in folders that are served", () => {
  const folder = makeFolder();
  const socket = join(folder.path, "app.sock");
  const files = join(folder.path, "files.old");
  const stops: (() => Promise<void>)[] = [];
  const ports = new Map<string, number>();

  before(async () => {
    putFiles(files);
    writeFileSync(join(folder.path, "app.ts"), app);
    const port = await freePort();
    const program = await startServing({ port }, [join(folder.path, "app.ts"), "protocol=http", `static=/media/=${files}`]);
    ports.set("static=", port);
    stops.push(() => program.stop());
  }, { timeout });

  after(async () => {
    await Promise.all(stops.map((stop) => stop()));
    folder.remove();
  }, { timeout });

  describe("static=", () => checkFiles(() => ports.get("static=")!, { "/media/": [] }, [404]));

  for (const server of ["nginx", "apache", "lighttpd", "caddy"] as const) {
    describe(server, { skip: needs(server) }, () => {
      before(async () => {
        const port = await freePort();
        const own = makeOpenFolder(join(folder.path, server));
        const config = configText([server, `static=/media/=${files}`, `listen=127.0.0.1:${port}`, `socket=${socket}`]);
        const web = await startWebServer(server, { folder: own, port }, config);
        stops.push(() => web.running.stop());
        ports.set(server, port);
      }, { timeout });
      checkFiles(() => ports.get(server)!, { "/media/": [] }, [403, 404]);
    });
  }
});
