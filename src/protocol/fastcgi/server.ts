/**
 * FastCGI 1.0, the application's half.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { cgiHead } from "../cgi_response.ts";
import { Collector } from "../collector.ts";
import { noBytes, Params } from "../params.ts";
import {
  type Allocate,
  type CodecLimits,
  defaultCodecLimits,
  MAX_STRAY,
  ProtocolError,
  type ResponseHead,
  type Role,
  type ServerCodec,
  type ServerEvent,
} from "../protocol.ts";
import {
  BODY_LENGTH,
  decodePairs,
  encodePairs,
  encodeRecord,
  encodeStream,
  HEADER_LENGTH,
  KEEP_CONN,
  MAX_CONTENT_LENGTH,
  NULL_REQUEST_ID,
  ProtocolStatus,
  RecordReader,
  RecordType,
  roles,
  streamLength,
  TooManyPairs,
  writeHeader,
  writeStream,
} from "./wire.ts";

/** What a FastCGI server takes and announces. */
export interface FastCgiServerOptions extends CodecLimits {
  /** Roles that the application plays; others are refused with UNKNOWN_ROLE. */
  roles: readonly Role[];
  /** Announced as FCGI_MAX_CONNS. */
  maxConnections: number;
  /** Where encoded responses go. */
  allocate: Allocate;
}

/** The stream that a request's next bytes belong to; `done` when none is to come. */
type Stage = "params" | "stdin" | "data" | "done";

interface FastCgiRequest {
  role: Role;
  keepConnection: boolean;
  stage: Stage;
  params: Collector;
  /** The response is complete, and what still arrives is ignored. */
  answered: boolean;
  /** The response says why the request was not started. */
  refused: boolean;
  protocolStatus: number;
  stderrUsed: boolean;
}

/** The default limits, one role, one connection. */
export const defaultOptions: FastCgiServerOptions = {
  ...defaultCodecLimits,
  roles: ["responder"],
  maxConnections: 1,
  allocate: Buffer.allocUnsafe,
};

/** The server half of FastCGI 1.0 for one connection. */
export class FastCgiServer implements ServerCodec {
  readonly protocol = "fcgi";
  readonly #options: FastCgiServerOptions;
  readonly #records = new RecordReader();
  readonly #requests = new Map<number, FastCgiRequest>();
  /** Content of a record that is needed whole. */
  #whole: Collector | undefined;
  /** Requests without a complete response. */
  #active = 0;
  #closing = false;
  /** Bytes of records out of turn since the last request. */
  #stray = 0;

  /** @param options differences from {@linkcode defaultOptions}; shared by connections, so that each costs little */
  constructor(options: FastCgiServerOptions = defaultOptions) {
    this.#options = options;
  }

  receive(bytes: Uint8Array): void {
    this.#records.receive(bytes);
  }

  nextEvent(): ServerEvent | undefined {
    const records = this.#records;
    while (records.next()) {
      const event = records.id === NULL_REQUEST_ID ? this.#management() : this.#application();
      if (event !== undefined) return event;
    }
    return undefined;
  }

