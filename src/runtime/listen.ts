/**
 * Listening as it should be on any runtime: a stale socket file is replaced, a live one is not, and the
 * listener is proved to be the one asked for.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { chmodSync, existsSync, fstatSync, lstatSync, readFileSync, renameSync, rmSync, type Stats, statSync } from "node:fs";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { bun, listenBun } from "./bun.ts";
import { listenNode } from "./node.ts";
import { type Accept, type Address, type Endpoint, formatAddress, type Listen, type Listener } from "./socket.ts";

/** Longest path of a Unix socket in bytes: `sun_path` without its NUL. */
const MAX_SOCKET_PATH = process.platform === "linux" ? 107 : 103;

const listenHere: Listen = bun ? listenBun : listenNode;

/** The endpoint cannot be listened on, and why. */
export class ListenError extends Error {
  override name = "ListenError";
}

/** How to listen. */
export interface ListenOptions {
  /** Connections that the kernel holds until they are accepted; default 511. Bun always asks for 512. */
  backlog?: number;
  /** Permissions of a Unix socket, such as `0o660`; default is what the umask leaves. */
  mode?: number;
}

/** @throws {ListenError} with one line that says what is wrong and what to do */
export function listen(endpoint: Endpoint, accept: Accept, options: ListenOptions = {}): Promise<Listener> {
  const backlog = options.backlog ?? 511;
  switch (endpoint.transport) {
    case "unix":
      return listenUnix(endpoint.path, backlog, options.mode, accept);
    case "tcp":
      return listenTcp(endpoint, backlog, accept);
    case "fd":
      return listenInherited(endpoint.fd, backlog, accept);
  }
}

/**
 * Binds a new name and renames it over the wanted one, so that the socket is never missing, has its
 * permissions from the first moment, and no runtime removes a file that is not its own any more.
 */
async function listenUnix(path: string, backlog: number, mode: number | undefined, accept: Accept): Promise<Listener> {
  const bindPath = join(dirname(path), `.${randomUUID().slice(0, 8)}`);
  const tooLong = [path, bindPath].find((name) => new TextEncoder().encode(name).length > MAX_SOCKET_PATH);
  if (tooLong !== undefined) {
    throw new ListenError(
      `Cannot listen on "${path}": a socket's path has at most ${MAX_SOCKET_PATH} bytes. Choose a shorter one`,
    );
  }
  await expectFree(path);
  let listener: Listener;
  try {
    listener = await listenHere({ transport: "unix", path: bindPath }, backlog, accept);
  } catch (error) {
    throw new ListenError(`Cannot listen on "${path}": ${listenReason(error as Error, dirname(path))}`, { cause: error });
  }
  let own: Stats;
  try {
    if (mode !== undefined) chmodSync(bindPath, mode);
    own = lstatSync(bindPath);
    if (!own.isSocket()) throw new Error("the runtime did not make a socket");
    renameSync(bindPath, path);
  } catch (error) {
    listener.close();
    rmSync(bindPath, { force: true });
    throw new ListenError(`Cannot listen on "${path}": ${(error as Error).message}`, { cause: error });
  }
  const close = () => {
    listener.close();
    const now = lstatSync(path, { throwIfNoEntry: false });
    if (now?.ino === own.ino && now.dev === own.dev) rmSync(path, { force: true });
  };
  return { address: { transport: "unix", path }, close };
}

/** Nothing, or a socket that nobody listens on any more, may be at the path. */
async function expectFree(path: string): Promise<void> {
  let stats: Stats | undefined;
  try {
    stats = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new ListenError(`Cannot listen on "${path}": ${listenReason(error as Error, dirname(path))}`, { cause: error });
  }
  if (stats === undefined) return;
  if (!stats.isSocket()) {
    throw new ListenError(`Cannot listen on "${path}": it exists and is not a socket. Choose another path or remove it`);
  }
  if (await isLive({ transport: "unix", path })) {
    throw new ListenError(`Cannot listen on "${path}": a running server listens there. Stop it or choose another path`);
  }
}

/** Whether somebody accepts connections at an address. */
function isLive(address: Address): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createConnection(
    address.transport === "unix" ? { path: address.path } : { host: address.hostname, port: address.port },
  );
  socket.once("connect", () => {
    socket.destroy();
    resolve(true);
  });
  // Any other error has a cause of its own: EAGAIN a full backlog, EACCES another user, EPROTOTYPE datagrams.
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  return promise;
}

async function listenTcp(endpoint: Extract<Address, { transport: "tcp" }>, backlog: number, accept: Accept): Promise<Listener> {
  let listener: Listener;
  try {
    listener = await listenHere(endpoint, backlog, accept);
  } catch (error) {
    throw new ListenError(`Cannot listen on ${formatAddress(endpoint)}: ${listenReason(error as Error)}`, { cause: error });
  }
  const { address } = listener;
  if (address.transport !== "tcp" || address.port === 0 || (endpoint.port !== 0 && address.port !== endpoint.port)) {
    listener.close();
    throw new ListenError(
      `Cannot listen on ${formatAddress(endpoint)}: the runtime listened on ${formatAddress(address)} instead`,
    );
  }
  return listener;
}

