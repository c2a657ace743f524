/**
 * Errors that are for users.
 *
 * @module
 */

/**
 * Its message says all there is to say in one line: what was wrong, with which value, what to do. No stack is shown.
 *
 * @example
 * ```ts
 * import { PlainError, serve } from "runfcgi";
 *
 * try {
 *   await using server = await serve({ socket: "/no/such/folder/hello.sock" }, () => new Response("Hello\n"));
 * } catch (error) {
 *   console.error(error instanceof PlainError ? error.message : error);
 * }
 * ```
 */
export class PlainError extends Error {
  /** `"PlainError"` */
  override name = "PlainError";
}