  /** Section 4: records that concern the connection. */
  #management(): ServerEvent | undefined {
    const { type, bytes, last } = this.#records;
    // Section 3.3: the records of requests have another id.
    if (type === RecordType.begin) return this.#unanswerable("a BEGIN_REQUEST with the request id 0");
    if (type < RecordType.getValues) return this.#passOver();
    if (type !== RecordType.getValues) {
      if (!last) return undefined;
      // Section 4.2: a management record of a type that the application does not understand.
      return {
        type: "reply",
        bytes: encodeRecord(RecordType.unknownType, NULL_REQUEST_ID, Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0)),
      };
    }
    const whole = this.#whole ??= new Collector();
    whole.add(bytes);
    return last ? { type: "reply", bytes: this.#values(whole.take()) } : undefined;
  }

  /**
   * A record out of turn is ignored: web servers send a second end of STDIN, and DATA to a Responder.
   *
   * @throws {ProtocolError} when there are too many
   */
  #passOver(): undefined {
    const { bytes, last } = this.#records;
    this.#stray += bytes.length + (last ? HEADER_LENGTH : 0);
    if (this.#stray > MAX_STRAY) throw new ProtocolError(`The web server sent ${MAX_STRAY} bytes that belong to no request`);
  }

  /** A request that cannot be answered: the sender learns it by the end of the connection. */
  #unanswerable(reason: string): ServerEvent | undefined {
    this.#passOver();
    if (this.#closing || !this.#records.last) return undefined;
    this.#closing = true;
    return { type: "ignored", reason };
  }

  /** Section 4.1: GET_VALUES is answered with those of the names that are known. */
  #values(question: Uint8Array): Uint8Array {
    const known: Record<string, number> = {
      FCGI_MAX_CONNS: this.#options.maxConnections,
      FCGI_MAX_REQS: this.#options.maxConcurrent,
      FCGI_MPXS_CONNS: 1,
    };
    let pairs: string[] = [];
    try {
      pairs = decodePairs(question, MAX_CONTENT_LENGTH);
    } catch (error) {
      // Nothing known was asked for.
      if (!(error instanceof ProtocolError)) throw error;
    }
    const asked = new Set(pairs.filter((_, index) => index % 2 === 0));
    const answer = [...asked].filter((name) => Object.hasOwn(known, name)).flatMap((name) => [name, String(known[name])]);
    return encodeRecord(RecordType.getValuesResult, NULL_REQUEST_ID, encodePairs(answer));
  }

  /** Section 5: records that concern a request. */
  #application(): ServerEvent | undefined {
    const { type, id, last } = this.#records;
    if (type === RecordType.begin) return this.#begin();
    const request = this.#requests.get(id);
    // Section 3.3: records of a request that is not active are ignored.
    if (request === undefined) return this.#passOver();
    switch (type) {
      case RecordType.params:
        return this.#params(id, request);
      case RecordType.stdin:
        return this.#stdin(id, request);
      case RecordType.data:
        return this.#data(id, request);
      case RecordType.abort:
        return last ? this.#abort(id, request) : undefined;
      default:
        return this.#passOver();
    }
  }

  /** Section 5.1. */
  #begin(): ServerEvent | undefined {
    const { id, bytes, last, length } = this.#records;
    if (length !== BODY_LENGTH) return this.#unanswerable(`a BEGIN_REQUEST of ${length} bytes, expected ${BODY_LENGTH}`);
    // Nearly always it has come in one piece.
    let body = bytes;
    if (!last || this.#whole?.length) {
      const whole = this.#whole ??= new Collector();
      whole.add(bytes);
      if (!last) return undefined;
      body = whole.take();
    }
    const earlier = this.#requests.get(id);
    if (earlier?.answered === false) return this.#beginAgain(id, earlier);
    const role = roles[((body[0] << 8) | body[1]) - 1];
    const request: FastCgiRequest = {
      role,
      keepConnection: (body[2] & KEEP_CONN) !== 0,
      stage: "params",
      params: new Collector(),
      answered: false,
      refused: false,
      protocolStatus: ProtocolStatus.requestComplete,
      stderrUsed: false,
    };
    this.#requests.set(id, request);
    this.#active++;
    if (!this.#options.roles.includes(role)) {
      const name = role ?? `number ${(body[0] << 8) | body[1]}`;
      return this.#refuse(id, request, 501, `the application does not play the role ${name}`, ProtocolStatus.unknownRole);
    }
    if (this.#active > this.#options.maxConcurrent) {
      return this.#refuse(id, request, 503, "too many requests at once", ProtocolStatus.overloaded);
    }
    return undefined;
  }

  /**
   * BEGIN_REQUEST of a request in flight. A complete one gets its answer; of an incomplete one it is unclear which records
   * belong to it. The second cannot be answered with the same id.
   */
  #beginAgain(id: number, earlier: FastCgiRequest): ServerEvent | undefined {
    if (earlier.stage === "done" || earlier.refused) {
      return this.#unanswerable(`a BEGIN_REQUEST of request ${id}, which is in flight`);
    }
    this.#passOver();
    this.#closing = true;
    return this.#spoil(id, earlier, `BEGIN_REQUEST of request ${id}, which is in flight`);
  }

  /** A request with invalid input: the rest of it is ignored, and other requests go on. */
  #spoil(id: number, request: FastCgiRequest, reason: string): ServerEvent {
    if (request.stage === "params") {
      request.params.take();
      return this.#refuse(id, request, 400, reason);
    }
    this.#inputEnded(id, request);
    return { type: "abort", id };
  }

  /** Section 5.2. */
  #params(id: number, request: FastCgiRequest): ServerEvent | undefined {
    const { bytes, length } = this.#records;
    if (request.stage !== "params") return this.#passOver();
    if (length > 0) {
      if (request.refused) return undefined;
      request.params.add(bytes);
      if (request.params.length <= this.#options.maxParamsBytes) return undefined;
      request.params.take();
      return this.#refuse(id, request, 431, `more than ${this.#options.maxParamsBytes} bytes of params`);
    }
    this.#stray = 0;
    // Section 6.3: an Authorizer gets params and nothing else.
    if (request.role === "authorizer") this.#inputEnded(id, request);
    else request.stage = "stdin";
    if (request.refused) return undefined;
    try {
      const params = new Params(decodePairs(request.params.take(), this.#options.maxParams));
      return { type: "request", id, role: request.role, params };
    } catch (error) {
      if (error instanceof ProtocolError) return this.#refuse(id, request, 400, error.message);
      if (!(error instanceof TooManyPairs)) throw error;
      return this.#refuse(id, request, 431, error.message);
    }
  }

  /** Section 5.3: a piece of the body, or its end. */
  #stdin(id: number, request: FastCgiRequest): ServerEvent | undefined {
    const { length } = this.#records;
    const { stage } = request;
    const passedOver = request.answered || request.refused;
    if (stage === "params" && !passedOver) {
      // Ignoring it would lose a part of the body.
      return this.#spoil(id, request, `STDIN of request ${id} before the end of its PARAMS`);
    }
    // Section 6.3 gives an Authorizer no stdin, yet lighttpd sends the end of it.
    if (stage !== "stdin" && !passedOver) return this.#passOver();
    if (length > 0) return passedOver ? undefined : { type: "body", id, bytes: this.#records.gather() };
    if (request.role === "filter") request.stage = "data";
    else this.#inputEnded(id, request);
    return passedOver ? undefined : { type: "bodyEnd", id };
  }

  /** Section 6.4: a piece of a Filter's data, or its end. Other roles have none. */
  #data(id: number, request: FastCgiRequest): ServerEvent | undefined {
    const { length } = this.#records;
    const passedOver = request.answered || request.refused;
    if (request.role !== "filter" || request.stage === "done") return this.#passOver();
    if (request.stage !== "data" && !passedOver) {
      return this.#spoil(id, request, `DATA of request ${id} before the end of its STDIN`);
    }
    if (length > 0) return passedOver ? undefined : { type: "data", id, bytes: this.#records.gather() };
    this.#inputEnded(id, request);
    return passedOver ? undefined : { type: "dataEnd", id };
  }

  /** Section 5.4. */
  #abort(id: number, request: FastCgiRequest): ServerEvent | undefined {
    const { stage } = request;
    this.#inputEnded(id, request);
    if (request.answered) return undefined;
    if (stage !== "params" || request.refused) return { type: "abort", id };
    // It was never reported, so it is ended here. HAProxy does this for a URL that it cannot decode.
    return { type: "reply", bytes: this.encode(id, undefined, undefined, true) };
  }

  #inputEnded(id: number, request: FastCgiRequest): void {
    request.stage = "done";
    if (request.answered) this.#requests.delete(id);
  }

  #refuse(id: number, request: FastCgiRequest, status: number, reason: string, protocolStatus = 0): ServerEvent {
    request.refused = true;
    request.protocolStatus = protocolStatus;
    return { type: "refused", id, status, reason };
  }

  /**
   * Sections 5.3 and 5.5. Nothing is encoded for a request that has ended.
   *
   * @throws {RangeError} when the head is longer than one record
   */
  encode(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    const request = this.#requests.get(id);
    if (request === undefined || request.answered) return noBytes;
    const headText = head === undefined ? "" : cgiHead(head);
    if (headText.length > MAX_CONTENT_LENGTH) {
      throw new RangeError(`The response head has ${headText.length} bytes, at most ${MAX_CONTENT_LENGTH} fit into a record`);
    }
    const bytes = body ?? noBytes;
    const endLength = end ? 2 * HEADER_LENGTH + BODY_LENGTH + (request.stderrUsed ? HEADER_LENGTH : 0) : 0;
    const buffer = this.#options.allocate(streamLength(headText.length + bytes.length) + endLength);
    let at = writeStream(buffer, 0, RecordType.stdout, id, headText, bytes);
    if (!end) return buffer;
    at = writeHeader(buffer, at, RecordType.stdout, id, 0);
    if (request.stderrUsed) at = writeHeader(buffer, at, RecordType.stderr, id, 0);
    at = writeHeader(buffer, at, RecordType.end, id, BODY_LENGTH);
    buffer.fill(0, at);
    buffer[at + 4] = request.protocolStatus;
    this.#ended(id, request);
    return buffer;
  }

  #ended(id: number, request: FastCgiRequest): void {
    request.answered = true;
    this.#active--;
    if (request.stage === "done") this.#requests.delete(id);
    if (!request.keepConnection) this.#closing = true;
  }

  stderr(id: number, text: string): Uint8Array | undefined {
    const request = this.#requests.get(id);
    if (request === undefined || request.answered) return undefined;
    request.stderrUsed = true;
    return encodeStream(RecordType.stderr, id, Buffer.from(text));
  }

  /** An empty STDERR record: the end of a stream that web servers only log. */
  probe(): Uint8Array | undefined {
    for (const [id, request] of this.#requests) {
      if (!request.answered) return encodeRecord(RecordType.stderr, id, noBytes);
    }
    return undefined;
  }

  /** A record with an invalid version. */
  broken(): Uint8Array {
    return new Uint8Array(HEADER_LENGTH).fill(0xff);
  }

  get inHead(): boolean {
    // The rest of one that is answered already may never come.
    for (const { stage, answered } of this.#requests.values()) if (stage === "params" && !answered) return true;
    return this.#requests.size === 0 && !this.#records.atBoundary;
  }

  get closing(): boolean {
    return this.#closing && this.#active === 0;
  }

  get idle(): boolean {
    return this.#requests.size === 0 && this.#records.atBoundary;
  }
}
