/**
 * Node-style applications: listeners `(request, response)` as `node:http` calls them, which Express and Koa make. They get
 * the runtime's own `IncomingMessage` and `ServerResponse`, whose internals are connected to the request without HTTP text
 * in between.
 *
 * Frameworks replace the prototypes of both, so what is replaced here are properties of the objects themselves.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { IncomingMessage, ServerResponse, validateHeaderName, validateHeaderValue } from "node:http";
import process from "node:process";
import { rawResponse } from "../gateway/raw_response.ts";
import { headerPairs, requestParts, takeAnyBody } from "../gateway/request.ts";
import { connectionHeaders } from "../gateway/response.ts";
import { AbortedError, type Handler, type ServeInfo } from "../server/handler.ts";
import { asError } from "../server/thrown.ts";
import { VisitorSocket } from "./node_socket.ts";
import { requestTarget } from "./proxy.ts";

/** A listener for requests, as `http.createServer()` takes it. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown;

/**
 * The fetch handler that calls a Node-style listener: an Express application, what Koa's `callback()` returns, or a
 * listener of your own. Headers, URL and `socket.remoteAddress` are the visitor's; `request.socket.info` is the
 * {@linkcode ServeInfo}.
 *
 * @example
 * ```ts
 * import { nodeHandler, serve } from "runfcgi";
 *
 * const handler = nodeHandler((request, response) => {
 *   response.end(`${request.socket.remoteAddress} asked for ${request.url}\n`);
 * });
 * await using server = await serve({ port: 0 }, handler);
 * ```
 */
export function nodeHandler(listener: NodeListener): Handler {
  return (request, info) => new Call(request, info).run(listener);
}

type Bytes = Uint8Array<ArrayBuffer>;
/** What is used of a stream's reader; the runtimes' types have more, each of its own. */
type Reader = {
  read(): Promise<{ done: boolean; value?: Bytes }>;
  cancel(reason?: unknown): Promise<void>;
};
type Callback = (error?: Error | null) => void;

/** The parts of a request, whether it is one of ours or a copy made by somebody else. */
export interface Source {
  url: string;
  headers: string[];
  body: Bytes | ReadableStream<Bytes> | null;
}

const call = Symbol("call");

/** An `IncomingMessage` with the internals that are replaced or used. */
type Incoming = IncomingMessage & {
  [call]: Call;
  _read(size: number): void;
  _addHeaderLines(headers: string[], length: number): void;
};

/** A `ServerResponse` with the internals that are replaced or used. */
type Outgoing = ServerResponse & {
  [call]: Call;
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _closed: boolean;
  _storeHeader(line: string, headers: unknown): void;
  _send(data: string | Uint8Array, encoding?: BufferEncoding | Callback | null, callback?: Callback | null): boolean;
  _writeRaw(data: string | Uint8Array, encoding?: BufferEncoding | Callback | null, callback?: Callback | null): boolean;
};

/** Bytes of a response that are held while the web server takes none. */
const MAX_HELD = 64 * 1024;

/** One request to a listener, and its response. */
class Call {
  readonly #info: ServeInfo;
  readonly #socket: VisitorSocket;
  readonly #request: Incoming;
  readonly #response: Outgoing;

  readonly #body: Source["body"];
  /** What was declared of the body's length, NaN for nothing. */
  readonly #length: number;
  #received = 0;
  #reader: Reader | undefined;
  #reading = false;
  /** The listener has started reading the body. */
  #wanted = false;

  #headers: string[] | undefined;
  /** What was written and is not handed over yet. */
  #written: (string | Uint8Array)[] = [];
  #writtenLength = 0;
  /** To be called when what was written has been taken. */
  #callbacks: Callback[] = [];
  #scheduled = false;
  #stream: ReadableStreamDefaultController<Bytes> | undefined;
  /** The response was handed over as a whole, or the end of its stream. */
  #ended = false;
  /** The response is complete or given up. */
  #over = false;
  #failure: Error | undefined;
  #result: Response | undefined;
  #promise: PromiseWithResolvers<Response> | undefined;

