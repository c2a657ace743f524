/**
 * The test command: all suites on Deno, Bun and Node, and those of the program on the compiled binary as well.
 *
 * @module
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Result, resultsFile, takeResults, testCommand } from "./results.ts";
import { installFrameworks, installPackage, installValidators, root, tools, unpackSuexec } from "./tools.ts";

/** Debian's packages with the programs that tests start: web servers, what runs behind them, and what reads our output. */
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
  logrotate: "logrotate",
  man: "man-db",
  "php-cgi": "php-cgi",
  zsh: "zsh",
};
/** The same for tests that run with `--whole` only, since installing these takes long. */
const wholePackages: Record<string, string> = {
  mariadbd: "mariadb-server-core",
  pg_ctlcluster: "postgresql",
  buildah: "buildah",
  chromium: "chromium",
  "docker-compose": "docker-compose",
  go: "golang-go",
  php: "php-cli",
  promtool: "prometheus",
  puma: "puma",
};
/** Debian's packages with modules of web servers and of what runs behind them, by a file in them. */
const modulePackages: Record<string, string> = {
  "/usr/lib/apache2/modules/mod_fcgid.so": "libapache2-mod-fcgid",
  "/usr/lib/apache2/modules/mod_jk.so": "libapache2-mod-jk",
  "/usr/lib/apache2/modules/mod_passenger.so": "libapache2-mod-passenger",
  "/usr/lib/apache2/modules/mod_xsendfile.so": "libapache2-mod-xsendfile",
  "/usr/lib/lighttpd/mod_openssl.so": "lighttpd-mod-openssl",
  "/usr/lib/python3/dist-packages/flask": "python3-flask",
};
const wholeModulePackages: Record<string, string> = { "/var/lib/dpkg/info/ruby-sinatra.list": "ruby-sinatra" };

interface Run {
  name: string;
  runtime: string;
  files: string[];
  environment?: Record<string, string>;
}

installServers();
unpackSuexec();
installFrameworks();
installValidators();
if (process.argv.includes("--whole")) installPackage("axe-core", "4.14.1");
const wanted = process.argv.slice(2).filter((word) => word !== "--whole");
const files = (pattern: string) =>
  globSync(pattern, { cwd: root }).filter((file) => wanted.every((word) => file.includes(word))).sort();
const all = files("tests/**/*.test.ts");
// It waits for the registry while the other works.
const installing = all.some((file) => file.endsWith("applications.slow.test.ts"))
  ? once(
    spawn(
      tools().deno,
      ["run", "-A", join(root, "scripts/applications.ts"), ...process.argv.includes("--whole") ? ["--whole"] : []],
      { stdio: "inherit" },
    ),
    "close",
  )
  : [0];
execFileSync(tools().deno, ["run", "-A", join(root, "scripts/compile.ts")], { stdio: "inherit", cwd: root });
if ((await installing)[0] !== 0) throw new Error("The applications of the tests cannot be installed");
const binary = join(root, "dist", `runfcgi-${process.platform}-${process.arch}`);

const whole = wanted.length > 0 || process.argv.includes("--whole");
const program = all.filter((file) => /^tests\/(?:cli\/|e2e\/|server\/memory\.)|\.slow\.test\.ts$/.test(file));
/**
 * `*.slow.test.ts` start the program or web servers many times. The compiled program, which starts soonest, always runs
 * them; the runtimes do with `--whole`. Behind web servers the compiled program, which is Bun's, stands for Bun.
 */
const filesFor = (name: string) =>
  whole ? all : all.filter((file) => !file.endsWith(".slow.test.ts") && !(name === "bun" && file.startsWith("tests/e2e/")));
if (!whole) {
  process.stdout.write(
    "Slow tests run with the compiled program only; --whole runs all tests with every runtime\n",
  );
}
const runs: Run[] = ["deno", "bun", "node"].map((name) => ({ name, runtime: name, files: filesFor(name) }));
if (program.length > 0) {
  // It takes longest, mostly waiting.
  runs.unshift({ name: "binary", runtime: "node", files: program, environment: { RUNFCGI_PROGRAM: binary } });
}

/** Milliseconds that a suite may print nothing. One that hangs is ended, so that the others are still told of. */
const SILENCE_MS = (process.argv.includes("--whole") ? 60 : 10) * 60_000;

/** Suites that run at the same time, since they mostly wait. */
const PARALLEL = 3;

const total: Result = { passed: 0, failed: 0, skipped: 0, failures: [] };
const waiting = [...runs];
/** Settled when everything before has been shown. */
let turn: Promise<void> = Promise.resolve();
await Promise.all(Array.from({ length: PARALLEL }, async () => {
  for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
    const result = await execute(run);
    total.passed += result.passed;
    total.failed += result.failed;
    total.skipped += result.skipped;
    if (result.failed > 0) total.failures.push(heading(`${run.name}, what failed`), ...result.failures);
  }
}));
await turn;
// Repeated at the end, where they are found among thousands of others.
process.stdout.write(total.failures.join("\n"));
process.stdout.write(`\n${summary(total)}\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

/** Runs a suite. Its output is shown when its turn comes. */
async function execute({ name, runtime, files, environment }: Run): Promise<Result> {
  const before = turn;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const results = resultsFile(name);
  const [command, ...words] = testCommand(runtime, files, results);
  const child = spawn(command, words, {
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
  const silence = setTimeout(() => {
    show(`\n${name} has printed nothing for ${SILENCE_MS / 60_000} minutes, and is killed\n`);
    child.kill("SIGKILL");
    // What it has started may hold its output.
    child.once("exit", () => child.emit("close", null));
  }, SILENCE_MS);
  turn = before.then(() => {
    process.stdout.write(heading(name));
    shown = 0;
    show("");
    return ended;
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      silence.refresh();
      show(text);
    });
  }
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(silence);
  const result = takeResults(results, status, output);
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

/** Installs missing packages as root; without them, tests are skipped and say what they lack. */
function installServers(): void {
  const all = process.argv.includes("--whole");
  const commands = { ...serverPackages, ...all ? wholePackages : {} };
  const modules = { ...modulePackages, ...all ? wholeModulePackages : {} };
  const packages = [
    ...Object.entries(commands).filter(([command]) => !isInstalled(command)),
    ...Object.entries(modules).filter(([file]) => !existsSync(file)),
  ].map(([, name]) => name);
  if (packages.length === 0 || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return;
  process.stdout.write(`Installing ${packages.join(", ")} …\n`);
  // Does not start services: the tests start their own servers.
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
