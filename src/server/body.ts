/**
 * A request body between the connection, which pushes, and the application, which pulls.
 *
 * @module
 */
import { Spool, type SpoolOptions } from "./spool.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Shorter pieces are gathered in blocks; otherwise each would keep its whole receive buffer alive. */
const SMALL = 1024;
const BLOCK = 4096;

/** Bytes of memory that the bodies of all requests of this process may hold before the larger ones go to files. */
const MAX_HELD = 24 * 1024 * 1024;

let heldInMemory = 0;

/** Whether the bodies of all requests hold so much memory that a connection may add only its share. */
export function memoryIsFull(): boolean {
  return heldInMemory > MAX_HELD;
}

/** Gets reports about a body. */
export interface BodyOwner {
  /** So many held bytes were released. */
  released(length: number): void;
  /** It has been taken in: all of it has arrived, or nobody reads it. */
  taken(): void;
}

/**
 * Holds what has arrived of a body until the application reads it: in memory, or behind that in a file.
 *
 * Held bytes are counted with the buffers that they are views of. Pieces of one buffer follow each other, so a buffer
 * counts with its first piece, and is released with its last.
 */
export class Body {
  readonly #owner: BodyOwner;
  #chunks: Bytes[] = [];
  /** Where small pieces are gathered; the last chunk is its used part. */
  #block: Bytes | undefined;
  #spool: Spool | undefined;
  #ended = false;
  #error: Error | undefined;
  #discarding = false;
  /** Bytes that have arrived, those of them included that were dropped because nobody reads them. */
  received = 0;
  /** Bytes that were dropped because nobody reads them. */
  discarded = 0;
  #controller: ReadableStreamDefaultController<Bytes> | undefined;
  /** The stream waits for the next chunk. */
  #wake: (() => void) | undefined;

  constructor(owner: BodyOwner) {
    this.#owner = owner;
  }

  /** Whether all of it has arrived. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether there is nothing and nothing will come. */
  get empty(): boolean {
    return this.#ended && this.#chunks.length === 0 && !this.spools && this.#error === undefined;
  }

  /** Whether all of it has arrived, or nobody reads it. */
  get taken(): boolean {
    return this.#ended || this.#discarding || this.#error !== undefined;
  }

  /** Whether what arrives has to go to the file, since something waits there. */
  get spools(): boolean {
    return this.#spool !== undefined && this.#spool.length > 0;
  }

