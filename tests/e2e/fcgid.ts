/**
 * Apache with mod_fcgid as on shared hosting, and a site there.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { configText } from "../../src/config/servers.ts";
import { makeOpenFolder } from "../support/servers.ts";
import type { AppPlace, Row } from "./site.ts";

/** All that the owner of a site has to write. */
export const htaccess: string = configText(["apache-shared"]);

/** What the owner of the machine has written. */
export function host({ folder }: AppPlace, rules: string, root = folder): string {
  makeOpenFolder(join(folder, "ipc"));
  writeFileSync(join(root, ".htaccess"), rules);
  return `
    FcgidMaxRequestLen 2147483648
    FcgidOutputBufferSize 0
    DocumentRoot "${root}"
    <Directory "${root}">
      AllowOverride All
      Require all granted
    </Directory>`;
}

export const fcgidRow = {
  name: "Apache mod_fcgid",
  server: "apache",
  listens: "spawned",
  site: (place: AppPlace) => host(place, htaccess),
} satisfies Row;
