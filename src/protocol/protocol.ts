/**
 * The contract between a protocol and the server: bytes in, events out; a response in, bytes out.
 *
 * A codec does no I/O, keeps no clock and names no runtime, so that it can be read, tested and fuzzed
 * with byte arrays alone.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import type { Params } from "./params.ts";

/** What the web server asks of the application (FastCGI 1.0, section 6; the other protocols know only `responder`). */
export type Role = "responder" | "authorizer" | "filter";

/** A protocol that a request can come over; `cgi` is one process for one request. */
export type ProtocolName = "fcgi" | "scgi" | "ajp" | "uwsgi" | "http" | "cgi";

/** Bounds on what one connection may make the server hold. */
export interface CodecLimits {
  /** Bytes of all names and values of one request. */
  maxParamsBytes: number;
  /** Number of params of one request. */
  maxParams: number;
  /** Requests in flight at once on one connection. */
  maxConcurrent: number;
}

/** Defaults of {@linkcode CodecLimits}: well above what nginx (32 KiB) and Apache (8 KiB a line) let through. */
export const defaultCodecLimits: CodecLimits = {
  maxParamsBytes: 256 * 1024,
  maxParams: 1000,
  maxConcurrent: 128,
};

/** What a server codec reports. `id` names the request on its connection. */
export type ServerEvent =
  /** All params have arrived: the request can be started. */
  | { type: "request"; id: number; role: Role; params: Params }
  /** A piece of the request body. The bytes are a view of what was received. */
  | { type: "body"; id: number; bytes: Uint8Array }
  /** The request body is complete. */
  | { type: "bodyEnd"; id: number }
  /** A piece of the Filter role's data stream. */
  | { type: "data"; id: number; bytes: Uint8Array }
  /** The Filter role's data stream is complete. */
  | { type: "dataEnd"; id: number }
  /** The web server no longer wants this request, which had been reported by `request` or `refused`. */
  | { type: "abort"; id: number }
  /** The request is not started but is to be answered with this HTTP status. */
  | { type: "refused"; id: number; status: number; reason: string }
  /** A message that is ignored and worth a line in the log. */
  | { type: "ignored"; reason: string }
  /** Bytes to send as they are: the answer to a message that concerns no request. */
  | { type: "reply"; bytes: Uint8Array };

/** Status and headers of a response, ready for any protocol. */
export interface ResponseHead {
  /** HTTP status, 200 to 599. */
  status: number;
  /** Reason phrase, never empty. */
  reason: string;
  /** Header names and values in turn, free of CR, LF and NUL. */
  headers: string[];
}

/** Gives memory for encoded bytes, which are used before the codec is called again. */
export type Allocate = (length: number) => Buffer;

/** The server half of a protocol, for one connection. */
export interface ServerCodec {
  /** What it speaks. */
  readonly protocol: ProtocolName;
  /** Takes bytes from the peer. They belong to the codec from now on. */
  receive(bytes: Uint8Array): void;
  /**
   * Reports what was received, one event a call, `undefined` when more bytes are needed, or when the end of a response is
   * awaited.
   *
   * @throws {ProtocolError} when it is unclear where the next message begins. What was reported before stands, so
   * that requests that are complete are still answered; the codec takes no more bytes, and the connection closes then.
   */
  nextEvent(): ServerEvent | undefined;
  /**
   * Encodes a part of a response: the head if it has not left, a piece of the body, the end. All three in
   * one call make one write.
   */
  encode(id: number, head: ResponseHead | undefined, body: Uint8Array | undefined, end: boolean): Uint8Array;
  /** Encodes text for the web server's error log, `undefined` where the protocol cannot send any. */
  stderr(id: number, text: string): Uint8Array | undefined;
  /**
   * Bytes that a peer ignores, but whose write fails when the peer is gone; `undefined` where the protocol has none.
   */
  probe(): Uint8Array | undefined;
  /** Bytes that show that a response broke off, to a peer that takes the end of a connection for the end of a response. */
  broken?(): Uint8Array | undefined;
  /** Whether the head of a request has arrived in part. */
  readonly inHead?: boolean;
  /** Whether the connection is to be closed once everything encoded so far is written. */
  readonly closing: boolean;
  /** Whether the connection is between requests, with nothing half received. */
  readonly idle: boolean;
  /** Whether requests wait for the response to an earlier one, so that no more should be read. */
  readonly full?: boolean;
  /** Whether a peer that ends its side (FIN) has left, even if its request is complete. */
  readonly endIsLeave?: boolean;
  /** The peer has ended its side (FIN): for a protocol in which that may end a body. */
  receiveEnd?(): void;
  /** The connection is to end with the request that is in flight. */
  last?(): void;
  /**
   * Gives the connection up to another protocol that the request in flight asks for (RFC 9110, 7.8), and returns the bytes
   * that came after the request; `undefined` where that is not possible.
   */
  upgrade?(): Uint8Array | undefined;
  /**
   * Encodes an interim response with the status 103 (RFC 8297), `undefined` where the protocol or the peer has none, or the
   * response has begun.
   *
   * @param headers names and values in turn
   */
  earlyHints?(headers: readonly string[]): Uint8Array | undefined;
  /** The connection is gone: for a codec with something to release. */
  closed?(): void;
}

/** What a client codec reports, in the order head, body …, end. */
export type ClientEvent =
  | { type: "head"; id: number; head: ResponseHead }
  | { type: "body"; id: number; bytes: Uint8Array }
  | { type: "stderr"; id: number; bytes: Uint8Array }
  /** The response is complete. `status` is the application's exit status, `refusal` the protocol's reason if it refused. */
  | { type: "end"; id: number; status: number; refusal?: string }
  /** The answer to a question about the server's abilities. */
  | { type: "values"; values: Params }
  /** The answer to a ping. */
  | { type: "pong" }
  /** There is {@linkcode ClientCodec.room} for more of the request body. */
  | { type: "room" }
  /** Bytes to send as they are. */
  | { type: "send"; bytes: Uint8Array };

/** The client half of a protocol, for one connection. */
export interface ClientCodec {
  /** Whether CONTENT_LENGTH has to be known when the request begins. */
  readonly lengthFirst: boolean;
  /** Encodes the start of a request. `keep` asks the server to leave the connection open. */
  request(id: number, params: Params, options?: { role?: Role; keep?: boolean }): Uint8Array;
  /** Bytes of the request body that the server takes now; more have to wait for the event `room`. */
  readonly room: number;
  /** Encodes a piece of the request body, not longer than {@linkcode room}. */
  body(id: number, bytes: Uint8Array): Uint8Array;
  /** Encodes the end of the request body. */
  bodyEnd(id: number): Uint8Array;
  /** Takes bytes from the server. */
  receive(bytes: Uint8Array): void;
  /** Takes the end of the connection: some protocols end a response with it. */
  receiveEnd(): void;
  /** @throws {ProtocolError} when the server broke the protocol. */
  nextEvent(): ClientEvent | undefined;
}

/** How many bytes out of turn a connection survives between two requests; they only cost the reading. */
export const MAX_STRAY = 1024 * 1024;

/** The peer broke the protocol: its connection closes behind the responses to complete requests; nothing else is touched. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** The protocols as people write them. */
export const labels = {
  fcgi: "FastCGI",
  scgi: "SCGI",
  ajp: "AJP",
  uwsgi: "uwsgi",
  http: "HTTP",
  auto: "any protocol",
} as const;
