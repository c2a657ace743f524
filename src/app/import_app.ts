/**
 * Importing an application.
 *
 * @module
 */
import { importFresh, provideModule, trackModules } from "../runtime/modules.ts";
import { compiled } from "./compiled.ts";
import { libraryNames } from "./library_names.ts";
import { prepareProject } from "./project.ts";

/** Imports an application as its project says, and as if nothing of it had been imported before. */
export async function importApp(file: string): Promise<Record<string, unknown>> {
  await provideLibrary();
  prepareProject(file);
  trackModules();
  return await importFresh(file);
}

let provided = false;

/** An application of a program that is one module imports the library by its names on npm and JSR without installing it. */
async function provideLibrary(): Promise<void> {
  if (provided || compiled === undefined) return;
  provided = true;
  const { library } = compiled;
  if (library) return provideModule(libraryNames, library);
  const exports = await import("./library.ts");
  provideModule(libraryNames, () => exports);
}
