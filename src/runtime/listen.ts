/**
 * Listening as it should be on any runtime: a stale socket file is replaced, a live one is not, and the
 * listener is proved to be the one asked for.
 *
 * @module
 */
import { chownSync, existsSync, lstatSync, renameSync, rmSync, type Stats } from "node:fs";
import type { Server } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { bun, listenBun } from "./bun.ts";
import {
  closeDescriptor,
  copyDescriptor,
  coverDescriptor,
  describeDescriptor,
  descriptorOf,
  prepareCover,
  prepareDescriptors,
  setBacklog,
  uncoverDescriptor,
} from "./descriptor.ts";
import { runtime } from "./name.ts";
import { listenNode } from "./node.ts";
import { withLock } from "./lock.ts";
import { PlainError } from "./plain_error.ts";
import { type Rights, rightsFor, withRights } from "./rights.ts";
import { type Accept, type Address, type Endpoint, formatAddress, type Listen, type Listener } from "./socket.ts";

/** Longest path of a Unix socket in bytes: `sun_path` without its NUL. */
const MAX_SOCKET_PATH = process.platform === "linux" ? 107 : 103;

const DEFAULT_BACKLOG = 511;

const listenHere: Listen = bun ? listenBun : listenNode;

/**
 * The endpoint cannot be listened on: the message says why in one line, and what to do.
 *
 * @example
 * ```ts
 * import { ListenError, serve } from "runfcgi";
 *
 * try {
 *   await using server = await serve({ socket: "/no/such/folder/hello.sock" }, () => new Response("Hello\n"));
 * } catch (error) {
 *   if (!(error instanceof ListenError)) throw error;
 *   console.error(error.message);
 * }
 * ```
 */
export class ListenError extends PlainError {
  /** `"ListenError"` */
  override name = "ListenError";
  /** Another server listens there, which may be about to stop. */
  inUse = false;
}

/** Milliseconds between two attempts. */
const AGAIN_MS = 50;

/**
 * Tries to listen until the server that has the endpoint gives it up, for so many milliseconds.
 *
 * @throws {ListenError}
 */
export async function whenFree<T>(listen: () => Promise<T>, patience: number): Promise<T> {
  for (const deadline = performance.now() + patience;; await delay(AGAIN_MS)) {
    try {
      return await listen();
    } catch (error) {
      if (!(error instanceof ListenError && error.inUse) || performance.now() > deadline) throw error;
    }
  }
}

/** How to listen. */
export interface ListenOptions {
  /** Connections that the kernel holds until they are accepted; default 511. Bun always asks for 512. */
  backlog?: number;
  /** Permissions of a Unix socket, such as `0o660`; default is what the umask leaves. */
  mode?: number;
  /** Owner of a Unix socket, whose rights root uses in a folder of others; default is the user of this process. */
  owner?: Rights;
  /**
   * Others in this process listen on the same inherited descriptor: it stays open when the listener closes, and the
   * listener can pause.
   */
  shared?: boolean;
}

/** @throws {ListenError} with one line that says what is wrong and what to do */
export function listen(endpoint: Endpoint, accept: Accept, options: ListenOptions = {}): Promise<Listener> {
  const backlog = options.backlog ?? DEFAULT_BACKLOG;
  switch (endpoint.transport) {
    case "unix": {
      const { path } = endpoint;
      return listenUnix(path, options, accept, listenHere).then(({ address, listener, identity }) => {
        const refuse = () => removeSocket(path, identity, options.owner);
        const close = () => {
          listener.close();
          refuse();
        };
        return { ...listener, address, refuse, close };
      });
    }
    case "tcp":
      return listenTcp(endpoint, backlog, accept, listenHere);
    case "fd":
      return listenInherited(endpoint.fd, backlog, accept, options.shared ?? false);
  }
}

/**
 * Binds a new name and renames it over the wanted one, so that the socket is never missing, has its owner and its
 * permissions from the first moment, and no runtime removes a file that is not its own any more.
 */
