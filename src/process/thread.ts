/**
 * What a thread of the program runs from source; in the compiled program it is the program itself.
 *
 * @module
 */
import { exitAfter } from "./exit.ts";
import { takeHandover } from "./handover.ts";
import { work } from "./work.ts";

await exitAfter(() => work(takeHandover()!, undefined));
