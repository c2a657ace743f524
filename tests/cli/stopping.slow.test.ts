/** Programs that a web server has started and now stops, while others still connect. */
import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { descriptorOf } from "../../src/runtime/descriptor.ts";
import { cleanUp, site } from "../support/cli.ts";
import { askAt } from "../support/managed.ts";
import { program, type Running, start, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

const app = { "mysite.ts": `export default () => new Response(String(process.pid));\n` };
/** One that listens, and ends by itself when it is asked to. */
const listening = {
  "mysite.ts": `import { createServer } from "node:http";
const server = createServer((_, response) => response.end(String(process.pid))).listen(3000);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
`,
};
const ROUNDS = 5;

/** Starts programs that share a socket, which nobody else has open then. */
async function startOn(path: string, cwd: string, count: number): Promise<Running[]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const stdin = descriptorOf(server, { transport: "unix", path });
  const running = Array.from({ length: count }, () => start([...command, join(cwd, "mysite.ts")], { cwd, stdin }));
  // Runtimes remove the file when they close what they have bound.
  renameSync(path, `${path}.kept`);
  await new Promise((resolve) => server.close(resolve));
  renameSync(`${path}.kept`, path);
  return running;
}

/** Visitors who ask on and on, and what they met. */
class Visits {
  answers = 0;
  refused = 0;
  readonly lost: string[] = [];
  over = false;
  readonly done: Promise<unknown>;

  constructor(path: string, count: number) {
    this.done = Promise.all(Array.from({ length: count }, () => this.#visit(path)));
  }

  async #visit(path: string): Promise<void> {
    while (!this.over) {
      try {
        const { status } = await askAt({ transport: "unix", path });
        if (status !== 200) throw new Error(`status ${status}`);
        this.answers++;
      } catch (error) {
        const { code, cause, message } = error as NodeJS.ErrnoException;
        const why = code ?? (cause as NodeJS.ErrnoException | undefined)?.code ?? message;
        if (why !== "ECONNREFUSED" && why !== "ENOENT") {
          this.lost.push(String(error));
          continue;
        }
        this.refused++;
        return;
      }
    }
  }
}

describe(`a program that is asked to stop (${runtime})`, () => {
  test("answers all who have connected and refuses all others, where the socket is its own", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const cwd = site(round % 2 === 0 ? app : listening);
      // As mod_fcgid calls it.
      const path = join(cwd, `${process.pid}.${round}`);
      const [running] = await startOn(path, cwd, 1);
      const visits = new Visits(path, 8);
      await until("it answers", () => visits.answers > 20);
      running.kill();
      await visits.done;
      assert.deepEqual(visits.lost, []);
      assert.equal(visits.refused, 8);
      assert.equal((await running.exit).code, 0);
    }
  });

  test("leaves to another who waits, where it shares the socket", async () => {
    const cwd = site(app);
    const path = join(cwd, "shared.sock");
    const [one, other] = await startOn(path, cwd, 2);
    const visits = new Visits(path, 8);
    await until("it answers", () => visits.answers > 20);
    one.kill();
    await one.exit;
    const { answers } = visits;
    await until("the other goes on", () => visits.answers > answers + 20);
    visits.over = true;
    await visits.done;
    assert.deepEqual([visits.lost, visits.refused], [[], 0]);
    await other.stop();
  });
});