  constructor(request: Request, info: ServeInfo) {
    const parts = requestParts(request);
    const { method } = request;
    const source = sourceOf(request);
    const { url, body } = source;
    this.#info = info;
    this.#body = body;
    this.#socket = new VisitorSocket(info, url.startsWith("https:"), this);

    const { headers, length } = receivedHeaders(source, method);
    this.#length = length;
    const incoming = this.#request = makeIncoming(this.#socket, request, info, headers);
    incoming[call] = this;
    incoming._read = read;
    if (body === null) incoming.complete = true;

    const outgoing = this.#response = new ServerResponse(incoming) as unknown as Outgoing;
    outgoing[call] = this;
    outgoing._storeHeader = storeHeader;
    outgoing._send = send;
    outgoing._writeRaw = writeRaw;
    outgoing.assignSocket(this.#socket as never);

    if (parts?.source.whenOver) parts.source.whenOver((failure) => this.#settled(failure));
    else info.completed.then(() => this.#settled(), (failure) => this.#settled(asError(failure)));
  }

  run(listener: NodeListener): Response | Promise<Response> {
    const failed = (error: unknown) => {
      // Too late for the response, which the visitor has.
      if (this.#response.writableEnded) this.#info.stderr(String(asError(error).stack));
      else this.fail(asError(error));
    };
    try {
      const returned = listener(this.#request, this.#response) as { then?: unknown } | undefined;
      if (typeof returned?.then === "function") Promise.resolve(returned).catch(failed);
    } catch (error) {
      failed(error);
    }
    // Most responses are complete by now.
    if (this.#scheduled && this.#response.writableEnded) this.#advance();
    if (this.#result) return this.#result;
    this.#promise = Promise.withResolvers();
    if (this.#failure) this.#promise.reject(this.#failure);
    return this.#promise.promise;
  }

  // The request

  /** The listener wants more of the body. */
  wanted(): void {
    this.#wanted = true;
    const request = this.#request;
    if (this.#body === null) request.push(null);
    else if (this.#body instanceof Uint8Array) {
      if (this.#received > 0) return;
      if (this.#receive(this.#body)) this.#receiveEnd();
    } else if (!this.#reading) {
      this.#reading = true;
      this.#pump(this.#reader ??= this.#body.getReader() as Reader).catch((error) => this.#broken(asError(error)));
    }
  }

  async #pump(reader: Reader): Promise<void> {
    for (;;) {
      const { done, value } = await reader.read();
      if (this.#failure) return;
      if (done) return this.#receiveEnd();
      if (!this.#receive(value!)) break;
    }
    this.#reading = false;
  }

  /** Gives a piece to the listener; `false` when that is enough for now. */
  #receive(bytes: Bytes): boolean {
    this.#socket.moved();
    this.#received += bytes.length;
    if (this.#received > this.#length) {
      this.#misdeclared("more");
      return false;
    }
    const more = this.#request.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return more || bytes === this.#body;
  }

  #receiveEnd(): void {
    if (this.#received < this.#length) return this.#misdeclared(String(this.#received));
    this.#request.complete = true;
    this.#request.push(null);
  }

  #misdeclared(had: string): void {
    this.fail(new Error(`The request declared a content-length of ${this.#length} and had ${had} bytes`));
  }

  /** The rest of the body does not come: the visitor has left, the response is complete, or it has another length than declared. */
  #broken(error: Error): void {
    if (!(error instanceof AbortedError)) this.fail(error);
    if (!this.#request.destroyed && !this.#request.complete) this.#request.destroy(error);
  }

  // The response

  /** The head is complete. */
  head(headers: string[]): void {
    this.#headers = headers;
  }

  /** @param text an interim response */
  hints(text: string): void {
    const lines = text.split("\r\n").slice(1).filter(Boolean).map((line) => line.split(/: (.*)/s, 2) as [string, string]);
    this.#info.earlyHints(lines);
  }

  /** Takes a piece of the response; `false` asks the listener to wait for "drain". */
  write(data: string | Uint8Array, encoding: BufferEncoding | null | undefined, callback: Callback | null | undefined): boolean {
    if (this.#over) {
      // HEAD: the head was all.
      if (callback) process.nextTick(callback);
      this.#schedule();
      return true;
    }
    this.#socket.moved();
    if (data.length > 0) {
      const plain = typeof data !== "string" || !encoding || encoding === "utf8" || encoding === "utf-8";
      const piece = plain ? data : Buffer.from(data as string, encoding);
      if (this.#stream) this.#enqueue(piece);
      else this.#written.push(piece);
      this.#writtenLength += piece.length;
    }
    if (callback) this.#callbacks.push(callback);
    this.#schedule();
    return this.writableLength < MAX_HELD;
  }

  get writableLength(): number {
    return this.#stream ? MAX_HELD - (this.#stream.desiredSize ?? MAX_HELD) : this.#writtenLength;
  }

  /** Looks after the current job at what the listener has written: most write a whole response in one. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#advance());
  }

  #advance(): void {
    if (!this.#scheduled) return;
    this.#scheduled = false;
    if (this.#ended || this.#failure) return;
    const ended = this.#response.writableEnded;
    if (this.#over) {
      if (ended) this.#finish();
    } else if (this.#stream) {
      if (!ended) return;
      this.#ended = true;
      this.#stream.close();
    } else if (ended) {
      this.#ended = true;
      this.#answer(this.#response._hasBody ? this.#whole() : null);
    } else {
      this.#answer(this.#response._hasBody ? this.#streamed() : null);
    }
  }

  #answer(body: string | Uint8Array | ReadableStream<Bytes> | null): void {
    const { statusCode, statusMessage } = this.#response;
    this.#result = rawResponse({ status: statusCode, reason: statusMessage ?? "", headers: this.#headers!, body });
    this.#promise?.resolve(this.#result);
  }

  /** All that was written. */
  #whole(): string | Uint8Array {
    const written = this.#written;
    if (written.length === 0) return "";
    return written.length === 1 ? written[0] : Buffer.concat(written.map(bytesOf));
  }

  #streamed(): ReadableStream<Bytes> {
    return new ReadableStream<Bytes>({
      start: (controller) => {
        this.#stream = controller;
        for (const piece of this.#written) this.#enqueue(piece);
        this.#written = [];
      },
      pull: () => this.#drained(),
    }, { highWaterMark: MAX_HELD, size: (bytes) => bytes!.byteLength });
  }

  #enqueue(piece: string | Uint8Array): void {
    this.#stream!.enqueue(bytesOf(piece));
  }

  /** What was written has been taken. */
  #drained(): void {
    if (this.#ended) return;
    this.#callBack();
    if (needsDrain(this.#response)) process.nextTick(emitDrain, this.#response);
  }

  #callBack(): void {
    if (this.#callbacks.length === 0) return;
    for (const callback of this.#callbacks) process.nextTick(callback);
    this.#callbacks = [];
  }

  /** There will be no response, or no more of it. */
  fail(error: Error): void {
    if (this.#ended || this.#over || this.#failure) return;
    this.#failure = error;
    if (this.#stream) this.#stream.error(error);
    else this.#promise?.reject(error);
  }

  /** As the runtime's own server does it. */
  timedOut(): boolean {
    const [request, response] = [this.#request, this.#response];
    const handled = !request.complete && request.emit("timeout", this.#socket);
    return response.emit("timeout", this.#socket) || handled;
  }

  // The end

  /** The response was sent, or will not be. Called in the middle of other work, so events are emitted later. */
  #settled(failure?: Error): void {
    this.#over = true;
    if (failure === undefined) {
      if (this.#response.writableEnded) process.nextTick(finish, this);
    } else {
      this.#failure = failure;
      process.nextTick(abort, this, failure);
    }
  }

  finished(): void {
    this.#finish();
  }

  #finish(): void {
    this.#ended = true;
    this.#callBack();
    process.nextTick(close, this.#response, this.#socket, this.#request, this.#wanted);
  }

  aborted(failure: Error): void {
    const error = failure instanceof AbortedError ? aborted() : failure;
    this.#socket.destroyed = true;
    this.#reader?.cancel(failure).catch(() => {});
    if (!this.#request.destroyed && !(this.#request.complete && this.#request.readableEnded)) this.#request.destroy(error);
    this.#socket.close();
    closeResponse(this.#response);
  }
}

/** Takes a request apart. */
export function sourceOf(request: Request): Source {
  const parts = requestParts(request);
  if (parts) {
    const { source, url } = parts;
    return { url, headers: headerPairs(source.params), body: takeAnyBody(source, request.method) };
  }
  const headers: string[] = [];
  request.headers.forEach((value, name) => headers.push(name, value));
  return { url: request.url, headers, body: request.body as ReadableStream<Bytes> | null };
}

/** A request as `node:http` gives it to listeners. */
export function makeIncoming(socket: unknown, request: Request, info: ServeInfo, headers: string[]): Incoming {
  const incoming = new IncomingMessage(socket as never) as Incoming;
  incoming.method = request.method;
  incoming.url = requestTarget(request, info);
  incoming.httpVersion = "1.1";
  incoming.httpVersionMajor = incoming.httpVersionMinor = 1;
  incoming._addHeaderLines(headers, headers.length);
  return incoming;
}

/** What a request says of its connection that is to have a response. */
const closing: readonly string[] = ["connection", "close"];

/**
 * Headers as the visitor sent them, with what is said of the connection in the place of what the web server said of its own,
 * and the length of the body, NaN if not given.
 */
export function receivedHeaders(
  { headers: sent, url, body }: Source,
  method: string,
  connection: readonly string[] = closing,
): { headers: string[]; length: number } {
  const start = url.indexOf("//") + 2;
  // Also what HTTP/1.0 leaves out, or a web server's configuration has spoilt.
  const headers = ["host", url.slice(start, url.indexOf("/", start))];
  let length = NaN;
  for (let i = 0; i < sent.length; i += 2) {
    const name = sent[i];
    // The web server has given its own answer to "Expect".
    if (name === "host" || name === "expect" || connectionHeaders.has(name)) continue;
    if (name === "content-length") {
      if (body !== null) length = Number(sent[i + 1]);
      continue;
    }
    headers.push(name, sent[i + 1]);
  }
  headers.push(...connection);
  if (body !== null) {
    headers.push(...Number.isNaN(length) ? ["transfer-encoding", "chunked"] : ["content-length", String(length)]);
  } else if (method === "POST" || method === "PUT" || method === "PATCH") headers.push("content-length", "0");
  return { headers, length };
}

function bytesOf(piece: string | Uint8Array): Bytes {
  if (typeof piece === "string") return Buffer.from(piece);
  return new Uint8Array(piece.buffer as ArrayBuffer, piece.byteOffset, piece.byteLength);
}

// Replaced methods. One function for all objects costs less than one for each.

function read(this: Incoming): void {
  this[call].wanted();
}

function storeHeader(this: Outgoing, line: string, headers: unknown): void {
  this[call].head(headerPairsOf(headers, outHeaders(this)));
  // `node:http` checks in many places whether there is one.
  this._header = line;
  this._headerSent = false;
}

function send(
  this: Outgoing,
  data: string | Uint8Array,
  encoding?: BufferEncoding | Callback | null,
  callback?: Callback | null,
): boolean {
  if (typeof encoding === "function") return this[call].write(data, null, encoding);
  return this[call].write(data, encoding, callback);
}

/** Informational responses. Early hints pass over HTTP; the others concern the connection, and CGI cannot carry any. */
function writeRaw(
  this: Outgoing,
  data: string | Uint8Array,
  encoding?: BufferEncoding | Callback | null,
  callback?: Callback | null,
): boolean {
  if (typeof data === "string" && data.startsWith("HTTP/1.1 103 ")) this[call].hints(data);
  const done = typeof encoding === "function" ? encoding : callback;
  if (done) process.nextTick(done);
  return true;
}

/** Symbols that are keys of a response's internals. */
const symbols = Object.getOwnPropertySymbols(
  new ServerResponse({ method: "GET", httpVersionMajor: 1, httpVersionMinor: 1 } as never),
);
const symbolOf = (name: string) => symbols.find(({ description }) => description?.toLowerCase() === name);
const outHeadersSymbol = symbolOf("koutheaders");
const needDrainSymbol = symbolOf("kneeddrain");

function outHeaders(response: ServerResponse): unknown {
  return outHeadersSymbol && (response as unknown as Record<symbol, unknown>)[outHeadersSymbol];
}

function needsDrain(response: ServerResponse): boolean {
  return needDrainSymbol === undefined || !!(response as unknown as Record<symbol, unknown>)[needDrainSymbol];
}

function emitDrain(response: ServerResponse): void {
  if (!needsDrain(response)) return;
  if (needDrainSymbol) (response as unknown as Record<symbol, unknown>)[needDrainSymbol] = false;
  response.emit("drain");
}

const plainName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const plainValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Names in lower case and values in turn. */
function headerPairsOf(headers: unknown, own: unknown): string[] {
  const pairs: string[] = [];
  if (!headers) return pairs;
  if (headers === own) {
    const entries = headers as Record<string, [name: string, value: unknown]>;
    for (const name in entries) addHeader(pairs, name, entries[name][1]);
  } else if (!Array.isArray(headers)) {
    for (const name of Object.keys(headers as object)) addHeader(pairs, name, (headers as Record<string, unknown>)[name]);
  } else if (Array.isArray(headers[0])) {
    for (const [name, value] of headers) addHeader(pairs, name, value);
  } else {
    for (let i = 0; i < headers.length; i += 2) addHeader(pairs, headers[i], headers[i + 1]);
  }
  return pairs;
}

function addHeader(pairs: string[], name: string, value: unknown): void {
  if (Array.isArray(value)) {
    for (const one of value) addHeader(pairs, name, one);
    return;
  }
  // Both throw what the runtime's own response does.
  if (typeof name !== "string" || !plainName.test(name)) validateHeaderName(name);
  if (typeof value !== "string" || !plainValue.test(value)) validateHeaderValue(name, value as string);
  pairs.push(name.toLowerCase(), String(value));
}

function finish(call: Call): void {
  call.finished();
}

function abort(call: Call, failure: Error): void {
  call.aborted(failure);
}

function aborted(): NodeJS.ErrnoException {
  return Object.assign(new Error("aborted"), { code: "ECONNRESET" });
}

/** After "finish". */
function close(response: Outgoing, socket: VisitorSocket, request: Incoming, wanted: boolean): void {
  if (socket._httpMessage === response) response.detachSocket(socket as never);
  closeResponse(response);
  socket.destroyed = true;
  socket.close();
  // Ending a stream that nobody reads is expensive.
  if (request.readableEnded || request.destroyed) return;
  if (request.complete) {
    if (!wanted && (request.listenerCount("end") > 0 || request.listenerCount("close") > 0)) request.resume();
  } else if (wanted || request.listenerCount("close") > 0) request.destroy();
}

function closeResponse(response: Outgoing): void {
  if (response._closed) return;
  response.destroyed = true;
  response._closed = true;
  response.emit("close");
}
