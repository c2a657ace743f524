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

class Emitter extends EventEmitter {
  destroyed = false;
}

// deno-lint-ignore no-explicit-any -- TypeScript wants it of a mixin
type SocketBase = new (...args: any[]) => Emitter;

/** Adds to a class what applications ask of any visitor's socket: addresses, a timeout, and settings that do nothing. */
export function visitorSocket<Base extends SocketBase>(base: Base) {
  return class extends base {
    info!: ServeInfo;
    encrypted = false;
    readonly connecting = false;
    readonly pending = false;
    timeout = 0;
    _timer: ReturnType<typeof setTimeout> | undefined;

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

    /** Emits "timeout" after so many milliseconds in which nothing moves; 0 for never. */
    setTimeout(timeout: number, listener?: () => void): this {
      this.timeout = timeout;
      this.moved();
      if (listener && timeout > 0) this.once("timeout", listener);
      return this;
    }

    /** Something was received or written. */
    moved(): void {
      this.stopTimer();
      if (!(this.timeout > 0) || this.destroyed) return;
      this._timer = setTimeout(() => this.timedOut(), this.timeout);
      this._timer.unref?.();
    }

    stopTimer(): void {
      if (this._timer !== undefined) clearTimeout(this._timer);
      this._timer = undefined;
    }

    timedOut(): void {
      this.emit("timeout");
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
  };
}

/** The visitor's connection, with as much of a `net.Socket` as applications and `node:http` look at. */
export class VisitorSocket extends visitorSocket(Emitter) {
  /** Set by `node:http`. */
  _httpMessage: ServerResponse | null = null;
  /** `node:http` corks it. */
  readonly _writableState: { corked: number; length: number } = { corked: 0, length: 0 };
  readonly #owner: SocketOwner;
  #closed = false;

  constructor(info: ServeInfo, encrypted: boolean, owner: SocketOwner) {
    super();
    this.info = info;
    this.encrypted = encrypted;
    this.#owner = owner;
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
    this.stopTimer();
    this.emit("close", false);
  }

  override timedOut(): void {
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
}
