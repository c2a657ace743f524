/**
 * The runtimes and tools that tests and scripts use: pinned, from the npm registry, in `.tools/`.
 *
 * @module
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Root of the project. */
export const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, ".tools");

const platform = `${process.platform}-${process.arch}`;
const bunArch = process.arch === "arm64" ? "aarch64" : process.arch;

/**
 * Packages with their versions. Runtimes come as packages of the platform, which contain the executable; Node's do not have
 * each version for macOS.
 */
const packages: Record<string, { version: string; path: string }> = {
  [`@deno/${platform}${process.platform === "linux" ? "-glibc" : ""}`]: { version: "2.9.6", path: "deno" },
  [`@oven/bun-${process.platform}-${bunArch}`]: { version: "1.4.5", path: "bin/bun" },
  "typescript": { version: "7.0.2", path: "bin/tsc" },
  "bun-types": { version: "1.4.5", path: "" },
  "@types/node": { version: "24.19.2", path: "" },
  ...process.platform === "linux" ? { [`node-${platform}`]: { version: "24.21.0", path: "bin/node" } } : {},
};
const [denoPackage, bunPackage] = Object.keys(packages);

function pathOf(name: string): string {
  return join(folder, "node_modules", name, packages[name].path);
}

/** Installs what is missing and returns where everything is. */
export function tools(): { deno: string; bun: string; node: string; tsc: string; modules: string } {
  install(packages);
  return {
    deno: pathOf(denoPackage),
    bun: pathOf(bunPackage),
    // Elsewhere the machine's own, 24.2 or newer.
    node: process.platform === "linux" ? pathOf(`node-${platform}`) : "node",
    tsc: pathOf("typescript"),
    modules: join(folder, "node_modules"),
  };
}

function install(wanted: typeof packages): void {
  const isThere = (name: string) => {
    try {
      return JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")).version ===
        wanted[name].version;
    } catch {
      return false;
    }
  };
  if (Object.keys(wanted).every(isThere)) return;
  process.stderr.write("Installing the tools of this project into .tools …\n");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, "package.json"))) writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const specs = Object.entries(wanted).map(([name, { version }]) => `${name}@${version}`);
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--save-exact", "--ignore-scripts", "--loglevel=error", ...specs], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** Installs a package that only some tasks need, and returns its folder. */
export function installPackage(name: string, version: string): string {
  install({ [name]: { version, path: "" } });
  return join(folder, "node_modules", name);
}

/** Debian's suexec that reads its settings from a file. It is not setuid here, and not part of the system. */
export const suexec: string = join(folder, "suexec-custom");

/** Unpacks it where root has apt; without it, tests are skipped. */
export function unpackSuexec(): void {
  if (existsSync(suexec) || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return;
  const work = mkdtempSync(join(tmpdir(), "runfcgi-"));
  try {
    const apt = ["-qq", "-o", "APT::Sandbox::User=root", "download", "apache2-suexec-custom"];
    execFileSync("apt-get", apt, { cwd: work, stdio: ["ignore", "ignore", "inherit"] });
    const [archive] = readdirSync(work);
    execFileSync("dpkg-deb", ["-x", archive, "."], { cwd: work });
    copyFileSync(join(work, "usr/lib/apache2/suexec-custom"), suexec);
    chmodSync(suexec, 0o644);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The commit of the source, with a `+` if it has been changed since; `undefined` outside of a repository. */
export function commit(): string | undefined {
  const git = (...words: string[]) => {
    const { status, stdout } = spawnSync("git", words, { cwd: root, encoding: "utf8" });
    return status === 0 ? stdout.trim() : undefined;
  };
  const hash = git("rev-parse", "--short=10", "HEAD");
  return hash && `${hash}${git("status", "--porcelain") ? "+" : ""}`;
}

/** Packages that check what is printed for Kubernetes. */
const validators = { "kubernetes-models": "5.1.0", yaml: "2.9.1" };

/** Installs them, and returns the folder from which Node finds them. */
export function installValidators(): string {
  install(Object.fromEntries(Object.entries(validators).map(([name, version]) => [name, { version, path: "" }])));
  return folder;
}

/** Packages that the tests' applications import, with versions. */
export const frameworks: Readonly<Record<string, string>> = {
  express: "5.3.0",
  "express-session": "1.19.0",
  multer: "2.5.0",
  "on-finished": "2.4.2",
  koa: "3.3.0",
  busboy: "1.6.0",
  fastify: "5.12.8",
  "@fastify/cookie": "11.1.5",
  "@fastify/formbody": "9.0.1",
  "@fastify/multipart": "10.1.9",
  hono: "4.13.19",
  h3: "2.0.8",
  "itty-router": "5.0.24",
};

/** Installs them for Bun and Node, and into the cache of Deno, which uses no folder that it does not manage. */
export function installFrameworks(): void {
  install(Object.fromEntries(Object.entries(frameworks).map(([name, version]) => [name, { version, path: "" }])));
  const specifiers = Object.entries(frameworks).map(([name, version]) => `npm:${name}@${version}`);
  execFileSync(tools().deno, ["cache", "--quiet", "--no-lock", ...specifiers], { stdio: "inherit" });
}
