/**
 * The benchmark's application as a Node-style listener.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";

const large = Buffer.alloc(64 * 1024, "x");
const headers = { "content-type": "text/plain" };

export const runfcgi = { app: "node" };

export default function listener(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, headers).end(request.url!.includes("/large") ? large : "hello world\n");
}
