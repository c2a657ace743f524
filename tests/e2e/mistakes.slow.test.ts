/**
 * What goes wrong for somebody who has FTP and no shell: each provoked on a host with suexec, and each named, with its cure, by
 * what that person can see.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { ask } from "../support/http.ts";
import { freePort, program, start, until, whole } from "../support/program.ts";
import { apacheModules, makeFolder, type RunningWebServer, startWebServer } from "../support/servers.ts";
import { Customer, needsSuexec } from "../support/suexec.ts";

const timeout = 120_000;
const lacks = needsSuexec() || (existsSync("/usr/bin/php-cgi") ? false : "php-cgi is missing") ||
  (program().name === "binary" ? false : "what is uploaded is the compiled program");

const hello = `export default { fetch: () => new Response("hello") };\n`;
const wordPress =
  `<?php header("Link: <https://example.org/wp-json/>; rel=\\"https://api.w.org/\\""); echo "blog <img src=/wp-content/x.png>";\n`;
const wordPressRules =
  "DirectoryIndex index.php\nRewriteEngine On\nRewriteRule ^index\\.php$ - [L]\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . index.php [L]\n";

/** A site whose owner makes a mistake. */
interface Site {
  /** Its folder. */
  folder: string;
  file(name: string): string;
  write(name: string, text: string | Uint8Array): void;
  makeFolder(name: string): void;
  read(name: string): Buffer;
  /** A command as root, seen by Apache. */
  host(command: string): void;
}

interface Mistake {
  make?: (site: Site) => void;
  /** The application. */
  app?: string;
  /** What is asked for; default is the first page. */
  path?: string;
  page: [status: number, text: RegExp];
  /** What the log beside the program says, or that of Apache or suexec, which the host shows. */
  log?: RegExp;
  hostLog?: RegExp;
  /** What the doctor says on the host. */
  doctor?: RegExp;
  /** What it says on the person's own computer. */
  pc?: RegExp;
  /** What it says there with a user and a password in the URL. */
  signedIn?: RegExp;
  /** What the doctor in PHP says, opened with the user and the password where there are some. */
  php: RegExp;
  /** The person takes the .htaccess away to see the doctor in PHP. */
  aside?: true;
  /** It is tried without `--whole`, too. */
  always?: true;
}

/** A program for another machine, as far as its beginning tells. */
function foreign(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  other.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18);
  return other;
}

const latin = (bytes: Buffer, from: RegExp | string, to: string) =>
  Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");

/** All of it is in a folder below. */
function moveInto(site: Site, folder: string): void {
  const names = readdirSync(site.folder);
  site.makeFolder(folder);
  for (const name of names) renameSync(site.file(name), site.file(`${folder}/${name}`));
}

const apache500 = /The server encountered an internal error/;

