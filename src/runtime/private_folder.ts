/**
 * Folders of this user alone, also where others may write around them, as in `/tmp`.
 *
 * @module
 */
import { lstatSync, mkdirSync } from "node:fs";
import process from "node:process";

/**
 * Makes a folder unless it is there.
 *
 * @param mode what others may do there at most
 * @throws {Error} when it is somebody else's, a link, or open to others
 */
export function makePrivateFolder(folder: string, mode = 0o700): void {
  try {
    // Not with those around it: where one cannot be made in a folder that is there, such as /proc, Node tries it for ever.
    mkdirSync(folder, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o777 & ~mode) !== 0) {
    throw new Error(`the folder "${folder}" is not this user's alone`);
  }
}
