/** nginx speaks FastCGI and Apache speaks AJP to one socket. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ask } from "../support/http.ts";
import { freePort, type Running, startServing } from "../support/program.ts";
import { makeFolder, needs, startWebServer } from "../support/servers.ts";

const app = `export default async (request: Request, info: { protocol: string }) => {
  return new Response(info.protocol + " " + request.url + " " + await request.text());
};\n`;

describe("one socket behind two web servers", { skip: needs("nginx") || needs("apache") }, () => {
  const folder = makeFolder();
  const running: Running[] = [];
  const ports = { nginx: 0, apache: 0 };

  before(async () => {
    const socket = join(folder.path, "auto.sock");
    writeFileSync(join(folder.path, "app.ts"), app);
    running.push(await startServing({ socket }, ["app.ts", "protocol=auto", "mode=666"], { cwd: folder.path }));
    const sites = {
      nginx: (port: number) => `
        server {
          listen 127.0.0.1:${port};
          location / {
            include fastcgi_params;
            fastcgi_param HTTP_HOST $http_host;
            fastcgi_pass unix:${socket};
          }
        }`,
      apache: () => `ProxyPass "/" "unix:${socket}|ajp://localhost/"`,
    };
    for (const name of ["nginx", "apache"] as const) {
      const place = { port: await freePort(), folder: join(folder.path, name) };
      mkdirSync(place.folder);
      running.push((await startWebServer(name, place, sites[name](place.port))).running);
      ports[name] = place.port;
    }
  }, { timeout: 60_000 });

  after(async () => {
    for (const process of running.reverse()) await process.stop();
    folder.remove();
  });

  for (const [name, protocol] of [["nginx", "fcgi"], ["apache", "ajp"]] as const) {
    test(`${name} is answered in ${protocol}`, { timeout: 60_000 }, async () => {
      for (const body of ["first", "second"]) {
        const { status, text } = await ask(ports[name], "/a%20b?c", { method: "POST", body });
        assert.deepEqual({ status, text }, { status: 200, text: `${protocol} http://127.0.0.1:${ports[name]}/a%20b?c ${body}` });
      }
    });
  }
});
