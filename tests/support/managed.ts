/**
 * A process as a web server starts it, and questions to it.
 *
 * @module
 */
import { linkSync, lstatSync, readdirSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { Params } from "../../src/protocol/params.ts";
import type { Address } from "../../src/runtime/socket.ts";
import { request } from "../../src/server/client.ts";
import { type Running, start, within } from "./program.ts";

/**
 * Starts a command with a listening socket on descriptor 0 and nothing else, as mod_fcgid does.
 *
 * @param path of a Unix socket; default is a port
 */
export async function startManaged(
  command: readonly string[],
  cwd: string,
  variables: Record<string, string> = {},
  path?: string,
): Promise<{ port: number; running: Running }> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(path === undefined ? { port: 0, host: "127.0.0.1" } : { path }, resolve));
  const { port } = path === undefined ? listener.address() as { port: number } : { port: 0 };
  const fd = descriptorOf(path ?? port);
  const environment = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
  const running = start(command, { cwd, stdin: fd, env: { ...environment, ...variables } });
  // It removes its file.
  if (path !== undefined) linkSync(path, `${path}~`);
  listener.close();
  if (path !== undefined) {
    await new Promise((resolve) => listener.once("close", resolve));
    renameSync(`${path}~`, path);
  }
  return { port, running };
}

/** Asks over FastCGI, as a web server would. */
export async function askAt(address: Address, path = "/", more: Record<string, string> = {}) {
  const params = { REQUEST_METHOD: "GET", REQUEST_URI: path, HTTP_HOST: "localhost", SERVER_PROTOCOL: "HTTP/1.1", ...more };
  let stderr = "";
  const answer = async () => {
    const onStderr = (text: string) => void (stderr += text);
    const { head, body } = await request({ address, protocol: "fcgi", params: Params.from(Object.entries(params)), onStderr });
    return { status: head.status, headers: head.headers, text: await new Response(body).text(), stderr };
  };
  return await within(`the response to ${path}`, answer());
}

/** Asks a port of this machine. */
export function askPort(port: number, path?: string, more?: Record<string, string>): ReturnType<typeof askAt> {
  return askAt({ transport: "tcp", hostname: "127.0.0.1", port }, path, more);
}

/** The descriptor of this process that listens on a port, or at a path. */
function descriptorOf(where: number | string): number {
  const hex = where.toString(16).toUpperCase().padStart(4, "0");
  const [table, column, sign] = typeof where === "string"
    ? ["unix", 6, ` ${where}`] as const
    : ["tcp", 9, `:${hex} 00000000:0000 0A`] as const;
  const row = readFileSync(`/proc/net/${table}`, "utf8").split("\n").find((line) => line.includes(sign));
  const inode = row?.trim().split(/\s+/)[column];
  return Number(
    readdirSync("/proc/self/fd").find((fd) => {
      // The descriptor that reads the folder is gone by now.
      const path = `/proc/self/fd/${fd}`;
      return lstatSync(path, { throwIfNoEntry: false }) && readlinkSync(path) === `socket:[${inode}]`;
    }),
  );
}
