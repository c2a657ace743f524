/**
 * The protocols by name.
 *
 * @module
 */
import { FastCgiServer, type FastCgiServerOptions } from "../protocol/fastcgi/server.ts";
import type { ServerCodec } from "../protocol/protocol.ts";

/** Makes the server half of each protocol that listens. A new protocol is one line here. */
export const serverCodecs = {
  fcgi: (options: FastCgiServerOptions): ServerCodec => new FastCgiServer(options),
};

/** A protocol that an endpoint can speak. */
export type EndpointProtocol = keyof typeof serverCodecs;

/** A protocol that a request can come over: `cgi` is one process for one request. */
export type ProtocolName = EndpointProtocol | "cgi";
