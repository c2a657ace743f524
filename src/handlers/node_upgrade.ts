/**
 * WebSockets of Node-style servers: the `upgrade` event of `node:http`, with a socket that is the visitor's connection.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { rawResponse } from "../gateway/raw_response.ts";
import { requestParts, type UpgradedHandler } from "../gateway/request.ts";
import { CloseCode, encodeClose } from "../protocol/websocket/frames.ts";
import { wantsWebSocket } from "../protocol/websocket/handshake.ts";
import type { Connection } from "../runtime/socket.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { cannotCarry } from "../server/web_socket.ts";
import { makeIncoming, nodeHandler, receivedHeaders, sourceOf } from "./node_app.ts";
import { visitorSocket } from "./node_socket.ts";

/** The fetch handler that passes requests, and upgrades to WebSockets, on to a server of `node:http`. */
export function serverHandler(server: EventEmitter): Handler {
  const handler = nodeHandler((request, response) => server.emit("request", request, response));
  return (request, info) => {
    const source = requestParts(request)?.source;
    if (source?.upgrade === undefined || server.listenerCount("upgrade") === 0 || !wantsWebSocket(source.params)) {
      return handler(request, info);
    }
    const page = cannotCarry(source.params, info.protocol, (text) => info.stderr(text));
    if (page !== undefined) return page;
    const incoming = upgradeRequest(request, info);
    const socket = incoming.socket as unknown as UpgradedSocket;
    const upgraded = source.upgrade(socket.handler);
    if (upgraded === undefined) throw new Error("The visitor has left before the WebSocket was open");
    socket.start(upgraded.connection);
    server.emit("upgrade", incoming, socket, Buffer.from(upgraded.first));
    // Sent to nobody: the application writes its own.
    return rawResponse({ status: 101, reason: "", headers: [], body: null });
  };
}

function upgradeRequest(request: Request, info: ServeInfo): IncomingMessage {
  const source = sourceOf(request);
  const socket = new UpgradedSocket(info, source.url.startsWith("https:"));
  const { headers } = receivedHeaders(source, request.method, ["connection", "Upgrade", "upgrade", "websocket"]);
  const incoming = makeIncoming(socket, request, info, headers);
  incoming.complete = true;
  return Object.assign(incoming, { upgrade: true });
}

/** The visitor's connection as a `net.Socket`, as far as applications look at it. */
class UpgradedSocket extends visitorSocket(Duplex) {
  #connection: Connection | undefined;
  /** The connection takes no more for now. */
  #written: (() => void) | undefined;
  #gone = false;
  /** The application has answered. */
  #answered = false;

  constructor(info: ServeInfo, encrypted: boolean) {
    super();
    this.info = info;
    this.encrypted = encrypted;
    // Nobody has to listen to what a visitor's connection comes to.
    this.on("error", () => {});
  }

  start(connection: Connection): void {
    this.#connection = connection;
  }

  /** What the connection calls. */
  readonly handler: UpgradedHandler = {
    data: (bytes) => {
      this.moved();
      if (!this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) this.#connection?.pause();
    },
    end: () => void this.push(null),
    drain: () => this.#drained(),
    close: () => {
      this.#gone = true;
      this.#drained();
      this.destroy();
    },
    stop: () => {
      // Behind the frames that wait, which applications write as a whole.
      if (this.#answered && this.writable) this.end(encodeClose(CloseCode.goingAway));
      else this.end();
    },
  };

  #drained(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  // From the application

  override _read(): void {
    this.#connection?.resume();
  }

  override _write(bytes: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.moved();
    this.#answered = true;
    if (this.#gone || this.#connection!.write(bytes)) done();
    else this.#written = done;
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "", done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#gone) this.#connection?.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.stopTimer();
    // What waits is dropped, as by a net.Socket: applications give up who reads nothing by it.
    if (this.#written !== undefined) this.#connection?.destroy();
    else if (!this.#gone) this.#connection?.close();
    done(error);
  }

  destroySoon(): void {
    this.end(() => this.destroy());
  }
}
