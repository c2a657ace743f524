/**
 * What uploads and responses that cross cost the program: nothing stays of those whose visitors leave, a full disk costs
 * only the request concerned, and memory does not grow with the upload.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { anything, cross, type Crossing, Repeated } from "../support/crossing.ts";
import { program, until, whole } from "../support/program.ts";
import { makeFolder, makeOpenFolder, needs } from "../support/servers.ts";
import { block } from "./duplex_app.ts";
import { fcgidRow } from "./fcgid.ts";
import { putApp, type Row, type Site, startRow } from "./site.ts";

const timeout = whole ? 3_600_000 : 120_000;
const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const skip = needs("nginx") || process.platform !== "linux" && "it looks into /proc";

/** The application, which exports what the program is to be told. */
function app(options: Record<string, unknown>): (folder: string) => string {
  return (folder) => {
    const file = putApp(folder, "mysite.ts", fileURLToPath(new URL("duplex_app.ts", import.meta.url)));
    writeFileSync(file, `export const runfcgi = ${JSON.stringify(options)};\n${readFileSync(file, "utf8")}`);
    return file;
  };
}

/** nginx's modules. */
const modules = { fcgi: "fastcgi", http: "proxy", scgi: "scgi", uwsgi: "uwsgi" };
type NginxProtocol = keyof typeof modules;

/** nginx that passes on an upload while it comes. */
function nginxRow(protocol: NginxProtocol, options: Record<string, unknown>): Row {
  return {
    name: `nginx, ${protocol}`,
    server: "nginx",
    protocol,
    listens: "socket",
    logs: "program",
    config: ["nginx", "upload=2g"],
    change: (config) => config.replace(/^ *location .*\{$/m, `$&\n${modules[protocol]}_request_buffering off;`),
    app: app(options),
  };
}

function ajpRow(options: Record<string, unknown>): Row {
  return {
    name: "Apache mod_proxy, ajp",
    server: "apache",
    protocol: "ajp",
    listens: "socket",
    logs: "program",
    config: ["apache"],
    app: app(options),
  };
}

function upload({ port }: Site, name: string, length: number, more?: Partial<Crossing>): ReturnType<typeof cross> {
  return cross({
    port,
    path: `/${name}?length=${length}`,
    block,
    length,
    expected: new Repeated(block, length),
    patience: 30,
    ...more,
  });
}

async function pidOf(site: Site): Promise<number> {
  return Number((await site.ask("/pid")).text);
}

/** What the descriptors of a process lead to; sockets and the like without their numbers. */
function descriptors(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(join(folder, fd)).replace(/:\[\d+\]$/, "")];
    } catch {
      // Closed just now.
      return [];
    }
  }).sort();
}

/** Descriptors of a process that serves nobody: the same in two looks, with time for what is still being closed. */
async function quiet(pid: number): Promise<string[]> {
  let last = "";
  return await until("no descriptor comes or goes", async () => {
    const seen = descriptors(pid);
    await delay(200);
    return last === (last = seen.join()) && seen;
  });
}

async function withSite(row: Row, run: (site: Site) => Promise<void>): Promise<void> {
  const { site, stop } = await startRow(row);
  try {
    await run(site);
  } catch (error) {
    throw new Error(`The error log ends with:\n${site.errors.slice(-2000)}`, { cause: error });
  } finally {
    await stop();
  }
}

/** Visitors who leave, over each protocol. */
const LEAVING = whole ? 1000 : 100;
const AT_ONCE = 8;

