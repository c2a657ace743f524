/** WebSockets through a reload and a stop: each is closed with 1001, and what was not answered can be sent again. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { freePort, type Running, startServing, until } from "../support/program.ts";
import { VisitorSocket } from "../support/visitor_socket.ts";

const folder = mkdtempSync(join(tmpdir(), "runfcgi-sockets-"));
const left: Running[] = [];
after(async () => {
  await Promise.all(left.map((running) => running.stop()));
  rmSync(folder, { recursive: true, force: true });
});

const app = (version: number) => `
const seen = new Set();
export default {
  fetch(request, info) {
    const { socket, response } = info.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send("${version} " + data);
    return response;
  },
};
`;

/** A visitor who numbers what he says, and connects and says it again until it is answered. */
class Persistent {
  readonly #url: string;
  #visitor!: VisitorSocket;
  /** Close codes of his connections. */
  readonly codes: number[] = [];
  /** The version that answered last. */
  version = "";
  said = 0;
  #over = false;

  constructor(url: string) {
    this.#url = url;
  }

  /** Says one thing after the other until {@linkcode stop} is called. */
  async talk(): Promise<void> {
    this.#visitor = new VisitorSocket(this.#url);
    let answers = 0;
    while (!this.#over) {
      const visitor = this.#visitor;
      await visitor.until("it is open or closed", () => visitor.opened || visitor.closed, 30_000);
      if (visitor.closed === undefined) {
        visitor.socket.send(String(this.said));
        await visitor.until("it is answered or closed", () => visitor.messages.length > answers || visitor.closed, 30_000);
      }
      if (visitor.messages.length > answers) {
        const [version, number] = String(visitor.messages[answers++]).split(" ");
        assert.equal(number, String(this.said++));
        this.version = version;
        await new Promise((resolve) => setTimeout(resolve, 5));
      } else if (!this.#over) {
        this.codes.push(visitor.closed!.code);
        this.#visitor = new VisitorSocket(this.#url);
        answers = 0;
      }
    }
  }

  stop(): void {
    this.#over = true;
  }

  close(): ReturnType<VisitorSocket["close"]> {
    return this.#visitor.close();
  }
}

describe("WebSockets", () => {
  for (const method of ["threaded", "prefork"]) {
    test(`${method}: survive a reload by connecting again, and a stop closes them`, { timeout: 120_000 }, async () => {
      const file = join(folder, `${method}.mjs`);
      writeFileSync(file, app(1));
      const port = await freePort();
      const running = await startServing({ port }, [file, "protocol=http", `method=${method}`, "watch=false"]);
      left.push(running);
      const visitors = Array.from({ length: 40 }, () => new Persistent(`ws://127.0.0.1:${port}/`));
      const talks = visitors.map((visitor) => visitor.talk());
      await until("all are served", () => visitors.every(({ version }) => version === "1"));
      writeFileSync(file, app(2));
      running.kill("SIGHUP");
      await until("the new code serves all", () => visitors.every(({ version }) => version === "2"));
      for (const visitor of visitors) visitor.stop();
      await Promise.all(talks);
      // A connection may come to the old code just before it leaves.
      for (const { codes } of visitors) assert.ok(codes.length >= 1 && codes.every((code) => code === 1001), codes.join());
      running.kill("SIGTERM");
      for (const visitor of visitors) assert.deepEqual(await visitor.close(), { code: 1001, reason: "", wasClean: true });
      assert.deepEqual(await running.exit, { code: 0, signal: null });
      assert.doesNotMatch(running.stderr(), /Cut after/);
    });
  }
});
