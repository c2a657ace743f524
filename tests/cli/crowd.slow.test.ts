/** More connections than the program may have. */
import assert from "node:assert/strict";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cleanUp, hello, launch, site } from "../support/cli.ts";
import { askAt } from "../support/managed.ts";
import { program, until } from "../support/program.ts";

const { name: runtime, command } = program();
cleanUp();

/** Deno accepts 128 connections at once, ends where it lacks a descriptor, and refuses to start with fewer. */
const LIMIT = runtime === "deno" ? 128 : 64;
/** Visitors at once. */
const VISITORS = 8;

/** Connections that never ask for anything. */
function idlers(path: string, count: number): Disposable & { closed(): number } {
  let closed = 0;
  const sockets: Socket[] = Array.from({ length: count }, () => {
    const socket = createConnection(path);
    socket.resume();
    socket.on("error", () => {});
    socket.on("close", () => closed++);
    return socket;
  });
  return { closed: () => closed, [Symbol.dispose]: () => sockets.forEach((socket) => socket.destroy()) };
}

/** Asks so many times and counts what came. */
async function visit(path: string, count: number): Promise<Map<string, number>> {
  const answers = new Map<string, number>();
  let left = count;
  await Promise.all(Array.from({ length: VISITORS }, async () => {
    while (left-- > 0) {
      const answer = await askAt({ transport: "unix", path }).then(({ status, text }) => `${status} ${text}`, String);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  }));
  return answers;
}

/** Answers when there are as many requests as may be, or more, and says how many there were. */
const counting = (most: number) => `
let inFlight = 0, seen = 0;
const { promise, resolve } = Promise.withResolvers();
export default {
  async fetch() {
    seen = Math.max(seen, ++inFlight);
    // Those that should wait would come now.
    if (inFlight === ${most}) setTimeout(resolve, 200);
    await promise;
    inFlight--;
    return new Response(String(seen));
  },
};
`;

describe(`more connections than there may be (${runtime})`, () => {
  const cases: [name: string, shell: string, words: string[], reason: RegExp][] = [
    ["descriptors allow", `ulimit -n ${LIMIT}; `, ["threads=1"], /limit of open files/],
    ["descriptors allow several threads", `ulimit -n ${2 * LIMIT}; `, ["threads=2"], /limit of open files/],
    ["maxconnections allows", "", ["threads=1", "maxconnections=20"], /There are 20 connections/],
  ];
  for (const [name, shell, words, reason] of cases) {
    test(`${name}: the silent ones go, and no request is lost`, async () => {
      const cwd = site({ "app.ts": hello });
      const path = join(cwd, "s.sock");
      const running = launch(
        ["/bin/sh", "-c", `${shell}exec "$@"`, "sh", ...command, `socket=${path}`, "watch=false", ...words],
        { cwd },
      );
      await until("it serves", () => running.stderr().includes("serving "));
      using idle = idlers(path, 480);
      assert.deepEqual([...await visit(path, 2000)], [["200 hello /", 2000]]);
      // Some are left, since there is room for them.
      assert.ok(idle.closed() > 240, `${idle.closed()} of the silent are gone`);
      assert.match(running.stderr(), reason);
      await running.stop();
    });
  }

  test("no more are served at once than maxconnections allows", async () => {
    const most = 5;
    const cwd = site({ "app.ts": counting(most) });
    const path = join(cwd, "s.sock");
    const words = [`socket=${path}`, "watch=false", "threads=1", `maxconnections=${most}`];
    const running = launch([...command, ...words], { cwd });
    await until("it serves", () => running.stderr().includes("serving "));
    const asked = Array.from({ length: 4 * most }, () => askAt({ transport: "unix", path }));
    for (const { text } of await Promise.all(asked)) assert.equal(text, String(most));
    await running.stop();
  });
});
