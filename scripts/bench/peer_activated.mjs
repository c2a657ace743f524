/**
 * The floor of a start on a socket that is on descriptor 3: fixed bytes for whoever connects.
 *
 * @module
 */
import { createServer } from "node:net";

const text = "hello world\n";
if (globalThis.Bun) {
  const socket = { open: (client) => void client.end(text), data() {}, close() {}, error() {} };
  globalThis.Bun.listen({ fd: 3, socket });
} else createServer((socket) => socket.on("error", () => {}).end(text)).listen({ fd: 3 });
