/**
 * Puts a TypeScript application behind any web server.
 *
 * @module
 */
export * from "./src/app/library.ts";

// Run directly, this module is the program; for who imports it, the program is not even loaded.
if (import.meta.main) import("./src/cli/main.ts").then(({ main }) => main());
