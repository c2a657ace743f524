/**
 * WebSockets of fetch handlers: what `info.upgradeWebSocket()` gives.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { rawResponse } from "../gateway/raw_response.ts";
import type { UpgradedHandler } from "../gateway/request.ts";
import { connectionHeaders, plainResponse } from "../gateway/response.ts";
import { requestUrl } from "../gateway/url.ts";
import type { Params } from "../protocol/params.ts";
import { labels, type ProtocolName } from "../protocol/protocol.ts";
import {
  CloseCode,
  encodeClose,
  encodeFrame,
  encodeText,
  isCloseCode,
  MessageReader,
  Opcode,
  type WebSocketError,
  type WebSocketEvent,
} from "../protocol/websocket/frames.ts";
import { acceptKey, hasBody, hasUpgrade, readHandshake, wantsWebSocket } from "../protocol/websocket/handshake.ts";
import type { Connection } from "../runtime/socket.ts";
import type { OnError, UpgradeWebSocketOptions, WebSocketUpgrade } from "./handler.ts";
import type { InfoSource } from "./info.ts";
import { asError } from "./thrown.ts";

/** Seconds of silence after which a visitor is given up. Asked after half of them, before web servers close at 60. */
const IDLE_SECONDS = 60;
/** Bytes of a message. */
const MAX_PAYLOAD = 16 * 1024 * 1024;
/** Milliseconds for the visitor to answer a close, and to close the connection. */
const CLOSE_MS = 10_000;
/** Bytes that wait for the visitor, above which nothing more is read of him, and above which he is given up. */
const PAUSE_AT = 1024 * 1024;
const MAX_BUFFERED = 64 * 1024 * 1024;
/** Bytes that all sockets of this process may hold, of messages that arrive and for visitors who are slow. */
const MAX_TOGETHER = 128 * 1024 * 1024;
/** Seconds in which a visitor takes nothing of what waits for him. */
const BLOCKED_SECONDS = 300;
/** RFC 6455, 5.5.1: bytes of a reason, behind the code. */
const MAX_REASON = 123;

/** What is used of the request. */
export type UpgradeSource = Pick<InfoSource, "id" | "params" | "owner" | "completed">;

/** Gives the connection to a handler, as `RequestSource.upgrade` does. */
type Take = (handler: UpgradedHandler) => { connection: Connection; first: Uint8Array } | undefined;

/** Sockets that hold something, and how much all of them hold. */
const holding = new Set<ServerWebSocket>();
let heldTogether = 0;

/** Sockets by the responses that open them. */
const waiting = new WeakMap<Response, ServerWebSocket>();

/**
 * What `info.upgradeWebSocket()` does.
 *
 * @param log writes to the error log
 * @throws {TypeError} if the request does not ask for a WebSocket, or an option is invalid
 */
export function upgradeWebSocket(
  source: UpgradeSource,
  log: (text: string) => void,
  options: UpgradeWebSocketOptions = {},
): WebSocketUpgrade {
  const { params, owner } = source;
  if (!wantsWebSocket(params)) {
    throw new TypeError(
      'The request asks for no WebSocket: it is no GET with "Upgrade: websocket"',
    );
  }
  checkOptions(options);
  becomeWebSocket();
  const url = requestUrl(params, owner.urls) ?? "";
  const socket = new ServerWebSocket(`ws${url.slice("http".length)}`, owner.onError, options);
  const page = cannotCarry(params, owner.protocol, log) ?? isInvalid(params);
  if (page !== undefined) {
    queueMicrotask(() => socket.abandon(new Error(`The request was refused with ${page.status}`)));
    return { socket: socket as unknown as WebSocket, response: page };
  }
  const { key, protocols } = readHandshake(params) as { key: string; protocols: readonly string[] };
  const { protocol = "" } = options;
  if (protocol !== "" && !protocols.includes(protocol)) {
    throw new TypeError(`The protocol "${protocol}" is not one that the request asks for: ${protocols.join(", ") || "none"}`);
  }
  const headers = ["upgrade", "websocket", "connection", "Upgrade", "sec-websocket-accept", acceptKey(key)];
  if (protocol !== "") headers.push("sec-websocket-protocol", protocol);
  const response = rawResponse({ status: 101, reason: "", headers, body: null });
  waiting.set(response, socket);
  const over = () => socket.abandon(new Error("The handler returned another response"));
  source.completed.then(over, over);
  return { socket: socket as unknown as WebSocket, response };
}