  /** Takes a piece and returns how many bytes are held because of it. */
  push(bytes: Uint8Array): number {
    this.received += bytes.length;
    if (this.#discarding || this.#error) {
      this.discarded += bytes.length;
      return 0;
    }
    const chunks = this.#chunks;
    const last = chunks.at(-1);
    let held = 0;
    if (bytes.length < SMALL && (last !== undefined || bytes.buffer.byteLength > BLOCK)) held = this.#gather(last, bytes);
    else {
      // An application expects no Buffer, whose slice() differs.
      chunks.push(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength));
      if (last?.buffer !== bytes.buffer) held = bytes.buffer.byteLength;
    }
    heldInMemory += held;
    this.#awake();
    return held;
  }

  #gather(last: Bytes | undefined, bytes: Uint8Array): number {
    const block = this.#block;
    const used = block !== undefined && last?.buffer === block.buffer ? last.length : BLOCK;
    if (used + bytes.length <= BLOCK) {
      block!.set(bytes, used);
      this.#chunks[this.#chunks.length - 1] = block!.subarray(0, used + bytes.length);
      return 0;
    }
    this.#block = new Uint8Array(BLOCK);
    this.#block.set(bytes);
    this.#chunks.push(this.#block.subarray(0, bytes.length));
    return BLOCK;
  }

  /**
   * Takes a piece into the file and returns how many bytes are held because of it.
   *
   * @throws {SpoolError} when there is no room
   */
  spool(bytes: Uint8Array, options: SpoolOptions): number {
    if (this.#discarding || this.#error) return this.push(bytes);
    this.received += bytes.length;
    this.#spool ??= new Spool(options);
    this.#spool.write(bytes);
    this.#awake();
    return bytes.length;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#awake();
    this.#owner.taken();
  }

  /** The rest will not come: what has arrived is dropped, as for any broken stream. */
  fail(error: Error): void {
    if (this.#ended || this.#error) return;
    this.#error = error;
    this.#drop();
    this.#controller?.error(error);
    this.#awake();
  }

  /** Nobody will read it: what has arrived and what still comes is dropped. */
  discard(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    this.#drop();
    this.#awake();
    this.#owner.taken();
  }

  /** The body for a `Request`: the bytes if all are here, a stream if not, `null` if there is none. */
  take(): Bytes | ReadableStream<Bytes> | null {
    if (!this.#ended || this.#error || this.spools) return this.stream();
    const chunks = this.#chunks;
    if (chunks.length === 0) return null;
    this.#drop();
    return chunks.length === 1 ? chunks[0] : concat(chunks);
  }

  stream(): ReadableStream<Bytes> {
    return new ReadableStream<Bytes>({
      start: (controller) => {
        this.#controller = controller;
        if (this.#error) controller.error(this.#error);
      },
      pull: (controller) => this.#pull(controller),
      cancel: () => this.discard(),
    }, { highWaterMark: 0 });
  }

  async #pull(controller: ReadableStreamDefaultController<Bytes>): Promise<void> {
    const chunk = await this.#next();
    if (chunk) return controller.enqueue(chunk);
    if (this.#error) return;
    if (this.#discarding) return controller.error(unreadError());
    this.#close();
    controller.close();
  }

  /**
   * All of it, once it has arrived: without a stream, which costs several times as much.
   *
   * @throws {Error} when the rest will not come
   */
  async read(): Promise<Bytes> {
    const chunks: Bytes[] = [];
    for (let chunk = await this.#next(); chunk; chunk = await this.#next()) chunks.push(chunk);
    if (this.#error) throw this.#error;
    if (this.#discarding) throw unreadError();
    this.#close();
    return chunks.length === 1 ? chunks[0] : concat(chunks);
  }

  /** The next piece; `undefined` behind the last, or when no more will come. */
  async #next(): Promise<Bytes | undefined> {
    while (this.#chunks.length === 0 && !this.spools && !this.#ended && !this.#error && !this.#discarding) {
      await new Promise<void>((wake) => this.#wake = wake);
    }
    const chunk = this.#chunks.shift();
    if (chunk) {
      // The application may transfer its buffer, which the next chunks share.
      const shared = this.#chunks[0]?.buffer === chunk.buffer;
      if (!shared) this.#release(chunk.buffer.byteLength);
      return shared ? chunk.slice() : chunk;
    }
    if (!this.spools) return undefined;
    const bytes = this.#spool!.read();
    this.#owner.released(bytes.length);
    return bytes;
  }

  #drop(): void {
    // Most requests have no body.
    if (this.#chunks.length === 0 && this.#spool === undefined) return;
    const spooled = this.#spool?.length ?? 0;
    const chunks = this.#chunks;
    let length = 0;
    chunks.forEach((chunk, i) => {
      if (chunks[i + 1]?.buffer !== chunk.buffer) length += chunk.buffer.byteLength;
    });
    this.#chunks = [];
    this.#close();
    if (length > 0) this.#release(length);
    if (spooled > 0) this.#owner.released(spooled);
  }

  #release(length: number): void {
    heldInMemory -= length;
    this.#owner.released(length);
  }

  #close(): void {
    this.#block = undefined;
    this.#spool?.close();
    this.#spool = undefined;
  }

  #awake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function unreadError(): Error {
  return new Error("The response was complete before the request body was read");
}

/** All chunks in one. */
export function concat(chunks: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
