/**
 * Connections to programs that may answer before they have read all of a request, and close then: what they have sent is
 * read although they take no more. `node:net` would give it up at the first write that fails, on Bun even what lies there to
 * be read.
 *
 * @module
 */
import { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Address } from "./socket.ts";

type Done = (error?: Error | null) => void;

/** Connects. The stream emits `connect`, or `error` with the code of the system. */
export function connectOutgoing(address: Address): Duplex {
  const place = address.transport === "unix" ? { path: address.path } : { host: address.hostname, port: address.port };
  return bun === undefined ? new OutgoingSocket().connect(place) : new OutgoingBunSocket(bun, address);
}

class OutgoingSocket extends Socket {
  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, (error) => done(unlessClosed(error)));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    super._writev!(chunks, (error) => done(unlessClosed(error)));
  }
}

function unlessClosed(error: Error & { code?: string } | null | undefined): Error | null | undefined {
  return error?.code === "EPIPE" || error?.code === "ECONNRESET" ? null : error;
}

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunConnect {
  connect(options: {
    unix?: string;
    hostname?: string;
    port?: number;
    socket: {
      open(socket: BunClient): void;
      data(socket: BunClient, bytes: Uint8Array): void;
      drain(): void;
      end(): void;
      close(socket: BunClient, error?: Error): void;
    };
  }): Promise<unknown>;
}

interface BunClient {
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  terminate(): void;
}

const { Bun: bun } = globalThis as { Bun?: BunConnect };

class OutgoingBunSocket extends Duplex {
  #socket: BunClient | undefined;
  /** What the kernel did not take yet, and who waits for that. */
  #unsent: Uint8Array | undefined;
  #done: Done | undefined;
  connecting = true;

  constructor({ connect }: BunConnect, address: Address) {
    super();
    const place = address.transport === "unix" ? { unix: address.path } : { hostname: address.hostname, port: address.port };
    connect({
      ...place,
      socket: {
        open: (socket) => {
          this.#socket = socket;
          this.connecting = false;
          this.emit("connect");
          this.#flush();
        },
        data: (socket, bytes) => {
          if (!this.push(bytes)) socket.pause();
        },
        drain: () => this.#flush(),
        end: () => void this.push(null),
        close: (_, error) => {
          this.#sent();
          if (this.readableEnded) this.destroy();
          else if (error) this.destroy(error);
          else this.push(null);
        },
      },
    }).catch((error: Error) => this.destroy(error));
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _write(bytes: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    this.#unsent = bytes;
    this.#done = done;
    this.#flush();
  }

  override _final(done: Done): void {
    this.#socket?.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#sent();
    this.#socket?.terminate();
    done(error);
  }

  #flush(): void {
    if (this.#unsent === undefined || this.#socket === undefined) return;
    const sent = this.#socket.write(this.#unsent);
    // Below zero it is closed, and what was sent is still to be read.
    if (sent >= 0 && sent < this.#unsent.length) this.#unsent = this.#unsent.subarray(sent);
    else this.#sent();
  }

  #sent(): void {
    const done = this.#done;
    this.#unsent = this.#done = undefined;
    done?.();
  }

  // `node:http` sets these on every socket.
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
