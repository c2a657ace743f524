/**
 * What a Node-style listener sees as `request.socket`.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import process from "node:process";
import type { ServeInfo } from "../server/handler.ts";

/** Gets what a listener does to its socket. */
interface SocketOwner {
  /** There will be no response, or no more of it. */
  fail(error: Error): void;
  /** Bytes of the response that were not taken yet. */
  readonly writableLength: number;
  /** Nothing has moved for the timeout that was set; `false` if nobody listens to that. */
  timedOut(): boolean;
}

const HIGH_WATER = 64 * 1024;

/** The visitor's connection, with as much of a `net.Socket` as applications and `node:http` look at. */
export class VisitorSocket extends EventEmitter {
  readonly info: ServeInfo;
  readonly encrypted: boolean;
  destroyed = false;
  /** Set by `node:http`. */
  _httpMessage: ServerResponse | null = null;
  /** `node:http` corks it. */
  readonly _writableState: { corked: number; length: number } = { corked: 0, length: 0 };
  readonly #owner: SocketOwner;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timeout = 0;

  constructor(info: ServeInfo, encrypted: boolean, owner: SocketOwner) {
    super();
    this.info = info;
    this.encrypted = encrypted;
    this.#owner = owner;
  }

  get remoteAddress(): string {
    return this.info.remoteAddr.hostname;
  }

  get remotePort(): number {
    return this.info.remoteAddr.port;
  }

  get remoteFamily(): string {
    return this.remoteAddress.includes(":") ? "IPv6" : "IPv4";
  }

  get localAddress(): string | undefined {
    return this.info.params.SERVER_ADDR;
  }

  get localPort(): number | undefined {
    return Number(this.info.params.SERVER_PORT) || undefined;
  }

  get localFamily(): string {
    return this.localAddress?.includes(":") ? "IPv6" : "IPv4";
  }

  address(): { address?: string; port?: number; family: string } {
    return { address: this.localAddress, port: this.localPort, family: this.localFamily };
  }

  get readable(): boolean {
    return !this.destroyed;
  }

  get writable(): boolean {
    return !this.destroyed;
  }

  get writableLength(): number {
    return this.#owner.writableLength;
  }

  get writableNeedDrain(): boolean {
    return this.writableLength >= HIGH_WATER;
  }

  get readyState(): string {
    return this.destroyed ? "closed" : "open";
  }

  readonly readableHighWaterMark = HIGH_WATER;
  readonly writableHighWaterMark = HIGH_WATER;
  readonly connecting = false;
  readonly pending = false;

  /** Nothing but the response can reach the visitor. */
  write(): boolean {
    return false;
  }

  /** Gives up the response unless it is complete. */
  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#owner.fail(error ?? new Error("The application closed the connection"));
    process.nextTick(() => this.close());
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }

  end(): this {
    return this.destroy();
  }

  /** Emits "close", once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.emit("close", false);
  }

  /** Emits "timeout" after so many milliseconds in which nothing moves; 0 for never. */
  setTimeout(timeout: number, listener?: () => void): this {
    this.#timeout = timeout;
    this.moved();
    if (listener && timeout > 0) this.once("timeout", listener);
    return this;
  }

  get timeout(): number {
    return this.#timeout;
  }

  /** Something was received or written. */
  moved(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!(this.#timeout > 0) || this.destroyed) return;
    this.#timer = setTimeout(() => this.#timedOut(), this.#timeout);
    this.#timer.unref?.();
  }

  #timedOut(): void {
    const handled = this.emit("timeout");
    if (!this.#owner.timedOut() && !handled) this.destroy();
  }

  cork(): void {}

  uncork(): void {}

  pause(): this {
    return this;
  }

  resume(): this {
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
