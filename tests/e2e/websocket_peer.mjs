/**
 * Talks to a server over a WebSocket with the client of a package: `node websocket_peer.mjs FOLDER PEER URL [EXTENSIONS]`. It
 * runs in Node whatever runs the test, since Bun has clients of its own by these names.
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import process from "node:process";
import { talk } from "../support/websocket_talk.mjs";

const [folder, peer, url, extensions = ""] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);

const peers = {
  undici: () => talk(require("undici").WebSocket, url, extensions),
  async ws() {
    const { WebSocket } = require("ws");
    await talk(WebSocket, url, extensions);
    await fragments(new WebSocket(url, ["echo"], { perMessageDeflate: false }));
  },
  async "socket.io"() {
    for (const transports of [["websocket"], ["polling", "websocket"]]) await events(require("socket.io-client"), transports);
  },
};

/** A message in fragments that split a character, with a ping between them. */
async function fragments(socket) {
  await once(socket, "message");
  const bytes = Buffer.from("a€b");
  socket.send(bytes.subarray(0, 2), { binary: false, fin: false });
  socket.ping("between");
  socket.send(bytes.subarray(2), { fin: true });
  const pong = once(socket, "pong");
  const [message, isBinary] = await once(socket, "message");
  if (isBinary || message.toString() !== "a€b") throw new Error(`a€b came back as ${message}`);
  const [data] = await pong;
  if (data.toString() !== "between") throw new Error(`the pong says ${data}`);
  socket.close();
  const [code] = await once(socket, "close");
  if (code !== 1005) throw new Error(`a close without a code was answered by ${code}`);
}

/** What Socket.IO's users do: events both ways, with acknowledgements and buffers. */
async function events({ io }, transports) {
  const socket = io(url, { transports, forceNew: true, reconnection: false });
  const failed = once(socket, "connect_error").then(([error]) => Promise.reject(error));
  const welcome = new Promise((resolve) => socket.once("welcome", resolve));
  if (await Promise.race([welcome, failed]) !== "Hello") throw new Error("no welcome");
  const { engine } = socket.io;
  if (engine.transport.name !== "websocket") await once(engine, "upgrade");
  if (engine.transport.name !== "websocket") throw new Error(`the transport is ${engine.transport.name}`);
  const shouted = await socket.emitWithAck("shout", "grüße");
  if (shouted !== "GRÜSSE") throw new Error(`the answer is ${shouted}`);
  const sent = Buffer.alloc(500_000, "0123456789abcdef");
  const returned = await socket.emitWithAck("return", sent);
  if (!sent.equals(returned)) throw new Error("the buffer is another");
  socket.disconnect();
}

await peers[peer]();
process.exit(0);
