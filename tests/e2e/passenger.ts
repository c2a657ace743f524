/**
 * Apache with Phusion Passenger as on shared hosting, and a site there.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { configText } from "../../src/config/servers.ts";
import { apacheModules, makeOpenFolder } from "../support/servers.ts";
import type { AppPlace, Row } from "./site.ts";

const passengerModule = `${apacheModules}/mod_passenger.so`;

/** What the owner of the machine has written. */
export function host({ folder }: AppPlace, root: string, more = ""): string {
  return `
    LoadModule passenger_module ${passengerModule}
    PassengerRoot /usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini
    PassengerInstanceRegistryDir "${folder}"
    # It would ask other machines.
    PassengerDisableSecurityUpdateCheck on
    PassengerDisableAnonymousTelemetry on
    PassengerStatThrottleRate 0
    PassengerEnabled off
    DocumentRoot "${root}"
    <Directory "${root}">
      AllowOverride All
      Require all granted
    </Directory>
    ${more}`;
}

/** What the owner of the site has written: what is printed, where it says. */
export function put({ app }: AppPlace, folder: string, ...words: string[]): void {
  const config = configText(["passenger", `program=${app.program}`, ...words]);
  writeFileSync(join(folder, ".htaccess"), config);
  const [, file, text] = /^# +And this into +(\S+)\n# +(\{.*\})$/m.exec(config)!;
  writeFileSync(file, text);
}

/** A site in the folder `public` beside the program. */
export const passengerRow = {
  name: "Passenger",
  server: "apache",
  files: [passengerModule],
  listens: "spawned",
  site(place: AppPlace) {
    const root = makeOpenFolder(join(place.folder, "public"));
    put(place, root);
    return host(place, root);
  },
} satisfies Row;
