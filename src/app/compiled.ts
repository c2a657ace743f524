/**
 * Whether the program is one file with its runtime inside. What was built says so itself: the name of a runtime's file
 * tells nothing, since some systems call it `node-24`.
 *
 * @module
 */

let compiled = false;

/** Whether the program is one file with its runtime inside. */
export function isCompiled(): boolean {
  return compiled;
}

/** Called by what was built, in each of its processes and threads. */
export function markCompiled(): void {
  compiled = true;
}
