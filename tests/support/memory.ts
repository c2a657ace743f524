/**
 * A connection in memory: the server's side of one without a socket or a clock.
 *
 * @module
 */
import { defaultOptions } from "../../src/protocol/fastcgi/server.ts";
import type { Role, ServerCodec } from "../../src/protocol/protocol.ts";
import type { Connection } from "../../src/runtime/socket.ts";
import { ServerConnection, TICK_SECONDS } from "../../src/server/connection.ts";
import type { Handler } from "../../src/server/handler.ts";
import { defaultLimits, type Limits } from "../../src/server/limits.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { tmpdir } from "node:os";
import { bytes, concat, text } from "./bytes.ts";
import { Changing } from "./peer.ts";
import { recordLines, records, type Traffic } from "./traffic.ts";

export interface MemoryOptions {
  limits?: Partial<Limits>;
  duplex?: boolean;
  roles?: readonly Role[];
  /** What it speaks; default is FastCGI. */
  protocol?: ListeningProtocol;
  /** Where bodies go that have to be taken in; default is the system's folder for temporary files. */
  spoolFolder?: string;
  /** Takes the place of the protocol's own. */
  encode?: ServerCodec["encode"];
}

/** What the server did with the connection last. */
export type State = "open" | "shut down" | "closed" | "destroyed";

export class MemoryConnection extends Changing implements Connection {
  readonly served: ServerConnection;
  /** What `onError` was called with, a line each. */
  readonly errors: string[] = [];
  readonly writes: Uint8Array[] = [];
  state: State = "open";
  paused = false;
  /** The peer takes nothing: writes ask to wait. */
  full = false;
  /** `closed` was reported to the server. */
  gone = false;

  constructor(
    handler: Handler,
    { limits, duplex = false, roles = ["responder"], protocol = "fcgi", spoolFolder = tmpdir(), encode }: MemoryOptions = {},
  ) {
    super();
    const all = { ...defaultLimits, ...limits };
    const codec = protocols[protocol].server({ ...defaultOptions, ...all, roles });
    if (encode) codec.encode = encode;
    this.served = new ServerConnection(this, codec, {
      handler,
      onError: (error, { during }) => void this.errors.push(`${during}: ${error.message}`),
      limits: all,
      duplex,
      spoolFolder,
      closed: () => {
        this.gone = true;
        this.changed();
      },
    });
  }

  /** What was written is kept. */
  unsent = true;

  write(bytes: Uint8Array): boolean {
    this.writes.push(bytes);
    this.changed();
    return !this.full;
  }

  pause(): void {
    this.paused = true;
    this.changed();
  }

  resume(): void {
    this.paused = false;
    this.changed();
  }

  shutdown(): void {
    this.#become("shut down");
  }

  close(): void {
    this.#become("closed");
  }

  destroy(): void {
    this.#become("destroyed");
  }

  #become(state: State): void {
    const closes = state !== "shut down" && (this.state === "open" || this.state === "shut down");
    this.state = state;
    if (closes) queueMicrotask(() => this.served.close());
    this.changed();
  }

  // From the peer

  /** Bytes arrive, at once. */
  receive(traffic: Traffic | string): void {
    this.served.data(typeof traffic === "string" ? bytes(traffic) : traffic.bytes());
  }

  /** The peer took everything. */
  drain(): void {
    this.full = false;
    this.served.drain();
  }

  /** So many seconds pass in which nothing happens. */
  pass(seconds: number): void {
    for (let passed = 0; passed < seconds; passed += TICK_SECONDS) this.served.tick();
  }

  // What the server sent

  /** A byte string. */
  get text(): string {
    return text(concat(...this.writes));
  }

  /** Records as lines such as `stdout 1 hello`. */
  get lines(): string[] {
    return recordLines(concat(...this.writes));
  }

  /** How many responses are complete. */
  get ends(): number {
    return records(concat(...this.writes)).filter(({ type }) => type === 3).length;
  }

  /** Waits until so many responses are complete. */
  async answered(count = 1): Promise<void> {
    await this.until(`${count} responses are complete`, () => this.ends >= count);
  }
}
