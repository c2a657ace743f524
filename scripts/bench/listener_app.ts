/**
 * The benchmark's application as a Node-style listener.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";

const large = Buffer.alloc(64 * 1024, "x");

export const runfcgi = { app: "node" };

export default function listener(request: IncomingMessage, response: ServerResponse): void {
  const body = request.url!.includes("/large") ? large : "hello world\n";
  // node:http takes a length for a body only if it is told.
  response.writeHead(200, { "content-type": "text/plain", "content-length": body.length }).end(body);
}
