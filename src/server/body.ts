/**
 * A request body between the connection, which pushes, and the application, which pulls.
 *
 * @module
 */
type Bytes = Uint8Array<ArrayBuffer>;

/** Holds what has arrived of a body until the application reads it. */
export class Body {
  readonly #onRead: (length: number) => void;
  #chunks: Bytes[] = [];
  #ended = false;
  #error: Error | undefined;
  #discarding = false;
  #controller: ReadableStreamDefaultController<Bytes> | undefined;
  /** The stream waits for the next chunk. */
  #wake: (() => void) | undefined;

  /** @param onRead told how many bytes were read or dropped, so that the connection can let more come in */
  constructor(onRead: (length: number) => void) {
    this.#onRead = onRead;
  }

  /** Whether all of it has arrived. */
  get ended(): boolean {
    return this.#ended;
  }

  push(bytes: Uint8Array): void {
    if (this.#discarding) return this.#onRead(bytes.length);
    // An application expects no Buffer, whose slice() differs.
    this.#chunks.push(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength));
    this.#awake();
  }

  end(): void {
    this.#ended = true;
    this.#awake();
  }

  /** The rest will not come. What has arrived is dropped, as for any broken stream. */
  fail(error: Error): void {
    if (this.#ended || this.#error) return;
    this.#error = error;
    this.#drop();
    this.#controller?.error(error);
    this.#awake();
  }

  /** Nobody will read it. What is here and what still comes is dropped. */
  discard(): void {
    this.#discarding = true;
    this.#drop();
    this.#awake();
  }

  /** The body for a `Request`: the bytes if all are here, a stream if not, `null` if there is none. */
  take(): Bytes | ReadableStream<Bytes> | null {
    if (!this.#ended || this.#error) return this.stream();
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
    while (this.#chunks.length === 0 && !this.#ended && !this.#error && !this.#discarding) {
      await new Promise<void>((wake) => this.#wake = wake);
    }
    const chunk = this.#chunks.shift();
    if (chunk) {
      controller.enqueue(chunk);
      this.#onRead(chunk.length);
    } else if (this.#ended && !this.#discarding) {
      controller.close();
    } else if (this.#discarding && !this.#error) {
      controller.error(new Error("The response was complete before the request body was read"));
    }
  }

  #drop(): void {
    const length = this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    this.#chunks = [];
    if (length > 0) this.#onRead(length);
  }

  #awake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
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
