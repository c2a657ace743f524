/**
 * WebSockets with clients that people use: the packages ws, undici and Socket.IO, and Chromium, which offer compression. They talk
 * to each kind of application, directly and through web servers with the configuration that the program prints.
 */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { applications, isInstalled } from "../../scripts/applications.ts";
import { tools } from "../../scripts/tools.ts";
import { needsBrowser, runInBrowser } from "../support/browser.ts";
import { freePort, start, startServing, whole } from "../support/program.ts";
import { needs, type WebServerName } from "../support/servers.ts";
import { type Row, startRow } from "./site.ts";

const timeout = 120_000;
const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const { node } = tools();

/** What the program is told to serve. The peers' packages are those of the application's folder. */
const few = join(applications, "few");
const kinds: Record<string, { word: string; peers: string[]; extensions?: string }> = {
  "a fetch handler": { word: fileOf("websocket_app.ts"), peers: ["ws", "undici"] },
  // It is the application that accepts compression, and what passes is not looked at.
  "ws": { word: join(few, "ws.ts"), peers: ["ws", "undici"], extensions: "permessage-deflate" },
  "Socket.IO": { word: join(few, "socketio.ts"), peers: ["socket.io"] },
  "exec": { word: `exec=${node} ${fileOf("../support/http_program.ts")} {socket}`, peers: ["ws", "undici"] },
};

const missing = isInstalled("few") || process.env.CI === "true" ? false : "run: deno run -A scripts/applications.ts few";
const talk = readFileSync(fileOf("../support/websocket_talk.mjs"), "utf8").replace("export ", "");

interface Started {
  port: number;
  log(): string;
  stop(): Promise<void>;
}

async function startKind(front: WebServerName | undefined, word: string): Promise<Started> {
  if (front === undefined) {
    const port = await freePort();
    const running = await startServing({ port }, [word, "protocol=http"]);
    return { port, log: running.stderr, stop: running.stop };
  }
  const { site, stop } = await startRow({
    name: front,
    server: front,
    listens: "port",
    protocol: "http",
    config: [front, "websocket=true"] as unknown as Row["config"],
    app(folder) {
      // The configuration names an application, which is another here.
      copyFileSync(fileOf("websocket_app.ts"), join(folder, "mysite.ts"));
      return word;
    },
    logs: "program",
  });
  return { port: site.port, log: () => site.errors, stop };
}

for (const front of [undefined, ...whole ? ["nginx", "apache", "caddy"] as const : []]) {
  for (const [kind, { word, peers, extensions = "" }] of Object.entries(kinds)) {
    describe(`${kind}, ${front ?? "directly"}`, { skip: (front !== undefined && needs(front)) || missing }, () => {
      let started: Started | undefined;
      before(async () => void (started = await startKind(front, word)), { timeout });
      after(() => started?.stop(), { timeout });

      for (const peer of peers) {
        test(`talks with ${peer}`, { timeout }, async () => {
          const url = `${peer === "socket.io" ? "http" : "ws"}://127.0.0.1:${started!.port}${
            peer === "socket.io" ? "" : "/socket"
          }`;
          const client = start([node, fileOf("websocket_peer.mjs"), few, peer, url, extensions]);
          const { code } = await client.exit;
          assert.equal(code, 0, `${client.stderr()}\n${started!.log().slice(-2000)}`);
        });
      }

      if (!whole || kind === "Socket.IO") return;
      test("talks with Chromium", { timeout, skip: needsBrowser }, async () => {
        const url = JSON.stringify(`ws://127.0.0.1:${started!.port}/socket`);
        const accepted = extensions === "" ? '""' : `"${extensions}"`;
        const reported = await runInBrowser(
          `${talk}\ntalk(WebSocket, ${url}, ${accepted}).then(() => report("all came back"), (error) => report(error.stack));`,
        );
        assert.equal(reported, "all came back", started!.log().slice(-2000));
      });
    });
  }
}
