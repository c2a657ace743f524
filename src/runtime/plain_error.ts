/**
 * Errors that are for users.
 *
 * @module
 */

/** Its message says all there is to say in one line: what was wrong, with which value, what to do. No stack is shown. */
export class PlainError extends Error {
  /** `"PlainError"` */
  override name = "PlainError";
}
