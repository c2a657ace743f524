/**
 * FastCGI 1.0, the web server's half.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { CgiResponseParser } from "../cgi_response.ts";
import { Collector } from "../collector.ts";
import { noBytes, Params } from "../params.ts";
import { type ClientCodec, type ClientEvent, ProtocolError, type Role } from "../protocol.ts";
import {
  BODY_LENGTH,
  decodePairs,
  encodePairs,
  encodeRecord,
  encodeStream,
  KEEP_CONN,
  MAX_CONTENT_LENGTH,
  NULL_REQUEST_ID,
  ProtocolStatus,
  RecordReader,
  RecordType,
  roles,
} from "./wire.ts";

/** Why a server ended a request without an answer, as text. */
const refusals: Record<number, string> = {
  [ProtocolStatus.cannotMultiplex]: "it takes one request at a time on a connection (CANT_MPX_CONN)",
  [ProtocolStatus.overloaded]: "it is overloaded (OVERLOADED)",
  [ProtocolStatus.unknownRole]: "it does not play this role (UNKNOWN_ROLE)",
};

/** The client half of FastCGI 1.0 for one connection. */
export class FastCgiClient implements ClientCodec {
  readonly lengthFirst = false;
  readonly room = Infinity;
  readonly #records = new RecordReader();
  readonly #responses = new Map<number, CgiResponseParser>();
  readonly #whole = new Collector();
  readonly #events: ClientEvent[] = [];

  request(id: number, params: Params, options: { role?: Role; keep?: boolean } = {}): Uint8Array {
    this.#responses.set(id, new CgiResponseParser(id));
    const begin = Buffer.alloc(BODY_LENGTH);
    begin.writeUInt16BE(roles.indexOf(options.role ?? "responder") + 1, 0);
    begin[2] = options.keep ? KEEP_CONN : 0;
    return Buffer.concat([
      encodeRecord(RecordType.begin, id, begin),
      encodeStream(RecordType.params, id, encodePairs(params.pairs)),
      encodeRecord(RecordType.params, id, noBytes),
    ]);
  }

  body(id: number, bytes: Uint8Array): Uint8Array {
    return encodeStream(RecordType.stdin, id, bytes);
  }

  bodyEnd(id: number): Uint8Array {
    return encodeRecord(RecordType.stdin, id, noBytes);
  }

  /** A piece of the Filter role's data stream; no bytes end it (section 6.4). */
  data(id: number, bytes: Uint8Array): Uint8Array {
    return bytes.length > 0 ? encodeStream(RecordType.data, id, bytes) : encodeRecord(RecordType.data, id, bytes);
  }

  /** Section 5.4. */
  abort(id: number): Uint8Array {
    return encodeRecord(RecordType.abort, id, noBytes);
  }

  /** Section 4.1: asks for abilities of the server. */
  getValues(names: readonly string[]): Uint8Array {
    return encodeRecord(RecordType.getValues, NULL_REQUEST_ID, encodePairs(names.flatMap((name) => [name, ""])));
  }

  receive(bytes: Uint8Array): void {
    this.#records.receive(bytes);
  }

  receiveEnd(): void {
    if (this.#responses.size > 0) throw new ProtocolError("The server closed the connection before the response was complete");
  }

  nextEvent(): ClientEvent | undefined {
    while (this.#events.length === 0 && this.#records.next()) this.#record();
    return this.#events.shift();
  }

  #record(): void {
    const { type, id, bytes, last } = this.#records;
    if (id === NULL_REQUEST_ID) return this.#management();
    const response = this.#responses.get(id);
    if (response === undefined) return;
    switch (type) {
      case RecordType.stdout:
        this.#events.push(...response.receive(bytes));
        return;
      case RecordType.stderr:
        if (bytes.length > 0) this.#events.push({ type: "stderr", id, bytes });
        return;
      case RecordType.end:
        this.#whole.add(bytes);
        if (last) this.#end(id, this.#whole.take());
        return;
      default:
        throw new ProtocolError(`A server does not send records of type ${type}`);
    }
  }

  #management(): void {
    const { type, bytes, last } = this.#records;
    if (type !== RecordType.getValuesResult) return;
    this.#whole.add(bytes);
    if (last) this.#events.push({ type: "values", values: new Params(decodePairs(this.#whole.take(), MAX_CONTENT_LENGTH)) });
  }

  /** Section 5.5. */
  #end(id: number, body: Uint8Array): void {
    if (body.length !== BODY_LENGTH) throw new ProtocolError(`END_REQUEST is ${body.length} bytes long, expected ${BODY_LENGTH}`);
    this.#responses.delete(id);
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.#events.push({ type: "end", id, status: view.getUint32(0), refusal: refusals[body[4]] });
  }
}
