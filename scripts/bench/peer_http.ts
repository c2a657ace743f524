/**
 * The benchmark's application on the HTTP server that each runtime brings.
 *
 * Usage: node peer_http.ts SOCKET [fetch], where "fetch" gives it a Request and takes a Response also on node:http
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import app from "./app.ts";
import listener from "./listener_app.ts";

const [, , socket, kind] = process.argv;
const { Bun: bun, Deno: deno } = globalThis as unknown as {
  Bun?: { serve(options: { unix: string; fetch: typeof app.fetch }): unknown };
  Deno?: { serve(options: { path: string; transport: "unix" }, handler: typeof app.fetch): unknown };
};
if (deno) deno.serve({ path: socket, transport: "unix" }, app.fetch);
else if (bun) bun.serve({ unix: socket, fetch: app.fetch });
else createServer(kind === "fetch" ? fetchListener : listener).listen(socket);

/** What an application would write to have a fetch handler on node:http. */
async function fetchListener(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { method = "GET", url, headers } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  const request = new Request(`http://${headers.host}${url}`, {
    method,
    headers: headers as Record<string, string>,
    ...hasBody && { body: Readable.toWeb(incoming) as ReadableStream, duplex: "half" },
  });
  const response = await app.fetch(request);
  const body = Buffer.from(await response.arrayBuffer());
  outgoing.writeHead(response.status, { ...Object.fromEntries(response.headers), "content-length": body.length }).end(body);
}
