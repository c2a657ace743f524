/** What `config` prints, where the table of web servers does not use it: prefixes, folders, limits, several machines. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { configText, servers } from "../../src/config/servers.ts";
import type { ConfigOption } from "../../src/config/options.ts";
import type { ListeningProtocol } from "../../src/protocol/protocols.ts";
import type { Question } from "../support/http.ts";
import { freePort, type Running, startServing, until } from "../support/program.ts";
import {
  apacheModules,
  complaintsAbout,
  lighttpdModules,
  makeFolder,
  makeOpenFolder,
  needs,
  startWebServer,
  type WebServerName,
} from "../support/servers.ts";
import { pattern } from "./app.ts";
import { putApp, Site, testSite } from "./site.ts";

const timeout = 60_000;
const MiB = 1024 * 1024;
const certificate = fileURLToPath(new URL("../fixtures/localhost.pem", import.meta.url));

/** Which web server reads the configuration, and what it needs besides. */
const readers: Record<string, { server: WebServerName; files?: string[] }> = {
  nginx: { server: "nginx" },
  apache: { server: "apache" },
  mod_jk: { server: "apache", files: [`${apacheModules}/mod_jk.so`] },
  lighttpd: { server: "lighttpd", files: [`${lighttpdModules}/mod_openssl.so`] },
  caddy: { server: "caddy" },
  haproxy: { server: "haproxy" },
};

/** Options by what they are about. */
const variants: Record<string, readonly string[]> = {
  "a socket": ["socket=/run/mysite.sock"],
  "a port": ["port=3033"],
  "an IPv6 address": ["host=::1", "port=3033"],
  "a prefix": ["scriptname=/a/shop"],
  folders: ["static=/media/=/srv/media", "static=/media/old/=/srv/old", "static=/=/srv/public"],
  "several names": ["servername=example.org,*.example.org"],
  uploads: ["upload=100m"],
  WebSockets: ["websocket=true"],
  "kept connections": ["keepalive=8"],
  "a pool": ["hosts=127.0.0.1:3033,127.0.0.1:3034", "ping=/ping"],
  "a pool of other machines": ["hosts=10.0.0.1:3033,10.0.0.2:3033", "secret=s3cret", "trust=10.0.0.9"],
  "large packets": ["packetsize=65536"],
  https: [`https=${certificate}`],
  "a program": ["program=/srv/mysite/mysite.fcgi"],
  everything: [
    "scriptname=/shop",
    "static=/media/=/srv/media",
    "upload=100m",
    "keepalive=8",
    "hosts=127.0.0.1:3033,127.0.0.1:3034",
    `https=${certificate}`,
  ],
};

/** The options of a variant that apply to this web server, or nothing if none do. */
function wordsFor(name: string, protocol: ListeningProtocol, words: readonly string[]): string[] | undefined {
  const refuses = servers[name].refuses ?? {};
  const left = words.filter((word) => {
    const option = word.replace(/=.*/s, "") as ConfigOption;
    const ajp = option !== "secret" && option !== "packetsize" || protocol === "ajp";
    const kept = option !== "keepalive" || protocol !== "scgi" && protocol !== "uwsgi";
    const trusted = protocol !== "ajp" || refuses.secret === undefined || !word.includes("10.0.0.1");
    const started = option !== "program" || protocol !== "ajp" && protocol !== "http";
    const carried = option !== "websocket" || protocol === "http";
    return refuses[option] === undefined && carried && ajp && kept && started && trusted;
  });
  return left.length > 0 ? left : undefined;
}

