/**
 * The protocols by name.
 *
 * @module
 */
import { FastCgiClient } from "../protocol/fastcgi/client.ts";
import { FastCgiServer, type FastCgiServerOptions } from "../protocol/fastcgi/server.ts";
import { ScgiClient, ScgiServer } from "../protocol/scgi.ts";
import { UwsgiClient, UwsgiServer } from "../protocol/uwsgi.ts";
import type { ClientCodec, ServerCodec } from "../protocol/protocol.ts";

/** What the server halves take; each protocol uses what it knows of. */
export type ServerCodecOptions = FastCgiServerOptions;

/** Makes both halves of a protocol that listens. */
interface Protocol {
  server(options: ServerCodecOptions): ServerCodec;
  client(): ClientCodec;
}

/** A protocol that an endpoint can speak. */
export type EndpointProtocol = "fcgi" | "scgi" | "uwsgi";

/** A protocol that a request can come over: `cgi` is one process for one request. */
export type ProtocolName = EndpointProtocol | "cgi";

/** The protocols that listen. A new one is one line here. */
export const protocols: Readonly<Record<EndpointProtocol, Protocol>> = {
  fcgi: { server: (options) => new FastCgiServer(options), client: () => new FastCgiClient() },
  scgi: { server: (options) => new ScgiServer(options), client: () => new ScgiClient() },
  uwsgi: { server: (options) => new UwsgiServer(options), client: () => new UwsgiClient() },
};
