/** WebSockets through a reload and a stop: each is closed with 1001, and what was not answered can be sent again. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { applications, isInstalled } from "../../scripts/applications.ts";
import { tools } from "../../scripts/tools.ts";
import { ask } from "../support/http.ts";
import { freePort, type Running, start, startServing, until, whole } from "../support/program.ts";
import { VisitorSocket } from "../support/visitor_socket.ts";

const visitorCount = whole ? 1000 : 40;
const folder = mkdtempSync(join(tmpdir(), "runfcgi-sockets-"));
const left: Running[] = [];
after(async () => {
  await Promise.all(left.map((running) => running.stop()));
  rmSync(folder, { recursive: true, force: true });
});

const fetchHandler = (version: number) => `
export default {
  fetch(request, info) {
    const { socket, response } = info.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send("${version} " + data);
    return response;
  },
};
`;

const hasPackages = isInstalled("few");
if (hasPackages) {
  const few = join(applications, "few");
  copyFileSync(join(few, "package.json"), join(folder, "package.json"));
  symlinkSync(join(few, "node_modules"), join(folder, "node_modules"));
}
const nodeServer = (version: number) => `
import { createServer } from "node:http";
import process from "node:process";
import { WebSocketServer } from "ws";
const server = createServer();
new WebSocketServer({ server }).on("connection", (socket) => {
  socket.on("message", (data) => socket.send("${version} " + data));
});
server.listen(process.argv[2]?.startsWith("/") ? process.argv[2] : 3000);
`;

/** An application of Socket.IO that keeps its news in a file, so that who was away hears what he has missed. */
const socketIo = (version: number) => `
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { Server } from "socket.io";
const file = new URL("news", import.meta.url);
const server = createServer((request, response) => {
  appendFileSync(file, request.url.slice(1) + "\\n");
  response.end();
});
const io = new Server(server, { transports: ["websocket"] });
io.on("connection", (socket) => {
  socket.data.at = socket.handshake.auth.at;
  socket.on("say", (number, answer) => answer("${version} " + number));
});
setInterval(() => {
  const news = readFileSync(file, "utf8").split("\\n").slice(0, -1);
  for (const socket of io.of("/").sockets.values()) {
    for (; socket.data.at < news.length; socket.data.at++) socket.emit("news", socket.data.at, news[socket.data.at]);
  }
}, 50).unref();
server.listen(process.argv[2]?.startsWith("/") ? process.argv[2] : 3000);
`;

interface Case {
  app(version: number): string;
  words(file: string): string[];
}

const cases: Record<string, Case> = {
  threaded: { app: fetchHandler, words: (file) => [file, "method=threaded"] },
  prefork: { app: fetchHandler, words: (file) => [file, "method=prefork"] },
  ...whole && hasPackages && {
    ws: { app: nodeServer, words: (file) => [file] },
    exec: { app: nodeServer, words: (file) => [`exec=${tools().node} ${file} {socket}`] },
  },
};

/** What a visitor of Socket.IO has seen. */
interface Seen {
  codes: unknown[];
  news: string[];
  said: number;
  wrong: number;
}

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
  for (const [name, { app, words }] of Object.entries(cases)) {
    test(`${name}: survive a reload by connecting again, and a stop closes them`, { timeout: 120_000 }, async () => {
      const file = join(folder, `${name}.mjs`);
      writeFileSync(file, app(1));
      const port = await freePort();
      const running = await startServing({ port }, [...words(file), "protocol=http", "watch=false"]);
      left.push(running);
      const visitors = Array.from({ length: visitorCount }, () => new Persistent(`ws://127.0.0.1:${port}/`));
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

  const socketIoCount = whole ? 1000 : 200;
  const ways: Record<string, Case["words"]> = {
    "an application": (file) => [file],
    ...whole && { "a program of exec": (file: string) => [`exec=${tools().node} ${file} {socket}`] },
  };
  for (const [name, words] of Object.entries(ways)) {
    const skip = !hasPackages && "run: deno run -A scripts/applications.ts few";
    test(`of Socket.IO to ${name} lose nothing through a reload, both ways`, { skip, timeout: 180_000 }, async () => {
      const news = join(folder, "news");
      const file = join(folder, "socketio.mjs");
      writeFileSync(news, "");
      writeFileSync(file, socketIo(1));
      const port = await freePort();
      const running = await startServing({ port }, [...words(file), "protocol=http", "watch=false", "threads=1"]);
      const script = fileURLToPath(new URL("../support/socketio_visitors.mjs", import.meta.url));
      const visitors = start([tools().node, script, folder, `http://127.0.0.1:${port}`, String(socketIoCount)]);
      left.push(running, visitors);
      let published = 0;
      const publishUntil = (version: number) =>
        until(`version ${version} answers all`, async () => {
          assert.equal((await ask(port, `/${published++}`)).status, 200);
          return visitors.stdout().includes(`all ${version}\n`);
        }, 90);
      await publishUntil(1);
      const beforeReload = published;
      writeFileSync(file, socketIo(2));
      running.kill("SIGHUP");
      await publishUntil(2);
      visitors.kill("SIGTERM");
      await visitors.exit;
      const seen: Seen[] = JSON.parse(visitors.stdout().trim().split("\n").at(-1)!);
      assert.equal(seen.length, socketIoCount);
      for (const { codes, news, said, wrong } of seen) {
        assert.ok(codes.length >= 1 && codes.every((code) => code === 1001), codes.join());
        assert.ok(said > 0);
        assert.equal(wrong, 0);
        assert.deepEqual(news, Array.from({ length: news.length }, (_, i) => String(i)));
        assert.ok(news.length > beforeReload, `${news.length} of ${published}`);
      }
      await running.stop();
    });
  }
});
