/** A server of its own, with all that it needs; below a path if one is named. */
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL(".", import.meta.url));

export default {
  output: "standalone",
  distDir: process.env.SITE_OUT,
  basePath: process.env.SITE_BASE ?? "",
  // nginx leads from the path itself to the one with a slash, and this would lead back.
  skipTrailingSlashRedirect: true,
  // Folders above have packages of their own.
  outputFileTracingRoot: root,
  turbopack: { root },
};
