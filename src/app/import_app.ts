/**
 * Importing an application.
 *
 * @module
 */
import { importFresh, provideModule, trackModules } from "../runtime/modules.ts";
import { isBundled } from "./compiled.ts";
import * as library from "./library.ts";
import { libraryNames } from "./library_names.ts";
import { prepareProject } from "./project.ts";

/** Imports an application as its project says, and as if nothing of it had been imported before. */
export function importApp(file: string): Promise<Record<string, unknown>> {
  provideLibrary();
  prepareProject(file);
  trackModules();
  return importFresh(file);
}

let provided = false;

/** An application of a program that is one module imports the library by its names on npm and JSR without installing it. */
function provideLibrary(): void {
  if (provided || !isBundled()) return;
  provided = true;
  provideModule(libraryNames, library);
}
