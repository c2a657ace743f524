/** `exec` in processes that a web server has started: all of a site share one program. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { askPort, startManaged } from "../support/managed.ts";
import { isRunning, program, type Running, until, whole } from "../support/program.ts";

const { command } = program();
const left: Running[] = [];
const folders: string[] = [];
after(async () => {
  await Promise.all(left.map((running) => running.stop()));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const runtime = process.versions.deno ? `"${process.execPath}" run -A --quiet --no-check` : `"${process.execPath}"`;
const http = `${runtime} ${fileURLToPath(new URL("../support/http_program.ts", import.meta.url))}`;

interface Process {
  /** Where temporary folders of the site are. */
  folder: string;
  running: Running;
  /** The process id of the program that answers. */
  ask(): Promise<number>;
  get(path: string): ReturnType<typeof askPort>;
}

/** Starts processes of one site. */
async function site(count: number, words: string[]): Promise<Process[]> {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-shared-"));
  folders.push(folder);
  return await Promise.all(Array.from({ length: count }, async () => {
    const { port, running } = await startManaged([...command, ...words, `env=TMPDIR=${folder}`], folder);
    left.push(running);
    const get = (path: string) => askPort(port, path);
    const ask = async () => {
      const { status, text } = await get("/echo");
      assert.equal(status, 200, text + running.stderr());
      return JSON.parse(text).pid as number;
    };
    return { folder, running, ask, get };
  }));
}

const answers = (processes: Process[]) => Promise.all(processes.map((process) => process.ask()));

/** The folders of keepers. */
const keepers = ({ folder }: Process) => readdirSync(folder).filter((name) => name.startsWith("runfcgi-exec-"));

/** Ends as mod_fcgid does it in the end. */
async function kill({ running }: Process): Promise<void> {
  running.kill("SIGKILL");
  await until("it is gone", () => !isRunning(running.pid));
}

describe("processes of one site", () => {
  for (const [how, word] of [["a Unix socket", "{socket}"], ["a port, which ignores TERM", "{port} stubborn"]]) {
    test(`share one program on ${how}, whoever of them ends, and the last one ends it`, async () => {
      const processes = await site(4, [`exec=${http} ${word}`, "grace=0.2"]);
      const [pid, ...others] = await answers(processes);
      const started = await Promise.all(["/child", "/stray"].map(async (path) => Number((await processes[0].get(path)).text)));
      assert.ok(started.every(isRunning));
      assert.deepEqual(others, [pid, pid, pid]);
      assert.equal(keepers(processes[0]).length, 1);
      for (const ended of processes.splice(0, 3)) {
        await kill(ended);
        assert.deepEqual(await answers(processes), processes.map(() => pid));
      }
      processes[0].running.kill("SIGTERM");
      await until("the program is gone, and what it has started", () => ![pid, ...started].some(isRunning));
      await until("its folder is gone", () => keepers(processes[0]).length === 0);
    });
  }

  test("have a program that died once more", async () => {
    const processes = await site(3, [`exec=${http} {socket}`]);
    const [pid] = await answers(processes);
    process.kill(pid, "SIGKILL");
    await until("it is gone", () => !isRunning(pid));
    // Who asks in the moment in which it dies can get an error page.
    await until("all have another", async () => {
      const found = await answers(processes).catch(() => []);
      return found.length === 3 && new Set(found).size === 1 && found[0] !== pid;
    });
    await until("its end is logged", () => processes.some(({ running }) => /ended by SIGKILL\. It is/.test(running.stderr())));
  });

  test("have another when a file that the command names has changed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "runfcgi-shared-"));
    folders.push(folder);
    const file = join(folder, "server.mjs");
    writeFileSync(file, `import ${JSON.stringify(fileURLToPath(new URL("../support/http_program.ts", import.meta.url)))};\n`);
    const processes = await site(2, [`exec=${runtime} ${file} {socket}`]);
    const [pid] = await answers(processes);
    appendFileSync(file, "// changed\n");
    await until("all have another", async () => {
      const found = await answers(processes);
      return found[0] === found[1] && found[0] !== pid;
    });
    await until("the old one is gone", () => !isRunning(pid));
  });

  test("have one when what runs it was killed", async () => {
    const processes = await site(2, [`exec=/bin/sh -c 'echo keeper $PPID >&2; exec ${http} "$0"' {socket}`]);
    const [pid] = await answers(processes);
    const output = await until("its keeper is known", () => {
      return processes.map(({ running }) => /keeper (\d+)/.exec(running.stderr())?.[1]).find((found) => found);
    });
    process.kill(Number(output), "SIGKILL");
    await until("the program is gone", () => !isRunning(pid));
    await until("all have another", async () => {
      const found = await answers(processes).catch(() => []);
      return found.length === 2 && found[0] === found[1] && found[0] !== pid;
    });
  });

  test("of other sites have one each, though they run the same: in another folder, with other options, for another host", async () => {
    const [temporary, folder, other] = ["tmp", "a", "b"].map((name) => mkdtempSync(join(tmpdir(), `runfcgi-shared-${name}-`)));
    folders.push(temporary, folder, other);
    const words = [...command, `exec=${http} {socket}`, `env=TMPDIR=${temporary}`];
    const pidsOf = (cwd: string, more: string[], variables: Record<string, string>) =>
      Promise.all(Array.from({ length: 2 }, async () => {
        const { port, running } = await startManaged([...words, ...more], cwd, variables);
        left.push(running);
        const { status, text } = await askPort(port, "/echo");
        assert.equal(status, 200, text + running.stderr());
        return JSON.parse(text).pid as number;
      }));
    const sites = await Promise.all([
      pidsOf(folder, [], { SITE: "a" }),
      pidsOf(other, [], { SITE: "a" }),
      pidsOf(folder, ["env=LANG=C"], { SITE: "a" }),
      pidsOf(folder, [], { SITE: "b" }),
    ]);
    for (const [first, second] of sites) assert.equal(second, first);
    assert.equal(new Set(sites.flat()).size, sites.length);
  });

  test(
    "tell visitors that a program takes long to start, and answer once it listens",
    { skip: !whole && "only with --whole" },
    async () => {
      const [slow] = await site(1, [`exec=sh -c 'sleep 30; exec ${http} "$0"' {socket}`]);
      const { status, headers, text } = await slow.get("/echo");
      assert.deepEqual([status, headers[headers.indexOf("retry-after") + 1]], [503, "5"]);
      assert.match(text, /still starting/);
      await until("the log says so", () => /for 10 s, and accepts no connections on the socket/.test(slow.running.stderr()));
      await until("it answers", async () => (await slow.get("/echo")).status === 200);
      const pid = await slow.ask();
      slow.running.kill("SIGTERM");
      await until("the program is gone", () => !isRunning(pid));
    },
  );

  test("get the page with the reason if it cannot be started", async () => {
    const folder = mkdtempSync(join(tmpdir(), "runfcgi-shared-"));
    folders.push(folder);
    const { port, running } = await startManaged(
      [...command, "exec=/bin/sh -c 'echo it is broken >&2; exit 7' {socket}"],
      folder,
    );
    left.push(running);
    const { status, text } = await askPort(port);
    assert.equal(status, 503);
    assert.match(text, /cannot be started/);
    await until("the reason is logged", () => /ended with exit status 7 before it answered/.test(running.stderr()));
    assert.match(running.stderr(), /it is broken/);
  });
});
