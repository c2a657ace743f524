/**
 * Version of the program.
 *
 * @module
 */

/** Version of the program. */
export const version = "0.1.0";

/** Commit of the source, which `deno task pack` writes here; what was built has it elsewhere. */
export const packedCommit: string | undefined = undefined;
