/** The ways on which web servers lead a URL to `mysite.fcgi`, as Django's documentation and others have them. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { makeOpenFolder, needs } from "../support/servers.ts";
import { type AppPlace, putApp, putProgram, type Row, startAround, startRow, testSite } from "./site.ts";

/** Starts the row; below each of these mounts the application is to know its URL and where it is. */
function checkMounts(row: Row, mounts: Record<string, string>): void {
  describe(row.name, { skip: needs(row.server, row.files) }, () => {
    const running = startAround(() => startRow(row));
    for (const [name, mount] of Object.entries(mounts)) {
      testSite(name, running, async (site) => {
        const seen = await site.echo(`${mount}/echo/a%20b/%C3%A9?x=1&y=%20z`);
        assert.deepEqual({ url: seen.url, scriptName: seen.scriptName, pathInfo: seen.pathInfo }, {
          url: `http://127.0.0.1:${site.port}${mount}/echo/a%20b/%C3%A9?x=1&y=%20z`,
          scriptName: mount,
          pathInfo: "/echo/a b/é",
        });
        assert.equal((await site.ask(`${mount}/`)).text, "Nothing is here.");
      });
    }
    if (row.listens === "spawned") {
      testSite("files are left to the web server", running, async (site) => {
        assert.equal((await site.ask("/media/a.txt")).text, "a file");
      });
    }
  });
}

/** Folders with a file, and others with the program and a `.htaccess`. */
function putFolders({ folder }: AppPlace, rules: Record<string, string> = {}): void {
  mkdirSync(join(folder, "files"));
  writeFileSync(join(folder, "files/a.txt"), "a file");
  for (const [name, text] of Object.entries(rules)) {
    const place = makeOpenFolder(join(folder, name));
    writeFileSync(join(place, ".htaccess"), text);
    putProgram(join(place, "mysite.fcgi"), putApp(place, "mysite.ts"));
  }
}

checkMounts({
  name: "Apache mod_fcgid, rewrites to mysite.fcgi",
  server: "apache",
  listens: "spawned",
  site: (place) => {
    makeOpenFolder(join(place.folder, "ipc"));
    putFolders(place, {
      classic: `
        RewriteEngine On
        RewriteCond %{REQUEST_FILENAME} !-f
        RewriteRule ^(.*)$ mysite.fcgi/$1 [QSA,L]`,
      short: `
        RewriteEngine On
        RewriteCond %{REQUEST_FILENAME} !-f
        RewriteRule ^ mysite.fcgi [L]`,
      fallback: "FallbackResource /fallback/mysite.fcgi",
    });
    return `
      LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
      DocumentRoot "${place.folder}"
      <Directory "${place.folder}">
        Options +ExecCGI
        AddHandler fcgid-script .fcgi
        AllowOverride All
        Require all granted
      </Directory>
      Alias "/media" "${place.folder}/files"
      ScriptAlias "/alias" "${place.folder}/mysite.fcgi"
      RewriteEngine On
      RewriteRule ^/(media.*|alias/.*)$ /$1 [QSA,L,PT]
      RewriteRule ^/(?:classic|short|fallback)/ - [L]
      RewriteRule ^/part/(.*)$ /mysite.fcgi/$1 [QSA,L]
      RewriteRule ^/through/(.*)$ /mysite.fcgi/$1 [PT]
      RewriteRule ^/(.*)$ /mysite.fcgi/$1 [QSA,L]`;
  },
}, {
  "a virtual host": "",
  "a part of a virtual host": "/part",
  "a part of a virtual host, with [PT]": "/through",
  "ScriptAlias": "/alias",
  "a .htaccess": "/classic",
  "a .htaccess, without the path": "/short",
  "FallbackResource": "/fallback",
  "the program itself": "/classic/mysite.fcgi",
});

checkMounts({
  name: "lighttpd, rewrites to mysite.fcgi",
  server: "lighttpd",
  listens: "spawned",
  site: (place) => {
    putFolders(place);
    return `
      server.modules += ( "mod_rewrite", "mod_alias" )
      server.stream-response-body = 1
      alias.url = ( "/media" => "${place.folder}/files" )
      url.rewrite-once = (
        "^(/media.*)$" => "$1",
        "^/part(/.*)$" => "/mysite.fcgi$1",
        "^(/.*)$" => "/mysite.fcgi$1",
      )
      fastcgi.server = ( "/mysite.fcgi" => ( "main" => (
        "bin-path" => "${place.app.program}",
        "socket" => "${place.app.socket}",
        "max-procs" => 1,
        "check-local" => "disable",
      )) )`;
  },
}, {
  "the whole site": "",
  "a part of the site": "/part",
});

checkMounts({
  name: "nginx, which cuts off the path that scriptname gives back",
  server: "nginx",
  listens: "socket",
  protocol: "http",
  words: ["scriptname=/app"],
  site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location /app/ {
        proxy_pass http://unix:${app.socket}:/;
        proxy_set_header Host $http_host;
      }
    }`,
}, { "a part of the site": "/app" });
