/**
 * WebSockets as applications for Deno and Bun ask for them: by `Deno.upgradeWebSocket()`, and by `server.upgrade()` with the
 * handlers of `Bun.serve()`.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** What gives a request a WebSocket; `undefined` for a request that is not ours. */
export type Upgrade = (request: Request, options?: object) => unknown;

/** Has `Deno.upgradeWebSocket()` take our requests, too. */
export function takeUpgrades(upgrade: Upgrade): void {
  const { Deno: deno } = globalThis as { Deno?: { upgradeWebSocket: Upgrade } };
  if (!deno) return;
  const original = deno.upgradeWebSocket;
  const value: Upgrade = (request, options) => upgrade(request, options) ?? original.call(deno, request, options);
  Object.defineProperty(deno, "upgradeWebSocket", { value, configurable: true, writable: true });
}

/** What can be sent. */
export type Message = string | Uint8Array<ArrayBuffer> | ArrayBuffer;

/** What is used of a standard WebSocket. */
type Socket = Pick<WebSocket, "send" | "close" | "readyState" | "bufferedAmount" | "binaryType" | "addEventListener">;

/** The option `websocket` of `Bun.serve()`, as far as it is used here. */
export interface BunHandlers {
  open?(socket: BunSocket): unknown;
  message?(socket: BunSocket, data: string | Buffer): unknown;
  close?(socket: BunSocket, code: number, reason: string): unknown;
  drain?(socket: BunSocket): unknown;
  idleTimeout?: number;
  maxPayloadLength?: number;
}

/** Sockets by the topics that they have subscribed to. */
export class Topics {
  readonly #sockets = new Map<string, Set<BunSocket>>();

  of(topic: string): ReadonlySet<BunSocket> {
    return this.#sockets.get(topic) ?? new Set();
  }

  add(topic: string, socket: BunSocket): void {
    const sockets = this.#sockets.get(topic) ?? new Set();
    this.#sockets.set(topic, sockets.add(socket));
  }

  remove(topic: string, socket: BunSocket): void {
    const sockets = this.#sockets.get(topic);
    sockets?.delete(socket);
    if (sockets?.size === 0) this.#sockets.delete(topic);
  }

  /** Sends to all subscribers but one; returns the number of bytes, 0 if there are none. */
  publish(topic: string, data: Message, but?: BunSocket): number {
    const sockets = [...this.of(topic)].filter((socket) => socket !== but);
    for (const socket of sockets) socket.send(data);
    return sockets.length > 0 ? lengthOf(data) : 0;
  }
}

/** What Bun gives to the handlers of a socket. */
export class BunSocket {
  data: unknown;
  readonly remoteAddress: string;
  binaryType = "nodebuffer";
  readonly #socket: Socket;
  readonly #topics: Topics;
  readonly #subscribed = new Set<string>();

  constructor(socket: Socket, handlers: BunHandlers, { data, remoteAddress, topics }: {
    data: unknown;
    remoteAddress: string;
    topics: Topics;
  }) {
    this.data = data;
    this.remoteAddress = remoteAddress;
    this.#socket = socket;
    this.#topics = topics;
    socket.binaryType = "arraybuffer";
    const on = (type: string, call: (event: Event) => unknown) => socket.addEventListener(type as "open", call as () => unknown);
    on("open", () => handlers.open?.(this));
    on("message", (event) => {
      const { data } = event as MessageEvent;
      return handlers.message?.(this, typeof data === "string" ? data : Buffer.from(data));
    });
    on("drain", () => handlers.drain?.(this));
    on("close", (event) => {
      for (const topic of this.#subscribed) topics.remove(topic, this);
      const { code, reason } = event as CloseEvent;
      return handlers.close?.(this, code, reason);
    });
  }

  get readyState(): number {
    return this.#socket.readyState;
  }

  /** Returns the number of bytes, -1 if they have to wait, 0 if the socket is not open. */
  send(data: Message, _compress?: boolean): number {
    if (this.readyState !== 1) return 0;
    this.#socket.send(data);
    return this.#socket.bufferedAmount > 0 ? -1 : lengthOf(data);
  }

  sendText(text: string): number {
    return this.send(text);
  }

  sendBinary(bytes: Exclude<Message, string>): number {
    return this.send(bytes);
  }

  close(code?: number, reason?: string): void {
    try {
      this.#socket.close(code, reason);
    } catch {
      // A code that cannot be sent, such as 403: Bun ends the connection all the same.
      this.#socket.close();
    }
  }

  terminate(): void {
    this.#socket.close();
  }

  getBufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  /** The server itself pings silent visitors. */
  ping(): number {
    return 0;
  }

  pong(): number {
    return 0;
  }

  cork<Result>(run: (socket: this) => Result): Result {
    return run(this);
  }

  get subscriptions(): string[] {
    return [...this.#subscribed];
  }

  isSubscribed(topic: string): boolean {
    return this.#subscribed.has(topic);
  }

  subscribe(topic: string): void {
    if (this.readyState > 1) return;
    this.#subscribed.add(topic);
    this.#topics.add(topic, this);
  }

  unsubscribe(topic: string): void {
    this.#subscribed.delete(topic);
    this.#topics.remove(topic, this);
  }

  publish(topic: string, data: Message, _compress?: boolean): number {
    return this.#topics.publish(topic, data, this);
  }

  publishText(topic: string, text: string): number {
    return this.publish(topic, text);
  }

  publishBinary(topic: string, bytes: Exclude<Message, string>): number {
    return this.publish(topic, bytes);
  }
}

function lengthOf(data: Message): number {
  return typeof data === "string" ? Buffer.byteLength(data) : data.byteLength;
}
