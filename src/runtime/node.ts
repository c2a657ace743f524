/**
 * Sockets by `node:net`, which all three runtimes have: the only kind on Node, and the only way to an
 * inherited descriptor on Deno.
 *
 * @module
 */
import type { Server, Socket } from "node:net";
import process from "node:process";
import { countReceived } from "./collect.ts";
import type { Accept, Address, Addresses, Connection, ConnectionHandler, Endpoint, Listener } from "./socket.ts";

/** Loaded where it is needed: on Bun it takes 1.7 MiB of each process and thread. */
const net = () => process.getBuiltinModule("node:net");

class NodeConnection implements Connection {
  readonly #socket: Socket;
  /** What gets the events of the socket. */
  readonly handler: ConnectionHandler;
  error: Error | undefined;

  constructor(socket: Socket, accept: Accept) {
    this.#socket = socket;
    this.handler = accept(this);
  }

  get addresses(): Addresses | undefined {
    const { remoteAddress, remotePort, localAddress, localPort } = this.#socket;
    if (!remoteAddress || remotePort === undefined) return undefined;
    return { remoteAddress, remotePort, localAddress: localAddress ?? "", localPort: localPort ?? 0 };
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes);
  }

  get unsent(): boolean {
    return this.#socket.writableLength > 0;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  shutdown(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    // Over TCP a reset, since an end would make what was sent look like all of it. A Unix socket has none.
    if (this.#socket.remotePort === undefined) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }
}

const ours = Symbol("connection");
interface OurSocket extends Socket {
  [ours]: NodeConnection;
}

/** The listeners are the same for all sockets: closures for each would be the largest part of what an idle one holds. */
function attach(socket: Socket, accept: Accept): NodeConnection {
  const connection = (socket as OurSocket)[ours] = new NodeConnection(socket, accept);
  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.on("drain", onDrain);
  // Always followed by "close".
  socket.on("error", onError);
  socket.on("close", onClose);
  return connection;
}

function onData(this: OurSocket, bytes: Uint8Array): void {
  countReceived(bytes.length);
  this[ours].handler.data(bytes);
}

function onEnd(this: OurSocket): void {
  this[ours].handler.end();
}

function onDrain(this: OurSocket): void {
  this[ours].handler.drain();
}

function onError(this: OurSocket, error: Error): void {
  this[ours].error = error;
}

function onClose(this: OurSocket): void {
  const { handler, error } = this[ours];
  handler.close(error);
}

/** A listener with its server, for callers that need its descriptor. */
export interface NodeListener extends Listener {
  readonly server: Server;
}

/** Listens by `node:net`. */
export const listenNode = (endpoint: Endpoint, backlog: number, accept: Accept): Promise<NodeListener> => {
  const { promise, resolve, reject } = Promise.withResolvers<NodeListener>();
  // Small responses are one write, so waiting for more to send (Nagle) could only delay them.
  const server = net().createServer({ allowHalfOpen: true, noDelay: endpoint.transport !== "unix" }, (socket) => {
    attach(socket, accept);
  });
  server.once("error", reject);
  // Of a descriptor, Node knows the backlog from this argument only.
  server.listen(listenOptions(endpoint), backlog, () => {
    server.off("error", reject);
    // Accepting can fail for a moment, when descriptors run out. The listener stays.
    server.on("error", () => {});
    resolve({
      server,
      address: boundAddress(server, endpoint),
      close: () => void server.close(),
      ref: () => server.ref(),
      unref: () => server.unref(),
    });
  });
  return promise;
};

function listenOptions(endpoint: Endpoint) {
  switch (endpoint.transport) {
    case "unix":
      return { path: endpoint.path };
    case "tcp":
      return { host: endpoint.hostname, port: endpoint.port };
    case "fd":
      return { fd: endpoint.fd };
  }
}

function boundAddress(server: Server, endpoint: Endpoint): Address {
  const bound = server.address();
  if (typeof bound === "string") return { transport: "unix", path: bound };
  // An inherited descriptor: Deno knows no address and Bun an empty one. The caller has looked it up.
  if (!bound?.port) return endpoint.transport === "fd" ? { transport: "unix", path: "" } : endpoint;
  return { transport: "tcp", hostname: bound.address, port: bound.port };
}

/** Connects to a server, on any runtime. The returned promise settles when the connection stands or failed. */
export function connect(address: Address, accept: Accept): Promise<Connection> {
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  const options = address.transport === "unix"
    ? { path: address.path }
    : { host: address.hostname, port: address.port, noDelay: true };
  const socket = net().createConnection({ ...options, allowHalfOpen: true });
  socket.once("error", reject);
  socket.once("connect", () => {
    socket.off("error", reject);
    resolve(attach(socket, accept));
  });
  return promise;
}
