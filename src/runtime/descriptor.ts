/**
 * Descriptors of inherited sockets: what one is, and copies that a listener may close.
 *
 * @module
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import type { Server } from "node:net";
import { constants } from "node:os";
import process from "node:process";
import { softLimit } from "./limits.ts";
import { runtime } from "./name.ts";
import { type Address, formatAddress } from "./socket.ts";

/** The functions of the C library that no runtime offers. */
interface CLibrary {
  fcntl(fd: number, command: number, argument: number): number;
  dup2(from: number, to: number): number;
  close(fd: number): number;
  listen(fd: number, backlog: number): number;
  shutdown(fd: number, how: number): number;
  poll(polled: Uint8Array, count: number, timeout: number): number;
  signal(signal: number, handler: bigint): bigint;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
}

/** What is used of Deno, so that the source type-checks anywhere. */
interface DenoForeign {
  dlopen(file: string, symbols: Record<string, { parameters: string[]; result: string }>): { symbols: CLibrary };
}

/** What is used of the module bun:ffi. */
interface BunForeign {
  dlopen(file: string, symbols: Record<string, { args: string[]; returns: string }>): { symbols: CLibrary };
}

/** Names of the C library. */
export const libraries = process.platform === "darwin"
  ? ["libSystem.B.dylib"]
  : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

/** Command of fcntl(2): a copy, at or above the argument, that no child process inherits. */
const F_DUPFD_CLOEXEC = process.platform === "darwin" ? 67 : 1030;

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** Copies are out of the way of the numbers that a child gets its descriptors on. */
const LOWEST_COPY = 10;

let library: CLibrary | undefined;

/**
 * Gets ready to copy descriptors. Deno and Bun close an inherited descriptor together with its listener, so that a
 * process could listen on it only once; the copies are made with the C library. Node leaves 0 to 2 open.
 *
 * Resolves with `false` where that is not to be had: Bun needs more address space for it than some hosts allow.
 */
export async function prepareDescriptors(): Promise<boolean> {
  if (library !== undefined || runtime.name === "Node") return true;
  for (const file of libraries) {
    try {
      library = runtime.name === "Bun" ? await openByBun(file) : openByDeno(file);
      return true;
    } catch {
      // Another C library, or none that this process may open: the descriptor can be listened on once.
    }
  }
  return false;
}

