/**
 * Words for a shell.
 *
 * @module
 */

/** Text in single quotes, which a POSIX shell takes as it is. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
