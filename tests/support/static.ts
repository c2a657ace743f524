/**
 * A folder to be served, things next to it that are not, and requests that should not reach those.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

/** What no visitor may see. */
export const SECRET = "rosebud";
/** When the files of {@linkcode makeFiles} were modified. */
export const modified = new Date("2024-05-06T07:08:09Z");
/** Bytes that show their place. */
export const data = Uint8Array.from({ length: 1000 }, (_, i) => i ^ (i >> 8));
export const script = "const answer = 42;\n".repeat(40);

/**
 * Makes `media/` with files in it, and files with the {@linkcode SECRET} around it.
 *
 * @returns what ends the socket in it
 */
export async function makeFiles(top: string): Promise<() => void> {
  const files: Record<string, string | Uint8Array> = {
    "secret.txt": SECRET,
    "mediax/a.txt": SECRET,
    "media../a.txt": SECRET,
    "outside/b.txt": SECRET,
    "outside/index.html": SECRET,
    "media/a.txt": "the file a\n",
    "media/data.bin": data,
    "media/empty.txt": "",
    "media/sub/b.txt": "the file b\n",
    "media/a b+c&ü.txt": "an odd name\n",
    "media/50%2F.txt": "an odder name\n",
    "media/page/index.html": "<p>the page\n",
    "media/noindex/c.txt": "the file c\n",
    "media/app.js": script,
    "media/app.js.gz": gzipSync(script),
    "media/app.js.br": brotliCompressSync(script),
    "media/old.css": "p {}\n",
    "media/old.css.gz": gzipSync("an older one"),
    "media/html": "no ending\n",
    "media/LOUD.TXT": "loud\n",
    "media/.well-known/security.txt": "Contact: mailto:a@example.org\n",
    "media/.env": SECRET,
    "media/.git/config": SECRET,
    "media/.git/index.html": SECRET,
    "media/sub/.htpasswd": SECRET,
    "media/.well-knownx/a.txt": SECRET,
    "media/...": SECRET,
    "media/private.txt": SECRET,
    // What broken UTF-8 is, read as Latin-1.
    "media/\xff.txt": SECRET,
    "media/%zz": SECRET,
  };
  for (const [name, content] of Object.entries(files)) {
    const file = join(top, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    utimesSync(file, modified, modified);
  }
  const media = join(top, "media");
  utimesSync(join(media, "old.css.gz"), modified, new Date(modified.getTime() - 1000));
  chmodSync(join(media, "private.txt"), 0);
  const links: Record<string, string> = {
    "inside.txt": "sub/b.txt",
    "insidedir": "sub",
    "out.txt": "../secret.txt",
    "outdir": "../outside",
    "absolute.txt": join(top, "secret.txt"),
    "chain.txt": "out.txt",
    "up": "..",
    "root": "/",
    "loop": "loop",
    "sibling.txt": "../mediax/a.txt",
    "zero": "/dev/zero",
    "null": "/dev/null",
    "environment": "/proc/self/environ",
    "stdin": "/dev/stdin",
    "outside.js.gz": "../secret.txt",
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(media, name));
  writeFileSync(join(media, "outside.js"), "");
  execFileSync("mkfifo", [join(media, "fifo")]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(media, "socket"), resolve));
  return () => server.close();
}

