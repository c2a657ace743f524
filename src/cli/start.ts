/**
 * Starts the program as `mod.ts` does, without its library, and on Node with the compile cache from the first module on.
 *
 * @module
 */
import { enableCompileCache } from "../runtime/compile_cache.ts";

enableCompileCache();
import("./main.ts").then(({ main }) => main());
