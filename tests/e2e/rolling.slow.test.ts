/** A rolling update behind HAProxy, as `config` prints it: instances change one after the other, and no request is lost. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { freePort, program, type Running, startServing, until, whole } from "../support/program.ts";
import { makeFolder, needs, startWebServer } from "../support/servers.ts";
import { Visitors } from "../support/visitors.ts";
import { run } from "../support/words.ts";

/** Requests at least, and instances that are replaced. */
const [REQUESTS, UPDATES] = whole ? [20_000, 40] : [300, 2];

const app = `import process from "node:process";
export default async () => {
  await new Promise((resolve) => setTimeout(resolve, 10));
  return new Response(process.env.VERSION);
};
`;

describe(`a rolling update (${program().name})`, { skip: needs("haproxy") }, () => {
  for (const protocol of ["fcgi", "http"]) {
    test(`over ${protocol} loses no request`, { timeout: whole ? 600_000 : 120_000 }, async () => {
      const folder = makeFolder();
      const instances: Running[] = [];
      try {
        writeFileSync(join(folder.path, "app.ts"), app);
        const ports = [await freePort(), await freePort()];
        const start = async (slot: number, version: number) => {
          const words = [join(folder.path, "app.ts"), `protocol=${protocol}`, "threads=1", "ping=/ping", "watch=false"];
          instances[slot] = await startServing({ port: ports[slot] }, words, { env: { VERSION: String(version) } });
          const { code, stderr } = await run(["get", `protocol=${protocol}`, `port=${ports[slot]}`, "/ping"]);
          assert.equal(code, 0, stderr);
        };
        for (const slot of ports.keys()) await start(slot, -1 - slot);
        const place = { folder: folder.path, port: await freePort() };
        const hosts = `hosts=${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
        const words = [`protocol=${protocol}`, hosts, "ping=/ping", "trust=127.0.0.1", `listen=127.0.0.1:${place.port}`];
        const { running: web, errors } = await startWebServer("haproxy", place, configText(["haproxy", ...words]));
        instances.push(web);
        await using visitors = new Visitors(place.port, 8);
        for (let update = 0; update < UPDATES || visitors.answered < REQUESTS; update++) {
          const slot = update % 2;
          await until("both answer", () => new Set(visitors.last).size === 2);
          instances[slot].kill();
          assert.deepEqual(await instances[slot].exit, { code: 0, signal: null }, instances[slot].stderr());
          await start(slot, update);
          await until(`${update} answers`, () => visitors.last.includes(String(update)));
        }
        await visitors.leave();
        assert.deepEqual(visitors.failures, [], errors());
      } finally {
        await Promise.all(instances.map((running) => running.stop()));
        folder.remove();
      }
    });
  }
});
