/**
 * What a thread of the program runs from source; in the compiled program it is the program itself.
 *
 * @module
 */
import { main } from "./main.ts";

await main();
