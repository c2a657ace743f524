/** Phusion Passenger as on shared hosting: a `.htaccess` and a file beside the program, nothing else. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { isRunning, until } from "../support/program.ts";
import { makeOpenFolder, needs } from "../support/servers.ts";
import { host, passengerRow, put } from "./passenger.ts";
import { checkRow, putApp, startAround, startRow, testSite } from "./site.ts";

const skip = needs(passengerRow.server, passengerRow.files);

checkRow(passengerRow);

describe("Visitors behind Passenger", { skip }, () => {
  const running = startAround(() => startRow(passengerRow));

  testSite("cannot say by which URL they come", running, async (site) => {
    const headers = { "x-forwarded-proto": "https", "x-forwarded-host": "example.org", "x-forwarded-port": "8443" };
    const forwarded = { forwarded: "for=192.0.2.1;proto=https;host=example.org" };
    for (const said of [headers, forwarded]) {
      const { url, visitor } = await site.echo("/echo", { headers: said });
      assert.deepEqual({ url, visitor }, { url: `http://127.0.0.1:${site.port}/echo`, visitor: "127.0.0.1" });
    }
    const { status } = await site.ask("/echo", { headers: { "!~passenger-proto": "https" } });
    assert.equal(status, 400);
  });

  testSite("get files of the folder from Apache", running, async (site) => {
    writeFileSync(join(site.folder, "public", "static.txt"), "static");
    assert.equal((await site.ask("/static.txt")).text, "static");
    assert.equal((await site.ask("/mysite.ts")).text, "Nothing is here.");
  });

  testSite("are served by another process after a restart, and the old one ends", running, async (site) => {
    const { pid } = await site.echo("/echo");
    mkdirSync(join(site.folder, "tmp"), { recursive: true });
    writeFileSync(join(site.folder, "tmp", "restart.txt"), "");
    await until("another process answers", async () => (await site.echo("/echo")).pid !== pid);
    await until("the old one has ended", () => !isRunning(pid));
  });
});

describe("An application behind Passenger", { skip }, () => {
  const running = startAround(() =>
    startRow({
      ...passengerRow,
      site(place) {
        writeFileSync(join(place.folder, "mysite.ts"), "export default {\n  fetch( { return new Response() },\n};\n");
        const config = passengerRow.site(place);
        writeFileSync(join(place.folder, "public", ".htaccess"), 'SetEnv MYSITE_DATABASE "a database"\n', { flag: "a" });
        return config;
      },
    })
  );

  testSite("that cannot be loaded is a page, and the error log says what is wrong", running, async (site) => {
    const { status, text } = await site.ask("/");
    assert.equal(status, 503);
    assert.match(text, /The site cannot be loaded/);
    await until("the reason is in the error log", () => /mysite\.ts:2/.test(site.errors));
  });

  testSite("has what is set in the .htaccess in its environment", running, async (site) => {
    writeFileSync(join(site.folder, "mysite.ts"), "export default () => new Response(process.env.MYSITE_DATABASE);\n");
    await until("it answers", async () => (await site.ask("/")).text === "a database");
  });

  testSite("that changes is served as it is now", running, async (site) => {
    putApp(site.folder, "mysite.ts");
    await until("the new one answers", async () => (await site.ask("/seen?id=0")).status === 200);
  });
});

describe("A site below another behind Passenger, in several processes", { skip }, () => {
  const running = startAround(() =>
    startRow({
      ...passengerRow,
      site(place) {
        const root = makeOpenFolder(join(place.folder, "public"));
        put(place, makeOpenFolder(join(root, "below")), "scriptname=/below");
        return host(
          place,
          root,
          `<Location "/below">\nPassengerBaseURI /below\nPassengerAppRoot "${place.folder}"\nPassengerMinInstances 2\n</Location>`,
        );
      },
    })
  );

  testSite("knows its URL and where it is", running, async (site) => {
    const { url, scriptName, pathInfo } = await site.echo("/below/echo/a%20b?x=1");
    assert.equal(url, `http://127.0.0.1:${site.port}/below/echo/a%20b?x=1`);
    assert.deepEqual({ scriptName, pathInfo }, { scriptName: "/below", pathInfo: "/echo/a b" });
    assert.equal((await site.ask("/below/")).text, "Nothing is here.");
  });

  testSite("is served by several processes where the host wants that", running, async (site) => {
    const pids = new Set<number>();
    await until("a second one answers", async () => {
      const echoes = await Promise.all([1, 2, 3, 4].map(() => site.echo("/below/echo")));
      for (const { pid } of echoes) pids.add(pid);
      return pids.size > 1;
    });
  });
});