async function listenInherited(fd: number, backlog: number, accept: Accept): Promise<Listener> {
  const found = describeDescriptor(fd);
  if (!found.listening) {
    throw new ListenError(`Cannot listen on descriptor ${fd}: it is ${found.what}, not a listening socket`);
  }
  try {
    const listener = await listenHere({ transport: "fd", fd }, backlog, accept);
    return { address: found.address ?? listener.address, close: () => listener.close() };
  } catch (error) {
    throw new ListenError(`Cannot listen on descriptor ${fd}: ${(error as Error).message}`, { cause: error });
  }
}

/** What a descriptor is. */
export interface Descriptor {
  listening: boolean;
  /** In words, such as `a terminal` or `a connected socket`. */
  what: string;
  /** Where it listens, if that can be found out. */
  address?: Address;
}

/** Looks at a descriptor without touching it. */
export function describeDescriptor(fd: number): Descriptor {
  const stats = statDescriptor(fd);
  if (stats === undefined) return { listening: false, what: "closed" };
  if (stats.isSocket()) return describeSocket(stats.ino);
  if (stats.isFIFO()) return { listening: false, what: "a pipe" };
  if (stats.isFile()) return { listening: false, what: "a file" };
  if (stats.isDirectory()) return { listening: false, what: "a directory" };
  const nothing = statSync("/dev/null", { throwIfNoEntry: false });
  if (nothing?.rdev === stats.rdev) return { listening: false, what: "/dev/null" };
  return { listening: false, what: "a terminal or another device" };
}

function statDescriptor(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    // Deno knows no other descriptors than 0 to 2 and those that it opened.
    return statSync(`/dev/fd/${fd}`, { throwIfNoEntry: false });
  }
}

/**
 * The kernel's tables tell a listening socket from any other, which no runtime does: listen(2) on a socket
 * that is not bound yet succeeds, on a port of the kernel's choice.
 */
function describeSocket(inode: number): Descriptor {
  const unix = tableRow("/proc/net/unix", 6, inode);
  if (unix) {
    // Flag __SO_ACCEPTCON, linux/net.h.
    const listening = (parseInt(unix[3], 16) & 0x10000) !== 0;
    const path = unix[7];
    return { listening, what: `a Unix socket ${path}`.trimEnd(), address: { transport: "unix", path } };
  }
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const row = tableRow(table, 9, inode);
    if (!row) continue;
    const [host, port] = row[1].split(":");
    const address: Address = { transport: "tcp", hostname: kernelHost(host), port: parseInt(port, 16) };
    // State TCP_LISTEN, net/tcp_states.h.
    const listening = row[3] === "0A";
    return { listening, what: `a ${listening ? "" : "connected "}TCP socket ${formatAddress(address)}`, address };
  }
  const known = statSync("/proc/net/unix", { throwIfNoEntry: false }) !== undefined;
  // Without the tables (not Linux, or hidden) only listening can tell.
  return { listening: !known, what: "a socket that is not bound" };
}

/** The row with this inode in this column: the columns up to it, and what is left of the line, blanks included. */
function tableRow(table: string, column: number, inode: number): string[] | undefined {
  let text: string;
  try {
    text = readFileSync(table, "utf8");
  } catch {
    return undefined;
  }
  const row = new RegExp(`^ *${"(\\S+) +".repeat(column)}${inode}\\b ?(.*)$`, "m").exec(text);
  return row ? [...row.slice(1, column + 1), String(inode), row[column + 1]] : undefined;
}

/** An address as the kernel prints it: 32-bit words in the machine's byte order. */
function kernelHost(hex: string): string {
  const bytes = hex.match(/.{8}/g)!.flatMap((word) => word.match(/../g)!.reverse()).map((byte) => parseInt(byte, 16));
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] << 8) | bytes[2 * i + 1]).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** The usual reasons in words that say what to do; otherwise what the system said. */
function listenReason(error: NodeJS.ErrnoException, directory?: string): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "another program listens there. Stop it or choose another address";
    case "EACCES":
    case "EPERM":
      if (directory === undefined) return "this user may not. Ports below 1024 are for root, choose a higher one";
      // Node says EACCES for ENOENT.
      if (!existsSync(directory)) return missing(directory);
      return `this user may not write to the directory "${directory}". Choose another or change its permissions`;
    case "ENOENT":
      return directory === undefined ? error.message : missing(directory);
    case "ENOTDIR":
      return `"${directory}" is not a directory. Choose another path`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this machine has no such address";
    case "EINVAL":
      // Deno says it for EADDRNOTAVAIL.
      return directory === undefined ? "this machine has no such address" : error.message;
    default:
      return error.message;
  }
}

function missing(directory: string): string {
  return `there is no directory "${directory}". Make it or choose another path`;
}
