/**
 * Applications as their frameworks' documentation starts them, on this program behind nginx over FastCGI: each is asked for a
 * page, a form, an upload, a redirect, a cookie and an error. What cannot run here says so in the line that its user sees.
 * With `--whole` all of them are tested, without it those of one folder.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { applications as installed, isInstalled } from "../../scripts/applications.ts";
import { ask } from "../support/http.ts";
import { freePort, program, type Running, startServing, whole } from "../support/program.ts";
import { makeFolder, needs, type RunningWebServer, startWebServer } from "../support/servers.ts";
import { fcgidRow } from "./fcgid.ts";
import { multipart, urlencoded } from "./protocols.ts";
import { checkRoutes, type Visit } from "./routes.ts";
import { startRow } from "./site.ts";

const { name: runtime } = program();
/** Generous: a test that fails for want of time says nothing. */
const timeout = 120_000;

interface Application {
  /** Below the folder of the applications. */
  file: string;
  /** What the program is told besides. */
  words?(host: string): string[];
  /** It answers only what `check` asks for. */
  only?: true;
  check?(visit: Visit, host: string, running: Running): Promise<void>;
  /** Runtimes on which it does not run, and what the log says why. The compiled program is Bun's. */
  cannot?: Partial<Record<"deno" | "bun" | "node", RegExp>>;
}

/** Two notes are kept. */
async function keepsNotes(visit: Visit): Promise<void> {
  for (const text of ["one", "ü"]) await visit("/notes", urlencoded({ text }));
  assert.deepEqual(JSON.parse((await visit("/notes")).text), ["one", "ü"]);
}

async function hasNumbers(visit: Visit): Promise<void> {
  assert.equal((await visit("/numbers")).text, "123");
}

