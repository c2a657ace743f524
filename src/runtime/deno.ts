/**
 * Sockets by `Deno.listen`.
 *
 * @module
 */
import type { Accept, Connection, ConnectionHandler, Listen, Listener } from "./socket.ts";

/** What is used of Deno, so that the source type-checks anywhere. */
interface DenoSockets {
  listen(options: { transport: "unix"; path: string } | { hostname: string; port: number; tcpBacklog: number }): DenoListener;
}

interface DenoListener {
  readonly addr: { transport: "unix"; path: string } | { transport: "tcp"; hostname: string; port: number };
  accept(): Promise<DenoConn>;
  close(): void;
}

interface DenoConn {
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay?(): void;
}

const READ_SIZE = 64 * 1024;
/** Reads of at most this size are copied, so that the large buffer can be used again. */
const COPY_SIZE = 16 * 1024;
/** Above this many unsent bytes `write` asks to wait. */
const HIGH_WATER = 64 * 1024;

/** A read buffer for the connections that wait for nothing: most reads are small and leave it free again. */
let spare: Uint8Array | undefined;

class DenoConnection implements Connection {
  readonly #conn: DenoConn;
  #handler!: ConnectionHandler;
  #unsent: Uint8Array[] = [];
  #unsentLength = 0;
  #writing = false;
  #needsDrain = false;
  #ending: "none" | "shutdown" | "close" = "none";
  #closed = false;
  #wake: (() => void) | undefined;
  #paused = false;

  constructor(conn: DenoConn) {
    this.#conn = conn;
  }

  start(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.#read();
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        if (this.#paused) await new Promise<void>((resume) => this.#wake = resume);
        if (this.#closed) return;
        const buffer = spare ?? new Uint8Array(READ_SIZE);
        spare = undefined;
        const length = await this.#conn.read(buffer);
        if (this.#closed) return;
        if (length === null) {
          spare = buffer;
          return this.#handler.end();
        }
        if (length <= COPY_SIZE) {
          const bytes = buffer.slice(0, length);
          spare = buffer;
          this.#handler.data(bytes);
        } else {
          this.#handler.data(buffer.subarray(0, length));
        }
      }
    } catch (error) {
      this.#gone(error as Error);
    }
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed) return true;
    this.#unsent.push(bytes);
    this.#unsentLength += bytes.length;
    if (!this.#writing) this.#flush();
    if (this.#unsentLength <= HIGH_WATER) return true;
    this.#needsDrain = true;
    return false;
  }

  async #flush(): Promise<void> {
    this.#writing = true;
    try {
      while (this.#unsent.length > 0) {
        const bytes = this.#unsent[0];
        const sent = await this.#conn.write(bytes);
        if (this.#closed) return;
        this.#unsentLength -= sent;
        if (sent < bytes.length) this.#unsent[0] = bytes.subarray(sent);
        else this.#unsent.shift();
      }
      this.#writing = false;
      if (this.#ending === "close") return this.#gone();
      if (this.#ending === "shutdown") await this.#conn.closeWrite();
      if (this.#needsDrain && !this.#closed) {
        this.#needsDrain = false;
        this.#handler.drain();
      }
    } catch (error) {
      this.#gone(error as Error);
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake?.();
    this.#wake = undefined;
  }

  shutdown(): void {
    if (this.#ending === "none") this.#ending = "shutdown";
    if (!this.#writing) this.#flush();
  }

  close(): void {
    this.#ending = "close";
    if (!this.#writing) this.#gone();
  }

  destroy(): void {
    this.#gone();
  }

  #gone(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#conn.close();
    } catch {
      // Closed by a failed read or write.
    }
    this.resume();
    queueMicrotask(() => this.#handler.close(error));
  }
}

/** `Deno`, or `undefined` on another runtime. */
export const deno = (globalThis as { Deno?: DenoSockets }).Deno;

/** Listens by `Deno.listen`, which takes no inherited descriptor. */
export const listenDeno: Listen = (endpoint, backlog, accept) => {
  if (endpoint.transport === "fd") throw new TypeError("Deno.listen takes no descriptor");
  const listener = deno!.listen(
    endpoint.transport === "unix"
      ? { transport: "unix", path: endpoint.path }
      : { hostname: endpoint.hostname, port: endpoint.port, tcpBacklog: backlog },
  );
  acceptAll(listener, accept);
  const { addr } = listener;
  const address: Listener["address"] = addr.transport === "unix"
    ? { transport: "unix", path: addr.path }
    : { transport: "tcp", hostname: addr.hostname, port: addr.port };
  return Promise.resolve({ address, close: () => listener.close() });
};

async function acceptAll(listener: DenoListener, accept: Accept): Promise<void> {
  for (;;) {
    let conn: DenoConn;
    try {
      conn = await listener.accept();
    } catch (error) {
      // BadResource: the listener was closed. Anything else passes, such as descriptors running out.
      if ((error as Error).name === "BadResource") return;
      await new Promise((resolve) => setTimeout(resolve, 10));
      continue;
    }
    conn.setNoDelay?.();
    const connection = new DenoConnection(conn);
    connection.start(accept(connection));
  }
}
