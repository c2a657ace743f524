/**
 * One request and its response on a connection.
 *
 * @module
 */
import process from "node:process";
import { clearImmediate, setImmediate } from "node:timers";
import { freeBytes, takeBytes } from "../gateway/body_bytes.ts";
import { bytesLength, isComplete, knownBody, objectText } from "../gateway/known_body.ts";
import { lazyRequest, requestLine, type RequestSource, type UpgradedHandler } from "../gateway/request.ts";
import { rawSent } from "../gateway/raw_response.ts";
import { connectionHeaders, hasNoBody, plainResponse, responseHead, responseHeader } from "../gateway/response.ts";
import type { UrlOptions } from "../gateway/url.ts";
import { declaredLength, decodeText, type Params, readLength } from "../protocol/params.ts";
import type { ProtocolName, ResponseHead, Role } from "../protocol/protocol.ts";
import { Body, type BodyOwner, concat } from "./body.ts";
import { Chunks } from "./chunks.ts";
import { AbortedError, type Handler, type OnError, type UpgradeWebSocketOptions, type WebSocketUpgrade } from "./handler.ts";
import { entryText, lineText } from "./log_text.ts";
import type { RequestFacts, RequestObserver } from "./monitor.ts";
import { exchangeInfo, logOf } from "./info.ts";
import type { SpoolError } from "./spool.ts";
import { next, response as responseStates, type ResponseState } from "./state.ts";
import { asError } from "./thrown.ts";
import { openWebSocket, upgradeWebSocket } from "./web_socket.ts";

/** What an exchange needs of its connection. */
export interface ExchangeOwner {
  readonly protocol: ProtocolName;
  readonly handler: Handler;
  readonly onError: OnError;
  readonly observer?: RequestObserver;
  /** What is known of the URLs besides the params. */
  readonly urls?: UrlOptions;
  /** Sends a part of the response; `end` completes it. `false` asks to wait for {@linkcode writable}. */
  send(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): boolean;
  /** Resolves when more can be sent, or when the connection is gone. */
  writable(): Promise<void>;
  /** Gives up a response that has begun, so that the web server notices. */
  cut(id: number): void;
  /** Sends text to the web server's error log; `false` if the protocol cannot. */
  stderr(id: number, text: string): boolean;
  /** So many held bytes of a body were released. */
  released(length: number): void;
  /** Heads of responses do not wait for bodies of requests. */
  readonly duplex: boolean;
  /** A response waits for the body of its request, which has to be taken in now. */
  waits(): void;
  /** Sends an interim response; `false` if nobody can take one. */
  earlyHints(headers: readonly string[]): boolean;
  /** Gives the connection to another protocol: see {@linkcode RequestSource.upgrade}. */
  upgrade(id: number, handler: UpgradedHandler): ReturnType<NonNullable<RequestSource["upgrade"]>>;
}

/** What a request is answered with instead of calling the handler. */
export interface Refusal {
  status: number;
  reason: string;
}

/** What is used of a stream's reader; the runtimes' types have more, each of its own. */
interface BodyReader {
  read(): Promise<{ done: boolean; value?: unknown }>;
  cancel(reason?: unknown): Promise<void>;
}

/** Body chunks are gathered up to this size before they are sent, and larger ones are sent in pieces of it. */
const PIECE = 64 * 1024;

/** Gets no page. */
const objectHint =
  `The page is "${objectText}": an object was given as text. If it is JSX, tsconfig.json or deno.json has to name ` +
  'its "jsxImportSource"; for JSON write Response.json(object)';

/** The handler's response, the page of `onError` and the plain one are tried. */
const MAX_ATTEMPTS = 2;

/** HAProxy crashes when a read ends with a STDERR record: fixed in 2.8, but not in Debian 12. */
const diesOfStderr = /^HAProxy 2\.[0-7]\./;

/** Stops reading a visitor's upload once the response is complete, and then never answers. */
const needsEndLast = /^HAProxy/;

/**
 * Milliseconds for which the head of a streamed response still waits after the body over HTTP. Proxies written in Go (Caddy,
 * Traefik) read once more behind the end of a body, and cut off the response if they have already passed on its head; Caddy
 * does not even report it. A body that fits into their buffer, of so many bytes, is sent after that.
 */
const GO_READS_ON_MS = 25;
const GO_BUFFER = 4096;

