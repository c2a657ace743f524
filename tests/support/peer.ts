/**
 * A server in this process, and web servers under a test's control, down to single bytes.
 *
 * @module
 */
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { Params } from "../../src/protocol/params.ts";
import { type ClientCodec, type ClientEvent, ProtocolError, type ResponseHead, type Role } from "../../src/protocol/protocol.ts";
import type { Address } from "../../src/runtime/socket.ts";
import { type ClientRequest, request } from "../../src/server/client.ts";
import type { Handler } from "../../src/server/handler.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import type { WorkerServeOptions as ServeOptions } from "../../src/server/options.ts";
import { serveWorker as serve, type WorkerServer as Server } from "../../src/server/serve.ts";
import { bytes, concat } from "./bytes.ts";
import { removeFolder, temporaryFolder } from "./folder.ts";

/** Longer than a program of `exec` may take to start, on a busy machine, too. */
const PATIENCE_MS = 45_000;

/** Something that changes, and tests that wait for it to have changed. */
export class Changing {
  #waiters: (() => void)[] = [];

  changed(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Resolves with the first truthy value of the condition. */
  async until<T>(what: string, condition: () => T, patience = PATIENCE_MS): Promise<NonNullable<T>> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.changed();
    }, patience);
    try {
      for (;;) {
        const value = condition();
        if (value) return value as NonNullable<T>;
        if (late) throw new Error(`Waited in vain until ${what}`);
        await new Promise<void>((wake) => this.#waiters.push(wake));
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A promise that a test settles, or the application under test. */
export function gate<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}

/** Fails instead of waiting for ever. */
export async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited in vain for ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Lets everything that is due happen; for proving that something does not. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Text params of a request, on top of those that every request has. */
export function paramsOf(path: string, more: Record<string, string> = {}): Params {
  const always = { REQUEST_METHOD: "GET", REQUEST_URI: path, HTTP_HOST: "localhost", SERVER_PROTOCOL: "HTTP/1.1" };
  return Params.from(Object.entries({ ...always, ...more }));
}

/** A temporary folder that is gone at the end of the block. */
export function folder(): Disposable & { path: string; join(name: string): string } {
  const path = temporaryFolder();
  return {
    path,
    join: (name) => join(path, name),
    [Symbol.dispose]: () => removeFolder(path),
  };
}

export type Transport = "unix" | "tcp";
export const transports: readonly Transport[] = ["unix", "tcp"];

export interface SiteOptions extends
  Pick<
    ServeOptions,
    | "protocol"
    | "secret"
    | "packetSize"
    | "trust"
    | "proxyProtocol"
    | "scriptName"
    | "limits"
    | "roles"
    | "onError"
    | "signal"
    | "timeout"
    | "observer"
    | "duplex"
    | "earlyHints"
    | "spoolDir"
  > {
  transport?: Transport;
}

/** Serves on an endpoint of its own until the end of the block. */
export async function startSite(handler: Handler, options: SiteOptions = {}): Promise<Site> {
  const { transport = "unix", ...more } = options;
  const errors: string[] = [];
  using cleanup = new DisposableStack();
  const place = cleanup.use(folder());
  const endpoint = transport === "unix" ? { socket: place.join("s") } : { port: 0 };
  const onError: ServeOptions["onError"] = (error, context) => {
    errors.push(`${context.during}: ${error.message}`);
    return options.onError?.(error, context);
  };
  const server = await serve({ ...endpoint, ...more, onError }, handler);
  // Where it could not be started, the folder goes here.
  cleanup.move();
  return new Site(server, errors, place);
}

/** What the project's own client got. */
export interface Answer {
  head: ResponseHead;
  bytes: Uint8Array;
  text: string;
  stderr: string;
}

export class Site {
  readonly server: Server;
  /** What `onError` was called with, a line each. */
  readonly errors: string[];
  readonly #place: Disposable;
  readonly #peers: Peer[] = [];

  constructor(server: Server, errors: string[], place: Disposable) {
    this.server = server;
    this.errors = errors;
    this.#place = place;
  }

  get address(): Address {
    return this.server.address;
  }

  /** What it is asked in, unless somebody says otherwise. */
  get #spoken(): ListeningProtocol {
    return this.server.protocol === "auto" ? "fcgi" : this.server.protocol;
  }

  /** A new connection. */
  async connect(options?: PeerOptions): Promise<Peer> {
    const peer = await Peer.connect(this.address, { protocol: this.#spoken, ...options });
    this.#peers.push(peer);
    return peer;
  }

  /** Asks with the project's own client. */
  ask(path = "/", params?: Record<string, string>, body?: ClientRequest["body"]): Promise<Answer> {
    return ask(this.address, path, params, body, this.#spoken);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.destroy();
    await soon("the server to end", this.server.shutdown(0));
    this.#place[Symbol.dispose]();
  }
}

/** Asks with the project's own client. */
export async function ask(
  address: Address,
  path = "/",
  params?: Record<string, string>,
  body?: ClientRequest["body"],
  protocol: ListeningProtocol = "fcgi",
): Promise<Answer> {
  let stderr = "";
  const asked = request({
    address,
    protocol,
    params: paramsOf(path, params),
    body,
    onStderr: (text) => stderr += text,
  });
  const answer = await soon("the head of a response", asked);
  const chunks: Uint8Array[] = [];
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await soon("the rest of a response", reader.read());
    if (done) break;
    chunks.push(value);
  }
  const whole = concat(...chunks);
  return { head: answer.head, bytes: whole, text: new TextDecoder().decode(whole), stderr };
}

/** The same bytes again and again, in pieces; the last piece is what is left. */
export async function* repeated(total: number, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(size).fill(120);
  for (let left = total; left > 0; left -= size) yield left < size ? piece.subarray(0, left) : piece;
}

/** A response as far as it has arrived. */
export class Arrived {
  head: ResponseHead | undefined;
  readonly chunks: Uint8Array[] = [];
  length = 0;
  stderr = "";
  end: { status: number; refusal?: string } | undefined;

  get text(): string {
    return new TextDecoder().decode(concat(...this.chunks));
  }

  /** Values of a header. */
  header(name: string): string[] {
    const { headers = [] } = this.head ?? {};
    return headers.filter((_, i) => i % 2 === 1 && headers[i - 1].toLowerCase() === name);
  }

  take(event: ClientEvent): void {
    if (event.type === "head") this.head = event.head;
    else if (event.type === "body") {
      this.chunks.push(event.bytes);
      this.length += event.bytes.length;
    } else if (event.type === "stderr") this.stderr += new TextDecoder().decode(event.bytes);
    else if (event.type === "end") this.end = event;
  }
}

export interface PeerOptions {
  /** Default is `fcgi`. */
  protocol?: ListeningProtocol;
  /** AJP: what it gives the server, and the length of its packets. */
  secret?: string;
  packetSize?: number;
  /** Counts the bytes of bodies and forgets them. */
  forget?: boolean;
}

export interface RequestOptions {
  id?: number;
  keep?: boolean;
  role?: Role;
  params?: Record<string, string>;
}

/** One connection to the server. */
export class Peer extends Changing {
  readonly codec: ClientCodec;
  readonly #socket: Socket;
  readonly #responses = new Map<number, Arrived>();
  /** In order of their ends. */
  readonly finished: number[] = [];
  /** Bytes that have arrived. */
  received = 0;
  /** The server will send no more. */
  ended = false;
  closed = false;
  error: NodeJS.ErrnoException | undefined;
  /** The connection ended where the protocol says that a response was not complete. */
  incomplete = false;
  readonly #forget: boolean;

  private constructor(socket: Socket, { protocol = "fcgi", forget = false, ...options }: PeerOptions) {
    super();
    this.codec = protocols[protocol].client(options);
    this.#forget = forget;
    this.#socket = socket;
    socket.on("data", (bytes: Uint8Array) => {
      this.received += bytes.length;
      this.codec.receive(bytes);
      this.#events();
      this.changed();
    });
    socket.on("end", () => {
      this.ended = true;
      try {
        this.codec.receiveEnd();
        this.#events();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.incomplete = true;
      }
      this.changed();
    });
    socket.on("drain", () => this.changed());
    socket.on("error", (error: Error) => {
      this.error = error;
      this.changed();
    });
    socket.on("close", () => {
      this.closed = true;
      this.changed();
    });
  }

  #events(): void {
    for (let event = this.codec.nextEvent(); event !== undefined; event = this.codec.nextEvent()) {
      if (event.type === "send") this.send(event.bytes);
      if (!("id" in event)) continue;
      const response = this.response(event.id);
      if (this.#forget && event.type === "body") response.length += event.bytes.length;
      else response.take(event);
      if (event.type === "end") this.finished.push(event.id);
    }
  }

  static connect(address: Address, options: PeerOptions = {}): Promise<Peer> {
    const { promise, resolve, reject } = Promise.withResolvers<Peer>();
    const where = address.transport === "unix"
      ? { path: address.path }
      : { host: address.hostname, port: address.port, noDelay: true };
    const socket = createConnection({ ...where, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new Peer(socket, options));
    });
    return promise;
  }

  /** `false`: the server has to take something first. */
  send(bytes: Uint8Array): boolean {
    // There is no "drain" for a few bytes that the kernel did not take at once.
    return this.#socket.write(bytes, () => this.changed());
  }

  /** Begins a request whose body is still to come. */
  begin(path = "/", { id = 1, keep, role, params }: RequestOptions = {}): Arrived {
    this.#responses.delete(id);
    this.send(this.codec.request(id, paramsOf(path, params), { role, keep }));
    return this.response(id);
  }

  /** A whole request without a body, in one write. */
  get(path = "/", { id = 1, keep, role, params }: RequestOptions = {}): Arrived {
    this.#responses.delete(id);
    this.send(concat(this.codec.request(id, paramsOf(path, params), { role, keep }), this.codec.bodyEnd(id)));
    return this.response(id);
  }

  body(content: Uint8Array | string, id = 1): boolean {
    return this.send(this.codec.body(id, typeof content === "string" ? bytes(content) : content));
  }

  /** Sends a body as the server asks for it. */
  async bodyAsAsked(content: Uint8Array): Promise<void> {
    for (let at = 0; at < content.length;) {
      await this.until("the server asks for more", () => this.codec.room > 0);
      const piece = content.subarray(at, at + this.codec.room);
      at += piece.length;
      this.body(piece);
    }
    this.bodyEnd();
  }

  /**
   * Sends a piece of a body again and again, each when the one before was taken, until one is not. Returns how many were.
   * All at once would be one write to some runtimes, of which they say nothing until all of it is taken.
   */
  async bodyUntilFull(piece: Uint8Array, most: number): Promise<number> {
    for (let i = 0; i < most; i++) {
      this.body(piece);
      for (let turn = 0; this.unsent > 0; turn++) {
        if (turn === 50) return i;
        await turns(1);
      }
    }
    return most;
  }

  bodyEnd(id = 1): void {
    const bytes = this.codec.bodyEnd(id);
    // The server may have closed behind a complete response.
    if (bytes.length > 0) this.send(bytes);
  }

  /** FastCGI: says that a request is no longer wanted. */
  abort(id = 1): void {
    this.send(new FastCgiClient().abort(id));
  }

  /** Waits until everything was taken by the kernel. */
  async sent(): Promise<void> {
    await this.until("everything was sent", () => this.unsent === 0 || this.closed);
  }

  /** Bytes that the server did not take yet. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  /** The response to a request, as far as it has arrived. */
  response(id = 1): Arrived {
    const known = this.#responses.get(id);
    if (known) return known;
    const response = new Arrived();
    this.#responses.set(id, response);
    return response;
  }

  /** Waits for the end of a response. */
  async answer(id = 1): Promise<Arrived> {
    const response = this.response(id);
    await this.until(`request ${id} is answered`, () => {
      if (!response.end && this.closed) throw new Error(`The connection closed before request ${id} was answered`);
      return response.end;
    });
    return response;
  }

  /** Reads nothing any more, so that the server has to wait. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Says that nothing more will be sent. */
  halfClose(): void {
    this.#socket.end();
  }

  /** Closes both directions. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Closes with a reset, as a crash would. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** Waits until the server has closed its side. */
  async gone(): Promise<void> {
    await this.until("the server closes the connection", () => this.ended || this.closed);
  }
}
