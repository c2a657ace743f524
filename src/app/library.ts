/**
 * The public API: what programs import from `mod.ts` or the npm package, and applications of the compiled program by the name
 * of that package.
 *
 * @module
 */
export {
  AbortedError,
  type ErrorContext,
  type Handler,
  type OnError,
  type ServeInfo,
  type UpgradeWebSocketOptions,
  type WebSocketUpgrade,
} from "../server/handler.ts";
export { defaultLimits, type Limits } from "../server/limits.ts";
export { type SendFile, staticFiles, type StaticOptions } from "../handlers/static/handler.ts";
export { nodeHandler, type NodeListener } from "../handlers/node_app.ts";
export { serve, type Server } from "../server/serve.ts";
export type { ServeEndpoint, ServeOptions } from "../server/options.ts";
export { ListenError } from "../runtime/listen.ts";
export { PlainError } from "../runtime/plain_error.ts";
export type { Address } from "../runtime/socket.ts";
export type { CodecLimits, ProtocolName, Role } from "../protocol/protocol.ts";
export type { EndpointProtocol, ListeningProtocol } from "../protocol/protocols.ts";
export type { TrustedHeader } from "../protocol/http/forwarded.ts";
export type { UrlChoice } from "../gateway/url.ts";
