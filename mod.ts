/**
 * Puts a TypeScript application behind any web server.
 *
 * @module
 */
export { AbortedError, type ErrorContext, type Handler, type OnError, type ServeInfo } from "./src/server/handler.ts";
export { defaultLimits, type Limits } from "./src/server/limits.ts";
export { type SendFile, staticFiles, type StaticOptions } from "./src/handlers/static/handler.ts";
export { nodeHandler, type NodeListener } from "./src/handlers/node_app.ts";
export { serve, type Server } from "./src/server/serve.ts";
export type { ServeEndpoint, ServeOptions } from "./src/server/options.ts";
export { ListenError } from "./src/runtime/listen.ts";
export { PlainError } from "./src/runtime/plain_error.ts";
export type { Address } from "./src/runtime/socket.ts";
export type { CodecLimits, ProtocolName, Role } from "./src/protocol/protocol.ts";
export type { EndpointProtocol, ListeningProtocol } from "./src/protocol/protocols.ts";
export type { TrustedHeader } from "./src/protocol/http/forwarded.ts";
export type { UrlChoice } from "./src/gateway/url.ts";

// Run directly, this module is the program; for who imports it, the program is not even loaded.
if (import.meta.main) import("./src/cli/main.ts").then(({ main }) => main());