/** Targets of requests, and what answers: the status, or `app` where it is not a path of the files. */
export const attacks: [target: string, answer: number | "app"][] = [
  // Dot segments, in all spellings. They are resolved, as in the URL, before anybody looks where they lead.
  ["/media/../secret.txt", "app"],
  ["/media/..", "app"],
  ["/media/.", 404],
  ["/media/./a.txt", 200],
  ["/media/sub/../../secret.txt", "app"],
  ["/media/sub/../a.txt", 200],
  ["/media/../media/../secret.txt", "app"],
  ["/media/../../../../../../../../etc/passwd", "app"],
  ["/media/%2e%2e/secret.txt", "app"],
  ["/media/%2E%2E/secret.txt", "app"],
  ["/media/.%2e/secret.txt", "app"],
  ["/media/%2e./secret.txt", "app"],
  ["/media/%2e%2e%2fsecret.txt", 404],
  ["/media/..%2fsecret.txt", 404],
  ["/media/..%2Fsecret.txt", 404],
  ["/media/sub%2f..%2f..%2fsecret.txt", 404],
  ["/media%2f..%2fsecret.txt", 404],
  ["/media/.../secret.txt", 404],
  ["/media/...", 404],
  ["/media/....//secret.txt", 404],
  ["/media/..;/secret.txt", 404],
  ["/media/../", "app"],
  ["/media/..?/secret.txt", "app"],
  // Encoded twice: names that nobody has.
  ["/media/%252e%252e/secret.txt", 404],
  ["/media/..%252fsecret.txt", 404],
  ["/media/%25%32%65%25%32%65/secret.txt", 404],
  // Other separators.
  ["/media/..\\secret.txt", 404],
  ["/media/..%5csecret.txt", 404],
  ["/media/sub\\b.txt", 404],
  ["/media/sub%5cb.txt", 404],
  ["/media/%u002e%u002e/secret.txt", 404],
  ["/media/sub%2fb.txt", 404],
  // Absolute paths and empty names.
  ["/media//etc/passwd", 404],
  ["/media//secret.txt", 404],
  ["/media/sub//b.txt", 404],
  ["/media/%2fetc/passwd", 404],
  ["/media///", 404],
  ["/media/file:///etc/passwd", 404],
  ["/media/C:/secret.txt", 404],
  // NUL and other control characters.
  ["/media/a.txt%00", 404],
  ["/media/a.txt%00.html", 404],
  ["/media/%00", 404],
  ["/media/../secret.txt%00.txt", "app"],
  ["/media/a.txt%0a", 404],
  ["/media/a.txt%0d%0aX-Injected:%20yes", 404],
  // Overlong and broken UTF-8.
  ["/media/%c0%ae%c0%ae/secret.txt", 404],
  ["/media/%c0%ae%c0%ae%c0%afsecret.txt", 404],
  ["/media/%e0%80%ae%e0%80%ae/secret.txt", 404],
  ["/media/..%c0%afsecret.txt", 404],
  ["/media/..%ef%bc%8fsecret.txt", 404],
  ["/media/%ff.txt", 404],
  ["/media/%ed%a0%80", 404],
  ["/media/%zz", 404],
  ["/media/%", 404],
  // What only begins like the prefix.
  ["/media../a.txt", "app"],
  ["/media..%2fa.txt", "app"],
  ["/mediax/a.txt", "app"],
  ["/media.", "app"],
  ["/MEDIA/a.txt", "app"],
  ["//media/a.txt", "app"],
  ["/x/../media../a.txt", "app"],
  ["/media;/../secret.txt", "app"],
  // Hidden names.
  ["/media/.env", 404],
  ["/media/%2eenv", 404],
  ["/media/.git/config", 404],
  ["/media/.git/", 404],
  ["/media/.git", 404],
  ["/media/sub/.htpasswd", 404],
  ["/media/insidedir/.htpasswd", 404],
  ["/media/.well-knownx/a.txt", 404],
  ["/media/.well-known/../.env", 404],
  ["/media/.ENV", 404],
  // Symbolic links to the outside.
  ["/media/out.txt", 404],
  ["/media/absolute.txt", 404],
  ["/media/chain.txt", 404],
  ["/media/sibling.txt", 404],
  ["/media/outdir/b.txt", 404],
  ["/media/outdir/", 404],
  ["/media/outdir", 404],
  ["/media/up/secret.txt", 404],
  ["/media/up/media/a.txt/../../secret.txt", 404],
  ["/media/root/etc/passwd", 404],
  ["/media/loop", 404],
  ["/media/environment", 404],
  // Not a regular file.
  ["/media/fifo", 404],
  ["/media/socket", 404],
  ["/media/zero", 404],
  ["/media/null", 404],
  ["/media/stdin", 404],
  ["/media/noindex/", 404],
  ["/media/noindex", 404],
  ["/media/", 404],
  // Files are not folders, and names are exact.
  ["/media/a.txt/", 404],
  ["/media/a.txt/b.txt", 404],
  ["/media/a.txt/..", 404],
  ["/media/A.TXT", 404],
  ["/media/a.txt.", 404],
  ["/media/a.txt%20", 404],
  ["/media/a.txt::$DATA", 404],
  ["/media/a.txt~", 404],
  [`/media/${"a".repeat(300)}`, 404],
  [`/media/${"a/".repeat(2500)}a`, 404],
];
