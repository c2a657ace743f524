/**
 * Which files are never for visitors, wherever a folder is served: by `static=`, by the printed configurations, and by the
 * `.htaccess` of shared hosting. Files are private by kind, so that a name that nobody thought of is private, too.
 *
 * @module
 */

/** Sources: their endings. */
const sources = String
  .raw`[cm]?tsx?|jsx|cjs|vue|svelte|astro|php\d?|phps|phtml|inc|p[ly]|pyc|rb|go|rs|java|class|cgi|(?:ba|z)?sh|bat|cmd|ps1`;

/** Endings of other private files. */
const otherEndings = [
  // Leftovers of editors, uploads and copies.
  String.raw`ba(?:k|ckup)\d*|old\d*|orig(?:inal)?|saved?|sav|sw[a-p]|te?mp|copy|rej|part`,
  // Databases and dumps.
  String.raw`(?:sq)?l?db\d*(?:-\w+)?|sqlite\d*(?:-\w+)?|sql|dump|dmp|rdb|aof|mdb|accdb|dbf|frm|ibd|my[di]|mdf|ldf|kdbx?`,
  // Settings and locks, keys, logs and programs.
  "env|ini|cfg|conf(?:ig)?|ya?ml|toml|jsonc|json5|properties|lockb?|pem|key|p12|pfx|jks|keystore|ppk|log|fcgi|node",
].join("|");

/** Private with anything behind it: `mysite.ts.txt`, `dump.sql.1`, `error.log-2026`, `mysite.fcgi (copy)`. */
const lasting = String.raw`[cm]?tsx?|php\d?|sql(?:ite\d*)?|env|log|fcgi`;

/** Private by name, whatever the ending says. */
const names: readonly string[] = [
  // Backup copies and recovery files of editors.
  "[^/]*~|#[^/]*#",
  "node_modules|bower_components|__macosx|cvs",
  String.raw`(?:package|npm|composer|bower|deno|jsr|vercel|nodemon|firebase|lerna|nx|turbo|[tj]sconfig)(?:[._-][^/]*)?\.json`,
  String.raw`(?:[^/]*[._-])?(?:secrets?|credentials?|adminsdk|service[_-]?account|appsettings)(?:[._-][^/]*)?\.json`,
  String.raw`(?:[^/]*[._-])?(?:dump|backup|database)\.(?:json|xml|csv|txt)`,
  String.raw`[^/]*\.config\.[cm]?js`,
  "(?:docker|container|make|proc|vagrant|gem|rake|jenkins)file[^/]*",
  String.raw`(?:error|access|debug|php_error)[_-]?log[^/]*|nohup\.out|core\.\d+|runfcgi-[^/]*`,
  "id_(?:[rd]sa|ecdsa|ed25519)[^/]*",
  String.raw`[^/]*\.(?:${lasting})[.~_ -][^/]*`,
];

/** Names with a dot in front; RFC 8615 has the exception. */
const dotted = String.raw`\.(?!well-known/)[^/]*`;

/** Private by their endings. */
const others = String.raw`[^/]*\.(?:${sources}|${otherEndings})`;

const archives = String.raw`\.(?:zip|tar|t?[gx]z|t?bz2?|tlz|lz(?:4|ma)?|zst|7z|rar|z|jar|war|phar|cab|iso|img)`;
/** An archive is for visitors in a folder of this name, */
const downloads = "downloads?/";
/** or beside the file that it is a compressed copy of. */
const packed = String.raw`\.(?:m?js|css|html?|json|map|svg|xml|txt|csv|wasm|webmanifest|ico|[ot]tf|eot)\.gz`;

/** What may follow a name: Windows opens `a.ts` for `a.ts.`, `a.ts ` and `a.ts::$DATA`. */
const end = "[. ]*(?:[:/]|$)";

/** Endings of files that browsers load and that people open. */
const forBrowsers = [
  "s?x?html?|css|m?js|json|jsonld|map|wasm|webmanifest|txt|xml|xsl|rss|atom|csv|vtt|srt|ics|vcf|md|geojson",
  "a?png|jpe?g|jfif|gif|webp|avif|svgz?|ico|cur|bmp|tiff?|heic|jxl|woff2?|[ot]tf|eot",
  "mp[34]|m4[asv]|webm|og[agv]|opus|wav|flac|aac|weba|mov|m3u8|mpd|glb|gltf",
  "pdf|epub|docx?|xlsx?|pptx?|od[pst]|rtf",
].join("|");

/** Escapes a path for a regular expression. */
export function literal(path: string): string {
  return path.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/**
 * A regular expression for the private paths below a prefix, as JavaScript and PCRE read it. Case does not matter. Paths are
 * decoded ones.
 *
 * @param prefix with a slash at both ends; or nothing, for paths without a slash in front
 */
export function privatePattern(prefix: string): string {
  const below = `${literal(prefix)}(?:.*/)?`;
  const all = [dotted, ...names, others].join("|");
  return `^(?:${below}(?:${all})|(?!(?:.*/)?${downloads})(?!.*${packed}$)${below}[^/]*${archives})${end}`;
}

/** The same without lookahead, for RE2: a path is private if one of them matches and what it excepts does not. */
export const privateRules: readonly { pattern: string; except?: string }[] = [
  { pattern: String.raw`/\.`, except: String.raw`^/\.well-known/[^.][^/]*$` },
  { pattern: `^/(?:.*/)?(?:${[...names, others].join("|")})${end}` },
  { pattern: `${archives}${end}`, except: `/${downloads}|${packed}$` },
];

/** Whether a decoded path below a prefix is private. */
export function privatePaths(prefix: string): (path: string) => boolean {
  const pattern = new RegExp(privatePattern(prefix), "is");
  return (path) => pattern.test(path);
}

/**
 * Paths that are served of a folder in which there is more than files for visitors, without a slash in front: by kind,
 * again, so that all else is private. They are to match none of {@linkcode privateNames}.
 */
export const publicPattern: string = String
  .raw`^(?:.*\.(?:${forBrowsers})(?:\.(?:gz|br|zst))?|\.well-known/[\w-]+|(?:.*/)?${downloads}.*${archives})$`;

/** Patterns of paths that are private although they look like files for visitors; see {@linkcode publicPattern}. */
export const privateNames: readonly string[] = [dotted, ...names].map((pattern) => `^(?:.*/)?(?:${pattern})(?:/|$)`);
