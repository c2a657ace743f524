/**
 * Serves requests from recorded bytes instead of a socket, in this process.
 *
 * @module
 */
import { tmpdir } from "node:os";
import { PACKET_HEADER_LENGTH, REQUEST_MAGIC } from "../protocol/ajp/wire.ts";
import { HEADER_LENGTH, VERSION } from "../protocol/fastcgi/wire.ts";
import { Trust } from "../protocol/http/forwarded.ts";
import type { Params } from "../protocol/params.ts";
import type { ProtocolName } from "../protocol/protocol.ts";
import type { Addresses, Connection } from "../runtime/socket.ts";
import { patchGlobals } from "../gateway/patch_globals.ts";
import { AutoServer } from "../protocol/auto.ts";
import { type ConnectionContext, ServerConnection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import type { Handler, OnError } from "./handler.ts";
import { date } from "./date.ts";
import { defaultLimits } from "./limits.ts";
import { allocate } from "./output.ts";
import { type EndpointProtocol, protocols, type ServerCodecOptions } from "../protocol/protocols.ts";
import { version } from "./version.ts";

/** How to serve what was sent. */
export interface ReplayOptions {
  /** Default is what the first byte says. */
  protocol?: EndpointProtocol;
  handler: Handler;
  onError: OnError;
  /** Called for each request; its params are empty if it could not be read. */
  onRequest?: (request: { id: number; params: Params; protocol: ProtocolName }) => void;
  /** Gets the bytes as they are served. */
  onReceived?: (bytes: Uint8Array) => void;
  /** Gets the bytes of the answers. */
  onSent?: (bytes: Uint8Array) => void;
  /** Where the bytes seem to come from; default is a Unix socket. */
  addresses?: Addresses;
  /** Over HTTP, the trusted proxies. */
  trust?: Trust;
  packetSize?: number;
}

/** The result. */
export interface Replayed {
  /** Requests that were answered, refused ones included. */
  answered: number;
  /** The bytes end in the middle of a request. */
  cut: boolean;
}

/** Without records: pieces as a socket delivers them. */
const PIECE = 64 * 1024;
/** Turns of the event loop without a new request after which none is expected. */
const QUIET_TURNS = 5;

/** Serves the requests in these bytes and resolves when the last is answered. */
export async function replay(bytes: Uint8Array, options: ReplayOptions): Promise<Replayed> {
  patchGlobals();
  const { protocol = "auto", handler, onError, onRequest, onReceived, onSent, addresses, trust = new Trust(), packetSize } =
    options;
  const under = new Set<Exchange>();
  let answered = 0;
  let closed = false;
  let paused = false;
  let wake = () => {};
  const connection: Connection = {
    addresses,
    unsent: false,
    write(sent) {
      onSent?.(sent.slice());
      return true;
    },
    pause: () => void (paused = true),
    resume() {
      paused = false;
      wake();
    },
    shutdown() {},
    close: () => over(),
    destroy: () => over(),
  };
  const context: ConnectionContext = {
    handler,
    onError,
    limits: defaultLimits,
    duplex: false,
    spoolFolder: tmpdir(),
    observer: {
      begun(request) {
        const { id, params, owner } = request as Exchange;
        under.add(request as Exchange);
        onRequest?.({ id, params, protocol: owner.protocol });
      },
      ended(request) {
        under.delete(request as Exchange);
        answered++;
        wake();
      },
    },
    trust: trust.any ? trust : undefined,
    closed() {},
  };
  const codecOptions: ServerCodecOptions = {
    ...defaultLimits,
    trust,
    packetSize,
    roles: ["responder", "authorizer", "filter"],
    software: `runfcgi/${version}`,
    date,
    allocate,
  };
  const codec = protocol === "auto"
    ? new AutoServer(codecOptions, connection)
    : protocols[protocol].server(codecOptions, connection);
  const served = new ServerConnection(connection, codec, context);
  const over = () => {
    if (closed) return;
    closed = true;
    // As a socket does, not from within the call that closes it.
    queueMicrotask(() => served.close());
    wake();
  };
  const changed = () => new Promise<void>((resolve) => wake = resolve);
  for (const piece of pieces(bytes, protocol)) {
    // A web server sends its next request on the same connection when it has the answer.
    while (under.size > 0 && [...under].every((request) => request.received)) await changed();
    if (closed) break;
    onReceived?.(piece);
    served.data(piece);
    while (paused && !closed) await changed();
  }
  let cut = false;
  for (let quiet = 1; quiet <= QUIET_TURNS && !closed; quiet++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (under.size === 0) continue;
    if ([...under].every((request) => request.received)) {
      await changed();
      quiet = 0;
    } else if (quiet === QUIET_TURNS) {
      // No further event is pending.
      cut = true;
      served.end();
      quiet = 0;
    }
  }
  cut ||= !closed && !codec.idle;
  if (!closed) connection.close();
  return { answered, cut };
}

/** Records of FastCGI, packets of AJP, and pieces of anything else: copies, since they belong to the server. */
function* pieces(bytes: Uint8Array, protocol: EndpointProtocol): Generator<Uint8Array> {
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    end = at + Math.min(pieceLength(bytes.subarray(at), protocol), bytes.length - at);
    yield bytes.slice(at, end);
  }
}

function pieceLength(bytes: Uint8Array, protocol: EndpointProtocol): number {
  const is = (name: EndpointProtocol, ...begin: number[]) =>
    (protocol === name || protocol === "auto") && begin.every((byte, i) => bytes[i] === byte);
  if (is("fcgi", VERSION) && bytes.length >= HEADER_LENGTH) return HEADER_LENGTH + (bytes[4] << 8) + bytes[5] + bytes[6];
  if (is("ajp", REQUEST_MAGIC >> 8, REQUEST_MAGIC & 0xff) && bytes.length >= PACKET_HEADER_LENGTH) {
    return PACKET_HEADER_LENGTH + (bytes[2] << 8) + bytes[3];
  }
  return PIECE;
}
