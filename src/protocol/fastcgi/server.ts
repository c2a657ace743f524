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
  /** The response is complete. What still comes in is passed over. */
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
  readonly #whole = new Collector();
  /** Requests without a complete response. */
  #active = 0;
  #closing = false;

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
    if (type < RecordType.getValues) throw new ProtocolError(`A record of type ${type} has the request id 0`);
    if (type !== RecordType.getValues) {
      if (!last) return undefined;
      // Section 4.2: a management record of a type that the application does not understand.
      return {
        type: "reply",
        bytes: encodeRecord(RecordType.unknownType, NULL_REQUEST_ID, Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0)),
      };
    }
    this.#whole.add(bytes);
    return last ? { type: "reply", bytes: this.#values(this.#whole.take()) } : undefined;
  }

  /** Section 4.1: GET_VALUES is answered with those of the names that are known. */
  #values(question: Uint8Array): Uint8Array {
    const known: Record<string, number> = {
      FCGI_MAX_CONNS: this.#options.maxConnections,
      FCGI_MAX_REQS: this.#options.maxConcurrent,
      FCGI_MPXS_CONNS: 1,
    };
    const asked = new Set(decodePairs(question, MAX_CONTENT_LENGTH).filter((_, index) => index % 2 === 0));
    const answer = [...asked].filter((name) => Object.hasOwn(known, name)).flatMap((name) => [name, String(known[name])]);
    return encodeRecord(RecordType.getValuesResult, NULL_REQUEST_ID, encodePairs(answer));
  }

  /** Section 5: records that concern a request. */
  #application(): ServerEvent | undefined {
    const { type, id, bytes, last } = this.#records;
    if (type === RecordType.begin) return this.#begin();
    const request = this.#requests.get(id);
    // Section 3.3: records of a request that is not active are ignored.
    if (request === undefined) return undefined;
    switch (type) {
      case RecordType.params:
        return this.#params(id, request);
      case RecordType.stdin:
        // Section 6.3 gives an Authorizer no stdin, yet lighttpd sends the end of it.
        if (request.role === "authorizer") return undefined;
        this.#expectStage(request, "stdin");
        return this.#stream(id, request, bytes, "body");
      case RecordType.data:
        this.#expectStage(request, "data");
        return this.#stream(id, request, bytes, "data");
      case RecordType.abort:
        return last ? this.#abort(id, request) : undefined;
      default:
        if (type <= RecordType.unknownType) throw new ProtocolError(`A web server does not send records of type ${type}`);
        return undefined;
    }
  }

  /** Section 5.1. */
  #begin(): ServerEvent | undefined {
    const { id, bytes, last, length } = this.#records;
    if (length !== BODY_LENGTH) throw new ProtocolError(`BEGIN_REQUEST is ${length} bytes long, expected ${BODY_LENGTH}`);
    this.#whole.add(bytes);
    if (!last) return undefined;
    const body = this.#whole.take();
    const earlier = this.#requests.get(id);
    if (earlier?.answered === false) throw new ProtocolError(`BEGIN_REQUEST of request ${id}, which is under way`);
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

  /** Section 5.2. */
  #params(id: number, request: FastCgiRequest): ServerEvent | undefined {
    const { bytes, length } = this.#records;
    if (request.stage !== "params") throw new ProtocolError(`PARAMS of request ${id} after their end`);
    if (length > 0) {
      if (request.refused) return undefined;
      request.params.add(bytes);
      if (request.params.length <= this.#options.maxParamsBytes) return undefined;
      request.params.take();
      return this.#refuse(id, request, 431, `more than ${this.#options.maxParamsBytes} bytes of params`);
    }
    // Section 6.3: an Authorizer gets params and nothing else.
    if (request.role === "authorizer") this.#inputEnded(id, request);
    else request.stage = "stdin";
    if (request.refused) return undefined;
    try {
      const params = new Params(decodePairs(request.params.take(), this.#options.maxParams));
      return { type: "request", id, role: request.role, params };
    } catch (error) {
      if (!(error instanceof TooManyPairs)) throw error;
      return this.#refuse(id, request, 431, error.message);
    }
  }

  #expectStage(request: FastCgiRequest, stage: Stage): void {
    if (request.stage === stage || request.answered || request.refused) return;
    throw new ProtocolError(`A ${stage} record of request ${this.#records.id} while its ${request.stage} stream is open`);
  }

  /** Section 5.3: a piece of stdin or data, or its end. */
  #stream(id: number, request: FastCgiRequest, bytes: Uint8Array, kind: "body" | "data"): ServerEvent | undefined {
    const passedOver = request.answered || request.refused;
    if (this.#records.length > 0) return passedOver ? undefined : { type: kind, id, bytes };
    if (kind === "body" && request.role === "filter") request.stage = "data";
    else this.#inputEnded(id, request);
    return passedOver ? undefined : { type: kind === "body" ? "bodyEnd" : "dataEnd", id };
  }

  /** Section 5.4. */
  #abort(id: number, request: FastCgiRequest): ServerEvent | undefined {
    const { stage } = request;
    this.#inputEnded(id, request);
    if (request.answered) return undefined;
    if (stage !== "params" || request.refused) return { type: "abort", id };
    // Never reported, so nobody else will end it. HAProxy does this for a URL that it cannot decode.
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

  /** A record of a version that there is none of. */
  broken(): Uint8Array {
    return new Uint8Array(HEADER_LENGTH).fill(0xff);
  }

  get inHead(): boolean {
    for (const { stage } of this.#requests.values()) if (stage === "params") return true;
    return this.#requests.size === 0 && !this.#records.atBoundary;
  }

  get closing(): boolean {
    return this.#closing && this.#active === 0;
  }

  get idle(): boolean {
    return this.#requests.size === 0 && this.#records.atBoundary;
  }
}
