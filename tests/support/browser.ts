/**
 * A browser without a window, by the protocol of its developer tools.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { removeFolder, temporaryFolder } from "./folder.ts";
import { type Running, start, until, within } from "./program.ts";

const names = ["chromium", "google-chrome", "chromium-browser"];
const found = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
const program = found.find((file) => existsSync(file));

/** Why a test is skipped, or `false`. */
export const needsBrowser: string | false = program === undefined && process.env.CI !== "true" && `${names[0]} is not installed`;

/** How a page is looked at. */
export interface Screen {
  /** Pixels. */
  width: number;
  height: number;
  isDark: boolean;
}

interface Reply {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
  method?: string;
}

export class Browser implements AsyncDisposable {
  readonly #running: Running;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #sent = 0;
  #loaded: (() => void) | undefined;

  private constructor(running: Running, socket: WebSocket) {
    this.#running = running;
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const reply: Reply = JSON.parse(String(data));
      if (reply.id !== undefined) this.#waiting.get(reply.id)?.(reply);
      else if (reply.method === "Page.loadEventFired") this.#loaded?.();
    });
  }

  /** @param folder temporary, for what it keeps */
  static async open(folder: string): Promise<Browser> {
    const words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${folder}`];
    const running = start([program!, ...words, "about:blank"], { env: { HOME: folder } });
    const file = join(folder, "DevToolsActivePort");
    const port = await until("the browser listens", () => existsSync(file) && readFileSync(file, "utf8").split("\n")[0]);
    const targets = await until("it has a page", async () => {
      const all: { type: string; webSocketDebuggerUrl: string }[] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
      return all.find(({ type }) => type === "page");
    });
    const socket = new WebSocket(targets.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", reject, { once: true });
    });
    const browser = new Browser(running, socket);
    await browser.#send("Page.enable");
    return browser;
  }

  async #send(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const id = ++this.#sent;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await promise;
    this.#waiting.delete(id);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result!;
  }

  /** Opens a page. */
  async visit(url: string, { width, height, isDark }: Screen): Promise<void> {
    await this.#send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    const features = [{ name: "prefers-color-scheme", value: isDark ? "dark" : "light" }];
    await this.#send("Emulation.setEmulatedMedia", { features });
    const loaded = new Promise<void>((resolve) => this.#loaded = resolve);
    await this.#send("Page.navigate", { url });
    await loaded;
  }

  /** What an expression of the page is. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    }) as { result: { value: T }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? "the expression failed");
    return result.value;
  }

  /** A picture of the whole page, PNG. */
  async picture(): Promise<Uint8Array> {
    const { data } = await this.#send("Page.captureScreenshot", { captureBeyondViewport: true });
    return Uint8Array.from(atob(data as string), (char) => char.charCodeAt(0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#running.stop();
  }
}

/** Runs a script in a page, and gives the text that it calls `report` with. */
export async function runInBrowser(script: string): Promise<string> {
  const folder = temporaryFolder("runfcgi-browser-");
  try {
    await using browser = await Browser.open(folder);
    return await within("the browser's report", browser.evaluate<string>(`new Promise((report) => {\n${script}\n})`));
  } finally {
    removeFolder(folder);
  }
}

/** Where pictures are to be kept, for somebody who looks at them. */
export const picturesFolder: string | undefined = process.env.RUNFCGI_PICTURES;
