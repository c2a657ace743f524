/**
 * Chromium without a window.
 *
 * @module
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { freePort, start, within } from "./program.ts";

const names = ["chromium", "google-chrome", "chromium-browser"];
const found = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));

/** Where it is, `undefined` if it is not installed. */
export const browser: string | undefined = found.find((file) => existsSync(file));

/** Why a test is skipped, or `false`. */
export const needsBrowser: string | false = browser === undefined && process.env.CI !== "true" && `${names[0]} is not installed`;

/**
 * Runs a script in a page, and gives the text that it calls `report` with.
 *
 * @param script of a module
 */
export async function runInBrowser(script: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-browser-"));
  const { promise: reported, resolve } = Promise.withResolvers<string>();
  const port = await freePort();
  const page = `<!doctype html><meta charset="utf-8"><script type="module">
const report = (body) => fetch("/report", { method: "POST", body });
${script}
</script>`;
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return void response.setHeader("content-type", "text/html").end(page);
    let text = "";
    for await (const bytes of request) text += bytes;
    response.end();
    resolve(text);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const running = start([
    browser!,
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    `--user-data-dir=${folder}`,
    "--remote-debugging-port=0",
    `http://127.0.0.1:${port}/`,
  ], { env: { HOME: folder } });
  try {
    const ended = running.exit.then(() => Promise.reject(new Error(`The browser ended:\n${running.stderr().slice(-2000)}`)));
    return await within("the browser's report", Promise.race([reported, ended]));
  } finally {
    await running.stop();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
