/**
 * What connections make a server hold: half heads, bodies that nobody reads, and bodies in pieces of one byte; as growth
 * over the idle server, beside Go's and beside a bare server on node:net.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { Params } from "../../src/protocol/params.ts";
import { tools } from "../tools.ts";
import { columns } from "./figures.ts";
import { folder, say, startServer, stopServers } from "./harness.ts";
import { memory } from "./proc.ts";
import { Missing, type Place, servers } from "./servers.ts";

const MIB = 1024 * 1024;
/** A server that has taken nothing for so long will take no more. */
const QUIET_MS = 1500;

const params = Params.from(Object.entries({
  REQUEST_METHOD: "POST",
  REQUEST_URI: "/wait",
  SCRIPT_NAME: "/wait",
  SERVER_PROTOCOL: "HTTP/1.1",
  CONTENT_LENGTH: String(2 * MIB),
  HTTP_HOST: "www.example.org",
  HTTP_COOKIE: "x".repeat(300),
}));
const head = () => new FastCgiClient().request(1, params);

interface Case {
  title: string;
  connections: number;
  /** What each connection sends. */
  bytes: Uint8Array;
  /** Bytes that are sent for each of a body. */
  framing?: number;
}

const cases: readonly Case[] = [
  { title: "4,000 half heads", connections: 4000, bytes: head().subarray(0, 200) },
  { title: "500 x 2 MiB unread", connections: 500, bytes: whole(new FastCgiClient().body(1, new Uint8Array(2 * MIB))) },
  { title: "100 x 64 KiB by bytes", connections: 100, bytes: whole(records(64 * 1024, 0)), framing: 9 },
  { title: "100 x 16 KiB, padded", connections: 100, bytes: whole(records(16 * 1024, 255)), framing: 264 },
];

function whole(body: Uint8Array): Uint8Array {
  return Buffer.concat([head(), body]);
}

/** STDIN records of one byte each. */
function records(count: number, padding: number): Uint8Array {
  const record = Buffer.alloc(9 + padding, "x");
  record.set([1, 5, 0, 1, 0, 1, padding, 0]);
  return Buffer.concat(Array.from({ length: count }, () => record));
}

const script = fileURLToPath(new URL("peer_net.cjs", import.meta.url));

/** A server, started for a case. */
interface Row {
  id: string;
  name: string;
  command(place: Place, framing: number): string[];
}

/** A bare server understands nothing: it reads the same bytes, and keeps as many of them as a body has. */
function bare(id: string, name: string, command: string[]): Row {
  return { id, name, command: ({ socket }, framing) => [...command, script, socket, String(framing)] };
}

/** Measures and prints a table. @returns the exit status */
export async function held(ids: readonly string[]): Promise<number> {
  const { deno, node, bun } = tools();
  const chosen = servers.filter(({ id, protocol }) =>
    protocol === "fcgi" && ids.includes(id) && !["c", "php", "node-fastcgi"].includes(id)
  );
  const rows: Row[] = [
    ...chosen.map(({ id, name, prepare }) => ({ id, name, command: prepare })),
    bare("net-bun", "bare, Bun", [bun]),
    bare("net-deno", "bare, Deno", [deno, "run", "-A"]),
    bare("net-node", "bare, Node", [node]),
  ];
  const lines = [["", ...cases.map(({ title }) => title)]];
  for (const server of rows) {
    const line = [server.name];
    for (const [i, { title, connections, bytes, framing = 1 }] of cases.entries()) {
      say(`${server.name}: ${title}`);
      const place = { folder: join(folder, `${server.id}-${i}`), socket: join(folder, `${server.id}-${i}.sock`), connections };
      mkdirSync(place.folder);
      try {
        const pid = await startServer(server.command(place, framing), place);
        await sleep(1000);
        const idle = memory(pid).private;
        const sockets = await send(place.socket, connections, bytes);
        const growth = memory(pid).private - idle;
        for (const socket of sockets) socket.destroy();
        line.push(`${(growth / MIB).toFixed(1)} MiB`);
        stopServers(pid);
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        line.push(error.message);
      }
    }
    lines.push(line);
  }
  say("");
  console.log("Private memory that connections make a server hold, as growth over idle\n");
  console.log(columns(lines));
  return 0;
}

/** Opens the connections and sends until the server takes no more. */
async function send(path: string, count: number, bytes: Uint8Array): Promise<Socket[]> {
  const sockets: Socket[] = [];
  let movedAt = performance.now();
  for (let i = 0; i < count; i++) {
    const socket = await connected(path);
    socket.on("error", () => {});
    socket.on("close", () => movedAt = performance.now());
    let at = 0;
    const write = () => {
      while (at < bytes.length) {
        movedAt = performance.now();
        const piece = bytes.subarray(at, at + 64 * 1024);
        at += piece.length;
        if (!socket.write(piece)) return void socket.once("drain", write);
      }
    };
    write();
    sockets.push(socket);
  }
  while (performance.now() - movedAt < QUIET_MS) await sleep(100);
  return sockets;
}

/** On a busy machine the kernel's queue of the listener may be full, and a connection less would count as memory saved. */
async function connected(path: string): Promise<Socket> {
  for (;;) {
    const socket = createConnection(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      await sleep(5);
    }
  }
}
