/**
 * What was thrown, as an error: anything can be thrown.
 *
 * @module
 */
import process from "node:process";

/** The error itself, also from another realm; for anything else an error that describes it. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  const { inspect, types } = process.getBuiltinModule("node:util");
  if (types.isNativeError(thrown)) return thrown as Error;
  const what = inspect(thrown, { depth: 2, maxArrayLength: 10, maxStringLength: 1000 });
  const error = new Error(`The application threw ${what}, which is not an Error`);
  // Its own stack would point here.
  error.stack = `${error.name}: ${error.message}`;
  return error;
}