function checkOptions({ idleTimeout = 0, maxPayloadLength = 1 }: UpgradeWebSocketOptions): void {
  if (!(idleTimeout >= 0 && idleTimeout <= 1e6)) {
    throw new TypeError(`idleTimeout is ${idleTimeout}, expected a number of seconds, or 0 for none`);
  }
  if (!(Number.isInteger(maxPayloadLength) && maxPayloadLength > 0)) {
    throw new TypeError(`maxPayloadLength is ${maxPayloadLength}, expected a number of bytes above 0`);
  }
}

/** What has to be configured, behind the reason. */
const configured = "runfcgi config SERVER protocol=http websocket=true prints what the web server needs";

/** Why no WebSocket can pass over this connection; `undefined` where one can. */
function lackOf(params: Params, protocol: ProtocolName): string | undefined {
  if (protocol !== "http") return `A WebSocket cannot pass over ${protocol === "cgi" ? "CGI" : labels[protocol]}, only over HTTP`;
  if (params.get("SERVER_PROTOCOL") !== "HTTP/1.1") {
    return "A WebSocket needs HTTP/1.1, and the web server speaks HTTP/1.0 with this program";
  }
  return hasUpgrade(params) ? undefined : "A WebSocket needs the header Upgrade, which the web server does not pass on";
}

/**
 * The page for a request for a WebSocket that its connection cannot carry, and a line in the log, or that has a body;
 * `undefined` for others.
 *
 * @param log writes to the error log
 */
export function cannotCarry(params: Params, protocol: ProtocolName, log: (text: string) => void): Response | undefined {
  const lack = lackOf(params, protocol);
  if (lack === undefined) return hasBody(params) ? invalidPage(400, "it has a body") : undefined;
  log(`${lack}: ${configured}`);
  return plainResponse(426, `${lack}: ${configured}.`);
}

/** The page for a request whose handshake is invalid. */
function isInvalid(params: Params): Response | undefined {
  const handshake = readHandshake(params);
  if (handshake.status === undefined) return undefined;
  const { status, reason, headers } = handshake;
  return invalidPage(status, reason, headers);
}

function invalidPage(status: number, reason: string, headers?: Record<string, string>): Response {
  return plainResponse(status, `The request for a WebSocket is invalid: ${reason}.`, headers);
}

/**
 * Sends the head of a response that opens a socket, and opens it.
 *
 * @returns whether that was possible; `undefined` for a response of another kind
 * @throws {TypeError} for an invalid header
 */
export function openWebSocket(response: Response, take: Take): boolean | undefined {
  return waiting.get(response)?.open(response, take);
}

type State = 0 | 1 | 2 | 3;
const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const events = ["open", "message", "close", "error"] as const;
type Listener = (event: Event) => unknown;
/** What `addEventListener` takes, and how it is called. */
type Listening = Listener | { handleEvent: Listener };
type Wrapper = (event: Event) => void;
type BinaryKind = "blob" | "arraybuffer";

/** A `WebSocket` whose other end is the visitor. */
class ServerWebSocket extends EventTarget {
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSING = CLOSING;
  static readonly CLOSED = CLOSED;
  readonly CONNECTING = CONNECTING;
  readonly OPEN = OPEN;
  readonly CLOSING = CLOSING;
  readonly CLOSED = CLOSED;

  readonly #url: string;
  readonly #protocol: string;
  readonly #onError: OnError;
  readonly #reader: MessageReader;
  readonly #idleMs: number;
  #state: State = CONNECTING;
  #binaryType: BinaryKind = "blob";
  #connection: Connection | undefined;
  /** Bytes that the connection has not taken yet. */
  #buffered = 0;
  /** Bytes that are counted as held, these included. */
  #held = 0;
  #paused = false;
  /** Settles when a Blob is read that is to be sent before what follows. */
  #reading: Promise<void> | undefined;
  /** A close was sent, as the last frame. */
  #sentClose = false;
  /** What the visitor's close said. */
  #received: { code: number; reason: string } | undefined;
  /** Nothing that comes is looked at any more. */
  #deaf = false;
  /** The server is stopping: what still comes is for the application. */
  #stopping = false;
  /** A ping that is to be answered when the connection takes something again. */
  #ping: Uint8Array | undefined;
  /** Something came, or was sent, since the clock was looked at; and a ping is not answered. */
  #heard = false;
  #said = false;
  #asked = false;
  #blockedMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #wrappers = new WeakMap<object, Wrapper>();
  readonly #handlers: Partial<Record<string, Listener>> = {};

  constructor(url: string, onError: OnError, options: UpgradeWebSocketOptions) {
    super();
    this.#url = url;
    this.#onError = onError;
    this.#protocol = options.protocol ?? "";
    this.#idleMs = (options.idleTimeout ?? IDLE_SECONDS) * 1000;
    this.#reader = new MessageReader(options.maxPayloadLength ?? MAX_PAYLOAD);
  }