/** One request and its response. */
export class Exchange implements RequestSource, RequestFacts, BodyOwner {
  readonly owner: ExchangeOwner;
  readonly id: number;
  readonly role: Role;
  readonly params: Params;
  readonly body: Body;
  /** The Filter role's data stream. */
  readonly data: Body | undefined;
  begunAt = 0;
  status = 0;
  sentLength = 0;
  /** A shutdown has ended it before the application did. */
  cut = false;
  /** The response goes on for as long as the visitor listens: an event stream. */
  lasting = false;
  readonly #refusal: Refusal | undefined;
  /** The body is that of a GET or HEAD, which nobody has asked for: `fetch` knows none, and nothing has to wait for it. */
  #isUnread = false;
  /** The method is HEAD. */
  #isHead = false;
  #controller: AbortController | undefined;
  #aborted: AbortedError | undefined;
  #reader: BodyReader | undefined;
  #state: ResponseState = "none";
  /** Settles when the head may leave. */
  #held: PromiseWithResolvers<void> | undefined;
  /** Over HTTP, when the body had been taken in, by `performance.now()`; 0 when that is long ago. */
  #takenAt = 0;
  #failure: Error | undefined;
  /** Responses that could not be sent. */
  #attempts = 0;
  /** The beginning of the body, for debugging. */
  #beginning: Uint8Array | undefined;
  #completed: PromiseWithResolvers<void> | undefined;
  #whenOver: ((failure: Error | undefined) => void) | undefined;

  /** @param refusal why the handler is not to be called */
  constructor(owner: ExchangeOwner, id: number, role: Role, params: Params, refusal?: Refusal) {
    this.owner = owner;
    this.id = id;
    this.role = role;
    this.params = params;
    this.#refusal = refusal;
    this.body = new Body(this);
    if (role === "filter") this.data = new Body(this);
    if (role === "authorizer") this.body.end();
  }

  /** Whether text for the error log does not crash the web server. */
  get takesStderr(): boolean {
    return !diesOfStderr.test(this.params.get("SERVER_SOFTWARE") ?? "");
  }

  /** Whether the head of the response has left. */
  get begun(): boolean {
    return this.#state === "begun" || this.#state === "ending";
  }

  /** Whether the response waits for the body of the request. */
  get waiting(): boolean {
    return this.#state === "waiting" || this.#state === "ending";
  }

