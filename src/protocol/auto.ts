/**
 * An endpoint that detects the protocol of each connection by its first byte.
 *
 * @module
 */
import { Collector } from "./collector.ts";
import { ProtocolError, type ProtocolName, type ResponseHead, type ServerCodec, type ServerEvent } from "./protocol.ts";
import { type ListeningProtocol, type Origin, protocols, type ServerCodecOptions } from "./protocols.ts";

/**
 * The protocol that a connection's first byte belongs to.
 *
 * @throws {ProtocolError} when it belongs to no protocol
 */
export function detectProtocol(first: number): ListeningProtocol {
  // FastCGI 1.0, 3.3: the version. uwsgi: modifier1 of a request. AJP: the magic 0x1234. SCGI: a length in digits.
  if (first === 0x01) return "fcgi";
  if (first === 0x00) return "uwsgi";
  if (first === 0x12) return "ajp";
  const char = String.fromCharCode(first);
  if (/\d/.test(char)) return "scgi";
  // A method, or the empty line that HTTP allows before it. 0x16 is TLS: somebody meant HTTP.
  if (/[A-Z\r]/.test(char) || first === 0x16) return "http";
  throw new ProtocolError(`No FastCGI, SCGI, AJP, uwsgi or HTTP begins with the byte 0x${first.toString(16).padStart(2, "0")}`);
}

/** The server half of the protocol that turns out to be spoken on a connection. */
export class AutoServer implements ServerCodec {
  readonly #options: ServerCodecOptions;
  readonly #origin: Origin | undefined;
  readonly #input = new Collector();
  #codec: ServerCodec | undefined;
  #last = false;

  constructor(options: ServerCodecOptions, origin?: Origin) {
    this.#options = options;
    this.#origin = origin;
  }

  /** Not asked before there is a request. */
  get protocol(): ProtocolName {
    return this.#codec!.protocol;
  }

  receive(bytes: Uint8Array): void {
    if (this.#codec) this.#codec.receive(bytes);
    else this.#input.add(bytes);
  }

  nextEvent(): ServerEvent | undefined {
    if (this.#codec === undefined) {
      if (this.#input.length === 0) return undefined;
      const bytes = this.#input.take();
      this.#codec = protocols[detectProtocol(bytes[0])].server(this.#options, this.#origin);
      if (this.#last) this.#codec.last?.();
      this.#codec.receive(bytes);
    }
    return this.#codec.nextEvent();
  }

  encode(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array {
    return this.#codec!.encode(id, head, body, end);
  }

  stderr(id: number, text: string): Uint8Array | undefined {
    return this.#codec!.stderr(id, text);
  }

  probe(): Uint8Array | undefined {
    return this.#codec?.probe();
  }

  broken(): Uint8Array | undefined {
    return this.#codec?.broken?.();
  }

  get inHead(): boolean {
    return this.#codec?.inHead ?? false;
  }

  get closing(): boolean {
    return this.#codec?.closing ?? false;
  }

  get idle(): boolean {
    return this.#codec?.idle ?? this.#input.length === 0;
  }

  get full(): boolean {
    return this.#codec?.full ?? false;
  }

  get endIsLeave(): boolean {
    return this.#codec?.endIsLeave ?? false;
  }

  upgrade(): Uint8Array | undefined {
    return this.#codec?.upgrade?.();
  }

  earlyHints(headers: readonly string[]): Uint8Array | undefined {
    return this.#codec?.earlyHints?.(headers);
  }

  last(): void {
    this.#last = true;
    this.#codec?.last?.();
  }
}
