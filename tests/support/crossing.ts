/**
 * A visitor who reads the response while the upload is still being sent, as browsers do, and checks every byte of it. It
 * never waits for the whole of anything: what counts is that bytes move.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createConnection } from "node:net";
import { createGunzip } from "node:zlib";
import { ResponseReader } from "./response_reader.ts";

/** An upload, and what is to come back. */
export interface Crossing {
  port: number;
  path: string;
  /** Repeated until the upload has its length. */
  block: Uint8Array;
  /** Bytes of the upload. */
  length: number;
  /** Sends it in chunks and without a length. */
  chunked?: boolean;
  status?: number;
  expected: Check;
  /** Seconds without a byte in either direction after which the connection counts as dead. */
  patience?: number;
  /** Leaves when this many bytes of the upload have been sent, or of the response have come. */
  leave?: { sent?: number; received?: number };
}

/** What the response's body is compared with. */
export interface Check {
  /** @throws {Error} at the first byte that is wrong */
  take(bytes: Uint8Array): void;
  /** @throws {Error} when something is missing */
  end(): void | Promise<void>;
}

/** The result; without an `error` everything is right. */
export interface Crossed {
  status: number | undefined;
  sent: number;
  received: number;
  error: string | undefined;
}

/** Milliseconds between two looks at whether bytes have moved. */
const TICK_MS = 100;

/** Sends the upload, reads the response, and resolves when both are over or nothing moves any more. */
export async function cross(crossing: Crossing): Promise<Crossed> {
  const { port, path, block, length, chunked, status = 200, expected, patience = 10, leave } = crossing;
  const { promise: over, resolve } = Promise.withResolvers<string | undefined>();
  const socket = createConnection({ host: "127.0.0.1", port, noDelay: true });
  const reader = new ResponseReader((bytes) => expected.take(bytes));
  let sent = 0;
  // Turns of a timer and not time: one that comes late because the machine is busy counts once.
  let idle = 0;
  const moved = () => idle = 0;
  const timer = setInterval(() => {
    if (++idle * TICK_MS >= patience * 1000) resolve(`dead: no byte moved for ${patience} s`);
  }, TICK_MS);
  let closed = false;
  const settle = (reason: string) => {
    closed = true;
    resolve(reader.complete ? undefined : reason);
  };
  socket.on("data", (bytes) => {
    moved();
    try {
      reader.push(bytes);
    } catch (error) {
      return resolve((error as Error).message);
    }
    if (leave?.received !== undefined && reader.received >= leave.received) resolve(undefined);
    // The rest of the upload is still to be taken, unless the connection ends.
    if (reader.complete && (sent === length || reader.closes)) resolve(undefined);
  });
  socket.on("end", () => {
    reader.end();
    settle("the response breaks off");
  });
  socket.on("error", ({ message }) => settle(message));
  socket.on("close", () => settle("the connection was closed"));

  const write = (bytes: Uint8Array | string) =>
    new Promise<void>((resolve) => {
      // Reading comes first: a write that fails takes with it what has not been read.
      setImmediate(() => socket.write(bytes, () => resolve()));
    });
  const send = async () => {
    const framing = chunked ? "transfer-encoding: chunked" : `content-length: ${length}`;
    await write(
      `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/octet-stream\r\n${framing}\r\n\r\n`,
    );
    while (sent < length && !closed) {
      const bytes = block.subarray(0, Math.min(block.length, length - sent));
      await write(chunked ? chunk(bytes) : bytes);
      if (closed) return;
      moved();
      sent += bytes.length;
      if (leave?.sent !== undefined && sent >= leave.sent) return resolve(undefined);
    }
    if (chunked && !closed) await write("0\r\n\r\n");
    if (reader.complete) resolve(undefined);
  };
  send();
  let error = await over;
  closed = true;
  clearInterval(timer);
  socket.destroy();
  if (leave === undefined) {
    if (error === undefined && reader.status !== status) error = `the status is ${reader.status} instead of ${status}`;
    try {
      if (error === undefined) await expected.end();
    } catch (failure) {
      error = (failure as Error).message;
    }
  }
  return { status: reader.status, sent, received: reader.received, error };
}

/** A chunk of the transfer coding. */
function chunk(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

/** A body that is a block over and over, cut off at a length, and then a text. */
export class Repeated implements Check {
  readonly #twice: Buffer;
  readonly #period: number;
  readonly #length: number;
  readonly #text: Buffer;
  #taken = 0;

  constructor(block: Uint8Array, length: number, text = "") {
    this.#twice = Buffer.concat([block, block]);
    this.#period = block.length;
    this.#length = length;
    this.#text = Buffer.from(text);
  }

  take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const [right, from, most] = this.#taken < this.#length
        ? [this.#twice, this.#taken % this.#period, Math.min(this.#period, this.#length - this.#taken)]
        : [this.#text, this.#taken - this.#length, this.#text.length - (this.#taken - this.#length)];
      const size = Math.min(bytes.length - at, most);
      if (size === 0) throw new Error(`the response goes on after ${this.#taken} bytes`);
      if (right.subarray(from, from + size).compare(bytes.subarray(at, at + size)) !== 0) {
        throw new Error(`the response has other bytes after ${this.#taken}: ${excerpt(bytes.subarray(at))}`);
      }
      at += size;
      this.#taken += size;
    }
  }

  end(): void {
    const length = this.#length + this.#text.length;
    if (this.#taken !== length) throw new Error(`the response ends after ${this.#taken} of ${length} bytes`);
  }
}

/** What is right when it has been unpacked. */
export class Gunzipped implements Check {
  readonly #gunzip = createGunzip();
  readonly #over: Promise<void>;

  constructor(inner: Check) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#over = promise;
    // Looked at in the end.
    promise.catch(() => {});
    this.#gunzip.on("data", (bytes: Uint8Array) => {
      try {
        inner.take(bytes);
      } catch (error) {
        reject(error);
      }
    });
    this.#gunzip.on("error", reject);
    this.#gunzip.on("end", () => Promise.resolve(inner.end()).then(resolve, reject));
  }

  take(bytes: Uint8Array): void {
    this.#gunzip.write(bytes);
  }

  end(): Promise<void> {
    this.#gunzip.end();
    return this.#over;
  }
}

/** Whatever comes. */
export const anything: Check = { take() {}, end() {} };

function excerpt(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes.subarray(0, 200)).toString("latin1"));
}
