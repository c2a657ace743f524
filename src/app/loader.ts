/**
 * The application: loading it, and what visitors get while it cannot be loaded.
 *
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { patchGlobals } from "../gateway/patch_globals.ts";
import { plainResponse } from "../gateway/response.ts";
import { loadedModules } from "../runtime/modules.ts";
import { beMain, ownArguments } from "../runtime/own_arguments.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { Ending } from "./ending.ts";
import { explain, importAdvice } from "./error_text.ts";
import { importApp } from "./import_app.ts";
import { loadsNoServer } from "./imports.ts";
import { loadHandler } from "./listen.ts";
import { failureNumber, type Log } from "./log.ts";
import { endings, entries, findApp } from "./places.ts";
import { projectFiles } from "./project.ts";

/** Milliseconds between two looks at the files of an application that cannot be loaded. */
const RETRY_MS = 1000;
/**
 * Milliseconds after which a request has it loaded again though nothing has changed, at first and at most: what it needs,
 * such as a database, may be there by then.
 */
const AGAIN_MS = 1000;
const MAX_AGAIN_MS = 60_000;
/** Milliseconds by which the clock of a file system may be late. */
const CLOCK_MS = 20;
/** Milliseconds that a request waits for the application to be loaded. */
const PATIENCE_MS = 20_000;

/** What is done about an application that cannot be loaded. */
export interface LoadFailures {
  log: Log;
  /** Visitors are shown the error. */
  debug?: boolean;
}

/**
 * An application that is loaded while the endpoint accepts already. As long as it cannot be loaded, requests get a page
 * with the status 503.
 */
export abstract class LoadedApp {
  /** Called when the application is loaded after it could not be. */
  onLoaded: (() => void) | undefined;
  protected readonly failures: LoadFailures;
  readonly #name: string;
  #handler: Handler | undefined;
  #loading: Promise<string | undefined> | undefined;
  #attempts = 0;
  #again = AGAIN_MS;
  #againAt = Infinity;
  #failure: unknown;
  #ending: Ending | undefined;
  /** By which visitors and the log name the failure. */
  #number = "";
  /** Why loading failed, for the web server's log with the next request. */
  #unlogged: string | undefined;
  /** Files that the last error named. */
  protected toMend: string[] = [];

  /** @param name for messages */
  constructor(name: string, failures: LoadFailures) {
    this.#name = name;
    this.failures = failures;
  }

  /** Evaluates the application's module. */
  protected abstract import(): Promise<Record<string, unknown>>;

  /** The text of its modules, as far as it is known. */
  protected source(): string {
    return "listen";
  }

  /** Whether it may have servers of Node. */
  protected loadsServers(): boolean {
    return true;
  }

  /** Whether its module can be evaluated more than once. */
  protected readonly evaluatesAgain: boolean = false;

  /** Called when it could not be loaded. */
  protected failed(): void {}

  /** Whether it is another than when it was loaded. */
  protected changed(): boolean {
    return false;
  }

  /** Files of the application's modules. */
  modules(): string[] {
    return this.toMend;
  }

  /** Resolves when the application is loaded, with the reason if it cannot be. */
  load(): Promise<string | undefined> {
    return this.#loading ??= this.#load().finally(() => this.#loading = undefined);
  }

  /** Has it clean up, within so many seconds. */
  async stop(grace: number): Promise<void> {
    await this.#ending?.come(grace, this.failures.log);
  }

  async #load(): Promise<string | undefined> {
    this.#ending ??= new Ending();
    const again = this.#attempts++ > 0;
    try {
      await this.refreshed();
      this.toMend = [];
      this.#again = AGAIN_MS;
      if (again) this.onLoaded?.();
      return undefined;
    } catch (error) {
      const reason = `${explain(error)}${importAdvice(error, this.#name)}`;
      this.#failure = error;
      this.failed();
      this.toMend = namedFiles(reason);
      this.#againAt = performance.now() + this.#again;
      this.#again = Math.min(2 * this.#again, MAX_AGAIN_MS);
      this.#number = failureNumber();
      const told = `Cannot load ${this.#name}: ${reason}`;
      this.#unlogged = `${told}\nIts number is ${this.#number}`;
      this.failures.log.write(this.#unlogged);
      return told;
    }
  }

  /** Whether there is code that answers. */
  protected get loaded(): boolean {
    return this.#handler !== undefined;
  }