const mistakes: Record<string, Mistake> = {
  // Where the site is.
  "the server's own page is shown": {
    make: (site) => {
      rmSync(site.file(".htaccess"));
      site.write("index.html", "<title>Apache2 Debian Default Page: It works</title>");
    },
    page: [200, /Default Page/],
    doctor: /problem +web server +.*shows the web server's own page[^]*ServerName, DocumentRoot/,
    pc: /shows the web server's own page/,
    php: /problem \.htaccess: ".*\.htaccess" is not there\s+Upload it/,
  },
  "a folder with a password": {
    make: (site) => {
      site.write(".htpasswd", `me:${"{SHA}"}${"5en6G6MezRroT3XKqkdPOmY/BfQ="}\n`);
      appendFileSync(
        site.file(".htaccess"),
        `AuthType Basic\nAuthName site\nAuthUserFile ${site.file(".htpasswd")}\nRequire valid-user\n`,
      );
    },
    page: [401, /not authorized|Unauthorized/i],
    doctor:
      /problem +web server +.*asks for a password before the program is asked[^]*url=http:\/\/USER:PASSWORD@[^]*remove AuthType/,
    pc: /asks for a password before the program is asked/,
    signedIn: /ok +web server +.* is answered with 200/,
    php: /ok web server: .* is answered by the program/,
  },
  "a WordPress above, and no .htaccess here": {
    make: (site) => {
      site.write("index.php", wordPress);
      site.write(".htaccess", wordPressRules);
      site.makeFolder("shop");
      site.write("shop/mysite.fcgi", site.read("mysite.fcgi"));
    },
    path: "shop/",
    page: [200, /^blog/],
    doctor: /problem +web server +.*answered with 200 by a WordPress[^]*put the \.htaccess into the folder of this site/,
    pc: /by a WordPress/,
    php: /problem \.htaccess: ".*\/shop\/\.htaccess" is not there[^]*by a WordPress\s+If it is in a folder above: put/,
  },
  "a WordPress in the same folder": {
    make: (site) => {
      site.write("index.php", wordPress);
      site.write(".htaccess", `${wordPressRules}${site.read(".htaccess")}`);
    },
    page: [200, /^hello$/],
    doctor: /by a WordPress[^]*move one of the two into a folder of its own/,
    pc: /by a WordPress/,
    php: /by a WordPress[^]*move one of the two into a folder of its own/,
  },
  "rules of a WordPress that is gone, before those of the program": {
    make: (site) => site.write(".htaccess", `${wordPressRules}${site.read(".htaccess")}`),
    page: [200, /^hello$/],
    doctor:
      /answered with 404 by Apache: a line of the \.htaccess leads elsewhere before[^]*RewriteRule \. index\.php \[L\][^]*Move the lines/,
    php:
      /answered with 404 by Apache: a line of the \.htaccess leads elsewhere before[^]*RewriteRule \. index\.php \[L\][^]*Move the lines/,
  },
  "a WordPress below": {
    make: (site) => {
      site.makeFolder("blog");
      site.write("blog/index.php", wordPress);
      site.write("blog/.htaccess", wordPressRules);
    },
    page: [200, /^hello$/],
    doctor: /Nothing is wrong/,
    php: /ok web server: .* is answered by the program/,
  },
  "PHP beside it": {
    make: (site) => site.write("index.php", "<?php echo 'a shop';"),
    page: [200, /^hello$/],
    doctor: /Nothing is wrong/,
    php: /ok web server: .* is answered by the program/,
  },
  "a PHP program whose index.php comes first": {
    make: (site) => {
      site.write("index.php", "<?php header('X-Powered-By: PHP/8.2'); echo 'a shop';");
      site.write(
        ".htaccess",
        `DirectoryIndex index.php\nRewriteEngine On\nRewriteRule ^$ index.php [END]\n${site.read(".htaccess")}`,
      );
    },
    page: [200, /^a shop$/],
    doctor: /(?:problem|note) +web server +.*(?:by a PHP program|PHP)/,
    pc: /PHP/,
    php: /note web server: .*is answered with 200 by a PHP program \(PHP\/8\.2\)\s+Its index\.php/,
  },
  "a maintenance page": {
    make: (site) =>
      site.write(
        ".htaccess",
        `ErrorDocument 503 "<title>Maintenance</title>Back soon"\nRewriteEngine On\nRewriteRule ^(?!doctor-) - [R=503,L]\n${
          site.read(".htaccess")
        }`,
      ),
    page: [503, /Maintenance/],
    doctor: /problem +web server +.*503 by a maintenance page, and not by the program[^]*Switch it off/,
    pc: /by a maintenance page/,
    php: /problem web server: .*maintenance page/,
  },
  "Cloudflare in front": {
    make: (site) => appendFileSync(site.file(".htaccess"), 'Header always set CF-RAY "1-AMS"\n'),
    page: [200, /^hello$/],
    doctor: /note +Cloudflare +is in front of the site[^]*purge its cache/,
    pc: /note +Cloudflare/,
    php: /note Cloudflare: is in front of the site\s+What it caches/,
  },

  // Files that are not there, or of other names.
  "no .htaccess": {
    make: (site) => rmSync(site.file(".htaccess")),
    page: [404, /not found on this server/],
    doctor: /problem +web server +.*answered with 404 by Apache[^]*config apache-shared > /,
    pc: /answered with 404 by Apache[^]*some FTP programs do not show it/,
    php: /problem \.htaccess: ".*\.htaccess" is not there\s+Upload it: some FTP programs do not show/,
  },
  "a .htaccess of another name": {
    make: (site) => renameSync(site.file(".htaccess"), site.file("htaccess.txt")),
    page: [404, /not found on this server/],
    doctor: /htaccess\.txt" is not called \.htaccess, so that it is not followed\n +mv .*htaccess\.txt .*\.htaccess/,
    pc: /answered with 404 by Apache/,
    php: /htaccess\.txt" is not called \.htaccess, so that it is not followed\s+mv /,
    always: true,
  },
  "a program of another name": {
    make: (site) => renameSync(site.file("mysite.fcgi"), site.file("index.fcgi")),
    page: [404, /not found on this server/],
    doctor: /leads visitors to "mysite\.fcgi", which is not there; "index\.fcgi" is\n +Rename it[^]*mv /,
    php: /"mysite\.fcgi", which is not there; "index\.fcgi" is\s+Rename it/,
  },
  "a .htaccess in capitals": {
    make: (site) => renameSync(site.file(".htaccess"), site.file(".HTACCESS")),
    page: [404, /not found on this server/],
    doctor: /\.HTACCESS" is not called \.htaccess, so that it is not followed\n +mv /,
    php: /\.HTACCESS" is not called \.htaccess, so that it is not followed\s+mv /,
  },
  "a zip of Windows that was unpacked on the host": {
    make: (site) => {
      for (const name of readdirSync(site.folder)) renameSync(site.file(name), site.file(`mysite\\${name}`));
    },
    page: [404, /not found on this server/],
    doctor:
      /problem +\.htaccess +".*" is not there, and "mysite\\\.htaccess" is, whose name has a folder in it\n +A zip made on Windows/,
    php:
      /problem \.htaccess: ".*" is not there, and "mysite\\\.htaccess" is, whose name has a folder in it\s+A zip made on Windows/,
  },
  "a runfcgi.gz in capitals": {
    make: (site) => {
      site.host("rm -f .htrunfcgi-*; mv runfcgi.gz RUNFCGI.GZ");
    },
    page: [500, apache500],
    log: /runfcgi\.gz is not there: upload it/,
    doctor: /It says: [^]*runfcgi\.gz is not there/,
    php: /problem runfcgi\.gz: "RUNFCGI\.GZ" is there, and "runfcgi\.gz" is looked for\s+Rename it/,
  },
  "files that everybody can change": {
    make: (site) => {
      // It is a link to what all sites share.
      site.host("cp -p runfcgi.gz own && mv own runfcgi.gz && chmod 666 mysite.ts .htaccess .htmysite.key runfcgi.gz");
    },
    page: [200, /^hello$/],
    doctor:
      /note +rights +every account of this machine can change ".*\/mysite\.ts" \(mode 666\)[^]*".*\/runfcgi\.gz" \(mode 666\)[^]*chmod 644[^]*Nothing is wrong/,
    php:
      /note rights: every account of this machine can change ".*\/\.htaccess" \(mode 666\)[^]*chmod 644[^]*".*\/runfcgi\.gz" \(mode 666\)/,
  },
  "line ends of Windows in every text": {
    make: (site) => {
      for (const name of ["mysite.ts", ".htaccess", ".htmysite.key"]) {
        site.write(name, String(site.read(name)).replaceAll("\n", "\r\n"));
      }
    },
    page: [200, /^hello$/],
    doctor: /Nothing is wrong/,
    php: /ok \.htaccess: its lines end as on Windows, which Apache reads[^]*ok application: /,
  },
  "a folder with an umlaut and an apostrophe": {
    make: (site) => moveInto(site, "Bär&Söhne's"),
    path: "Bär&Söhne's/",
    page: [200, /^hello$/],
    doctor: /ok +web server +http:\S+ is answered with 200[^]*Nothing is wrong/,
    pc: /Nothing is wrong/,
    php: /ok start: GET \/ was answered with 200[^]*ok web server: .* is answered by the program/,
  },
  "a folder with a blank": {
    make: (site) => moveInto(site, "my site"),
    path: "my site/",
    page: [500, apache500],
    doctor: /problem +program file +".*\/my site\/mysite\.fcgi" has a blank or one of [^]*Rename the folder/,
    pc: /answered with 500 by Apache/,
    php: /problem program file: ".*\/my site\/mysite\.fcgi" has a blank or one of [^]*Rename the folder/,
  },
  "a program in capitals": {
    make: (site) => renameSync(site.file("mysite.fcgi"), site.file("MYSITE.FCGI")),
    page: [404, /not found on this server/],
    doctor: /which is not there; "MYSITE\.FCGI" is\n +Rename it/,
    php: /which is not there; "MYSITE\.FCGI" is\s+Rename it/,
  },
  "an application in capitals": {
    make: (site) => renameSync(site.file("mysite.ts"), site.file("MySite.ts")),
    page: [200, /It works\.[^]*MySite\.ts/],
    doctor: /application[^]*"MySite\.ts"/,
    php: /"MySite\.ts" is there, and "mysite\.ts" is looked for\s+Rename it\. Capitals matter/,
  },
  "an application with another ending": {
    make: (site) => renameSync(site.file("mysite.ts"), site.file("mysite.ts.txt")),
    page: [200, /It works\.[^]*mysite\.ts\.txt/],
    doctor: /application[^]*"mysite\.ts\.txt"/,
    php: /"mysite\.ts\.txt" is there, and "mysite\.ts" is looked for/,
  },
  "no runfcgi.gz": {
    make: (site) => {
      site.host("rm runfcgi.gz .htrunfcgi-*");
    },
    page: [500, apache500],
    log: /runfcgi\.gz is not there: upload it/,
    hostLog: /runfcgi\.gz is not there: upload it/,
    doctor: /problem +program file +.*cannot be started[^]*It says: [^]*runfcgi\.gz is not there/,
    php: /problem runfcgi\.gz: ".*" is not there, and "mysite\.fcgi" starts what is in it\s+Upload it/,
  },

  "a folder in the place of the program": {
    make: (site) => {
      site.host("mkdir all && mv mysite.fcgi all/ && mv all mysite.fcgi");
    },
    page: [301, /mysite\.fcgi\//],
    doctor: /problem +program file +".*mysite\.fcgi" is a folder, and has to be the program itself\n +Move what is in it/,
    pc: /answered with 301, but not by this program/,
    php: /problem program file: ".*mysite\.fcgi" is a folder, and has to be the program itself\s+Move what is in it/,
  },
  "a folder that was unpacked into a folder": {
    make: (site) => {
      site.host("mkdir mysite && mv .htaccess .htmysite.key mysite.* runfcgi.gz .htrunfcgi-* mysite/ 2> /dev/null || true");
    },
    page: [404, /not found on this server/],
    doctor: /problem +\.htaccess +".*" is not there, and ".*\/mysite\/\.htaccess" is\n[^]*move its files one/,
    pc: /answered with 404 by Apache[^]*Is the \.htaccess in the folder of the site/,
    php: /problem \.htaccess: ".*" is not there, and ".*\/mysite\/\.htaccess" is\s[^]*move its files one/,
  },
  "an ending that was added to the program": {
    make: (site) => renameSync(site.file("mysite.fcgi"), site.file("mysite.fcgi.txt")),
    page: [404, /not found on this server/],
    doctor: /which is not there; "mysite\.fcgi\.txt" is\n +Rename it/,
    php: /which is not there; "mysite\.fcgi\.txt" is\s+Rename it/,
  },
  "a runfcgi.gz that the browser has unpacked": {
    make: (site) => {
      site.host("gunzip -c runfcgi.gz > runfcgi && rm -f runfcgi.gz .htrunfcgi-*");
    },
    page: [500, apache500],
    log: /runfcgi\.gz is not there: upload it/,
    hostLog: /runfcgi\.gz is not there: upload it/,
    doctor: /It says: [^]*runfcgi\.gz is not there/,
    php: /problem runfcgi\.gz: ".*" is not there, and ".*\/runfcgi" is: a browser has unpacked it\s+Download it again/,
  },
  "a runfcgi.gz with something else in it": {
    make: (site) => {
      site.host("rm -f .htrunfcgi-* && rm runfcgi.gz && echo another | gzip > runfcgi.gz");
    },
    page: [500, apache500],
    log: /what is in \S*runfcgi\.gz cannot be started here: it is no program/,
    hostLog: /cannot be started here: it is no program/,
    doctor: /It says: [^]*cannot be started here: it is no program/,
    php: /problem runfcgi\.gz: ".*" was tried, and is not used\s+.*it is no program/,
  },
  "an upload that was resumed twice": {
    make: (site) => {
      const whole = site.read("runfcgi.gz");
      site.write("runfcgi.gz", Buffer.concat([whole.subarray(0, 200_000), whole.subarray(100_000)]));
      site.host("rm -f .htrunfcgi-*");
    },
    page: [500, apache500],
    log: /runfcgi\.gz is not whole: upload it again/,
    hostLog: /runfcgi\.gz is not whole: upload it again/,
    doctor: /It says: [^]*runfcgi\.gz is not whole/,
    php: /problem runfcgi\.gz: ".*" is damaged: it has \d+ bytes, and that of init has \d+/,
  },
  // Another version, while the one before is there.
  "another version alone": {
    make: (site) => {
      site.write("runfcgi.gz", gzipSync(gunzipSync(site.read("runfcgi.gz")), { level: 1 }));
      site.host("touch -d '1 hour ago' runfcgi.gz");
    },
    page: [200, /^hello$/],
    doctor: /Nothing is wrong/,
    php: /ok runfcgi\.gz: ".*" is whole, \d+ bytes, and another one than init wrote/,
  },
  "another version that broke off": {
    make: (site) => {
      site.write("runfcgi.gz", site.read("runfcgi.gz").subarray(0, 20_000_000));
      site.host("touch -d '1 hour ago' runfcgi.gz");
    },
    page: [200, /^hello$/],
    log: /runfcgi\.gz is not whole: upload it again, in binary mode; the program before goes on/,
    doctor:
      /can be started on this machine\n[^]*problem +runfcgi\.gz +".*" was tried, and is not used\n.*is not whole: upload it/,
    php: /problem runfcgi\.gz: ".*" is not whole: 20000000 of \d+ bytes are there/,
  },
  "another version, uploaded as text": {
    make: (site) => {
      const another = gzipSync(gunzipSync(site.read("runfcgi.gz")), { level: 1 });
      site.write("runfcgi.gz", latin(another, "\n", "\r\n"));
      site.host("touch -d '1 hour ago' runfcgi.gz");
    },
    page: [200, /^hello$/],
    log: /runfcgi\.gz is not whole: upload it again, in binary mode; the program before goes on/,
    doctor: /problem +runfcgi\.gz +".*" was tried, and is not used\n.*is not whole: upload it/,
    php: /problem runfcgi\.gz: ".*" was taken for text on its way \(ASCII mode\)/,
  },
  "another version for another machine": {
    make: (site) => {
      site.write("runfcgi.gz", gzipSync(foreign(gunzipSync(site.read("runfcgi.gz")).subarray(0, 1_000_000))));
      site.host("touch -d '1 hour ago' runfcgi.gz");
    },
    page: [200, /^hello$/],
    log: /cannot be started here: it is for another kind of machine; the program before goes on/,
    doctor: /problem +runfcgi\.gz +".*" was tried, and is not used\n.*for another kind of machine/,
    php: /problem runfcgi\.gz: ".*" was tried, and is not used\s+.*for another kind of machine/,
  },
  "an unpacked program that was cut off when the site was copied": {
    make: (site) => {
      // With their times, as cp -a does.
      site.host(
        'for f in .htrunfcgi-*; do head -c 50000000 "$f" > new && chmod 755 new && touch -r "$f" new && mv new "$f"; done',
      );
    },
    page: [500, apache500],
    doctor: /problem +program file +".*\/\.htrunfcgi-\w+", which the program has unpacked, is not whole any more\n +Delete it/,
    pc: /answered with 500 by Apache/,
    php: /problem program file: ".*\/\.htrunfcgi-\w+", which the program has unpacked, is not whole any more\s+Delete it/,
  },
  "an empty application": {
    app: "",
    page: [503, /The site cannot be loaded/],
    log: /mysite\.ts has no default export and does not listen\. Write: export default/,
    doctor: /problem +application [^]*has no default export[^]*Write: export default/,
    pc: /answered with 503 by the program/,
    php: /problem start: GET \/ was answered with 503[^]*has no default export/,
  },
  "a .htaccess that was cut off": {
    make: (site) => site.write(".htaccess", site.read(".htaccess").subarray(0, 300)),
    page: [404, /not found on this server/],
    doctor: /is answered with 404 by Apache[^]*RewriteEngine On[^]*visitors can read ".*mysite\.ts"[^]*Remove them/,
    pc: /answered with 404 by Apache[^]*visitors can read ".*mysite\.ts"[^]*Remove them/,
    php: /problem \.htaccess: \d+ of the lines that init wrote are not in ".*"\s+They are:[^]*AddHandler/,
  },
  "a .htaccess that the host does not read": {
    page: [404, /not found on this server/],
    doctor: /is answered with 404 by Apache[^]*“Please set AllowOverride All[^]*visitors can read ".*mysite\.ts"[^]*Remove them/,
    pc: /answered with 404 by Apache[^]*“Please set AllowOverride All[^]*visitors can read ".*mysite\.ts"/,
    php: /problem web server: .*answered with 404 by Apache[^]*“Please set AllowOverride All/,
  },
  "files that are a day in the future": {
    make: (site) => {
      site.host("touch -d tomorrow ./* .ht*");
    },
    page: [200, /^hello$/],
    doctor: /Nothing is wrong/,
    pc: /Nothing is wrong/,
    php: /ok web server: .* is answered by the program/,
  },

  // Modes and owners.
  "a program that is not executable": {
    make: (site) => chmodSync(site.file("mysite.fcgi"), 0o644),
    page: [500, apache500],
    hostLog: /cmd: mysite\.fcgi|Permission denied|not executable/,
    doctor: /problem +program file +.*is not executable \(mode 644\)\n +chmod 755/,
    pc: /answered with 500 by Apache, before the program is asked[^]*mode 755/,
    php: /problem program file: .*is not executable \(mode 644\)\s+chmod 755/,
  },
  "a program that everybody can change": {
    make: (site) => chmodSync(site.file("mysite.fcgi"), 0o777),
    page: [500, apache500],
    hostLog: /file is writable by others/,
    doctor: /can be changed by others \(mode 777\), and Apache's suexec refuses it\n +chmod 755/,
    php: /can be changed by others \(mode 777\), and Apache's suexec refuses it\s+chmod 755/,
  },
  "a folder that everybody can change": {
    make: (site) => chmodSync(site.folder, 0o777),
    page: [500, apache500],
    hostLog: /directory is writable by others/,
    doctor: /the folder ".*" can be changed by others \(mode 777\), and suexec refuses it\n +chmod 755/,
    pc: /answered with 500 by Apache/,
    php: /problem program file: the folder ".*" can be changed by others \(mode 777\), and suexec refuses it\s+chmod 755/,
  },
  "a program of another user": {
    make: (site) => chownSync(site.file("mysite.fcgi"), 0, 0),
    page: [500, apache500],
    hostLog: /mismatch with directory \(20001\/20001\) or program \(0\/0\)/,
    doctor: /note +program file +.*is the user's with the number 0, and its folder that of 20001\n[^]*upload the program by FTP/,
    php: /note program file: .*is the user's with the number 0, and its folder that of 20001/,
  },
  "a .htaccess that Apache may not read": {
    make: (site) => chmodSync(site.file(".htaccess"), 0o600),
    page: [403, /don't have permission/],
    doctor: /problem +\.htaccess +.*may not read ".*\.htaccess" \(mode 600[^]*chmod/,
    pc: /answered with 403 by Apache/,
    php: /problem \.htaccess: the web server may not read ".*" \(mode 600\)\s+chmod 644/,
    aside: true,
  },
  "a folder that the program may not write to": {
    make: (site) => chmodSync(site.folder, 0o555),
    app: 'export default () => { throw new Error("out of order"); };\n',
    page: [500, /The site could not answer/],
    hostLog: /out of order/,
    doctor: /answered with 500 by the program\n +The reason is in[^]*may not write/,
    php: /may not write/,
  },
  "a full disk": {
    make: (site) =>
      site.host(
        `mkdir ../full.new && cp -a . ../full.new/ && mount -t tmpfs -o size=100m,mode=755,uid=20001,gid=20001 none . && ` +
          `cd "$PWD" && rm ../full.new/.htrunfcgi-* && cp -a ../full.new/. . && rm -r ../full.new`,
      ),
    page: [500, apache500],
    hostLog: /No space left on device|the disk is full/,
    doctor: /problem +program file +.*cannot be started[^]*the disk is full/,
    php: /problem disk: there are \d+ MiB left, and the program takes up to 160/,
  },
  "a mount with noexec": {
    make: (site) => site.host('mount --bind . . && cd "$PWD" && mount -o remount,bind,noexec .'),
    page: [500, apache500],
    doctor: /problem +program file +.*lies on a mount with noexec[^]*Write to the host's support/,
    php: /problem program file: .*lies on a mount with noexec/,
  },

  // Uploads.
  "uploaded as text, LF to CRLF": {
    make: (site) => {
      site.write("mysite.fcgi", latin(site.read("mysite.fcgi"), "\n", "\r\n"));
      chmodSync(site.file("mysite.fcgi"), 0o755);
    },
    page: [500, apache500],
    doctor: /problem +program file +the first line of ".*" ends as on Windows/,
    php: /has got \d+ bytes on its way: it was taken for text/,
  },
  "uploaded as text, CRLF to LF": {
    make: (site) => {
      site.write("runfcgi.gz", latin(site.read("runfcgi.gz"), "\r\n", "\n"));
      site.host("rm .htrunfcgi-*");
    },
    page: [500, apache500],
    log: /upload it again, in binary mode/,
    hostLog: /upload it again, in binary mode/,
    doctor: /problem +program file +.*cannot be started[^]*in binary mode/,
    php: /problem runfcgi\.gz: ".*" was taken for text on its way/,
  },
  "an upload that was cut off": {
    make: (site) => {
      site.write("runfcgi.gz", site.read("runfcgi.gz").subarray(0, 20_000_000));
      site.host("rm .htrunfcgi-*");
    },
    page: [500, apache500],
    log: /runfcgi\.gz is not whole: upload it again/,
    hostLog: /runfcgi\.gz is not whole: upload it again/,
    doctor: /It says: [^]*runfcgi\.gz is not whole: upload it again/,
    php: /problem runfcgi\.gz: ".*" is not whole: 20000000 of \d+ bytes are there/,
  },
  "one file, uploaded as text": {
    make: (site) => {
      site.write("mysite.fcgi", latin(gunzipSync(site.read("runfcgi.gz")), "\n", "\r\n"));
      chmodSync(site.file("mysite.fcgi"), 0o755);
    },
    page: [500, apache500],
    doctor: /problem +program file +[^]*in binary mode/,
    php: /problem start: the program ended/,
  },
  "a program for another machine": {
    make: (site) => {
      site.write("mysite.fcgi", foreign(gunzipSync(site.read("runfcgi.gz")).subarray(0, 1_000_000)));
      chmodSync(site.file("mysite.fcgi"), 0o755);
    },
    page: [500, apache500],
    hostLog: /Exec format error/,
    doctor: /problem +program file +".*" is for \S+, and this machine is \S+\n/,
    php: /is for \S+, and this machine is|is not the one that init wrote/,
  },
  "a .htaccess with a byte order mark": {
    make: (site) => site.write(".htaccess", `\ufeff${site.read(".htaccess")}`),
    page: [500, apache500],
    hostLog: /\.htaccess: Invalid command/,
    doctor: /problem +\.htaccess +".*" begins with a byte order mark[^]*without a byte order mark/,
    pc: /answered with 500 by Apache/,
    php: /begins with a byte order mark/,
    aside: true,
  },
  "a line that the host does not allow": {
    make: (site) => appendFileSync(site.file(".htaccess"), "php_value memory_limit 128M\n"),
    page: [500, apache500],
    hostLog: /Invalid command 'php_value'/,
    doctor: /answered with 500 by Apache[^]*does not allow a line of the \.htaccess/,
    php: /ok start: GET \/ was answered with 200/,
    aside: true,
  },

  // The application.
  "an application saved as ANSI": {
    make: (site) => site.write("mysite.ts", Buffer.from(hello.replace("hello", "h\xe4llo"), "latin1")),
    page: [200, /^h\ufffdllo$/],
    doctor: /note +application +".*mysite\.ts" is not saved as UTF-8[^]*Save it as UTF-8/,
    php: /note application: ".*mysite\.ts" is not saved as UTF-8[^]*Save it as UTF-8/,
  },
  "an application saved as UTF-16": {
    make: (site) => site.write("mysite.ts", Buffer.from(hello, "utf16le").swap16()),
    page: [503, /The site cannot be loaded/],
    log: /mysite\.ts is not saved as UTF-8: choose that in the editor/,
    doctor: /problem +application [^]*is not saved as UTF-8: choose that in the editor[^]*note +application/,
    php: /problem start: GET \/ was answered with 503[^]*note application: ".*mysite\.ts" is not saved as UTF-8/,
  },
  "a BOM and CRLF in it": {
    app: `\ufeff${hello.replace("hello", "Hello").replaceAll("\n", "\r\n")}`,
    page: [200, /^Hello$/],
    doctor: /ok +application +".*mysite\.ts" can be loaded/,
    php: /ok application: ".*" is there \(with a byte order mark, which does no harm\)/,
  },
  "an error while it is loaded": {
    app: "export default {\n  fetch( { return new Response() },\n};\n",
    page: [503, /The site cannot be loaded\. The reason is in the log \.htmysite\.log\. Its number is|The site cannot be loaded/],
    log: /mysite\.ts:2/,
    doctor: /problem +application +".*mysite\.ts" cannot be loaded\n[^]*mysite\.ts:2/,
    pc: /answered with 503 by the program/,
    php: /problem start: GET \/ was answered with 503[^]*mysite\.ts:2/,
  },
  "a missing package": {
    app: `import { Hono } from "hono";\nexport default new Hono();\n`,
    page: [503, /The site cannot be loaded/],
    log: /hono[^]*(?:node_modules|build)/,
    doctor: /problem +application[^]*hono[^]*(?:node_modules|build)/,
    php: /hono[^]*(?:node_modules|build)/,
    always: true,
  },
  "an option that there is not": {
    app: `export const runfcgi = { tiemout: 5 };\n${hello}`,
    page: [503, /The site cannot be loaded/],
    log: /tiemout[^]*timeout/,
    doctor: /problem +application[^]*tiemout/,
    php: /tiemout/,
  },
  "an error in a request": {
    app: `console.log("begins"); export default () => { throw new Error("out of order"); };\n`,
    page: [500, /The site could not answer\. The reason is in the log \.htmysite\.log\./],
    log: /begins[^]*GET \/[^]*out of order/,
    doctor: /answered with 500 by the program\n +The reason is in its log: tail .*\.htmysite\.log/,
    pc: /answered with 500 by the program/,
    php: /problem start: GET \/ was answered with 500[^]*out of order/,
  },
  "an endless loop": {
    app: `export const runfcgi = { timeout: 1 };
export default (request) => { while (!request.url.endsWith("?")); return new Response(); };
`,
    page: [500, apache500],
    log: /blocked the event loop for too long: killing this process; under way: GET \/an-endless-loop\/ for \d/,
    doctor: /answered with 500 by the program\n +The reason is in its log: tail /,
    php: /problem start: the program ended by the signal 9[^]*blocked the event loop for too long[^]*GET \/ for \d/,
  },
  "an exit": {
    app: `import process from "node:process";\nexport default () => process.exit(3);\n`,
    page: [500, apache500],
    log: /The application ended the process with status 3; under way: GET \/an-exit\//,
    doctor: /answered with 500 by the program\n +The reason is in its log: tail /,
    php: /problem start: the program ended with the status 3[^]*The application ended the process with status 3/,
  },
};

const cases = Object.entries(mistakes).filter(([, { always }]) => whole || always);
/** Web servers of tests do not live long. */
const MANY = 20;

for (let from = 0; from < cases.length; from += MANY) {
  describe("A mistake on shared hosting", { skip: lacks }, () => {
    const folder = makeFolder();
    let customer: Customer;
    let web: RunningWebServer;
    let port = 0;
    let root = "";
    let mint = "";

    before(async () => {
      customer = new Customer(folder.path);
      root = join(customer.home, "public_html");
      mint = join(customer.home, "mint");
      const { code } = await start([...program().command, "init", mint, "for=apache-shared", `single=${!whole}`]).exit;
      assert.equal(code, 0);
      mkdirSync(root);
      mkdirSync(join(customer.home, "pc"));
      mkdirSync(join(customer.home, "php"));
      writeFileSync(join(customer.home, "php/php-cgi"), "#!/bin/sh\nexec /usr/bin/php-cgi\n", { mode: 0o755 });
      chmodSync(join(mint, ".htmysite.key"), 0o644);
      writeFileSync(join(mint, "mysite.ts"), hello);
      customer.own();
      port = await freePort();
      const modules = ["auth_basic", "authn_core", "authn_file", "authz_user"];
      const config = `
      ${modules.map((name) => `LoadModule ${name}_module ${apacheModules}/mod_${name}.so`).join("\n")}
      ${customer.hostWithPhp(root)}
      <Directory "${root}/a-htaccess-that-the-host-does-not-read">
        AllowOverride None
      </Directory>
      FcgidIOTimeout 60`;
      web = await startWebServer("apache", { folder: folder.path, port }, config, customer.around);
      // Unpacked once for all.
      await asCustomer(["./mysite.fcgi", "version"], mint).exit;
    }, { timeout });

    after(async () => {
      await web?.running.stop();
      folder.remove();
    }, { timeout });

    /** Starts a command as the customer, who sees what Apache sees. */
    function asCustomer(command: readonly string[], cwd: string) {
      const user = ["setpriv", `--reuid=${customer.uid}`, `--regid=${customer.uid}`, "--clear-groups"];
      const there = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", cwd];
      return start(["nsenter", "-t", String(web.running.pid), "-m", ...there, ...user, ...command], {
        env: { HOME: customer.home },
      });
    }

    async function begin(name: string, { app, make }: Mistake): Promise<Site> {
      const place = join(root, name.replace(/\W+/g, "-"));
      mkdirSync(place);
      // What is large is there once.
      for (const file of readdirSync(mint)) {
        if (statSync(join(mint, file)).size > 1e6) linkSync(join(mint, file), join(place, file));
        else copyFileSync(join(mint, file), join(place, file));
      }
      if (app !== undefined) writeFileSync(join(place, "mysite.ts"), app);
      customer.own(place);
      const commands: string[] = [];
      const site: Site = {
        folder: place,
        file: (name) => join(place, name),
        write: (name, text) => {
          rmSync(join(place, name), { force: true });
          writeFileSync(join(place, name), text);
          chownSync(join(place, name), customer.uid, customer.uid);
        },
        makeFolder: (name) => {
          mkdirSync(join(place, name));
          chownSync(join(place, name), customer.uid, customer.uid);
        },
        read: (name) => readFileSync(join(place, name)),
        host: (command) => void commands.push(command),
      };
      make?.(site);
      for (const command of commands) {
        const running = start(["nsenter", "-t", String(web.running.pid), "-m", "sh", "-ec", `cd '${place}'; ${command}`]);
        const { code } = await running.exit;
        assert.equal(code, 0, running.stderr());
      }
      return site;
    }

    /** What the doctor in PHP shows. */
    async function askPhp(there: string, user: Record<string, string>): Promise<string> {
      const name = readdirSync(mint).find((name) => name.startsWith("doctor-"))!;
      if (!existsSync(join(there, name))) copyFileSync(join(mint, name), join(there, name));
      const path = encodeURI(`${there.slice(root.length)}/${name}`.replace("//", "/"));
      const [, key] = /^key +(\S+)$/m.exec(readFileSync(join(mint, ".htmysite.key"), "utf8"))!;
      const headers = { "content-type": "application/x-www-form-urlencoded", ...user };
      const entered = await ask(port, path, { method: "POST", headers, body: String(new URLSearchParams({ key })) });
      assert.equal(entered.status, 303, entered.text);
      const [cookie] = entered.headers["set-cookie"]![0].split(";");
      const { text } = await ask(port, path, { headers: { cookie, ...user } });
      return text.slice(text.indexOf("<body>"), text.indexOf("<details>")).replaceAll(/<[^>]*>/g, "").replaceAll("&quot;", '"')
        .replaceAll("&#039;", "'").replaceAll("&gt;", ">");
    }

    for (const [name, mistake] of cases.slice(from, from + MANY)) {
      test(`${name} is named`, { timeout }, async () => {
        const { path = "", page, log, hostLog, doctor, pc, signedIn, php, aside } = mistake;
        const since = web.errors().length;
        const site = await begin(name, mistake);
        const url = `http://127.0.0.1:${port}${site.folder.slice(root.length)}/${path}`;
        const missing: string[] = [];
        const expect = (where: string, text: string, pattern: RegExp | undefined) => {
          if (pattern && !pattern.test(text)) missing.push(`${where} does not say ${pattern}:\n${text.slice(0, 6000)}`);
        };
        const { status, text } = await ask(port, new URL(url).pathname);
        expect("the page", `${status} ${text}`, new RegExp(`^${page[0]} [^]*`));
        expect("the page", text, page[1]);
        if (log) {
          await until("it is in the log", () => log.test(readFileSync(site.file(".htmysite.log"), "utf8")), 5).catch(() => {});
          expect(
            "the log",
            existsSync(site.file(".htmysite.log")) ? readFileSync(site.file(".htmysite.log"), "utf8") : "(none)",
            log,
          );
        }
        if (hostLog) {
          const all = () => `${web.errors().slice(since)}${customer.log.slice(-2000)}`;
          await until("it is in the log of the host", () => hostLog.test(all()), 5).catch(() => {});
          expect("the log of the host", all(), hostLog);
        }
        const pcFolder = join(customer.home, "pc");
        const there = path === "" ? site.folder : join(site.folder, path);
        const own = readdirSync(mint).find((name) => name.startsWith(".htrunfcgi-")) ?? "mysite.fcgi";
        const runs = async (cwd: string, ...words: string[]) => {
          const running = asCustomer([join(mint, own), "doctor", ...words], cwd);
          await running.exit;
          return running.stdout() + running.stderr();
        };
        if (doctor) expect("the doctor", await runs(there, "program=mysite.fcgi", "user=www-data", `url=${url}`), doctor);
        if (pc) expect("the doctor elsewhere", await runs(pcFolder, `url=${url}`), pc);
        if (signedIn) expect("the doctor elsewhere", await runs(pcFolder, `url=${url.replace("//", "//me:secret@")}`), signedIn);
        if (aside) renameSync(site.file(".htaccess"), site.file("htaccess.txt"));
        expect("the doctor in PHP", await askPhp(there, signedIn ? { authorization: `Basic ${btoa("me:secret")}` } : {}), php);
        assert.equal(missing.join("\n\n"), "");
      });
    }
  });
}
