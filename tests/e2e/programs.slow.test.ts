/**
 * Programs that speak HTTP, by `exec`, and JavaScript servers, by `execjs`, over each protocol, at the root and below a path, and
 * started by mod_fcgid, with 8 visitors at once. With `--whole` all of them are tested, without it one.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { applications, isInstalled } from "../../scripts/applications.ts";
import * as django from "./django.ts";
import { isRunning, program, until, whole } from "../support/program.ts";
import { makeFolder, needs, type WebServerName } from "../support/servers.ts";
import { fcgidRow } from "./fcgid.ts";
import { type Inner, innerPrograms } from "../support/inner_programs.ts";
import { checkEvents, checkRoutes, type Visit } from "./routes.ts";
import { type Row, type Site, startRow } from "./site.ts";

const timeout = 180_000;
const MIB = 1024 * 1024;
const VISITORS = 8;
const { name: runtime } = program();
const folder = fileURLToPath(new URL("programs", import.meta.url));
const built = makeFolder();
after(() => built.remove());

interface Served {
  /** What it needs that a machine may lack, or `false`. */
  missing: string | false;
  /** What the program is told. */
  words(base: string): string[];
  /** Makes what is run. */
  prepare?(): void;
  /** Its redirects to `/` lead to where it is mounted. */
  movesToBase?: true;
  /** What is tested of it besides. Paths of `ask` are whole. */
  more?(ask: Visit, base: string): Promise<void>;
  /** A worker of it can take a connection while it answers another, which then waits. */
  mayWait?: true;
}

/** One that is built for the root and for a path. The host has no Node, and nothing else either. */
function application(
  name: string,
  words: (build: string, base: string) => string[],
  more: Pick<Served, "movesToBase"> = {},
): Served {
  return {
    ...more,
    missing: !isInstalled(name) && `run: deno run -A scripts/applications.ts ${name}`,
    words: (base) => [...words(join(applications, name, base ? "build-mounted" : "build"), base), "env=PATH=/nowhere"],
  };
}

const lacks = (...files: string[]) => {
  const lacking = files.find((file) => !existsSync(file));
  return lacking !== undefined && `${lacking} is not there`;
};

let djangoProject = "";

const programs: Record<string, Served> = {
  "gunicorn with Flask": {
    missing: lacks("/usr/bin/gunicorn", "/usr/lib/python3/dist-packages/flask"),
    words: () => [`exec=/usr/bin/gunicorn flask_site:app --chdir ${folder} --bind unix:{socket} --threads 16`],
  },
  ...whole && {
    "gunicorn with Django": {
      missing: django.missing !== undefined && `${django.missing} is not there`,
      prepare: () => void (djangoProject = django.makeProject(built.path)),
      words: (base) => [
        `exec=SITE_BASE=${base} ${django.gunicorn} mysite.wsgi --chdir ${djangoProject} --bind unix:{socket} --threads 16`,
        `static=/static/=${djangoProject}/static`,
      ],
      async more(ask, base) {
        const browser = new django.Browser(ask);
        await django.logIn(browser, base);
        await django.checkFiles(browser, djangoProject, base);
      },
    },
    "Puma with Sinatra": {
      missing: lacks("/usr/bin/puma", "/var/lib/dpkg/info/ruby-sinatra.list"),
      words: (base) => [`exec=SITE_BASE=${base} /usr/bin/puma --bind unix://{socket} --threads 16 ${join(folder, "config.ru")}`],
    },
    "php -S": {
      mayWait: true,
      missing: lacks("/usr/bin/php"),
      words: () => {
        const limits = "-d upload_max_filesize=64M -d post_max_size=64M -d output_buffering=0 -d display_errors=0";
        return [`exec=PHP_CLI_SERVER_WORKERS=16 /usr/bin/php ${limits} -S 127.0.0.1:{port} ${join(folder, "router.php")}`];
      },
    },
    "a Go program": {
      missing: lacks("/usr/bin/go"),
      prepare: () => {
        const environment = { ...process.env, GO111MODULE: "off" };
        execFileSync("/usr/bin/go", ["build", "-o", join(built.path, "site"), join(folder, "site.go")], { env: environment });
      },
      words: (base) => [`exec=SITE_BASE=${base} ${join(built.path, "site")} {socket}`],
    },
    "Next.js": application("next", (build) => [`execjs=${build}/standalone/server.js`]),
    "SvelteKit": application("sveltekit", (build) => [
      `execjs=${build}/index.js`,
      "env=BODY_SIZE_LIMIT=64M",
      "env=PROTOCOL_HEADER=x-forwarded-proto",
      "env=HOST_HEADER=x-forwarded-host",
    ]),
    "React Router's server": application("reactrouter", (build) => {
      return [`execjs=${join(build, "../node_modules/@react-router/serve/bin.js")} ${build}/server/index.js`];
    }, { movesToBase: true }),
    "Nuxt": application("nuxt", (build, base) => {
      return [`execjs=${join(build, "../.output/server/index.mjs")}`, `env=NUXT_APP_BASE_URL=${base}/`];
    }),
  },
};

