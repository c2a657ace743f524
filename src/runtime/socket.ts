/**
 * The contract between the runtimes' sockets and the server. Nothing above this folder knows which runtime
 * it runs on.
 *
 * @module
 */

/** Where a socket listens or what it is connected to. */
export type Address =
  | { transport: "unix"; path: string }
  | { transport: "tcp"; hostname: string; port: number };

/** What to listen on: a Unix socket, a TCP port, or a listening socket that this process inherited. */
export type Endpoint = Address | { transport: "fd"; fd: number };

/** The two addresses of a TCP connection. */
export interface Addresses {
  remoteAddress: string;
  remotePort: number;
  localAddress: string;
  localPort: number;
}

/** The receiving side of a connection, called by the runtime. */
export interface ConnectionHandler {
  /** Bytes arrived. They belong to the handler from now on. */
  data(bytes: Uint8Array): void;
  /** The peer will send no more (FIN); it may still read. */
  end(): void;
  /** After {@linkcode Connection.write} said `false`: what was written has left. */
  drain(): void;
  /** The connection is gone, closed by either side. Called once, and nothing is called after it. */
  close(error?: Error): void;
}

/** One connection, as each runtime provides it. */
export interface Connection {
  /** Looked up when it is asked for. Nothing else than TCP has it. */
  readonly addresses?: Addresses;
  /**
   * Sends bytes, which must not be changed while {@linkcode unsent}. `false` asks to wait for `drain` before more is
   * written; the bytes were taken all the same.
   */
  write(bytes: Uint8Array): boolean;
  /** Whether bytes that were written have not left yet. */
  readonly unsent: boolean;
  /** Stops `data` until {@linkcode resume}, so that the peer has to wait. */
  pause(): void;
  resume(): void;
  /** Says that no more will be written (FIN), behind what was written. `data` goes on. */
  shutdown(): void;
  /** Closes both directions, behind what was written. */
  close(): void;
  /** Closes at once and drops what was not yet sent; over TCP with a reset. */
  destroy(): void;
}

/** A listening socket. */
export interface Listener {
  readonly address: Address;
  /** Refuses new connections, where that is possible; waiting ones are still accepted. */
  refuse?(): void;
  /**
   * Stops accepting. Accepted connections are not touched; where the runtime has accepted more than it has reported, it
   * has reported all when the promise resolves.
   */
  close(): void | Promise<void>;
  /** Leaves new connections to other listeners on the same socket, where that is possible. */
  pause?(): void;
  /** Accepts again when the promise resolves. */
  resume?(): void | Promise<void>;
  /** Keeps the process running while it listens, which is the default; and no longer does. */
  ref?(): void;
  unref?(): void;
}

/** Called for each accepted connection; returns its handler. */
export type Accept = (connection: Connection) => ConnectionHandler;

/** How one runtime listens. The address is free: {@link ./listen.ts} has seen to that. */
export type Listen = (endpoint: Endpoint, backlog: number, accept: Accept) => Promise<Listener>;

/** Text of an address: a path, or host:port with an IPv6 host in brackets. */
export function formatAddress(address: Address): string {
  if (address.transport === "unix") return address.path;
  const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname;
  return `${host}:${address.port}`;
}
