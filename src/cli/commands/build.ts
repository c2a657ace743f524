/**
 * `build`: one file with the program, its runtime and an application inside. Bun makes it, which the compiled program
 * has in itself, so that nothing else need be on the machine.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Params } from "../../protocol/params.ts";
import { runtime } from "../../runtime/name.ts";
import { request } from "../../server/client.ts";
import { optionsIn } from "../../process/app_options.ts";
import { programWords } from "../../app/application.ts";
import { type Compiled, compiled, isBundled, isCompiled } from "../../app/compiled.ts";
import { runAsOwner } from "../../process/as_owner.ts";
import { CommandError, oneOf, parseArguments, text, UsageError } from "../../options/arguments.ts";
import type { Built, Bundles } from "../../app/application.ts";
import { allTexts } from "../texts.ts";
import { addEntryPoint } from "../../runtime/entry_point.ts";
import { nodeLauncherText } from "./launcher.ts";

/** This machine in the words of the targets. */
export const thisTarget = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;

/** Targets of Bun: its bases for other machines come from the npm registry. */
export const targets: readonly string[] = [
  "linux-x64",
  "linux-x64-baseline",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "windows-x64",
];

/** The module of the program that is loaded first, and what runs it: frames of errors are known by these names. */
const BUNDLE = "runfcgi.bundle-main.js";
/**
 * The program as several modules, of which each process loads what its role needs: a supervisor is two thirds of it less.
 * In a program with an application inside, all becomes one.
 */
const splitting = ["--splitting", "--chunk-naming=runfcgi.bundle-[hash].[ext]"];
/** What applications import by the name of the package, of which it is loaded when one does. */
const LIBRARY = "runfcgi.bundle-library.js";
const ENTRY = "runfcgi.entry.ts";
/** What runs before them, a module of its own that needs no other. */
const FIRST = "runfcgi.first.js";

/** What is built. */
export interface Build {
  /** File of the application; none for the program that looks for one. */
  app?: string;
  output: string;
  target: string;
  /** How to start Bun. */
  bun: { command: string; environment?: Record<string, string> };
  /** Commit of the program's source, by default this program's own if known. */
  commit?: string;
  /** What is bundled already. */
  bundles?: Bundles;
  /** Packages that are left out, and looked for where the program runs. */
  external?: readonly string[];
  /** Files and folders, relative to the application's, that it reads as if they were still beside it. */
  include?: readonly string[];
  /** Looks at the file before it is put in place. */
  check?(file: string): Promise<void>;
}

