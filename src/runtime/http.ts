/**
 * `node:http`'s server without a socket of the system: it is given streams that stand for connections.
 *
 * @module
 */
import { createServer, type Server, type ServerOptions } from "node:http";
import { Duplex } from "node:stream";

/** A stream with what `node:http` calls of a `net.Socket`. */
export class StandInSocket extends Duplex {
  setTimeout(_timeout: number, _listener?: () => void): this {
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

/**
 * A server that gets its connections by `server.emit("connection", stream)`. It has no timeouts: those are the business
 * of who makes the streams.
 */
export function createDetachedServer(options: ServerOptions): Server {
  const server = createServer({ ...options, requestTimeout: 0, headersTimeout: 0 });
  Object.assign(server, { keepAliveTimeout: 0, timeout: 0, headersTimeout: 0, requestTimeout: 0 });
  // Deno closes a connection of a server that does not listen with its first response.
  Object.defineProperty(server, "listening", { value: true });
  return server;
}
