/**
 * Puts a TypeScript application behind any web server.
 *
 * @module
 */
export type { ErrorContext, Handler, OnError, ServeInfo } from "./src/server/handler.ts";
export { defaultLimits, type Limits } from "./src/server/limits.ts";
export { type SendFile, staticFiles, type StaticOptions } from "./src/handlers/static/handler.ts";
export { nodeHandler, type NodeListener } from "./src/handlers/node_app.ts";
export { serve, type ServeOptions, type Server } from "./src/server/serve.ts";
export { ListenError } from "./src/runtime/listen.ts";
export type { Address } from "./src/runtime/socket.ts";

// Run directly, this module is the program; for who imports it, the program is not even loaded.
if (import.meta.main) import("./src/cli/main.ts").then(({ main }) => main());