async function listenUnix(path: string, options: ListenOptions, accept: Accept, listenBy: Listen): Promise<UnixListener> {
  // A name that is a number, such as .859978e9, would be a port to Node and Deno.
  const bindPath = join(dirname(path), `.s${crypto.randomUUID().slice(0, 8)}`);
  const tooLong = [path, bindPath].find((name) => new TextEncoder().encode(name).length > MAX_SOCKET_PATH);
  if (tooLong !== undefined) {
    throw new ListenError(
      `Cannot listen on "${path}": a socket's path has at most ${MAX_SOCKET_PATH} bytes. Choose a shorter one`,
    );
  }
  const rights = rightsFor(path, options.owner);
  await expectFree(path);
  let listener: Listener | undefined;
  try {
    listener = await withRights(rights, () =>
      withMode(options.mode, () => {
        return listenBy({ transport: "unix", path: bindPath }, options.backlog ?? DEFAULT_BACKLOG, accept);
      }));
    // Another server may have taken the path since.
    const own = await withLock(path, rights, async () => {
      await expectFree(path);
      return withRights(rights, () => putInPlace(bindPath, path, options.owner));
    });
    return { address: { transport: "unix", path }, listener, identity: { dev: own.dev, ino: own.ino } };
  } catch (error) {
    listener?.close();
    withRights(rights, () => rmSync(bindPath, { force: true }));
    if (error instanceof ListenError) throw error;
    throw new ListenError(`Cannot listen on "${path}": ${listenReason(error as Error, dirname(path))}`, { cause: error });
  }
}

/** The permissions of a socket are what the umask leaves of all when it is bound, which all runtimes do at once. */
function withMode<T>(mode: number | undefined, bind: () => T): T {
  if (mode === undefined) return bind();
  const mask = process.umask(0o777 & ~mode);
  try {
    return bind();
  } finally {
    process.umask(mask);
  }
}

/** Moves a socket to its path; its owner is the process's already, except where root made it in a folder of its own. */
function putInPlace(bindPath: string, path: string, owner: Rights | undefined): Stats {
  const own = lstatSync(bindPath);
  if (!own.isSocket()) throw new Error("the runtime did not make a socket");
  if (owner && (own.uid !== owner.uid || own.gid !== owner.gid)) chownSync(bindPath, owner.uid, owner.gid);
  renameSync(bindPath, path);
  return own;
}

interface UnixListener {
  address: Address;
  /** The listener, which knows the name that was bound. */
  listener: Listener;
  identity: FileIdentity;
}

/** Tells a file from a later one of the same name. */
export interface FileIdentity {
  dev: number;
  ino: number;
}

/** Removes a socket's file, unless another has taken its place. */
export function removeSocket(path: string, identity: FileIdentity, owner?: Rights): void {
  withRights(rightsFor(path, owner), () => {
    if (isSocketInPlace(path, identity)) rmSync(path, { force: true });
  });
}

/** Whether the file at a path is still the one that was put there. */
export function isSocketInPlace(path: string, { dev, ino }: FileIdentity): boolean {
  const now = lstatSync(path, { throwIfNoEntry: false });
  return now?.ino === ino && now.dev === dev;
}

/** A socket that is bound for another process. */
export interface BoundSocket {
  address: Address;
  /** The listening socket, to be inherited by that process. */
  fd: number;
  /** For a Unix socket, to remove it in the end. */
  identity?: FileIdentity;
  /** Forgets it in this process, where nothing may have been accepted. */
  release(): void;
}

/**
 * Binds an endpoint for a process that is then started with it. Between the call and {@linkcode BoundSocket.release}
 * the event loop must not turn, or connections are accepted that nobody serves.
 *
 * @throws {ListenError}
 */
export async function bindFor(endpoint: Address, options: ListenOptions = {}): Promise<BoundSocket> {
  let server: Server | undefined;
  const listenBy: Listen = async (...args) => {
    const listening = await listenNode(...args);
    server = listening.server;
    return listening;
  };
  const nobody: Accept = (connection) => {
    connection.destroy();
    return { data() {}, end() {}, drain() {}, close() {} };
  };
  if (endpoint.transport === "unix") {
    const { address, listener, identity } = await listenUnix(endpoint.path, options, nobody, listenBy);
    return { address, identity, fd: descriptorOf(server!, address), release: () => listener.close() };
  }
  const listener = await listenTcp(endpoint, options.backlog ?? DEFAULT_BACKLOG, nobody, listenBy);
  return { address: listener.address, fd: descriptorOf(server!, listener.address), release: () => listener.close() };
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
    const error = new ListenError(`Cannot listen on "${path}": a running server listens there. Stop it or choose another path`);
    error.inUse = true;
    throw error;
  }
}

