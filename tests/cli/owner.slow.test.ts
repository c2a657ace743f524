/** The owner's page of a program that runs, as a server of its own and started by a web server. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { keyText, makeKey, plainKey, Visits } from "../../src/app/owner_key.ts";
import { putProgram } from "../e2e/site.ts";
import { ask } from "../support/http.ts";
import { startManaged } from "../support/managed.ts";
import { freePort, type Running, startServing, until } from "../support/program.ts";
import { makeFolder } from "../support/servers.ts";
import { Params } from "../../src/protocol/params.ts";
import { request } from "../../src/server/client.ts";

const timeout = 120_000;
const key = makeKey();
const { door } = new Visits(plainKey(key)!);

/** Each process that loads it is another. */
const app = `const born = String(Math.random());
export default { fetch: () => new Response(born) };
`;

interface Answer {
  status: number;
  text: string;
  header(name: string): string | undefined;
}
type Ask = (path: string, form?: Record<string, string>, cookie?: string) => Promise<Answer>;

/** What an owner does with a site. */
async function useAsOwner(askSite: Ask): Promise<string> {
  assert.match((await askSite("/.runfcgi")).text, /^0\.\d+$/);
  const entered = await askSite(`/.runfcgi/${door}`, { key });
  assert.equal(entered.status, 303, entered.text);
  const [cookie] = entered.header("set-cookie")!.split(";");
  const { text } = await askSite("/.runfcgi", undefined, cookie);
  assert.match(text, /The site is up\.[^]*What the processes do[^]*requests: +\d/);
  const token = /name="token" value="([^"]+)"/.exec(text)![1];
  const press = (action: string) => askSite("/.runfcgi", { token, action }, cookie);
  const { text: before } = await askSite("/");
  assert.equal((await press("reload")).status, 303);
  await until("new code answers", async () => (await askSite("/")).text !== before);
  assert.equal((await press("down")).status, 303);
  await until("the site is down", async () => (await askSite("/")).status === 503);
  // The owner sees the page all the same.
  assert.match((await askSite("/.runfcgi", undefined, cookie)).text, /The site is down/);
  assert.equal((await press("up")).status, 303);
  await until("the site is up", async () => (await askSite("/")).status === 200);
  const { text: found } = await press("check");
  assert.match(found, /<b>ok<\/b> application: &#34;[^<]*mysite\.ts&#34; can be loaded/);
  return found;
}

async function* piece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

describe("the owner's page", () => {
  const folder = makeFolder();
  const left: Running[] = [];
  after(async () => {
    await Promise.all(left.map((running) => running.stop()));
    folder.remove();
  });

  function makeSite(name: string): string {
    const site = join(folder.path, name);
    mkdirSync(site);
    writeFileSync(join(site, "mysite.ts"), app);
    writeFileSync(join(site, ".htmysite.key"), keyText(key), { mode: 0o600 });
    return site;
  }

  test("of a server is where ownerkey says", { timeout }, async () => {
    const site = makeSite("server");
    const port = await freePort();
    const words = [join(site, "mysite.ts"), "protocol=http", "threads=1", `ownerkey=${join(site, ".htmysite.key")}`];
    left.push(await startServing({ port }, words, { cwd: site }));
    await useAsOwner(async (path, form, cookie) => {
      const { status, text, headers } = await ask(port, path, {
        method: form ? "POST" : "GET",
        headers: { "content-type": "application/x-www-form-urlencoded", ...cookie && { cookie } },
        ...form && { body: String(new URLSearchParams(form)) },
      });
      return { status, text, header: (name) => [headers[name]].flat()[0] };
    });
  });

  test("of a program that a web server starts is there with the key beside it", {
    timeout,
    skip: existsSync("/proc/self/fd") ? false : "no /proc here",
  }, async () => {
    const site = makeSite("managed");
    const file = join(site, "mysite.fcgi");
    putProgram(file, join(site, "mysite.ts"));
    const { port, running } = await startManaged([file], site);
    left.push(running);
    const found = await useAsOwner(async (path, form, cookie) => {
      const body = form && new TextEncoder().encode(String(new URLSearchParams(form)));
      const params = Object.entries({
        REQUEST_METHOD: form ? "POST" : "GET",
        REQUEST_URI: path,
        HTTP_HOST: "localhost",
        SERVER_PROTOCOL: "HTTP/1.1",
        SCRIPT_FILENAME: file,
        ...body && { CONTENT_LENGTH: String(body.length), CONTENT_TYPE: "application/x-www-form-urlencoded" },
        ...cookie && { HTTP_COOKIE: cookie },
      });
      const { head, body: answer } = await request({
        address: { transport: "tcp", hostname: "127.0.0.1", port },
        protocol: "fcgi",
        params: Params.from(params),
        body: body && piece(body),
      });
      const text = await new Response(answer).text();
      const at = (name: string) => head.headers.findIndex((one, i) => i % 2 === 0 && one.toLowerCase() === name);
      return { status: head.status, text, header: (name) => head.headers[at(name) + 1] };
    });
    assert.match(found, /mysite\.fcgi&#34; can be started on this machine/);
  });
});
