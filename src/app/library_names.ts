/**
 * What applications import the library by: the names of the package on npm and JSR.
 *
 * @module
 */
export const libraryNames = ["runfcgi", "@runfcgi/runfcgi"] as const;
