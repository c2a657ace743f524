/**
 * WebSockets of a program that is asked over HTTP: once it has accepted one, bytes pass in both directions as they come.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { rawResponse } from "../gateway/raw_response.ts";
import type { RequestSource, UpgradedHandler } from "../gateway/request.ts";
import { CloseCode, encodeClose, FrameTracker } from "../protocol/websocket/frames.ts";
import type { Connection } from "../runtime/socket.ts";

/** RFC 6455, 5.3: what a client sends is masked, if only with the key 0. */
const goingAwayMasked = Buffer.from([0x88, 0x82, 0, 0, 0, 0, CloseCode.goingAway >> 8, CloseCode.goingAway & 0xff]);

/**
 * Connects the visitor with a program that has accepted his WebSocket.
 *
 * @param message the head of the program's response
 * @param program its connection
 * @param first what came behind the head
 * @throws {Error} if the visitor has left
 */
export function openTunnel(source: RequestSource, message: IncomingMessage, program: Duplex, first: Uint8Array): Response {
  const tunnel = new Tunnel(program);
  const taken = source.upgrade?.(tunnel.visitor);
  if (taken === undefined) {
    program.destroy();
    throw new Error("The visitor has left before the WebSocket was open");
  }
  tunnel.start(taken.connection, headOf(message), first);
  if (taken.first.length > 0) tunnel.visitor.data(taken.first);
  // Sent to nobody: the program's has been.
  return rawResponse({ status: 101, reason: "", headers: [], body: null });
}

/** The head as the program sent it. */
function headOf({ rawHeaders }: IncomingMessage): Uint8Array {
  let text = "HTTP/1.1 101 Switching Protocols\r\n";
  for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return Buffer.from(`${text}\r\n`, "latin1");
}

class Tunnel {
  readonly #program: Duplex;
  #connection!: Connection;
  #gone = false;
  /** What passed in each direction: a close of ours goes between two frames. */
  readonly #toVisitor = new FrameTracker();
  readonly #toProgram = new FrameTracker();
  #stopping = false;

  constructor(program: Duplex) {
    this.#program = program;
  }

  start(connection: Connection, head: Uint8Array, first: Uint8Array): void {
    this.#connection = connection;
    const program = this.#program;
    connection.write(head);
    if (first.length > 0) this.#fromProgram(first);
    program.on("data", (bytes: Uint8Array) => this.#fromProgram(bytes));
    program.on("drain", () => this.#gone || connection.resume());
    program.on("end", () => this.#gone || connection.shutdown());
    // Always followed by "close".
    program.on("error", () => {});
    program.on("close", () => this.#gone || connection.close());
  }

  #fromProgram(bytes: Uint8Array): void {
    if (this.#gone) return;
    this.#toVisitor.pass(bytes);
    if (!this.#connection.write(bytes)) this.#program.pause();
    if (this.#stopping) this.#goAway();
  }

  /** Closes both sides if no frame is on its way. Otherwise that is tried again, until the grace ends. */
  #goAway(): void {
    if (!this.#toVisitor.between || !this.#toProgram.between) return;
    this.#gone = true;
    this.#connection.write(encodeClose(CloseCode.goingAway));
    this.#connection.shutdown();
    this.#program.end(goingAwayMasked);
  }

  /** What the visitor's connection calls. */
  readonly visitor: UpgradedHandler = {
    data: (bytes) => {
      if (this.#gone) return;
      this.#toProgram.pass(bytes);
      if (!this.#program.write(bytes)) this.#connection.pause();
      if (this.#stopping) this.#goAway();
    },
    end: () => {
      if (this.#gone) this.#connection.close();
      else this.#program.end();
    },
    drain: () => void this.#program.resume(),
    close: () => {
      this.#gone = true;
      this.#program.destroy();
    },
    stop: () => {
      this.#stopping = true;
      if (!this.#gone) this.#goAway();
    },
  };
}
