/** What is told of a process that a web server has started, and that was killed: it can no longer say anything itself. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { cleanUp, leave, site as makeSite, tryList } from "../support/cli.ts";
import { askPort, startManaged } from "../support/managed.ts";
import { children, commandOf } from "../support/processes.ts";
import { program, until, whole } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

const app = `
import { writeFileSync } from "node:fs";
import process from "node:process";
if (process.env.DIES) process.kill(process.pid, "SIGKILL");
export default (request) => {
  const { pathname } = new URL(request.url);
  writeFileSync("begun" + pathname.replace("/", "-"), "");
  return pathname.startsWith("/slow") ? new Promise(() => {}) : new Response("ok");
};
`;

const line = /Process (\d+) was killed or crashed( \d+ s ago)?(.*)/g;

/** A folder for temporary files, in which there is nothing else. */
class Host {
  readonly temporary = join(makeSite(), "tmp");

  constructor() {
    mkdirSync(this.temporary);
  }

  /** Folders of notes. */
  get notes(): string[] {
    const place = join(this.temporary, `runfcgi-notes-${process.getuid?.()}`);
    return tryList(place).map((name) => join(place, name));
  }

  /** Waits for notes with this text. */
  noted(text: string): Promise<unknown> {
    return until(`it is noted: ${text}`, () => {
      const files = this.notes.map((folder) => join(folder, "0")).filter((file) => existsSync(file));
      return files.some((file) => readFileSync(file, "latin1").includes(text));
    });
  }

  async start(cwd = makeSite({ "mysite.ts": app }), env: Record<string, string> = {}, words: string[] = []): Promise<Process> {
    const all = [...command, join(cwd, "mysite.ts"), ...words];
    return new Process(cwd, await startManaged(all, cwd, { TMPDIR: this.temporary, ...env }));
  }
}

class Process {
  readonly cwd: string;
  readonly #started: Awaited<ReturnType<typeof startManaged>>;

  constructor(cwd: string, started: Awaited<ReturnType<typeof startManaged>>) {
    this.cwd = cwd;
    this.#started = started;
    leave(started.running);
  }

  get pid(): number {
    return this.#started.running.pid;
  }

  async works(): Promise<void> {
    assert.equal((await askPort(this.#started.port, "/page")).text, "ok");
  }

  /** Asks for what is never answered, and waits until the application has it; the result resolves when the visitor knows. */
  async begin(path: string): Promise<() => Promise<string>> {
    const outcome = askPort(this.#started.port, path).then(() => "answered", () => "lost");
    await until("it has begun", () => existsSync(join(this.cwd, `begun${path.replace("/", "-")}`)));
    return () => outcome;
  }

  /** Waits until a shell watches it. */
  async watched(): Promise<void> {
    await until("a shell watches it", () => children(this.pid).some((pid) => commandOf(pid) === "sh"));
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    let over = false;
    this.exit.then(() => over = true);
    await until("it has ended", () => {
      // Deno looks at the first SIGSEGV itself, and dies of the next.
      if (!over) this.#started.running.kill(signal);
      return over;
    });
  }

  get exit(): Promise<unknown> {
    return this.#started.running.exit;
  }

  /** What the log of its site tells of others. */
  get told(): { pid: number; ago: string | undefined; rest: string }[] {
    const file = join(this.cwd, ".htmysite.log");
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    return [...text.matchAll(line)].map(([, pid, ago, rest]) => ({ pid: Number(pid), ago, rest }));
  }
}

describe(`a process of a web server that was killed (${runtime})`, () => {
  for (const signal of ["SIGKILL", "SIGSEGV"] as const) {
    const skip = signal === "SIGSEGV" && !whole && "it takes longer; --whole tests it";
    test(`by ${signal}: the next one tells which requests were under way, once`, { skip }, async () => {
      const host = new Host();
      const first = await host.start();
      await first.works();
      const one = await first.begin("/slow-one");
      await host.noted('"url":"/slow-one"');
      const two = await first.begin("/slow-two");
      assert.equal(statSync(host.notes[0]).mode & 0o777, 0o700);
      await first.end(signal);
      assert.deepEqual([await one(), await two()], ["lost", "lost"]);
      // Two at once, and one later: one of them tells.
      const others = await Promise.all([host.start(first.cwd), host.start(first.cwd)]);
      await Promise.all(others.map((other) => other.works()));
      const third = await host.start(first.cwd);
      await third.works();
      assert.deepEqual(third.told.map(({ pid }) => pid), [first.pid]);
      assert.match(third.told[0].rest, /^; under way: GET \/slow-one for \d+\.\d s, GET \/slow-two for \d+\.\d s$/);
      await Promise.all([...others, third].map((other) => other.end("SIGTERM")));
      await until("nothing is left", () => host.notes.length === 0);
    });
  }

  test("while nothing was under way: the next one tells when, and names no request that was answered", async () => {
    const host = new Host();
    const first = await host.start();
    await first.works();
    await host.noted('"begun":1,"underWay":[]');
    await first.watched();
    await first.end("SIGKILL");
    await until("the shell has seen it", () => existsSync(join(host.notes[0], "ended")));
    const second = await host.start(first.cwd);
    await second.works();
    assert.equal(second.told[0].rest, "");
    assert.match(second.told[0].ago!, /^ \d+ s ago$/);
    await second.end("SIGTERM");
  });

  test("while it was loading, again and again: the next one tells, and that of another site does not", async () => {
    const host = new Host();
    const first = await host.start(undefined, {}, ["timeout=0"]);
    await first.begin("/slow");
    await first.end("SIGKILL");
    const other = await host.start();
    await other.works();
    const second = await host.start(first.cwd, { DIES: "1" });
    await second.exit;
    const third = await host.start(first.cwd);
    await third.works();
    assert.deepEqual(third.told.map(({ pid }) => pid), [first.pid, second.pid]);
    assert.match(third.told[0].rest, /^; under way: GET \/slow for \d+\.\d s$/);
    assert.deepEqual(other.told, []);
    await Promise.all([other, third].map((one) => one.end("SIGTERM")));
    await until("nothing is left", () => host.notes.length === 0);
  });

  test("is told of by another that runs", { skip: !whole && "it takes longer; --whole tests it" }, async () => {
    const host = new Host();
    const first = await host.start();
    await first.works();
    const other = await host.start(first.cwd);
    await other.works();
    await first.begin("/slow");
    await first.end("SIGKILL");
    await until("the other tells", async () => {
      await other.works();
      return other.told.length > 0;
    });
    assert.match(other.told[0].rest, /^; under way: GET \/slow for \d+\.\d s$/);
    await other.end("SIGTERM");
  });

  test("is not told of by one that runs where nothing can be written", async () => {
    const host = new Host();
    const first = await host.start(undefined, { TMPDIR: "/proc/nowhere" });
    await first.works();
    await first.end("SIGKILL");
    const second = await host.start(first.cwd, { TMPDIR: "/proc/nowhere" });
    await second.works();
    assert.deepEqual(second.told, []);
    await second.end("SIGTERM");
  });
});