/** Builds a file and puts it in place at once. @throws {CommandError} if Bun or the check refuses it */
export async function build(
  { app, output, target, bun, commit = compiled?.commit, bundles, external = [], include = [], check }: Build,
): Promise<void> {
  mkdirSync(dirname(resolve(output)), { recursive: true });
  // On the same disk, so that the file can be moved.
  const work = mkdtempSync(join(dirname(resolve(output)), ".runfcgi-build-"));
  const run: Run = (args, failure) => runBun(bun, args, work, failure);
  try {
    const program = bundles ? JSON.parse(readFileSync(bundles.program, "utf8")) : modulesOfProgram(run, work);
    for (const [name, text] of Object.entries<string>(program)) writeFileSync(join(work, name), text);
    if (bundles) writeFileSync(join(work, FIRST), readFileSync(bundles.first));
    else bundle(run, "../../runtime/frugal.ts", `--outfile=${FIRST}`);
    if (app === undefined) {
      // Files that are no modules for Bun: they are only kept.
      writeFileSync(join(work, "program.txt"), JSON.stringify(program));
      copyFileSync(join(work, FIRST), join(work, "first.txt"));
      writeFileSync(join(work, "node.txt"), nodeProgram(bun, commit));
    }
    writeFileSync(join(work, "texts.txt"), bundles ? readFileSync(bundles.texts) : allTexts());
    writeFileSync(join(work, ENTRY), entryText(app, `./${BUNDLE}`, { target, commit }, true));
    writeFileSync(join(work, START), startText);
    const file = join(work, target.startsWith("windows") ? "built.exe" : "built");
    const crossing = target === thisTarget ? [] : [`--target=bun-${target}`];
    const failure = crossing.length > 0
      ? `It cannot be built for ${target}. Bun's base for another machine comes from the npm registry, which has to be reached`
      : "It cannot be built";
    // Errors of the application name the lines of its source.
    const how = app === undefined ? splitting : ["--sourcemap=inline"];
    const left = external.map((name) => `--external=${name}`);
    const assets = include.map((path) => {
      // Bun takes them in by their paths from here.
      cpSync(resolve(dirname(app!), path), join(work, path), { recursive: true, dereference: true });
      return `--asset=${path}`;
    });
    const entries = app === undefined ? [START, ENTRY, LIBRARY] : [START, ENTRY];
    run(["build", "--compile", ...flags, ...how, ...left, ...assets, ...crossing, `--outfile=${file}`, ...entries], failure);
    addEntryPoint(file);
    chmodSync(file, 0o755);
    await check?.(file);
    renameSync(file, output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Runs Bun with arguments. */
type Run = (args: string[], failure: string) => void;

function bundle(run: Run, source: string, ...how: string[]): void {
  run(["build", "--target=bun", ...how, sourceFile(source)], "The program cannot be bundled");
}

/** The program's modules by name. */
function modulesOfProgram(run: Run, work: string): Record<string, string> {
  const library = sourceFile("../../app/library.ts");
  bundle(run, "../main.ts", ...splitting, "--entry-naming=runfcgi.bundle-[name].[ext]", "--outdir=program", library);
  const folder = join(work, "program");
  return Object.fromEntries(readdirSync(folder).sort().map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

const flags = [
  // Compiled ahead: the first answer comes three times sooner.
  "--bytecode",
  "--format=esm",
  // A folder that visitors' uploads may reach is the working directory under a web server: nothing in it may be run.
  "--no-compile-autoload-bunfig",
  "--no-compile-autoload-dotenv",
  // Without it, only packages whose entry is index.js are found in node_modules.
  "--compile-autoload-package-json",
  // Else it is "development" for good, with which Express shows errors to visitors.
  "--define=process.env.NODE_ENV=process.env.NODE_ENV",
];

/** Compresses a module by Bun, whoever makes it: each runtime gives other bytes. Names are kept, since errors tell them. */
const compressing = `const { readFileSync, writeFileSync } = require("node:fs");
const { brotliCompressSync, constants: { BROTLI_PARAM_LGWIN: window, BROTLI_PARAM_SIZE_HINT: size } } = require("node:zlib");
const module = readFileSync("made.mjs");
const packed = brotliCompressSync(module, { params: { [window]: 22, [size]: module.length } });
writeFileSync("made.txt", packed.toString("base64"));`;

/**
 * All of the program as one script for a host with Node, which has the module in it.
 *
 * @param bun how to start Bun, which makes it
 * @throws {CommandError} if there is no source
 */
export function nodeProgram(bun: Build["bun"], commit: string | undefined): string {
  const main = sourceFile("../main.ts");
  const work = mkdtempSync(join(tmpdir(), "runfcgi-build-"));
  try {
    writeFileSync(join(work, ENTRY), entryText(undefined, main, { commit }));
    runBun(
      bun,
      ["build", "--target=node", "--minify-syntax", "--minify-whitespace", "--outfile=made.mjs", ENTRY],
      work,
      "The program cannot be bundled",
    );
    runBun(bun, ["-e", compressing], work, "The program cannot be compressed");
    return nodeLauncherText(readFileSync(join(work, "made.mjs")), readFileSync(join(work, "made.txt"), "utf8"));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The module that a built program starts with. What it imports later is no part of it, and is not even looked at before. */
const START = "runfcgi.start.ts";
const startText = `import { startFrugally } from "./${FIRST}";
startFrugally(true);
const entry = "./${ENTRY.replace(/\.ts$/, ".js")}";
import(entry);
`;

/**
 * The module that runs the program.
 *
 * @param program what to import the program from
 * @param made what `version` prints of it
 * @param kept whether its texts, and what builds others, are files beside it that are kept inside the program
 */
export function entryText(app: string | undefined, program: string, made: Compiled, kept = false): string {
  const quoted = (text: string) => JSON.stringify(text);
  const lines = [`import { main } from ${quoted(program)};`];
  const own = app === undefined && kept;
  const library = own ? `, library: () => createRequire(import.meta.url)("./${LIBRARY}")` : "";
  const built = [`compiled: { ...${JSON.stringify(made)}, entry: import.meta.url${library} }`];
  if (kept) {
    lines.push('import { readFileSync } from "node:fs";');
    for (const name of own ? ["texts", "program", "first", "node"] : ["texts"]) {
      lines.push(`import ${name} from "./${name}.txt" with { type: "file" };`);
    }
  }
  built.push(`texts: () => ${kept ? 'readFileSync(texts, "utf8")' : quoted(allTexts())}`);
  if (app !== undefined) {
    lines.push(`const load = () => import(${quoted(resolve(app))});`);
    built.push(`app: { load, options: ${JSON.stringify(optionsIn(readFileSync(app, "utf8")))} }`);
  } else if (own) {
    lines.push('import { createRequire } from "node:module";');
    built.push("bundles: { program, first, texts, node }");
  }
  return `${[...lines, `main({ ${built.join(", ")} });`].join("\n")}\n`;
}

/** A file of the program's source. @throws {CommandError} when it is not on the disk */
function sourceFile(path: string): string {
  if (isBundled() || !import.meta.url.startsWith("file:")) {
    throw new CommandError("build needs the source of runfcgi in a folder, or the compiled program");
  }
  return fileURLToPath(new URL(path, import.meta.url));
}

function runBun({ command, environment }: Build["bun"], args: string[], cwd: string, failure: string): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
  if (status !== 0) throw new CommandError(`${failure}:\n${error?.message ?? `${stdout}${stderr}`.trim()}`);
}

/**
 * Bun inside this program, the one that runs it, or the one on the PATH.
 *
 * @param what needs it
 * @throws {CommandError} when there is none
 */
export function findBun(what: string): Build["bun"] {
  if (runtime.name === "Bun") {
    const environment: Record<string, string> = isCompiled() ? { BUN_BE_BUN: "1" } : {};
    return { command: process.execPath, environment };
  }
  if (spawnSync("bun", ["--version"], { stdio: "ignore" }).status === 0) return { command: "bun" };
  throw new CommandError(
    `${what} needs Bun, and there is no bun on the PATH: install it, or use the compiled program, which has it inside`,
  );
}

const table = {
  output: {
    kind: text("a path"),
    short: "o",
    default: "mysite.fcgi for mysite.ts, in the working directory",
    help: "The file that is made.",
    example: "-o mysite.fcgi",
  },
  target: {
    kind: oneOf(targets),
    default: "this machine",
    help: `Where it is to run: ${targets.join(", ")}.`,
    example: "--target linux-arm64",
  },
  external: {
    kind: text("the name of a package"),
    repeatable: true,
    default: "none",
    help: "Package that is left out, such as an optional one that is not installed. Repeatable.",
    example: "external=pg-native",
  },
  include: {
    kind: text("a path"),
    repeatable: true,
    default: "none",
    help: "File or folder below the application's that is taken into the program, where the application reads it by " +
      "import.meta.dirname or import.meta.url as if it were beside it: readFile, stat and readdir work, streams do not. Repeatable.",
    example: "include=templates",
  },
} as const;

const usage = `
runfcgi build APP [option=value …]

Makes one file with the program, its runtime, the application and all that it imports, and starts it once to see that
it answers. The runtime for another machine comes from the npm registry.

  runfcgi build mysite.ts -o mysite.fcgi
  runfcgi build mysite.ts include=templates external=pg-native
`;

export const page = { usage, options: table };

/** Runs the command and resolves with the exit status. @throws {UsageError} if the arguments are invalid */
export async function run(words: readonly string[], { bundles }: Built): Promise<number> {
  const { app, output, target, external, include } = wantedBy(words);
  if (runtime.name === "Bun" && isCompiled() && bundles === undefined) {
    throw new UsageError("this program was built itself, and has an application inside: use the one that it was built with");
  }
  // What is bundled can have macros, and what was built is started.
  const status = runAsOwner(app);
  if (status !== undefined) return status;
  const shown = relative("", output) || output;
  process.stderr.write(`runfcgi: building ${shown} for ${target} …\n`);
  const runs = target === thisTarget;
  let remark = "";
  const check = async (file: string) => void (remark = await tryOut(file));
  await build({ app, output, target, bun: findBun("build"), bundles, external, include, check: runs ? check : undefined });
  const size = Math.round(statSync(output).size / 2 ** 20);
  const checked = runs ? remark || "it starts and answers" : "not tried out, since it is for another machine";
  process.stderr.write(`runfcgi: built ${shown}, ${size} MiB: ${checked}\n`);
  return 0;
}

type Wanted = Pick<Build, "output" | "target" | "external" | "include"> & { app: string };

function wantedBy(words: readonly string[]): Wanted {
  const { plain: [app, ...more], options: { output, target = thisTarget, external, include = [] } } = parseArguments(
    words,
    table,
  );
  if (app === undefined || more.length > 0) {
    throw new UsageError(`give an application, such as ${programWords()} build app.ts -o mysite.fcgi`);
  }
  if (!statSync(app, { throwIfNoEntry: false })?.isFile()) throw new UsageError(`there is no file "${app}"`);
  const ending = target.startsWith("windows") ? "exe" : "fcgi";
  return {
    app,
    output: resolve(output ?? `${basename(app).replace(/\.\w+$/, "")}.${ending}`),
    target,
    external,
    include: include.map((path) => includedPath(path, resolve(dirname(app)))),
  };
}

/** A path to be included as one from the application's folder. @throws {UsageError} for what is not in it */
function includedPath(given: string, folder: string): string {
  const path = relative(folder, resolve(folder, given));
  if (path === "" || path === ".." || path.startsWith(`..${sep}`) || isAbsolute(path)) {
    throw new UsageError(`include is "${given}", which is not in the application's folder ${folder}`);
  }
  if (!existsSync(join(folder, path))) throw new UsageError(`include is "${given}", which is not there`);
  return path;
}

/** Milliseconds that a built program has to answer. */
const PATIENCE_MS = 30_000;
const PING = "/runfcgi-build";
/** Milliseconds that its log may come later. */
const LOG_MS = 2000;

/** Starts a built program and asks it. Returns what is to be said of it. @throws {CommandError} when it does not answer */
async function tryOut(file: string): Promise<string> {
  const socket = join(dirname(file), "s");
  const child = spawn(file, [`socket=${relative("", socket)}`, `ping=${PING}`, "threads=1", "grace=0"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  let over = false;
  child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
  const ended = new Promise<void>((resolve) =>
    child.once("close", () => resolve()).once("error", (error) => (said += error.message, resolve()))
  );
  ended.then(() => over = true);
  const get = (path: string) => {
    const params = Params.from(Object.entries({ REQUEST_METHOD: "GET", REQUEST_URI: path, HTTP_HOST: "localhost" }));
    return request({ address: { transport: "unix", path: socket }, protocol: "fcgi", params });
  };
  /** What the log says, which may come later than the response. */
  const told = async (pattern: RegExp) => {
    for (const late = Date.now() + LOG_MS; !pattern.test(said) && Date.now() < late;) await delay(20);
    return pattern.exec(said)?.[1].trim() ?? "";
  };
  try {
    for (const deadline = Date.now() + PATIENCE_MS; !over && Date.now() < deadline; await delay(20)) {
      if (!/\bserving\b/.test(said)) continue;
      const { head, body } = await get(PING);
      // With 503 it says that the application cannot be loaded.
      if (await new Response(body).text() !== "pong\n" && head.status !== 503) break;
      if (head.status === 503) {
        return `it starts, but its application cannot be loaded here: ${await told(
          /Cannot load .*?: ([^]*?)(?:\n\[|\nrunfcgi:|$)/,
        )}`;
      }
      // A page may take as long as it likes.
      const page = await Promise.race([
        get("/").catch(() => undefined),
        ended,
        delay(Math.max(0, deadline - Date.now()), undefined, { ref: false }),
      ]);
      if (over) break;
      if (!page || page.head.status < 500) return "";
      await page.body.cancel();
      const why = await told(/GET \/: ([^]*?)(?:\n\[|\nrunfcgi:|$)/);
      return `it starts, but answers GET / with ${page.head.status}${why && `: ${why}`}`;
    }
  } finally {
    child.kill();
    await ended;
  }
  throw new CommandError(`What was built does not answer:\n${said.trim()}`);
}
