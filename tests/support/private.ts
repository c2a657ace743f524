/**
 * Files of a site, private ones and ones for visitors, and ways to ask for them.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SECRET } from "./static.ts";

/** Files that nobody may get, whatever the application is called. */
export const privateFiles: readonly string[] = [
  // Sources.
  ..."helper.ts View.TSX lib/db.mts lib/old.cts button.jsx tool.cjs mysite.d.ts page.vue inc/config.php".split(" "),
  ...["stats.py", "deploy.sh", "run.BAT", "db.inc"],
  // Names with a dot in front.
  ...[".env", ".git/config", ".env.json", ".well-known/.env", ".well-known/keys.ts", "sub/.htpasswd", ".vscode/sftp.json", ".x"],
  // Leftovers of editors, of copying and of FTP programs.
  ..."mysite.ts~ mysite.ts.bak mysite.ts.txt index.html.old style.css.orig .mysite.ts.swp #mysite.ts# a.tmp".split(" "),
  ...["mysite (1).ts", "Copy of mysite.ts", "mysite.ts - Copy.txt", "mysite.ts_old.html", "photo.jpg.part", "data.json.save"],
  // Archives, databases and dumps.
  ...["backup.zip", "site.tar.gz", "public_html.tgz", "www.rar", "a.7z", "dump.sql", "dump.sql.gz", "dump.sql.txt", "shop.db"],
  ...["shop.sqlite", "shop.sqlite3", "shop.db-wal", "users.mdb", "backup.json"],
  // Packages, settings and keys.
  ...["package.json", "package-lock.json", "deno.json", "deno.lock", "bun.lockb", "tsconfig.json", "node_modules/hono/index.js"],
  ..."vite.config.js docker-compose.yml Dockerfile settings.ini credentials.json server.key id_rsa prod.env".split(" "),
  // Logs and the program.
  ...["error_log", "error.log", "mysite.log.1", ".htmysite.log", "runfcgi-linux-x64", "runfcgi.gz", "mysite.fcgi.old"],
];

/** Files for visitors. */
export const publicFiles: readonly string[] = [
  ...["page.html", "style.css", "assets/app.js", "assets/chunk-3f2a.mjs", "assets/app.js.map", "data.json", "data/list.csv"],
  ...["logo.svg", "photo.JPG", "sub/font.woff2", "favicon.ico", "robots.txt", "sitemap.xml", "site.webmanifest", "film.mp4"],
  ..."paper.pdf module.wasm .well-known/security.txt downloads/files.zip style.css.gz sw.js log.html core/a.js".split(" "),
];

/** What a public file has in it. */
export const contentOf = (name: string): string => `public ${name}`;

/** Puts them into a folder. */
export function putFiles(folder: string, others: readonly string[] = []): void {
  // The program reads some of them itself.
  const secret = (name: string) =>
    /\.(?:json|lock)$/.test(name) ? JSON.stringify({ ...name.endsWith("k") && { version: "5" }, [SECRET]: SECRET }) : SECRET;
  for (const name of [...privateFiles, ...others]) put(folder, name, secret(name));
  for (const name of publicFiles) put(folder, name, contentOf(name));
}

function put(folder: string, name: string, content: string): void {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

const hex = (char: string) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`;

/** A path as it stands in a URL. */
export const encoded = (name: string): string => name.split("/").map(encodeURIComponent).join("/");

/** Targets that may lead to a file below a prefix, the plain one first. */
export function waysTo(prefix: string, name: string): string[] {
  const plain = encoded(name);
  return [
    prefix + plain,
    prefix + name.replace(/[^/]/g, hex),
    prefix + name.replace(/[^/]/g, (char) => hex(char).toUpperCase()),
    prefix + plain.replaceAll(".", "%2e"),
    prefix + hex(name[0]) + encoded(name.slice(1)),
    prefix + plain.replaceAll(".", "%252e"),
    prefix + plain.replaceAll("/", "%2f"),
    `${prefix}./${plain}`,
    `${prefix}x/../${plain}`,
    `${prefix}.well-known/%2e%2e/${plain}`,
    `${prefix}downloads/../${plain}`,
    `${prefix}/${plain}`,
    `${prefix}${plain}?x=.html`,
    `${prefix}${plain}/`,
    `${prefix}${plain}/page.html`,
    `${prefix}${plain};.html`,
    `${prefix}${plain}%00.html`,
    `${prefix}${plain}%0a`,
    `${prefix}${plain}.`,
    `${prefix}${plain}%20`,
    `${prefix}${plain.toUpperCase()}`,
  ];
}
