/**
 * Keeps the bytes of requests that fail, so that they can be inspected and replayed.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ProtocolError, type ProtocolName, type ResponseHead, type ServerCodec, type ServerEvent } from "../protocol/protocol.ts";
import { blankSecrets } from "../protocol/secrets.ts";
import { detectProtocol } from "../protocol/auto.ts";
import type { ListeningProtocol } from "../protocol/protocols.ts";

/** What is kept and where. */
export interface CaptureOptions {
  /** Most files: `capture-1.bin`, `capture-2.bin` and so on, existing ones included. */
  count: number;
  folder: string;
  /** What the names begin with, in place of `capture`. */
  prefix?: string;
  log: (text: string) => void;
}

/** Bytes of one connection, and of all, that are held until it is known whether the request fails. */
const MAX_LENGTH = 1024 * 1024;
const MAX_HELD = 32 * MAX_LENGTH;

/** Keeps what fails, up to a number of files. */
export class Capture {
  readonly #options: CaptureOptions;
  #full = false;
  /** Bytes that are held for all connections. */
  held = 0;

  constructor(options: CaptureOptions) {
    this.#options = options;
  }

  /** The number of files is reached. */
  get full(): boolean {
    return this.#full;
  }

  /** A codec whose requests are kept when they fail. */
  wrap(codec: ServerCodec): ServerCodec {
    return this.#full ? codec : new RecordingCodec(codec, this);
  }

  /** Writes a file. The bytes are changed. */
  keep(bytes: Buffer, reason: string): void {
    const { folder, log } = this.#options;
    if (this.#full || bytes.length === 0) return;
    try {
      blankSecrets(bytes, protocolOf(bytes));
      const file = this.#write(bytes);
      if (file !== undefined) log(`Kept the request that failed (${reason}): runfcgi replay ${file}`);
    } catch (error) {
      this.#full = true;
      log(`Cannot keep requests that fail in "${folder}": ${(error as Error).message}`);
    }
  }

  /** The first free number, since other processes write to the same folder. */
  #write(bytes: Buffer): string | undefined {
    const { count, folder, prefix = "capture" } = this.#options;
    for (let number = 1; number <= count; number++) {
      const file = join(folder, `${prefix}-${number}.bin`);
      let fd: number;
      try {
        fd = openSync(file, "wx", 0o600);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
        throw error;
      }
      try {
        writeSync(fd, bytes);
      } finally {
        closeSync(fd);
      }
      this.#full = number === count;
      return file;
    }
    this.#full = true;
    return undefined;
  }
}

function protocolOf(bytes: Uint8Array): ListeningProtocol | undefined {
  try {
    return detectProtocol(bytes[0]);
  } catch {
    return undefined;
  }
}

/** A codec that also holds what has arrived since the connection was last idle. */
class RecordingCodec implements ServerCodec {
  readonly #codec: ServerCodec;
  readonly #capture: Capture;
  #held: Uint8Array[] = [];
  #length = 0;
  /** Why the request is to be kept. */
  #failure: string | undefined;

  constructor(codec: ServerCodec, capture: Capture) {
    this.#codec = codec;
    this.#capture = capture;
  }

  receive(bytes: Uint8Array): void {
    const room = Math.min(MAX_LENGTH - this.#length, MAX_HELD - this.#capture.held, bytes.length);
    if (room > 0 && !this.#capture.full) {
      // A copy, since the application may change what it gets.
      this.#held.push(new Uint8Array(bytes.subarray(0, room)));
      this.#length += room;
      this.#capture.held += room;
    }
    this.#codec.receive(bytes);
  }

  nextEvent(): ServerEvent | undefined {
    try {
      return this.#codec.nextEvent();
    } catch (error) {
      if (error instanceof ProtocolError) this.#keep(error.message);
      throw error;
    }
  }

  encode(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    const bytes = this.#codec.encode(id, head, body, end);
    if (head !== undefined && head.status >= 500) this.#failure = `status ${head.status}`;
    if (end) {
      if (this.#failure !== undefined) this.#keep(this.#failure);
      if (this.#codec.idle) this.#forget();
    }
    return bytes;
  }

  #keep(reason: string): void {
    this.#failure = undefined;
    this.#capture.keep(Buffer.concat(this.#held), reason);
  }

  #forget(): void {
    this.#held = [];
    this.#capture.held -= this.#length;
    this.#length = 0;
  }

  closed(): void {
    if (this.#failure !== undefined) this.#keep(this.#failure);
    this.#forget();
  }

  get protocol(): ProtocolName {
    return this.#codec.protocol;
  }

  stderr(id: number, text: string): Uint8Array | undefined {
    return this.#codec.stderr(id, text);
  }

  probe(): Uint8Array | undefined {
    return this.#codec.probe();
  }

  broken(): Uint8Array | undefined {
    return this.#codec.broken?.();
  }

  get inHead(): boolean {
    return this.#codec.inHead ?? false;
  }

  get closing(): boolean {
    return this.#codec.closing;
  }

  get idle(): boolean {
    return this.#codec.idle;
  }

  get full(): boolean {
    return this.#codec.full ?? false;
  }

  get endIsLeave(): boolean {
    return this.#codec.endIsLeave ?? false;
  }

  upgrade(): Uint8Array | undefined {
    const rest = this.#codec.upgrade?.();
    if (rest !== undefined) this.#forget();
    return rest;
  }

  earlyHints(headers: readonly string[]): Uint8Array | undefined {
    return this.#codec.earlyHints?.(headers);
  }

  last(): void {
    this.#codec.last?.();
  }
}
