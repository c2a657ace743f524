/** The pages that the program shows, in a browser: on a phone and on a desk, light and dark. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { root } from "../../scripts/tools.ts";
import { Browser, needsBrowser, picturesFolder } from "../support/browser.ts";
import { ask } from "../support/http.ts";
import { freePort, program, type Running, start, startServing, whole } from "../support/program.ts";
import { makeFolder } from "../support/servers.ts";

const timeout = 240_000;
const axe = join(root, ".tools/node_modules/axe-core/axe.min.js");
const lacks = !whole ? "it is tried with --whole" : needsBrowser || !existsSync(axe) && "axe-core is not installed";

const app = `export default (request) => {
  if (request.url.endsWith("/fail")) throw new Error("out of order: ${"long".repeat(60)}");
  return new Response("hello");
};
`;

const form = (fields: Record<string, string>) => ({
  method: "POST",
  headers: { "content-type": "application/x-www-form-urlencoded" },
  body: String(new URLSearchParams(fields)),
});

/** The doctor in PHP, to who has the key. */
function doctorPage(site: string, key: string): string {
  const name = readdirSync(site).find((name) => name.startsWith("doctor-"))!;
  const asked = (more: Record<string, string>, input = "") =>
    spawnSync("php-cgi", [], {
      cwd: site,
      input,
      encoding: "utf8",
      env: {
        PATH: process.env.PATH,
        REDIRECT_STATUS: "200",
        GATEWAY_INTERFACE: "CGI/1.1",
        SCRIPT_FILENAME: join(site, name),
        SCRIPT_NAME: `/${name}`,
        REQUEST_METHOD: "GET",
        HTTP_HOST: "127.0.0.1:9",
        ...more,
      },
    }).stdout;
  const { body, method, headers } = form({ key });
  const length = String(body.length);
  const entered = asked({ REQUEST_METHOD: method, CONTENT_TYPE: headers["content-type"], CONTENT_LENGTH: length }, body);
  const [, cookie] = /^set-cookie: ([^;]+)/im.exec(entered)!;
  return asked({ HTTP_COOKIE: cookie }).replace(/^[^]*?\r\n\r\n/, "");
}

/** All pages by their names. */
async function pagesIn(folder: string, left: Running[]): Promise<Record<string, string>> {
  const site = join(folder, "site");
  mkdirSync(join(site, "empty"), { recursive: true });
  writeFileSync(join(site, "mysite.ts"), app);
  writeFileSync(join(site, "broken.ts"), "export default {\n  fetch( { return 1 },\n};\n");
  writeFileSync(join(site, "empty/index.ts"), "");
  const { code } = await start([...program().command, "init", site, "for=apache-shared"]).exit;
  assert.equal(code, 0);
  const text = readFileSync(join(site, ".htmysite.key"), "utf8");
  const [, address, key] = /^address (\S+)\nkey +(\S+)$/m.exec(text)!;
  const serve = async (cwd: string, ...words: string[]) => {
    const port = await freePort();
    left.push(await startServing({ port }, [...words, "protocol=http", "threads=1"], { cwd }));
    return port;
  };
  const [owned, broken, welcome, shows] = await Promise.all([
    serve(site, "mysite.ts", "ownerkey=.htmysite.key", "errlog=.htmysite.log"),
    serve(site, "broken.ts", "errlog=broken.log"),
    serve(join(site, "empty")),
    serve(site, "mysite.ts", "debug=true"),
  ]);
  const page = async (port: number, path = "/", cookie = "") => (await ask(port, path, { headers: { cookie } })).text;
  const error = await page(owned, "/fail");
  const [cookie] = (await ask(owned, address, form({ key }))).headers["set-cookie"]![0].split(";");
  const owner = await page(owned, "/.runfcgi", cookie);
  const [, token] = /name="token" value="([^"]+)"/.exec(owner)!;
  const check = form({ token, action: "check" });
  return {
    welcome: await page(welcome),
    error,
    "error of loading": await page(broken),
    "error with debug": await page(shows, "/fail"),
    "form for the key": await page(owned, address),
    owner,
    "owner with findings": (await ask(owned, "/.runfcgi", { ...check, headers: { ...check.headers, cookie } })).text,
    ...existsSync("/usr/bin/php-cgi") ? { "doctor in PHP": doctorPage(site, key) } : {},
  };
}

describe("the pages in a browser", { skip: lacks }, () => {
  test("need no scrolling sideways, and have contrast and labels", { timeout }, async () => {
    const folder = makeFolder();
    const left: Running[] = [];
    let shown = "";
    const server = createServer((_request, response) => response.setHeader("content-type", "text/html").end(shown));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const wrong: string[] = [];
    try {
      const pages = await pagesIn(folder.path, left);
      await using browser = await Browser.open(join(folder.path, "browser"));
      for (const [name, html] of Object.entries(pages)) {
        shown = html;
        for (const [width, isDark] of [[390, false], [390, true], [1280, false], [1280, true]] as const) {
          const how = `${name}, ${width} px, ${isDark ? "dark" : "light"}`;
          await browser.visit(`http://127.0.0.1:${port}/`, { width, height: 900, isDark });
          await browser.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)");
          const wide = await browser.evaluate<number>("document.documentElement.scrollWidth");
          if (wide > width) wrong.push(`${how}: ${wide} px wide`);
          await browser.evaluate(`${readFileSync(axe, "utf8")};0`);
          const found = await browser.evaluate<string[]>(
            "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes[0].html))",
          );
          wrong.push(...found.map((one) => `${how}: ${one}`));
          if (picturesFolder) writeFileSync(join(picturesFolder, `${how}.png`), await browser.picture());
        }
      }
    } finally {
      server.closeAllConnections();
      server.close();
      await Promise.all(left.map((running) => running.stop()));
      folder.remove();
    }
    assert.deepEqual(wrong, []);
  });
});