describe("of visitors who leave while their uploads cross with responses", { skip }, () => {
  const options = (spool: string) => ({ spooldir: spool, maxunread: 64 * KiB });
  const protocols: readonly NginxProtocol[] = whole ? ["fcgi", "http", "scgi", "uwsgi"] : ["fcgi", "http"];
  const rows: ((spool: string) => Row)[] = protocols.map((protocol) => (spool) => nginxRow(protocol, options(spool)));
  if (whole) rows.push((spool) => ajpRow(options(spool)));
  for (const row of rows) {
    const { name, server, files, protocol } = row("");
    // Apache keeps connections over AJP.
    const held = (pid: number) => descriptors(pid).filter((target) => protocol !== "ajp" || target !== "socket").join();
    test(`nothing stays: ${name}`, { timeout, skip: needs(server, files) }, async () => {
      const folder = makeFolder();
      const spool = makeOpenFolder(join(folder.path, "spool"));
      try {
        await withSite(row(spool), async (site) => {
          const pid = await pidOf(site);
          // What is opened once is open from here on.
          for (const name of ["echo", "unread"]) assert.equal((await upload(site, name, 4 * MiB)).error, undefined);
          await quiet(pid);
          const before = held(pid);
          let left = LEAVING;
          let files = 0;
          await Promise.all(Array.from({ length: AT_ONCE }, async () => {
            while (left > 0) {
              const i = left--;
              const name = ["echo", "late", "early", "unread"][i % 4];
              const leave = i % 8 < 4 ? { sent: (1 + i % 5) * MiB } : { received: 1 + (i % 5) * 100 * KiB };
              await upload(site, name, 8 * MiB, { leave, expected: anything });
              files = Math.max(files, descriptors(pid).filter((target) => target.startsWith(spool)).length);
            }
          }));
          assert.ok(files > 0, "no upload was taken into a file, so that this shows nothing");
          await until("nothing is left", () => held(pid) === before).catch(() => assert.equal(held(pid), before));
          assert.deepEqual(readdirSync(spool), []);
          assert.equal((await upload(site, "echo", 4 * MiB)).error, undefined);
        });
      } finally {
        folder.remove();
      }
    });
  }
});

describe("a full disk", { skip: skip || process.getuid?.() !== 0 && "only root can mount a small one" }, () => {
  test("costs only the requests that need it", { timeout }, async (t) => {
    const folder = makeFolder();
    const spool = join(folder.path, "spool");
    mkdirSync(spool);
    const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64m,mode=777", "tmpfs", spool]);
    try {
      if (status !== 0) return t.skip("there is no right to mount a small disk");
      await withSite(nginxRow("fcgi", { spooldir: spool, maxunread: 64 * KiB }), async (site) => {
        // Together they want more than there is, and others go on meanwhile.
        let over = false;
        const others = (async () => {
          for (let served = 0; !over || served === 0; served++) {
            assert.equal((await upload(site, "echo", 32 * KiB)).error, undefined);
          }
        })();
        // Looked at in the end.
        others.catch(() => {});
        const statuses = await Promise.all([1, 2, 3, 4].map(async () => {
          const { status, error, received } = await upload(site, "late", 30 * MiB, { expected: anything, status: 503 });
          if (status === 200) assert.ok(received > 30 * MiB);
          else assert.equal(error, undefined);
          return status;
        })).finally(() => over = true);
        await others;
        t.diagnostic(`statuses ${statuses.join(" ")}`);
        assert.ok(statuses.includes(503));
        assert.match(site.errors, /Gave up an upload: .*waits until the request's body has been taken in/);
        // Filled by somebody else.
        writeFileSync(join(spool, "filler"), Buffer.alloc(60 * MiB));
        assert.equal((await upload(site, "late", 4 * MiB, { expected: anything, status: 503 })).error, undefined);
        rmSync(join(spool, "filler"));
        assert.equal((await upload(site, "unread", 20 * MiB)).error, undefined);
        assert.deepEqual(readdirSync(spool), []);
      });
    } finally {
      spawnSync("umount", ["-l", spool]);
      folder.remove();
    }
  });
});

/** Resident memory in bytes. */
function memory(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kib) * KiB;
}

/** Bytes by which memory may grow. */
const MOST = 64 * MiB;

describe("1 GiB is echoed", { skip: skip || !whole && "it takes long; --whole runs it" }, () => {
  const large = { maxspool: 2 * GiB, spooldir: "/var/tmp" };
  const rows: readonly Row[] = [nginxRow("fcgi", large), { ...fcgidRow, app: app(large) }];
  for (const row of rows) {
    test(`within 64 MiB of memory: ${row.name}`, { timeout, skip: needs(row.server, row.files) }, async (t) => {
      await withSite(row, async (site) => {
        for (let i = 0; i < 3; i++) assert.equal((await upload(site, "echo", 20 * MiB)).error, undefined);
        const pid = await pidOf(site);
        const before = memory(pid);
        let most = before;
        const timer = setInterval(() => most = Math.max(most, memory(pid)), 20);
        try {
          assert.equal((await upload(site, "echo", GiB, { patience: 600 })).error, undefined);
        } finally {
          clearInterval(timer);
        }
        assert.equal(await pidOf(site), pid);
        const grown = Math.round((most - before) / MiB);
        t.diagnostic(`${program().name}: grew by ${grown} MiB from ${Math.round(before / MiB)} MiB`);
        assert.ok(most - before < MOST, `it grew by ${grown} MiB`);
      });
    });
  }
});
