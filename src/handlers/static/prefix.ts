/**
 * The start of the paths that are files of a folder.
 *
 * @module
 */

/** What a path of URLs has no use for, so that a slip in an option is noticed. */
const prefixPattern = /^\/(?:[^/?#%\\]+\/)*$/;

/** Whether a text can be the prefix of static files, or of what nginx serves internally. */
export function isPrefix(text: string): boolean {
  return prefixPattern.test(text);
}
