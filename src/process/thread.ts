/**
 * What a thread of the program runs from source; in a program of one module it is the program itself.
 *
 * @module
 */
import { exitAfter } from "./exit.ts";
import { takeHandover } from "./handover.ts";
import { enableCompileCache } from "../runtime/compile_cache.ts";
import { runtime } from "../runtime/name.ts";
import { outliveReader } from "../runtime/stderr.ts";

enableCompileCache();
// Elsewhere the first thread writes what a thread prints.
if (runtime.name === "Deno") outliveReader();
const { work } = await import("./work.ts");
await exitAfter(() => work(takeHandover()!, undefined));
