/**
 * Version of the program.
 *
 * @module
 */

/** Version of the program. */
export const version = "0.1.0";
