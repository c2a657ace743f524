/**
 * The benchmark's application as node:http has it.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";

const large = new Uint8Array(64 * 1024).fill("x".charCodeAt(0));

export const runfcgi = { app: "node" };

export default function (request: IncomingMessage, response: ServerResponse): void {
  const body = request.url!.includes("/large") ? large : "hello world\n";
  response.writeHead(200, { "content-type": "text/plain", "content-length": body.length });
  response.end(body);
}