async function openByBun(file: string): Promise<CLibrary> {
  const name = "bun:ffi";
  const { dlopen }: BunForeign = await import(name);
  const symbols = dlopen(file, {
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    dup2: { args: ["i32", "i32"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
    shutdown: { args: ["i32", "i32"], returns: "i32" },
    poll: { args: ["ptr", "usize", "i32"], returns: "i32" },
    signal: { args: ["i32", "usize"], returns: "usize" },
    getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  });
  return symbols.symbols;
}

function openByDeno(file: string): CLibrary {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoForeign };
  return deno.dlopen(file, {
    fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
    dup2: { parameters: ["i32", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    listen: { parameters: ["i32", "i32"], result: "i32" },
    shutdown: { parameters: ["i32", "i32"], result: "i32" },
    poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
    signal: { parameters: ["i32", "usize"], result: "usize" },
    getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  }).symbols;
}

/**
 * A descriptor of the same socket that a listener may be given, which closes it or not: the original stays open.
 * `undefined` where that cannot be had.
 */
export function copyDescriptor(fd: number): number | undefined {
  if (runtime.name === "Node") return fd <= 2 ? fd : undefined;
  const copy = library?.fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_COPY) ?? -1;
  return copy < 0 ? undefined : copy;
}

/** A descriptor of the same socket that no object of the runtime knows; `undefined` where that cannot be had. */
export function ownDescriptor(fd: number): number | undefined {
  return runtime.name === "Node" ? undefined : copyDescriptor(fd);
}

/** Has so many connections wait at a listening socket, of which Bun and Deno always ask for 512. */
export function setBacklog(fd: number, backlog: number): void {
  library?.listen(fd, backlog);
}

/** The default action, signal(2). */
const SIG_DFL = 0n;

/**
 * Lets signals end this process at once, although they have listeners; one that has arrived before still reaches them.
 * Does nothing on Node, which offers no way.
 */
export function restoreDefaultActions(signals: readonly NodeJS.Signals[]): void {
  for (const signal of signals) library?.signal(constants.signals[signal], SIG_DFL);
}

/** shutdown(2). */
const SHUT_RD = 0;

/**
 * Has the kernel refuse new connections to a listening Unix socket, for all processes that listen on it; waiting ones
 * are still accepted. It polls readable for ever after that, so its listeners are to be closed once nobody waits.
 * `false` where that is not to be had.
 */
export function refuseConnections(fd: number): boolean {
  return process.platform === "linux" && library?.shutdown(fd, SHUT_RD) === 0;
}

/** fcntl(2) on Linux. */
const F_GETFL = 3;
const F_SETFL = 4;
const F_SETOWN = 8;
const O_ASYNC = 0o20000;

/**
 * Has the kernel send this process SIGIO for each connection to a listening socket, or stops that. `false` where it
 * cannot.
 */
export function signalConnections(fd: number, wanted: boolean): boolean {
  if (process.platform !== "linux" || library === undefined) return false;
  const flags = library.fcntl(fd, F_GETFL, 0);
  if (wanted && library.fcntl(fd, F_SETOWN, process.pid) !== 0) return false;
  return library.fcntl(fd, F_SETFL, wanted ? flags | O_ASYNC : flags & ~O_ASYNC) === 0;
}

/** poll(2). */
const POLLIN = 1;

/** Whether a connection waits at a listening socket. */
export function isAwaited(fd: number): boolean {
  const polled = new Uint8Array(Int32Array.of(fd, POLLIN).buffer);
  return (library?.poll(polled, 1, 0) ?? 0) > 0;
}

let nothing: number | undefined;

/** Opens what {@linkcode coverDescriptor} needs, while there are descriptors. */
export function prepareCover(): void {
  nothing ??= openSync("/dev/null", "r");
}

/** Puts /dev/null under a listener, which then accepts nothing more and still reports what it has accepted. */
export function coverDescriptor(copy: number): void {
  prepareCover();
  library?.dup2(nothing!, copy);
}

/** Undoes {@linkcode coverDescriptor}, without which a listener could not be closed. */
export function uncoverDescriptor(copy: number, fd: number): void {
  library?.dup2(fd, copy);
  library?.fcntl(copy, F_SETFD, FD_CLOEXEC);
}

/**
 * Moves an inherited socket to a descriptor that no child process inherits, and puts /dev/null in its place: a child of
 * the application that got it as its standard input would turn it into a blocking one, for all who listen on it. On Node
 * it stays where it is.
 */
export async function takeInherited(fd: number): Promise<number> {
  await prepareDescriptors();
  const moved = runtime.name === "Node" ? undefined : copyDescriptor(fd);
  if (moved === undefined) return fd;
  putNothing(fd);
  // Deno gives its children copies besides what they are meant to get.
  sealDescriptors(false, moved);
  return moved;
}

/** Puts /dev/null on a descriptor. Deno itself keeps no file on a number below 3, and the next one would get it. */
function putNothing(fd: number): void {
  const nothing = openSync("/dev/null", "r");
  library!.dup2(nothing, fd);
  closeSync(nothing);
}

/**
 * Starts a child process that has a listening socket. Runtimes turn what they give a child as its standard input, and
 * Deno all that it gives, into a blocking one: that holds for all who share the socket, and who of them is just accepting
 * would stand still. So a shell moves it there, and on Deno the child inherits it where it is.
 *
 * @param start gets what the child has on its descriptors from 3 on, the words before its command line, and the number
 * that the socket has in the child
 */
export function giveDescriptor<T>(fd: number, start: (stdio: (number | "ipc")[], words: string[], number: number) => T): T {
  // Out of the way of the channel; and Bun takes 0 to 2 in the place of another for its own of that place.
  const copy = runtime.name === "Node" ? undefined : copyDescriptor(fd);
  try {
    if (runtime.name !== "Deno" || copy === undefined) {
      return start([copy ?? fd, "ipc"], ["/bin/sh", "-c", 'exec "$@" 0<&3 3<&-', "sh"], 0);
    }
    library!.fcntl(copy, F_SETFD, 0);
    return start(["ipc"], [], copy);
  } finally {
    if (copy !== undefined) closeDescriptor(copy);
  }
}

/**
 * Sees to it that no child process inherits what is open now, other than as its standard input and output: Deno does not
 * for its listening sockets. To be called after {@linkcode prepareDescriptors}.
 *
 * @param close whether to close instead what the shell had open, where no library is at hand; files stay open
 * @param keep a descriptor that is not closed
 */
export function sealDescriptors(close: boolean, keep: number): void {
  let names: string[];
  try {
    names = readdirSync("/proc/self/fd");
  } catch {
    return;
  }
  for (const fd of names.map(Number)) {
    if (fd <= 2) continue;
    try {
      const flags = parseInt(/^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0", 8);
      if ((flags & O_CLOEXEC) !== 0) continue;
      if (library) library.fcntl(fd, F_SETFD, FD_CLOEXEC);
      // A file is perhaps the runtime's: a thread of Node reads NODE_EXTRA_CA_CERTS, and would go on with what gets its number.
      else if (close && fd !== keep && !statDescriptor(fd)?.isFile()) closeSync(fd);
    } catch {
      // Closed already: it was the one for reading the folder.
    }
  }
}

/** As /proc shows it, fcntl.h. */
const O_CLOEXEC = 0o2000000;

/**
 * Closes a descriptor that no object of the runtime stands for. /dev/null takes the place of a standard one: the next file
 * that the application opens would get its number, on which Deno can use none.
 */
export function closeDescriptor(fd: number): void {
  if (library && fd <= 2) return putNothing(fd);
  if (library) return void library.close(fd);
  try {
    closeSync(fd);
    // It gets the lowest number that is free.
    if (fd <= 2) openSync("/dev/null", "r");
  } catch {
    // Closed already.
  }
}

/** Descriptors below this one are looked at for a socket that has just been made. */
const HIGHEST = 1024;

/** The port of a TCP socket on this side, getsockname(2): the address family, the port and more. */
function localPort(fd: number): number | undefined {
  const address = new Uint8Array(128);
  const length = new Uint8Array(Uint32Array.of(address.length).buffer);
  if (library!.getsockname(fd, address, length) !== 0) return undefined;
  const family = process.platform === "darwin" ? address[1] : address[0];
  return family === AF_INET || family === AF_INET6 ? address[2] << 8 | address[3] : undefined;
}

/** sys/socket.h. */
const AF_INET = 2;
const AF_INET6 = process.platform === "darwin" ? 30 : 10;

/** The descriptor of a listening server. @throws {Error} where it cannot be found out */
export function descriptorOf(server: Server, address: Address): number {
  const { _handle: handle } = server as { _handle?: { fd?: number } };
  if (handle?.fd !== undefined && handle.fd >= 0) return handle.fd;
  // Deno does not know it for TCP, and reads /proc only with all permissions.
  if (library && address.transport === "tcp") {
    for (let fd = 3; fd < HIGHEST; fd++) if (localPort(fd) === address.port) return fd;
  }
  for (const name of readdirSync("/proc/self/fd")) {
    const found = describeDescriptor(Number(name));
    if (found.listening && found.address && formatAddress(found.address) === formatAddress(address)) return Number(name);
  }
  throw new Error("the runtime does not reveal the descriptor of a listening socket");
}

/** Descriptors that are left alone besides those that are open when a server starts. */
const RESERVED = 8;
/** Share of the others that connections may have; files and connections of the application have the rest. */
const FOR_CONNECTIONS = 0.75;
/** Deno accepts so many connections, if they wait, before it reports the first, and aborts when it runs out of descriptors. */
const DENO_BATCH = 128;
/** Descriptors without which a supervisor and its workers do not start or, on Deno, cannot be kept from that; measured. */
const LEAST = { Deno: 128, Node: 32, Bun: 24 };

/** Descriptors that this process may have open (RLIMIT_NOFILE), as far as the system says. Runtimes have raised it. */
export function descriptorLimit(): number {
  return softLimit("Max open files");
}

/** Why the limit of descriptors is too low for this runtime, in one line; `undefined` if it is not. */
export function descriptorLack(limit: number = descriptorLimit()): string | undefined {
  const { name } = runtime;
  if (limit >= LEAST[name]) return undefined;
  const others = name === "Deno" ? ", or use Bun, Node or the compiled program" : "";
  return `${name} needs at least ${LEAST[name]} open files, and ulimit -n allows ${limit}: raise the limit${others}`;
}

let free: number | undefined;

/** Descriptors that were free when it was first asked, before there were connections. */
function freeDescriptors(): number {
  const limit = descriptorLimit();
  return free ??= limit === Infinity ? limit : Math.max(limit - readdirSync("/proc/self/fd").length - RESERVED, 1);
}

/** How many connections the limit of descriptors leaves room for, for each of so many threads that share it. */
export function roomForConnections(threads = 1): number {
  const each = freeDescriptors() / threads;
  const room = runtime.name === "Deno" ? each - DENO_BATCH : each;
  return Math.max(Math.floor(room * FOR_CONNECTIONS), 1);
}

/** What a descriptor is. */
export interface Descriptor {
  listening: boolean;
  /** For a message, such as `a terminal` or `a connected socket`. */
  what: string;
  /** Where it listens, if that can be found out. */
  address?: Address;
}

/** Looks at a descriptor without touching it. */
export function describeDescriptor(fd: number): Descriptor {
  const stats = statDescriptor(fd);
  if (stats === undefined) return { listening: false, what: "closed" };
  if (stats.isSocket()) return known?.inode === stats.ino ? known.descriptor : describeSocket(stats.ino);
  if (stats.isFIFO()) return { listening: false, what: "a pipe" };
  if (stats.isFile()) return { listening: false, what: "a file" };
  if (stats.isDirectory()) return { listening: false, what: "a directory" };
  const nothing = statSync("/dev/null", { throwIfNoEntry: false });
  if (nothing?.rdev === stats.rdev) return { listening: false, what: "/dev/null" };
  return { listening: false, what: "a terminal or another device" };
}

/** The last socket that was seen to listen, since it goes on to: the tables have a row for each socket of the system. */
let known: { inode: number; descriptor: Descriptor } | undefined;

function statDescriptor(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    // Deno knows no other descriptors than 0 to 2 and those that it opened.
    return statSync(`/dev/fd/${fd}`, { throwIfNoEntry: false });
  }
}

/**
 * The kernel's tables tell listening sockets from others, which no runtime does: listen(2) on a socket
 * that is not bound yet succeeds, on a port of the kernel's choice.
 */
function describeSocket(inode: number): Descriptor {
  const descriptor = findSocket(inode);
  if (descriptor.listening) known = { inode, descriptor };
  return descriptor;
}

function findSocket(inode: number): Descriptor {
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
  const hasTables = statSync("/proc/net/unix", { throwIfNoEntry: false }) !== undefined;
  // Without the tables (not Linux, or hidden) only listening shows it.
  return { listening: !hasTables, what: "a socket that is not bound" };
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
