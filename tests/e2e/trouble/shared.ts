/**
 * Troubles on shared hosting, where Apache's mod_fcgid starts the program.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, renameSync, rmSync } from "node:fs";
import { fetchFrom } from "../../../src/doctor/fetch.ts";
import { makeOpenFolder } from "../../support/servers.ts";
import { until } from "../../support/program.ts";
import { type Case, hello, isRoot, type Trouble } from "./kit.ts";

/** Does what the doctor says: adds lines to the `.htaccess`. */
function add(trouble: Trouble, [first, ...lines]: string[]): void {
  assert.match(first, /^Add to \S+\.htaccess:$/);
  trouble.append(".htaccess", lines.join("\n"));
}

/** Takes lines out of the `.htaccess`. */
function take(trouble: Trouble, line: RegExp): void {
  trouble.write(".htaccess", trouble.read(".htaccess").split("\n").filter((text) => !line.test(text)).join("\n"));
}

export const shared: Record<string, Case> = {
  "500 from Apache, not from the program": {
    server: "apache",
    async run(trouble) {
      await trouble.share(hello);
      await trouble.expect(200, "hello");
      // Of a file that is linked, the mode is that of all its names.
      copyFileSync(trouble.file("mysite.fcgi"), trouble.file("copy"));
      renameSync(trouble.file("copy"), trouble.file("mysite.fcgi"));
      chmodSync(trouble.file("mysite.fcgi"), 0o644);
      await trouble.host();
      await trouble.expect(500, /The server encountered an internal error/);
      assert.match(trouble.errors, /End of script output before headers: mysite\.fcgi/);
      const [chmod] = await trouble.advice("program file", /is not executable \(mode 644\)/, "as=mod_fcgid");
      assert.equal(chmod, `chmod 755 ${trouble.file("mysite.fcgi")}`);
      trouble.shell(chmod);
      await trouble.expect(200, "hello");

      // The program is as it should be.
      await trouble.host("FileInfo AuthConfig");
      await trouble.expect(500, /The server encountered an internal error/);
      const advice = await trouble.advice("web server", /answered with 500 by Apache/, `url=${trouble.url}`);
      assert.match(advice.join("\n"), /does not allow a line of the \.htaccess[^]*error log[^]*not allowed here/);
      assert.match(trouble.errors, /\.htaccess: Options not allowed here/);
      await trouble.host("All");
      await trouble.healthy("as=mod_fcgid");
      await trouble.healthy(`url=${trouble.url}`);
    },
  },

  "403 from Apache": {
    server: "apache",
    async run(trouble) {
      await trouble.share(hello);
      take(trouble, /ExecCGI/);
      await trouble.expect(403, /You don't have permission/);
      add(trouble, await trouble.advice("web server", /403 by Apache: it may not start the program/, `url=${trouble.url}`));
      await trouble.expect(200, "hello");
      if (!isRoot) return;
      chmodSync(trouble.file(".htaccess"), 0o600);
      await trouble.expect(403, /You don't have permission/);
      const words = [`url=${trouble.url}`, "user=www-data"];
      const [chmod] = await trouble.advice(".htaccess", /www-data may not read .*\.htaccess" \(mode 600/, ...words);
      trouble.shell(chmod);
      await trouble.expect(200, "hello");
      await trouble.healthy(...words);
    },
  },

  "404 from Apache for all pages, or all but the first": {
    server: "apache",
    async run(trouble) {
      await trouble.share(hello);
      const words = [`url=${trouble.url}`];
      take(trouble, /Rewrite/);
      trouble.append(".htaccess", "DirectoryIndex mysite.fcgi");
      await trouble.expect(200, "hello");
      await trouble.expect(404, /not found on this server/, "/page");
      await trouble.advice("private files", /visitors can read .*"\/mysite\.ts"/, ...words);
      add(trouble, await trouble.advice("web server", /404 by Apache: it does not lead visitors to the program/, ...words));
      await trouble.expect(200, "hello", "/page");
      await trouble.expect(200, "hello", "/mysite.ts");

      rmSync(trouble.file(".htaccess"));
      await trouble.expect(404, /not found on this server/);
      const [config] = await trouble.advice("web server", /404 by Apache/, ...words);
      trouble.shell(config);
      await trouble.expect(200, "hello");

      await trouble.host("None");
      await trouble.expect(404, /not found on this server/);
      const [sentence] = await trouble.advice("web server", /404 by Apache/, ...words);
      assert.match(sentence, /^Write to the host's support: “Please set AllowOverride All/);
      await trouble.host("All");
      await trouble.healthy(...words);
    },
  },

  "visitors can download the program or its source": {
    server: "apache",
    async run(trouble) {
      await trouble.share(hello);
      const words = [`url=${trouble.url}`];
      take(trouble, /AddHandler/);
      // Not all of it.
      const { status, text } = await fetchFrom(new URL(trouble.url), "/mysite.fcgi");
      assert.equal(status, 200);
      assert.match(text, /^(?:\x7fELF|#!)/);
      add(trouble, await trouble.advice("web server", /gives the program away instead of starting it/, ...words));
      await trouble.expect(200, "hello");

      take(trouble, /Rewrite/);
      const simple = ["RewriteEngine On", "RewriteCond %{REQUEST_FILENAME} !-f", "RewriteRule ^ mysite.fcgi [L]"];
      trouble.append(".htaccess", simple.join("\n"));
      await trouble.expect(200, hello, "/mysite.ts");
      const [, ...lines] = await trouble.advice("private files", /visitors can read .*"\/mysite\.ts"/, ...words);
      take(trouble, /Rewrite/);
      trouble.append(".htaccess", lines.join("\n"));
      await trouble.expect(200, "hello", "/mysite.ts");
      await trouble.healthy(...words);
    },
  },

  "500 “The site could not answer”": {
    server: "apache",
    async run(trouble) {
      makeOpenFolder(trouble.folder);
      await trouble.share(`export default {\n  fetch() {\n    throw new Error("out of order");\n  },\n};\n`);
      await trouble.expect(500, /The site could not answer\. The reason is in the log \.htmysite\.log\./);
      const [tail] = await trouble.advice("web server", /answered with 500 by the program/, `url=${trouble.url}`);
      assert.equal(tail, `The reason is in its log: tail ${trouble.file(".htmysite.log")}`);
      await trouble.logged(".htmysite.log", /GET \/: Error: out of order\n.*mysite\.ts:3/);
      await trouble.expect(500, /The site could not answer/, "/.htmysite.log");
      trouble.append("mysite.ts", "export const runfcgi = { debug: true };");
      await until("the page says it", async () => /out of order/.test((await trouble.ask()).text));
      trouble.write("mysite.ts", hello);
      await until("the mended one answers", async () => (await trouble.ask()).status === 200);
      await trouble.expect(200, "hello", "/.htmysite.log");
    },
  },

  "503 “The site cannot be loaded”": {
    server: "apache",
    async run(trouble) {
      makeOpenFolder(trouble.folder);
      await trouble.share("export default {\n  fetch( { return new Response() },\n};\n");
      await trouble.expect(503, /The site cannot be loaded\. The reason is in the log \.htmysite\.log\./);
      await trouble.logged(".htmysite.log", /mysite\.ts:2/);
      assert.match(trouble.errors, /mysite\.ts:2/);
      assert.match((await trouble.advice("application", /cannot be loaded/, `url=${trouble.url}`)).join("\n"), /mysite\.ts:2/);
      await trouble.advice("web server", /answered with 503 by the program/, `url=${trouble.url}`);
      trouble.write("mysite.ts", hello);
      await until("the mended one answers", async () => (await trouble.ask()).status === 200);
    },
  },
};
