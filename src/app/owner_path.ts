/**
 * Where the owner's page is.
 *
 * @module
 */

/** Path of the page below that of the site. */
export const OWNER = "/.runfcgi";
