/**
 * Puts a TypeScript application behind any web server.
 *
 * @module
 */
import process from "node:process";

export type { ErrorContext, Handler, OnError, ServeInfo } from "./src/server/handler.ts";
export { defaultLimits, type Limits } from "./src/server/limits.ts";
export { type SendFile, staticFiles, type StaticOptions } from "./src/handlers/static/handler.ts";
export { nodeHandler, type NodeListener } from "./src/handlers/node_app.ts";
export { serve, type ServeOptions, type Server } from "./src/server/serve.ts";
export { ListenError } from "./src/runtime/listen.ts";
export type { Address } from "./src/runtime/socket.ts";

// Run directly, this module is the program, which is not loaded for those who import it. Older versions of Node do not know
// import.meta.main; the program says that they are too old.
if (import.meta.main ?? process.argv[1] === import.meta.filename) import("./src/cli/main.ts").then(({ main }) => main());
