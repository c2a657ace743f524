/**
 * SCGI and uwsgi traffic for tests, written without the code that is tested.
 *
 * @module
 */
import {
  type ClientCodec,
  defaultCodecLimits,
  type ResponseHead,
  type ServerCodec,
  type ServerEvent,
} from "../../src/protocol/protocol.ts";
import { ScgiClient, ScgiServer } from "../../src/protocol/scgi.ts";
import type { SingleRequestOptions } from "../../src/protocol/single.ts";
import { UwsgiClient, UwsgiServer } from "../../src/protocol/uwsgi.ts";
import { bytes, concat, flat, type Pairs, splits, text, transcript } from "./bytes.ts";
import { Random } from "./random.ts";

/** The protocols with one request for one connection. */
export type SingleProtocol = "scgi" | "uwsgi";
export const singleProtocols: readonly SingleProtocol[] = ["scgi", "uwsgi"];

/** A netstring of names and values, with SCGI and CONTENT_LENGTH unless they are given, and the body. */
export function scgi(values: Pairs, body = ""): Uint8Array {
  const pairs = flat(values);
  if (!pairs.includes("SCGI")) pairs.unshift("SCGI", "1");
  if (!pairs.includes("CONTENT_LENGTH")) pairs.unshift("CONTENT_LENGTH", String(body.length));
  return netstring(pairs.map((part) => `${part}\0`).join(""), body);
}

/** Headers as they are, between their length and the comma, and the body. */
export function netstring(headers: string, body = ""): Uint8Array {
  return bytes(`${headers.length}:${headers},${body}`);
}

/** A packet of variables, with CONTENT_LENGTH unless it is given or there is no body, and the body. */
export function uwsgi(values: Pairs, body = ""): Uint8Array {
  const pairs = flat(values);
  if (body !== "" && !pairs.includes("CONTENT_LENGTH")) pairs.unshift("CONTENT_LENGTH", String(body.length));
  return packet(concat(...pairs.map((part) => concat(Uint8Array.of(part.length & 255, part.length >> 8), bytes(part)))), body);
}

/** Variables as they are, behind the header of their packet, and the body. */
export function packet(variables: Uint8Array, body = "", modifier = 0): Uint8Array {
  return concat(Uint8Array.of(modifier, variables.length & 255, variables.length >> 8, 0), variables, bytes(body));
}

interface Halves {
  message(values: Pairs, body?: string): Uint8Array;
  server(options: SingleRequestOptions): ServerCodec;
  client(): ClientCodec;
}

/** Both halves of the protocols, and a request as their tests write it. */
export const single: Record<SingleProtocol, Halves> = {
  scgi: { message: scgi, server: (options: SingleRequestOptions) => new ScgiServer(options), client: () => new ScgiClient() },
  uwsgi: { message: uwsgi, server: (options: SingleRequestOptions) => new UwsgiServer(options), client: () => new UwsgiClient() },
};

/** What a server does on an event, and what it sends for it. */
export type Act = (codec: ServerCodec, event: ServerEvent) => Uint8Array | undefined | void;

export const html: ResponseHead = { status: 200, reason: "OK", headers: ["content-type", "text/html"] };

/** Answers the request when all of it is there. */
export const answer: Act = (codec, event) => {
  if (event.type === "bodyEnd" || event.type === "refused") return codec.encode(event.id, html, bytes("hi"), true);
};

export interface Conversation {
  events: string[];
  sent: string;
  idle: boolean;
  closing: boolean;
}

/** A whole conversation, which must be the same however the message is cut. */
export function converse(
  protocol: SingleProtocol,
  message: Uint8Array,
  act?: Act,
  options: Partial<SingleRequestOptions> = {},
): Conversation {
  const once = (pieces: Uint8Array[]): Conversation => {
    const codec = single[protocol].server({ ...defaultCodecLimits, ...options });
    let sent = "";
    const events = transcript(codec, pieces, (event) => {
      const bytes = act?.(codec, event);
      if (bytes) sent += text(bytes);
    });
    // A connection that broke is neither.
    const broken = events.at(-1)?.startsWith("ProtocolError") ?? false;
    return { events, sent, idle: !broken && codec.idle, closing: !broken && codec.closing };
  };
  const whole = once([message]);
  for (const split of splits(message, new Random(7))) {
    const { events, sent, idle, closing } = once(split.pieces);
    if (
      events.join("\n") !== whole.events.join("\n") || sent !== whole.sent || idle !== whole.idle || closing !== whole.closing
    ) {
      throw new Error(`${split.name}: ${JSON.stringify({ events, sent, idle, closing })} and not ${JSON.stringify(whole)}`);
    }
  }
  return whole;
}

/** The events of a message, which must be the same however it is cut. */
export function events(protocol: SingleProtocol, message: Uint8Array, options?: Partial<SingleRequestOptions>): string[] {
  return converse(protocol, message, undefined, options).events;
}
