/**
 * Apache as hosts set it up: what it starts for a site runs as the user of that site (mod_suexec).
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { lchownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { suexec } from "../../scripts/tools.ts";
import { apacheModules, makeOpenFolder, needs } from "./servers.ts";

/** Number of the user and the group of the site. Only Apache and what it starts know their name. */
const CUSTOMER = 20_001;

/** Why a test is skipped, or `false`. */
export function needsSuexec(): string | false {
  if (process.getuid?.() !== 0) return "only root can start programs as another user";
  // Its own view of some folders, so that nothing of the system changes.
  if (spawnSync("unshare", ["-m", "true"]).status !== 0) return "this machine does not allow unshare -m";
  return needs("apache", [suexec]);
}

/** What a host does before Apache starts. `$1` is the folder, `$2` suexec; the rest is what is to be started. */
const setUp = String.raw`set -e
folder=$1 suexec=$2
shift 2
mount --bind ${apacheModules} "$folder/modules"
mount -t tmpfs -o mode=755 none /usr/lib/apache2
mkdir ${apacheModules}
mount --move "$folder/modules" ${apacheModules}
cp "$suexec" /usr/lib/apache2/suexec
chown root:www-data /usr/lib/apache2/suexec
chmod 4754 /usr/lib/apache2/suexec
mount -t tmpfs -o mode=755 none /etc/apache2
mkdir /etc/apache2/suexec
printf '%s\npublic_html\n' "$folder/home" > /etc/apache2/suexec/www-data
mkdir -p /var/log/apache2
mount --bind "$folder/log" /var/log/apache2
for file in passwd group; do mount --bind "$folder/$file" /etc/$file; done
exec "$@"
`;

/** A customer of a host. */
export class Customer {
  readonly uid = CUSTOMER;
  readonly home: string;
  /** Starts Apache; see `startWebServer`. */
  readonly around: readonly string[];
  readonly #folder: string;

  /** @param folder temporary, and open to all */
  constructor(folder: string) {
    this.#folder = folder;
    for (const name of ["modules", "log", "home", "home/customer"]) mkdirSync(join(folder, name));
    this.home = join(folder, "home/customer");
    for (const [file, row] of [["passwd", `:${CUSTOMER}::${this.home}:/bin/sh`], ["group", ":"]]) {
      writeFileSync(join(folder, file), `${readFileSync(`/etc/${file}`, "utf8")}customer:x:${CUSTOMER}${row}\n`);
    }
    this.around = ["unshare", "-m", "sh", "-c", setUp, "sh", folder, suexec];
  }

  /** Gives everything to the customer, as an upload does, with the modes that it has. */
  own(path = this.home): void {
    lchownSync(path, CUSTOMER, CUSTOMER);
    for (const name of readdirSync(path, { withFileTypes: true })) {
      if (name.isDirectory()) this.own(join(path, name.name));
      else lchownSync(join(path, name.name), CUSTOMER, CUSTOMER);
    }
  }

  /** What the host has written. @param root folder of the site */
  host(root: string): string {
    makeOpenFolder(join(this.#folder, "ipc"));
    return `
      LoadModule suexec_module ${apacheModules}/mod_suexec.so
      SuexecUserGroup customer customer
      DocumentRoot "${root}"
      <Directory "${root}">
        AllowOverride All
        Require all granted
      </Directory>
      <FilesMatch "^\\.ht">
        Require all denied
      </FilesMatch>`;
  }

  /** The same of a host that runs PHP by php/php-cgi of the customer. */
  hostWithPhp(root: string): string {
    return `${this.host(root)}
      <Directory "${root}">
        <FilesMatch "\\.php$">
          Options +ExecCGI
          SetHandler fcgid-script
          FcgidWrapper ${this.home}/php/php-cgi .php
        </FilesMatch>
      </Directory>`;
  }

  /** What suexec has said: whom it started, and what it refused. */
  get log(): string {
    return readFileSync(join(this.#folder, "log/suexec.log"), "utf8");
  }
}