const rows: { protocol: Row["protocol"]; server: WebServerName }[] = [
  { protocol: "fcgi", server: "nginx" },
  { protocol: "scgi", server: "apache" },
  { protocol: "ajp", server: "apache" },
  { protocol: "http", server: "caddy" },
];

/** A site whose program is told so. */
async function withSite(
  row: Row,
  words: string[],
  base: string,
  check: (site: Site, visit: Visit) => Promise<void>,
): Promise<void> {
  const { site, stop } = await startRow({ ...row, app: () => words });
  try {
    await check(site, (path, question) => site.ask(base + path, question));
  } catch (error) {
    throw new Error(`The logs end with:\n${site.errors.slice(-4000)}`, { cause: error });
  } finally {
    await stop();
  }
}

/** The path of the mount itself leads to the first page, perhaps by a redirect of the program. */
async function checkMount(ask: Visit, base: string): Promise<void> {
  const visited = [base];
  for (;;) {
    const { status, headers, text } = await ask(visited.at(-1)!);
    if (status === 200) return assert.match(text, /<h1>Hello<\/h1>/);
    assert.ok([301, 302, 303, 307, 308].includes(status), `${visited.join()}: ${status} ${text}`);
    const { pathname } = new URL(headers.location!, "http://localhost");
    assert.ok(!visited.includes(pathname), `a loop: ${visited.join()}`);
    visited.push(pathname);
  }
}

for (const [name, served] of Object.entries(programs)) {
  const skip = process.env.CI !== "true" && served.missing;
  describe(`${name} (${runtime})`, { skip }, () => {
    before(() => served.prepare?.(), { timeout });

    for (const { protocol, server } of whole ? rows : rows.slice(0, 1)) {
      for (const base of whole ? ["", "/mounted"] : ["/mounted"]) {
        test(`over ${protocol} from ${server}${base && `, below ${base}`}`, { timeout, skip: needs(server) }, async () => {
          const row: Row = {
            name,
            server,
            listens: "socket",
            protocol,
            config: [server, ...base ? [`scriptname=${base}`] : []],
            logs: "program",
          };
          await withSite(row, served.words(base), base, async (site, visit) => {
            const moved = `${served.movesToBase ? base : ""}/new?a=1`;
            await checkRoutes(visit, `127.0.0.1:${site.port}`, { size: 20 * MIB, moved });
            if (base) await checkMount((path) => site.ask(path), base);
            await checkEvents(1, (path) => site.open(base + path), visit);
            await served.more?.((path, question) => site.ask(path, question), base);
          });
        });
      }
    }

    test(`started by mod_fcgid, with ${VISITORS} visitors at once`, { timeout, skip: needs("apache") }, async () => {
      const mark = `SITE_MARK=${crypto.randomUUID()}`;
      let inner: Inner[] = [];
      // On a busy machine its own 40 s are not enough for so many processes that start at once.
      const patient: Row = { ...fcgidRow, site: (place) => `${fcgidRow.site(place)}\nFcgidIOTimeout 150` };
      await withSite({ ...patient, words: [...served.words(""), `env=${mark}`] }, [], "", async (site, visit) => {
        const together = async () => {
          await checkEvents(served.mayWait ? 1 : VISITORS, (path) => site.open(path), visit);
          const pages = await Promise.all(Array.from({ length: VISITORS }, () => visit("/")));
          assert.deepEqual(pages.map(({ status }) => status), pages.map(() => 200));
        };
        await together();
        inner = innerPrograms(mark);
        await checkRoutes(visit, `127.0.0.1:${site.port}`, { size: 20 * MIB });
        await together();
        await Promise.all(Array.from({ length: VISITORS }, () => served.more?.(visit, "")));
        assert.equal(inner.length, 1, JSON.stringify(inner));
        assert.deepEqual(innerPrograms(mark), inner);
        // The program itself is the runtime, and no other is needed.
        if (runtime === "binary" && served.words("")[0].startsWith("execjs=")) assert.match(inner[0].file, /runfcgi|program$/);
      });
      await until("the program has ended with its web server", () => inner.every(({ pid }) => !isRunning(pid)));
    });
  });
}