/** Whether somebody accepts connections at an address. */
function isLive(address: Address): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const { createConnection } = process.getBuiltinModule("node:net");
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

async function listenTcp(
  endpoint: Extract<Address, { transport: "tcp" }>,
  backlog: number,
  accept: Accept,
  listenBy: Listen,
): Promise<Listener> {
  let listener: Listener;
  try {
    listener = await listenBy(endpoint, backlog, accept);
  } catch (error) {
    const reason = new ListenError(`Cannot listen on ${formatAddress(endpoint)}: ${listenReason(error as Error)}`, {
      cause: error,
    });
    reason.inUse = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
    throw reason;
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

async function listenInherited(fd: number, backlog: number, accept: Accept, shared: boolean): Promise<Listener> {
  const found = describeDescriptor(fd);
  if (!found.listening) {
    throw new ListenError(`Cannot listen on descriptor ${fd}: it is ${found.what}, not a listening socket`);
  }
  try {
    if (shared) return await listenShared(fd, backlog, accept, found.address);
    const listener = await listenHere({ transport: "fd", fd }, backlog, accept);
    const close = () => {
      listener.close();
      // Node leaves the standard ones open, and new clients would wait in vain.
      if (runtime.name === "Node" && fd <= 2) closeDescriptor(fd);
    };
    return { ...listener, address: found.address ?? listener.address, close };
  } catch (error) {
    throw new ListenError(`Cannot listen on descriptor ${fd}: ${(error as Error).message}`, { cause: error });
  }
}

/** Listens on copies of a descriptor, a new one after each pause. */
async function listenShared(fd: number, backlog: number, accept: Accept, address: Address | undefined): Promise<Listener> {
  await prepareDescriptors();
  if (runtime.name === "Deno") prepareCover();
  let accepted = 0;
  const counted: Accept = (connection) => {
    accepted++;
    return accept(connection);
  };
  const start = async () => {
    const copy = copyDescriptor(fd);
    if (copy === undefined) throw new Error("this runtime cannot listen twice on it: use method=prefork, without concurrency");
    const listener = await listenHere({ transport: "fd", fd: copy }, backlog, counted);
    setBacklog(copy, backlog);
    return { listener, copy };
  };
  /** Deno has accepted more than it has reported, and a listener that is closed drops the rest. */
  const tellAll = async (copy: number) => {
    coverDescriptor(copy);
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      const before = accepted;
      await new Promise((resolve) => setImmediate(resolve));
      if (accepted !== before) quiet = 0;
    }
    uncoverDescriptor(copy, fd);
  };
  let current: Awaited<ReturnType<typeof start>> | undefined = await start();
  const first = current.listener.address;
  const stop = async () => {
    const { listener, copy } = current!;
    if (runtime.name === "Deno") await tellAll(copy);
    current = undefined;
    listener.close();
  };
  let wanted = true;
  let changing = false;
  let changed: Promise<void> | undefined;
  const follow = async () => {
    changing = true;
    while (wanted !== (current !== undefined)) {
      if (!wanted) await stop();
      // Without a descriptor for the copy: connections that end leave theirs.
      else current = await start().catch(() => delay(RETRY_MS, undefined));
    }
    changing = false;
  };
  const change = (to: boolean) => {
    wanted = to;
    if (!changing) changed = follow();
    return changed;
  };
  return {
    address: address ?? first,
    close: () => change(false),
    pause: () => void change(false),
    resume: () => change(true),
  };
}

/** Milliseconds between two tries to listen again. */
const RETRY_MS = 50;

/** Turns of the event loop without a connection, after which Deno has reported all. */
const QUIET_TURNS = 2;

/** The usual reasons, with what to do; otherwise the system's message. */
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
      return directory === undefined || existsSync(directory) ? error.message : missing(directory);
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
