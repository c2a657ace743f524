/** What is private does not come out of a folder that is served: on shared hosting, by `static=` and by web servers. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { configText } from "../../src/cli/config/command.ts";
import { contentOf, encoded, privateFiles, publicFiles, putFiles, waysTo } from "../support/private.ts";
import { freePort, startServing } from "../support/program.ts";
import { ask } from "../support/raw_http.ts";
import { apacheModules, makeFolder, makeOpenFolder, needs, startWebServer } from "../support/servers.ts";
import { SECRET } from "../support/static.ts";
import { host } from "./fcgid.ts";
import { putProgram } from "./site.ts";

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

for (const place of ["beside", "elsewhere"] as const) {
  describe(`Private files on shared hosting, the program ${place}`, { skip: needs("apache") }, () => {
    const folder = makeFolder();
    let port = 0;
    let stop: (() => Promise<void>) | undefined;
    const others = ["mysite.js", "mysite.mjs", "mysite (1).js", "mysite - Copy.js"];

    before(async () => {
      const root = makeOpenFolder(join(folder.path, "public.old"));
      const away = makeOpenFolder(join(folder.path, "app"));
      for (const site of [root, join(root, "below")]) {
        mkdirSync(site, { recursive: true });
        putFiles(site, place === "beside" ? others : []);
        const home = place === "beside" ? site : away;
        const program = join(home, "mysite.fcgi");
        writeFileSync(join(home, "mysite.ts"), `// ${SECRET}\n${app}`);
        if (home === site || site === root) putProgram(program, join(home, "mysite.ts"));
        const rules = configText(["apache-shared", ...place === "beside" ? [] : [`program=${program}`]]);
        writeFileSync(join(site, ".htaccess"), `${rules}# ${SECRET}\n`);
      }
      port = await freePort();
      const rules = configText(["apache-shared", ...place === "beside" ? [] : [`program=${join(away, "mysite.fcgi")}`]]);
      const web = await startWebServer(
        "apache",
        { folder: folder.path, port },
        host({ folder: folder.path } as never, rules, root),
      );
      stop = () => web.running.stop();
    }, { timeout });

    after(async () => {
      await stop?.();
      folder.remove();
    }, { timeout });

    const beside = place === "beside" ? ["mysite.ts", ".htaccess", ...others] : [".htaccess"];
    checkFiles(() => port, { "/": beside, "/below/": beside }, [299, 403]);
  });
}

describe("PHP and app.js on shared hosting", { skip: needs("apache") }, () => {
  const folder = makeFolder();
  const root = makeOpenFolder(join(folder.path, "public"));
  let port = 0;
  let stop: (() => Promise<void>) | undefined;

  before(async () => {
    for (const site of [root, join(root, "typed"), join(root, "php")]) {
      mkdirSync(site, { recursive: true });
      writeFileSync(join(site, ".htaccess"), configText(["apache-shared"]));
      writeFileSync(join(site, "app.js"), `// ${SECRET}\n${app}`);
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