  // The standard's

  get url(): string {
    return this.#url;
  }

  get protocol(): string {
    return this.#protocol;
  }

  get extensions(): string {
    return "";
  }

  get readyState(): State {
    return this.#state;
  }

  get bufferedAmount(): number {
    return this.#buffered;
  }

  get binaryType(): BinaryKind {
    return this.#binaryType;
  }

  set binaryType(type: BinaryKind) {
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  send(data: string | ArrayBufferLike | ArrayBufferView | Blob): void {
    if (this.#state === CONNECTING) {
      throw new DOMException("The socket is not open yet: send when it has the event open", "InvalidStateError");
    }
    if (typeof data === "string") this.#inTurn(() => this.#message(encodeText(data)));
    else if (data instanceof Blob) this.#sendBlob(data);
    else if (ArrayBuffer.isView(data)) this.#sendBytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    else if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) this.#sendBytes(new Uint8Array(data));
    else this.send(String(data));
  }

  close(code?: number, reason = ""): void {
    // More than a browser may send: those of servers, such as 1008 and 1011, as on Deno, Bun and in ws.
    if (code !== undefined && !isCloseCode(code)) {
      throw new DOMException(
        `The close code is ${code}, expected one that may be sent, such as 1000 or 4000`,
        "InvalidAccessError",
      );
    }
    reason = String(reason);
    if (Buffer.byteLength(reason) > MAX_REASON) {
      throw new DOMException(`The reason is longer than ${MAX_REASON} bytes`, "SyntaxError");
    }
    if (this.#state === CONNECTING) return this.abandon(new Error("The socket was closed before it was open"));
    if (this.#state !== OPEN) return;
    this.#state = CLOSING;
    this.#inTurn(() => {
      this.#sendClose(code ?? (reason === "" ? CloseCode.none : 1000), reason);
      // The visitor may need long for what comes before it.
      this.#limit(this.#buffered > 0 ? BLOCKED_SECONDS * 1000 : CLOSE_MS);
    });
  }

  // A listener that fails ends nothing but its own work, like a handler of requests.

  override addEventListener(
    type: string,
    listener: Listening | null,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void {
    super.addEventListener(type, (listener && this.#wrapped(listener)) as never, options);
  }

  override removeEventListener(
    type: string,
    listener: Listening | null,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void {
    super.removeEventListener(type, (listener && this.#wrapped(listener)) as never, options);
  }

  #wrapped(listener: Listening): Wrapper {
    const known = this.#wrappers.get(listener);
    if (known) return known;
    const wrapper: Wrapper = (event) => {
      try {
        const result: unknown = typeof listener === "function" ? listener.call(this, event) : listener.handleEvent(event);
        if (result instanceof Promise) result.catch((error) => this.#report(error));
      } catch (error) {
        this.#report(error);
      }
    };
    this.#wrappers.set(listener, wrapper);
    return wrapper;
  }

  #report(error: unknown): void {
    this.#onError(asError(error), { during: `the WebSocket ${this.#url}` });
  }

  /** For the attributes `onopen` and so on. */
  static handler(socket: ServerWebSocket, type: string): Listener | null {
    return socket.#handlers[type] ?? null;
  }

  static setHandler(socket: ServerWebSocket, type: string, listener: unknown): void {
    // One listener calls whichever handler is set, and keeps its place.
    if (!Object.hasOwn(socket.#handlers, type)) {
      socket.addEventListener(type, (event) => socket.#handlers[type]?.call(socket, event));
    }
    socket.#handlers[type] = typeof listener === "function" ? listener as Listener : undefined;
  }

  // From the server

  open(response: Response, take: Take): boolean {
    if (this.#state !== CONNECTING) return false;
    const head = headOf(response);
    const taken = take(this.#upgraded);
    if (taken === undefined) return false;
    this.#connection = taken.connection;
    this.#state = OPEN;
    this.#write(head);
    this.#watch();
    this.dispatchEvent(new Event("open"));
    if (taken.first.length > 0) this.#upgraded.data(taken.first);
    return true;
  }

  /** It will never be open. */
  abandon(error: Error): void {
    if (this.#state !== CONNECTING) return;
    this.#state = CLOSED;
    this.#error(error);
    this.dispatchEvent(new CloseEvent("close", { code: CloseCode.abnormal, wasClean: false }));
  }

  /** What the connection calls. */
  readonly #upgraded: UpgradedHandler = {
    data: (bytes) => this.#data(bytes),
    end: () => this.#connection!.close(),
    drain: () => this.#drained(),
    close: () => this.#gone(),
    stop: () => {
      if (this.#state !== OPEN) return;
      this.#state = CLOSING;
      this.#stopping = true;
      this.#inTurn(() => this.#sendClose(CloseCode.goingAway));
    },
  };

  #data(bytes: Uint8Array): void {
    if (this.#deaf) return;
    this.#heard = true;
    this.#asked = false;
    try {
      this.#reader.receive(bytes);
      for (let event = this.#reader.nextEvent(); event !== undefined; event = this.#reader.nextEvent()) this.#event(event);
    } catch (error) {
      this.#fail(error as WebSocketError);
    }
    this.#count();
  }

  #event(event: WebSocketEvent): void {
    switch (event.type) {
      case "text":
        return this.#receive(event.text);
      case "binary":
        return this.#receive(
          this.#binaryType === "blob" ? new Blob([event.bytes as Uint8Array<ArrayBuffer>]) : bufferOf(event.bytes),
        );
      case "ping":
        if (this.#buffered > 0) this.#ping = event.bytes;
        else this.#pong(event.bytes);
        return;
      case "close":
        this.#deaf = true;
        this.#received = event;
        this.#state = CLOSING;
        // RFC 6455, 5.5.1 and 7.1.1: the answer has the same code, and the server closes the connection.
        return this.#inTurn(() => {
          this.#sendClose(event.code);
          this.#connection!.close();
          this.#limit();
        });
    }
  }

  #receive(data: unknown): void {
    if (this.#state === OPEN || this.#stopping) this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** RFC 6455, 7.1.7. */
  #fail(error: WebSocketError): void {
    this.#deaf = true;
    this.#state = CLOSING;
    this.#sendClose(error.code, error.message);
    // What still comes is read for a while, since a reset could destroy the close.
    this.#connection!.shutdown();
    if (this.#paused) this.#connection!.resume();
    this.#limit();
    this.#error(error);
  }

  #error(error: Error): void {
    this.dispatchEvent(Object.assign(new Event("error"), { error, message: error.message }));
  }

  #giveUp(reason: string): void {
    this.#deaf = true;
    this.#state = CLOSING;
    this.#release();
    this.#connection!.destroy();
    this.#error(new Error(reason));
  }

  #release(): void {
    this.#reader.end();
    this.#buffered = 0;
    this.#count();
  }

  /** Counts what is held. Past the limit the socket that holds most is given up, whoever has gone past it. */
  #count(): void {
    const held = this.#reader.held + this.#buffered;
    if (held === this.#held) return;
    heldTogether += held - this.#held;
    this.#held = held;
    if (held > 0) holding.add(this);
    else holding.delete(this);
    if (heldTogether <= MAX_TOGETHER) return;
    const most = [...holding].reduce((one, other) => other.#held > one.#held ? other : one);
    most.#giveUp(`All sockets of this process hold more than ${MAX_TOGETHER} bytes, and this one most of them: ${most.#held}`);
  }

  #gone(): void {
    clearTimeout(this.#timer);
    this.#deaf = true;
    this.#release();
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    const { code, reason } = this.#received ?? { code: CloseCode.abnormal, reason: "" };
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean: this.#received !== undefined }));
  }

  // Sending

  /** Behind the Blobs that are being read. */
  #inTurn(run: () => void): void {
    if (this.#reading === undefined) return run();
    const turn = this.#reading = this.#reading.then(run).finally(() => {
      if (this.#reading === turn) this.#reading = undefined;
    });
  }

  #sendBytes(bytes: Uint8Array): void {
    // Copied now: the application may change them.
    const frame = encodeFrame(Opcode.binary, bytes);
    this.#inTurn(() => this.#message(frame));
  }

  #sendBlob(blob: Blob): void {
    const read = async () => {
      try {
        this.#message(encodeFrame(Opcode.binary, new Uint8Array(await blob.arrayBuffer())));
      } catch (error) {
        this.#report(error);
      }
    };
    const turn = this.#reading = (this.#reading ?? Promise.resolve()).then(read).finally(() => {
      if (this.#reading === turn) this.#reading = undefined;
    });
  }

  #message(frame: Uint8Array): void {
    if (this.#sentClose || this.#state === CLOSED) return;
    if (this.#buffered + frame.length > MAX_BUFFERED && this.#buffered > 0) {
      return this.#giveUp(`The visitor takes nothing: more than ${MAX_BUFFERED} bytes wait for him`);
    }
    this.#write(frame);
  }

  #pong(bytes: Uint8Array): void {
    if (!this.#sentClose) this.#write(encodeFrame(Opcode.pong, bytes));
  }

  #sendClose(code: number, reason = ""): void {
    if (this.#sentClose || this.#state === CLOSED) return;
    this.#sentClose = true;
    this.#write(encodeClose(code, reason));
  }

  #write(bytes: Uint8Array): void {
    this.#said = true;
    if (this.#connection!.write(bytes)) return;
    this.#buffered += bytes.length;
    this.#count();
    if (this.#paused || this.#deaf || this.#buffered <= PAUSE_AT) return;
    // Who sends without reading has to wait, or what is sent back would pile up here.
    this.#paused = true;
    this.#connection!.pause();
  }

  #drained(): void {
    if (this.#state === CLOSED) return;
    this.#buffered = 0;
    this.#count();
    this.#blockedMs = 0;
    if (this.#paused) this.#connection!.resume();
    this.#paused = false;
    if (this.#sentClose && !this.#deaf && !this.#stopping) this.#limit();
    const ping = this.#ping;
    this.#ping = undefined;
    if (ping) this.#pong(ping);
    this.dispatchEvent(new Event("drain"));
  }

  // The clock

  /** Asks a silent visitor with a ping, and gives up who does not answer. */
  #watch(): void {
    if (this.#idleMs === 0) return;
    const half = this.#idleMs / 2;
    this.#timer = setTimeout(() => {
      if (this.#state !== OPEN) return;
      if (this.#buffered > 0) {
        // A pong would come behind all that waits.
        this.#blockedMs += half;
        if (this.#blockedMs > BLOCKED_SECONDS * 1000) return this.#giveUp(`The visitor took nothing for ${BLOCKED_SECONDS} s`);
      } else if (this.#asked) {
        // What came while this process was blocked is read in a turn of its own.
        return void setTimeout(() => setTimeout(() => this.#silent(), 0), 0);
      } else if (!this.#heard || !this.#said) {
        this.#asked = !this.#heard;
        this.#write(encodeFrame(Opcode.ping, new Uint8Array()));
      }
      this.#heard = this.#said = false;
      this.#watch();
    }, half);
    this.#timer.unref?.();
  }

  /** A ping was not answered in time. */
  #silent(): void {
    if (this.#state !== OPEN) return;
    if (this.#asked) this.#giveUp(`The visitor did not answer a ping for ${this.#idleMs / 2000} s`);
    else this.#watch();
  }

  /** Waits no longer than so for the end. */
  #limit(ms = CLOSE_MS): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#buffered > 0) return this.#connection!.destroy();
      // A reset would destroy what the kernel still has for a slow visitor.
      this.#connection!.close();
      this.#timer = setTimeout(() => this.#connection!.destroy(), BLOCKED_SECONDS * 1000);
      this.#timer.unref?.();
    }, ms);
    this.#timer.unref?.();
  }
}

for (const type of events) {
  Object.defineProperty(ServerWebSocket.prototype, `on${type}`, {
    configurable: true,
    enumerable: true,
    get(this: ServerWebSocket) {
      return ServerWebSocket.handler(this, type);
    },
    set(this: ServerWebSocket, listener: unknown) {
      ServerWebSocket.setHandler(this, type, listener);
    },
  });
}

let isWebSocket = false;

/** So that `socket instanceof WebSocket`. Not at once, since Node takes long to make that class. */
function becomeWebSocket(): void {
  if (!isWebSocket) Object.setPrototypeOf(ServerWebSocket.prototype, globalThis.WebSocket.prototype);
  isWebSocket = true;
}

/** Bytes as a buffer of their own. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const whole = bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
  return whole.buffer as ArrayBuffer;
}

/** RFC 9110, 5.5. */
const badValue = /[^\t\x20-\x7e\x80-\xff]/;
const ofHandshake = new Set([...connectionHeaders, "content-length", "sec-websocket-accept", "sec-websocket-protocol"]);

/** The head of a response that opens a socket, with the headers that the application has added. */
function headOf(response: Response): Uint8Array {
  const { headers } = response;
  let text = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n";
  for (const name of ["sec-websocket-accept", "sec-websocket-protocol"]) {
    const value = headers.get(name);
    if (value !== null) text += `${name}: ${value}\r\n`;
  }
  headers.forEach((value, name) => {
    if (ofHandshake.has(name)) return;
    if (badValue.test(value)) throw new TypeError(`The header ${name} of the Response has a value that HTTP cannot carry`);
    text += `${name}: ${value}\r\n`;
  });
  return Buffer.from(`${text}\r\n`, "latin1");
}
