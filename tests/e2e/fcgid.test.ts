/** Apache's mod_fcgid as on shared hosting: files in a folder and a `.htaccess`, nothing else. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { makeOpenFolder, needs } from "../support/servers.ts";
import { fcgidRow, host, htaccess } from "./fcgid.ts";
import { type AppPlace, checkRow, newId, putApp, putProgram, type Row, startAround, startRow, testSite } from "./site.ts";

/** As people have written it for other programs. */
const classicHtaccess = `
AddHandler fcgid-script .fcgi
Options +ExecCGI
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^(.*)$ mysite.fcgi/$1 [QSA,L]
CGIPassAuth On
`;

checkRow(fcgidRow);

checkRow({
  ...fcgidRow,
  name: "Apache mod_fcgid, the program elsewhere",
  site: (place) =>
    host(place, configText(["apache-shared", `program=${place.app.program}`]), makeOpenFolder(join(place.folder, "public"))),
});

checkRow({
  ...fcgidRow,
  name: "Apache mod_fcgid, the path in the rewrite",
  site: (place) => host(place, classicHtaccess),
  cannot: { "so it is with what a path is made of elsewhere": "Apache refuses %25 and %3F in what it rewrites" },
});

/** The row with other files in its folder. */
const withFiles = (change: (place: AppPlace) => void): Row => ({
  ...fcgidRow,
  site(place) {
    change(place);
    return fcgidRow.site(place);
  },
});

for (const [name, rules] of Object.entries({ "Apache mod_fcgid": htaccess, "the path in the rewrite": classicHtaccess })) {
  describe(`A site below another, ${name}`, { skip: needs("apache") }, () => {
    const below: Row = {
      ...fcgidRow,
      site(place) {
        const folder = makeOpenFolder(join(place.folder, "below"));
        writeFileSync(join(folder, ".htaccess"), rules);
        putProgram(join(folder, "mysite.fcgi"), putApp(folder, "mysite.ts"));
        return fcgidRow.site(place);
      },
    };
    const running = startAround(() => startRow(below));

    testSite("knows its URL and where it is", running, async (site) => {
      const { url, scriptName, pathInfo } = await site.echo("/below/echo/a%20b?x=1");
      assert.equal(url, `http://127.0.0.1:${site.port}/below/echo/a%20b?x=1`);
      assert.deepEqual({ scriptName, pathInfo }, { scriptName: "/below", pathInfo: "/echo/a b" });
      assert.equal((await site.ask("/below/")).text, "Nothing is here.");
    });
  });
}

describe("Files in a folder behind Apache mod_fcgid", { skip: needs("apache") }, () => {
  const running = startAround(() => startRow(withFiles(({ folder }) => writeFileSync(join(folder, "static.txt"), "static"))));

  testSite("Apache serves the files, except the source", running, async (site) => {
    assert.equal((await site.ask("/static.txt")).text, "static");
    assert.equal((await site.ask("/mysite.ts")).status, 404);
  });

  testSite("a request under way is finished when Apache restarts", running, async (site) => {
    const id = newId();
    const answer = site.ask(`/unhurried?id=${id}`);
    await site.marked(`begun-${id}`);
    site.web.kill("SIGUSR1");
    const { status, text } = await answer;
    assert.deepEqual({ status, text }, { status: 200, text: "told twice to stop" });
    assert.equal((await site.ask("/seen?id=0")).status, 200);
  });
});

describe("Variables of a .htaccess behind Apache mod_fcgid", { skip: needs("apache") }, () => {
  const app = `export const runfcgi = { envfrom: "MYSITE_*" };
const { MYSITE_DATABASE, OTHER } = process.env;
if (!MYSITE_DATABASE) throw new Error("MYSITE_DATABASE is missing");
export default () => Response.json([MYSITE_DATABASE, OTHER]);
`;
  const running = startAround(() =>
    startRow({
      ...fcgidRow,
      site(place) {
        writeFileSync(join(place.folder, "mysite.ts"), app);
        return host(place, `${htaccess}SetEnv MYSITE_DATABASE "a database"\nSetEnv OTHER other\n`);
      },
    })
  );

  testSite("are the application's environment where it allows them", running, async (site) => {
    assert.equal((await site.ask("/some/page")).text, '["a database",null]');
    assert.equal((await site.ask("/")).text, '["a database",null]');
  });
});

describe("The program alone behind Apache mod_fcgid", { skip: needs("apache") }, () => {
  const running = startAround(() => startRow(withFiles(({ folder }) => rmSync(join(folder, "mysite.ts")))));

  testSite("shows that it works and what the visitor typed", running, async (site) => {
    const { status, text } = await site.ask("/some%20page?x=1");
    assert.equal(status, 200);
    assert.match(text, /It works\./);
    assert.ok(text.includes(`http://127.0.0.1:${site.port}/some%20page?x=1`), text);
  });
});

describe("A program of exec behind Apache mod_fcgid", { skip: needs("apache") }, () => {
  /** Answers with its process id and that of who asked, when a few ask at once. */
  const inner = `import http.server, os, sys, threading
together = threading.Barrier(4, timeout=20)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        together.wait()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
`;
  const running = startAround(() =>
    startRow(withFiles((place) => {
      const folder = makeOpenFolder(join(place.folder, "below"));
      writeFileSync(join(folder, ".htaccess"), htaccess);
      const file = join(folder, "inner.py");
      writeFileSync(file, inner);
      putProgram(join(folder, "program"));
      const command = `'${join(folder, "program")}' "exec=python3 '${file}' {port}"`;
      writeFileSync(join(folder, "mysite.fcgi"), `#!/bin/sh\nPATH=/usr/bin:/bin exec ${command}\n`, { mode: 0o755 });
    }))
  );

  testSite("is one for all processes", running, async (site) => {
    // Each process has one request at a time, so that four at once are four processes.
    const answers = await Promise.all(Array.from({ length: 4 }, () => site.ask("/below/page")));
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200]);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.match(answers[0].text, /^\d+$/);
  });
});
