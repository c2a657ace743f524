/**
 * What an application may load.
 *
 * @module
 */

/** Modules of the runtimes that neither listen nor load others. */
const plain =
  /^(?:bun|bun:(?:ffi|sqlite)|(?:node:)?(?:assert|async_hooks|buffer|crypto|events|fs|os|path|perf_hooks|querystring|sqlite|stream|string_decoder|timers|url|util|zlib)(?:\/\w+)?)$/;

/** Imports and exports of types alone, which are gone when the module runs. */
const typeImport = /\b(?:import|export)\s+type\s*[\w*{](?:(?!\b(?:im|ex)port\b)[^;"'`=])*?\bfrom\s*(["'])[^"'\n]*\1/g;

/** Other imports that name a module, with or without what is taken from it. */
const namedImport = /\bimport\b\s*(?:[\w$*{][^;"'`()]*?\bfrom\s*)?(["'])([^"'\n]*)\1/g;

/** All by which a module is loaded in any other way, or by code in texts; an escape may spell each of them. */
const loading = /\b(?:import(?!\s*\.\s*meta\b)|require|getBuiltinModule|eval|Function)\b|\bfrom\s*(?:["'`]|\/[/*])|\\u/;

/**
 * Whether a module is seen to load none that has servers of Node, such as `node:http`, by itself or by a package: most
 * applications of one file. It is no parser: what only looks as if it loaded one, in a comment, counts as well.
 */
export function loadsNoServer(file: string, text: string): boolean {
  // JSX loads what its configuration names.
  if (!/\.[cm]?[jt]s$/.test(file)) return false;
  const rest = text.replace(typeImport, "").replace(namedImport, (all, _quote, name: string) => plain.test(name) ? "" : all);
  return !loading.test(rest);
}
