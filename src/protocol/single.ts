/**
 * What the protocols with one request for one connection share: a head with the params, a body of CONTENT_LENGTH bytes,
 * and a response that ends with the connection. SCGI, uwsgi and CGI are of this kind.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { CgiResponseParser } from "./cgi_response.ts";
import { Collector } from "./collector.ts";
import { asBuffer, declaredLength, noBytes, type Params, readLength } from "./params.ts";
import {
  type Allocate,
  type ClientCodec,
  type ClientEvent,
  type CodecLimits,
  MAX_STRAY,
  ProtocolError,
  type ResponseHead,
  type ServerCodec,
  type ServerEvent,
} from "./protocol.ts";

/** The only request of a connection. */
const REQUEST_ID = 1;

/** What the server halves take. */
export interface SingleRequestOptions extends CodecLimits {
  /** Where encoded responses go; default is memory of their own. */
  allocate?: Allocate;
}

/** The head of a request and how many bytes it took; how many it needs at least; or why it is refused. */
export type RequestHead = { params: Params; length: number } | { needs: number } | { tooLarge: string };

/** The server half. A protocol adds how its head is read and how the head of a response is written. */
export abstract class SingleRequestServer implements ServerCodec {
  abstract readonly protocol: ServerCodec["protocol"];
  protected readonly options: SingleRequestOptions;
  readonly #events: ServerEvent[] = [];
  /** What came last: most requests come in one piece, which is read where it is. */
  #piece: Uint8Array | undefined;
  /** What came before and was not enough. */
  readonly #input = new Collector();
  /** Length that the head has at least. */
  #needs = 1;
  #begun = false;
  /** Bytes of the body that are still missing; infinite where the end of the connection ends it. */
  #bodyLeft = 0;
  #refused = false;
  #answered = false;
  /** Bytes behind the request. */
  #stray = 0;

  constructor(options: SingleRequestOptions) {
    this.options = options;
  }

  /**
   * Reads the head, or says how much of it is needed.
   *
   * @throws {ProtocolError}
   */
  protected abstract readHead(bytes: Buffer): RequestHead;

  /** The head of a response as a byte string. */
  protected abstract headText(head: ResponseHead): string;

  receive(bytes: Uint8Array): void {
    this.#collect();
    this.#piece = bytes;
  }

  /** Keeps what has come for later. */
  #collect(): void {
    if (this.#piece === undefined) return;
    this.#input.add(this.#piece);
    this.#piece = undefined;
  }

