/** Programs that a web server has started, under a steady load: new code, restarts and limits, and no visitor is turned away. */
import assert from "node:assert/strict";
import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { program, until } from "../support/program.ts";
import { makeOpenFolder, needs } from "../support/servers.ts";
import { Visitors } from "../support/visitors.ts";
import { passengerRow } from "./passenger.ts";
import { type AppPlace, type Row, startAround, startRow, testSite } from "./site.ts";

/** An application that says which version it is, and which of the programs that have started in its process. */
const app = (version: string, { options = {}, leak = 0 }: { options?: Record<string, unknown>; leak?: number } = {}) =>
  `const { born } = Object.assign(globalThis, { born: globalThis.born ?? Math.random() });
export const runfcgi = ${JSON.stringify(options)};
const kept = [];
export default async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  if (${leak} > 0) kept.push(new Uint8Array(${leak}).fill(1));
  return new Response("${version} " + born);
};
`;

/** MiB that a program takes which has just begun, and some more. */
const enough = { bun: 200, binary: 200, deno: 250, node: 300 }[program().name];
/** When a program restarts, and what it logs then. */
const limits: [name: string, options: Record<string, number>, reason: RegExp][] = [
  ["maxrequests", { maxrequests: 40 }, /Restarting: it has served 40 requests/g],
  ["maxmemory", { maxmemory: enough }, new RegExp(`Restarting: it takes more than ${enough} MiB`, "g")],
  ["maxage", { maxage: 1 }, /Restarting: it is older than 1 s/g],
];

const rows: Row[] = [
  {
    name: "Apache mod_fcgid",
    server: "apache",
    listens: "spawned",
    site({ folder }) {
      makeOpenFolder(join(folder, "ipc"));
      return `
        DocumentRoot "${folder}"
        <Directory "${folder}">
          Options +ExecCGI
          AddHandler fcgid-script .fcgi
          Require all granted
          RewriteEngine On
          RewriteRule ^ mysite.fcgi [L]
        </Directory>`;
    },
  },
  {
    name: "lighttpd",
    server: "lighttpd",
    listens: "spawned",
    site: ({ app }) => `
      fastcgi.server = ( "/" => ((
        "bin-path" => "${app.program}",
        "socket" => "${app.socket}",
        "max-procs" => 2,
        "check-local" => "disable",
        "fix-root-scriptname" => "enable",
      )) )`,
  },
  passengerRow,
];

const versionOf = (text: string) => text.split(" ")[0];
const programOf = (text: string) => text.split(" ")[1];

for (const row of rows) {
  describe(`Changes behind ${row.name}`, { skip: needs(row.server, row.files) }, () => {
    let place: AppPlace;
    const running = startAround(() =>
      startRow({
        ...row,
        site(at) {
          place = at;
          writeFileSync(join(at.folder, "mysite.ts"), app("0"));
          return row.site!(at);
        },
      })
    );
    const put = (text: string) => {
      // As an upload that is over at once.
      writeFileSync(join(place.folder, "state", "upload"), text);
      renameSync(join(place.folder, "state", "upload"), join(place.folder, "mysite.ts"));
    };

    testSite("new code answers, again and again, and nobody is turned away", running, async (site) => {
      await using load = new Visitors(site.port, 3);
      for (const version of ["1", "2", "3"]) {
        put(app(version));
        await until(`version ${version} answers`, () => [...load.answers.keys()].some((text) => versionOf(text) === version));
        await until("no other code answers", async () => {
          const answers = await Promise.all([1, 2, 3, 4].map(() => site.ask("/")));
          return answers.every(({ text }) => versionOf(text) === version);
        });
      }
      await until("a program has restarted", () => new Set([...load.answers.keys()].map(programOf)).size > 3);
      await load.leave();
      // Passenger itself aborts now and then while it starts a program.
      if (!/Passenger core \(pid=\d+\) crashed/.test(site.errors)) assert.deepEqual(load.failures, []);
    });

    testSite("new code that cannot be loaded leaves the old one in place, and the log says why", running, async (site) => {
      // One that starts just now has no old code to go on with.
      await using load = new Visitors(site.port, 1);
      let since = Date.now();
      let seen = 0;
      await until("nothing starts any more", () => {
        if (load.answers.size !== seen) [since, seen] = [Date.now(), load.answers.size];
        return Date.now() - since > 1500;
      });
      put("export default {\n  fetch( {\n};\n");
      await until("the log has it", () => /Cannot load the new code, still serving the old[^]*mysite\.ts:\d/.test(site.errors));
      put(app("4"));
      await until("fixed code answers", async () => versionOf((await site.ask("/")).text) === "4");
      await load.leave();
      assert.deepEqual(load.failures, []);
    });

    testSite("a graceful restart of the web server turns nobody away", running, async (site) => {
      await using load = new Visitors(site.port, 3);
      for (let i = 0; i < 2; i++) {
        // The web server's signal ends one that is starting before it runs any code of ours.
        await load.settled();
        const seen = new Set(load.answers.keys());
        site.web.kill("SIGUSR1");
        // One that is seen for the first time may be an old one that was idle.
        await until("only others answer", () => load.last.every((text) => !seen.has(text)));
      }
      await load.leave();
      const { answers, failures } = load;
      assert.deepEqual(failures, []);
      assert.ok(new Set([...answers.keys()].map(programOf)).size > 2);
    }, row === passengerRow ? "Passenger drops a connection now and then" : undefined);

    testSite("a new program in the place of the old is started", running, async (site) => {
      await using load = new Visitors(site.port, 3);
      await until("somebody answers", () => load.answers.size > 0);
      const old = new Set(load.answers.keys());
      const fresh = join(place.folder, "state", "fresh");
      copyFileSync(place.app.program, fresh);
      renameSync(fresh, place.app.program);
      await until("only others answer", async () => {
        const texts = (await Promise.all([1, 2, 3, 4].map(() => site.ask("/")))).map(({ text }) => text);
        return texts.every((text) => !old.has(text));
      });
      await load.leave();
      assert.deepEqual(load.failures, []);
    }, program().name === "binary" ? undefined : "a script that starts the program is not known to it");

    // Passenger starts a server, which replaces its workers as any does.
    for (const [name, options, reason] of row === passengerRow ? [] : limits) {
      testSite(`${name} restarts programs again and again, and nobody is turned away`, running, async (site) => {
        put(app(name, { options, leak: name === "maxmemory" ? 2 ** 21 : 0 }));
        await using load = new Visitors(site.port, 3);
        await until("programs have restarted", () => (site.errors.match(reason)?.length ?? 0) >= 6);
        await load.leave();
        const { answers, failures } = load;
        assert.deepEqual(failures, []);
        const counts = [...answers].filter(([text]) => versionOf(text) === name).map(([, count]) => count);
        assert.ok(counts.length >= 6, `${counts}`);
        // Requests that come before the last one is answered are served, too.
        if (name === "maxrequests") assert.ok(counts.every((count) => count < 40 + 3), `${counts}`);
      });
    }
  });
}
