/**
 * Makes the files of a release: `deno task release [--target NAME …] [--output FOLDER]`. The same commit gives the same bytes.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { constants, gzipSync } from "node:zlib";
import { build, targets } from "../src/cli/commands/build.ts";
import { launcherText, NODE_PROGRAM } from "../src/cli/commands/launcher.ts";
import { manySites, systemdUnits } from "../src/config/systemd.ts";
import { CommandError } from "../src/options/arguments.ts";
import { version } from "../src/server/version.ts";
import { commit, root, tools } from "./tools.ts";

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true, default: [...targets] },
    output: { type: "string", default: join(root, "dist", "release") },
    help: { type: "boolean", default: false },
  },
});

const usage = `deno task release [--target NAME …] [--output FOLDER]

Makes in FOLDER, by default dist/release: the programs, each also compressed, for Linux with the script of shared hosting
that starts it then; the script for hosts with Node; the Debian packages, the npm package and SHA256SUMS.
Targets, by default all: ${targets.join(", ")}.
`;

/** Debian's names of the machines that it has a package for. */
const debianArchitectures: Record<string, string> = { "linux-x64": "amd64", "linux-arm64": "arm64" };

try {
  if (values.help) process.stdout.write(usage);
  else await release(values.target, resolve(values.output));
} catch (error) {
  if (!(error instanceof CommandError)) throw error;
  process.stderr.write(`release: ${error.message}\n`);
  process.exitCode = 1;
}

async function release(wanted: readonly string[], output: string): Promise<void> {
  const unknown = wanted.find((target) => !targets.includes(target));
  if (unknown !== undefined) throw new CommandError(`--target is "${unknown}", expected one of ${targets.join(", ")}`);
  const time = execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" });
  const date = new Date(Number(time) * 1000);
  const source = commit();
  if (source?.endsWith("+")) process.stderr.write("release: the working tree differs from the commit\n");
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  for (const target of wanted) {
    const program = join(output, `runfcgi-${version}-${target}${target.startsWith("windows") ? ".exe" : ""}`);
    await build({ output: program, target, commit: source, bun: { command: tools().bun } });
    // Without a time or a name in it.
    const bytes = readFileSync(program);
    writeFileSync(`${program}.gz`, gzipSync(bytes));
    if (target.startsWith("linux")) writeFileSync(`${program}.fcgi`, launcherText(), { mode: 0o755 });
    const architecture = debianArchitectures[target];
    if (architecture !== undefined) debianPackage(program, architecture, date, output);
  }
  npmPackage(output);
  const names = readdirSync(output).sort();
  const sums = names.map((name) => `${sha256(readFileSync(join(output, name)))}  ${name}\n`).join("");
  writeFileSync(join(output, "SHA256SUMS"), sums);
  for (const name of names) {
    const size = (statSync(join(output, name)).size / 2 ** 20).toFixed(1).padStart(6);
    process.stdout.write(`${size} MiB  ${relative(process.cwd(), join(output, name))}\n`);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What `npm publish` is given; npm writes the same times into it always. The script for Node is in it, too. */
function npmPackage(output: string): void {
  const work = mkdtempSync(join(tmpdir(), "runfcgi-release-"));
  try {
    for (
      const [command, ...words] of [
        [tools().bun, join(root, "scripts/pack.ts"), work],
        ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", output, work],
      ]
    ) execFileSync(command, words, { stdio: ["ignore", "ignore", "inherit"] });
    copyFileSync(join(work, NODE_PROGRAM), join(output, `runfcgi-${version}-node.fcgi`));
    chmodSync(join(output, `runfcgi-${version}-node.fcgi`), 0o755);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A Debian package with the program, its manual page, completions and units of systemd. */
function debianPackage(program: string, architecture: string, date: Date, output: string): void {
  const work = mkdtempSync(join(tmpdir(), "runfcgi-release-"));
  try {
    const put = (path: string, content: string | Uint8Array, mode = 0o644) => {
      const file = join(work, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
      chmodSync(file, mode);
    };
    const compressed = (text: string) => gzipSync(text, { level: constants.Z_BEST_COMPRESSION });
    put("usr/bin/runfcgi", readFileSync(program), 0o755);
    put("usr/share/man/man1/runfcgi.1.gz", compressed(own("manpage")));
    put("usr/share/bash-completion/completions/runfcgi", own("completion", "bash"));
    put("usr/share/zsh/vendor-completions/_runfcgi", own("completion", "zsh"));
    put("usr/share/fish/vendor_completions.d/runfcgi.fish", own("completion", "fish"));
    for (const [kind, text] of Object.entries(debianUnits())) put(`lib/systemd/system/runfcgi@.${kind}`, text);
    put("usr/share/doc/runfcgi/copyright", readFileSync(join(root, "LICENSE")));
    put("usr/share/doc/runfcgi/changelog.gz", compressed(readFileSync(join(root, ".github/CHANGELOG.md"), "utf8")));
    const size = Math.ceil(statSync(program).size / 1024);
    put("DEBIAN/control", control(architecture, size));
    // It is the root of the system that gets the package.
    chmodSync(work, 0o755);
    setTimes(work, date);
    const file = join(output, `runfcgi_${version}_${architecture}.deb`);
    execFileSync("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z6", "--build", work, file], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, SOURCE_DATE_EPOCH: String(date.getTime() / 1000) },
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new CommandError("dpkg-deb is missing, which makes the Debian packages: install dpkg");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function control(architecture: string, size: number): string {
  return `Package: runfcgi
Version: ${version}
Architecture: ${architecture}
Maintainer: The runfcgi authors <runfcgi@users.noreply.github.com>
Installed-Size: ${size}
Depends: libc6 (>= 2.17)
Suggests: nginx | apache2 | lighttpd | caddy | haproxy
Section: httpd
Priority: optional
Description: TypeScript applications behind any web server
 Puts an application written in TypeScript or JavaScript behind nginx, Apache,
 lighttpd, Caddy or HAProxy over FastCGI, SCGI, AJP, uwsgi or HTTP, with
 threads or processes, reloads without a lost request, logs and a status page.
`;
}

/** Units for a site in each folder of /srv. */
function debianUnits(): Record<string, string> {
  const { service, socket } = systemdUnits({
    ...manySites("runfcgi@", "/srv"),
    command: ["/usr/bin/runfcgi"],
    user: "www-data",
    group: "www-data",
    documentation: "man:runfcgi(1)",
  });
  const use = `# One site for each instance: the application in /srv/NAME serves on /run/runfcgi/NAME.sock.
#   systemctl enable --now runfcgi@NAME.socket runfcgi@NAME.service
`;
  return { service: use + service, socket };
}

/** What the program prints of itself. */
function own(...words: string[]): string {
  return execFileSync(tools().bun, [join(root, "mod.ts"), ...words], { encoding: "utf8" });
}

function setTimes(folder: string, date: Date): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setTimes(path, date);
    utimesSync(path, date, date);
  }
  utimesSync(folder, date, date);
}
