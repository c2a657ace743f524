/**
 * The protocols by name.
 *
 * @module
 */
import { AjpClient, type AjpClientOptions } from "../protocol/ajp/client.ts";
import { AjpServer, type AjpServerOptions } from "../protocol/ajp/server.ts";
import { FastCgiClient } from "../protocol/fastcgi/client.ts";
import { FastCgiServer, type FastCgiServerOptions } from "../protocol/fastcgi/server.ts";
import { ScgiClient, ScgiServer } from "../protocol/scgi.ts";
import { UwsgiClient, UwsgiServer } from "../protocol/uwsgi.ts";
import type { ClientCodec, ServerCodec } from "../protocol/protocol.ts";

/** What the server halves take; each protocol uses what it knows of. */
export type ServerCodecOptions = FastCgiServerOptions & AjpServerOptions;

/** What the client halves take; each protocol uses what it knows of. */
export type ClientCodecOptions = AjpClientOptions;

/** Makes both halves of a protocol that listens. */
interface Protocol {
  server(options: ServerCodecOptions): ServerCodec;
  client(options: ClientCodecOptions): ClientCodec;
}

/** A protocol that an endpoint can speak. */
export type EndpointProtocol = "fcgi" | "scgi" | "ajp" | "uwsgi";

/** A protocol that a request can come over: `cgi` is one process for one request. */
export type ProtocolName = EndpointProtocol | "cgi";

/** The protocols that listen. A new one is one line here. */
export const protocols: Readonly<Record<EndpointProtocol, Protocol>> = {
  fcgi: { server: (options) => new FastCgiServer(options), client: () => new FastCgiClient() },
  scgi: { server: (options) => new ScgiServer(options), client: () => new ScgiClient() },
  ajp: { server: (options) => new AjpServer(options), client: (options) => new AjpClient(options) },
  uwsgi: { server: (options) => new UwsgiServer(options), client: () => new UwsgiClient() },
};