  nextEvent(): ServerEvent | undefined {
    if (this.#events.length === 0) this.#read();
    return this.#events.shift();
  }

  #read(): void {
    let bytes = this.#piece;
    if (bytes !== undefined && this.#input.length === 0 && bytes.length >= this.#needs) this.#piece = undefined;
    else {
      this.#collect();
      if (this.#input.length < this.#needs) return;
      bytes = this.#input.take();
    }
    const input = asBuffer(bytes);
    if (this.#begun) return this.#body(input);
    const head = this.readHead(input);
    if ("needs" in head) {
      this.#needs = head.needs;
      this.#input.add(input);
    } else if ("tooLarge" in head) {
      this.#begun = true;
      this.#needs = 1;
      this.#refuseEndless(431, head.tooLarge);
    } else {
      this.begin(head.params);
      this.#body(input.subarray(head.length));
    }
  }

  /** Reports the request, whose body begins. */
  protected begin(params: Params): void {
    this.#begun = true;
    this.#needs = 1;
    const length = this.endless(params) ? Infinity : bodyLength(params);
    if (length === undefined) {
      const values = params.getAll("CONTENT_LENGTH").map((value) => JSON.stringify(value.slice(0, 40)));
      return this.#refuseEndless(400, `CONTENT_LENGTH is ${values.slice(0, 3).join(" and ")}`);
    }
    this.#bodyLeft = length;
    const { maxParams, maxConcurrent } = this.options;
    if (params.pairs.length > 2 * maxParams) return this.#refuse(431, `more than ${maxParams} params`);
    if (maxConcurrent < 1) return this.#refuse(503, "too many requests at once");
    this.#events.push({ type: "request", id: REQUEST_ID, role: "responder", params });
    if (this.#bodyLeft === 0) this.#events.push({ type: "bodyEnd", id: REQUEST_ID });
  }

  /** Whether the body of a request ends when the web server ends its side. */
  protected endless(_params: Params): boolean {
    return false;
  }

  receiveEnd(): void {
    if (this.#bodyLeft !== Infinity || this.#answered || this.#refused) return;
    this.#bodyLeft = 0;
    this.#events.push({ type: "bodyEnd", id: REQUEST_ID });
  }

  #refuse(status: number, reason: string): void {
    this.#refused = true;
    this.#events.push({ type: "refused", id: REQUEST_ID, status, reason });
  }

  /** Where the request ends is unknown, so everything that follows is ignored. */
  #refuseEndless(status: number, reason: string): void {
    this.#bodyLeft = Infinity;
    this.#refuse(status, reason);
  }

  #body(bytes: Uint8Array): void {
    // RFC 3875, 4.2: the body ends with CONTENT_LENGTH, whatever else arrives.
    const body = bytes.length > this.#bodyLeft ? bytes.subarray(0, this.#bodyLeft) : bytes;
    this.#stray += bytes.length - body.length;
    if (this.#stray > MAX_STRAY) throw new ProtocolError(`The web server sent ${MAX_STRAY} bytes behind its request`);
    if (body.length === 0) return;
    this.#bodyLeft -= body.length;
    if (this.#answered || this.#refused) return;
    this.#events.push({ type: "body", id: REQUEST_ID, bytes: body });
    if (this.#bodyLeft === 0) this.#events.push({ type: "bodyEnd", id: REQUEST_ID });
  }

  encode(_id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    if (this.#answered) return noBytes;
    this.#answered = end;
    // Nothing more is reported of a request that is over.
    if (end) this.#events.length = 0;
    if (head === undefined) return body ?? noBytes;
    const text = this.headText(head);
    const { allocate = Buffer.allocUnsafe } = this.options;
    const bytes = allocate(text.length + (body?.length ?? 0));
    bytes.write(text, "latin1");
    if (body) bytes.set(body, text.length);
    return bytes;
  }

  stderr(): undefined {}

  probe(): undefined {}

  get inHead(): boolean {
    return !this.#begun && !this.#isEmpty;
  }

  get closing(): boolean {
    return this.#answered;
  }

  get idle(): boolean {
    return this.#bodyLeft === 0 && this.#isEmpty;
  }

  /** Whether everything that came has been read. */
  get #isEmpty(): boolean {
    return this.#piece === undefined && this.#input.length === 0;
  }
}

/**
 * Length of the body, `undefined` for a CONTENT_LENGTH that is not a length, and for two that differ: the application would
 * see another than counts here. nginx with `scgi_request_buffering off` puts into CONTENT_LENGTH what has arrived so far; the
 * visitor's own Content-Length, which nginx passes as well, is right, and takes its place. Where that is smaller it is not
 * nginx's, but a "Content_Length" that lighttpd lets through.
 */
function bodyLength(params: Params): number | undefined {
  const { pairs } = params;
  let length = 0;
  let at = -1;
  for (let i = 0; i < pairs.length; i += 2) {
    if (pairs[i] !== "CONTENT_LENGTH") continue;
    const given = readLength(pairs[i + 1] || "0");
    if (given === undefined || at >= 0 && given !== length) return undefined;
    length = given;
    at = i;
  }
  const visitors = at < 0 ? undefined : params.get("HTTP_CONTENT_LENGTH");
  if (!visitors || params.get("HTTP_TRANSFER_ENCODING")) return length;
  const right = readLength(visitors);
  if (right === undefined || right <= length) return length;
  pairs[at + 1] = visitors;
  return right;
}

/** The client half. A protocol adds how the head of a request is written. */
export abstract class SingleRequestClient implements ClientCodec {
  readonly #response = new CgiResponseParser(REQUEST_ID);
  readonly #events: ClientEvent[] = [];
  readonly #input: Uint8Array[] = [];
  #isHead = false;
  /** What is missing of a body that has a length. */
  #bodyLeft = 0;
  #ended = false;

  /** The head of a request, whose body has CONTENT_LENGTH bytes. */
  protected abstract writeHead(params: Params): Uint8Array;

  readonly lengthFirst = true;
  readonly room = Infinity;

  request(_id: number, params: Params): Uint8Array {
    this.#isHead = params.get("REQUEST_METHOD") === "HEAD";
    return this.writeHead(params);
  }

  body(_id: number, bytes: Uint8Array): Uint8Array {
    return bytes;
  }

  bodyEnd(): Uint8Array {
    return noBytes;
  }

  receive(bytes: Uint8Array): void {
    this.#input.push(bytes);
  }

  receiveEnd(): void {
    this.#ended = true;
  }

  nextEvent(): ClientEvent | undefined {
    while (this.#events.length === 0 && this.#input.length > 0) {
      for (const event of this.#response.receive(this.#input.shift()!)) {
        if (event.type === "head" && !this.#isHead) this.#bodyLeft = declaredLength(event.head) ?? 0;
        else if (event.type === "body") this.#bodyLeft -= event.bytes.length;
        this.#events.push(event);
      }
    }
    if (this.#events.length === 0 && this.#ended) {
      this.#ended = false;
      // Only a length shows whether a response was cut short.
      if (this.#response.inHead || this.#bodyLeft > 0) {
        throw new ProtocolError("The server closed the connection before the response was complete");
      }
      return { type: "end", id: REQUEST_ID, status: 0 };
    }
    return this.#events.shift();
  }
}
