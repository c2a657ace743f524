/**
 * The protocols by name.
 *
 * @module
 */
import { AjpClient, type AjpClientOptions } from "./ajp/client.ts";
import { AjpServer, type AjpServerOptions } from "./ajp/server.ts";
import { FastCgiClient } from "./fastcgi/client.ts";
import { FastCgiServer, type FastCgiServerOptions } from "./fastcgi/server.ts";
import { HttpClient } from "./http/client.ts";
import { HttpServer, type HttpServerOptions } from "./http/server.ts";
import { ScgiClient, ScgiServer } from "./scgi.ts";
import { UwsgiClient, UwsgiServer } from "./uwsgi.ts";
import type { ClientCodec, ProtocolName, ServerCodec } from "./protocol.ts";
import type { Addresses } from "./http/params.ts";

/** What the server halves take; each protocol uses what it knows of. */
export type ServerCodecOptions = FastCgiServerOptions & AjpServerOptions & HttpServerOptions;

/** What is known of a connection besides what arrives. */
export interface Origin {
  /** Only TCP has them. */
  readonly addresses?: Addresses;
}

/** What the client halves take; each protocol uses what it knows of. */
export type ClientCodecOptions = AjpClientOptions;

/** Makes both halves of a protocol that listens. */
interface Protocol {
  server(options: ServerCodecOptions, origin?: Origin): ServerCodec;
  client(options: ClientCodecOptions): ClientCodec;
}

/** A protocol that is spoken on sockets. */
export type ListeningProtocol = Exclude<ProtocolName, "cgi">;

/** What an endpoint speaks: one protocol, or `auto` for the one that each connection speaks. */
export type EndpointProtocol = ListeningProtocol | "auto";

/** The protocols that listen. A new one is one line here. */
export const protocols: Readonly<Record<ListeningProtocol, Protocol>> = {
  fcgi: { server: (options) => new FastCgiServer(options), client: () => new FastCgiClient() },
  scgi: { server: (options) => new ScgiServer(options), client: () => new ScgiClient() },
  ajp: { server: (options) => new AjpServer(options), client: (options) => new AjpClient(options) },
  uwsgi: { server: (options) => new UwsgiServer(options), client: () => new UwsgiClient() },
  http: { server: (options, origin) => new HttpServer(options, () => origin?.addresses), client: () => new HttpClient() },
};
