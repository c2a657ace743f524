/**
 * Environment variables from the params of the first request: on shared hosting, `SetEnv` in a `.htaccess` is the only
 * way to set them.
 *
 * @module
 */
import type { Handler, ServeInfo } from "../server/handler.ts";
import type { WorkerApplication } from "../supervisor/worker.ts";

/** Params that describe a visitor or a request. They never become variables. */
const ofRequest =
  /^(?:(?:HTTP|CONTENT|REQUEST|PATH|REMOTE|SCRIPT|SERVER|AUTH|REDIRECT|SSL_CLIENT)_|(?:QUERY_STRING|DOCUMENT_URI|GATEWAY_INTERFACE|HTTPS)$)/;

/** Whether this is a valid pattern: a name, or a prefix with a star. */
export function isEnvPattern(word: string): boolean {
  return /^[A-Za-z_]\w*\*?$/.test(word) && !ofRequest.test(word.replace(/\*$/, ""));
}

/**
 * The params of a request that match the patterns. Apache prepends REDIRECT_ in each internal redirect; the name with the
 * fewest of them wins.
 */
export function variablesFrom(params: ServeInfo["params"], patterns: readonly string[]): Record<string, string> {
  const found = new Map<string, { value: string; prefixes: string }>();
  for (const [param, value] of Object.entries(params)) {
    const [, prefixes, name] = /^((?:REDIRECT_)*)(.+)$/s.exec(param) ?? [];
    if (name === undefined || ofRequest.test(name) || value.includes("\0")) continue;
    const allowed = patterns.some((word) => word.endsWith("*") ? name.startsWith(word.slice(0, -1)) : name === word);
    const earlier = found.get(name);
    if (allowed && !(earlier && earlier.prefixes.length < prefixes.length)) found.set(name, { value, prefixes });
  }
  return Object.fromEntries([...found].map(([name, { value }]) => [name, value]));
}

/** An application that is loaded on the first request, which brings its environment variables. */
export class LateApplication implements WorkerApplication {
  onLoaded: (() => void) | undefined;
  readonly #application: WorkerApplication;
  readonly #adopt: (params: ServeInfo["params"]) => void;
  #begun = false;

  /** @param adopt called with the params of the first request */
  constructor(application: WorkerApplication, adopt: (params: ServeInfo["params"]) => void) {
    this.#application = application;
    this.#adopt = adopt;
  }

  readonly handler: Handler = (request, info) => {
    if (!this.#begun) this.#begin(info);
    return this.#application.handler(request, info);
  };

  #begin({ params }: ServeInfo): void {
    this.#begun = true;
    this.#adopt(params);
    const onLoaded = () => this.onLoaded?.();
    this.#application.onLoaded = onLoaded;
    this.#application.load().then(onLoaded);
  }

  load(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  modules(): readonly string[] {
    return this.#application.modules();
  }

  async refresh(): Promise<boolean> {
    return this.#begun && await this.#application.refresh?.() === true;
  }

  async stop(grace: number): Promise<void> {
    await this.#application.stop?.(grace);
  }
}