async function answersTrpc(visit: Visit): Promise<void> {
  const input = encodeURIComponent(JSON.stringify("you"));
  assert.deepEqual(JSON.parse((await visit(`/trpc/greet?input=${input}`)).text), { result: { data: "Hello you" } });
  const body = JSON.stringify("x".repeat(100_000));
  const stored = await visit("/trpc/store", { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.deepEqual(JSON.parse(stored.text), { result: { data: 100_000 } });
  assert.equal((await visit("/trpc/nothing")).status, 404);
}

async function answersGraphql(visit: Visit): Promise<void> {
  const query = (query: string, more: Record<string, string> = {}) =>
    visit("/graphql", {
      method: "POST",
      headers: { "content-type": "application/json", ...more },
      body: JSON.stringify({ query }),
    });
  assert.deepEqual(JSON.parse((await query('{ hello(name: "you") }')).text), { data: { hello: "Hello you" } });
  assert.equal(JSON.parse((await query("{ fail }")).text).errors.length, 1);
  assert.match((await visit("/graphql", { headers: { accept: "text/html" } })).text, /<title>Yoga GraphiQL<\/title>/);
  const events = await query("subscription { count(to: 2) }", { accept: "text/event-stream" });
  assert.match(events.text, /"count":1[^]*"count":2/);
  const operations = JSON.stringify({
    query: 'mutation ($file: File!) { upload(title: "A title", file: $file) }',
    variables: { file: null },
  });
  const upload = await visit(
    "/graphql",
    multipart({ operations, map: JSON.stringify({ file: ["variables.file"] }) }, { name: "a.txt", text: "text!" }),
  );
  const described = JSON.parse(JSON.parse(upload.text).data.upload);
  assert.deepEqual(described, { title: "A title", name: "a.txt", size: 5, last: "!".charCodeAt(0) });
}

/** A file of the folder that the framework serves itself. */
async function servesFiles(visit: Visit): Promise<void> {
  assert.equal((await visit("/robots.txt")).text, "User-agent: *\n");
}

/** A picture of one pixel. */
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const forBun = /It is written for Bun, and this is (?:Node|Deno): /;
const forDeno = /It is written for Deno, and this is (?:Node|Bun): /;
const elysiaListens = /WebStandard does not support listen, you might want to export default Elysia\.fetch instead/;

const few: Record<string, Application> = {
  "Elysia": { file: "few/elysia.ts", check: hasNumbers },
  "Elysia, which listens": {
    file: "few/elysia_listen.ts",
    check: hasNumbers,
    cannot: { node: elysiaListens, deno: elysiaListens },
  },
  "Polka, which listens": { file: "few/polka.ts" },
  "tRPC": { file: "few/trpc.ts", check: answersTrpc },
  "tRPC, which listens": { file: "few/trpc_listen.ts", only: true, check: answersTrpc },
  "GraphQL Yoga": { file: "few/yoga.ts", only: true, check: answersGraphql },
  "GraphQL Yoga, which listens": { file: "few/yoga_listen.ts", only: true, check: answersGraphql },
  "node:sqlite": { file: "few/node_sqlite.ts", check: keepsNotes },
  "bun:sqlite": { file: "few/bun_sqlite.ts", check: keepsNotes, cannot: { node: forBun, deno: forBun } },
};

const more: Record<string, Application> = {
  "Express 5 with twelve middlewares and sharp": {
    file: "more/express.ts",
    async check(visit, _host, running) {
      const { headers } = await visit("/", { headers: { origin: "http://elsewhere.test", "accept-encoding": "gzip" } });
      assert.match(headers["content-security-policy"] as string, /default-src/);
      assert.equal(headers["access-control-allow-origin"], "http://elsewhere.test");
      assert.equal(headers["content-encoding"], "gzip");
      assert.match(headers["x-response-time"] as string, /^[\d.]+ms$/);
      assert.match(headers.ratelimit as string, /r=\d+/);
      assert.equal((await visit("/static/package")).headers["content-type"], "application/json; charset=utf-8");
      const deleted = await visit("/thing", { method: "POST", headers: { "x-http-method-override": "DELETE" } });
      assert.equal(deleted.text, "deleted");
      const picture = await visit("/picture", multipart({}, { name: "a.png", text: pixel }));
      assert.deepEqual(JSON.parse(picture.text), { width: 2, height: 2, format: "png" });
      assert.match(running.stdout() + running.stderr(), /127\.0\.0\.1 - - .*"GET \/ HTTP\/1\.1" 200/);
    },
  },
  "Nest, which listens": { file: "more/nest.ts" },
  "Hono with JSX": {
    file: "more/hono.tsx",
    async check(visit) {
      assert.match((await visit("/")).text, /<p title="&lt;you&gt;">&lt;you&gt;<\/p>/);
      assert.equal((await visit("/address")).text, "127.0.0.1");
      assert.equal((await visit("/events")).text, "data: event 1\nid: 1\n\ndata: event 2\nid: 2\n\n");
      if (runtime !== "node") assert.match((await visit("/static/package.json")).text, /"hono"/);
    },
  },
  "better-auth": {
    file: "more/better_auth.ts",
    words: (host) => [`env=BASE_URL=http://${host}`],
    async check(visit, host) {
      const post = (path: string, body: object) =>
        visit(`/api/auth/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json", origin: `http://${host}` },
          body: JSON.stringify(body),
        });
      const account = { email: "you@example.org", password: "a long password" };
      assert.equal((await post("sign-up/email", { ...account, name: "You" })).status, 200);
      assert.equal((await post("sign-in/email", { ...account, password: "another password" })).status, 401);
      const { headers } = await post("sign-in/email", account);
      const cookie = headers["set-cookie"]!.map((line) => line.split(";")[0]).join("; ");
      assert.equal((await visit("/me", { headers: { cookie } })).text, '"you@example.org"');
      assert.equal((await visit("/me")).text, "null");
    },
  },
  "Socket.IO, polling": {
    file: "more/socketio.ts",
    async check(visit) {
      const path = "/socket.io/?EIO=4&transport=polling";
      const { sid } = JSON.parse((await visit(path)).text.slice(1));
      const send = (body: string) =>
        visit(`${path}&sid=${sid}`, { method: "POST", headers: { "content-type": "text/plain" }, body });
      const receive = async () => (await visit(`${path}&sid=${sid}`)).text;
      assert.equal((await send("40")).text, "ok");
      let received = await receive();
      if (!received.includes("welcome")) received += await receive();
      assert.match(received, /^40\{"sid":".*"\}.*42\["welcome","Hello"\]$/s);
      assert.equal((await send('420["shout","text"]')).text, "ok");
      assert.equal(await receive(), '430["TEXT"]');
    },
  },
  "hapi, which listens": { file: "more/hapi.ts" },
  "better-sqlite3": {
    file: "more/better_sqlite3.ts",
    check: keepsNotes,
    cannot: { bun: /'better-sqlite3' is not yet supported in Bun/, deno: /Only Node-API \(N-API\) addons are supported/ },
  },
  "SvelteKit": {
    file: "sveltekit/build/index.js",
    words: (host) => [`env=ORIGIN=http://${host}`],
    async check(visit, host) {
      await servesFiles(visit);
      const post = (path: string, origin: string) => {
        const question = urlencoded({ name: "you" });
        return visit(path, { ...question, headers: { ...question.headers, accept: "text/html", origin } });
      };
      assert.match((await post("/", `http://${host}`)).text, /<p>nobody you<\/p>/);
      assert.equal((await post("/form", "http://elsewhere.test")).status, 403);
    },
  },
  "SvelteKit's handler": {
    file: "sveltekit/build/handler.js",
    words: (host) => [`env=ORIGIN=http://${host}`],
    check: servesFiles,
  },
  "Astro, standalone": { file: "astro/dist/server/entry.mjs", check: servesFiles },
  "Astro, middleware": { file: "astro/middleware.js" },
  "React Router": { file: "reactrouter/server.js" },
  "Nitro, node-server": { file: "nitro/output/node-server/server/index.mjs", check: servesFiles },
  // It leaves files to the server around it.
  "Nitro, node": { file: "nitro/output/node/server/index.mjs" },
  "Nitro, bun": { file: "nitro/output/bun/server/index.mjs", check: servesFiles, cannot: { node: forBun, deno: forBun } },
  "Nitro, deno-server": {
    file: "nitro/output/deno-server/server/index.mjs",
    check: servesFiles,
    cannot: { node: forDeno, bun: forDeno },
  },
  "Nuxt": {
    file: "nuxt/.output/server/index.mjs",
    async check(visit) {
      assert.match((await visit("/")).text, /<p>the server<\/p>/);
      await servesFiles(visit);
    },
  },
};

if (runtime === "deno") {
  more["Nest with npm: specifiers"] = {
    file: "nest_deno/app.ts",
    only: true,
    check: async (visit) => assert.equal((await visit("/")).text, "<h1>Hello</h1>"),
  };
}

const all = Object.entries(whole ? { ...few, ...more } : few);
const missing = all.map(([, { file }]) => file.split("/")[0]).find((name) => !isInstalled(name));
const skip = needs("nginx") ||
  missing !== undefined && process.env.CI !== "true" && `run: deno run -A scripts/applications.ts ${missing}`;

describe(`applications (${runtime})`, { skip }, () => {
  const folder = makeFolder();
  const socketOf = (index: number) => join(folder.path, `${index}.sock`);
  let port = 0;
  let nginx: RunningWebServer | undefined;

  before(async () => {
    port = await freePort();
    const hosts = all.map((_, index) =>
      `server {
        listen 127.0.0.1:${port};
        server_name app${index}.test;
        location / {
          include fastcgi_params;
          fastcgi_param HTTP_HOST $http_host;
          fastcgi_pass unix:${socketOf(index)};
          fastcgi_buffer_size 32k;
          fastcgi_buffers 8 16k;
        }
      }`
    );
    nginx = await startWebServer("nginx", { folder: folder.path, port }, hosts.join("\n"));
  }, { timeout });

  after(async () => {
    await nginx?.running.stop();
    folder.remove();
  }, { timeout });

  for (const [index, [name, { file, words, only, check, cannot }]] of all.entries()) {
    test(name, { timeout }, async () => {
      const host = `app${index}.test`;
      const visit: Visit = (path, question) => ask(port, path, { ...question, headers: { host, ...question?.headers } });
      const given = [join(installed, file), "protocol=fcgi", "mode=666", "threads=1", ...words?.(host) ?? []];
      const running = await startServing({ socket: socketOf(index) }, given, { cwd: folder.path });
      try {
        const reason = cannot?.[runtime === "binary" ? "bun" : runtime];
        if (reason) {
          assert.equal((await visit("/")).status, 503);
          assert.match(running.stderr(), reason);
          return;
        }
        if (!only) await checkRoutes(visit, host);
        await check?.(visit, host, running);
      } catch (error) {
        throw new Error(`The log ends with:\n${(running.stderr() + nginx!.errors()).slice(-4000)}`, { cause: error });
      } finally {
        await running.stop();
      }
    });
  }
});

/** Files that a site on shared hosting imports, many of which its framework has built. */
const dropIns = [
  "few/elysia.ts",
  "few/polka.ts",
  "more/express.ts",
  "astro/dist/server/entry.mjs",
  "reactrouter/server.js",
  "nitro/output/bun/server/index.mjs",
  "nuxt/.output/server/index.mjs",
];

describe(`applications beside the program, started by mod_fcgid (${runtime})`, {
  skip: runtime !== "binary"
    ? "it is the compiled program that is uploaded"
    : !whole
    ? "only with --whole"
    : skip || needs("apache"),
}, () => {
  for (const file of dropIns) {
    test(file, { timeout }, async () => {
      const { site, stop } = await startRow({
        ...fcgidRow,
        app(folder) {
          const app = join(folder, "mysite.ts");
          const path = JSON.stringify(join(installed, file));
          const exported = /^few\/elysia|^reactrouter/.test(file);
          writeFileSync(app, exported ? `export { default } from ${path};\n` : `import ${path};\n`);
          return app;
        },
      });
      try {
        await checkRoutes((path, question) => site.ask(path, question), `127.0.0.1:${site.port}`);
      } catch (error) {
        throw new Error(`The log ends with:\n${site.errors.slice(-4000)}`, { cause: error });
      } finally {
        await stop();
      }
    });
  }
});
