/**
 * A visitor's WebSocket: the runtime's own client.
 *
 * @module
 */
import { Changing } from "./peer.ts";

/** A client, with what came. */
export class VisitorSocket extends Changing {
  readonly socket: WebSocket;
  readonly messages: (string | Uint8Array)[] = [];
  opened = false;
  closed: { code: number; reason: string; wasClean: boolean } | undefined;

  constructor(url: string, protocols: string | string[] = []) {
    super();
    this.socket = new WebSocket(url, protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      this.changed();
    };
    this.socket.onmessage = ({ data }) => {
      this.messages.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
      this.changed();
    };
    this.socket.onclose = ({ code, reason, wasClean }) => {
      this.closed = { code, reason, wasClean };
      this.changed();
    };
    this.socket.onerror = () => {};
  }

  /** Waits for so many messages and gives the last of them. */
  async message(count: number): Promise<string | Uint8Array> {
    await this.until(`${count} messages are there`, () => this.messages.length >= count || this.closed, 20_000);
    if (this.messages.length < count) throw new Error(`Closed with ${this.closed?.code} before message ${count}`);
    return this.messages[count - 1];
  }

  close(): Promise<{ code: number; reason: string; wasClean: boolean }> {
    return this.until("the socket is closed", () => this.closed, 20_000);
  }
}
