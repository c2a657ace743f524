/**
 * Sockets by `Bun.listen`: about half the cost of `node:net` on Bun.
 *
 * @module
 */
import { countReceived } from "./collect.ts";
import type { Accept, Addresses, Connection, ConnectionHandler, Endpoint, Listen } from "./socket.ts";

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunSockets {
  listen(options: {
    unix?: string;
    fd?: number;
    hostname?: string;
    port?: number;
    ipv6Only?: boolean;
    allowHalfOpen: boolean;
    data: undefined;
    socket: {
      open(socket: BunSocket): void;
      data(socket: BunSocket, bytes: Uint8Array): void;
      drain(socket: BunSocket): void;
      end(socket: BunSocket): void;
      close(socket: BunSocket, error?: Error): void;
      error(socket: BunSocket, error: Error): void;
    };
  }): { hostname?: string; port?: number; stop(): void; ref(): void; unref(): void };
}

interface BunSocket {
  data: BunConnection;
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  readonly localAddress?: string;
  readonly localPort?: number;
  write(bytes: Uint8Array, offset?: number): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  end(): void;
  terminate(): void;
}

/** What to do once everything written has left. */
type Ending = "none" | "shutdown" | "close";

class BunConnection implements Connection {
  readonly #socket: BunSocket;
  readonly handler: ConnectionHandler;
  /** What the kernel did not take yet. Bun keeps nothing itself. */
  #unsent: Uint8Array[] = [];
  #ending: Ending = "none";
  #gone = false;
  error: Error | undefined;

  constructor(socket: BunSocket, accept: Accept) {
    this.#socket = socket;
    this.handler = accept(this);
  }

  get addresses(): Addresses | undefined {
    const { remoteAddress, remotePort, localAddress, localPort } = this.#socket;
    if (!remoteAddress || !remotePort) return undefined;
    return { remoteAddress, remotePort, localAddress: localAddress ?? "", localPort: localPort ?? 0 };
  }

  write(bytes: Uint8Array): boolean {
    if (this.#unsent.length > 0) {
      this.#unsent.push(bytes);
      return false;
    }
    if (this.#gone) return false;
    const sent = this.#socket.write(bytes);
    if (sent === bytes.length) return true;
    if (sent < 0) return this.#isGone();
    this.#unsent.push(sent > 0 ? bytes.subarray(sent) : bytes);
    return false;
  }

  get unsent(): boolean {
    return this.#unsent.length > 0;
  }

  drained(): void {
    while (this.#unsent.length > 0) {
      const bytes = this.#unsent[0];
      const sent = this.#socket.write(bytes);
      if (sent < 0) return void this.#isGone();
      if (sent < bytes.length) {
        if (sent > 0) this.#unsent[0] = bytes.subarray(sent);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#ending !== "none") this.#end();
    if (this.#ending !== "close") this.handler.drain();
  }

  /**
   * A write has failed. Bun reports it by `close`, but not while the socket is paused. Until then a response has to wait: one
   * that went on might never let the event loop go on to that.
   */
  #isGone(): false {
    this.#gone = true;
    this.#socket.resume();
    return false;
  }

  pause(): void {
    if (!this.#gone) this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  shutdown(): void {
    if (this.#ending === "none") this.#ending = "shutdown";
    if (this.#unsent.length === 0) this.#end();
  }

  close(): void {
    this.#ending = "close";
    if (this.#unsent.length === 0) this.#end();
  }

  #end(): void {
    if (this.#ending === "close") this.#socket.end();
    else this.#socket.shutdown();
  }

  destroy(): void {
    this.#unsent = [];
    this.#socket.terminate();
  }
}

/** `Bun`, or `undefined` on another runtime. */
export const bun = (globalThis as { Bun?: BunSockets }).Bun;

/** Listens by `Bun.listen`. It has no backlog option and asks the kernel for 512. */
export const listenBun: Listen = (endpoint, _backlog, accept) => {
  const listener = bun!.listen({
    ...listenOptions(endpoint),
    allowHalfOpen: true,
    data: undefined,
    socket: {
      open: (socket) => void (socket.data = new BunConnection(socket, accept)),
      data: (socket, bytes) => {
        countReceived(bytes.length);
        socket.data.handler.data(bytes);
      },
      drain: (socket) => socket.data.drained(),
      end: (socket) => socket.data.handler.end(),
      error: (socket, error) => void (socket.data.error = error),
      close: (socket, error) => socket.data.handler.close(error ?? socket.data.error),
    },
  });
  const address = endpoint.transport === "fd"
    ? { transport: "unix" as const, path: "" }
    : endpoint.transport === "unix"
    ? endpoint
    : { transport: "tcp" as const, hostname: listener.hostname ?? endpoint.hostname, port: listener.port ?? 0 };
  return Promise.resolve({ address, close: () => listener.stop(), ref: () => listener.ref(), unref: () => listener.unref() });
};

function listenOptions(endpoint: Endpoint) {
  switch (endpoint.transport) {
    case "unix":
      return { unix: endpoint.path };
    case "tcp":
      return { hostname: endpoint.hostname, port: endpoint.port };
    case "fd":
      return { fd: endpoint.fd };
  }
}
