/**
 * The benchmark's application on the HTTP server that each runtime brings.
 *
 * @module
 */
import { createServer } from "node:http";
import process from "node:process";
import app from "./app.ts";
import listener from "./listener_app.ts";

const socket = process.argv[2];
const { Bun: bun, Deno: deno } = globalThis as unknown as {
  Bun?: { serve(options: { unix: string; fetch: typeof app.fetch }): unknown };
  Deno?: { serve(options: { path: string; transport: "unix" }, handler: typeof app.fetch): unknown };
};
if (deno) deno.serve({ path: socket, transport: "unix" }, app.fetch);
else if (bun) bun.serve({ unix: socket, fetch: app.fetch });
else createServer(listener).listen(socket);
