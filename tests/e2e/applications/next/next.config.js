/** A server of its own, with all that it needs; below a path if one is named. */
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL(".", import.meta.url));

export default {
  output: "standalone",
  distDir: process.env.SITE_OUT,
  basePath: process.env.SITE_BASE ?? "",
  // Folders above have packages of their own.
  outputFileTracingRoot: root,
  turbopack: { root },
};
