/**
 * Readers of HTTP: what each sees in the same bytes.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { HttpServer } from "../../src/protocol/http/server.ts";
import { defaultCodecLimits } from "../../src/protocol/protocol.ts";
import { text } from "./bytes.ts";

/** A request as `METHOD target body`. */
export type SeenRequest = string;

/** The complete requests that the codec sees, and the status with which it refuses what follows. */
export function codecSees(pieces: readonly Uint8Array[]): { requests: SeenRequest[]; refused?: number } {
  const codec = new HttpServer(defaultCodecLimits);
  const requests: SeenRequest[] = [];
  let refused: number | undefined;
  let request = "";
  for (const piece of pieces) {
    codec.receive(piece.slice());
    for (let event = codec.nextEvent(); event !== undefined; event = codec.nextEvent()) {
      if (event.type === "request") {
        request = `${event.params.get("REQUEST_METHOD")} ${event.params.get("REQUEST_URI")} `;
      } else if (event.type === "body") {
        request += text(event.bytes);
      } else if (event.type === "bodyEnd") {
        requests.push(request);
        codec.encode(event.id, { status: 200, reason: "OK", headers: [] }, undefined, true);
      } else if (event.type === "refused") {
        refused = event.status;
        codec.encode(event.id, { status: event.status, reason: "No", headers: [] }, undefined, true);
      }
    }
  }
  return { requests, refused };
}

/** A connection that is not one of the system. */
class Stream extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, written: () => void): void {
    written();
  }
  setTimeout(): this {
    return this;
  }
}

/** The complete requests that `node:http` sees, on Node alone: elsewhere it reads from sockets of its own. */
export function nodeSees(message: Uint8Array): SeenRequest[] {
  const messages: IncomingMessage[] = [];
  const bodies = new Map<IncomingMessage, string>();
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }, (message, response) => {
    messages.push(message);
    bodies.set(message, "");
    message.on("data", (chunk: Uint8Array) => bodies.set(message, bodies.get(message) + text(chunk)));
    message.on("error", () => {});
    message.read(0);
    response.on("error", () => {});
  });
  server.on("clientError", () => {});
  const stream = new Stream();
  stream.on("error", () => {});
  server.emit("connection", stream);
  stream.emit("data", Buffer.from(message));
  const seen = messages.filter((message) => message.complete)
    .map((message) => `${message.method} ${message.url} ${bodies.get(message)}`);
  stream.destroy();
  return seen;
}