  /** Loads the module and serves what it exports now. */
  protected async refreshed(): Promise<void> {
    // A module may keep or extend what it finds.
    patchGlobals();
    this.#handler = await loadHandler(() => this.import(), {
      name: basename(this.#name),
      source: () => this.source(),
      loadsServers: this.loadsServers(),
      failed: (error) => this.failures.log.write(`${this.#name} failed: ${explain(error)}`),
    });
  }

  readonly handler: Handler = (request, info) => this.#handler ? this.#handler(request, info) : this.#wait(request, info);

  async #wait(request: Request, info: ServeInfo): Promise<Response> {
    if (this.#loading === undefined && (this.changed() || this.evaluatesAgain && performance.now() > this.#againAt)) this.load();
    if (this.#loading) await Promise.race([this.#loading, patience()]);
    if (this.#handler) return this.#handler(request, info);
    const headers = { "retry-after": "5" };
    if (this.#loading) return plainResponse(503, "The site is still starting. Please try again.", headers);
    if (this.#unlogged) info.stderr(this.#unlogged);
    this.#unlogged = undefined;
    const { log, debug } = this.failures;
    if (debug) {
      const { errorPage } = await import("./error_page.ts");
      return errorPage(this.#failure, { during: `Loading ${this.#name}`, params: info.params, status: 503 });
    }
    return plainResponse(503, `The site cannot be loaded. The reason is ${log.place}. Look for ${this.#number} there.`, headers);
  }
}

/** An application in a file: loading it is tried again when a file beside it changes. */
export class AppFile extends LoadedApp {
  readonly file: string;
  protected override readonly evaluatesAgain = true;
  /** What the files beside it were like when it could not be loaded: looking at many takes long. */
  #files: string | undefined;
  #begunAt = 0;
  #lookedAt = 0;

  constructor(file: string, failures: LoadFailures) {
    super(resolve(file), failures);
    this.file = resolve(file);
  }

  override modules(): string[] {
    return [...new Set([this.file, ...projectFiles(this.file), ...loadedModules(), ...this.toMend])];
  }

  protected override import(): Promise<Record<string, unknown>> {
    this.#begunAt = Date.now();
    beMain(this.file);
    return importApp(this.file);
  }

  protected override failed(): void {
    const { text, newest } = fingerprint(dirname(this.file));
    this.#lookedAt = performance.now();
    // One that was saved meanwhile may have been read before that.
    this.#files = newest >= this.#begunAt - CLOCK_MS && newest <= Date.now() ? undefined : text;
  }

  protected override source(): string {
    return this.modules().filter((file) => /\.[cm]?[jt]sx?$/.test(file)).map((file) => tryRead(file)).join("\n");
  }

  protected override loadsServers(): boolean {
    return !loadsNoServer(this.file, tryRead(this.file));
  }

  protected override changed(): boolean {
    if (performance.now() - this.#lookedAt < RETRY_MS) return false;
    this.#lookedAt = performance.now();
    return fingerprint(dirname(this.file)).text !== this.#files;
  }

  /** Loads it again, in place of what is loaded; `false` when that fails, and what is loaded stays. */
  async refresh(): Promise<boolean> {
    try {
      await this.refreshed();
      return true;
    } catch (error) {
      const reason = `${explain(error)}${importAdvice(error, this.file)}`;
      const still = this.loaded ? "Cannot load the new code, still serving the old" : `Cannot load ${this.file}`;
      this.failures.log.write(`${still}: ${reason}`);
      return false;
    }
  }
}

/** An application inside the program. */
export class EmbeddedApp extends LoadedApp {
  readonly #load: () => Promise<Record<string, unknown>>;

  constructor(name: string, load: () => Promise<Record<string, unknown>>, failures: LoadFailures) {
    super(name, failures);
    this.#load = load;
  }

  protected override import(): Promise<Record<string, unknown>> {
    beMain(ownArguments[1]);
    return this.#load();
  }
}

/** What no worker can load, or all of them are busy with: visitors get the page that says where the reason is. */
export class StandInApp extends LoadedApp {
  readonly #reason: string;

  constructor(name: string, reason: string, failures: LoadFailures) {
    super(name, failures);
    this.#reason = reason;
  }

  protected override import(): Promise<Record<string, unknown>> {
    return Promise.reject(new Error(this.#reason));
  }
}

/** Serves a stand-in until an application is put where one is looked for. */
export class AppSearch {
  readonly #program: string;
  readonly #standIn: Handler;
  readonly #failures: LoadFailures;
  #app: AppFile | undefined;
  #lookedAt = performance.now();

  constructor(program: string, standIn: Handler, failures: LoadFailures) {
    this.#program = program;
    this.#standIn = standIn;
    this.#failures = failures;
  }

  readonly handler: Handler = (request, info) => {
    this.#app ??= this.#search();
    return (this.#app?.handler ?? this.#standIn)(request, info);
  };

  #search(): AppFile | undefined {
    if (performance.now() - this.#lookedAt < RETRY_MS) return undefined;
    this.#lookedAt = performance.now();
    const file = findApp(this.#program);
    if (file === undefined) return undefined;
    const app = new AppFile(file, this.#failures);
    app.load();
    return app;
  }
}

function patience(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PATIENCE_MS).unref?.());
}

/** Files looked at, so that an application in a large folder does not make every failure slow. */
const MAX_FILES = 2000;
const sources = new Set([...endings, ".jsx", ".mts", ".cts", ".cjs", ".json", ".jsonc"]);

/** A text that changes when a source file in or below the folder does, and when the last one did. */
function fingerprint(folder: string): { text: string; newest: number } {
  const found: string[] = [];
  let newest = 0;
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined && found.length < MAX_FILES; next = folders.pop()) {
    for (const entry of entries(next)) {
      const path = join(next, entry.name);
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      if (entry.isDirectory()) folders.push(path);
      else if (sources.has(extname(path))) {
        const stats = statSync(path, { throwIfNoEntry: false });
        if (!stats) continue;
        found.push(`${path} ${stats.mtimeMs} ${stats.size} ${stats.ino}`);
        newest = Math.max(newest, stats.ctimeMs);
      }
    }
  }
  return { text: found.join("\n"), newest };
}

function tryRead(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Files that an error names, those that are missing included: no runtime counts them among its modules. */
function namedFiles(text: string): string[] {
  const [, missing, importer] = /["'](\.{1,2}\/[^"']+)["'](?: imported)? from ["']?([^"'\n]+)/.exec(text) ?? [];
  const named = text.match(/\/[^\s"'():]+\.\w+/g) ?? [];
  return missing ? [...named, resolve(dirname(importer), missing)] : named;
}
