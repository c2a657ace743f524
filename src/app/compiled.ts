/**
 * Whether the program is one file, and has its runtime inside. What was built says so itself: the name of a runtime's file
 * tells nothing, since some systems call it `node-24`.
 *
 * @module
 */

/** What a program was built of, and for what. */
export interface Compiled {
  /** The machine that it is for; none without a runtime inside. */
  target?: string;
  /** Commit of its source, if known. */
  commit?: string;
  /** URL of the module that it starts with, and each of its threads, too. */
  entry?: string;
  /** Loads the library, where it is a module of its own, since few applications import it. */
  library?: () => Record<string, unknown>;
}

/** Set by what was built, in each of its processes and threads. */
export let compiled: Compiled | undefined;

/** Whether the program is one file with its runtime inside. */
export function isCompiled(): boolean {
  return compiled?.target !== undefined;
}

/** Whether the program is one module: it is compiled, or the script for Node. */
export function isBundled(): boolean {
  return compiled !== undefined;
}

/** Called by what was built, in each of its processes and threads. */
export function markCompiled(what: Compiled): void {
  compiled = what;
}
