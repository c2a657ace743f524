/**
 * The test command: all suites on Deno, Bun and Node, and those of the program on the compiled binary as well.
 *
 * @module
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { count, failuresIn, type Result } from "./results.ts";
import { installFrameworks, root, tools } from "./tools.ts";

/** Debian's packages with the web servers that the end-to-end tests start, and the programs behind them. */
const serverPackages: Record<string, string> = {
  nginx: "nginx-light",
  apache2: "apache2",
  lighttpd: "lighttpd",
  caddy: "caddy",
  haproxy: "haproxy",
  "spawn-fcgi": "spawn-fcgi",
  multiwatch: "multiwatch",
  gunicorn: "gunicorn",
  "django-admin": "python3-django",
};
/** Debian's packages with modules of web servers, by the file that they bring. */
const modulePackages: Record<string, string> = {
  "/usr/lib/apache2/modules/mod_fcgid.so": "libapache2-mod-fcgid",
  "/usr/lib/apache2/modules/mod_jk.so": "libapache2-mod-jk",
  "/usr/lib/apache2/modules/mod_passenger.so": "libapache2-mod-passenger",
  "/usr/lib/apache2/modules/mod_xsendfile.so": "libapache2-mod-xsendfile",
  "/usr/lib/lighttpd/mod_openssl.so": "lighttpd-mod-openssl",
};

interface Run {
  name: string;
  command: string[];
  environment?: Record<string, string>;
}

installServers();
const { deno, bun, node } = tools();
installFrameworks();
execFileSync(deno, ["run", "-A", join(root, "scripts/compile.ts")], { stdio: "inherit", cwd: root });
const binary = join(root, "dist", `runfcgi-${process.platform}-${process.arch}`);

const wanted = process.argv.slice(2).filter((word) => word !== "--whole");
const whole = wanted.length > 0 || process.argv.includes("--whole");
const files = (pattern: string) =>
  globSync(pattern, { cwd: root }).filter((file) => wanted.every((word) => file.includes(word))).sort();
const all = files("tests/**/*.test.ts");
const program = [...files("tests/{cli,e2e}/**/*.test.ts"), ...files("tests/server/memory.test.ts")];
/**
 * Tests that start the program hundreds of times. The compiled program, which starts soonest, runs them always; the
 * runtimes with `--whole`.
 */
const many = new RegExp(
  "tests/(?:cli/(?:account|build|crowd|daemon|deaths|descriptors|doctor|doctor_probe|drop_in|env_from|get|logs|pool|reload|replay|" +
    "leaving|signals|sources|stopping|systemd)|e2e/(?:changes|config|django|duplex|frameworks|init|passenger|processes|rewrites|spawned|" +
    "troubleshooting))\\.test\\.ts$",
);
/** Behind most web servers goes the compiled program alone; it is Bun's, and Deno and Node go behind some as well. */
const few = /tests\/e2e\/(?!apache|fcgid|nginx)/;
const left = { deno: few, bun: /tests\/e2e\//, node: few };
const filesFor = (name: keyof typeof left) => whole ? all : all.filter((file) => !many.test(file) && !left[name].test(file));
if (!whole) {
  process.stdout.write(
    "Tests that take long run with the compiled program only; --whole runs all with all\n",
  );
}
const runs: Run[] = [
  { name: "deno", command: [deno, "test", "-A", "--no-check", ...filesFor("deno")] },
  { name: "bun", command: [bun, "test", "--timeout=120000", ...filesFor("bun").map((file) => `./${file}`)] },
  { name: "node", command: [node, "--test", "--test-concurrency=2", "--test-reporter=spec", ...filesFor("node")] },
];
if (program.length > 0) {
  // It takes longest, and most of that is waiting.
  runs.unshift({
    name: "binary",
    command: [node, "--test", "--test-concurrency=2", "--test-reporter=spec", ...program],
    environment: { RUNFCGI_PROGRAM: binary },
  });
}

/** Milliseconds that a suite may take. One that hangs is ended, so that the others are still told of. */
const LIMIT_MS = (process.argv.includes("--whole") ? 120 : 25) * 60_000;

/** Suites at once: much of their time is waiting, and they stay out of each other's way. */
const PARALLEL = 3;

const total: Result = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const waiting = [...runs];
/** Settled when all that is shown before is. */
let turn: Promise<void> = Promise.resolve();
await Promise.all(Array.from({ length: PARALLEL }, async () => {
  for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
    const result = await execute(run);
    total.passed += result.passed;
    total.failed += result.failed;
    total.skipped += result.skipped;
  }
}));
await turn;
// Once more, since nobody finds them among thousands of others.
process.stdout.write(failures.join(""));
process.stdout.write(`\n${summary(total)}\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

/** Runs a suite and counts what its runner says at the end. What it prints is shown when it is its turn. */
async function execute({ name, command, environment }: Run): Promise<Result> {
  const before = turn;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const child = spawn(command[0], command.slice(1), {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...process.argv.includes("--whole") ? { RUNFCGI_WHOLE: "true" } : {}, ...environment },
  });
  let output = "";
  let shown = -1;
  const show = (text: string) => {
    output += text;
    if (shown < 0) return;
    process.stdout.write(output.slice(shown));
    shown = output.length;
  };
  const begun = Date.now();
  const limit = setTimeout(() => {
    show(`\n${name} did not end within ${LIMIT_MS / 60_000} minutes, and is killed\n`);
    child.kill("SIGKILL");
    // What it has started may hold its output.
    child.once("exit", () => child.emit("close", null));
  }, LIMIT_MS);
  turn = before.then(() => {
    process.stdout.write(heading(name));
    shown = 0;
    show("");
    return ended;
  });
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", show);
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(limit);
  const result = count(output);
  // A runner that fails otherwise, in loading a file for one, has failed too.
  if (status !== 0 && result.failed === 0) result.failed = 1;
  if (result.failed > 0) failures.push(heading(`${name}, what failed`) + failuresIn(output));
  show(`── ${name}: ${summary(result)} in ${Math.round((Date.now() - begun) / 1000)} s\n`);
  end();
  return result;
}

function heading(text: string): string {
  return `\n── ${text} ${"─".repeat(90 - text.length)}\n`;
}

function summary({ passed, failed, skipped }: Result): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Where this user may install packages, the missing web servers are; elsewhere their tests say what they lack. */
function installServers(): void {
  const servers = Object.keys(serverPackages).filter((server) => !isInstalled(server));
  const modules = Object.keys(modulePackages).filter((file) => !existsSync(file));
  const packages = [...servers.map((name) => serverPackages[name]), ...modules.map((name) => modulePackages[name])];
  if (packages.length === 0 || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return;
  process.stdout.write(`Installing ${packages.join(", ")} …\n`);
  // Their services are not to be started: the tests start servers of their own.
  const options = {
    stdio: ["ignore", "ignore", "inherit"] as const,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
  };
  execFileSync("apt-get", ["update", "-qq"], { ...options, stdio: [...options.stdio] });
  execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], {
    ...options,
    stdio: [...options.stdio],
  });
}

function isInstalled(command: string): boolean {
  const path = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
  return spawnSync("sh", ["-c", `command -v ${command}`], { env: { ...process.env, PATH: path }, stdio: "ignore" }).status === 0;
}