  get #over(): boolean {
    return this.#state === "over";
  }

  /** Whether everything that is needed of the request has arrived; a refused one needs nothing more. */
  get received(): boolean {
    return this.#refusal !== undefined || this.body.ended && (this.data?.ended ?? true);
  }

  takeBody(): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null {
    this.#isUnread = false;
    return this.body.take();
  }

  readBody(): Promise<Uint8Array<ArrayBuffer>> | undefined {
    return this.body.empty ? undefined : this.body.read();
  }

  /**
   * The body has ended. FastCGI 1.0, 6.2, has the application compare its length with CONTENT_LENGTH: one that was cut off
   * would overwrite what it was to update. A web server that inflates it leaves both headers as they were.
   */
  endBody(): void {
    const { received } = this.body;
    if (received > 0 && this.owner.protocol === "fcgi") {
      const length = readLength(this.params.get("CONTENT_LENGTH") ?? "") ?? 0;
      if (length > received && this.params.get("HTTP_CONTENT_ENCODING") === undefined) {
        this.body.fail(new Error(`The request declared a content-length of ${length} and had ${received} bytes`));
      }
    }
    this.body.end();
  }

  /** Keeps the beginning of the body for `onError`. */
  remember(bytes: Uint8Array, most: number): void {
    const { length } = this.#beginning ??= new Uint8Array(0);
    if (length < most) this.#beginning = concat([this.#beginning, bytes.subarray(0, most - length)]);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  get completed(): Promise<void> {
    if (this.#completed === undefined) {
      this.#completed = Promise.withResolvers();
      // Avoids an unhandled rejection when nobody uses it.
      this.#completed.promise.catch(() => {});
      if (this.#over) this.#settle();
    }
    return this.#completed.promise;
  }

  /** As {@linkcode ServeInfo.upgradeWebSocket} says. */
  upgradeWebSocket(options?: UpgradeWebSocketOptions): WebSocketUpgrade {
    return upgradeWebSocket(this, logOf(this), options);
  }

  /** As {@linkcode ServeInfo.earlyHints} says. */
  earlyHints(headers: Headers): boolean {
    if (this.#over || this.begun) return false;
    const pairs: string[] = [];
    headers.forEach((value, name) => connectionHeaders.has(name) || name === "content-length" || pairs.push(name, value));
    return this.owner.earlyHints(pairs);
  }

  upgrade(handler: UpgradedHandler): ReturnType<ExchangeOwner["upgrade"]> {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const observed: UpgradedHandler = {
      ...handler,
      close(error) {
        resolve();
        handler.close(error);
      },
    };
    const upgraded = this.#over || this.begun ? undefined : this.owner.upgrade(this.id, observed);
    if (upgraded === undefined) return undefined;
    this.owner.observer?.upgraded?.(this, closed);
    this.status = 101;
    this.#finish();
    return upgraded;
  }

  whenOver(listener: (failure: Error | undefined) => void): void {
    this.#whenOver = listener;
    if (this.#over) listener(this.#failure);
  }

  /** Calls the handler and sends what it returns. */
  start(): void {
    // Aborted by what arrived together with it.
    if (this.#over) return;
    this.begunAt = performance.now();
    this.owner.observer?.begun(this);
    const line = this.#refusal ?? requestLine(this.params, this.owner.urls);
    if (line.status !== undefined) return this.#refuse(line.status, line.reason);
    this.#isHead = line.method === "HEAD";
    this.#isUnread = this.#isHead || line.method === "GET";
    try {
      const result = this.owner.handler(lazyRequest(this, line.method, line.url, line.isNormalized), exchangeInfo(this));
      if (isResponse(result)) this.#respond(result);
      else Promise.resolve(result).then((response) => this.#respond(response), (error) => this.#failed(error));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Answers without calling the handler. */
  #refuse(status: number, reason: string): void {
    this.#report(new Error(`Refused with ${status}: ${reason}`));
    // RFC 9110, 15.5.6: a 405 lists the allowed methods.
    const headers: Record<string, string> = status === 405 ? { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" } : {};
    this.#respond(plainResponse(status, "The server could not take this request.", headers));
  }

  /** The web server no longer waits for the response. */
  abort(reason: string): void {
    if (this.#over) return;
    this.#aborted = new AbortedError(reason);
    this.body.fail(this.#aborted);
    this.data?.fail(this.#aborted);
    this.#controller?.abort(this.#aborted);
    this.#reader?.cancel(this.#aborted).catch(() => {});
    this.#finish(this.#aborted);
  }

  /** The response is complete or given up. */
  get over(): boolean {
    return this.#over;
  }

  /** The request counts as in flight until this settles. */
  waitUntil(work: Promise<unknown>): void {
    const settled = Promise.resolve(work).catch((error) => void this.#report(asError(error)));
    this.owner.observer?.working?.(this, settled);
  }

  /** The server is shutting down and waits no longer. */
  cutOff(reason: string): void {
    if (this.#state === "ending") return this.end();
    if (this.#over) return;
    this.cut = true;
    const error = this.#aborted = new AbortedError(reason);
    // An event stream can simply end: its client connects again.
    const ends = this.lasting && this.begun;
    if (!ends) this.#report(new Error(`Cut after ${((performance.now() - this.begunAt) / 1000).toFixed(1)} s: ${reason}`));
    this.#stop(error);
    if (!this.begun) {
      return this.#respond(plainResponse(503, "The server is stopping. Please try again.", { "retry-after": "1" }));
    }
    if (ends) this.#send(undefined, undefined, true);
    else this.owner.cut(this.id);
    this.#finish();
  }

  /** The application takes longer than it may. */
  timeOut(seconds: number): void {
    if (this.#state === "ending") return this.end();
    this.#giveUp(new AbortedError(`The application took longer than ${seconds} s`), 504, "The site took too long to answer.");
  }

  /** There is no room for the body, which has to be taken in before the response can leave. */
  overflow({ status, message }: SpoolError): void {
    const what = this.#state === "waiting"
      ? "the head of the response waits until the request's body has been taken in (duplex=true sends it at once)"
      : "the web server takes no more of the response until the request's body has been taken in";
    const text = status === 413 ? "The upload is too large." : "The server has no room for the upload. Please try again later.";
    this.#giveUp(new AbortedError(`Gave up an upload: ${what}, and ${message}`), status, text);
  }

  /** Aborts the application's signal and ends reading the request and its response. */
  #stop(error: AbortedError): void {
    this.#failure ??= error;
    this.body.fail(error);
    this.data?.fail(error);
    this.#controller?.abort(error);
    this.#reader?.cancel(error).catch(() => {});
    this.#reader = undefined;
  }

  /** Ends a request in flight: with a page, or a cut where the head has left. */
  #giveUp(error: AbortedError, status: number, text: string): void {
    if (this.#over) return;
    this.#aborted = error;
    const page = this.#report(error, this.begun ? undefined : status);
    this.#stop(error);
    if (!this.begun) return this.#respond(isResponse(page) ? page : plainResponse(status, text));
    this.owner.cut(this.id);
    this.#finish();
  }

  #respond(response: Response): void {
    try {
      if (!isResponse(response)) {
        throw new TypeError(`The handler returned ${describe(response)}, expected a Response${hint(response)}`);
      }
      if (this.#over) return void response.body?.cancel(this.#aborted).catch(() => {});
      if (this.#isUnread && !this.body.ended) this.body.discard();
      const { status } = response;
      if (status === 101 && this.#opens(response)) return;
      if (response.bodyUsed) throw new TypeError("The handler returned a Response whose body has been read already");
      const bodyless = hasNoBody(status);
      const known = bodyless ? undefined : knownBody(response);
      if (known === objectText) throw new TypeError(objectHint);
      const bytes = shortBody(known);
      if (bytes) {
        this.#send(responseHead(response, this.role, bytes.length), this.#isHead ? undefined : bytes, true);
        if (bytes === known) rawSent(response);
        return;
      }
      const length = bodyless ? undefined : bytesLength(response);
      if (length !== undefined && length <= PIECE) {
        // Not as a stream: on Bun even asking for it doubles the cost.
        this.#sendBytes(response).catch((error) => this.#failed(error));
        return;
      }
      // Before looking at the body, which may change that, and on Bun takes the type of a Blob, a file or a form away.
      const complete = isComplete(response);
      // One that has said how long it is would break off.
      this.lasting = /^text\/event-stream\b/i.test(responseHeader(response, "content-type") ?? "") &&
        responseHeader(response, "content-length") === null;
      if (bodyless || known === undefined && response.body === null) {
        response.body?.cancel().catch(() => {});
        // Only the application knows the length that GET would give.
        this.#send(responseHead(response, this.role, this.#isHead || bodyless ? undefined : 0), undefined, true);
      } else {
        const whole = typeof known === "string" ? encoder.encode(known) : known;
        const reader = whole ? readerOf(whole) : response.body!.getReader();
        this.#stream(response, reader, complete, whole?.length ?? length).catch((error) => this.#failed(error));
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Whether a response opens a WebSocket, which it has done then. */
  #opens(response: Response): boolean {
    const open = openWebSocket(response, (handler) => this.upgrade(handler));
    if (open === false) throw new Error("The WebSocket was closed before its response was returned");
    return open !== undefined;
  }

  /** Sends a response of bytes in memory in one write. */
  async #sendBytes(response: Response): Promise<void> {
    const aborted = this.#aborted;
    const bytes = await takeBytes(response);
    // Another response has taken its place.
    if (this.#aborted !== aborted) return;
    this.#send(responseHead(response, this.role, bytes.length), this.#isHead ? undefined : bytes, true);
    freeBytes(bytes);
  }

  /**
   * Sends head and body. What is available goes in one write with the head and the end; later chunks are
   * sent as they come, so that events arrive one by one.
   *
   * Most web servers write the whole request before they read any of the response, and nginx writes nothing more of it once
   * it has seen a head. So the head of a response that is not complete yet waits until the body has been taken in.
   *
   * @param length bytes of the body, if that is known
   */
  async #stream(response: Response, reader: BodyReader, complete: boolean, length?: number): Promise<void> {
    this.#reader = reader;
    const chunks = new Chunks();
    let held: Uint8Array[] = [];
    let heldLength = 0;
    /** Bytes that the head has promised, and how many of them are still to come. */
    let declared = Infinity;
    let left = Infinity;
    let writable = true;
    const gone = () => this.#over || this.#reader !== reader;

    const flush = (end: boolean) => {
      const head = this.begun ? undefined : responseHead(response, this.role, end ? heldLength : length);
      if (head && !this.#isHead) left = declared = end ? heldLength : length ?? declaredLength(head) ?? Infinity;
      let bytes = this.#isHead || heldLength === 0 ? undefined : held.length === 1 ? held[0] : concat(held);
      held = [];
      heldLength = 0;
      if (bytes && bytes.length > left) {
        // On a connection that is kept, the visitor's next response would begin with the rest.
        bytes = bytes.subarray(0, left);
        left = 0;
        this.#reader = undefined;
        this.#send(head, bytes, true);
        const error = new Error(`The Response declared a content-length of ${declared} and has more, which was not sent`);
        this.#report(error);
        reader.cancel(error).catch(() => {});
        return;
      }
      left -= bytes?.length ?? 0;
      if (end && left > 0 && left !== Infinity) {
        throw new Error(`The Response declared a content-length of ${declared} and had ${declared - left} bytes`);
      }
      if (head || bytes || end) writable = this.#send(head, bytes, end || this.#isHead);
      // HEAD: the rest is not needed, and the loop below may wait for it.
      if (this.#isHead && !end) reader.cancel().catch(() => {});
    };

    const timer = new Soon(() => {
      try {
        if (gone()) return;
        const held = complete ? undefined : this.#holdHead();
        if (held) held.then(() => timer.start());
        else flush(false);
      } catch (error) {
        this.#failed(error);
      }
    });
    timer.start();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        // Another response has taken the place of one whose head could not be sent.
        if (gone()) break;
        if (done) {
          const rest = chunks.end();
          if (rest.length > 0) held.push(rest);
          heldLength += rest.length;
          flush(true);
          return;
        }
        const bytes = chunks.bytes(value);
        if (!bytes) throw new TypeError(`The Response's body gave ${describe(value)}, expected a Uint8Array or text`);
        for (let at = 0; at < bytes.length && !gone(); at += PIECE) {
          const piece = bytes.length > PIECE ? bytes.subarray(at, at + PIECE) : bytes;
          if (heldLength + piece.length > PIECE) {
            const held = complete ? undefined : this.#holdHead();
            if (held) await held;
            if (gone()) break;
            flush(false);
            if (gone()) break;
          }
          held.push(piece);
          heldLength += piece.length;
          if (!writable) {
            flush(false);
            await this.owner.writable();
            writable = true;
          }
        }
        if (!gone()) timer.start();
      }
      // Over before the body was: aborted, or HEAD.
      reader.cancel(this.#aborted).catch(() => {});
    } finally {
      timer.stop();
    }
  }

  /** What the head has to wait for, `undefined` if nothing. */
  #holdHead(): Promise<void> | undefined {
    if (this.begun || this.owner.duplex) return undefined;
    if (this.#taken) {
      const left = this.#takenAt + GO_READS_ON_MS - performance.now();
      if (left <= 0 || this.body.received <= GO_BUFFER) return undefined;
      if (this.#held === undefined) {
        this.#held = Promise.withResolvers();
        this.#resumeIn(left);
      }
      return this.#held.promise;
    }
    this.#held ??= Promise.withResolvers();
    if (this.#state === "none") {
      this.#state = next(responseStates, this.#state, "wait");
      this.owner.waits();
    }
    return this.#held.promise;
  }

  /** Whether all that the application wants of the request has been taken in. */
  get #taken(): boolean {
    return this.body.taken && (this.data?.taken ?? true);
  }

  // From the bodies

  released(length: number): void {
    this.owner.released(length);
  }

  taken(): void {
    if (!this.#taken) return;
    const { protocol } = this.owner;
    if (protocol === "http") this.#takenAt = performance.now();
    if (!this.waiting) return;
    if (this.#state === "ending") this.end();
    else if (protocol === "http") this.#resumeIn(GO_READS_ON_MS);
    else this.#held!.resolve();
  }

  #resumeIn(ms: number): void {
    setTimeout(() => {
      this.#takenAt = 0;
      this.#held!.resolve();
    }, ms);
  }

  /** Sends the end of a response that waits for nothing else. */
  end(): void {
    if (this.#state !== "ending") return;
    this.owner.send(this.id, undefined, undefined, true);
    this.#finish();
  }

  #send(head: ResponseHead | undefined, bytes: Uint8Array | undefined, end: boolean): boolean {
    if (this.#over) return true;
    if (head) this.status = head.status;
    if (bytes) this.sentLength += bytes.length;
    const held = end && !this.received && this.#endsLast;
    const writable = this.owner.send(this.id, head, bytes, end && !held);
    if (held) this.#endLater();
    else if (end) this.#finish();
    else this.#state = next(responseStates, this.#state, "head");
    return writable;
  }

  get #endsLast(): boolean {
    return this.owner.protocol === "fcgi" && needsEndLast.test(this.params.get("SERVER_SOFTWARE") ?? "");
  }

  /** The rest of the body is not needed, but has to arrive before the end of the response leaves. */
  #endLater(): void {
    this.body.discard();
    this.data?.discard();
    this.#state = next(responseStates, this.#state, "complete");
    this.owner.waits();
  }

  /** The handler, the body of its response, or the page that was to say so failed. */
  async #failed(reason: unknown): Promise<void> {
    const error = asError(reason);
    this.#reader?.cancel(error).catch(() => {});
    this.#reader = undefined;
    // An aborted application may well throw.
    if (this.#over) {
      if (!this.#aborted) this.#report(error);
      return;
    }
    this.#failure ??= error;
    const attempt = ++this.#attempts;
    const page = await this.#report(error, this.begun ? undefined : 500);
    if (this.#over) return;
    if (this.begun || attempt > MAX_ATTEMPTS) {
      this.owner.cut(this.id);
      return this.#finish();
    }
    this.#respond((attempt === 1 && page) || plainResponse(500, "The site could not answer. The reason is in its error log."));
  }

  #finish(failure = this.#failure): void {
    if (this.#over) return;
    this.#state = next(responseStates, this.#state, "finish");
    this.#held?.resolve();
    this.#failure = failure;
    if (this.begunAt !== 0) this.owner.observer?.ended(this);
    this.body.discard();
    this.data?.discard();
    this.#settle();
  }

  #settle(): void {
    this.#whenOver?.(this.#failure);
    this.#whenOver = undefined;
    if (this.#failure) this.#completed?.reject(this.#failure);
    else this.#completed?.resolve();
  }

  /** @param status what the visitor gets, unless `onError` says otherwise */
  #report(error: Error, status?: number): ReturnType<OnError> {
    const [method, url] = ["REQUEST_METHOD", "REQUEST_URI"].map((name) => lineText(decodeText(this.params.get(name) ?? "")));
    const during = `${method} ${url}`.trim() || "a connection";
    const failed = (second: unknown) => void process.stderr.write(`onError failed: ${entryText(String(second))}\n`);
    try {
      const page = this.owner.onError(error, {
        during,
        params: this.params.toRecord(),
        status,
        ...this.#beginning && { body: this.#beginning },
      });
      return page instanceof Promise ? page.catch(failed) : page;
    } catch (second) {
      failed(second);
    }
  }
}

/** Runs something at the end of this turn of the event loop, once for any number of starts. */
class Soon {
  readonly #run: () => void;
  #immediate: NodeJS.Immediate | undefined;

  constructor(run: () => void) {
    this.#run = run;
  }

  start(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.#run();
    });
  }

  stop(): void {
    if (this.#immediate) clearImmediate(this.#immediate);
  }
}

const shortText = new Uint8Array(PIECE);
const encoder = new TextEncoder();

/** Bytes of a known body, valid until the next call; `undefined` for one that is longer than a piece. */
function shortBody(body: string | Uint8Array | undefined): Uint8Array | undefined {
  if (body === undefined || body.length > PIECE) return undefined;
  if (typeof body !== "string") return body;
  const { read, written } = encoder.encodeInto(body, shortText);
  return read === body.length ? shortText.subarray(0, written) : undefined;
}

/** Reads a body that is there. */
function readerOf(bytes: Uint8Array): BodyReader {
  let value: Uint8Array | undefined = bytes;
  return {
    read() {
      const result = { done: value === undefined, value };
      value = undefined;
      return Promise.resolve(result);
    },
    cancel: () => Promise.resolve(),
  };
}

/** Also true for the Response of a package with its own implementation. */
function isResponse(value: unknown): value is Response {
  if (value instanceof Response) return true;
  const { status, headers } = (value ?? {}) as Partial<Response>;
  return typeof status === "number" && typeof headers?.forEach === "function";
}

function hint(returned: unknown): string {
  return returned === undefined ? ": is a return missing?" : "";
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  const name = typeof value === "object" ? value.constructor?.name : undefined;
  return name ? `an object of ${name}` : `a value of type ${typeof value}`;
}