describe("a web server accepts all the sites that are printed for it, in one configuration", () => {
  for (const [name, { server, files }] of Object.entries(readers)) {
    test(name, { skip: needs(server, files), timeout }, async () => {
      const folder = makeFolder();
      try {
        const place = { folder: folder.path, port: await freePort() };
        const sites: string[] = [];
        for (const protocol of servers[name].protocols) {
          for (const words of Object.values(variants)) {
            const used = wordsFor(name, protocol, words);
            if (used === undefined) continue;
            const id = `site${sites.length}`;
            const own = used.some((word) => word.startsWith("servername=")) ? [] : [`servername=${id}.example.org`];
            sites.push(
              configText([
                name,
                "app.ts",
                `protocol=${protocol}`,
                `name=${id}`,
                `listen=127.0.0.1:${30_000 + sites.length}`,
                ...own,
                ...used,
              ]),
            );
          }
        }
        assert.ok(sites.length > 10);
        assert.equal(complaintsAbout(server, place, sites.join("\n")), "");
        const usual = configText([name, "app.ts", `https=${certificate}`, "servername=example.org"]);
        // Only root may listen there.
        const ports = { 80: await freePort(), 443: await freePort() };
        const free = usual.replaceAll(/(?<=listen (?:\[::\]:)?)(80|443)\b/g, (port) => String(ports[port as unknown as 80]));
        assert.equal(complaintsAbout(server, place, free), "");
      } finally {
        folder.remove();
      }
    });
  }
});

const mountChecks: Record<string, (site: Site, name: string, protocol: ListeningProtocol) => Promise<void>> = {
  "the application knows its URL and where it is": async (site) => {
    const { url, scriptName, pathInfo } = await site.echo("/a/shop/echo/a%20b/%C3%A9?x=1");
    assert.equal(url, `http://127.0.0.1:${site.port}/a/shop/echo/a%20b/%C3%A9?x=1`);
    assert.deepEqual({ scriptName, pathInfo }, { scriptName: "/a/shop", pathInfo: "/echo/a b/é" });
  },
  "the prefix itself leads there": async (site) => {
    // Applications differ in whether their first page is the one with the slash, and redirect by themselves.
    for (const path of ["/a/shop", "/a/shop?a=1", "/a/shop/", "/a/shop/?a=1"]) {
      const { url, scriptName, pathInfo } = await site.echo(path, { headers: { "x-echo": "1" } });
      assert.equal(url, `http://127.0.0.1:${site.port}${path}`);
      assert.deepEqual([scriptName, scriptName + pathInfo], ["/a/shop", new URL(url).pathname]);
    }
  },
  "what is elsewhere is not the application's": async (site) => {
    for (const path of ["/", "/a/shopping", "/a"]) assert.doesNotMatch((await site.ask(path)).text, /Nothing is here\./);
  },
  "the web server serves the folder, but nothing hidden": async (site, name) => {
    if (!servers[name].servesFolders) return;
    assert.equal((await site.ask("/a/shop/media/a.txt")).text, "the file a");
    assert.equal((await site.ask("/a/shop/media/docs/")).text, "the index");
    for (const path of [".secret", ".git/config", "none.txt"]) {
      const { status, text } = await site.ask(`/a/shop/media/${path}`);
      assert.ok(status === 403 || status === 404, `${path} is ${status}`);
      assert.doesNotMatch(text, /secret|Nothing is here/);
    }
  },
  "a long head arrives, and the length of the page": async (site, _name, protocol) => {
    // A packet of AJP has 8 KiB.
    const lines = protocol === "ajp" ? 6 : 12;
    const { status, headers, text } = await site.ask(`/a/shop/head?lines=${lines}`);
    assert.deepEqual([status, text.length, headers["content-length"]], [200, 200_000, "200000"]);
    assert.equal(headers[`x-line-${lines - 1}`], "x".repeat(1000));
  },
  "large uploads arrive, and those above the limit are refused": async (site, name, protocol) => {
    const upload = async (length: number, body: Question["body"] = pattern(length)) => {
      const headers = { "content-length": String(length) };
      return (await site.ask("/a/shop/upload", { method: "POST", headers, body })).status;
    };
    // lighttpd takes 40 ms for each 8 KiB over AJP.
    assert.equal(await upload(name === "lighttpd" && protocol === "ajp" ? 1 * MiB : 20 * MiB), 200);
    // HAProxy answers when its buffer is full, and resets who goes on sending.
    const refused = await upload(40 * MiB, name === "haproxy" ? "x".repeat(20_000) : undefined);
    // Caddy 2.6 takes its own limit for a failure of whoever it passes the request on to.
    assert.equal(refused, name === "caddy" && protocol === "http" ? 502 : 413);
  },
};

