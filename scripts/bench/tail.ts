/**
 * How long visitors wait at a steady rate: alone, through a reload, and while somebody else uploads to an application with
 * three million live objects.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { Params } from "../../src/protocol/params.ts";
import { tools } from "../tools.ts";
import { columns } from "./figures.ts";
import { folder, say, startServer } from "./harness.ts";
import { own, servers } from "./servers.ts";

const RATE = 300;
const OBJECTS = 3_000_000;
const UPLOAD = 200 * 1024 * 1024;

interface Peer {
  name: string;
  command(place: { folder: string; socket: string; connections: number }): string[];
  /** What makes it reload; none for a program that cannot. */
  reload?: NodeJS.Signals;
}

/** Measures and prints a table. @returns the exit status */
export async function tails(ids: readonly string[], seconds: number): Promise<number> {
  const app = fileURLToPath(new URL("tail_app.ts", import.meta.url));
  const peers: Peer[] = [
    ...own.filter(({ id }) => ids.includes(id)).map(({ name, command }) => ({
      name,
      command: ({ socket }: { socket: string }) => [...command(), app, `socket=${socket}`, "threads=1"],
      reload: "SIGHUP" as const,
    })),
    ...servers.filter(({ id }) => (id === "go" || id === "php") && ids.includes(id)).map((server) => ({
      name: server.name,
      command: (place: { folder: string; socket: string; connections: number }) => server.prepare(place),
      ...server.id === "php" ? { reload: "SIGUSR2" as const } : {},
    })),
  ];
  const lines = [["", "", "p50", "p99", "longest", "lost"]];
  for (const [i, peer] of peers.entries()) {
    const run = async (what: string, objects: number, meanwhile: (socket: string, pid: number) => Promise<void>) => {
      say(`${peer.name}, ${what}`);
      const name = `tail-${i}-${what.replaceAll(" ", "-")}`;
      const place = { folder: join(folder, name), socket: join(folder, `${name}.sock`), connections: 16 };
      mkdirSync(place.folder);
      const command = ["/usr/bin/env", `BENCH_OBJECTS=${objects}`, ...peer.command(place)];
      const pid = await startServer(command, place);
      await load(place.socket, 1);
      const [{ times, lost }] = await Promise.all([
        load(place.socket, seconds),
        sleep(seconds * 250).then(() => meanwhile(place.socket, pid)),
      ]);
      times.sort((a, b) => a - b);
      const at = (share: number) => `${times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(1)} ms`;
      lines.push([peer.name, what, at(0.5), at(0.99), at(1), String(lost)]);
      process.kill(-pid, "SIGKILL");
    };
    await run("alone", 0, () => Promise.resolve());
    if (peer.reload) await run("through a reload", 0, (_, pid) => Promise.resolve(void process.kill(pid, peer.reload)));
    await run("beside an upload of 200 MiB, 3 million objects", OBJECTS, (socket) => upload(socket));
  }
  say("");
  process.stdout.write(`${RATE} small requests a second for ${seconds} s, each over a new connection\n\n`);
  process.stdout.write(`${columns(lines)}\n`);
  return 0;
}

async function load(socket: string, seconds: number): Promise<{ times: number[]; lost: number }> {
  const script = fileURLToPath(new URL("tail_load.ts", import.meta.url));
  const child = spawn(tools().bun, [script, socket, String(RATE), String(seconds)], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const piece of child.stdout.setEncoding("utf8")) text += piece;
  return JSON.parse(text);
}

async function upload(path: string): Promise<void> {
  const client = new FastCgiClient();
  const params = Object.entries({
    REQUEST_METHOD: "POST",
    REQUEST_URI: "/upload",
    SCRIPT_NAME: "/upload",
    SERVER_PROTOCOL: "HTTP/1.1",
    HTTP_HOST: "localhost",
    CONTENT_LENGTH: String(UPLOAD),
    SCRIPT_FILENAME: fileURLToPath(new URL("peer.php", import.meta.url)),
  });
  const socket = createConnection(path);
  socket.on("error", () => {});
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.write(client.request(1, Params.from(params)));
  const piece = client.body(1, new Uint8Array(1024 * 1024));
  for (let sent = 0; sent < UPLOAD && !socket.destroyed; sent += 1024 * 1024) {
    if (!socket.write(piece)) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), ended]);
  }
  socket.write(client.bodyEnd(1));
  await ended;
}