/** Every web server over every protocol that it speaks. */
const ways = Object.keys(readers).flatMap((name) => servers[name].protocols.map((protocol) => ({ name, protocol })));
const lacking = Object.values(readers).map(({ server, files }) => needs(server, files)).find(Boolean) ?? false;

/** Everything that a group of tests has started, in a folder of its own. */
class Group {
  readonly folder = makeFolder();
  readonly programs: Running[] = [];
  readonly sites: { name: string; protocol: ListeningProtocol; site: Site }[] = [];

  /** Starts the program on a port, to speak whatever it is asked in. */
  async serve(...words: string[]): Promise<number> {
    const port = await freePort();
    const app = join(this.folder.path, "app.ts");
    if (!existsSync(app)) putApp(this.folder.path, "app.ts");
    this.programs.push(await startServing({ port }, [app, "protocol=auto", "trust=127.0.0.1", ...words]));
    return port;
  }

  /** Puts a web server with what is printed for it before that. */
  async visit(name: string, protocol: ListeningProtocol, words: readonly string[]): Promise<void> {
    const place = { folder: makeOpenFolder(join(this.folder.path, `${name}-${protocol}`)), port: await freePort() };
    const config = configText([name, `protocol=${protocol}`, `listen=127.0.0.1:${place.port}`, ...words]);
    const { server } = readers[name];
    const { running, errors } = await startWebServer(server, place, config);
    this.sites.push({ name, protocol, site: new Site(server, place, running, errors) });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.sites.map(({ site }) => site.web.stop()), ...this.programs.map((program) => program.stop())]);
    this.folder.remove();
  }
}

describe("below a prefix, with a folder that the web server serves and a limit for uploads", { skip: lacking }, () => {
  const group = new Group();

  before(async () => {
    const media = makeOpenFolder(join(group.folder.path, "media"));
    writeFileSync(join(media, "a.txt"), "the file a");
    writeFileSync(join(makeOpenFolder(join(media, "docs")), "index.html"), "the index");
    writeFileSync(join(media, ".secret"), "secret");
    mkdirSync(join(media, ".git"));
    writeFileSync(join(media, ".git", "config"), "secret");
    const told = await group.serve();
    const forced = await group.serve("scriptname=/a/shop");
    await Promise.all(ways.map(({ name, protocol }) => {
      const { servesFolders, tellsMount } = servers[name];
      const port = `port=${tellsMount?.(protocol) ? told : forced}`;
      const folders = servesFolders ? [`static=/media/=${media}`] : [];
      return group.visit(name, protocol, [port, "scriptname=/a/shop", "upload=30m", ...folders]);
    }));
  }, { timeout });

  after(() => group.stop(), { timeout });

  for (const { name, protocol } of ways) {
    for (const [what, check] of Object.entries(mountChecks)) {
      const running = () => group.sites.find((one) => one.name === name && one.protocol === protocol)!.site;
      testSite(`${name} over ${protocol}: ${what}`, running, (site) => check(site, name, protocol));
    }
  }
});

describe("several machines of which one dies", { skip: lacking }, () => {
  const group = new Group();

  before(async () => {
    const ports = await Promise.all([group.serve(), group.serve()]);
    const hosts = `hosts=${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
    await Promise.all(ways.map(({ name, protocol }) => group.visit(name, protocol, [hosts])));
  }, { timeout });

  after(() => group.stop(), { timeout });

  const pidBehind = async (site: Site) => (await site.echo("/echo")).pid;

  test("both are asked", { timeout }, async () => {
    for (const { name, protocol, site } of group.sites) {
      const pids = new Set<number>();
      // Some prefer the one that has less to do.
      const several = () => Promise.all(Array.from({ length: 4 }, () => pidBehind(site)));
      await until(`${name} over ${protocol} has asked both`, async () => {
        for (const pid of await several()) pids.add(pid);
        return pids.size > 1;
      });
    }
  });

  test("the other answers all that is asked then", { timeout }, async () => {
    await group.programs[0].stop();
    for (const { name, protocol, site } of group.sites) {
      for (let i = 0; i < 6; i++) {
        await assert.doesNotReject(pidBehind(site), `${name} over ${protocol}: ${site.errors.slice(-1000)}`);
      }
    }
  });
});
